//! The three hot paths of a query, each in a function of its own, for a tool that counts instructions: a block, a hit, and a name
//! that meets no rule; and what a line in the query log costs, from the record to its bytes. Drives the data plane without sockets. Not part of the
//! product.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a yardstick, not the product"
)]

mod names;
#[path = "../support/mod.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use interdict::clock::Clock;
use interdict::dns::{CanonicalName, Query, RecordType};
use interdict::query::{Asker, Outcome, Sink, Transport, Worker};
use interdict::telemetry::{
    Config, Decision, Described, Inboxes, Origin, QueryLog, Record, Reply, Sink as Log, Target,
};
use support::{Upstream, engine_of, query};

/// Names of the policy, as in the rows of the benchmark that this stands for.
const LISTED: u64 = 100_000;
/// Questions of each path: enough that none is special.
const QUESTIONS: u64 = 512;
/// Queries between two looks at the clock, as in a full batch of datagrams.
const BATCH: usize = 64;
const RECURSION: u16 = 0x0100;

/// Usage: `paths ROUNDS`; each path is walked as many times 512 queries. Prints how many queries that are.
fn main() {
    let rounds: usize =
        std::env::args().nth(1).and_then(|word| word.parse().ok()).expect("usage: paths ROUNDS");
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("listed");
    std::fs::write(&list, (0..LISTED).map(|number| name(number) + "\n").collect::<String>()).unwrap();
    let config = folder.path().join("interdict.toml");
    let source = format!("name = \"listed\"\nfrom = {list:?}\nformat = \"domains\"\nsubdomains = true\n");
    std::fs::write(&config, format!("[[policy.source]]\n{source}")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let upstream = Upstream::start();
    let mut worker = engine_of(Some(config), &upstream, None, runtime.handle()).thread_worker();

    let spread = |number: u64| number * (LISTED / QUESTIONS);
    let denied = questions(
        |number| format!("{}{}", ["", "www."][number as usize % 2], name(spread(number))),
        RECURSION,
    );
    let kept = questions(|number| name(LISTED * 10 + number), RECURSION);
    let unlisted = questions(|number| name(LISTED * 20 + number), 0);
    kept.iter().for_each(|packet| fetch(&mut worker, packet));
    // What the first time costs more is not what is counted.
    for (packets, rcode) in [(&denied, 3), (&kept, 0), (&unlisted, 5)] {
        assert!(
            packets.iter().all(|packet| rcode_of(&mut worker, packet) == rcode),
            "not answered with {rcode}"
        );
    }
    // Answers that are at least a second old have their TTLs counted down: always, not only on a slow machine.
    std::thread::sleep(Duration::from_millis(1100));
    path_block(&mut worker, &denied, rounds);
    path_hit(&mut worker, &kept, rounds);
    path_pass(&mut worker, &unlisted, rounds);
    let asked: Vec<_> = kept.iter().map(|packet| answered(&mut worker, packet)).collect();
    path_line(&asked, rounds);
    path_end();
    let queries = QUESTIONS as usize * rounds;
    #[allow(clippy::print_stdout, reason = "what it is run for")]
    {
        println!("{queries}");
    }
    upstream.stop();
}

/// Denied by name.
#[inline(never)]
fn path_block(worker: &mut Worker, packets: &[Vec<u8>], rounds: usize) {
    walk(worker, packets, std::hint::black_box(rounds), "block");
}

/// Allowed, and answered from the cache.
#[inline(never)]
fn path_hit(worker: &mut Worker, packets: &[Vec<u8>], rounds: usize) {
    walk(worker, packets, std::hint::black_box(rounds), "hit");
}

/// Meets no rule and is not kept; asked without RD, so that it is refused instead of fetched.
#[inline(never)]
fn path_pass(worker: &mut Worker, packets: &[Vec<u8>], rounds: usize) {
    walk(worker, packets, std::hint::black_box(rounds), "pass");
}

/// Told to a log that writes every query and what it was answered to a file.
#[inline(never)]
fn path_line(asked: &[(CanonicalName, Vec<u8>)], rounds: usize) {
    tell(asked, rounds);
}

/// In a function of its own, as closures count as what they are in.
fn tell(asked: &[(CanonicalName, Vec<u8>)], rounds: usize) {
    let inboxes = Arc::new(Inboxes::default());
    let inbox = inboxes.add();
    let sinks = vec![Log { all: true, ..Log::to(Target::File("/dev/null".into())) }];
    let describe = |_: &Record<'_>| Described { group: "default".to_owned(), ..Described::default() };
    let mut log =
        QueryLog::start(&Config { sinks }, Arc::clone(&inboxes), Arc::new(describe), None, &Clock::system())
            .unwrap();
    let written = |log: &QueryLog| {
        let mut samples = Vec::new();
        log.collector().collect(&mut samples);
        samples.first().map_or(0.0, |sample| sample.value)
    };
    for round in 1..=rounds {
        for (name, reply) in asked {
            inbox.push(Record {
                time_ms: 1_698_638_400_123,
                client: ASKER.address,
                identity: ASKER.identity,
                transport: "udp",
                name,
                record_type: RecordType::A,
                decision: Decision::Allowed,
                cause: None,
                generation: 1,
                took_us: None,
                reply: Some(Reply::new(reply, Origin::Cache)),
            });
        }
        // So that none is lost.
        let all = (round * asked.len()) as f64;
        let is_over = (0..1000).any(|_| {
            // Seldom enough that looking is next to nothing of what is counted.
            std::thread::sleep(Duration::from_millis(20));
            written(&log) >= all
        });
        assert!(is_over, "{} of {all}", written(&log));
    }
    assert!(log.stop(Duration::from_secs(10)));
}

/// Where the last path has ended.
#[inline(never)]
fn path_end() {
    std::hint::black_box("end");
}

#[inline(always)]
fn walk(worker: &mut Worker, packets: &[Vec<u8>], rounds: usize, path: &str) {
    // A constant of its own keeps the compiler from making one function of three.
    std::hint::black_box(path);
    let mut reply = [0; 4096];
    for _ in 0..rounds {
        for batch in packets.chunks(BATCH) {
            worker.begin_batch();
            for packet in batch {
                std::hint::black_box(worker.handle(packet, ASKER, &mut reply, nobody));
            }
            worker.end_batch();
        }
    }
}

fn questions(mut name: impl FnMut(u64) -> String, flags: u16) -> Vec<Vec<u8>> {
    (0..QUESTIONS).map(|number| query(number as u16, flags, &name(number), 1, Some(1232))).collect()
}

fn name(number: u64) -> String {
    let mut name = String::new();
    names::write_name(number, &mut name);
    name
}

const ASKER: Asker = Asker::at(IpAddr::V4(Ipv4Addr::LOCALHOST), Transport::Udp);

fn nobody() -> Sink {
    panic!("nothing is fetched")
}

/// The name that is asked for, and the reply from the cache.
fn answered(worker: &mut Worker, packet: &[u8]) -> (CanonicalName, Vec<u8>) {
    let mut reply = [0; 4096];
    worker.begin_batch();
    let Outcome::Reply(length) = worker.handle(packet, ASKER, &mut reply, nobody) else { panic!("no reply") };
    worker.end_batch();
    (Query::read(packet).expect("a query").name, reply[..length].to_vec())
}

/// Fetches a name's answer so that it is kept.
fn fetch(worker: &mut Worker, packet: &[u8]) {
    let (done, fetched) = mpsc::sync_channel(1);
    worker.begin_batch();
    let later = || -> Sink { Box::new(move |_: &[u8]| done.send(()).unwrap()) };
    assert_eq!(worker.handle(packet, ASKER, &mut [0; 4096], later), Outcome::Later);
    fetched.recv_timeout(Duration::from_secs(10)).expect("the upstream's answer");
    worker.end_batch();
}

fn rcode_of(worker: &mut Worker, packet: &[u8]) -> u8 {
    let mut reply = [0; 4096];
    worker.begin_batch();
    let outcome = worker.handle(packet, ASKER, &mut reply, nobody);
    worker.end_batch();
    assert!(matches!(outcome, Outcome::Reply(_)), "{outcome:?}");
    reply[3] & 15
}
