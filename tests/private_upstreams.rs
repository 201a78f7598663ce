//! Upstreams inside of TLS: whom they must be, what is sent to them, and what clients see when they are not or go away. The upstream is
//! another interdict, and an Unbound.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]

#[path = "support/encrypted.rs"]
mod encrypted;
mod support;

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use encrypted::Encrypted;
use interdict::clock::Clock;
use support::{Site, code};

/// A site that asks `upstream` over TLS under `name`, and nobody else.
fn asking(upstream: &Encrypted, name: &str) -> Site {
    asking_over("tls", upstream, name)
}

/// The same by another scheme.
fn asking_over(scheme: &str, upstream: &Encrypted, rest: &str) -> Site {
    let site = Site::prepare("", Clock::system());
    let ca = upstream.site.path("cert.pem");
    let text = support::read(&site.config);
    let begin = text.find("servers = ").unwrap();
    let end = begin + text[begin..].find('\n').unwrap();
    let server = format!("{scheme}://{}{rest}", address(scheme, upstream));
    let servers = format!("servers = [\"{server}\"]\nca = \"{}\"", ca.display());
    std::fs::write(&site.config, format!("{}{servers}{}", &text[..begin], &text[end..])).unwrap();
    site.started()
}

/// Where `upstream` is asked by a scheme.
fn address(scheme: &str, upstream: &Encrypted) -> SocketAddr {
    let listener = ["tls", "https", "quic"].iter().position(|known| *known == scheme).unwrap();
    upstream.site.running.as_ref().unwrap().addresses[1 + listener]
}

const QUIC: &str = "[[listener]]\nprotocol = \"doq\"\naddress = \"127.0.0.1:0\"\n";

/// Schemes other than TLS alone, and what their connections are counted by.
const OTHERS: [(&str, &str); 2] = [("https", "doh"), ("quic", "doq")];

#[test]
fn over_https_and_quic_questions_share_a_connection_and_no_answer_waits_for_another() {
    for (scheme, protocol) in OTHERS {
        let upstream = Encrypted::start_with("", QUIC);
        let site = asking_over(scheme, &upstream, "#dns.example");
        assert_eq!(code(&site.ask("www.canada.ca", 1)), "NOERROR", "{scheme}");
        let late = UdpSocket::bind("127.0.0.1:0").unwrap();
        late.send_to(&support::query(1, 0x0100, "silent.example", 1, None), site.address()).unwrap();
        let began = Instant::now();
        for number in 0..50 {
            assert_eq!(code(&site.ask(&format!("n{number}.example"), 1)), "NOERROR");
        }
        assert!(began.elapsed() < Duration::from_millis(900), "{scheme}: {:?}", began.elapsed());
        let large = site.tcp(&support::query(1, 0x0100, "large.example", 1, None)).unwrap();
        assert!(large.len() > 1600, "an answer of any size");
        upstream.counted(&format!("interdict_connections_total{{protocol=\"{protocol}\"}} 1"));
        let page = upstream.site.http("GET", "/metrics", None).1;
        let padded = page.lines().find(|line| line.starts_with("interdict_queries_total{protocol=\"do"));
        assert!(padded.is_some(), "{page}");
    }
}

#[test]
fn over_https_and_quic_an_upstream_that_is_somebody_else_is_never_asked() {
    for (scheme, protocol) in OTHERS {
        let upstream = Encrypted::start_with("", QUIC);
        let site = asking_over(scheme, &upstream, "#dns.elsewhere.example");
        assert_eq!(code(&site.ask("www.canada.ca", 1)), "SERVFAIL", "{scheme}");
        upstream.counted(&format!("interdict_queries_total{{protocol=\"{protocol}\"}} 0"));
    }
}

#[test]
fn over_https_and_quic_a_connection_that_the_upstream_closed_costs_nobody_an_answer() {
    for (scheme, protocol) in OTHERS {
        let upstream = Encrypted::start_with("idle = \"1s\"\n", &format!("{QUIC}idle = \"1s\"\n"));
        let site = asking_over(scheme, &upstream, "#dns.example");
        for round in 0..3 {
            assert_eq!(code(&site.ask(&format!("round{round}.example"), 1)), "NOERROR", "{scheme}");
            std::thread::sleep(Duration::from_millis(1800));
        }
        upstream.counted(&format!("interdict_connections_total{{protocol=\"{protocol}\"}} 3"));
        let page = site.http("GET", "/metrics", None).1;
        for line in page.lines().filter(|line| line.starts_with("interdict_upstream_failures_total")) {
            assert!(line.ends_with(" 0"), "{line}");
        }
    }
}

#[test]
fn over_https_what_is_no_answer_is_a_failure() {
    let upstream = Encrypted::start_with("", QUIC);
    let site = asking_over("https", &upstream, "/elsewhere#dns.example");
    assert_eq!(code(&site.ask("www.canada.ca", 1)), "SERVFAIL", "404");
}

#[test]
fn over_https_and_quic_many_questions_at_once_are_all_answered() {
    for (scheme, _) in OTHERS {
        let upstream = Encrypted::start_with("", QUIC);
        let site = asking_over(scheme, &upstream, "#dns.example");
        all_are_answered(&site);
    }
}

#[test]
fn an_upstream_whose_key_is_not_the_pinned_one_is_never_asked() {
    let upstream = Encrypted::start_with("", QUIC);
    let (pem, der) = (upstream.site.path("cert.pem"), upstream.site.path("key.der"));
    let script = format!(
        "openssl x509 -in {} -pubkey -noout | openssl pkey -pubin -outform der -out {} && openssl dgst -sha256 -binary {} | base64",
        pem.display(),
        der.display(),
        der.display()
    );
    let said = Command::new("sh").args(["-c", &script]).output().expect("openssl is installed");
    let pin = String::from_utf8(said.stdout).unwrap().trim().to_owned();
    assert_eq!(pin.len(), 44, "{pin} {}", String::from_utf8_lossy(&said.stderr));
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for scheme in ["tls", "https", "quic"] {
        for (pins, expected) in [
            (format!("?pin={pin}"), "NOERROR"),
            (format!("?pin={other}&pin={pin}"), "NOERROR"),
            (format!("?pin={other}"), "SERVFAIL"),
        ] {
            let site = asking_over(scheme, &upstream, &format!("{pins}#dns.example"));
            assert_eq!(code(&site.ask("www.canada.ca", 1)), expected, "{scheme} {pins}");
        }
    }
}

fn counted(site: &Site, line: &str) {
    let page = site.http("GET", "/metrics", None).1;
    assert!(page.lines().any(|found| found.starts_with(line)), "{line} is not in\n{page}");
}

#[test]
fn questions_go_over_one_connection_padded_and_answers_come_in_any_order() {
    let upstream = Encrypted::start("");
    let site = asking(&upstream, "#dns.example");
    assert_eq!(code(&site.ask("www.canada.ca", 1)), "NOERROR");
    // One that is answered late, and fifty that are not held up by it.
    let late = UdpSocket::bind("127.0.0.1:0").unwrap();
    late.send_to(&support::query(1, 0x0100, "silent.example", 1, None), site.address()).unwrap();
    let began = Instant::now();
    for number in 0..50 {
        assert_eq!(code(&site.ask(&format!("n{number}.example"), 1)), "NOERROR");
    }
    assert!(began.elapsed() < Duration::from_millis(450), "{:?}", began.elapsed());
    let large = site.tcp(&support::query(1, 0x0100, "large.example", 1, None)).unwrap();
    assert!(large.len() > 1600, "an answer of any size");
    upstream.counted("interdict_connections_total{protocol=\"dot\"} 1");
}

#[test]
fn an_upstream_that_is_somebody_else_is_never_asked() {
    let upstream = Encrypted::start("");
    let site = asking(&upstream, "#dns.elsewhere.example");
    let reply = site.ask("www.canada.ca", 1);
    assert_eq!(code(&reply), "SERVFAIL");
    assert_eq!(code(&site.ask("wechat.com", 1)), "NXDOMAIN", "what is banned needs nobody");
    upstream.counted("interdict_queries_total{protocol=\"dot\"} 0");
    let address = upstream.site.running.as_ref().unwrap().addresses[1];
    let labels = format!("upstream=\"tls://{address}#dns.elsewhere.example\",reason=\"network\"");
    let page = site.http("GET", "/metrics", None).1;
    let failures = format!("interdict_upstream_failures_total{{{labels}}} ");
    let count: f64 = page.lines().find_map(|line| line.strip_prefix(&failures)).unwrap().parse().unwrap();
    assert!(count >= 1.0);
}

#[test]
fn a_connection_that_the_upstream_closed_costs_nobody_an_answer() {
    let upstream = Encrypted::start("idle = \"1s\"\n");
    let site = asking(&upstream, "#dns.example");
    for round in 0..3 {
        assert_eq!(code(&site.ask(&format!("round{round}.example"), 1)), "NOERROR");
        std::thread::sleep(Duration::from_millis(1600));
    }
    upstream.counted("interdict_connections_total{protocol=\"dot\"} 3");
    let page = site.http("GET", "/metrics", None).1;
    for line in page.lines().filter(|line| line.starts_with("interdict_upstream_failures_total")) {
        assert!(line.ends_with(" 0"), "{line}");
    }
}

#[test]
fn many_questions_at_once_make_few_connections() {
    let upstream = Encrypted::start("");
    let site = asking(&upstream, "#dns.example");
    all_are_answered(&site);
    let page = upstream.site.http("GET", "/metrics", None).1;
    let opened =
        page.lines().find_map(|line| line.strip_prefix("interdict_connections_total{protocol=\"dot\"} "));
    assert!(opened.unwrap().parse::<u32>().unwrap() <= 2, "{opened:?}");
}

fn all_are_answered(site: &Site) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    // Room for all replies at once: the first ones come while the last questions are sent.
    socket2::SockRef::from(&socket).set_recv_buffer_size(1 << 20).unwrap();
    for id in 0..400u16 {
        let query = support::query(id, 0x0100, &format!("n{id}.example"), 1, None);
        socket.send_to(&query, site.address()).unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut buffer = [0; 1500];
    while seen.len() < 400 {
        let length = socket.recv(&mut buffer).expect("a reply");
        assert_eq!(buffer[3] & 15, 0, "{:?}", &buffer[..length]);
        seen.insert(u16::from_be_bytes([buffer[0], buffer[1]]));
    }
}

#[test]
fn an_authority_that_cannot_be_read_stops_the_start() {
    let upstream = Encrypted::start("");
    std::fs::remove_file(upstream.site.path("cert.pem")).unwrap();
    let site = Site::prepare("", Clock::system());
    let text = support::read(&site.config);
    let text =
        text.replace("[upstream]\n", "[upstream]\nca = \"/nowhere/ca.pem\"\n").replace("udp://", "tls://");
    std::fs::write(&site.config, text).unwrap();
    let said = format!("{:?}", site.try_start().unwrap_err());
    assert!(said.contains("/nowhere/ca.pem") && said.contains("[upstream]"), "{said}");
}

#[test]
fn an_unbound_is_asked_over_tls_and_https() {
    for (scheme, setting) in [("tls", "tls-port"), ("https", "https-port")] {
        unbound_is_asked(scheme, setting);
    }
}

fn unbound_is_asked(scheme: &str, setting: &str) {
    let upstream = Encrypted::start("");
    let port = support::free_port();
    let path = |name: &str| upstream.site.path(name).display().to_string();
    let text = format!(
        "server:\n interface: 127.0.0.1@{port}\n {setting}: {port}\n tls-service-key: \"{}\"\n tls-service-pem: \"{}\"\n \
         do-not-query-localhost: no\n module-config: \"iterator\"\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n \
         use-syslog: no\n do-daemonize: no\nremote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: {}\n",
        path("key.pem"),
        path("cert.pem"),
        upstream.site.upstream.address.to_string().replace(':', "@")
    );
    std::fs::write(upstream.site.path("unbound.conf"), text).unwrap();
    let mut child = Command::new("/usr/sbin/unbound")
        .args(["-d", "-c", &path("unbound.conf")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("unbound is installed");
    let listens = |_| {
        std::thread::sleep(Duration::from_millis(100));
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    };
    assert!((0..300).any(listens), "unbound listens");
    let site = Site::prepare("", Clock::system());
    let text = support::read(&site.config);
    let begin = text.find("servers = ").unwrap();
    let end = begin + text[begin..].find('\n').unwrap();
    let servers =
        format!("servers = [\"{scheme}://127.0.0.1:{port}#dns.example\"]\nca = \"{}\"", path("cert.pem"));
    std::fs::write(&site.config, format!("{}{servers}{}", &text[..begin], &text[end..])).unwrap();
    let site = site.started();
    let answered = (0..50).find_map(|number| {
        let reply = site.ask(&format!("u{number}.example"), 1);
        std::thread::sleep(Duration::from_millis(if code(&reply) == "NOERROR" { 0 } else { 100 }));
        Some(reply).filter(|reply| code(reply) == "NOERROR")
    });
    let _gone = child.kill();
    let _status = child.wait();
    assert_eq!(answered.expect("an answer").answers.len(), 1);
    let path = if scheme == "https" { "/dns-query" } else { "" };
    let name = format!("{scheme}://127.0.0.1:{port}{path}#dns.example");
    counted(&site, &format!("interdict_upstream_tcp_total{{upstream=\"{name}\"}}"));
}

/// Unbound at 127.0.0.20, in clear and, if asked to, inside of TLS with a certificate that nobody knows.
fn unbound(folder: &std::path::Path, is_private: bool) -> support::Program {
    let inside =
        "interface: 127.0.0.20@853\n tls-port: 853\n tls-service-key: key.pem\n tls-service-pem: cert.pem\n";
    let text = format!(
        "server:\n interface: 127.0.0.20@53\n {}directory: \"{}\"\n do-ip6: no\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n \
         use-syslog: no\n do-daemonize: no\n local-zone: example. redirect\n local-data: \"example. 60 IN A 192.0.2.9\"\n\
         remote-control:\n control-enable: no\n",
        if is_private { inside } else { "" },
        folder.display()
    );
    std::fs::write(folder.join("unbound.conf"), text).unwrap();
    let started = Command::new("/usr/sbin/unbound")
        .args(["-d", "-c", "unbound.conf"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let program = support::Program(started.expect("unbound is installed"));
    let server: SocketAddr = "127.0.0.20:53".parse().unwrap();
    for _ in 0..100 {
        let is_there = !is_private || TcpStream::connect("127.0.0.20:853").is_ok();
        if is_there && TcpStream::connect(server).is_ok() {
            return program;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("unbound does not start");
}

#[test]
fn a_server_in_clear_is_asked_inside_of_tls_while_it_speaks_it() {
    support::in_namespaces(&["--net"], "ip link set lo up", "opportunistic_in_a_namespace");
}

#[test]
#[ignore = "run in a namespace by another test"]
fn opportunistic_in_a_namespace() {
    const DAY: Duration = Duration::from_secs(86_400);
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["unknown.example".to_owned()]).unwrap();
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    let clock = Clock::manual("2026-11-24T12:00:00Z".parse().unwrap());
    let site = |encryption: &str| {
        let site = Site::prepare("", clock.clone());
        let text = support::read(&site.config);
        let begin = text.find("servers = ").unwrap();
        let end = begin + text[begin..].find('\n').unwrap();
        let servers = format!("servers = [\"udp://127.0.0.20\"]\nencryption = \"{encryption}\"");
        std::fs::write(&site.config, format!("{}{servers}{}", &text[..begin], &text[end..])).unwrap();
        site.started()
    };
    let (opportunistic, strict) = (site("opportunistic"), site("strict"));
    let asked = std::cell::Cell::new(0);
    let ask = |site: &Site| {
        let number = asked.replace(asked.get() + 1);
        let began = Instant::now();
        assert_eq!(code(&site.ask(&format!("n{number}.example"), 1)), "NOERROR", "{number}");
        began.elapsed()
    };
    let is_encrypted = |site: &Site| {
        let page = site.http("GET", "/metrics", None).1;
        let line = page.lines().find(|line| line.starts_with("interdict_upstream_encrypted{")).unwrap();
        line.ends_with(" 1")
    };
    let becomes = |site: &Site, expected: bool| {
        for _ in 0..100 {
            if is_encrypted(site) == expected {
                return;
            }
            ask(site);
            std::thread::sleep(Duration::from_millis(30));
        }
        panic!("encrypted is not {expected}");
    };
    let datagrams = || {
        let text = std::fs::read_to_string("/proc/net/snmp").unwrap();
        let line = text.lines().filter(|line| line.starts_with("Udp:")).nth(1).unwrap();
        line.split(' ').nth(4).unwrap().parse::<u64>().unwrap()
    };

    // In clear alone: answered as ever, and left alone for a day.
    let server = unbound(folder.path(), false);
    becomes(&opportunistic, false);
    for _ in 0..5 {
        ask(&opportunistic);
    }
    drop(server);
    let server = unbound(folder.path(), true);
    for _ in 0..5 {
        ask(&opportunistic);
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(!is_encrypted(&opportunistic), "within a day of the first attempt");
    clock.advance(DAY);
    becomes(&opportunistic, true);
    let before = datagrams();
    for _ in 0..20 {
        ask(&opportunistic);
    }
    assert_eq!(datagrams() - before, 40, "the client's own, and nothing in clear");
    let status = opportunistic.http("GET", "/api/v1/status", None).1;
    assert!(status.contains("\"encrypted\":true"), "{status}");
    let before = datagrams();
    for _ in 0..20 {
        ask(&strict);
    }
    assert!(!is_encrypted(&strict) && datagrams() - before >= 80, "as it is written");

    // It stops to speak it: nobody notices, and it is tried again after a while.
    drop(server);
    let server = unbound(folder.path(), false);
    assert!(ask(&opportunistic) < Duration::from_millis(1000));
    assert!(!is_encrypted(&opportunistic));
    drop(server);
    let server = unbound(folder.path(), true);
    clock.advance(Duration::from_secs(301));
    becomes(&opportunistic, true);

    // Whoever takes the connection and says nothing holds nobody up: in the attempt not at all, later once.
    drop(server);
    let _server = unbound(folder.path(), false);
    let _silent = std::net::TcpListener::bind("127.0.0.20:853").unwrap();
    assert!(ask(&opportunistic) < Duration::from_secs(3));
    assert!(ask(&opportunistic) < Duration::from_millis(300));
    clock.advance(DAY);
    (0..5).for_each(|_| assert!(ask(&opportunistic) < Duration::from_millis(300)));
    assert!(!is_encrypted(&opportunistic));
}
