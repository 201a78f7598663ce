//! Owns the writing of one message to a secondary: header, the question as it was spelled, records whose owners end in a
//! pointer to it, OPT. Never signs, and never decides what to say.

use super::record::Record;
use super::request::Request;
use super::version::Head;
use crate::dns::{Class, Edns, Flags, HEADER, Rcode, RecordType};

/// What a response repeats of its request.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    id: u16,
    flags: Flags,
    question: Vec<u8>,
    pub(super) edns: bool,
}

/// A message being written.
#[derive(Debug)]
pub(super) struct Response {
    bytes: Vec<u8>,
    answers: u16,
}

/// Size that a message of a transfer is filled to. Half of what there may be: large enough that headers and signatures weigh
/// nothing, small enough that a few may wait for each connection.
const FILLED: usize = 32 << 10;
/// The size of responses over UDP that may be received, as OPT says: none is ever sent here that is longer.
const PAYLOAD: u16 = 1232;
/// A pointer to the question's name, which is the zone's (RFC 1035 4.1.4).
const ZONE: [u8; 2] = [0xC0, HEADER as u8];

impl Echo {
    pub(super) fn of(request: &Request<'_>) -> Self {
        Self {
            id: request.id,
            flags: request.flags,
            question: request.question.to_vec(),
            edns: request.edns.is_some(),
        }
    }
}

impl Response {
    /// A response without records yet. What is answered without error is answered with authority.
    pub(super) fn new(echo: &Echo, rcode: Rcode) -> Self {
        let authority = if rcode == Rcode::NOERROR { Flags::AA } else { 0 };
        let flags = Flags::QR | authority | (echo.flags.0 & Flags::RD) | (rcode.0 & Flags::RCODE);
        let mut bytes = Vec::with_capacity(512);
        for word in [echo.id, flags, 1, 0, 0, 0] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend_from_slice(&echo.question);
        Self { bytes, answers: 0 }
    }

    /// A response to bytes that were no request: the id and a code.
    pub(super) fn bare(packet: &[u8], rcode: Rcode) -> Vec<u8> {
        let word = |at: usize| {
            packet.get(at..).and_then(<[u8]>::first_chunk::<2>).map_or(0, |word| u16::from_be_bytes(*word))
        };
        let flags = Flags::QR | (word(2) & (Flags::OPCODE | Flags::RD)) | (rcode.0 & Flags::RCODE);
        let is_extended = rcode.0 > Flags::RCODE;
        let mut bytes = Vec::with_capacity(32);
        for word in [word(0), flags, 0, 0, 0, u16::from(is_extended)] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        if is_extended {
            bytes.extend_from_slice(&Edns::fixed(PAYLOAD, (rcode.0 >> 4) as u8, false, 0));
        }
        bytes
    }

    /// Appends a record; false, and nothing is done, when the message is full.
    pub(super) fn add(&mut self, record: &Record<'_>) -> bool {
        let length = record.owner.len() + ZONE.len() + 10 + record.rdata.len();
        if self.answers > 0 && self.bytes.len() + length > FILLED {
            return false;
        }
        self.bytes.extend_from_slice(record.owner);
        self.bytes.extend_from_slice(&ZONE);
        self.bytes.extend_from_slice(&record.record_type.0.to_be_bytes());
        self.bytes.extend_from_slice(&Class::IN.0.to_be_bytes());
        self.bytes.extend_from_slice(&record.ttl.to_be_bytes());
        self.bytes.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(record.rdata);
        self.answers += 1;
        true
    }

    /// Appends the SOA record of a version, as [`Response::add`] does.
    pub(super) fn add_soa(&mut self, head: Head) -> bool {
        let rdata = head.rdata();
        self.add(&Record { owner: b"", record_type: RecordType::SOA, ttl: head.ttl, rdata: &rdata })
    }

    /// The whole message; with an OPT record when `edns` says so.
    pub(super) fn finish(mut self, edns: bool) -> Vec<u8> {
        if edns {
            self.bytes.extend_from_slice(&Edns::fixed(PAYLOAD, 0, false, 0));
        }
        for (at, count) in [(6, self.answers), (10, u16::from(edns))] {
            if let Some(slot) = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) {
                *slot = count.to_be_bytes();
            }
        }
        self.bytes
    }

    /// The message without its records and with TC set: the client asks again over TCP.
    pub(super) fn truncated(echo: &Echo) -> Vec<u8> {
        let mut bytes = Self::new(echo, Rcode::NOERROR).finish(echo.edns);
        if let Some(flags) = bytes.get_mut(2) {
            *flags |= (Flags::TC >> 8) as u8;
        }
        bytes
    }
}
