//! The same questions over encrypted transports: DoT with a client of the suite's own and with real ones, and what becomes of
//! clients that mean harm.
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

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encrypted::{Encrypted, Tls, ask, certify, client, receive, send};
use hickory_proto::op::Message;
use interdict::clock::Clock;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use support::{Site, code, query};

/// A client of HTTP/2 without a library, for what no library does.
fn connect_http2(server: &Encrypted) -> Tls {
    let name = ServerName::try_from("dns.example").unwrap();
    let mut config = (*server.client).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(server.site.running.as_ref().unwrap().addresses[2]).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    tcp.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    stream
}

/// A query with EDNS options.
fn with_options(name: &str, options: &[u8]) -> Vec<u8> {
    let mut out = query(7, 0x0100, name, 1, Some(1232));
    let end = out.len();
    out[end - 2..].copy_from_slice(&(options.len() as u16).to_be_bytes());
    out.extend(options);
    out
}

#[test]
fn over_tls_a_banned_name_is_blocked_and_another_resolved() {
    let server = Encrypted::start("");
    let mut stream = server.connect();
    for _ in 0..2 {
        assert_eq!(code(&ask(&mut stream, "wechat.com")), "NXDOMAIN");
        let answer = ask(&mut stream, "www.canada.ca");
        assert_eq!((code(&answer), answer.answers.len()), ("NOERROR", 1));
        assert!(ask(&mut stream, "cloaked.example").answers.is_empty(), "an alias of a banned name");
    }
    assert_eq!(ask(&mut stream, "large.example").answers.len(), 100, "a reply of any size");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"dot"[..]));
    server.counted("interdict_queries_total{protocol=\"dot\"} 7");
    server.counted("interdict_connections{protocol=\"dot\"} 1");
    drop(stream);
    server.counted("interdict_connections_closed_total{protocol=\"dot\",reason=\"client\"} 1");
    let log = support::read(&server.site.path("queries.jsonl"));
    assert!(log.contains("\"dot\""), "{log}");
}

#[test]
fn a_reply_that_is_ready_does_not_wait_for_one_that_is_not() {
    let server = Encrypted::start("");
    let mut stream = server.connect();
    let names = ["silent.example", "wechat.com", "www.canada.ca"];
    for (id, name) in (0..).zip(names) {
        send(&mut stream, &query(id, 0x0100, name, 1, None));
    }
    let replies: Vec<Message> =
        names.iter().map(|_| Message::from_vec(&receive(&mut stream).unwrap()).unwrap()).collect();
    let order: Vec<u16> = replies.iter().map(|reply| reply.metadata.id).collect();
    assert_eq!(order.last(), Some(&0), "{order:?}");
    assert_eq!(code(&replies[2]), "SERVFAIL");
}

#[test]
fn many_queries_in_one_record_and_one_query_in_many_records_are_answered() {
    let server = Encrypted::start("");
    let mut stream = server.connect();
    let mut all = Vec::new();
    for id in 0..500u16 {
        let name = if id % 2 == 0 { "wechat.com".to_owned() } else { format!("n{id}.example") };
        let one = query(id, 0x0100, &name, 1, None);
        all.extend((one.len() as u16).to_be_bytes());
        all.extend(one);
    }
    stream.write_all(&all).unwrap();
    let mut seen: Vec<u16> =
        (0..500).map(|_| u16::from_be_bytes(*receive(&mut stream).unwrap().first_chunk().unwrap())).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..500));
    let one = query(9, 0x0100, "wechat.com", 1, None);
    for byte in [&(one.len() as u16).to_be_bytes()[..], &one].concat() {
        stream.write_all(&[byte]).unwrap();
        stream.flush().unwrap();
    }
    assert_eq!(receive(&mut stream).unwrap()[..2], [0, 9]);
}

#[test]
fn replies_are_padded_where_queries_were_and_nowhere_else() {
    const PADDING: &[u8] = b"\0\x0C\0\x05\0\0\0\0\0";
    let server = Encrypted::start("");
    let mut stream = server.connect();
    for name in ["wechat.com", "www.canada.ca", "new.example", "health.interdict.invalid"] {
        send(&mut stream, &with_options(name, PADDING));
        assert_eq!(receive(&mut stream).unwrap().len(), 468, "{name}");
        send(&mut stream, &with_options(name, b""));
        assert_ne!(receive(&mut stream).unwrap().len() % 468, 0, "{name}");
    }
    let plain = server.site.tcp(&with_options("wechat.com", PADDING)).unwrap();
    assert_ne!(plain.len() % 468, 0, "everybody can read it anyway");
    let datagram = server.site.udp(&with_options("wechat.com", PADDING)).unwrap();
    assert_ne!(datagram.len() % 468, 0);
}

#[test]
fn who_asks_is_told_how_long_a_connection_may_idle() {
    const KEEPALIVE: &[u8] = b"\0\x0B\0\0";
    let server = Encrypted::start("idle = \"20s\"\n");
    let idle = |reply: &[u8]| {
        let options = Message::from_vec(reply).unwrap().edns.unwrap();
        options.option(11.into()).map(|option| Vec::<u8>::try_from(option).unwrap())
    };
    let mut stream = server.connect();
    send(&mut stream, &with_options("wechat.com", KEEPALIVE));
    assert_eq!(idle(&receive(&mut stream).unwrap()), Some(200u16.to_be_bytes().to_vec()));
    send(&mut stream, &with_options("wechat.com", b""));
    assert_eq!(idle(&receive(&mut stream).unwrap()), None);
    let tcp = server.site.tcp(&with_options("fetched.example", KEEPALIVE)).unwrap();
    assert_eq!(idle(&tcp), Some(100u16.to_be_bytes().to_vec()));
    let udp = server.site.udp(&with_options("wechat.com", KEEPALIVE)).unwrap();
    assert_eq!(idle(&udp), None, "a datagram keeps nothing alive");
}

#[test]
fn a_client_that_was_here_before_resumes() {
    let server = Encrypted::start("");
    let kinds: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = server.connect();
            ask(&mut stream, "wechat.com");
            stream.conn.handshake_kind()
        })
        .collect();
    assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
    server.counted("interdict_tls_handshakes_total{protocol=\"dot\",result=\"full\"} 1");
    server.counted("interdict_tls_handshakes_total{protocol=\"dot\",result=\"resumed\"} 1");
}

#[test]
fn a_client_that_was_here_before_may_not_ask_before_its_handshake() {
    let server = Encrypted::start("");
    let mut eager = (*server.client).clone();
    eager.enable_early_data = true;
    let eager = Arc::new(eager);
    ask(&mut server.connect_as(&eager), "wechat.com");
    // What is sent so can be sent again by anybody (RFC 8446 section 8).
    let mut again = server.connect_as(&eager);
    assert!(again.conn.early_data().is_none(), "its ticket allows none");
    assert_eq!(code(&ask(&mut again, "wechat.com")), "NXDOMAIN");
    assert_eq!(again.conn.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn clients_of_tls_1_2_are_served_too() {
    use rustls::version::{TLS12, TLS13};
    let server = Encrypted::start("");
    let certificate = CertificateDer::from_pem_file(server.site.path("cert.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    for version in [&TLS12, &TLS13] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let only = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let mut stream = server.connect_as(&Arc::new(only));
        assert_eq!(code(&ask(&mut stream, "wechat.com")), "NXDOMAIN", "{version:?}");
        assert_eq!(code(&ask(&mut stream, "www.canada.ca")), "NOERROR", "{version:?}");
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
    }
}

#[test]
fn a_renewed_certificate_is_shown_to_new_clients_and_open_connections_live_on() {
    let server = Encrypted::start("");
    let mut before = server.connect();
    assert_eq!(code(&ask(&mut before, "wechat.com")), "NXDOMAIN");
    std::fs::write(server.site.path("cert.pem"), "half a file").unwrap();
    server.counted("interdict_tls_certificate_renewals_total{result=\"failed\"} 1");
    assert_eq!(code(&ask(&mut server.connect(), "wechat.com")), "NXDOMAIN", "the one before is still shown");
    let renewed = certify(&server.site, "dns.example");
    server.counted("interdict_tls_certificate_renewals_total{result=\"renewed\"} 1");
    let trusting = Arc::new(client(&[renewed], &[b"dot"]));
    assert_eq!(code(&ask(&mut server.connect_as(&trusting), "wechat.com")), "NXDOMAIN");
    assert_eq!(code(&ask(&mut before, "tiktok.com")), "NXDOMAIN");
}

#[test]
fn what_is_no_tls_or_speaks_something_else_inside_ends_at_once() {
    let server = Encrypted::start("");
    let mut plain = server.tcp();
    plain.write_all(&[0, 28]).unwrap();
    plain.write_all(&query(1, 0x0100, "wechat.com", 1, None)).unwrap();
    let mut said = Vec::new();
    // A reset is an end too.
    let _end = plain.read_to_end(&mut said);
    assert!(said.len() < 20, "an alert at most: {said:?}");
    let mut web = server.connect_as(&Arc::new(client(&[], &[b"h2"])));
    assert!(web.write_all(b"x").is_err());
    server.counted("interdict_connections_closed_total{protocol=\"dot\",reason=\"handshake\"} 2");
}

#[test]
fn handshakes_that_do_not_end_take_a_quarter_of_the_places_for_a_while() {
    let server = Encrypted::start("connections = 40\n");
    let mut established: Vec<Tls> = (0..5).map(|_| server.connect()).collect();
    for stream in &mut established {
        ask(stream, "wechat.com");
    }
    let began = Instant::now();
    let silent: Vec<TcpStream> = (0..30).map(|_| server.tcp()).collect();
    server.counted("interdict_connections_closed_total{protocol=\"dot\",reason=\"limit\"} 20");
    for stream in &mut established {
        assert_eq!(code(&ask(stream, "tiktok.com")), "NXDOMAIN", "those who were there are served");
    }
    server.counted("interdict_connections{protocol=\"dot\"} 15");
    for mut stream in silent {
        let mut rest = Vec::new();
        let _end = stream.read_to_end(&mut rest);
    }
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(code(&ask(&mut server.connect(), "wechat.com")), "NXDOMAIN", "there is room again");
}

#[test]
fn a_stop_answers_what_was_asked_and_ends_the_session() {
    let mut server = Encrypted::start("");
    let mut stream = server.connect();
    ask(&mut stream, "wechat.com");
    // Answered after half a second, with an error, as nobody else answers.
    send(&mut stream, &query(8, 0x0100, "silent.example", 1, None));
    std::thread::sleep(Duration::from_millis(50));
    server.site.stop();
    assert_eq!(receive(&mut stream).unwrap()[..2], [0, 8]);
    assert_eq!(receive(&mut stream).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn an_encrypted_listener_without_a_certificate_is_a_clear_error() {
    let site =
        Site::prepare("[[listener]]\nprotocol = \"dot\"\naddress = \"127.0.0.1:0\"\n", Clock::system());
    let said = format!("{:?}", site.try_start().unwrap_err());
    assert!(said.contains("set [tls] certificate and key"), "{said}");
    site.write_config("[tls]\ncertificate = \"$DIR/none.pem\"\nkey = \"$DIR/none.pem\"\n");
    let said = format!("{:?}", site.try_start().unwrap_err());
    assert!(said.contains("none.pem` cannot be read"), "{said}");
}

#[test]
fn kdig_gets_its_answers_over_tls() {
    let server = Encrypted::start("");
    let port = server.site.running.as_ref().unwrap().addresses[1].port().to_string();
    for (name, expected) in [("wechat.com", "NXDOMAIN"), ("www.canada.ca", "NOERROR")] {
        let ca = format!("+tls-ca={}", server.site.path("cert.pem").display());
        let output = Command::new("kdig")
            .args(["@127.0.0.1", "-p", &port, "+tls", &ca, "+tls-host=dns.example", "+padding", name])
            .output()
            .expect("kdig is installed");
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&format!("status: {expected}")) && said.contains("PADDING"), "{said}");
    }
}

/// The stub resolver that many devices have: in clear to them, over TLS to this one, whose name it checks.
#[test]
fn stubby_gets_its_answers_over_tls() {
    let server = Encrypted::start("");
    let (port, own) = (server.site.running.as_ref().unwrap().addresses[1].port(), support::free_port());
    let settings = |name: &str| {
        format!(
            "resolution_type: GETDNS_RESOLUTION_STUB\ndns_transport_list:\n  - GETDNS_TRANSPORT_TLS\n\
             tls_authentication: GETDNS_AUTHENTICATION_REQUIRED\ntls_ca_file: \"{}\"\ntls_query_padding_blocksize: 128\n\
             idle_timeout: 10000\nround_robin_upstreams: 0\nlisten_addresses:\n  - 127.0.0.1@{own}\n\
             upstream_recursive_servers:\n  - address_data: 127.0.0.1\n    tls_auth_name: \"{name}\"\n    tls_port: {port}\n",
            server.site.path("cert.pem").display()
        )
    };
    let stub = |name: &str| {
        std::fs::write(server.site.path("stubby.yml"), settings(name)).unwrap();
        let started = Command::new("stubby")
            .args(["-C", server.site.path("stubby.yml").to_str().unwrap()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
        support::Program(started.expect("stubby is installed"))
    };
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], own));
    let asked = |name: &str| {
        (0..40).find_map(|_| {
            let reply = support::reply_of(at, name);
            std::thread::sleep(Duration::from_millis(if reply.is_some() { 0 } else { 100 }));
            Some(Message::from_vec(&reply?).unwrap())
        })
    };
    let running = stub("dns.example");
    for (name, expected) in [
        ("wechat.com", ("NXDOMAIN", 0)),
        ("www.canada.ca", ("NOERROR", 1)),
        ("cloaked.example", ("NOERROR", 0)),
    ] {
        let answer = asked(name).expect("an answer");
        assert_eq!((code(&answer), answer.answers.len()), expected, "{name}");
    }
    drop(running);
    let page = server.site.http("GET", "/metrics", None).1;
    assert!(page.contains("interdict_queries_total{protocol=\"dot\"} 3\n"), "{page}");
    // Somebody else's name is not taken for it.
    let _running = stub("dns.elsewhere.example");
    let said = asked("www.gc.ca");
    assert!(said.as_ref().is_none_or(|said| said.answers.is_empty()), "{said:?}");
    let page = server.site.http("GET", "/metrics", None).1;
    assert!(page.contains("interdict_queries_total{protocol=\"dot\"} 3\n"), "{page}");
}

// Frames of HTTP/2 (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The header fields of a GET, without compression.
fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, path.len() as u8];
    block.extend(path.as_bytes());
    block.extend([0x01, 11]);
    block.extend(b"dns.example");
    block
}

/// Reads frames until one of `kind`; none when the connection ends first.
fn read_until(stream: &mut Tls, kind: u8) -> Option<Vec<u8>> {
    loop {
        let (head, payload) = next_frame(stream)?;
        if head[3] == kind {
            return Some(payload);
        }
    }
}

/// The head and the payload of what comes next; none when the connection ends first.
fn next_frame(stream: &mut Tls) -> Option<([u8; 9], Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((head, payload))
}

fn write_message(server: &Encrypted, name: &str) -> String {
    let path = server.site.path(&format!("{name}.query"));
    std::fs::write(&path, with_options(name, b"\0\x0C\0\x01\0\0\x0B\0\0")).unwrap();
    format!("@{}", path.display())
}

/// Questions for addresses in URIs.
const BANNED: &str = "?dns=AAABAAABAAAAAAAABndlY2hhdANjb20AAAEAAQ";
const FETCHED: &str = "?dns=AAABAAABAAAAAAAAA25ldwdleGFtcGxlAAABAAE";
const SILENT: &str = "?dns=AAABAAABAAAAAAAABnNpbGVudAdleGFtcGxlAAABAAE";

#[test]
fn over_https_a_banned_name_is_blocked_and_another_resolved_by_each_version_and_method() {
    let server = Encrypted::start("");
    let (uri, began) = (server.uri(), Instant::now());
    for version in ["--http1.1", "--http2"] {
        let head =
            server.curl(&[version, "--output", "/dev/null", "--dump-header", "-", &format!("{uri}{BANNED}")]);
        assert!(
            head.starts_with("HTTP/") && head.contains(" 200") && head.contains("cache-control: max-age=60"),
            "{head}"
        );
        assert!(head.contains("content-type: application/dns-message"), "{head}");
        let head = server.curl(&[
            version,
            "--output",
            "/dev/null",
            "--dump-header",
            "-",
            &format!("{uri}{FETCHED}"),
        ]);
        // The second time it was kept since the first.
        let life: u64 = head
            .lines()
            .find_map(|line| line.trim().strip_prefix("cache-control: max-age="))
            .and_then(|life| life.parse().ok())
            .unwrap_or_else(|| panic!("{head}"));
        let aged = 1 + began.elapsed().as_secs();
        assert!((300 - aged..=300).contains(&life), "{life} after {aged} s");
        for (name, expected) in
            [("wechat.com", "NXDOMAIN"), ("www.canada.ca", "NOERROR"), ("nxdomain.example", "NXDOMAIN")]
        {
            let (reply, body) = (server.site.path("reply"), write_message(&server, name));
            let kind = "content-type: application/dns-message";
            let output = reply.to_str().unwrap();
            server.curl(&[version, "--header", kind, "--data-binary", &body, "--output", output, &uri]);
            let mut bytes = Vec::new();
            std::fs::File::open(&reply).unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), 468, "padded, as the query was");
            let message = Message::from_vec(&bytes).unwrap();
            assert_eq!(code(&message), expected);
            assert!(message.edns.unwrap().option(11.into()).is_none(), "HTTP keeps its connections itself");
        }
    }
    server.counted("interdict_queries_total{protocol=\"doh\"} 10");
}

#[test]
fn what_is_no_query_over_https_gets_its_status() {
    let server = Encrypted::start("");
    let (uri, body) = (server.uri(), write_message(&server, "wechat.com"));
    let kind = "content-type: application/dns-message";
    let large = server.site.path("large");
    std::fs::write(&large, vec![0; 70_000]).unwrap();
    let large = format!("@{}", large.display());
    for version in ["--http1.1", "--http2"] {
        for (arguments, expected) in [
            (vec![uri.replace("/dns-query", "/")], "404"),
            (vec![uri.clone()], "400"),
            (vec![format!("{uri}?dns=!!!")], "400"),
            (
                vec!["--request".into(), "PUT".into(), "--data-binary".into(), body.clone(), uri.clone()],
                "405",
            ),
            (vec!["--data-binary".into(), body.clone(), uri.clone()], "415"),
            (vec!["--header".into(), kind.into(), "--data-binary".into(), large.clone(), uri.clone()], "413"),
            // Without its length in front.
            (
                vec![
                    "--header".into(),
                    kind.into(),
                    "--header".into(),
                    "transfer-encoding: chunked".into(),
                    "--header".into(),
                    "expect:".into(),
                    "--data-binary".into(),
                    large.clone(),
                    uri.clone(),
                ],
                "413",
            ),
        ] {
            let mut all = vec![version, "--output", "/dev/null", "--write-out", "%{http_code}"];
            all.extend(arguments.iter().map(String::as_str));
            let said = server.curl(&all);
            assert!(said.starts_with(expected), "{version} {arguments:?}: {said}");
        }
    }
}

#[test]
fn over_http2_a_reply_that_is_ready_does_not_wait_for_one_that_is_not() {
    let server = Encrypted::start("");
    let mut stream = connect_http2(&server);
    for (id, question) in [(1, SILENT), (3, BANNED), (5, FETCHED)] {
        stream.write_all(&frame(HEADERS, 5, id, &get(&format!("/dns-query{question}")))).unwrap();
    }
    let mut order = Vec::new();
    while order.len() < 3 {
        let (head, _) = next_frame(&mut stream).unwrap();
        if head[3] == 0 {
            order.push(head[8]);
        }
    }
    assert_eq!(order, [3, 5, 1]);
}

#[test]
fn over_http2_what_is_no_reply_is_sent_at_once_too() {
    let server = Encrypted::start("");
    let mut stream = connect_http2(&server);
    // Far less than the time after which an idle connection is looked at.
    stream.sock.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    for number in 0..3 {
        stream.write_all(&frame(PING, 0, 0, &[number; 8])).unwrap();
        assert_eq!(read_until(&mut stream, PING).expect("a ping is answered"), [number; 8]);
    }
    // A body larger than what may be on its way: it goes on when there is room again.
    let mut post = get("/dns-query");
    post[0] = 0x83;
    stream.write_all(&frame(HEADERS, 4, 1, &post)).unwrap();
    let mut room = 65_535;
    for _ in 0..8 {
        stream.write_all(&frame(DATA, 0, 1, &[0; 16_000])).unwrap();
        room -= 16_000;
        while room < 16_000 {
            let (head, payload) = next_frame(&mut stream).expect("room is made");
            if head[3] == WINDOW_UPDATE && head[8] == 1 {
                room += u32::from_be_bytes(payload.try_into().unwrap());
            }
        }
    }
}

#[test]
fn clients_that_abuse_http2_are_cut_off_and_harm_nobody() {
    let server = Encrypted::start("");
    let innocent = |when: &str| {
        let began = Instant::now();
        let said = server.curl(&[
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            &format!("{}{BANNED}", server.uri()),
        ]);
        assert_eq!(said, "200", "{when}");
        assert!(began.elapsed() < Duration::from_secs(3), "{when}: {:?}", began.elapsed());
    };
    // Rapid reset: each request is given up as soon as it is made.
    let mut resets = connect_http2(&server);
    let request = get(&format!("/dns-query{SILENT}"));
    for number in 0..20_000u32 {
        let id = 2 * number + 1;
        let both = [frame(HEADERS, 5, id, &request), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat();
        if resets.write_all(&both).is_err() {
            break;
        }
    }
    innocent("while streams are reset");
    // A head without end.
    let mut endless = connect_http2(&server);
    endless.write_all(&frame(HEADERS, 0, 1, &get("/dns-query"))).unwrap();
    let field = [&[0x00, 1][..], b"x", &[0x7F, 0x81, 0x7F], &[b'y'; 16_000]].concat();
    let mut sent = 0;
    while sent < 1000
        && endless.write_all(&frame(CONTINUATION, 0, 1, &field[..field.len().min(16_000)])).is_ok()
    {
        sent += 1;
    }
    assert!(sent < 1000, "nothing stopped it");
    innocent("after an endless head");
    // What is no HTTP/2 at all.
    let mut garbage = connect_http2(&server);
    garbage.write_all(&[0xFF; 4096]).unwrap();
    assert!(read_until(&mut garbage, GOAWAY).is_some(), "it is told so");
    innocent("after garbage");
}

#[test]
fn an_idle_https_connection_is_ended_and_a_body_that_does_not_come_is_not_waited_for() {
    let server = Encrypted::start("idle = \"1s\"\n");
    let mut idle = connect_http2(&server);
    let began = Instant::now();
    assert!(read_until(&mut idle, GOAWAY).is_some());
    // This client does not confirm: it is not waited for.
    let _end = idle.read_to_end(&mut Vec::new());
    assert!((900..4000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    server.counted("interdict_connections_closed_total{protocol=\"doh\",reason=\"idle\"} 1");
    let mut slow = connect_http2(&server);
    let mut head = get("/dns-query");
    // :method POST, content-type: application/dns-message.
    head[0] = 0x83;
    head.extend([0x0F, 0x10, 23]);
    head.extend(b"application/dns-message");
    slow.write_all(&frame(HEADERS, 4, 1, &head)).unwrap();
    let answer = read_until(&mut slow, HEADERS).expect("an answer");
    assert!(!answer.starts_with(&[0x88]), "not 200: {answer:?}");
}

#[test]
fn real_clients_get_their_answers_over_https() {
    let server = Encrypted::start("");
    let address = server.site.running.as_ref().unwrap().addresses[2];
    let port = address.port().to_string();
    for (name, expected) in [("wechat.com", "NXDOMAIN"), ("www.canada.ca", "NOERROR")] {
        for method in ["+https", "+https-get"] {
            let ca = format!("+tls-ca={}", server.site.path("cert.pem").display());
            let output = Command::new("kdig")
                .args(["@127.0.0.1", "-p", &port, "+https", method, &ca, "+tls-host=dns.example", name])
                .output()
                .expect("kdig is installed");
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(&format!("status: {expected}")), "{method}: {said}");
        }
    }
    // Its own resolver, in place of the system's; nobody listens where the name leads.
    let uri = server.uri();
    let said = server.curl(&[
        "--doh-url",
        &uri,
        "--doh-insecure",
        "--connect-timeout",
        "1",
        "--verbose",
        "http://www.canada.ca:9/",
    ]);
    assert!(said.contains("192.0.2.7"), "{said}");
    let said = server.curl(&[
        "--doh-url",
        "--doh-url",
        &uri,
        "--doh-insecure",
        "--connect-timeout",
        "1",
        "http://wechat.com:9/",
    ]);
    assert!(said.contains("resolve host"), "{said}");
}

#[test]
fn clients_that_ask_over_udp_are_told_of_the_encrypted_listeners() {
    let server = Encrypted::start_with("", "[discovery]\nname = \"dns.example\"\nipv4 = [\"127.0.0.1\"]\n");
    let reply = server.site.ask("_dns.resolver.arpa", 64);
    let records: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
    let port = |index: usize| server.site.running.as_ref().unwrap().addresses[index].port();
    assert_eq!(records.len(), 2, "{records:?}");
    let dot = format!("1 dns.example. alpn=dot, port={} ipv4hint=127.0.0.1", port(1)).replace(", ", " ");
    assert_eq!(records[0].replace(',', "").split_whitespace().collect::<Vec<_>>().join(" "), dot);
    assert!(
        records[1].contains("alpn=h2") && records[1].contains(&format!("port={}", port(2))),
        "{records:?}"
    );
    assert_eq!(code(&server.site.ask("_dns.resolver.arpa", 1)), "NOERROR");
    assert!(server.site.ask("_dns.resolver.arpa", 1).answers.is_empty(), "another type");
    assert_eq!(code(&server.site.ask("x.resolver.arpa", 64)), "NXDOMAIN");
    let status = server.site.http("GET", "/api/v1/status", None).1;
    assert!(status.contains(&format!("alpn=dot port={}", port(1))), "{status}");
    assert!(status.contains(&format!("alpn=h2 port={} dohpath=/dns-query{{?dns}}", port(2))), "{status}");
    let silent = Encrypted::start("");
    assert!(silent.site.ask("_dns.resolver.arpa", 64).answers.is_empty());
}
