//! A server of lists on a loopback port, with TLS or without, that answers as it is told, counts what it is asked, and
//! goes down and up again; a proxy before it; and minisign's own tool. Shared by the suites that fetch.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each suite uses the part it needs")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::listening::{Listening, Stream, Tls, send, stream};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A request: its path, and its headers by lower-case name.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

/// What goes out: pieces, with a pause before each.
#[derive(Clone, Debug, Default)]
pub struct Reply(pub Vec<(Duration, Vec<u8>)>);

pub type Answer = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// An authority made at run time, and what it certifies.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

pub struct ListServer {
    pub address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    listening: Listening,
}

#[derive(Default)]
struct State {
    answers: Mutex<BTreeMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicU64,
}

impl Reply {
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![(Duration::ZERO, bytes.into())])
    }

    pub fn new(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        Self::raw([head.as_bytes(), body].concat())
    }

    pub fn ok(headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::new("200 OK", headers, body)
    }
}

impl Authority {
    pub fn new(title: &str) -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, title);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(parameters, key) }
    }

    /// Certificate and key in PEM for a server of that name or address, until that year.
    pub fn certify_pem(&self, name: &str, until: i32) -> (String, String) {
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// TLS for a server of that name or address, until that year.
    pub fn certify(&self, name: &str, until: i32) -> Arc<rustls::ServerConfig> {
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

impl ListServer {
    pub fn start(tls: Tls) -> Self {
        let (state, scheme) = (Arc::<State>::default(), if tls.is_some() { "https" } else { "http" });
        let shared = Arc::clone(&state);
        let listening = Listening::start(move |tcp| {
            shared.connections.fetch_add(1, Ordering::Relaxed);
            connection(&mut *stream(tcp, &tls), &shared);
        });
        Self { address: listening.address, scheme, state, listening }
    }

    /// One certified for its own address.
    pub fn certified(authority: &Authority) -> Self {
        Self::start(Some(authority.certify("127.0.0.1", 2100)))
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Serves `body` at `path` as servers of files do: with an ETag, and 304 to whoever has it.
    pub fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        let body = body.into();
        let etag =
            format!("\"{:x}\"", body.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte)));
        self.answer(path, move |asked| match asked.headers.get("if-none-match") {
            Some(known) if *known == etag => Reply::raw("HTTP/1.1 304 Not Modified\r\n\r\n"),
            _ => Reply::ok(&[("ETag", &etag), ("Content-Type", "text/plain")], &body),
        });
    }

    pub fn answer(&self, path: &str, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        self.state.answers.lock().unwrap().insert(path.to_owned(), Arc::new(answer));
    }

    /// Requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Connections so far, whether or not a request came of them.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    pub fn down(&mut self) {
        self.listening.down();
    }

    pub fn up(&mut self) {
        self.listening.up();
    }
}

/// One request, one reply, and the end.
fn connection(stream: &mut dyn Stream, state: &State) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) if head.len() < 16_384 => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let asked = Asked { path: path.clone(), headers };
    state.asked.lock().unwrap().push(asked.clone());
    let answer = state.answers.lock().unwrap().get(&path).cloned();
    let reply =
        answer.map_or_else(|| Reply::new("404 Not Found", &[], b"no such list\n"), |answer| answer(&asked));
    send(stream, reply.0);
}

/// A proxy that lets CONNECT through, or refuses it; counts.
pub struct ConnectProxy {
    pub address: SocketAddr,
    pub connected: Arc<AtomicU64>,
}

impl ConnectProxy {
    pub fn start(admits: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, connected) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&connected);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let Some(target) = head.strip_prefix("CONNECT ") else { continue };
                if !admits {
                    client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap();
                    continue;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let server = TcpStream::connect(target.split(' ').next().unwrap()).unwrap();
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
                for (mut from, mut to) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    std::thread::spawn(move || {
                        let _bytes = std::io::copy(&mut from, &mut to).unwrap_or(0);
                        let _ended = to.shutdown(std::net::Shutdown::Write).is_ok();
                    });
                }
            }
        });
        Self { address, connected }
    }
}

/// A key pair of minisign's own tool.
pub struct Signer {
    folder: tempfile::TempDir,
    pub key: String,
}

impl Signer {
    /// `None`, and a word about it, where minisign is not installed; `tests/run` installs it.
    pub fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-G", "-W", "-f", "-p", "key.pub", "-s", "key"];
        let Ok(made) = in_folder(Command::new("minisign").args(arguments), folder.path()) else {
            eprintln!("skipped: minisign is not installed");
            return None;
        };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let file = super::support::read(&folder.path().join("key.pub"));
        Some(Self { folder, key: file.lines().last().unwrap().to_owned() })
    }

    /// The signature of `bytes` with that trusted comment; `legacy` in minisign's older form.
    pub fn sign(&self, bytes: &[u8], comment: &str, legacy: bool) -> Vec<u8> {
        std::fs::write(self.folder.path().join("list"), bytes).unwrap();
        let form = if legacy { "-l" } else { "-H" };
        let arguments = ["-S", form, "-s", "key", "-m", "list", "-x", "list.sig", "-t", comment];
        let made = in_folder(Command::new("minisign").args(arguments), self.folder.path()).unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        super::support::read(&self.folder.path().join("list.sig")).into_bytes()
    }
}

fn in_folder(command: &mut Command, folder: &Path) -> std::io::Result<std::process::Output> {
    command.current_dir(folder).stdin(std::process::Stdio::null()).output()
}
