//! Owns one exchange with one upstream: a query out, its answer back, checked against the question. Never chooses an
//! upstream and never tries twice.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::upstream::{Protocol, Upstream};
use crate::dns::{Flags, HEADER, MAX_MESSAGE, Message, RecordType, Section, write_query};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'q> {
    /// QNAME, QTYPE and QCLASS in wire form.
    pub(super) question: &'q [u8],
    pub(super) dnssec_ok: bool,
    pub(super) checking_disabled: bool,
    /// Whether to send an OPT record.
    pub(super) edns: bool,
}

/// How an exchange ended when there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the network failed: {0}")]
    Network(#[from] io::Error),
    #[error("no answer in time")]
    Timeout,
}

/// An answer, and what happened on the way.
#[derive(Debug)]
pub(super) struct Answered {
    /// The message as received, but for its OPT record.
    pub(super) message: Vec<u8>,
    /// Datagrams that were not the answer to the question.
    pub(super) mismatches: u32,
    /// Whether TCP was used.
    pub(super) tcp: bool,
}

pub(super) async fn exchange(upstream: Upstream, ask: Ask<'_>, wait: Duration) -> Result<Answered, Broken> {
    let whole = async {
        match upstream.protocol {
            Protocol::Tcp => over_tcp(upstream.address, ask, 0).await,
            Protocol::Udp => over_udp(upstream.address, ask).await,
        }
    };
    timeout(wait, whole).await.unwrap_or(Err(Broken::Timeout))
}

/// A socket of its own for each exchange: the kernel picks a random port, and connecting it makes the kernel drop
/// what others send (RFC 5452 section 9.2).
async fn over_udp(address: SocketAddr, ask: Ask<'_>) -> Result<Answered, Broken> {
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    let id = random_id()?;
    socket.send(&write_query(id, ask.question, ask.dnssec_ok, ask.checking_disabled, ask.edns)).await?;
    let mut buffer = vec![0; 4096];
    let mut mismatches = 0;
    loop {
        let length = socket.recv(&mut buffer).await?;
        let received = buffer.get(..length).unwrap_or(&[]);
        let Some(message) = accept(received, id, ask.question) else {
            mismatches += 1;
            continue;
        };
        if message.flags().has(Flags::TC) {
            return over_tcp(address, ask, mismatches).await;
        }
        // What does not parse is as good as forged: wait for the real one.
        match without_opt(message) {
            Some(message) => return Ok(Answered { message, mismatches, tcp: false }),
            None => mismatches += 1,
        }
    }
}

async fn over_tcp(address: SocketAddr, ask: Ask<'_>, mismatches: u32) -> Result<Answered, Broken> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let id = random_id()?;
    let query = write_query(id, ask.question, ask.dnssec_ok, ask.checking_disabled, ask.edns);
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&query);
    stream.write_all(&framed).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut received = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut received).await?;
    accept(&received, id, ask.question)
        .and_then(without_opt)
        .map(|message| Answered { message, mismatches, tcp: true })
        .ok_or_else(|| {
            Broken::Network(io::Error::new(io::ErrorKind::InvalidData, "not the answer to the question"))
        })
}

/// The message, if it answers `question` under `id`.
fn accept<'m>(received: &'m [u8], id: u16, question: &[u8]) -> Option<Message<'m>> {
    let message = Message::new(received)?;
    let flags = message.flags();
    let echoed = received.get(HEADER..message.question_end()?)?;
    let fits = message.id() == id
        && flags.has(Flags::QR)
        && flags.0 & Flags::OPCODE == 0
        && echoed.eq_ignore_ascii_case(question);
    fits.then_some(message)
}

/// The message without its OPT record, which speaks of this hop only (RFC 6891 6.2.2), and with a zero id. `None` when
/// its records do not parse.
fn without_opt(message: Message<'_>) -> Option<Vec<u8>> {
    let bytes = message.bytes();
    let mut opt = None;
    let mut end = message.question_end()?;
    let mut records = message.records();
    for record in records.by_ref() {
        end = record.rdata.end;
        if record.record_type == RecordType::OPT && record.section == Section::Additional {
            opt = Some(record.owner..record.rdata.end);
        }
    }
    if records.is_broken() || end > MAX_MESSAGE {
        return None;
    }
    let mut out = bytes.get(..end)?.to_vec();
    if let Some(opt) = opt {
        let count = message.record_count(Section::Additional) - 1;
        out.drain(opt);
        out.get_mut(10..12)?.copy_from_slice(&count.to_be_bytes());
    }
    out.get_mut(..2)?.copy_from_slice(&[0, 0]);
    Some(out)
}

/// An id that nobody can guess.
fn random_id() -> io::Result<u16> {
    getrandom::u32().map(|number| number as u16).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = b"\x01a\x07example\0\0\x01\0\x01";

    fn answer(id: u16, flags: u16) -> Vec<u8> {
        let mut out = id.to_be_bytes().to_vec();
        out.extend(flags.to_be_bytes());
        out.extend([0, 1, 0, 1, 0, 0, 0, 2]);
        out.extend(QUESTION);
        out.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x01");
        out.extend(b"\0\0\x29\x04\xD0\0\0\0\0\0\x04\0\x0A\0\0");
        out.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x02");
        out
    }

    #[test]
    fn only_the_opt_record_is_taken_out() {
        let bytes = answer(9, 0x8180);
        let message = accept(&bytes, 9, QUESTION).and_then(without_opt).unwrap();
        let records: Vec<_> = Message::new(&message).unwrap().records().collect();
        assert_eq!(records.len(), 2);
        assert_eq!(message.get(records[1].rdata.clone()), Some(&[192, 0, 2, 2][..]));
        assert_eq!(message.len(), bytes.len() - 15);
    }

    #[test]
    fn what_does_not_answer_the_question_is_not_accepted() {
        assert!(accept(&answer(9, 0x8180), 8, QUESTION).is_none(), "another id");
        assert!(accept(&answer(9, 0x0180), 9, QUESTION).is_none(), "a query");
        assert!(
            accept(&answer(9, 0x8180), 9, b"\x01b\x07example\0\0\x01\0\x01").is_none(),
            "another question"
        );
        let whole = answer(9, 0x8180);
        for cut in 0..whole.len() {
            assert!(accept(&whole[..cut], 9, QUESTION).and_then(without_opt).is_none(), "cut at {cut}");
        }
    }
}
