//! Owns the sending of messages to a syslog collector (RFC 5424): as datagrams (RFC 5426), or with their lengths in front over a connection
//! (RFC 6587 section 3.4.1). Never makes what a message says.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use jiff::Timestamp;

use super::draft::Draft;
use super::output::{Batch, Output, Written, write_framed};
use crate::telemetry::record::{Decision, Record};

/// What stands in front of every message of this host.
#[derive(Clone, Debug)]
pub(super) struct Header {
    host: String,
    process: u32,
}

/// Datagrams to a collector.
#[derive(Debug)]
pub(super) struct Datagrams {
    to: SocketAddr,
    socket: Option<UdpSocket>,
}

/// A connection to a collector, while there is one.
#[derive(Debug)]
pub(super) struct Connection {
    to: SocketAddr,
    stream: Option<TcpStream>,
}

/// How long a collector may take to be connected to, or to take what is sent.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// local0: what network services are given.
pub(super) const FACILITY: u8 = 16;

/// How much a record matters. Blocked and rehearsed: worth a notice. All else is information.
pub(super) fn severity(record: &Record<'_>) -> u8 {
    let is_notable = record.decision.is_denial() || record.decision == Decision::Shadow;
    if is_notable { 5 } else { 6 }
}

impl Header {
    /// The host's name.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn of_this_host() -> Self {
        let mut host = String::new();
        let read =
            File::open("/proc/sys/kernel/hostname").and_then(|file| file.take(255).read_to_string(&mut host));
        let is_name = |byte: u8| byte.is_ascii_graphic();
        let host = host.trim();
        let known = read.is_ok() && !host.is_empty() && host.bytes().all(is_name);
        Self { host: if known { host.to_owned() } else { "-".to_owned() }, process: std::process::id() }
    }

    /// Puts what stands in front of a record's message into the draft.
    pub(super) fn put(&self, record: &Record<'_>, draft: &mut Draft<'_>) {
        let severity = severity(record);
        let time = Timestamp::from_millisecond(record.time_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let (priority, host, process) = (FACILITY * 8 + severity, &self.host, self.process);
        // A draft takes everything.
        let _always = write!(draft, "<{priority}>1 {time:.3} {host} interdict {process} query - ").is_ok();
    }
}

impl Datagrams {
    pub(super) fn new(to: SocketAddr) -> Self {
        Self { to, socket: None }
    }

    fn socket(&mut self) -> io::Result<&UdpSocket> {
        if self.socket.is_none() {
            let any: SocketAddr = match self.to {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(self.to)?;
            self.socket = Some(socket);
        }
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Output for Datagrams {
    fn write(&mut self, batch: &Batch) -> Written {
        let mut records = 0;
        for record in batch.records() {
            match self.socket().and_then(|socket| socket.send(record)) {
                Ok(_) => records += 1,
                Err(error) => {
                    self.socket = None;
                    return Written::first(records, error);
                }
            }
        }
        Written::all(batch)
    }

    /// Nobody says which datagrams came.
    fn tries_again(&self) -> bool {
        false
    }
}

impl Connection {
    pub(super) fn new(to: SocketAddr) -> Self {
        Self { to, stream: None }
    }
}

/// Appends what stands in front of a message of so many bytes in a stream (RFC 6587 section 3.4.1, RFC 5425 section 4.3).
pub(super) fn write_length(length: usize, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _always = write!(out, "{length} ").is_ok();
}

/// True when the other end has closed, or is broken.
fn has_ended(stream: &TcpStream) -> bool {
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let waits = looked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    let has_said_something = looked.is_ok_and(|read| read > 0);
    stream.set_nonblocking(false).is_err() || !(waits || has_said_something)
}

impl Output for Connection {
    fn write(&mut self, batch: &Batch) -> Written {
        // Collectors say nothing: what can be read is their end. What is written after that goes nowhere, and nobody would say so.
        self.stream.take_if(|stream| has_ended(stream));
        let open = || {
            let stream = TcpStream::connect_timeout(&self.to, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        write_framed(&mut self.stream, open, batch, write_length)
    }

    fn tries_again(&self) -> bool {
        true
    }
}
