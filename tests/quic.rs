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

// --- DNS over HTTP/3 ---

const HTTP3: &str = "[[listener]]\nprotocol = \"doh3\"\naddress = \"127.0.0.1:0\"\n";

/// Asks over HTTP/3.
struct Http3 {
    requests: h3::client::SendRequest<h3_quinn::OpenStreams, bytes::Bytes>,
    connection: Connection,
    endpoint: Endpoint,
}

/// What comes back: status, head, body.
type Answered = (u16, http::HeaderMap, Vec<u8>);

impl Http3 {
    async fn connect(server: &Encrypted) -> Self {
        Self::try_connect(server).await.expect("a place")
    }

    /// `None` without a place.
    async fn try_connect(server: &Encrypted) -> Option<Self> {
        use rustls::pki_types::pem::PemObject as _;
        let pem = std::fs::read(server.site.path("cert.pem")).unwrap();
        let certificate = rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap();
        let tls = client(&[certificate], &[b"h3"]);
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connecting = endpoint.connect_with(config, port(server), "dns.example").unwrap();
        let connection = timeout(PATIENCE, connecting).await.expect("an end of the handshake").ok()?;
        let opened = h3::client::new(h3_quinn::Connection::new(connection.clone()));
        let (mut driver, requests) = timeout(PATIENCE, opened).await.unwrap().unwrap();
        tokio::spawn(async move { std::future::poll_fn(|context| driver.poll_close(context)).await });
        Some(Self { requests, connection, endpoint })
    }

    /// Fails with what went wrong with the request, and with its connection.
    async fn request(
        &self,
        method: &str,
        uri: &str,
        kind: Option<&str>,
        body: &[u8],
    ) -> Result<Answered, String> {
        let mut requests = self.requests.clone();
        let uri = format!("https://dns.example{uri}");
        let request = http::Request::builder().method(method).uri(uri);
        let request = kind.into_iter().fold(request, |request, kind| request.header("content-type", kind));
        let exchange = async {
            let mut stream = requests.send_request(request.body(()).unwrap()).await?;
            if !body.is_empty() {
                stream.send_data(bytes::Bytes::copy_from_slice(body)).await?;
            }
            stream.finish().await?;
            let (head, ()) = stream.recv_response().await?.into_parts();
            let mut content = Vec::new();
            while let Some(mut part) = stream.recv_data().await? {
                use bytes::Buf as _;
                content.extend_from_slice(&part.copy_to_bytes(part.remaining()));
            }
            Ok::<_, h3::error::StreamError>((head.status.as_u16(), head.headers, content))
        };
        let ended = timeout(PATIENCE, exchange).await.expect("an end of the exchange");
        ended.map_err(|error| format!("{error}; the connection: {:?}", self.connection.close_reason()))
    }

    async fn post(&self, name: &str) -> Answered {
        let query = query(0, 0x0100, name, 1, Some(1232));
        self.request("POST", "/dns-query", Some("application/dns-message"), &query).await.unwrap()
    }
}

fn encoded(query: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(query)
}

fn start_http3(limits: &str, policy: &str) -> Encrypted {
    Encrypted::start_with("", &format!("{HTTP3}{limits}{policy}"))
}

#[test]
fn over_http3_a_banned_name_is_blocked_and_another_resolved() {
    let server = start_http3("", "[[policy.group]]\nname = \"free\"\npaths = [\"/free\"]\nenforce = []\n");
    run(async {
        let asker = Http3::connect(&server).await;
        for _ in 0..2 {
            let (status, head, body) = asker.post("www.wechat.com").await;
            assert_eq!((status, code(&Message::from_vec(&body).unwrap())), (200, "NXDOMAIN"));
            assert_eq!(
                (&head["content-type"], &head["cache-control"]),
                (&"application/dns-message".parse().unwrap(), &"max-age=60".parse().unwrap())
            );
            let (_, head, body) = asker.post("www.canada.ca").await;
            let answer = Message::from_vec(&body).unwrap();
            assert_eq!((code(&answer), answer.answers.len()), ("NOERROR", 1));
            assert_eq!(head["content-length"], body.len().to_string().as_str());
        }
        let uri =
            |path: &str, name: &str| format!("{path}?dns={}", encoded(&query(0, 0x0100, name, 1, None)));
        let get = async |uri: String| asker.request("GET", &uri, None, b"").await.unwrap();
        let (status, _, body) = get(uri("/dns-query", "www.wechat.com")).await;
        assert_eq!((status, body[3] & 15), (200, 3));
        // A group's own path.
        let (status, _, body) = get(uri("/free", "www.wechat.com")).await;
        assert_eq!((status, body[3] & 15), (200, 0));
        for (status, method, at, kind, body) in [
            (404, "GET", uri("/elsewhere", "a.example"), None, vec![]),
            (400, "GET", "/dns-query".to_owned(), None, vec![]),
            (400, "GET", "/dns-query?dns=++".to_owned(), None, vec![]),
            (405, "PUT", "/dns-query".to_owned(), None, vec![]),
            (415, "POST", "/dns-query".to_owned(), Some("text/plain"), vec![0; 40]),
            (413, "POST", "/dns-query".to_owned(), Some("application/dns-message"), vec![0; 70_000]),
        ] {
            let said = asker.request(method, &at, kind, &body).await.unwrap();
            assert_eq!((said.0, said.2.len()), (status, 0), "{method} {at}");
        }
        // What is no query has no answer, and nobody else is concerned.
        let garbage = asker.request("POST", "/dns-query", Some("application/dns-message"), &[1, 2, 3]).await;
        assert!(garbage.is_err(), "{garbage:?}");
        assert_eq!(asker.post("www.canada.ca").await.0, 200);
        asker.connection.close(0u32.into(), b"");
        asker.endpoint.wait_idle().await;
    });
    server.counted("interdict_connections_closed_total{protocol=\"doh\",reason=\"client\"} 1");
    let page = server.site.http("GET", "/metrics", None).1;
    assert!(page.contains("interdict_queries_total{protocol=\"doh\"} 7\n"), "{page}");
}

#[test]
fn over_http3_many_requests_at_once_are_answered_in_any_order() {
    let server = start_http3("", "");
    run(async {
        let asker = Arc::new(Http3::connect(&server).await);
        let asked = (0..300).map(|number| {
            let asker = Arc::clone(&asker);
            tokio::spawn(async move {
                let name = match number % 3 {
                    0 => format!("n{number}.fetched.example"),
                    1 => "www.wechat.com".to_owned(),
                    _ => "www.canada.ca".to_owned(),
                };
                (number, asker.post(&name).await)
            })
        });
        for task in asked.collect::<Vec<_>>() {
            let (number, (status, _, body)) = task.await.unwrap();
            assert_eq!((status, usize::from(body[3] & 15)), (200, [0, 3, 0][number % 3]), "{number}");
        }
    });
}

#[test]
fn over_http3_places_are_bounded_and_whoever_stalls_ends() {
    let server = start_http3("connections = 2\nidle = \"1s\"\n", "");
    run(async {
        let first = Http3::connect(&server).await;
        // Only now is its handshake done for the server too, which takes few at once.
        assert_eq!(first.post("www.canada.ca").await.0, 200);
        let second = Http3::connect(&server).await;
        assert_eq!(second.post("www.canada.ca").await.0, 200);
        let refused = Http3::try_connect(&server).await;
        assert!(refused.is_none(), "there are two places");
        // A body that never comes, of which nobody waits for the end.
        let mut requests = second.requests.clone();
        let request = http::Request::post("https://dns.example/dns-query")
            .header("content-type", "application/dns-message");
        let mut stalled = requests.send_request(request.body(()).unwrap()).await.unwrap();
        stalled.send_data(bytes::Bytes::from_static(&[0; 5])).await.unwrap();
        // The request's patience ends when the connection's does.
        if let Ok(head) = timeout(PATIENCE, stalled.recv_response()).await.expect("an end") {
            assert_eq!(head.status().as_u16(), 408);
        }
        let reason = timeout(PATIENCE, first.connection.closed()).await.expect("an end of the idle one");
        assert!(!matches!(reason, ConnectionError::LocallyClosed), "{reason}");
    });
}

#[test]
fn answers_over_http2_and_the_resolver_itself_tell_of_http3() {
    let server = start_http3("", "[discovery]\nname = \"dns.example\"\n");
    let asked = format!("{}?dns={}", server.uri(), encoded(&query(0, 0x0100, "www.canada.ca", 1, None)));
    let port = port(&server).port();
    for version in ["--http2", "--http1.1"] {
        let said = server.curl(&[version, "--include", "--output", "-", &asked]);
        let expected = format!("alt-svc: h3=\":{port}\"; ma=86400");
        assert!(said.to_lowercase().contains(&expected), "{version}: {said}");
    }
    let answer = server.site.ask("_dns.resolver.arpa", 64);
    let told: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    assert!(told.iter().any(|svcb| svcb.contains("h3") && svcb.contains(&port.to_string())), "{told:?}");
    let none = start("", "");
    let asked = format!("{}?dns={}", none.uri(), encoded(&query(0, 0x0100, "www.canada.ca", 1, None)));
    assert!(!none.curl(&["--include", "--output", "-", &asked]).to_lowercase().contains("alt-svc"));
}
