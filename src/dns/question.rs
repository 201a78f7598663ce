//! Owns the reading of a client's query: header, exactly one question, EDNS. Never allocates, and answers bytes that
//! are not a query with what the protocol wants done about them.

use super::canonical::CanonicalName;
use super::edns::Edns;
use super::message::{Message, Section};
use super::types::{Class, Flags, Rcode, RecordType};
use super::{HEADER, MAX_NAME};

/// A well-formed query with one question.
#[derive(Clone, Debug)]
pub struct Query<'p> {
    /// The bytes as received.
    pub packet: &'p [u8],
    /// The header's flags.
    pub flags: Flags,
    /// QNAME in canonical form; its spelling stays in `packet`.
    pub name: CanonicalName,
    /// QTYPE.
    pub record_type: RecordType,
    /// QCLASS.
    pub class: Class,
    /// The client's OPT record, if it sent one.
    pub edns: Option<Edns>,
}

/// Bytes that are not a query to be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Nothing may be sent back: too short for a header, or itself a response.
    Silent(Unanswerable),
    /// To be answered with this code. `question_end` is the end of the question to echo, or the header's end.
    Answer {
        /// The response code.
        rcode: Rcode,
        /// Where the echo ends, in bytes from the start of the packet.
        question_end: usize,
        /// True when the client sent an OPT record, so that ours must carry the code's upper bits.
        edns: bool,
    },
}

/// Why nothing may be sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswerable {
    /// The QR bit is set: answering would let two servers talk for ever.
    Response,
    /// Fewer than twelve bytes.
    Short,
}

impl<'p> Query<'p> {
    /// Reads a query. Trailing bytes after the last counted record are ignored, as other resolvers do.
    #[inline]
    pub fn read(packet: &'p [u8]) -> Result<Self, Malformed> {
        let Some(&[_, _, high, low, q1, q2, an1, an2, ns1, ns2, ar1, ar2]) = packet.first_chunk::<HEADER>()
        else {
            return Err(Malformed::Silent(Unanswerable::Short));
        };
        let flags = Flags(u16::from_be_bytes([high, low]));
        if flags.has(Flags::QR) {
            return Err(Malformed::Silent(Unanswerable::Response));
        }
        let refuse = |rcode| Malformed::Answer { rcode, question_end: HEADER, edns: false };
        if flags.0 & Flags::OPCODE != 0 {
            return Err(refuse(Rcode::NOTIMP));
        }
        if [q1, q2, an1, an2, ns1, ns2] != [0, 1, 0, 0, 0, 0] {
            return Err(refuse(Rcode::FORMERR));
        }
        let tail = packet.get(HEADER..).unwrap_or(&[]);
        let name = CanonicalName::read(tail).ok_or(refuse(Rcode::FORMERR))?;
        let length = name.as_wire().len();
        let Some(&[t1, t2, c1, c2]) = tail.get(length..).and_then(<[u8]>::first_chunk::<4>) else {
            return Err(refuse(Rcode::FORMERR));
        };
        let mut query = Self {
            packet,
            flags,
            name,
            record_type: RecordType(u16::from_be_bytes([t1, t2])),
            class: Class(u16::from_be_bytes([c1, c2])),
            edns: None,
        };
        let additional = u16::from_be_bytes([ar1, ar2]);
        if additional > 0 {
            query.edns = read_edns(packet, query.question_end(), additional).map_err(|()| {
                Malformed::Answer { rcode: Rcode::FORMERR, question_end: query.question_end(), edns: false }
            })?;
        }
        if query.edns.is_some_and(|edns| edns.version != 0) {
            let question_end = query.question_end();
            return Err(Malformed::Answer { rcode: Rcode::BADVERS, question_end, edns: true });
        }
        Ok(query)
    }

    /// End of the question section, in bytes from the start of the packet.
    #[inline]
    pub fn question_end(&self) -> usize {
        HEADER + self.name.as_wire().len() + 4
    }

    /// The question as the client spelled it: QNAME, QTYPE, QCLASS.
    #[inline]
    pub fn question(&self) -> &'p [u8] {
        self.packet.get(HEADER..self.question_end()).unwrap_or(&[])
    }

    /// The transaction id.
    #[inline]
    pub fn id(&self) -> u16 {
        self.packet.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id))
    }

    /// True when the client wants DNSSEC records.
    #[inline]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The largest reply in bytes the client takes over UDP, never above `cap` (RFC 6891 6.2.5).
    #[inline]
    pub fn udp_limit(&self, cap: u16) -> usize {
        usize::from(self.edns.map_or(512, |edns| edns.payload.max(512)).min(cap))
    }
}

/// The one OPT record among `count` additional records. Fails when there are two, its owner is not the root, or the
/// records do not parse.
fn read_edns(packet: &[u8], start: usize, count: u16) -> Result<Option<Edns>, ()> {
    // The usual query: a single OPT record without options right behind the question.
    if let (1, Some(&[0, 0, 41, p1, p2, _, version, f1, f2, 0, 0])) = (count, packet.get(start..)) {
        let ttl = u32::from_be_bytes([0, version, f1, f2]);
        return Ok(Some(Edns::from_fields(u16::from_be_bytes([p1, p2]), ttl)));
    }
    let mut found = None;
    let message = Message::new(packet).ok_or(())?;
    let mut records = message.records_from(start, Section::Additional, count);
    for record in records.by_ref() {
        if record.record_type != RecordType::OPT {
            continue;
        }
        if found.is_some() || packet.get(record.owner) != Some(&0) {
            return Err(());
        }
        found = Some(Edns::from_fields(record.class.0, record.ttl));
    }
    if records.is_broken() { Err(()) } else { Ok(found) }
}

/// A query as this product sends it upstream: recursion desired, one question, OPT with `payload`.
/// `question` is QNAME, QTYPE and QCLASS in wire form.
pub fn write_query(
    id: u16,
    question: &[u8],
    dnssec_ok: bool,
    checking_disabled: bool,
    edns: bool,
) -> Vec<u8> {
    /// What survives every tunnel without fragments (DNS flag day 2020).
    const PAYLOAD: u16 = 1232;
    let mut flags = Flags::RD | Flags::AD;
    if checking_disabled {
        flags |= Flags::CD;
    }
    let mut out = Vec::with_capacity(HEADER + MAX_NAME + 4 + super::OPT_FIXED);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
    out.extend_from_slice(question);
    if edns {
        out.extend_from_slice(&Edns::fixed(PAYLOAD, 0, dnssec_ok, 0));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
        let mut out = vec![0xAB, 0xCD];
        out.extend(flags.to_be_bytes());
        for count in counts {
            out.extend(count.to_be_bytes());
        }
        out.extend(rest);
        out
    }

    const QUESTION: &[u8] = b"\x06WeChat\x03com\0\0\x01\0\x01";

    #[test]
    fn a_plain_query_is_read_without_losing_its_spelling() {
        let bytes = packet(Flags::RD, [1, 0, 0, 0], QUESTION);
        let query = Query::read(&bytes).unwrap();
        assert_eq!(query.name.to_string(), "wechat.com");
        assert_eq!(query.question(), QUESTION);
        assert_eq!((query.id(), query.record_type, query.edns), (0xABCD, RecordType::A, None));
        assert_eq!(query.udp_limit(1232), 512);
    }

    #[test]
    fn edns_is_found_wherever_it_stands_among_the_additional_records() {
        let opt = b"\0\0\x29\x10\0\0\0\x80\0\0\0";
        let other = b"\0\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04";
        for rest in [[QUESTION, opt, &[]].concat(), [QUESTION, other, opt].concat()] {
            let count = if rest.len() > QUESTION.len() + 11 { 2 } else { 1 };
            let bytes = packet(0, [1, 0, 0, count], &rest);
            let query = Query::read(&bytes).unwrap();
            assert_eq!(query.edns, Some(Edns { payload: 4096, version: 0, dnssec_ok: true }));
            assert_eq!(query.udp_limit(1232), 1232);
        }
    }

    #[test]
    fn what_is_not_a_query_gets_what_the_protocol_wants() {
        let answer = |rcode, question_end, edns| Err(Malformed::Answer { rcode, question_end, edns });
        let end = HEADER + QUESTION.len();
        let badvers = [QUESTION, b"\0\0\x29\x10\0\0\x01\0\0\0\0"].concat();
        let two_opts = [QUESTION, &b"\0\0\x29\x10\0\0\0\0\0\0\0".repeat(2)].concat();
        for (bytes, expected) in [
            (vec![1, 2, 3], Err(Malformed::Silent(Unanswerable::Short))),
            (packet(Flags::QR, [1, 0, 0, 0], QUESTION), Err(Malformed::Silent(Unanswerable::Response))),
            (packet(0x2800, [1, 0, 0, 0], QUESTION), answer(Rcode::NOTIMP, HEADER, false)),
            (packet(0, [0, 0, 0, 0], &[]), answer(Rcode::FORMERR, HEADER, false)),
            (packet(0, [2, 0, 0, 0], QUESTION), answer(Rcode::FORMERR, HEADER, false)),
            (packet(0, [1, 1, 0, 0], QUESTION), answer(Rcode::FORMERR, HEADER, false)),
            (packet(0, [1, 0, 0, 0], b"\xC0\x0C\0\x01\0\x01"), answer(Rcode::FORMERR, HEADER, false)),
            (packet(0, [1, 0, 0, 1], &badvers), answer(Rcode::BADVERS, end, true)),
            (packet(0, [1, 0, 0, 2], &two_opts), answer(Rcode::FORMERR, end, false)),
            (packet(0, [1, 0, 0, 1], QUESTION), answer(Rcode::FORMERR, end, false)),
        ] {
            assert_eq!(Query::read(&bytes).map(|_| ()), expected, "{bytes:?}");
        }
    }
}
