//! Many generations in a short time: what is in flight is answered by the policy in force when its answer comes, and nothing
//! grows. The sizes are for a small machine; `tests/bench/run robust` has the full ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares files with other suites")]

#[path = "support/served.rs"]
mod served;
mod support;

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use interdict::clock::Clock;
use served::Served;
use support::{Site, query};

const LIST: &str = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";

/// An upstream that answers what it was asked only when it is told to.
struct Held {
    address: SocketAddr,
    asked: Receiver<()>,
    go: SyncSender<usize>,
}

impl Held {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (asking, asked) = sync_channel(10_000);
        let (go, gone) = sync_channel(1);
        let answering = socket.try_clone().unwrap();
        let (keep, kept) = sync_channel::<(Vec<u8>, SocketAddr)>(10_000);
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                if keep.send((buffer[..length].to_vec(), peer)).is_err() || asking.send(()).is_err() {
                    return;
                }
            }
        });
        std::thread::spawn(move || {
            while let Ok(count) = gone.recv() {
                for (query, peer) in kept.iter().take(count) {
                    let mut end = 12;
                    while query[end] != 0 {
                        end += 1 + usize::from(query[end]);
                    }
                    let head = [&query[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]].concat();
                    let answer = b"\xC0\x0C\0\x01\0\x01\0\0\x01\x2C\0\x04\xC0\0\x02\x07";
                    let reply = [&head, &query[12..end + 5], answer].concat();
                    answering.send_to(&reply, peer).unwrap();
                }
            }
        });
        Self { address, asked, go }
    }

    /// Waits until as many questions have come.
    fn wait(&self, count: usize) {
        for _ in 0..count {
            self.asked.recv_timeout(Duration::from_secs(5)).expect("a question to the upstream");
        }
    }
}

#[test]
fn queries_in_flight_are_judged_by_the_generation_in_force_when_their_answer_comes() {
    const GENERATIONS: usize = 25;
    const WAITING: usize = 20;
    let upstream = Held::start();
    let site = Site::prepare(LIST, Clock::system());
    let text = support::read(&site.config)
        .replace(&site.upstream.address.to_string(), &upstream.address.to_string())
        .replace("timeout = \"500ms\"", "timeout = \"5s\"");
    std::fs::write(&site.config, text).unwrap();
    let list = |generation: usize| format!("*.round{generation}.example\n");
    std::fs::write(site.path("own.txt"), list(0)).unwrap();
    let site = site.started();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.connect(site.address()).unwrap();
    for generation in 1..=GENERATIONS {
        // Half will be banned before their answer comes, half never are.
        for number in 0..WAITING as u16 {
            let zone =
                if number % 2 == 0 { format!("round{generation}") } else { format!("free{generation}") };
            socket.send(&query(number, 0x0100, &format!("n{number}.{zone}.example"), 1, None)).unwrap();
        }
        upstream.wait(WAITING);
        std::fs::write(site.path("own.txt"), list(generation)).unwrap();
        let (_, outcome) = site.http("POST", "/api/v1/reload?accept_shrink=true", Some(&site.token()));
        assert!(outcome.contains("published") || outcome.contains("unchanged"), "{outcome}");
        assert_eq!(site.rcode(&format!("x.round{generation}.example")), "Non-Existent Domain");
        upstream.go.send(WAITING).unwrap();
        let mut reply = [0; 1500];
        let mut seen = [false; WAITING];
        for _ in 0..WAITING {
            socket.recv(&mut reply).expect("a reply to every query in flight");
            let number = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
            assert!(!std::mem::replace(&mut seen[number], true), "answered twice");
            let wanted = if number % 2 == 0 { 3 } else { 0 };
            assert_eq!(reply[3] & 15, wanted, "number {number} in generation {generation}");
        }
    }
    // What was banned is allowed again, and its answer was kept.
    assert_eq!(site.rcode("n0.round1.example"), "No Error");
}

#[test]
fn generations_leave_memory_descriptors_and_files_as_they_were() {
    const WARM: usize = 20;
    const STRETCHES: usize = 3;
    const MORE: usize = 20;
    let listed = |generation: usize| -> String {
        let names = (0..2000).map(|number| format!("*.n{number}.listed.example\n"));
        names.chain([format!("*.round{generation}.example\n")]).collect()
    };
    // A history that is full before the first look.
    let history = "[history]\nkeep = 5\nkeep_for = \"1ms\"\nmemory = \"4MiB\"\n";
    let served = Served::start(&format!("[policy]\nstate = \"$DIR/state\"\n{LIST}{history}"), &listed(0));
    let turn = |generation: usize| {
        // Old ones are let go of a second after: with hundreds a second, hundreds would be alive.
        std::thread::sleep(Duration::from_millis(250));
        std::fs::write(served.path("next"), listed(generation)).unwrap();
        std::fs::rename(served.path("next"), served.path("own.txt")).unwrap();
        let outcome = served.reload();
        assert!(outcome == "published" || outcome == "unchanged", "{outcome}");
        assert_eq!(served.rcode(&format!("a.round{generation}.example")), Some(3));
        assert_eq!(served.rcode(&format!("a.round{}.example", generation - 1)), Some(0));
    };
    let files = || std::process::Command::new("find").arg(served.path("state")).output().unwrap().stdout;
    let count = |listing: Vec<u8>| listing.iter().filter(|byte| **byte == b'\n').count();
    (1..=WARM).for_each(turn);
    // Old ones are let go of a second after.
    let rested = || {
        let look = |_| {
            std::thread::sleep(Duration::from_millis(250));
            served.memory()
        };
        (0..8).map(look).min().unwrap()
    };
    let (descriptors, kept) = (served.descriptors(), count(files()));
    let mut memory = vec![rested()];
    for stretch in 0..STRETCHES {
        let from = WARM + stretch * MORE;
        (from + 1..=from + MORE).for_each(turn);
        memory.push(rested());
    }
    // A thread that is begun in the middle brings some MiB of its own, once. What generations leave, each of them leaves.
    let grown = memory.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().unwrap();
    assert!(grown < 1 << 20, "{memory:?} bytes");
    // And that is all that comes in whatever they take turns at.
    assert!(memory[STRETCHES] < memory[0] + (16 << 20), "{memory:?} bytes");
    // Sockets to upstreams stay open for five seconds after a question; how many questions that is depends on the machine.
    let settled = (0..60).any(|_| {
        std::thread::sleep(Duration::from_millis(250));
        served.descriptors() <= descriptors + 2
    });
    assert!(settled, "{descriptors} descriptors, then {}", served.descriptors());
    assert!(count(files()) <= kept + 2, "{kept} files, then {}", count(files()));
}
