//! The front ends against clients that mean harm or are merely slow, and on machines with many addresses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use interdict::clock::Clock;
use interdict::listen::{Config, Entrance, Listener, Opened, Protocol, Statistics, Workers, serve_stream};
use interdict::telemetry::Collect;
use support::{Site, Upstream, engine, query, read_framed};
use tokio::sync::watch;

/// A TCP front end with limits of a test's own.
struct Front {
    address: SocketAddr,
    statistics: Arc<Statistics>,
    upstream: Upstream,
    stop: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Front {
    fn start(config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let upstream = Upstream::start();
        let engine = engine(&upstream, None, runtime.handle());
        let statistics = Arc::new(Statistics::default());
        let (stop, stopped) = watch::channel(false);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let _inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (workers, counting) = (Arc::new(Workers::new(engine)), Arc::clone(&statistics));
        let entrance = Entrance {
            listener,
            transport: interdict::query::Transport::Tcp,
            limits: config,
            proxies: Arc::from([]),
            statistics: counting,
            stop: stopped,
        };
        drop(runtime.spawn(serve_stream(entrance, None, workers)));
        drop(_inside);
        Self { address, statistics, upstream, stop, runtime: Some(runtime) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Waits until as many connections have ended for `reason`.
    fn closed(&self, reason: &str, count: f64) {
        let read = || {
            let mut samples = Vec::new();
            self.statistics.collect(&mut samples);
            samples
                .iter()
                .find(|sample| {
                    sample.metric.name == "interdict_connections_closed_total"
                        && sample.labels == ["tcp", reason]
                })
                .map(|sample| sample.value)
        };
        for _ in 0..200 {
            if read() == Some(count) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{reason}: {:?}, not {count}", read());
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.send(true).unwrap();
        self.upstream.stop();
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(1));
    }
}

fn ask(stream: &mut TcpStream, name: &str) -> Option<Vec<u8>> {
    send(stream, name).ok()?;
    read_framed(stream)
}

fn send(stream: &mut TcpStream, name: &str) -> std::io::Result<()> {
    let bytes = query(1, 0x0100, name, 1, None);
    stream.write_all(&(bytes.len() as u16).to_be_bytes())?;
    stream.write_all(&bytes)
}

/// How long until the server ends the connection.
fn ended(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    let mut rest = Vec::new();
    // A reset is an end too.
    let _end = stream.read_to_end(&mut rest);
    began.elapsed()
}

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn an_idle_connection_is_closed_and_a_used_one_is_not() {
    let front = Front::start(Config { idle: SHORT, ..Config::default() });
    let (silent, mut used) = (front.connect(), front.connect());
    for _ in 0..6 {
        assert!(ask(&mut used, "wechat.com").is_some());
        std::thread::sleep(SHORT / 3);
    }
    assert!(ended(silent) < SHORT);
    front.closed("idle", 1.0);
    assert!(ask(&mut used, "wechat.com").is_some());
}

#[test]
fn a_query_sent_byte_by_byte_must_be_whole_in_time() {
    let front = Front::start(Config { idle: SHORT, ..Config::default() });
    let mut slow = front.connect();
    let bytes = [&[0, 28][..], &query(1, 0x0100, "wechat.com", 1, None)].concat();
    let began = Instant::now();
    for byte in bytes {
        // Each byte comes well before the idle time; together they take three times as long.
        std::thread::sleep(SHORT / 9);
        if slow.write_all(&[byte]).is_err() {
            break;
        }
    }
    assert!(began.elapsed() < SHORT * 4);
    front.closed("idle", 1.0);
}

#[test]
fn a_connection_over_the_cap_is_closed_at_once_and_places_come_back() {
    let front = Front::start(Config { connections: 3, ..Config::default() });
    let mut all: Vec<TcpStream> = (0..3).map(|_| front.connect()).collect();
    for stream in &mut all {
        assert!(ask(stream, "wechat.com").is_some());
    }
    assert!(ended(front.connect()) < SHORT);
    front.closed("limit", 1.0);
    assert!(ask(&mut all[0], "wechat.com").is_some(), "the others stay");
    drop(all.pop());
    front.closed("client", 1.0);
    assert!(ask(&mut front.connect(), "wechat.com").is_some());
}

#[test]
fn a_connection_ends_with_its_lifetime_however_busy() {
    let front = Front::start(Config { lifetime: SHORT, ..Config::default() });
    let mut busy = front.connect();
    let began = Instant::now();
    while ask(&mut busy, "wechat.com").is_some() {
        assert!(began.elapsed() < SHORT * 10);
    }
    assert!(began.elapsed() >= SHORT);
    front.closed("lifetime", 1.0);
}

#[test]
fn a_client_that_takes_no_replies_is_cut_off_and_harms_nobody() {
    let front = Front::start(Config { write: SHORT, ..Config::default() });
    let mut slow = front.connect();
    slow.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut sent = 0;
    // Each reply is 1.6 KiB; the buffers of both sides are full after a few MiB.
    while sent < 200_000 && send(&mut slow, "large.example").is_ok() {
        sent += 1;
    }
    assert!(sent < 200_000, "nothing stopped it");
    front.closed("slow-reader", 1.0);
    assert!(ask(&mut front.connect(), "wechat.com").is_some());
}

#[test]
fn more_waiting_queries_than_the_pipeline_holds_are_answered_in_turn() {
    let front = Front::start(Config { pipeline: 4, ..Config::default() });
    let mut stream = front.connect();
    for number in 0..40 {
        send(&mut stream, &format!("n{number}.example")).unwrap();
    }
    for number in 0..40 {
        assert!(read_framed(&mut stream).is_some(), "{number}");
    }
}

/// A site that listens on every address of a family.
fn everywhere(family: &str) -> Site {
    let site = Site::prepare("[access]\nallow = [\"127.0.0.0/8\", \"::/0\"]\n", Clock::system());
    let text = support::read(&site.config).replacen("\"127.0.0.1:0\"", &format!("\"{family}:0\""), 1);
    std::fs::write(&site.config, text).unwrap();
    site.started()
}

/// Asks `server` over UDP from a socket that takes replies from nowhere else: a blocked name at once, a new one fetched.
fn replies_from(server: IpAddr, site: &Site) {
    let any = SocketAddr::new(if server.is_ipv4() { [127, 0, 0, 1].into() } else { server }, 0);
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket.connect((server, site.address().port())).unwrap();
    for name in ["wechat.com".to_owned(), format!("new{}.example", server.is_ipv4())] {
        socket.send(&query(1, 0x0100, &name, 1, None)).unwrap();
        let received = socket.recv(&mut [0; 1500]);
        assert!(received.is_ok(), "{name} from {server}: {received:?}");
    }
}

#[test]
fn on_a_wildcard_address_a_reply_leaves_from_where_it_was_asked() {
    let site = everywhere("0.0.0.0");
    for last in [1, 2, 77] {
        replies_from([127, 0, 0, last].into(), &site);
    }
    let site = everywhere("[::]");
    replies_from(Ipv6Addr::LOCALHOST.into(), &site);
}

/// The second address of [`a_second_ipv6_address_replies_for_itself`].
const SECOND: &str = "fd00:53::2";

/// Runs the next test in a network namespace of its own, where the loopback interface has a second address.
#[test]
fn a_second_ipv6_address_replies_for_itself() {
    let setup = format!("ip link set lo up && ip -6 address add {SECOND}/128 dev lo nodad");
    support::in_namespaces(&["--net"], &setup, "in_a_namespace");
}

#[test]
#[ignore = "run in a namespace by the test above"]
fn in_a_namespace() {
    let site = everywhere("[::]");
    replies_from(SECOND.parse().unwrap(), &site);
    replies_from(Ipv6Addr::LOCALHOST.into(), &site);
}

/// Runs the next test in a network namespace of its own, where the system has a hundred ports to choose from.
#[test]
fn a_port_of_the_systems_choice_is_nobody_elses_for_udp_nor_tcp() {
    let setup = "ip link set lo up && sysctl --quiet --write net.ipv4.ip_local_port_range='40000 40099'";
    support::in_namespaces(&["--net"], setup, "where_ports_are_few");
}

#[test]
#[ignore = "run in a namespace by the test above"]
fn where_ports_are_few() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let here = |port| SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port);
    // Of five ports in a row two are taken for UDP, two for TCP, and one is free.
    let taken = |these: [u16; 2]| (40_000..40_100).filter(move |port| these.contains(&(port % 5)));
    let datagrams = taken([0, 1]).map(|port| UdpSocket::bind(here(port)).unwrap()).collect::<Vec<_>>();
    let streams = taken([2, 3]).map(|port| std::net::TcpListener::bind(here(port)).unwrap());
    let streams = streams.collect::<Vec<_>>();
    let any = Listener::do53(here(0));
    for _ in 0..20 {
        let opened = Opened::open(std::slice::from_ref(&any), 3).unwrap();
        assert_eq!(opened.addresses[0].port() % 5, 4, "{opened:?}");
    }

    // Whoever asks for a port that another process shares among its threads does not get a share of its questions.
    let first = Opened::open(&[any], 3).unwrap();
    for protocol in [Protocol::Do53, Protocol::Doq] {
        let second = Listener { protocol, ..Listener::do53(first.addresses[0]) };
        let refused = Opened::open(&[second], 3).unwrap_err();
        assert!(refused.hint().contains("another program"), "{protocol:?}: {refused}");
    }
    drop((datagrams, streams));
}
