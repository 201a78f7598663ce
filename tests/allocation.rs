//! A block and a cache hit allocate nothing, and what is kept of what was asked is bounded: counted by the allocator itself.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "an allocator is unsafe by its interface; a test that panics has failed"
)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use interdict::app;
use interdict::clock::Clock;
use interdict::dns::{CanonicalName, Name};
use interdict::policy::{Identities, IdentityNumber, Labels};
use interdict::query::{Asker, Outcome, Transport, Worker};
use interdict::telemetry::{Clients, Counters, Inboxes, LastDay, LastDayConfig, Sampler, Wiring};
use support::{Upstream, engine, query};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed on unchanged to the system's allocator; the count is a plain thread-local number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ending = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes that are allocated, by all threads.
static LIVE: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `run` runs.
fn allocations(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

fn asker(transport: Transport) -> Asker {
    Asker::at(IpAddr::V4(Ipv4Addr::LOCALHOST), transport)
}

/// Answers at once, and nothing is fetched.
fn answered(worker: &mut Worker, packet: &[u8], transport: Transport, reply: &mut [u8]) -> usize {
    worker.begin_batch();
    let outcome = worker.handle(packet, asker(transport), reply, || panic!("must not be fetched"));
    worker.end_batch();
    match outcome {
        Outcome::Reply(length) => length,
        other => panic!("{other:?}"),
    }
}

/// Fetches a name's answer so that it is kept.
fn fetch(worker: &mut Worker, packet: &[u8], reply: &mut [u8]) {
    let (done, fetched) = mpsc::sync_channel(1);
    worker.begin_batch();
    let later = || -> interdict::query::Sink { Box::new(move |_: &[u8]| done.send(()).unwrap()) };
    assert_eq!(worker.handle(packet, asker(Transport::Udp), reply, later), Outcome::Later);
    fetched.recv_timeout(Duration::from_secs(5)).expect("the upstream's answer");
}

#[test]
fn a_block_and_a_hit_allocate_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let upstream = Upstream::start();
    for inboxes in [None, Some(Arc::new(Inboxes::default()))] {
        let log = if inboxes.is_some() { "with a query log" } else { "without" };
        let engine = engine(&upstream, inboxes, runtime.handle());
        let mut reply = vec![0; 4096];
        let mut worker = engine.thread_worker();
        let hits = ["www.canada.ca", "cloaked.example"];
        for name in hits {
            fetch(&mut worker, &query(1, 0x0100, name, 1, Some(1232)), &mut reply);
        }
        let named = |name: &'static str, record_type, edns| (name, query(2, 0x0100, name, record_type, edns));
        let mut cases = vec![
            named("wechat.com", 1, None),
            named("a.b.c.TikTok.com", 65, Some(1232)),
            named("www.kaspersky.com", 28, Some(512)),
            named("mask.icloud.com", 1, None),
            named("localhost", 1, None),
            named("1.0.0.10.in-addr.arpa", 12, None),
        ];
        cases.extend(hits.map(|name| (name, query(3, 0x0100, name, 1, Some(1232)))));
        cases.push(("no message at all", vec![1, 2, 3]));
        cases.push(("a version of EDNS to come", {
            let mut bytes = query(4, 0x0100, "www.canada.ca", 1, Some(1232));
            let version = bytes.len() - 5;
            bytes[version] = 7;
            bytes
        }));
        for (what, packet) in &cases {
            for transport in [Transport::Udp, Transport::Tcp] {
                let mut ask = || {
                    worker.begin_batch();
                    let outcome =
                        worker.handle(packet, asker(transport), &mut reply, || panic!("{what} was fetched"));
                    worker.end_batch();
                    assert_ne!(outcome, Outcome::Later);
                };
                // The first may move a shared answer into the worker's own table.
                ask();
                let count = allocations(|| (0..100).for_each(|_| ask()));
                assert_eq!(count, 0, "{what} over {}, {log}", transport.as_str());
            }
        }
        // The counter counts: the same questions over a new connection's worker allocate at least the worker.
        let count = allocations(|| {
            let mut worker = engine.thread_worker();
            answered(&mut worker, &query(5, 0x0100, "wechat.com", 1, None), Transport::Udp, &mut reply);
        });
        assert!(count > 0, "the counter counts");
    }
    upstream.stop();
}

/// Rules about addresses, met and not met: by the answer, by the client, and before a rule by name.
#[test]
fn a_block_by_address_and_a_hit_beside_it_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("interdict.toml");
    let mut text = String::new();
    for (name, zone) in [
        ("one", "32.7.2.0.192.rpz-ip CNAME .\n16.0.0.9.10.rpz-ip CNAME rpz-drop.\n"),
        ("two", "named.example CNAME .\nlarge.example CNAME .\n32.9.0.0.127.rpz-client-ip CNAME *.\n"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, zone).unwrap();
        text += &format!("[[policy.source]]\nname = \"{name}\"\nfrom = {path:?}\nformat = \"rpz\"\n");
    }
    text += "[[policy.group]]\nname = \"default\"\nenforce = [\"one\", \"two\"]\n";
    std::fs::write(&config, text).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let upstream = Upstream::start();
    let inboxes = Some(Arc::new(Inboxes::default()));
    let engine = support::engine_of(Some(config), &upstream, inboxes, runtime.handle());
    let mut worker = engine.thread_worker();
    let mut reply = vec![0; 4096];
    let ask = |name| query(3, 0x0100, name, 1, Some(1232));
    let by_answer = ask("www.example");
    let awaited = ask("named.example");
    let passed = ask("cloaked.example");
    for packet in [&by_answer, &awaited, &passed] {
        fetch(&mut worker, packet, &mut reply);
    }
    let ruled = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let somebody = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for (what, packet, address) in [
        ("blocked by an answer's address", &by_answer, somebody),
        ("blocked by an answer's address before its name", &awaited, somebody),
        ("not blocked", &passed, somebody),
        ("blocked by the client's address", &passed, ruled),
    ] {
        let mut ask = || {
            worker.begin_batch();
            let asker = Asker::at(address, Transport::Udp);
            let outcome = worker.handle(packet, asker, &mut reply, || panic!("{what} was fetched"));
            worker.end_batch();
            assert!(matches!(outcome, Outcome::Reply(_)), "{what}: {outcome:?}");
        };
        ask();
        let count = allocations(|| (0..100).for_each(|_| ask()));
        assert_eq!(count, 0, "{what}");
    }
    upstream.stop();
}

/// A million names from as many clients, beside one that is asked often. Unbounded, they would take a hundred megabytes.
#[test]
fn a_million_names_take_no_more_memory_than_the_first_thousands() {
    const MARGIN: i64 = 4 << 20;
    let (clock, labels) = (Clock::system(), Labels::default());
    let started = app::pipeline(None, None, None, clock.clone(), labels.clone()).start().unwrap();
    let last_day = LastDay::new(LastDayConfig { names: 1000, clients: Clients::Full }, clock);
    let counters = Arc::new(Counters::new(1));
    last_day
        .begin(Wiring {
            live: started.live,
            counters,
            labels,
            identities: Identities::default(),
            storage: None,
        })
        .unwrap();
    let mut sampler = Sampler::new(Some(last_day.feed()));
    let mut note = |name: &str, client: u32| {
        let name: Name = name.parse().unwrap();
        sampler.note(&CanonicalName::from(&name), Ipv4Addr::from(client).into(), IdentityNumber::default());
    };
    let mut first = 0;
    for number in 0..1_000_000 {
        note(&format!("n{number}.flood.example"), number);
        note(if number % 2 == 0 { "often.example" } else { "other.example" }, number);
        if number % 500 == 0 {
            // Takes in what waits, as the thread does ten times a second.
            assert!(last_day.covered().unwrap().names <= 1000);
        }
        if number == 10_000 {
            first = LIVE.load(Ordering::Relaxed);
        }
    }
    let more = LIVE.load(Ordering::Relaxed) - first;
    assert!(more < MARGIN, "{more} bytes more");
    let day = last_day.day().unwrap();
    assert_eq!((day.lost, day.parties.len()), (0, 1000));
    let most: Vec<String> = day.parties.iter().take(2).map(|party| party.name.to_string()).collect();
    assert!(
        most.contains(&"often.example".to_owned()) && most.contains(&"other.example".to_owned()),
        "{most:?}"
    );
    assert!((500_000..2_000_000).contains(&day.parties[0].crowd.size()), "{}", day.parties[0].crowd.size());
    assert!(last_day.stop(Duration::from_secs(5)));
}
