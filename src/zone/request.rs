//! Owns the reading of what a secondary asks: one question, the serial it has (RFC 1995 section 3), EDNS. Never decides what
//! is answered.

use crate::dns::{CanonicalName, Class, Edns, Flags, Message, Rcode, RecordType, Section};

/// A request with one question.
#[derive(Clone, Debug)]
pub(super) struct Request<'p> {
    pub(super) id: u16,
    pub(super) flags: Flags,
    pub(super) name: CanonicalName,
    /// The question as it was spelled: name, type, class.
    pub(super) question: &'p [u8],
    pub(super) record_type: RecordType,
    pub(super) class: Class,
    /// The serial that the client has; with type IXFR only.
    pub(super) serial: Option<u32>,
    pub(super) edns: Option<Edns>,
}

/// Bytes that are no such request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// To be answered with a header that has this code.
    Answer(Rcode),
    /// Too short, or a response: never answered.
    Silent,
}

impl<'p> Request<'p> {
    /// Reads a request. A TSIG record, which others verify, is passed over.
    pub(super) fn read(packet: &'p [u8]) -> Result<Self, Malformed> {
        let message = Message::new(packet).ok_or(Malformed::Silent)?;
        let flags = message.flags();
        if flags.has(Flags::QR) {
            return Err(Malformed::Silent);
        }
        if flags.0 & Flags::OPCODE != 0 {
            return Err(Malformed::Answer(Rcode::NOTIMP));
        }
        let malformed = Malformed::Answer(Rcode::FORMERR);
        let (name, question) = message.question().ok_or(malformed)?;
        let &[t1, t2, c1, c2] = question.last_chunk::<4>().ok_or(malformed)?;
        let mut request = Self {
            id: message.id(),
            flags,
            name,
            question,
            record_type: RecordType(u16::from_be_bytes([t1, t2])),
            class: Class(u16::from_be_bytes([c1, c2])),
            serial: None,
            edns: None,
        };
        let mut records = message.records();
        for record in records.by_ref() {
            match (record.section, record.record_type) {
                (Section::Authority, RecordType::SOA) if request.record_type == RecordType::IXFR => {
                    let rdata = packet.get(record.rdata).ok_or(malformed)?;
                    // Behind two names: serial, refresh, retry, expire, minimum.
                    let &numbers = rdata.last_chunk::<20>().ok_or(malformed)?;
                    request.serial = numbers.first_chunk::<4>().map(|serial| u32::from_be_bytes(*serial));
                }
                (Section::Additional, RecordType::OPT) if request.edns.is_some() => return Err(malformed),
                (Section::Additional, RecordType::OPT) => {
                    request.edns = Some(Edns::from_fields(record.class.0, record.ttl));
                }
                _ => {}
            }
        }
        let needs_serial = request.record_type == RecordType::IXFR && request.serial.is_none();
        if records.is_broken() || needs_serial {
            return Err(malformed);
        }
        if request.edns.is_some_and(|edns| edns.version != 0) {
            return Err(Malformed::Answer(Rcode::BADVERS));
        }
        Ok(request)
    }

    /// The largest response over UDP, in bytes.
    pub(super) fn udp_limit(&self) -> usize {
        /// What passes every network in one piece (DNS flag day 2020).
        const MOST: u16 = 1232;
        usize::from(self.edns.map_or(512, |edns| edns.payload.clamp(512, MOST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `dig +noedns rpz.test IXFR=7`, and the same with an OPT record.
    const IXFR: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\x01\0\0\x03rpz\x04test\0\0\xFB\0\x01\xC0\x0C\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn the_serial_of_an_incremental_request_is_read() {
        let request = Request::read(IXFR).unwrap();
        assert_eq!((request.id, request.serial), (0x1234, Some(7)));
        assert_eq!((request.name.to_string(), request.record_type), ("rpz.test".into(), RecordType::IXFR));
        let mut with_opt = IXFR.to_vec();
        with_opt[11] = 1;
        with_opt.extend(Edns::fixed(4096, 0, false, 0));
        let request = Request::read(&with_opt).unwrap();
        assert_eq!((request.serial, request.udp_limit()), (Some(7), 1232));
        with_opt[11] = 2;
        with_opt.extend(Edns::fixed(4096, 0, false, 0));
        assert_eq!(Request::read(&with_opt).unwrap_err(), Malformed::Answer(Rcode::FORMERR));
    }

    #[test]
    fn what_is_no_request_is_answered_with_its_code_or_not_at_all() {
        let read = |change: fn(&mut Vec<u8>)| {
            let mut packet = IXFR.to_vec();
            change(&mut packet);
            Request::read(&packet).unwrap_err()
        };
        assert_eq!(read(|packet| packet[2] = 0x80), Malformed::Silent);
        assert_eq!(read(|packet| packet.truncate(11)), Malformed::Silent);
        assert_eq!(read(|packet| packet[2] = 0x20), Malformed::Answer(Rcode::NOTIMP), "a NOTIFY");
        assert_eq!(read(|packet| packet[5] = 2), Malformed::Answer(Rcode::FORMERR));
        assert_eq!(read(|packet| packet[9] = 0), Malformed::Answer(Rcode::FORMERR), "no serial");
        assert_eq!(read(|packet| packet.truncate(40)), Malformed::Answer(Rcode::FORMERR));
        for end in 12..IXFR.len() {
            assert!(Request::read(&IXFR[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 7u64;
        for _ in 0..100_000 {
            let mut packet = IXFR.to_vec();
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % packet.len();
                packet[at] = (state >> 24) as u8;
            }
            packet.truncate((state >> 40) as usize % (packet.len() + 20));
            let _read = Request::read(&packet).is_ok();
        }
    }
}
