//! DNS over QUIC: a client of the suite's own and kdig; many streams, identity, limits, and clients that break the protocol.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]
#![allow(dead_code, reason = "shares files with other suites")]

#[path = "support/encrypted.rs"]
mod encrypted;
mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use encrypted::{Encrypted, client};
use hickory_proto::op::Message;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use support::{code, query};
use tokio::time::timeout;

const QUIC: &str = "[[listener]]\nprotocol = \"doq\"\naddress = \"127.0.0.1:0\"\n";
const PATIENCE: Duration = Duration::from_secs(10);

fn start(limits: &str, policy: &str) -> Encrypted {
    Encrypted::start_with("", &format!("{QUIC}{limits}{policy}"))
}

/// Where QUIC is taken.
fn port(server: &Encrypted) -> SocketAddr {
    server.site.running.as_ref().unwrap().addresses[3]
}

/// What a client trusts: the server's certificate.
fn trusted(server: &Encrypted) -> ClientConfig {
    use rustls::pki_types::pem::PemObject as _;
    let pem = std::fs::read(server.site.path("cert.pem")).unwrap();
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap();
    let tls = client(&[certificate], &[b"doq"]);
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

async fn connect(server: &Encrypted, name: &str) -> Result<(Endpoint, Connection), ConnectionError> {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(trusted(server), port(server), name).unwrap();
    let connection = timeout(PATIENCE, connecting).await.expect("an end of the handshake")?;
    Ok((endpoint, connection))
}

fn framed(query: &[u8]) -> Vec<u8> {
    [&(query.len() as u16).to_be_bytes()[..], query].concat()
}

/// What comes on a stream of its own that carries `bytes`.
async fn exchange(connection: &Connection, bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    send.write_all(bytes).await.ok()?;
    send.finish().ok()?;
    timeout(PATIENCE, receive.read_to_end(70_000)).await.expect("an end of the stream").ok()
}

async fn ask(connection: &Connection, name: &str) -> Option<Message> {
    let reply = exchange(connection, &framed(&query(0, 0x0100, name, 1, Some(1232)))).await?;
    let (length, message) = reply.split_first_chunk()?;
    assert_eq!(usize::from(u16::from_be_bytes(*length)), message.len());
    assert_eq!(message[..2], [0, 0]);
    Some(Message::from_vec(message).unwrap())
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn over_quic_a_banned_name_is_blocked_and_another_resolved() {
    let server = start("", "");
    run(async {
        let (_endpoint, connection) = connect(&server, "dns.example").await.unwrap();
        for _ in 0..2 {
            assert_eq!(code(&ask(&connection, "wechat.com").await.unwrap()), "NXDOMAIN");
            let answer = ask(&connection, "www.canada.ca").await.unwrap();
            assert_eq!((code(&answer), answer.answers.len()), ("NOERROR", 1));
            assert!(ask(&connection, "cloaked.example").await.unwrap().answers.is_empty());
        }
        connection.close(0u32.into(), b"");
        connect(&server, "other.example").await.map(|_| ()).expect_err("the certificate is for another name");
    });
    server.counted("interdict_connections_closed_total{protocol=\"doq\",reason=\"client\"} 1");
    let page = server.site.http("GET", "/metrics", None).1;
    assert!(page.contains("interdict_queries_total{protocol=\"doq\"} 6\n"), "{page}");
}

#[test]
fn kdig_gets_its_answers_over_quic() {
    let server = start("", "");
    let ca = server.site.path("cert.pem");
    for (name, expected) in [("wechat.com", "status: NXDOMAIN"), ("www.canada.ca", "192.0.2.7")] {
        let output = Command::new("kdig")
            .args(["@127.0.0.1", "-p", &port(&server).port().to_string(), "+padding"])
            .args([&format!("+tls-ca={}", ca.display()), "+tls-host=dns.example", "+quic", name])
            .output()
            .expect("kdig is installed");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(expected), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("PADDING"), "{said}");
    }
}

#[test]
fn many_streams_at_once_are_answered_in_any_order() {
    let server = start("", "");
    run(async {
        let (_endpoint, connection) = connect(&server, "dns.example").await.unwrap();
        let asked = (0..300).map(|number| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let name = match number % 3 {
                    0 => format!("n{number}.fetched.example"),
                    1 => "www.wechat.com".to_owned(),
                    _ => "www.canada.ca".to_owned(),
                };
                (number, ask(&connection, &name).await.unwrap())
            })
        });
        for task in asked.collect::<Vec<_>>() {
            let (number, reply) = task.await.unwrap();
            assert_eq!(code(&reply), ["NOERROR", "NXDOMAIN", "NOERROR"][number % 3], "{number}");
        }
    });
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_and_no_other() {
    let server = start("", "");
    run(async {
        let (_innocent, other) = connect(&server, "dns.example").await.unwrap();
        let mut keepalive = query(0, 0x0100, "www.canada.ca", 1, Some(1232));
        let end = keepalive.len();
        keepalive[end - 2..].copy_from_slice(&4u16.to_be_bytes());
        keepalive.extend([0, 11, 0, 0]);
        let wrong = [
            framed(&query(7, 0x0100, "www.canada.ca", 1, None)),
            framed(&keepalive),
            vec![],
            vec![0, 9, 0, 0],
            [framed(&query(0, 0x0100, "www.canada.ca", 1, None)), vec![0]].concat(),
        ];
        for bytes in wrong {
            let (_endpoint, connection) = connect(&server, "dns.example").await.unwrap();
            assert_eq!(exchange(&connection, &bytes).await, None, "{bytes:?}");
            let closed = timeout(PATIENCE, connection.closed()).await.expect("an end");
            let ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed:?}") };
            assert_eq!(close.error_code, 2u32.into(), "DOQ_PROTOCOL_ERROR: {bytes:?}");
            assert_eq!(code(&ask(&other, "www.canada.ca").await.unwrap()), "NOERROR");
        }
        // Garbage inside is answered like garbage anywhere.
        let garbage = exchange(&other, &framed(&query(0, 0x0100, "www.canada.ca", 1, None)[..20])).await;
        assert_eq!(garbage.unwrap()[5] & 15, 1, "FORMERR");
        // One who gives up, over and over, harms nobody.
        for _ in 0..5000 {
            let (mut send, mut receive) = other.open_bi().await.unwrap();
            let _reset = send.reset(3u32.into());
            let _stopped = receive.stop(3u32.into());
        }
        assert_eq!(code(&ask(&other, "www.canada.ca").await.unwrap()), "NOERROR");
        // Only streams in both directions are for queries.
        let one_way = timeout(Duration::from_millis(500), other.open_uni()).await;
        assert!(one_way.is_err(), "there is none to be had");
    });
}

#[test]
fn places_are_bounded_and_idle_connections_end() {
    let server = start("connections_of_client = 3\nidle = \"3s\"\n", "");
    run(async {
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(connect(&server, "dns.example").await.unwrap());
        }
        assert!(connect(&server, "dns.example").await.is_err(), "a client has as many as it may");
        for (_, connection) in &open {
            assert!(matches!(timeout(PATIENCE, connection.closed()).await, Ok(ConnectionError::TimedOut)));
        }
        let (_endpoint, connection) = connect(&server, "dns.example").await.unwrap();
        assert_eq!(code(&ask(&connection, "www.canada.ca").await.unwrap()), "NOERROR");
    });
    server.counted("interdict_connections_closed_total{protocol=\"doq\",reason=\"limit\"} 1");
}

#[test]
fn clients_are_known_by_the_name_they_ask_for() {
    let policy = "[[policy.group]]\nname = \"mobile\"\nserver_names = [\"dns.example\"]\nenforce = []\n";
    let server = start("", policy);
    run(async {
        let (_endpoint, connection) = connect(&server, "dns.example").await.unwrap();
        assert_eq!(
            code(&ask(&connection, "wechat.com").await.unwrap()),
            "NOERROR",
            "nothing is enforced there"
        );
    });
    assert_eq!(server.site.rcode("wechat.com"), "Non-Existent Domain");
}

#[test]
fn a_renewed_certificate_is_shown_and_open_connections_live_on() {
    let server = start("", "");
    run(async {
        let (_endpoint, connection) = connect(&server, "dns.example").await.unwrap();
        let _new = encrypted::certify(&server.site, "dns.example");
        // Who trusts the new one alone gets in within seconds.
        let mut renewed = false;
        for _ in 0..100 {
            renewed = renewed || connect(&server, "dns.example").await.is_ok();
            tokio::time::sleep(Duration::from_millis(if renewed { 0 } else { 100 })).await;
        }
        assert!(renewed);
        assert_eq!(code(&ask(&connection, "www.canada.ca").await.unwrap()), "NOERROR");
    });
}
