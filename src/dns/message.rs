//! Owns the walk over a message's records and the expansion of compressed names (RFC 1035 4.1.4).
//! Never follows a pointer forward, so that a loop cannot be built, and never allocates.

use std::net::IpAddr;
use std::ops::Range;

use super::canonical::CanonicalName;
use super::types::{Class, Flags, OPCODE_NOTIFY, RecordType};
use super::{HEADER, MAX_NAME};

/// Writes the numbers of answer, authority and additional records into a header (RFC 1035 section 4.1.1). `None` where it is not whole.
pub fn write_counts(bytes: &mut [u8], counts: [u16; 3]) -> Option<()> {
    bytes.get_mut(6..HEADER)?.copy_from_slice(counts.map(u16::to_be_bytes).as_flattened());
    Some(())
}

/// A message with at least a whole header.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m>(&'m [u8]);

/// Which part of a message a record stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Answer records.
    Answer,
    /// Authority records.
    Authority,
    /// Additional records.
    Additional,
}

/// One record; all positions are bytes from the start of the message.
#[derive(Clone, Debug)]
pub struct Record {
    /// The part of the message it stands in.
    pub section: Section,
    /// Where the owner name begins.
    pub owner: usize,
    /// TYPE.
    pub record_type: RecordType,
    /// CLASS.
    pub class: Class,
    /// TTL in seconds, as written.
    pub ttl: u32,
    /// Where the TTL field stands.
    pub ttl_offset: usize,
    /// RDATA.
    pub rdata: Range<usize>,
}

/// An iterator over records that remembers whether the message broke off.
#[derive(Clone, Debug)]
pub struct Records<'m> {
    message: &'m [u8],
    at: usize,
    left: [u16; 3],
    section: usize,
    broken: bool,
}

impl<'m> Message<'m> {
    /// `None` when the bytes are shorter than a header.
    pub fn new(bytes: &'m [u8]) -> Option<Self> {
        (bytes.len() >= HEADER).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn bytes(self) -> &'m [u8] {
        self.0
    }

    /// The transaction id.
    pub fn id(self) -> u16 {
        self.word(0)
    }

    /// The header's flags.
    pub fn flags(self) -> Flags {
        Flags(self.word(2))
    }

    /// The OPT pseudo-record (RFC 6891 section 6.1.1).
    pub fn opt(self) -> Option<Record> {
        self.records().opt()
    }

    /// Number of questions the header promises.
    pub fn question_count(self) -> u16 {
        self.word(4)
    }

    /// Number of records the header promises in `section`.
    pub fn record_count(self, section: Section) -> u16 {
        self.word(match section {
            Section::Answer => 6,
            Section::Authority => 8,
            Section::Additional => 10,
        })
    }

    /// The end of the question section when there is exactly one question, else `None`.
    pub fn question_end(self) -> Option<usize> {
        if self.question_count() != 1 {
            return None;
        }
        let end = skip_name(self.0, HEADER)? + 4;
        (end <= self.0.len()).then_some(end)
    }

    /// The single question, its name and all its bytes, when the name is written out: nothing stands before it to point to.
    pub fn question(self) -> Option<(CanonicalName, &'m [u8])> {
        let question = self.0.get(HEADER..self.question_end()?)?;
        let name = CanonicalName::read(question)?;
        (name.as_wire().len() + 4 == question.len()).then_some((name, question))
    }

    /// True for a request with the opcode NOTIFY (RFC 1996).
    pub fn is_notify(self) -> bool {
        self.flags().0 & (Flags::QR | Flags::OPCODE) == OPCODE_NOTIFY
    }

    /// All records behind a single question. Empty and broken when the question does not parse.
    pub fn records(self) -> Records<'m> {
        let start = self.question_end();
        let left = [self.word(6), self.word(8), self.word(10)];
        Records { message: self.0, at: start.unwrap_or(0), left, section: 0, broken: start.is_none() }
    }

    /// All records behind a single question, or behind none, as in the later messages of a zone transfer (RFC 5936 section
    /// 2.2.1). Empty and broken when the question does not parse.
    pub fn transferred(self) -> Records<'m> {
        let start = if self.question_count() == 0 { Some(HEADER) } else { self.question_end() };
        let records = self.records();
        Records { at: start.unwrap_or(0), broken: start.is_none(), ..records }
    }

    /// The addresses in the answer, of its A and AAAA records, each with its TTL in seconds.
    pub fn addresses(self) -> impl Iterator<Item = (IpAddr, u32)> + use<'m> {
        let mut records = self.records();
        let answers = std::iter::from_fn(move || records.next_answer());
        answers.filter_map(move |record| Some((self.rdata_address(&record)?, record.ttl)))
    }

    /// What an A or AAAA record says; `None` of others, and where the RDATA is no address.
    pub fn rdata_address(self, record: &Record) -> Option<IpAddr> {
        let rdata = self.0.get(record.rdata.clone())?;
        match record.record_type {
            RecordType::A => <[u8; 4]>::try_from(rdata).ok().map(IpAddr::from),
            RecordType::AAAA => <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from),
            _ => None,
        }
    }

    /// `count` records of one section, beginning at byte `start`.
    pub(super) fn records_from(self, start: usize, section: Section, count: u16) -> Records<'m> {
        let mut left = [0; 3];
        if let Some(slot) = left.get_mut(section as usize) {
            *slot = count;
        }
        Records { message: self.0, at: start, left, section: 0, broken: false }
    }

    /// The name at byte `at`, pointers followed, in canonical form.
    pub fn name_at(self, at: usize) -> Option<CanonicalName> {
        let mut wire = [0; MAX_NAME];
        let length = expand_name(self.0, at, &mut wire)?;
        CanonicalName::read(wire.get(..length)?)
    }

    /// Writes the name at byte `at` into `out`, pointers followed and letters as they are; returns its length.
    pub(super) fn spelled_at(self, at: usize, out: &mut [u8; MAX_NAME]) -> Option<usize> {
        expand_name(self.0, at, out)
    }

    /// The byte after the name at byte `at`, pointers not followed.
    pub fn name_end(self, at: usize) -> Option<usize> {
        skip_name(self.0, at)
    }

    fn word(self, at: usize) -> u16 {
        word(self.0, at).unwrap_or(0)
    }
}

impl Records<'_> {
    /// True once the message turned out shorter or otherwise different from what its header promised.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The next one, if it is of the answer.
    pub fn next_answer(&mut self) -> Option<Record> {
        let [answers, ..] = self.left;
        if answers > 0 { self.next() } else { None }
    }

    /// The OPT pseudo-record among those that are left (RFC 6891 section 6.1.1).
    pub fn opt(mut self) -> Option<Record> {
        let [.., additional] = self.left;
        if additional == 0 {
            return None;
        }
        self.find(|record| (record.section, record.record_type) == (Section::Additional, RecordType::OPT))
    }

    fn read(&mut self, section: Section) -> Option<Record> {
        let owner = self.at;
        let fields = skip_name(self.message, owner)?;
        let &[t1, t2, c1, c2, l1, l2, l3, l4, r1, r2] = self.message.get(fields..)?.first_chunk::<10>()?;
        let start = fields + 10;
        let end = start + usize::from(u16::from_be_bytes([r1, r2]));
        if end > self.message.len() {
            return None;
        }
        self.at = end;
        Some(Record {
            section,
            owner,
            record_type: RecordType(u16::from_be_bytes([t1, t2])),
            class: Class(u16::from_be_bytes([c1, c2])),
            ttl: u32::from_be_bytes([l1, l2, l3, l4]),
            ttl_offset: fields + 4,
            rdata: start..end,
        })
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.broken {
            return None;
        }
        let left = loop {
            let left = self.left.get_mut(self.section)?;
            if *left > 0 {
                break left;
            }
            self.section += 1;
        };
        *left -= 1;
        let section = match self.section {
            0 => Section::Answer,
            1 => Section::Authority,
            _ => Section::Additional,
        };
        let record = self.read(section);
        self.broken = record.is_none();
        record
    }
}

/// The byte after the name at `at`, pointers not followed.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    // A name has at most 127 labels, so a longer run is not a name.
    for _ in 0..128 {
        let label = *message.get(at)?;
        match label {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(label),
            0xC0.. => return (at + 2 <= message.len()).then_some(at + 2),
            _ => return None,
        }
    }
    None
}

/// Writes the name at `at` uncompressed into `out`; returns its length. Pointers must point backwards, each before
/// the last, so that the work is bounded by the length of the message.
fn expand_name(message: &[u8], mut at: usize, out: &mut [u8; MAX_NAME]) -> Option<usize> {
    let mut written = 0;
    let mut barrier = at;
    loop {
        let label = *message.get(at)?;
        match label {
            0 => {
                *out.get_mut(written)? = 0;
                return Some(written + 1);
            }
            1..=63 => {
                let size = 1 + usize::from(label);
                out.get_mut(written..written + size)?.copy_from_slice(message.get(at..at + size)?);
                written += size;
                at += size;
            }
            0xC0.. => {
                let target = usize::from(word(message, at)? & 0x3FFF);
                if target >= barrier {
                    return None;
                }
                barrier = target;
                at = target;
            }
            _ => return None,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|pair| u16::from_be_bytes(*pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a.example A?` answered by `a.example CNAME b.example`, `b.example A 192.0.2.1`, with compression.
    fn answer() -> Vec<u8> {
        let mut out = b"\0\x07\x81\x80\0\x01\0\x02\0\0\0\0\x01a\x07example\0\0\x01\0\x01".to_vec();
        out.extend(b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x04\x01B\xC0\x0E");
        out.extend(b"\xC0\x27\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x01");
        out
    }

    #[test]
    fn records_are_walked_and_names_expanded() {
        let bytes = answer();
        let message = Message::new(&bytes).unwrap();
        let records: Vec<Record> = message.records().collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].record_type, RecordType::CNAME);
        assert_eq!(message.name_at(records[0].rdata.start).unwrap().to_string(), "b.example");
        assert_eq!((records[1].ttl, &bytes[records[1].rdata.clone()]), (30, &[192, 0, 2, 1][..]));
        assert_eq!(message.name_at(records[1].owner).unwrap().to_string(), "b.example");
    }

    #[test]
    fn a_message_that_breaks_off_says_so() {
        let bytes = answer();
        for cut in 29..bytes.len() {
            let mut records = Message::new(&bytes[..cut]).unwrap().records();
            let _count = records.by_ref().count();
            assert!(records.is_broken(), "cut at {cut}");
        }
    }

    #[test]
    fn pointer_loops_and_forward_pointers_end() {
        let mut bytes = answer();
        let start = bytes.len();
        bytes.extend([0xC0, start as u8, 0xC0, 0xFF]);
        let message = Message::new(&bytes).unwrap();
        assert!(message.name_at(start).is_none());
        assert!(message.name_at(start + 2).is_none());
    }
}
