//! Owns dnstap: a query as a message of protocol buffers with the policy's words, and the frame streams that carry such (bidirectional, with a
//! handshake). Never chooses which queries are told.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::answered;
use super::line::{Described, Event};
use super::output::{Batch, Output, Written, write_framed};
use super::syslog::PATIENCE;
use crate::dns::{Class, write_query};
use crate::telemetry::record::{Decision, Record};

/// Where a reader is.
#[derive(Clone, Debug)]
pub(super) enum Reader {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// A stream of frames to a reader, while there is one.
#[derive(Debug)]
pub(super) struct Frames {
    to: Reader,
    stream: Option<Stream>,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// What the frames hold.
const CONTENT: &[u8] = b"protobuf:dnstap.Dnstap";
/// Kinds of control frames.
const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
const FINISH: u32 = 5;
/// The one field of theirs: what frames hold.
const CONTENT_TYPE: u32 = 1;
/// Longest control frame (of the protocol's own library).
const LONGEST_CONTROL: u32 = 512;

/// A query as a dnstap message of the server `host`, without a frame.
pub(super) fn message(event: Event<'_>, client: Option<IpAddr>, host: &str) -> Vec<u8> {
    let Event { record, described, shown, .. } = event;
    let mut message = Vec::new();
    let reply = record.reply.map(|reply| answered::message(reply, event.tells_answers));
    let reply = reply.filter(|reply| !reply.is_empty());
    // CLIENT_RESPONSE, or CLIENT_QUERY where there was none: what is kept of that is the question.
    number(1, if reply.is_some() { 6 } else { 5 }, &mut message);
    number(2, if record.client.is_ipv4() { 1 } else { 2 }, &mut message);
    number(3, protocol(record.transport), &mut message);
    match client {
        Some(IpAddr::V4(address)) => bytes(4, &address.octets(), &mut message),
        Some(IpAddr::V6(address)) => bytes(4, &address.octets(), &mut message),
        None => {}
    }
    let (asked, answered) = (time(record.asked_ms()), time(record.time_ms));
    number(8, asked.0, &mut message);
    fixed(9, asked.1, &mut message);
    match reply {
        Some(reply) => {
            number(12, answered.0, &mut message);
            fixed(13, answered.1, &mut message);
            bytes(14, &reply, &mut message);
        }
        None => {
            let question =
                [record.name.as_wire(), &record.record_type.0.to_be_bytes(), &Class::IN.0.to_be_bytes()]
                    .concat();
            bytes(10, &write_query(0, &question, false, false, false), &mut message);
        }
    }
    if record.cause.is_some() {
        bytes(15, &policy(record, described), &mut message);
    }
    let mut out = Vec::new();
    bytes(1, host.as_bytes(), &mut out);
    bytes(2, concat!("interdict ", env!("CARGO_PKG_VERSION")).as_bytes(), &mut out);
    let extra = [record.decision.as_str(), &described.group, shown.identity.unwrap_or("")].join(" ");
    bytes(3, extra.trim_end().as_bytes(), &mut out);
    bytes(14, &message, &mut out);
    number(15, 1, &mut out);
    out
}

/// Seconds since 1970, and nanoseconds.
fn time(ms: i64) -> (u64, u32) {
    let ms = ms.max(0);
    ((ms / 1000) as u64, (ms % 1000) as u32 * 1_000_000)
}

fn policy(record: &Record<'_>, described: &Described) -> Vec<u8> {
    let words = &described.words;
    let mut out = Vec::new();
    bytes(1, words.instrument.as_bytes(), &mut out);
    bytes(2, words.rule.as_bytes(), &mut out);
    let action = match (record.decision, words.action) {
        (Decision::Permitted | Decision::Allowed | Decision::Shadow, _) | (_, "passthru") => 3,
        (_, "nodata") => 2,
        (_, "drop") => 4,
        (_, "tcp-only") => 5,
        (_, "sinkhole" | "local" | "redirect") => 6,
        _ => 1,
    };
    number(3, action, &mut out);
    number(
        4,
        match words.trigger {
            "client-address" => 2,
            "response-address" => 3,
            _ => 1,
        },
        &mut out,
    );
    bytes(5, words.app.as_bytes(), &mut out);
    out
}

fn protocol(transport: &str) -> u64 {
    match transport {
        "udp" => 1,
        "dot" => 3,
        "doh" => 4,
        "doq" => 7,
        _ => 2,
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn fixed(field: u64, value: u32, out: &mut Vec<u8>) {
    varint(field << 3 | 5, out);
    out.extend(value.to_le_bytes());
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    /// Connects, and agrees on what frames hold.
    fn open(to: &Reader) -> io::Result<Self> {
        let mut stream = match to {
            Reader::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Self::Unix(stream)
            }
            Reader::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Self::Tcp(stream)
            }
        };
        stream.write_all(&control(READY, true))?;
        stream.expect(ACCEPT)?;
        stream.write_all(&control(START, true))?;
        Ok(stream)
    }

    /// Reads a control frame, which must be of that kind.
    fn expect(&mut self, kind: u32) -> io::Result<()> {
        let wrong = || {
            io::Error::new(io::ErrorKind::InvalidData, "the reader speaks something else than frame streams")
        };
        let mut head = [0; 12];
        self.read_exact(&mut head)?;
        let word =
            |at: usize| head.get(at..).and_then(<[u8]>::first_chunk).map(|word| u32::from_be_bytes(*word));
        let (Some(0), Some(length @ 4..=LONGEST_CONTROL), Some(found)) = (word(0), word(4), word(8)) else {
            return Err(wrong());
        };
        let mut fields = vec![0; length as usize - 4];
        self.read_exact(&mut fields)?;
        if found == kind { Ok(()) } else { Err(wrong()) }
    }
}

/// A control frame.
fn control(kind: u32, says_content: bool) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    if says_content {
        body.extend(CONTENT_TYPE.to_be_bytes());
        body.extend((CONTENT.len() as u32).to_be_bytes());
        body.extend(CONTENT);
    }
    [&[0; 4][..], &(body.len() as u32).to_be_bytes(), &body].concat()
}

impl Frames {
    pub(super) fn new(to: Reader) -> Self {
        Self { to, stream: None }
    }
}

impl Output for Frames {
    fn write(&mut self, batch: &Batch) -> Written {
        let open = || Stream::open(&self.to);
        write_framed(&mut self.stream, open, batch, |length, out| out.extend((length as u32).to_be_bytes()))
    }

    fn tries_again(&self) -> bool {
        true
    }

    fn end(&mut self) {
        if let Some(stream) = &mut self.stream {
            // A reader that does not say goodbye has all that it will get.
            let _ended = stream.write_all(&control(STOP, false)).and_then(|()| stream.expect(FINISH)).is_ok();
        }
    }
}
