//! Owns the writing out of records whose names may be pointers into the message they come from, so that they can stand elsewhere. Never
//! changes what they say.

use super::message::{Message, Record};
use super::types::RecordType;
use super::{HEADER, MAX_NAME};

impl Message<'_> {
    /// A record's RDATA with its names written out. Only the types of RFC 1035 may be written with pointers, and those of RFC 3597 section 4
    /// are nevertheless read; `None` where they do not lead anywhere.
    pub fn rdata_written_out(self, record: &Record) -> Option<Vec<u8>> {
        let Some((fixed, names)) = self.names_in(record) else {
            return self.bytes().get(record.rdata.clone()).map(<[u8]>::to_vec);
        };
        let mut at = record.rdata.start + fixed;
        let mut out = self.bytes().get(record.rdata.start..at)?.to_vec();
        for _ in 0..names {
            let mut name = [0; MAX_NAME];
            let length = self.spelled_at(at, &mut name)?;
            out.extend(name.get(..length)?);
            at = self.name_end(at)?;
        }
        out.extend(self.bytes().get(at..record.rdata.end)?);
        Some(out)
    }

    /// Writes a record behind a copy of this message's header and question, its names written out.
    pub fn write_out(self, record: &Record, out: &mut Vec<u8>) -> Option<()> {
        let mut owner = [0; MAX_NAME];
        let length = self.spelled_at(record.owner, &mut owner)?;
        self.write_out_as(record, owner.get(..length)?, &self.rdata_written_out(record)?, out)
    }

    /// The same with another spelling of the owner, and other RDATA. An owner that points to the question's name goes on to do so, and keeps
    /// its spelling.
    pub(super) fn write_out_as(
        self,
        record: &Record,
        owner: &[u8],
        rdata: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        const QNAME: [u8; 2] = [0xC0, HEADER as u8];
        match self.bytes().get(record.owner..record.owner + 2) {
            Some(pointer) if pointer == QNAME => out.extend(pointer),
            _ => out.extend(owner),
        }
        out.extend(self.bytes().get(record.ttl_offset - 4..record.ttl_offset + 4)?);
        out.extend(u16::try_from(rdata.len()).ok()?.to_be_bytes());
        out.extend(rdata);
        Some(())
    }

    /// The bytes in front of the names in a record's RDATA, and how many names there are; `None` for a type without, and for those whose
    /// names are never pointers (RFC 4034 sections 3.1.7 and 4.1.1).
    fn names_in(self, record: &Record) -> Option<(usize, usize)> {
        const SIG: u16 = 24;
        const NXT: u16 = 30;
        Some(match record.record_type {
            RecordType::CNAME | RecordType::DNAME | RecordType::NS | RecordType::PTR => (0, 1),
            // MD, MF, MB, MG, MR.
            RecordType(3 | 4 | 7..=9 | NXT) => (0, 1),
            // And MINFO.
            RecordType::RP | RecordType::SOA | RecordType(14) => (0, 2),
            // And RT.
            RecordType::AFSDB | RecordType::KX | RecordType::MX | RecordType(21) => (2, 1),
            RecordType::HTTPS | RecordType::SVCB => (2, 1),
            // PX.
            RecordType(26) => (2, 2),
            RecordType::SRV => (6, 1),
            RecordType(SIG) => (18, 1),
            // Order, preference, three strings (RFC 3403 section 4.1).
            RecordType::NAPTR => {
                let mut at = record.rdata.start + 4;
                for _ in 0..3 {
                    at += 1 + usize::from(*self.bytes().get(at)?);
                }
                (at - record.rdata.start, 1)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_behind_pointers_are_written_out_and_keep_their_letters() {
        let mut bytes = b"\0\0\x81\x80\0\x01\0\x03\0\0\0\0\x01a\x07eXample\0\0\x0F\0\x01".to_vec();
        bytes.extend(b"\xC0\x0C\0\x0F\0\x01\0\0\0\x3C\0\x07\0\x0A\x02mX\xC0\x0E");
        bytes.extend(b"\xC0\x0E\0\x06\0\x01\0\0\0\x3C\0\x18\xC0\x0C\xC0\x0E\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05");
        bytes.extend(b"\xC0\x0C\0\x23\0\x01\0\0\0\x3C\0\x0A\0\x01\0\x02\x01S\0\0\xC0\x0E");
        let message = Message::new(&bytes).unwrap();
        let written: Vec<Vec<u8>> =
            message.records().map(|record| message.rdata_written_out(&record).unwrap()).collect();
        assert_eq!(written[0], b"\0\x0A\x02mX\x07eXample\0");
        assert_eq!(written[1][..20], *b"\x01a\x07eXample\0\x07eXample\0");
        assert_eq!(written[2], b"\0\x01\0\x02\x01S\0\0\x07eXample\0");
        let mut out = bytes[..message.question_end().unwrap()].to_vec();
        message.records().for_each(|record| message.write_out(&record, &mut out).unwrap());
        let anew = Message::new(&out).unwrap();
        let same: Vec<Vec<u8>> =
            anew.records().map(|record| anew.rdata_written_out(&record).unwrap()).collect();
        assert_eq!(same, written);
    }
}
