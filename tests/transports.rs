//! The same questions over encrypted transports: DoT with a client of the suite's own and with real ones, and what becomes of
//! clients that mean harm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use interdict::clock::Clock;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use support::{Site, code, query};

/// A site whose second listener speaks DoT, with a certificate for `dns.example`.
struct Encrypted {
    site: Site,
    client: Arc<ClientConfig>,
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Writes a certificate for `name` with its key where the site reads them, and returns it.
fn certify(site: &Site, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(site.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(site.path("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

fn client(trusted: &[CertificateDer<'static>], alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

impl Encrypted {
    fn start(listener: &str) -> Self {
        let site = Site::prepare("", Clock::system());
        let certificate = certify(&site, "dns.example");
        site.write_config(&format!(
            "[tls]\ncertificate = \"DIR/cert.pem\"\nkey = \"DIR/key.pem\"\n\
             [[listener]]\nprotocol = \"dot\"\naddress = \"127.0.0.1:0\"\n{listener}"
        ));
        Self { site: site.started(), client: Arc::new(client(&[certificate], &[b"dot"])) }
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.site.running.as_ref().unwrap().addresses[1]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn connect(&self) -> Tls {
        self.connect_as(&self.client)
    }

    fn connect_as(&self, client: &Arc<ClientConfig>) -> Tls {
        let name = ServerName::try_from("dns.example").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(client), name).unwrap(), self.tcp())
    }

    /// Waits until a metric has a value.
    fn counted(&self, line: &str) {
        for _ in 0..200 {
            let page = self.site.http("GET", "/metrics", None).1;
            if page.lines().any(|found| found == line) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{line} is not in\n{}", self.site.http("GET", "/metrics", None).1);
    }
}

fn send(stream: &mut Tls, query: &[u8]) {
    let framed = [&(query.len() as u16).to_be_bytes()[..], query].concat();
    stream.write_all(&framed).unwrap();
}

fn receive(stream: &mut Tls) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

fn ask(stream: &mut Tls, name: &str) -> Message {
    send(stream, &query(7, 0x0100, name, 1, Some(1232)));
    Message::from_vec(&receive(stream).unwrap()).unwrap()
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
    site.write_config("[tls]\ncertificate = \"DIR/none.pem\"\nkey = \"DIR/none.pem\"\n");
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
