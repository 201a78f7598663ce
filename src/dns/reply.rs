//! Owns the writing of a reply into a caller's buffer: header and echoed question, records, SOA, OPT.
//! Never allocates, and never decides what to say.

use super::canonical::CanonicalName;
use super::edns::Edns;
use super::question::Query;
use super::types::{Class, Flags, Rcode, RecordType};
use super::{HEADER, MAX_NAME, Name};

/// A reply being written. It fits the buffer or fails with [`Full`]; the caller then truncates.
#[derive(Debug)]
pub struct ReplyWriter<'b> {
    buffer: &'b mut [u8],
    length: usize,
}

/// The reply does not fit the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The RDATA of the SOA record that goes with every negative answer of ours, with its TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    ttl: u32,
    rdata: Box<[u8]>,
}

impl Soa {
    /// An SOA with MINIMUM = TTL = `ttl` seconds (RFC 2308 3: the lesser of both is what a client caches).
    pub fn new(primary: &Name, contact: &Name, serial: u32, ttl: u32) -> Self {
        let mut rdata = Vec::with_capacity(2 * MAX_NAME + 20);
        rdata.extend_from_slice(primary.as_wire());
        rdata.extend_from_slice(contact.as_wire());
        // Refresh, retry and expire mean nothing here, as nobody transfers the zone; common values keep linters calm.
        for field in [serial, 3600, 600, 86_400, ttl] {
            rdata.extend_from_slice(&field.to_be_bytes());
        }
        Self { ttl, rdata: rdata.into() }
    }
}

impl<'b> ReplyWriter<'b> {
    /// Starts a reply to `query`: QR and RA set, RD and CD copied, AA and AD clear, the question echoed byte for byte.
    #[inline]
    pub fn answer(buffer: &'b mut [u8], query: &Query<'_>, rcode: Rcode) -> Result<Self, Full> {
        let copied = query.flags.0 & (Flags::RD | Flags::CD);
        Self::start(
            buffer,
            query.packet,
            query.question_end(),
            Flags::QR | Flags::RA | copied | (rcode.0 & Flags::RCODE),
        )
    }

    /// Starts a reply to bytes that may not be a whole query: the id, and the question if `question_end` is past the
    /// header.
    pub fn refusal(
        buffer: &'b mut [u8],
        packet: &[u8],
        question_end: usize,
        rcode: Rcode,
    ) -> Result<Self, Full> {
        let asked = packet.get(2..4).and_then(<[u8]>::first_chunk::<2>).map_or(0, |b| u16::from_be_bytes(*b));
        let copied = asked & (Flags::RD | Flags::CD | Flags::OPCODE);
        Self::start(buffer, packet, question_end, Flags::QR | Flags::RA | copied | (rcode.0 & Flags::RCODE))
    }

    #[inline]
    fn start(buffer: &'b mut [u8], packet: &[u8], question_end: usize, flags: u16) -> Result<Self, Full> {
        let head = packet.get(..question_end).ok_or(Full)?;
        buffer.get_mut(..question_end).ok_or(Full)?.copy_from_slice(head);
        let mut writer = Self { buffer, length: question_end };
        writer.patch(2, flags.to_be_bytes());
        writer.patch(4, u16::from(question_end > HEADER).to_be_bytes());
        writer.patch(6, [0; 6]);
        Ok(writer)
    }

    /// Goes on behind `length` bytes that are already a whole reply.
    #[inline]
    pub fn resume(buffer: &'b mut [u8], length: usize) -> Self {
        Self { buffer, length }
    }

    /// Appends an OPT record with `options` to a whole reply and ends it.
    #[inline]
    pub fn opt_and_finish(mut self, payload: u16, dnssec_ok: bool, options: &[u8]) -> Result<usize, Full> {
        self.opt(payload, Rcode::NOERROR, dnssec_ok, options)?;
        Ok(self.length)
    }

    /// Sets the truncation bit.
    pub fn truncated(&mut self) {
        self.set_flags(Flags::TC);
    }

    /// Sets further header flags.
    pub fn set_flags(&mut self, mask: u16) {
        let [high, low] = mask.to_be_bytes();
        if let Some([a, b]) = self.buffer.get_mut(2..4) {
            *a |= high;
            *b |= low;
        }
    }

    /// Appends an answer record whose owner is the question's name.
    pub fn answer_record(&mut self, record_type: RecordType, ttl: u32, rdata: &[u8]) -> Result<(), Full> {
        self.record(HEADER, record_type, ttl, rdata)?;
        self.count(6)
    }

    /// Appends an answer record with an owner of its own, uncompressed.
    pub fn named_record(
        &mut self,
        owner: &CanonicalName,
        record_type: RecordType,
        class: Class,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        self.bytes(owner.as_wire())?;
        self.bytes(&record_type.0.to_be_bytes())?;
        self.bytes(&class.0.to_be_bytes())?;
        self.bytes(&ttl.to_be_bytes())?;
        self.bytes(&(rdata.len() as u16).to_be_bytes())?;
        self.bytes(rdata)?;
        self.count(6)
    }

    /// Appends the SOA record to the authority section; its owner is the ancestor of the question's name that begins
    /// `owner_offset` bytes into it.
    #[inline]
    pub fn soa(&mut self, owner_offset: usize, soa: &Soa) -> Result<(), Full> {
        self.record(HEADER + owner_offset, RecordType::SOA, soa.ttl, &soa.rdata)?;
        self.count(8)
    }

    /// Appends an OPT record with `options` in wire form.
    #[inline]
    pub fn opt(&mut self, payload: u16, rcode: Rcode, dnssec_ok: bool, options: &[u8]) -> Result<(), Full> {
        self.bytes(&Edns::fixed(payload, (rcode.0 >> 4) as u8, dnssec_ok, options.len() as u16))?;
        self.bytes(options)?;
        self.count(10)
    }

    /// Appends raw bytes that the caller accounts for.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.length + bytes.len();
        self.buffer.get_mut(self.length..end).ok_or(Full)?.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    /// The finished length in bytes.
    #[inline]
    pub fn finish(self) -> usize {
        self.length
    }

    #[inline]
    fn record(&mut self, owner: usize, record_type: RecordType, ttl: u32, rdata: &[u8]) -> Result<(), Full> {
        let [p1, p2] = (0xC000 | owner as u16).to_be_bytes();
        let [t1, t2] = record_type.0.to_be_bytes();
        let [c1, c2] = Class::IN.0.to_be_bytes();
        let [l1, l2, l3, l4] = ttl.to_be_bytes();
        let [r1, r2] = (rdata.len() as u16).to_be_bytes();
        self.bytes(&[p1, p2, t1, t2, c1, c2, l1, l2, l3, l4, r1, r2])?;
        self.bytes(rdata)
    }

    /// Adds one to the record count at header offset `at`.
    #[inline]
    fn count(&mut self, at: usize) -> Result<(), Full> {
        let slot = self.buffer.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>).ok_or(Full)?;
        *slot = (u16::from_be_bytes(*slot) + 1).to_be_bytes();
        Ok(())
    }

    #[inline]
    fn patch<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        if let Some(slot) = self.buffer.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<N>) {
            *slot = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &[u8] = b"\xAB\xCD\x01\x10\0\x01\0\0\0\0\0\0\x03wWw\x06WeChat\x03com\0\0\x01\0\x01";

    #[test]
    fn a_negative_answer_echoes_the_question_and_carries_one_soa() {
        let query = Query::read(PACKET).unwrap();
        let soa = Soa::new(&"a.invalid".parse().unwrap(), &"b.invalid".parse().unwrap(), 7, 60);
        let mut buffer = [0; 512];
        let mut writer = ReplyWriter::answer(&mut buffer, &query, Rcode::NXDOMAIN).unwrap();
        writer.soa(query.name.label_offset(1), &soa).unwrap();
        writer.opt(1232, Rcode::NXDOMAIN, true, b"").unwrap();
        let length = writer.finish();
        let reply = hickory_proto::op::Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(&buffer[HEADER..PACKET.len()], &PACKET[HEADER..], "0x20 spelling kept");
        assert_eq!(
            u16::from_be_bytes([buffer[2], buffer[3]]),
            Flags::QR | Flags::RA | Flags::RD | Flags::CD | 3
        );
        assert_eq!(reply.authorities.len(), 1);
        assert_eq!(reply.authorities[0].name.to_string().to_lowercase(), "wechat.com.");
        assert_eq!(reply.authorities[0].ttl, 60);
        assert!(reply.edns.is_some());
    }

    #[test]
    fn a_full_buffer_is_an_error_not_a_panic() {
        let query = Query::read(PACKET).unwrap();
        for size in 0..PACKET.len() {
            assert!(ReplyWriter::answer(&mut vec![0; size], &query, Rcode::NOERROR).is_err());
        }
        let mut exact = vec![0; PACKET.len()];
        let mut writer = ReplyWriter::answer(&mut exact, &query, Rcode::NOERROR).unwrap();
        assert_eq!(writer.opt(1232, Rcode::NOERROR, false, b""), Err(Full));
    }
}
