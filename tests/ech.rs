//! Keys for an encrypted ClientHello (RFC 9460, key 5), taken out of what one group is answered and left in what others are: fresh, out of the
//! cache and stale, over UDP and TCP, with signatures and without.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares files with other suites")]

mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use interdict::clock::Clock;
use interdict::dns::{Message, RecordType, Section};
use support::operator::until;
use support::{Site, Upstream, query};

const PLAIN: Ipv4Addr = Ipv4Addr::LOCALHOST;
const MANAGED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const POLICY: &str =
    "[[policy.group]]\nname = \"managed\"\nclients = [\"127.0.0.2\", \"127.0.0.3\"]\nech = \"strip\"\n";
/// Of a name without keys; of one with a list of keys so long that what is left of it needs TCP.
const WITHOUT: &str = "plain.example";
const LONG: &str = "long.example";

/// Answers each question with a service's record, signed for those who want to know.
fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let message = Message::new(packet)?;
    let (name, question) = message.question()?;
    let name = name.to_string();
    let signed = packet.len() > 12 + question.len() && packet[packet.len() - 4] & 0x80 != 0;
    let mut out = packet[..2].to_vec();
    out.extend([0x81, if signed { 0xA0 } else { 0x80 }, 0, 1, 0, 1 + u8::from(signed), 0, 0, 0, 0]);
    out.extend(question);
    let mut parameters = b"\0\0\0\x04\0\x01\0\x05\0\x01\0\x03\x02h2\0\x04\0\x04\xC0\0\x02\x07".to_vec();
    match name.as_str() {
        WITHOUT => parameters = b"\0\x01\0\x03\x02h2".to_vec(),
        LONG => {
            parameters.extend(b"\0\x05\x03\xE8");
            parameters.extend([0xEE; 1000]);
        }
        _ => parameters.extend(b"\0\x05\0\x04\xFE\x0D\0\0"),
    }
    parameters.extend(b"\0\x06\0\x10\xFD\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07");
    let mut record = |kind: u8, rdata: &[u8]| {
        out.extend([0xC0, 12, 0, kind, 0, 1, 0, 0, 0, 60]);
        out.extend((rdata.len() as u16).to_be_bytes());
        out.extend(rdata);
    };
    record(65, &[&b"\0\x01\0"[..], &parameters].concat());
    if signed {
        record(46, b"\0\x41\x0D\x02\0\0\0\x3C\x70\0\0\0\x60\0\0\0\0\x07\x07example\0signature");
    }
    Some(out)
}

/// The keys of a reply's parameters, the types of its answer, and whether it says that it is authentic.
fn shown(reply: &[u8]) -> (Vec<u16>, Vec<u16>, bool) {
    let message = Message::new(reply).unwrap();
    let answers = || message.records().filter(|record| record.section == Section::Answer);
    let services = answers().filter(|record| record.record_type == RecordType::HTTPS);
    let keys = services.flat_map(|record| message.parameters(&record).map(|(key, _)| key)).collect();
    (keys, answers().map(|record| record.record_type.0).collect(), reply[3] & 0x20 != 0)
}

fn asked(name: &str, wants_signatures: bool) -> Vec<u8> {
    let mut query = query(7, 0x0120, name, 65, Some(1232));
    let end = query.len();
    query[end - 4] = if wants_signatures { 0x80 } else { 0 };
    query
}

#[test]
fn keys_are_taken_out_for_one_group_and_for_no_other() {
    let asking = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asking);
    let upstream = Upstream::scripted(move |packet, _| {
        count.fetch_add(1, Ordering::Relaxed);
        answer(packet)
    });
    let site = Site::prepare_with(upstream, POLICY, Clock::system()).started();
    let from = |client, name: &str, signed| shown(&site.udp_from(client, &asked(name, signed)).unwrap());
    let (whole, stripped) = (vec![0, 1, 4, 5, 6], vec![0, 1, 4, 6]);
    // The one who asks first gets what was fetched, the next one what is kept; whoever that is.
    for (first, second, name) in [(PLAIN, MANAGED, "a.example"), (MANAGED, PLAIN, "b.example")] {
        for client in [first, second, first, second] {
            let keys = if client == PLAIN { &whole } else { &stripped };
            assert_eq!(from(client, name, false), (keys.clone(), vec![65], false), "{client} {name}");
            let (kinds, is_authentic) =
                if client == PLAIN { (vec![65, 46], true) } else { (vec![65], false) };
            assert_eq!(
                from(client, name, true),
                (keys.clone(), kinds, is_authentic),
                "{client} {name}, signed"
            );
        }
    }
    assert_eq!(asking.load(Ordering::Relaxed), 4, "the cache has what upstreams said, for all alike");
    assert_eq!(from(MANAGED, WITHOUT, true), (vec![1, 6], vec![65, 46], true), "nothing to be taken out");
    // What a client must understand names no key that is gone.
    let reply = site.udp_from(MANAGED, &asked("a.example", false)).unwrap();
    let message = Message::new(&reply).unwrap();
    let record = message.records().next().unwrap();
    assert_eq!(message.parameters(&record).next(), Some((0, &[0, 1][..])));
    // The list of keys is what makes this one too long for most.
    let short = |client| {
        let mut query = asked(LONG, false);
        let end = query.len();
        query[end - 8..end - 6].copy_from_slice(&512u16.to_be_bytes());
        site.udp_from(client, &query).unwrap()
    };
    assert!(short(PLAIN)[2] & 2 != 0, "cut");
    assert!(site.http("GET", "/metrics", None).1.contains("interdict_ech_stripped_answers_total 9\n"));
}

#[test]
fn over_tcp_and_when_the_policy_changes() {
    let upstream = Upstream::scripted(|packet, _| answer(packet));
    let site =
        Site::prepare_with(upstream, &POLICY.replace("127.0.0.2", "127.0.0.1"), Clock::system()).settled();
    let keys = |site: &Site| shown(&site.tcp(&asked("a.example", true)).unwrap());
    for _ in 0..2 {
        assert_eq!(keys(&site), (vec![0, 1, 4, 6], vec![65], false));
    }
    assert_eq!(shown(&site.tcp(&asked(LONG, false)).unwrap()).0, [0, 1, 4, 6]);
    site.write_config("");
    site.reload("");
    until(5, "they are left in", || keys(&site).0 == [0, 1, 4, 5, 6]);
    site.write_config(&POLICY.replace("127.0.0.2", "127.0.0.1").replace("strip", "keep"));
    site.reload("");
    assert_eq!(keys(&site), (vec![0, 1, 4, 5, 6], vec![65, 46], true));
}
