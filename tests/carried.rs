//! What of a client's question is carried to upstreams: its name, type, DO and CD, and nothing that tells who asks (RFC 7871 section 11.1:
//! options are not sent unless configured, and there is no such key), whichever way an upstream is asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]
#![allow(dead_code, reason = "shares files with other suites")]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::EdnsCode;
use interdict::app;
use interdict::clock::Clock;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The queries that came to an upstream, as they were sent.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// An upstream for one scheme, with a certificate for its address.
struct Upstream {
    address: SocketAddr,
    heard: Heard,
    _runtime: Option<tokio::runtime::Runtime>,
}

impl Upstream {
    fn start(scheme: &str, folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(folder.join("ca.pem"), made.cert.pem()).unwrap();
        let server = |application: &[u8]| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let certificate: CertificateDer<'static> = made.cert.der().clone();
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .unwrap();
            config.alpn_protocols = vec![application.to_vec()];
            config
        };
        let heard = Heard::default();
        let noted = Arc::clone(&heard);
        let mut runtime = None;
        let address = match scheme {
            "udp" => datagrams(noted),
            "tcp" => connections(noted, None, framed),
            "tls" => connections(noted, Some(server(b"dot")), framed),
            "https" => connections(noted, Some(server(b"h2")), http2),
            _ => {
                let (started, address) = quic(noted, server(b"doq"));
                runtime = Some(started);
                address
            }
        };
        Self { address, heard, _runtime: runtime }
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Notes a query, and answers it with 192.0.2.7.
fn answered(heard: &Heard, query: &[u8]) -> Vec<u8> {
    heard.lock().unwrap().push(query.to_vec());
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut out = query[..2].to_vec();
    out.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    out.extend(&query[12..end]);
    out.extend(b"\xC0\x0C\0\x01\0\x01\0\0\x01\x2C\0\x04\xC0\0\x02\x07");
    out
}

fn datagrams(heard: Heard) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            socket.send_to(&answered(&heard, &buffer[..length]), peer).unwrap();
        }
    });
    address
}

fn connections(
    heard: Heard,
    tls: Option<ServerConfig>,
    speak: fn(&mut dyn Stream, &Heard) -> std::io::Result<()>,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let tls = tls.map(Arc::new);
    std::thread::spawn(move || {
        while let Ok((tcp, _)) = listener.accept() {
            let (heard, tls) = (Arc::clone(&heard), tls.clone());
            std::thread::spawn(move || {
                let mut stream: Box<dyn Stream> = match tls {
                    None => Box::new(tcp),
                    Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), tcp)),
                };
                // It ends when whoever asks goes.
                let _gone = speak(&mut stream, &heard).is_err();
            });
        }
    });
    address
}

/// RFC 1035 section 4.2.2 and RFC 7858.
fn framed(stream: &mut dyn Stream, heard: &Heard) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query)?;
        let answer = answered(heard, &query);
        stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat())?;
    }
}

/// As much of HTTP/2 as one question takes (RFC 9113 section 4.1).
fn http2(stream: &mut dyn Stream, heard: &Heard) -> std::io::Result<()> {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    let frame = |kind: u8, flags: u8, id: [u8; 4], payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &id, payload].concat()
    };
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    stream.write_all(&frame(SETTINGS, 0, [0; 4], &[]))?;
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        match kind {
            SETTINGS if flags & 1 == 0 => stream.write_all(&frame(SETTINGS, 1, [0; 4], &[]))?,
            PING if flags & 1 == 0 => stream.write_all(&frame(PING, 1, [0; 4], &payload))?,
            DATA => {
                body.extend(payload);
                if flags & 1 == 1 {
                    // 200, and the media type (RFC 7541 appendix A, 8 and 31).
                    let fields = [&[0x88, 0x0F, 0x10, 23][..], b"application/dns-message"].concat();
                    stream.write_all(&frame(HEADERS, 4, id, &fields))?;
                    stream.write_all(&frame(DATA, 1, id, &answered(heard, &std::mem::take(&mut body))))?;
                }
            }
            _ => {}
        }
    }
}

/// RFC 9250 section 4.2.
fn quic(heard: Heard, config: ServerConfig) -> (tokio::runtime::Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let inside = runtime.enter();
    let config = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    drop(inside);
    runtime.spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let Ok(connection) = incoming.await else { continue };
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                let query = receive.read_to_end(4096).await.unwrap();
                let answer = answered(&heard, &query[2..]);
                send.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat()).await.unwrap();
                send.finish().unwrap();
            }
        }
    });
    (runtime, address)
}

/// A query with these options, in a class that DNS servers know.
fn query(name: &str, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = support::query(7, 0x0100, name, 1, Some(1232));
    let options: Vec<u8> = options
        .iter()
        .flat_map(|(code, value)| {
            [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
        })
        .collect();
    let end = out.len() - 2;
    out[end..].copy_from_slice(&(options.len() as u16).to_be_bytes());
    out.extend(options);
    out
}

const SUBNET: u16 = 8;
const PADDING: u16 = 12;

/// What clients and what stands in front of them put into questions: NSID, Client Subnet, a cookie, a chain (RFC 7901), key tags (RFC 8145),
/// a device's id (dnsmasq's `add-mac`, Umbrella's), and one for local use.
const TELLING: [(u16, &[u8]); 8] = [
    (3, b""),
    (10, b"\x01\x02\x03\x04\x05\x06\x07\x08"),
    (13, b"\x07example\0"),
    (14, b"\x4F\x66"),
    (65_001, b"\x02\0\0\0\0\x01"),
    (20_292, b"ODNS\0\0\x08"),
    (65_535, b"secret"),
    (26_946, b"DEVICE"),
];

/// Prefixes: of IPv4, of IPv6, none (RFC 7871 section 7.1.2: not to be told), and one that is malformed.
const SUBNETS: [&[u8]; 4] =
    [b"\0\x01\x18\0\xC0\0\x02", b"\0\x02\x38\0\x20\x01\x0D\xB8\0\0\0", b"\0\x01\0\0", b"\0\x09\xFF"];

#[test]
fn no_upstream_is_told_who_asks_whichever_way_it_is_asked() {
    for scheme in ["udp", "tcp", "tls", "https", "quic"] {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start(scheme, folder.path());
        let file = folder.path().join("interdict.toml");
        let folder_name = folder.path().display();
        let ca = if matches!(scheme, "udp" | "tcp") {
            String::new()
        } else {
            format!("ca = \"{folder_name}/ca.pem\"\n")
        };
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[policy]\nstate = \"{folder_name}/state\"\n\
             [upstream]\nservers = [\"{scheme}://{}\"]\n{ca}",
            upstream.address
        );
        std::fs::write(&file, text).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let inside = runtime.enter();
        let running =
            app::start(Some(file), Clock::system()).unwrap_or_else(|problems| panic!("{problems:#?}"));
        drop(inside);
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.connect(running.addresses[0]).unwrap();
        for (number, subnet) in SUBNETS.iter().enumerate() {
            let mut options = TELLING.to_vec();
            options.push((SUBNET, subnet));
            let name = format!("n{number}.example");
            for told in [query(&name, &options), query(&name, &options[8..])] {
                client.send(&told).unwrap();
                let mut reply = [0; 4096];
                let length = client.recv(&mut reply).unwrap();
                let reply = Message::from_vec(&reply[..length]).unwrap();
                assert_eq!((support::code(&reply), reply.answers.len()), ("NOERROR", 1), "{scheme} {name}");
                // Section 7.2.2: who does not tell it says nothing of it, as if it knew no such option.
                let edns = reply.edns.unwrap();
                let known = |code: &EdnsCode| {
                    matches!(u16::from(*code), SUBNET | 3 | 13 | 14 | 65_001 | 20_292 | 65_535 | 26_946)
                };
                let options = edns.options();
                assert!(!options.as_ref().iter().any(|(code, _)| known(code)), "{scheme}: {options:?}");
            }
        }
        runtime.block_on(running.stop());
        let heard = upstream.heard.lock().unwrap();
        assert_eq!(heard.len(), SUBNETS.len(), "{scheme}: a question with a subnet is none of its own");
        for query in heard.iter() {
            assert_eq!(query[4..12], [0, 1, 0, 0, 0, 0, 0, 1], "{scheme}");
            let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            assert_eq!(query[end..end + 3], [0, 0, 41], "an OPT record");
            let options = &query[end + 11..];
            match scheme {
                "udp" | "tcp" => assert!(options.is_empty(), "{scheme}: {options:?}"),
                // Padding, of zeros, and nothing else (RFC 8467).
                _ => {
                    assert_eq!(options[..2], PADDING.to_be_bytes(), "{scheme}");
                    assert_eq!(usize::from(u16::from_be_bytes([options[2], options[3]])), options.len() - 4);
                    assert!(options[4..].iter().all(|byte| *byte == 0) && query.len() % 128 == 0, "{scheme}");
                }
            }
        }
    }
}
