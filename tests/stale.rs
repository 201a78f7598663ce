//! Answers past their TTL, and near it: upstreams that are slow, fail, fall silent or are gone, and what clients see meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hickory_proto::op::Message;
use interdict::clock::Clock;
use support::{Site, Upstream, query};

const ANSWERS: u8 = 0;
const FAILS: u8 = 1;
const SILENT: u8 = 2;

/// A site whose upstream does what a test tells it to, and whose clock only the test moves.
struct Bed {
    site: Site,
    mode: Arc<AtomicU8>,
}

/// What a client sees: the response code, the first answer's TTL, and the extended error.
type Seen = (u16, Option<u32>, Option<u16>);

impl Bed {
    fn start(policy: &str) -> Self {
        let mode = Arc::new(AtomicU8::new(ANSWERS));
        let told = Arc::clone(&mode);
        let upstream = Upstream::scripted(move |packet, tcp| {
            let mut answer = support::answer(packet, tcp)?;
            match told.load(Ordering::Relaxed) {
                ANSWERS => Some(answer),
                FAILS => {
                    answer[3] = answer[3] & 0xF0 | 2;
                    Some(answer)
                }
                _ => None,
            }
        });
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        Self { site: Site::prepare_with(upstream, policy, clock).started(), mode }
    }

    fn upstream(&self, mode: u8) {
        self.mode.store(mode, Ordering::Relaxed);
    }

    fn later(&self, seconds: u64) {
        self.site.clock.advance(Duration::from_secs(seconds));
    }

    fn asked(&self) -> u64 {
        self.site.upstream.asked.load(Ordering::Relaxed)
    }

    fn ask(&self, name: &str) -> Seen {
        seen(&self.site.udp(&query(7, 0x0100, name, 1, Some(1232))).expect("a reply"))
    }

    /// Asks until it sees this, for at most five seconds.
    fn until(&self, name: &str, expected: Seen) {
        let mut found = self.ask(name);
        for _ in 0..100 {
            if found == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
            found = self.ask(name);
        }
        assert_eq!(found, expected, "{name}");
    }

    fn metric(&self, row: &str) -> u64 {
        let page = self.site.http("GET", "/metrics", None).1;
        let count = page.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(' '));
        count.unwrap_or_else(|| panic!("{row}")).parse().unwrap()
    }

    fn metric_comes_to(&self, row: &str, expected: u64) {
        for _ in 0..100 {
            if self.metric(row) == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.metric(row), expected, "{row}");
    }
}

fn seen(reply: &[u8]) -> Seen {
    let message = Message::from_vec(reply).unwrap();
    // OPTION-CODE 15 with nothing but its INFO-CODE, at the very end.
    let error = match reply.last_chunk::<6>() {
        Some([0, 15, 0, 2, high, low]) => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    };
    let ttl = message.answers.first().map(|record| record.ttl);
    (u16::from(message.metadata.response_code), ttl, error)
}

/// Longer ago than the upstream's TTL of 300.
const PAST: u64 = 400;
const FRESH: Seen = (0, Some(300), None);
const STALE: Seen = (0, Some(30), Some(3));
const PREFETCHED: &str = "interdict_prefetches_total{result=\"refreshed\"}";

// --- Stale ---

#[test]
fn a_slow_upstream_is_tried_first_then_the_stale_answer_comes_and_the_fetch_goes_on() {
    let bed = Bed::start("[cache]\nstale_after = \"0.2s\"\n");
    assert_eq!(bed.ask("www.canada.ca"), FRESH);
    bed.later(PAST);
    assert_eq!(bed.ask("www.canada.ca"), FRESH, "an upstream that answers in time is listened to");
    bed.later(PAST);
    bed.upstream(SILENT);
    let asked = bed.asked();
    assert_eq!(bed.ask("www.canada.ca"), STALE);
    assert_eq!(bed.asked(), asked + 1, "it was tried first");
    assert_eq!(bed.ask("www.canada.ca"), STALE, "the next one joins the question that goes on");
    assert_eq!(bed.asked(), asked + 1);
    // The second try is answered, and nobody waits for it any more.
    bed.upstream(ANSWERS);
    bed.until("www.canada.ca", FRESH);
    assert!(bed.metric("interdict_cache_lookups_total{result=\"stale\"}") >= 2);
}

#[test]
fn a_stale_answer_is_screened_by_the_policy_in_force_when_it_is_given() {
    let bed = Bed::start("[cache]\nstale_after = \"0.3s\"\n");
    assert_eq!(bed.ask("www.canada.ca"), FRESH);
    bed.later(PAST);
    bed.upstream(SILENT);
    let list = bed.site.path("own.txt");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| bed.ask("www.canada.ca"));
        std::fs::write(&list, "www.canada.ca\n").unwrap();
        bed.site.write_config(
            "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n\
             [cache]\nstale_after = \"0.3s\"\n",
        );
        let (status, said) = bed.site.http("POST", "/api/v1/reload", Some(&bed.site.token()));
        assert_eq!(status, 200, "{said}");
        let _whichever_came_first = waits.join().unwrap();
    });
    let (rcode, ttl, _) = bed.ask("www.canada.ca");
    assert_eq!((rcode, ttl), (0, None), "an exact rule answers NODATA, stale or not");
}

#[test]
fn after_a_failure_stale_answers_come_at_once_and_upstreams_are_left_alone_for_a_while() {
    let bed = Bed::start("");
    assert_eq!(bed.ask("www.canada.ca"), FRESH);
    assert_eq!(bed.ask("nxdomain.example").0, 3);
    bed.later(PAST);
    bed.upstream(FAILS);
    assert_eq!(bed.ask("www.canada.ca"), STALE);
    let asked = bed.asked();
    for _ in 0..10 {
        assert_eq!(bed.ask("www.canada.ca"), STALE);
    }
    assert_eq!(bed.asked(), asked, "RFC 8767 section 5: the failure recheck timer");
    bed.later(31);
    assert_eq!(bed.ask("www.canada.ca"), STALE);
    assert!(bed.asked() > asked, "and then they are tried again");
    bed.upstream(ANSWERS);
    bed.later(31);
    assert_eq!(bed.ask("www.canada.ca"), FRESH);
}

#[test]
fn what_is_too_old_or_may_not_be_stale_fails() {
    for (policy, wait) in [("", 2 * 3600), ("[cache]\nstale = \"0\"\n", PAST)] {
        let bed = Bed::start(policy);
        assert_eq!(bed.ask("www.canada.ca"), FRESH);
        bed.later(wait);
        bed.upstream(FAILS);
        assert_eq!(bed.ask("www.canada.ca").0, 2, "{policy}");
    }
}

// --- Nothing left upstream ---

/// Banned names are blocked, kept ones stale, the rest fails before clients give up; whether upstreams say nothing, or their
/// ports are closed.
fn outage(bed: &Bed, error: u16) {
    bed.later(PAST);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| (bed.ask("new.example"), bed.ask("new.example")));
        for _ in 0..100 {
            assert_eq!(bed.ask("wechat.com").0, 3, "a ban waits for nobody");
        }
        for _ in 0..3 {
            assert_eq!(bed.ask("www.canada.ca"), STALE);
            assert_eq!(bed.ask("cloaked.example").1, None, "what an answer leads to stays banned");
        }
        // The client gives up after three seconds.
        let (first, again) = waits.join().unwrap();
        assert_eq!(first, (2, None, Some(error)));
        assert_eq!(again, (2, None, Some(error)), "a kept failure says why too");
    });
}

#[test]
fn a_total_outage_by_silence() {
    let bed = Bed::start("");
    assert_eq!((bed.ask("www.canada.ca"), bed.ask("cloaked.example").1), (FRESH, None));
    bed.upstream(SILENT);
    outage(&bed, 22);
}

#[test]
fn a_total_outage_by_closed_ports() {
    let bed = Bed::start("");
    assert_eq!((bed.ask("www.canada.ca"), bed.ask("cloaked.example").1), (FRESH, None));
    bed.site.upstream.stop();
    outage(&bed, 23);
}

// --- Ahead of need ---

#[test]
fn a_name_asked_for_near_its_end_is_fetched_once_and_then_never_missing() {
    let bed = Bed::start("");
    assert_eq!(bed.ask("www.canada.ca"), FRESH);
    bed.later(269);
    assert_eq!(bed.ask("www.canada.ca"), (0, Some(31), None));
    assert_eq!((bed.asked(), bed.metric(PREFETCHED)), (1, 0), "not yet in its last tenth");
    bed.later(6);
    for _ in 0..50 {
        let (rcode, ttl, _) = bed.ask("www.canada.ca");
        // A worker whose own table has the old one shows that, others the new one.
        assert!(rcode == 0 && (ttl == Some(25) || ttl == Some(300)), "{ttl:?}");
    }
    bed.metric_comes_to(PREFETCHED, 1);
    assert_eq!(bed.asked(), 2);
    bed.later(40);
    for _ in 0..20 {
        assert_eq!(bed.ask("www.canada.ca"), (0, Some(260), None));
    }
    assert_eq!(bed.asked(), 2, "no client waited for it");
}

#[test]
fn a_fetch_ahead_that_fails_leaves_the_answer_there_was() {
    let bed = Bed::start("");
    assert_eq!(bed.ask("www.canada.ca"), FRESH);
    bed.upstream(FAILS);
    bed.later(275);
    assert_eq!(bed.ask("www.canada.ca"), (0, Some(25), None));
    bed.metric_comes_to("interdict_prefetches_total{result=\"failed\"}", 1);
    assert_eq!(bed.ask("www.canada.ca"), (0, Some(25), None), "and it is still fresh");
    bed.later(26);
    let asked = bed.asked();
    assert_eq!(bed.ask("www.canada.ca"), STALE, "upstreams failed lately");
    assert_eq!(bed.asked(), asked);
}

#[test]
fn nothing_is_fetched_ahead_where_that_is_switched_off() {
    let bed = Bed::start("[cache]\nprefetch = false\n");
    assert_eq!(bed.ask("www.canada.ca"), FRESH);
    bed.later(275);
    for _ in 0..10 {
        assert_eq!(bed.ask("www.canada.ca"), (0, Some(25), None));
    }
    bed.later(26);
    assert_eq!(bed.ask("www.canada.ca"), FRESH);
    assert_eq!((bed.asked(), bed.metric(PREFETCHED)), (2, 0));
}
