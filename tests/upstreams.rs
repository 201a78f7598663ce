//! Upstreams that misbehave: wrong, late, forged, refused, silent; and what a flood of misses leaves behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock and at its own process"
)]

#[path = "support/encrypted.rs"]
mod encrypted;
mod support;

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use interdict::clock::Clock;
use interdict::dns::{CanonicalName, Name, RecordType};
use interdict::query::{self, Backlog, Sink, Transport, Worker};
use interdict::resolve::{Ask, Config, Failure, Forwarder, Route};
use interdict::telemetry::Collect;
use support::{Site, query, read_framed};

/// One query as an upstream gets it.
struct Asked {
    packet: Vec<u8>,
    tcp: bool,
    /// How many came before it.
    number: usize,
}

/// What an upstream sends back: the wait before each datagram, and its bytes.
type Replies = Vec<(Duration, Vec<u8>)>;

/// An upstream that answers as a script says.
struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(u16, u16, bool)>>>,
    stop: Arc<AtomicBool>,
}

impl Scripted {
    fn start(script: impl Fn(&Asked) -> Replies + Send + Sync + 'static) -> Self {
        let (udp, tcp) = support::sockets();
        let address = udp.local_addr().unwrap();
        let upstream = Self { address, asked: Arc::default(), stop: Arc::default() };
        let script = Arc::new(script);
        let heard = |asked: &Mutex<Vec<_>>, packet: &[u8], peer: SocketAddr, tcp| {
            let mut asked = asked.lock().unwrap();
            asked.push((u16::from_be_bytes([packet[0], packet[1]]), peer.port(), tcp));
            Asked { packet: packet.to_vec(), tcp, number: asked.len() - 1 }
        };
        let (asked, stop, spoken) =
            (Arc::clone(&upstream.asked), Arc::clone(&upstream.stop), Arc::clone(&script));
        udp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        std::thread::spawn(move || {
            let udp = Arc::new(udp);
            let mut buffer = [0; 4096];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, peer)) = udp.recv_from(&mut buffer) else { continue };
                let replies = spoken(&heard(&asked, &buffer[..length], peer, false));
                let send = {
                    let udp = Arc::clone(&udp);
                    move |replies: Replies| {
                        for (wait, bytes) in replies {
                            std::thread::sleep(wait);
                            let _gone = udp.send_to(&bytes, peer).is_err();
                        }
                    }
                };
                if replies.iter().any(|(wait, _)| !wait.is_zero()) {
                    std::thread::spawn(move || send(replies));
                } else {
                    send(replies);
                }
            }
        });
        let (asked, stop) = (Arc::clone(&upstream.asked), Arc::clone(&upstream.stop));
        tcp.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok((mut stream, peer)) = tcp.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                let Some(packet) = read_framed(&mut stream) else { continue };
                for (wait, bytes) in script(&heard(&asked, &packet, peer, true)) {
                    std::thread::sleep(wait);
                    let framed = [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
                    let _gone = stream.write_all(&framed).is_err();
                }
            }
        });
        upstream
    }

    fn config(&self) -> Config {
        config(&[self.address])
    }

    /// Queries so far.
    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Asked {
    /// An answer of 192.0.2.7.
    fn answer(&self) -> Vec<u8> {
        self.with(0x8180, Some([192, 0, 2, 7]))
    }

    fn with(&self, flags: u16, address: Option<[u8; 4]>) -> Vec<u8> {
        let end = 12 + self.packet[12..].iter().position(|&byte| byte == 0).unwrap() + 5;
        let mut out = self.packet[..2].to_vec();
        out.extend(flags.to_be_bytes());
        out.extend([0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
        out.extend(&self.packet[12..end]);
        if let Some(address) = address {
            out.extend(b"\xC0\x0C\0\x01\0\x01\0\0\x01\x2C\0\x04");
            out.extend(address);
        }
        out
    }

    /// The answer, but under the `by`-th id after the right one.
    fn under_another_id(&self, by: u16) -> Vec<u8> {
        let mut out = self.answer();
        let id = u16::from_be_bytes([out[0], out[1]]).wrapping_add(by);
        out[..2].copy_from_slice(&id.to_be_bytes());
        out
    }

    fn has_opt(&self) -> bool {
        self.packet[11] == 1
    }
}

fn now(bytes: Vec<u8>) -> (Duration, Vec<u8>) {
    (Duration::ZERO, bytes)
}

fn config(servers: &[SocketAddr]) -> Config {
    let servers = servers.iter().map(|address| format!("udp://{address}").parse().unwrap()).collect();
    Config { servers, timeout: Duration::from_millis(400), ..Config::default() }
}

/// A forwarder and a runtime for its conversations over TCP.
struct Asker {
    forwarder: Forwarder,
    _runtime: tokio::runtime::Runtime,
}

type Outcome = Result<Vec<u8>, Failure>;

impl Asker {
    fn new(config: Config) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let forwarder = Forwarder::start(config, Clock::system(), runtime.handle().clone()).unwrap();
        Self { forwarder, _runtime: runtime }
    }

    fn ask(&self, name: &str, told: &mpsc::SyncSender<(String, Outcome)>) {
        let (told, name) = (told.clone(), name.to_owned());
        let canonical = CanonicalName::from(&name.parse::<Name>().unwrap());
        let ask =
            Ask { name: &canonical, record_type: RecordType::A, dnssec_ok: false, checking_disabled: false };
        self.forwarder.ask(
            ask,
            Box::new(move |outcome| {
                told.send((name, outcome.map(|response| response.message.to_vec()))).unwrap()
            }),
        );
    }

    /// What comes of all of these, asked together. Panics when somebody is never told, or told twice.
    fn outcomes(&self, names: &[&str]) -> HashMap<String, Outcome> {
        let (told, outcomes) = mpsc::sync_channel(2 * names.len());
        names.iter().for_each(|name| self.ask(name, &told));
        drop(told);
        let mut all = HashMap::new();
        for _ in names {
            let (name, outcome) = outcomes.recv_timeout(Duration::from_secs(6)).expect("somebody is told");
            assert!(all.insert(name, outcome).is_none(), "told twice");
        }
        all
    }

    fn outcome(&self, name: &str) -> Outcome {
        self.outcomes(&[name]).remove(name).unwrap()
    }

    /// The last four bytes of the answer: its address.
    fn address(&self, name: &str) -> [u8; 4] {
        *self.outcome(name).expect("an answer").last_chunk().unwrap()
    }

    fn metric(&self, name: &str, upstream: SocketAddr, reason: Option<&str>) -> u64 {
        let mut samples = Vec::new();
        self.forwarder.collect(&mut samples);
        let upstream = format!("udp://{upstream}");
        let labels: Vec<&str> = std::iter::once(upstream.as_str()).chain(reason).collect();
        let found = samples.iter().find(|sample| sample.metric.name == name && sample.labels == labels);
        found.unwrap_or_else(|| panic!("{name} {labels:?}")).value as u64
    }

    fn failures(&self, upstream: &Scripted, reason: &str) -> u64 {
        self.metric("interdict_upstream_failures_total", upstream.address, Some(reason))
    }
}

const GOOD: [u8; 4] = [192, 0, 2, 7];

// --- Forged and broken answers ---

#[test]
fn only_the_answer_to_the_question_is_taken() {
    let upstream = Scripted::start(|asked| {
        let bad = |bytes: Vec<u8>| {
            let mut bytes = bytes;
            let length = bytes.len();
            bytes[length - 1] = 66;
            bytes
        };
        let mut other_question = bad(asked.answer());
        other_question[13] ^= 1;
        let mut query = bad(asked.answer());
        query[2] &= 0x7F;
        let mut cut = bad(asked.answer());
        cut.truncate(cut.len() - 3);
        let wrong = [bad(asked.under_another_id(1)), other_question, query, cut, vec![], vec![1]];
        wrong.into_iter().map(now).chain([now(asked.answer())]).collect()
    });
    let asker = Asker::new(upstream.config());
    assert_eq!(asker.address("a.example"), GOOD);
    assert_eq!(asker.failures(&upstream, "mismatch"), 6);
    assert_eq!(upstream.count(), 1, "no need to ask again");
}

/// Long enough that chance does not spare it.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz.example";

#[test]
fn the_letters_of_names_are_mixed_and_come_back_small() {
    let seen: Arc<Mutex<HashSet<Vec<u8>>>> = Arc::default();
    let names = Arc::clone(&seen);
    let upstream = Scripted::start(move |asked| {
        names.lock().unwrap().insert(asked.packet[12..40].to_vec());
        vec![now(asked.answer())]
    });
    let asker = Asker::new(upstream.config());
    for _ in 0..20 {
        assert_eq!(asker.address(LETTERS), GOOD);
    }
    assert_eq!(seen.lock().unwrap().len(), 20, "each time others");
    assert_eq!(upstream.count(), 20);
}

#[test]
fn a_server_that_keeps_no_letters_is_asked_twice_once() {
    let upstream = Scripted::start(|asked| {
        let mut folded = asked.answer();
        folded[12..47].make_ascii_lowercase();
        vec![now(folded)]
    });
    let asker = Asker::new(upstream.config());
    for _ in 0..10 {
        assert_eq!(asker.address(LETTERS), GOOD);
    }
    assert_eq!(upstream.count(), 11);
    assert_eq!(asker.failures(&upstream, "timeout"), 0);
}

#[test]
fn who_guesses_port_and_id_but_not_the_letters_has_guessed_nothing() {
    let upstream = Scripted::start(|asked| {
        let mut forged = asked.answer();
        forged[12..47].make_ascii_lowercase();
        *forged.last_mut().unwrap() = 66;
        let forged = (asked.number == 0).then(|| now(forged));
        forged.into_iter().chain([now(asked.answer())]).collect()
    });
    let asker = Asker::new(upstream.config());
    assert_eq!(asker.address(LETTERS), GOOD);
}

#[test]
fn a_flood_of_wrong_ids_ends_on_a_connection_where_no_forger_follows() {
    let upstream = Scripted::start(|asked| match asked.tcp {
        // Every guess but the right one, and the right one too late to be believed.
        false => (1..200).map(|by| now(asked.under_another_id(by))).chain([now(asked.answer())]).collect(),
        true => vec![now(asked.with(0x8180, Some([192, 0, 2, 9])))],
    });
    let asker = Asker::new(upstream.config());
    assert_eq!(asker.address("a.example"), [192, 0, 2, 9]);
    assert_eq!(asker.failures(&upstream, "mismatch"), 8, "the socket was closed after these");
    assert_eq!(asker.metric("interdict_upstream_sockets", upstream.address, None), 0);
    let asked = upstream.asked.lock().unwrap().clone();
    assert_eq!(asked.iter().map(|(_, _, tcp)| *tcp).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn every_answer_twice_is_no_forgery() {
    let upstream = Scripted::start(|asked| vec![now(asked.answer()), now(asked.answer())]);
    let asker = Asker::new(upstream.config());
    let names: Vec<String> = (0..500).map(|number| format!("n{number}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(asker.outcomes(&names).values().all(Result::is_ok));
    assert!(upstream.asked.lock().unwrap().iter().all(|(_, _, tcp)| !tcp), "no socket was given up");
}

#[test]
fn ids_and_ports_are_spread_and_change() {
    let upstream = Scripted::start(|asked| vec![now(asked.answer())]);
    let asker = Asker::new(upstream.config());
    for round in 0..200 {
        let names: Vec<String> = (0..100).map(|number| format!("n{number}.r{round}.example")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(asker.outcomes(&names).values().all(Result::is_ok));
    }
    let asked = upstream.asked.lock().unwrap().clone();
    let ids: HashSet<u16> = asked.iter().map(|(id, ..)| *id).collect();
    // 20,000 draws of 65,536 meet some 17,200 different ids.
    assert!((16_500..18_000).contains(&ids.len()), "{} ids", ids.len());
    let steps = asked.windows(2).filter(|pair| pair[1].0 == pair[0].0.wrapping_add(1)).count();
    assert!(steps < 20, "{steps} ids follow the one before");
    let mut uses: HashMap<u16, usize> = HashMap::new();
    asked.iter().for_each(|(_, port, _)| *uses.entry(*port).or_default() += 1);
    assert!(uses.len() > 140, "{} ports: the pool, and those that took over", uses.len());
    let first: HashSet<u16> = asked[..128].iter().map(|(_, port, _)| *port).collect();
    assert!(first.len() > 60, "{} ports for the first 128 questions", first.len());
    let repeated = asked.windows(2).filter(|pair| pair[1].1 == pair[0].1).count();
    assert!(repeated < 400, "{repeated} questions in a row from one port");
    assert!(asker.metric("interdict_upstream_sockets", upstream.address, None) <= 128);
}

// --- Networks and servers that fail ---

#[test]
fn a_closed_port_fails_over_at_once() {
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let upstream = Scripted::start(|asked| vec![now(asked.answer())]);
    let patient = Duration::from_secs(2);
    let asker = Asker::new(Config { timeout: patient, ..config(&[closed, upstream.address]) });
    let began = Instant::now();
    assert_eq!(asker.address("a.example"), GOOD);
    assert!(began.elapsed() < patient, "no wait for an answer that cannot come");
    // One question in twenty goes to the other at once.
    let failed = || asker.metric("interdict_upstream_failures_total", closed, Some("network")) >= 1;
    for number in (0..50).take_while(|_| !failed()) {
        assert_eq!(asker.address(&format!("n{number}.example")), GOOD);
    }
    assert!(failed());
    let alone = Asker::new(Config { timeout: patient, ..config(&[closed]) });
    let began = Instant::now();
    assert_eq!(alone.outcome("a.example"), Err(Failure::Network));
    assert!(began.elapsed() < patient);
}

#[test]
fn a_silent_server_is_given_up_and_then_asked_last_until_it_answers() {
    let silent = Arc::new(AtomicBool::new(true));
    let quiet = Arc::clone(&silent);
    let first = Scripted::start(move |asked| match quiet.load(Ordering::Relaxed) {
        true => vec![],
        false => vec![now(asked.with(0x8180, Some([192, 0, 2, 1])))],
    });
    let second = Scripted::start(|asked| vec![now(asked.answer())]);
    let asker = Asker::new(config(&[first.address, second.address]));
    let healthy = || asker.metric("interdict_upstream_healthy", first.address, None) == 1;
    // It wastes a patience each time it is asked, until the third. One question in twenty goes to the other at once.
    for number in 0..50 {
        assert_eq!(asker.address(&format!("n{number}.example")), GOOD);
        if !healthy() {
            break;
        }
    }
    assert!(!healthy());
    assert_eq!(asker.failures(&first, "timeout"), 3);
    silent.store(false, Ordering::Relaxed);
    let began = Instant::now();
    while !healthy() {
        assert!(began.elapsed() < Duration::from_secs(10), "a probe finds out that it is back");
        assert!(asker.outcome("d.example").is_ok());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn when_nobody_answers_the_asker_is_told_before_the_deadline() {
    let upstream = Scripted::start(|_| vec![]);
    let asker = Asker::new(upstream.config());
    let began = Instant::now();
    assert_eq!(asker.outcome("a.example"), Err(Failure::Timeout));
    assert!(began.elapsed() < Duration::from_millis(4500) && began.elapsed() >= Duration::from_millis(800));
    assert_eq!(upstream.count(), 2, "two rounds");
    let nobody = Asker::new(config(&[]));
    assert_eq!(nobody.outcome("a.example"), Err(Failure::NoUpstream));
}

#[test]
fn the_deadline_ends_what_many_slow_servers_would_prolong() {
    let silent: Vec<Scripted> = (0..5).map(|_| Scripted::start(|_| vec![])).collect();
    let servers: Vec<SocketAddr> = silent.iter().map(|upstream| upstream.address).collect();
    let deadline = Duration::from_millis(900);
    let asker = Asker::new(Config { deadline, ..config(&servers) });
    let began = Instant::now();
    assert_eq!(asker.outcome("a.example"), Err(Failure::Timeout));
    assert!(began.elapsed() >= deadline && began.elapsed() < deadline * 2);
    assert_eq!(silent.iter().map(Scripted::count).sum::<usize>(), 3);
}

#[test]
fn an_answer_that_comes_after_the_retry_is_taken_once() {
    // The first query is answered after the second was sent; the second is answered later still.
    let upstream = Scripted::start(|asked| match asked.number {
        0 => vec![(Duration::from_millis(600), asked.with(0x8180, Some([192, 0, 2, 1])))],
        1 => vec![(Duration::from_millis(300), asked.with(0x8180, Some([192, 0, 2, 2])))],
        _ => vec![now(asked.answer())],
    });
    let asker = Asker::new(upstream.config());
    assert_eq!(asker.address("a.example"), [192, 0, 2, 1], "the late answer is an answer");
    assert_eq!(upstream.count(), 2);
    // Until the second answer has come as well.
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(asker.address("b.example"), GOOD);
    assert_eq!(asker.failures(&upstream, "mismatch"), 0, "late is not forged");
    assert_eq!(asker.failures(&upstream, "timeout"), 1);
}

#[test]
fn a_server_that_cannot_help_is_not_the_last_word_while_there_is_another() {
    let failing = Scripted::start(|asked| vec![now(asked.with(0x8182, None))]);
    let good = Scripted::start(|asked| vec![now(asked.answer())]);
    let asker = Asker::new(config(&[failing.address, good.address]));
    assert_eq!(asker.address("a.example"), GOOD);
    // Now and then the other one is asked first.
    let before = failing.count();
    let alone = Asker::new(failing.config());
    let answer = alone.outcome("b.example").unwrap();
    assert_eq!(answer[3] & 0x0F, 2, "its own SERVFAIL, as nobody knows better");
    assert_eq!(alone.failures(&failing, "servfail"), 1);
    assert_eq!(failing.count(), before + 1, "not asked again at once");
}

#[test]
fn a_server_that_knows_no_edns_is_asked_without() {
    let upstream = Scripted::start(|asked| match asked.has_opt() {
        true => vec![now(asked.with(0x8181, None))],
        false => vec![now(asked.answer())],
    });
    let asker = Asker::new(upstream.config());
    assert_eq!(asker.address("a.example"), GOOD);
    assert_eq!(asker.address("b.example"), GOOD);
    assert_eq!(upstream.count(), 3, "the second question does not try EDNS again");
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp_and_a_broken_connection_is_a_failure() {
    let upstream = Scripted::start(|asked| match asked.tcp {
        true if asked.packet[13] == b'x' => vec![now(vec![1, 2, 3])],
        true => vec![now(asked.answer())],
        false => vec![now(asked.with(0x8380, None))],
    });
    let asker = Asker::new(upstream.config());
    assert_eq!(asker.address("a.example"), GOOD);
    assert_eq!(asker.metric("interdict_upstream_tcp_total", upstream.address, None), 1);
    assert_eq!(asker.outcome("x.example"), Err(Failure::Network));
}

#[test]
fn a_zone_with_servers_of_its_own_is_asked_there() {
    let inside = Scripted::start(|asked| vec![now(asked.with(0x8180, Some([10, 0, 0, 1])))]);
    let outside = Scripted::start(|asked| vec![now(asked.answer())]);
    let routes = ["corp.example", "deep.corp.example"]
        .into_iter()
        .zip([inside.address, outside.address])
        .map(|(zone, address)| Route { zone: zone.parse().unwrap(), servers: config(&[address]).servers });
    let asker = Asker::new(Config { routes: routes.collect(), ..outside.config() });
    for (name, address) in [
        ("corp.example", [10, 0, 0, 1]),
        ("a.corp.example", [10, 0, 0, 1]),
        ("a.deep.corp.example", GOOD),
        ("acorp.example", GOOD),
        ("example", GOOD),
    ] {
        assert_eq!(asker.address(name), address, "{name}");
    }
}

#[test]
fn a_forwarder_that_is_let_go_lets_go_of_everything() {
    let upstream = Scripted::start(|_| vec![]);
    let asker = Asker::new(upstream.config());
    let (told, outcomes) = mpsc::sync_channel(1);
    asker.ask("a.example", &told);
    drop(told);
    drop(asker);
    // The question goes with the thread that would have heard its answer.
    assert_eq!(outcomes.recv_timeout(Duration::from_secs(5)), Err(mpsc::RecvTimeoutError::Disconnected));
}

// --- Late upstreams ---

/// Asks one after another; returns what each took.
fn times(asker: &Asker, names: impl Iterator<Item = String>) -> Vec<Duration> {
    names
        .map(|name| {
            let began = Instant::now();
            assert!(asker.outcome(&name).is_ok(), "{name}");
            began.elapsed()
        })
        .collect()
}

fn names(zone: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("n{number}.{zone}.example"))
}

fn hedges(asker: &Asker, upstream: &Scripted, result: &str) -> u64 {
    asker.metric("interdict_upstream_hedges_total", upstream.address, Some(result))
}

/// Once in twenty: nothing comes, or it takes 300 ms.
fn stumbling(is_lost: bool) -> Scripted {
    Scripted::start(move |asked| match asked.number % 20 {
        19 if is_lost => vec![],
        19 => vec![(Duration::from_millis(300), asked.answer())],
        _ => vec![now(asked.answer())],
    })
}

#[test]
fn what_one_upstream_is_late_with_another_answers() {
    for is_lost in [true, false] {
        let first = stumbling(is_lost);
        let second = Scripted::start(|asked| vec![(Duration::from_millis(20), asked.answer())]);
        let asker = Asker::new(config(&[first.address, second.address]));
        times(&asker, names("warm", 100)).clear();
        let mut took = times(&asker, names("asked", 1000));
        took.sort();
        let (p99, slowest) = (took[989], took[999]);
        eprintln!("lost {is_lost}: median {:?}, p99 {p99:?}, slowest {slowest:?}", took[500]);
        // Late after 10 ms, then 20 ms; alone it is 400 ms or 300.
        assert!(p99 < Duration::from_millis(100), "{p99:?}");
        // While late answers are still noted, the other is at times the faster of the two.
        let expected = if is_lost { 20 } else { 2 };
        assert!(hedges(&asker, &first, "won") > expected, "{}", hedges(&asker, &first, "won"));
        let asked = first.count() + second.count();
        assert!(asked <= 1100 + 110 + 10 + 30, "{asked} for 1100");
    }
}

#[test]
fn when_everybody_is_slow_one_question_in_ten_is_asked_twice_at_most() {
    let slow = Arc::new(AtomicBool::new(false));
    let upstream = || {
        let slow = Arc::clone(&slow);
        Scripted::start(move |asked| match slow.load(Ordering::Relaxed) {
            true => vec![(Duration::from_millis(250), asked.answer())],
            false => vec![now(asked.answer())],
        })
    };
    let (first, second) = (upstream(), upstream());
    let asker = Asker::new(config(&[first.address, second.address]));
    times(&asker, names("warm", 300)).clear();
    let hedged = |what| hedges(&asker, &first, what) + hedges(&asker, &second, what);
    let asked = || first.count() + second.count();
    let before = (asked(), hedged("won") + hedged("lost"));
    slow.store(true, Ordering::Relaxed);
    let all: Vec<String> = names("slow", 400).collect();
    // All before anything is learnt of it.
    let outcomes = asker.outcomes(&all.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(outcomes.values().all(Result::is_ok));
    let (twice, withheld) = (hedged("won") + hedged("lost") - before.1, hedged("withheld"));
    assert!((1..=20 + 40).contains(&twice), "{twice} twice");
    // Where a processor is so busy that an answer takes twice its time, a question is asked again for that, and for nothing else.
    let late = asker.failures(&first, "timeout") + asker.failures(&second, "timeout");
    let extra = asked() as u64 - before.0 as u64 - 400;
    assert!((1..=late + 20 + 40).contains(&extra), "{extra} more, {late} late");
    assert!(withheld > 200, "{withheld}");
}

#[test]
fn nobody_else_is_asked_where_there_is_nobody_else() {
    let (alone, routed) = (stumbling(false), stumbling(false));
    let route = Route { zone: "corp.example".parse().unwrap(), servers: config(&[routed.address]).servers };
    let asker = Asker::new(Config { routes: vec![route], ..alone.config() });
    times(&asker, names("outside", 100)).clear();
    times(&asker, names("corp", 100)).clear();
    assert_eq!((alone.count(), routed.count()), (100, 100));
}

#[test]
fn of_two_that_are_asked_the_first_good_answer_counts() {
    let lies: [fn(&Asked) -> Vec<u8>; 4] = [
        |asked| asked.with(0x8182, None),
        |asked| asked.with(0x8185, None),
        |asked| asked.under_another_id(1),
        // About another name.
        |asked| {
            let mut answer = asked.with(0x8180, None);
            answer[7] = 1;
            answer.extend(b"\x04bank\x07example\0\0\x01\0\x01\0\0\x01\x2C\0\x04\xC0\0\x02\x42");
            answer
        },
    ];
    for lie in lies {
        let late = Scripted::start(|asked| match asked.packet[13].to_ascii_lowercase() {
            b'l' => vec![(Duration::from_millis(150), asked.answer())],
            _ => vec![now(asked.answer())],
        });
        // Never the fastest.
        let lying = Scripted::start(move |asked| match asked.packet[13].to_ascii_lowercase() {
            b'l' => vec![now(lie(asked))],
            _ => vec![(Duration::from_millis(50), asked.answer())],
        });
        let asker = Asker::new(config(&[late.address, lying.address]));
        times(&asker, names("warm", 60)).clear();
        for number in 0..5 {
            assert_eq!(asker.address(&format!("late{number}.example")), GOOD);
        }
        assert!(hedges(&asker, &late, "lost") > 0);
    }
}

// --- What clients see ---

/// What comes of the questions of one client.
#[derive(Debug, Default)]
struct SeenByClient {
    /// How often which response code came with which extended error.
    replies: std::collections::BTreeMap<(u8, Option<u16>), usize>,
    /// How long each reply took; shortest first.
    took: Vec<Duration>,
    lost: usize,
    lies: usize,
}

/// What no honest server says of any name.
const LIE: [u8; 4] = [192, 0, 2, 66];

/// Asks for `count` names one after the other, so far apart, without waiting for replies; each may take seven seconds.
fn ask_apart(server: SocketAddr, prefix: &str, count: u16, apart: Duration) -> SeenByClient {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let asking = socket.try_clone().unwrap();
    let prefix = prefix.to_owned();
    let sent = std::thread::spawn(move || {
        let asked = |id| {
            std::thread::sleep(apart);
            asking
                .send_to(&query(id, 0x0100, &format!("{prefix}{id}.example"), 1, Some(1232)), server)
                .unwrap();
            Instant::now()
        };
        (0..count).map(asked).collect::<Vec<_>>()
    });
    let (mut came, mut seen) = (vec![None; usize::from(count)], SeenByClient::default());
    let end = Instant::now() + apart * u32::from(count) + Duration::from_secs(7);
    let mut buffer = [0; 4096];
    while came.contains(&None) && Instant::now() < end {
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let reply = hickory_proto::op::Message::from_vec(&buffer[..length]).unwrap();
        let place = &mut came[usize::from(reply.metadata.id)];
        assert!(place.is_none(), "a second reply");
        *place = Some(Instant::now());
        let edns = reply.edns.as_ref().and_then(|edns| edns.option(15.into()));
        let error = edns.map(|option| {
            let bytes = Vec::<u8>::try_from(option).unwrap();
            u16::from_be_bytes([bytes[0], bytes[1]])
        });
        let rcode = u16::from(reply.metadata.response_code) as u8;
        *seen.replies.entry((rcode, error)).or_default() += 1;
        seen.lies += usize::from(buffer[..length].windows(4).any(|part| part == LIE));
    }
    let sent = sent.join().unwrap();
    seen.took = sent.iter().zip(&came).filter_map(|(sent, came)| came.map(|came| came - *sent)).collect();
    seen.took.sort_unstable();
    seen.lost = came.iter().filter(|came| came.is_none()).count();
    seen
}

/// An upstream's fault, and what a site that asks it alone has to tell its clients: the only replies that may come.
struct Fault {
    name: &'static str,
    /// As in the configuration.
    server: String,
    alone: &'static [(u8, Option<u16>)],
    /// Keeps it running.
    _upstream: Option<Scripted>,
}

const ANSWERED: (u8, Option<u16>) = (0, None);
const NOT_IN_TIME: (u8, Option<u16>) = (2, Some(22));
const BROKEN: (u8, Option<u16>) = (2, Some(23));
/// What a server itself says is passed on.
const SAID: (u8, Option<u16>) = (2, None);

fn faults() -> Vec<Fault> {
    let over = |scheme: &str, name, alone, script: Box<dyn Fn(&Asked) -> Replies + Send + Sync>| {
        let upstream = Scripted::start(script);
        let server = format!("{scheme}://{}", upstream.address);
        Fault { name, server, alone, _upstream: Some(upstream) }
    };
    let udp = |name, alone, script: fn(&Asked) -> Replies| over("udp", name, alone, Box::new(script));
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let resetting = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let reset = resetting.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in resetting.incoming() {
            let stream = socket2::SockRef::from(stream.as_ref().unwrap());
            // Closed with a reset instead of an end.
            stream.set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    let began = Instant::now();
    let named = |name, server: String, alone| Fault { name, server, alone, _upstream: None };
    vec![
        named("dead: its port is closed", format!("udp://{closed}"), &[BROKEN]),
        udp("dead: silent", &[NOT_IN_TIME], |_| vec![]),
        udp("slow: after 0.7 s", &[ANSWERED], |asked| vec![(Duration::from_millis(700), asked.answer())]),
        udp("slow: after 6 s", &[NOT_IN_TIME], |asked| vec![(Duration::from_secs(6), asked.answer())]),
        udp("lies: wrong id", &[NOT_IN_TIME, BROKEN], |asked| {
            let mut lie = asked.with(0x8180, Some(LIE));
            lie[0] ^= 1;
            vec![now(lie)]
        }),
        udp("lies: another question", &[NOT_IN_TIME, BROKEN], |asked| {
            let mut lie = asked.with(0x8180, Some(LIE));
            lie[13] ^= 3;
            vec![now(lie)]
        }),
        udp("truncated, and over TCP too", &[NOT_IN_TIME, BROKEN], |asked| {
            vec![now(asked.with(0x8380, None))]
        }),
        udp("truncated, and nothing over TCP", &[NOT_IN_TIME, BROKEN], |asked| match asked.tcp {
            true => vec![],
            false => vec![now(asked.with(0x8380, None))],
        }),
        udp("garbage", &[NOT_IN_TIME, BROKEN], |asked| {
            vec![now(asked.packet.iter().map(|byte| byte ^ 0x55).collect())]
        }),
        udp("cut short", &[NOT_IN_TIME, BROKEN], |asked| {
            let mut cut = asked.with(0x8180, Some(LIE));
            cut.truncate(cut.len() - 3);
            vec![now(cut)]
        }),
        udp("says SERVFAIL", &[SAID], |asked| vec![now(asked.with(0x8182, None))]),
        named("resets TCP", format!("tcp://{reset}"), &[BROKEN]),
        over(
            "udp",
            "flaps every 0.3 s",
            &[ANSWERED, NOT_IN_TIME],
            Box::new(move |asked: &Asked| match began.elapsed().as_millis() / 300 % 2 {
                0 => vec![now(asked.answer())],
                _ => vec![],
            }),
        ),
    ]
}

/// A site that asks these and nobody else, with the settings that it ships with.
fn asking(servers: &[&str], more: &str) -> Site {
    let site = Site::prepare("", Clock::system());
    let text = support::read(&site.config);
    let begin = text.find("servers = ").unwrap();
    let end = begin + text[begin..].find("[policy]").unwrap();
    let servers = servers.iter().map(|server| format!("{server:?}")).collect::<Vec<_>>().join(", ");
    let whole = format!("{}servers = [{servers}]\n{more}{}", &text[..begin], &text[end..]);
    std::fs::write(&site.config, whole).unwrap();
    site.started()
}

/// Each fault of an upstream with the program as it ships: alone, where nothing can be had, and as the first of two. Prints a table.
#[test]
fn whatever_an_upstream_does_clients_hear_the_truth_in_time_or_that_there_is_none() {
    let elsewhere = encrypted::Encrypted::start("");
    let stranger = elsewhere.site.running.as_ref().unwrap().addresses[1];
    let ca = format!("ca = \"{}\"\n", elsewhere.site.path("cert.pem").display());
    let mut faults = faults();
    faults.push(Fault {
        name: "TLS under another name",
        server: format!("tls://{stranger}#dns.other.example"),
        alone: &[BROKEN],
        _upstream: None,
    });
    let rows: Vec<_> = faults
        .into_iter()
        .map(|fault| {
            let ca = ca.clone();
            std::thread::spawn(move || {
                let good = Scripted::start(|asked| vec![now(asked.answer())]);
                let alone = asking(&[&fault.server], &ca);
                let beside = asking(&[&fault.server, &format!("udp://{}", good.address)], &ca);
                let asked = |site: &Site| {
                    let address = site.address();
                    std::thread::spawn(move || ask_apart(address, "n", 20, Duration::from_millis(50)))
                };
                let asked = [asked(&alone), asked(&beside)];
                // In the midst of it.
                std::thread::sleep(Duration::from_millis(500));
                for site in [&alone, &beside] {
                    let began = Instant::now();
                    assert_eq!(site.rcode("tiktok.com"), "Non-Existent Domain", "{}", fault.name);
                    assert!(
                        began.elapsed() < Duration::from_secs(1),
                        "{}: a ban waits for nobody",
                        fault.name
                    );
                }
                let [alone, beside] = asked.map(|asked| asked.join().unwrap());
                (fault, alone, beside)
            })
        })
        .collect();
    for row in rows {
        let (fault, alone, beside) = row.join().unwrap();
        for (how, seen) in [("alone", &alone), ("with another", &beside)] {
            let replies: Vec<String> = seen
                .replies
                .iter()
                .map(|((rcode, error), count)| {
                    let error = error.map_or(String::new(), |error| format!(" EDE {error}"));
                    let code =
                        if *rcode == 0 { "NOERROR".to_owned() } else { format!("rcode {rcode}{error}") };
                    format!("{count} {code}")
                })
                .collect();
            let at =
                |share: usize| seen.took.get(seen.took.len() * share / 100).map_or(0, Duration::as_millis);
            let most = seen.took.last().map_or(0, Duration::as_millis);
            eprintln!(
                "{:32} {how:12} {:32} median {:4} ms, longest {most:4} ms, lost {}",
                fault.name,
                replies.join(", "),
                at(50),
                seen.lost
            );
            assert_eq!((seen.lost, seen.lies), (0, 0), "{} {how}: {seen:?}", fault.name);
            // Clients give up after five seconds; with another server to ask nobody comes near that.
            let bound = if how == "alone" { 6000 } else { 1500 };
            assert!(most < bound, "{} {how}: {seen:?}", fault.name);
        }
        assert!(alone.replies.keys().all(|reply| fault.alone.contains(reply)), "{}: {alone:?}", fault.name);
        let answered = alone.replies.get(&ANSWERED).copied().unwrap_or(0);
        assert!(!fault.alone.contains(&ANSWERED) || answered >= 12, "{}: {alone:?}", fault.name);
        assert!(beside.replies.keys().eq([&ANSWERED]), "{}: {beside:?}", fault.name);
    }
}

// --- Floods ---

/// A client that asks for many names, so many at once, and hears what comes back.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    buffer: [u8; 4096],
}

impl Client {
    fn new(address: Ipv4Addr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
        Self { socket, server, buffer: [0; 4096] }
    }

    fn send(&self, id: u16, name: &str) {
        self.socket.send_to(&query(id, 0x0100, name, 1, None), self.server).unwrap();
    }

    /// The next reply's id and response code.
    fn reply(&mut self) -> Option<(u16, u8)> {
        let length = self.socket.recv(&mut self.buffer).ok()?;
        assert!(length > 12);
        Some((u16::from_be_bytes([self.buffer[0], self.buffer[1]]), self.buffer[3] & 0x0F))
    }

    /// Asks for `count` names of their own, `window` at once; every one is answered well.
    fn flood(&mut self, prefix: &str, count: usize, window: usize) {
        let mut sent = 0;
        for heard in 0..count {
            while sent < count && sent - heard < window {
                self.send(sent as u16, &format!("{prefix}{sent}.example"));
                sent += 1;
            }
            assert_eq!(self.reply().expect("a reply").1, 0);
        }
    }
}

/// Open sockets of this process.
fn sockets() -> usize {
    let links =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|link| link.unwrap().path().read_link().ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Misses, and misses before memory is first measured.
const MISSES: usize = 200_000;
const WARM_UP: usize = 50_000;
/// What the rest may add, in KiB. A question that is not forgotten would add 100,000.
const GROWTH: u64 = 4096;

#[test]
fn two_hundred_thousand_misses_leave_memory_and_sockets_as_they_were() {
    // Other tests' memory and sockets are none of its.
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "misses_in_a_process_of_their_own", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by another test"]
fn misses_in_a_process_of_their_own() {
    let site = Site::start("[cache]\nmemory = \"1MiB\"\n", Clock::system());
    let mut client = Client::new(Ipv4Addr::LOCALHOST, site.address());
    let before = sockets();
    client.flood("w", WARM_UP, 100);
    let memory = resident();
    client.flood("n", MISSES - WARM_UP, 100);
    let grown = resident().saturating_sub(memory);
    assert!(grown < GROWTH, "resident memory grew by {grown} KiB");
    let open = sockets() - before;
    assert!(open <= 128, "{open} more sockets than before");
    // Sockets without use are closed.
    let began = Instant::now();
    while sockets() > before {
        assert!(began.elapsed() < Duration::from_secs(10), "{} sockets", sockets() - before);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Three times as many silent names as may be under way, from six clients: each may wait for a share, the rest are told so at once,
/// another client is served as ever, and in the end everybody has a reply.
#[test]
fn a_flood_past_the_bound_is_shed_at_once_and_harms_no_hit_or_block() {
    const BOUND: usize = 10_000;
    // One worker, so that whoever has a reply knows that all queries before were dealt with.
    let site = Site::prepare("", Clock::system());
    let config = support::read(&site.config).replacen("workers = 2", "workers = 1", 1);
    std::fs::write(&site.config, config).unwrap();
    let site = site.started();
    assert_eq!(site.rcode("www.canada.ca"), "No Error");
    let flooders: Vec<Client> =
        (2..8).map(|host| Client::new(Ipv4Addr::new(127, 0, 0, host), site.address())).collect();
    let mut other = Client::new(Ipv4Addr::LOCALHOST, site.address());
    for number in 0..3 * BOUND {
        flooders[number * flooders.len() / (3 * BOUND)]
            .send(number as u16, &format!("silent{number}.example"));
        if number % 100 == 0 {
            for (name, rcode) in [("www.canada.ca", 0), ("tiktok.com", 3)] {
                other.send(7, name);
                assert_eq!(other.reply(), Some((7, rcode)), "{name} after {number}");
            }
        }
    }
    let metric = |name: &str| -> usize {
        let page = site.http("GET", "/metrics", None).1;
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}: {page}")).trim().parse().unwrap()
    };
    let [shed, beyond] = ["overload", "client"]
        .map(|reason| metric(&format!("interdict_dropped_total{{reason=\"{reason}\"}}")));
    assert!((BOUND..=2 * BOUND).contains(&(shed + beyond)), "{shed} and {beyond} of {} shed", 3 * BOUND);
    assert!(shed > 0 && beyond > 0, "{shed} and {beyond}");
    let began = Instant::now();
    // Counted where they are made: the flooder itself does not listen, and its buffer overflows.
    while metric("interdict_replies_total{rcode=\"servfail\"}") < 3 * BOUND {
        assert!(began.elapsed() < Duration::from_secs(10), "everybody gets a reply");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(site.rcode("new.example"), "No Error", "room again");
}

/// A thread whose socket fills drops what it would have to fetch, and nothing else, until fewer wait.
#[test]
fn while_a_crowd_waits_only_misses_are_dropped() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let upstream = support::Upstream::start();
    let engine = support::engine(&upstream, None, runtime.handle());
    let mut worker = engine.thread_worker();
    let mut reply = vec![0; 4096];
    let (told, fetched) = mpsc::sync_channel(8);
    let mut handle = |worker: &mut Worker, name: &str| {
        let told = told.clone();
        let from = query::Asker::at(Ipv4Addr::LOCALHOST.into(), Transport::Udp);
        let later = || -> Sink { Box::new(move |_: &[u8]| told.send(()).unwrap()) };
        worker.handle(&query(1, 0x0100, name, 1, None), from, &mut reply, later)
    };
    worker.begin_batch();
    assert_eq!(handle(&mut worker, "www.canada.ca"), query::Outcome::Later);
    fetched.recv_timeout(Duration::from_secs(5)).unwrap();
    worker.begin_batch();
    worker.note_backlog(Backlog::Full);
    assert_eq!(handle(&mut worker, "new.example"), query::Outcome::Drop);
    for name in ["www.canada.ca", "tiktok.com", "localhost"] {
        assert!(matches!(handle(&mut worker, name), query::Outcome::Reply(_)), "{name}");
    }
    worker.begin_batch();
    worker.note_backlog(Backlog::Empty);
    assert_eq!(handle(&mut worker, "new.example"), query::Outcome::Later);
    fetched.recv_timeout(Duration::from_secs(5)).unwrap();
    upstream.stop();
}

/// The binary, allowed fewer descriptors than its pool of sockets would take.
#[test]
fn few_descriptors_mean_fewer_sockets_and_no_lost_question() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = support::Upstream::start();
    let dir = folder.path().display().to_string();
    let free = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), support::free_port());
    let config = folder.path().join("interdict.toml");
    let text = format!(
        "[server]\nworkers = 1\n[[listener]]\naddress = \"{free}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [upstream]\nservers = [\"udp://{}\"]\n[policy]\nstate = \"{dir}/state\"\n",
        upstream.address
    );
    std::fs::write(&config, text).unwrap();
    let mut running = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 48; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_interdict"), "--config"])
        .arg(&config)
        .arg("serve")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut client = Client::new(Ipv4Addr::LOCALHOST, free);
    client.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let began = Instant::now();
    loop {
        client.send(1, "tiktok.com");
        if client.reply().is_some() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it starts");
    }
    // Replies to earlier tries, on a machine that was slow, are none to what follows.
    assert!((0..200).any(|_| client.reply().is_none()), "they end");
    client.socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    client.flood("n", 20_000, 100);
    running.kill().unwrap();
    running.wait().unwrap();
    let mut said = String::new();
    running.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("no new socket"), "it complains: {said}");
    assert!(said.lines().filter(|line| line.contains("no new socket")).count() == 1, "but not each time");
    upstream.stop();
}
