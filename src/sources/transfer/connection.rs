//! Owns one connection to a primary: its name resolved, TCP or TLS 1.3 (RFC 9103 section 8), messages with their length in
//! front, and a deadline for all of it. Never looks into a message.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::config::Transfer;
use super::refused;
use crate::clock::{Clock, Moment};
use crate::dns::framed;
use crate::sources::http::{self, CONNECT};
use crate::sources::refusal::Refusal;

/// A connection.
pub(super) struct Connection {
    stream: Stream,
    deadline: Deadline,
}

/// When all of it must be over.
#[derive(Clone, Debug)]
pub(super) struct Deadline {
    clock: Clock,
    at: Moment,
    limit: Duration,
}

enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

/// A TCP stream of which each wait ends with the deadline.
struct Timed {
    tcp: TcpStream,
    deadline: Deadline,
}

impl Deadline {
    /// `limit` from now. By the machine's own clock: the network does not wait for any other.
    pub(super) fn after(limit: Duration) -> Self {
        let clock = Clock::system();
        let at = clock.now().plus(limit);
        Self { clock, at, limit }
    }

    /// What is left; fails when nothing is.
    fn left(&self) -> io::Result<Duration> {
        let left = self.at.since(self.clock.now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// Whole seconds since it was made.
    pub(super) fn elapsed(&self) -> u64 {
        u64::from(self.clock.now().seconds())
    }
}

/// The addresses of a primary. A name is looked up on a thread of its own, which is not waited for past the deadline.
pub(super) fn resolve(transfer: &Transfer, deadline: &Deadline) -> Result<Vec<IpAddr>, Refusal> {
    if let Some(address) = transfer.address.ip() {
        return Ok(vec![address]);
    }
    let (found, answer) = sync_channel(1);
    let asked = (transfer.address.host.clone(), transfer.address.port);
    let look_up = move || {
        let addresses = asked.to_socket_addrs().map(|all| all.map(|one| one.ip()).collect::<Vec<_>>());
        // Nobody waits any more.
        let _late = found.send(addresses).is_err();
    };
    let failed = |error: io::Error| refused::connection(&error, deadline.limit);
    thread::Builder::new().name("resolve".to_owned()).spawn(look_up).map_err(failed)?;
    let wait = deadline.left().map_err(failed)?.min(CONNECT);
    match answer.recv_timeout(wait) {
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(refused::unresolved()),
        Err(_) => Err(refused::connection(&io::ErrorKind::TimedOut.into(), wait)),
    }
}

impl Connection {
    /// Connects to the first of `addresses` that takes it.
    pub(super) fn open(
        transfer: &Transfer,
        addresses: &[IpAddr],
        deadline: &Deadline,
    ) -> Result<Self, Refusal> {
        let mut connected = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            let place = SocketAddr::new(*address, transfer.address.port);
            connected =
                deadline.left().and_then(|left| TcpStream::connect_timeout(&place, left.min(CONNECT)));
            if connected.is_ok() {
                break;
            }
        }
        let tcp = connected.map_err(|error| refused::connection(&error, deadline.limit.min(CONNECT)))?;
        // A request is one small segment; should this fail, it is only slower.
        let _slower = tcp.set_nodelay(true).is_err();
        let timed = Timed { tcp, deadline: deadline.clone() };
        let stream = match transfer.address.tls {
            false => Stream::Plain(timed),
            true => Stream::Tls(Box::new(StreamOwned::new(tls(transfer)?, timed))),
        };
        Ok(Self { stream, deadline: deadline.clone() })
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: &[u8]) -> Result<(), Refusal> {
        let stream = self.stream.as_write();
        let sent = stream.write_all(&framed(message)).and_then(|()| stream.flush());
        sent.map_err(|error| refused::connection(&error, self.deadline.limit))
    }

    /// Reads the next message into `message`.
    pub(super) fn receive(&mut self, message: &mut Vec<u8>) -> Result<(), Refusal> {
        let stream = self.stream.as_read();
        let mut length = [0; 2];
        let read = stream.read_exact(&mut length).and_then(|()| {
            message.resize(usize::from(u16::from_be_bytes(length)), 0);
            stream.read_exact(message)
        });
        read.map_err(|error| refused::connection(&error, self.deadline.limit))
    }
}

/// TLS 1.3 and nothing older, offered as `dot` (RFC 9103 sections 7.1 and 8).
fn tls(transfer: &Transfer) -> Result<ClientConnection, Refusal> {
    let mut roots = RootCertStore::empty();
    let certificates = http::certificates(transfer.ca.as_deref())?;
    // A store may hold certificates that no verifier takes: they speak for nobody.
    roots.add_parsable_certificates(
        certificates.iter().map(|certificate| CertificateDer::from(certificate.der())),
    );
    let failed = |error: rustls::Error| http::tls(&error);
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    let name = ServerName::try_from(transfer.address.host.clone()).map_err(|_| refused::unresolved())?;
    ClientConnection::new(Arc::new(config), name).map_err(failed)
}

impl Stream {
    fn as_read(&mut self) -> &mut dyn Read {
        match self {
            Self::Plain(timed) => timed,
            Self::Tls(tls) => tls,
        }
    }

    fn as_write(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(timed) => timed,
            Self::Tls(tls) => tls,
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(self.deadline.left()?))?;
        self.tcp.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(self.deadline.left()?))?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}
