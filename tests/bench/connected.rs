//! A load generator of the benchmark for connections: over TCP, or DoT, kept or with a new TLS 1.3 handshake for each query. Called
//! with `tcp`, `dot` or `handshake`, how many queries are under way on each of eight connections, an address, the server's certificate, seconds, and a file of questions; prints one line of
//! JSON. Every reply must answer a question that is under way on its connection, by id and question; its response code is looked at too.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a program of the benchmark: it stops where something is wrong, prints, and looks at the clock"
)]

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Connections at a time.
const CLIENTS: usize = 8;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

#[derive(Default)]
struct Seen {
    answered: u64,
    lost: u64,
    wrong: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, window, address, certificate, seconds, questions] = arguments.as_slice() else {
        panic!("mode, window, address, certificate, seconds, questions")
    };
    let window: u16 = window.parse().unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let length = Duration::from_secs_f64(seconds.parse().unwrap());
    let config = Arc::new(client(certificate));
    let mut text = String::new();
    std::fs::File::open(questions).unwrap().read_to_string(&mut text).unwrap();
    let queries: Arc<[Vec<u8>]> =
        text.lines().map(|line| query(line.split_whitespace().next().unwrap())).collect();
    let began = Instant::now();
    let threads: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (config, queries, mode) = (Arc::clone(&config), Arc::clone(&queries), mode.clone());
            std::thread::spawn(move || {
                let mut seen = Seen::default();
                let mut next = queries.iter().cycle().skip(number * queries.len() / CLIENTS);
                let over = || began.elapsed() >= length;
                match mode.as_str() {
                    "tcp" => kept(&mut connect(address).unwrap(), window, &mut next, &over, &mut seen),
                    "dot" => kept(&mut tls(address, &config).unwrap(), window, &mut next, &over, &mut seen),
                    _ => {
                        while !over() {
                            if once(address, &config, next.next().unwrap()).is_ok() {
                                seen.answered += 1;
                            } else {
                                seen.lost += 1;
                            }
                        }
                    }
                }
                seen
            })
        })
        .collect();
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().unwrap();
        all.answered += seen.answered;
        all.lost += seen.lost;
        all.wrong += seen.wrong;
    }
    println!(
        "{{\"answered\": {}, \"lost\": {}, \"wrong\": {}, \"seconds\": {:.3}}}",
        all.answered,
        all.lost,
        all.wrong,
        began.elapsed().as_secs_f64()
    );
}

/// Keeps a window of queries under way on one connection: as many new ones as replies came.
fn kept<'q>(
    stream: &mut dyn Stream,
    window: u16,
    next: &mut impl Iterator<Item = &'q Vec<u8>>,
    over: &dyn Fn() -> bool,
    seen: &mut Seen,
) {
    let mut free: Vec<u16> = (0..window).collect();
    // What was asked under each id, and not yet answered.
    let mut asked: Vec<Option<&[u8]>> = vec![None; usize::from(window)];
    let mut buffer = vec![0; 1 << 16];
    let mut filled = 0;
    let mut out = Vec::new();
    while !over() || free.len() < usize::from(window) {
        if !over() {
            out.clear();
            while let Some(id) = free.pop() {
                let begin = out.len();
                let query = next.next().unwrap();
                asked[usize::from(id)] = Some(&query[14..]);
                out.extend(query);
                out[begin + 2..begin + 4].copy_from_slice(&id.to_be_bytes());
            }
            stream.write_all(&out).unwrap();
            stream.flush().unwrap();
        }
        let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) else {
            seen.lost += (usize::from(window) - free.len()) as u64;
            return;
        };
        filled += read;
        let mut at = 0;
        while filled - at >= 2 {
            let end = at + 2 + usize::from(u16::from_be_bytes([buffer[at], buffer[at + 1]]));
            if end > filled {
                break;
            }
            let id = u16::from_be_bytes([buffer[at + 2], buffer[at + 3]]);
            // Stops at what answers nothing that is under way.
            let question = asked[usize::from(id)].take().unwrap();
            assert!(buffer[at + 14..end].starts_with(question), "an answer to what was asked");
            seen.answered += 1;
            seen.wrong += u64::from(buffer[at + 5] & 15 != 0);
            free.push(id);
            at = end;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}

/// One query on a connection of its own.
fn once(address: SocketAddr, config: &Arc<ClientConfig>, query: &[u8]) -> std::io::Result<()> {
    let mut stream = tls(address, config)?;
    stream.write_all(query)?;
    let mut reader = BufReader::new(&mut stream);
    let mut length = [0; 2];
    reader.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    reader.read_exact(&mut reply)?;
    assert_eq!(reply[3] & 15, 0, "a wrong reply");
    stream.conn.send_close_notify();
    stream.flush()
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(tcp)
}

fn tls(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("dns.example").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
    Ok(StreamOwned::new(connection, connect(address)?))
}

fn client(certificate: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

/// A framed query for a name's address.
fn query(name: &str) -> Vec<u8> {
    let mut out = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.trim_end_matches('.').split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.extend(b"\0\0\x01\0\x01");
    [&(out.len() as u16).to_be_bytes()[..], &out].concat()
}
