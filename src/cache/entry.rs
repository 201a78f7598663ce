//! Owns one kept answer: the upstream's bytes, how long they hold, and the names the answer leads to.
//! Never decides whether it may be shown; the policy in force does, each time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Moment;
use crate::dns::{CanonicalName, Flags, HEADER, Message, Query, Rcode, RecordType, Section};

/// One answer, immutable but for the note of which policy passed it.
#[derive(Debug)]
pub struct Entry {
    key: Box<[u8]>,
    message: Box<[u8]>,
    ttl_offsets: Box<[u16]>,
    question_end: u16,
    stored: u32,
    expires: u32,
    /// Names the answer leads to: CNAME, DNAME, SVCB and HTTPS targets.
    targets: Box<[CanonicalName]>,
    /// Upper half: a generation; lower half: the groups, by bit, whose screening under it let the answer pass.
    passed: AtomicU64,
}

/// How old an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Within its TTL.
    Fresh,
    /// Past its TTL, but not for longer than stale answers are allowed.
    Stale,
    /// Of no use.
    TooOld,
}

/// What differs between the kept message and one client's reply.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// When the reply is made.
    pub now: Moment,
    /// Serve past the TTL, with the TTL of stale records.
    pub stale: bool,
}

/// TTL of stale records in seconds (RFC 8767 section 4 recommends 30).
const STALE_TTL: u32 = 30;
/// Longest any positive answer is kept, in seconds: one day, so that a typing error in a zone does not last longer.
const LONGEST: u32 = 86_400;
/// Longest any negative answer is kept, in seconds (RFC 2308 section 5 suggests one to three hours).
const LONGEST_NEGATIVE: u32 = 3600;
/// How long a failure is kept, in seconds (RFC 9520 section 3.2: at least one second).
const FAILURE: u32 = 2;

impl Entry {
    /// Keeps `message`, an upstream's answer without OPT record. `None` when it does not parse or must not be kept.
    pub fn new(key: &[u8], message: &[u8], now: Moment) -> Option<Self> {
        let parsed = Message::new(message)?;
        let question_end = parsed.question_end()? as u16;
        let mut ttl_offsets = Vec::new();
        let mut targets = Vec::new();
        let mut lowest = LONGEST;
        let mut negative = None;
        let mut answers = false;
        let mut records = parsed.records();
        for record in records.by_ref() {
            // RFC 2181 8: a TTL with the top bit set counts as zero.
            let ttl = if record.ttl > i32::MAX as u32 { 0 } else { record.ttl };
            ttl_offsets.push(u16::try_from(record.ttl_offset).ok()?);
            match record.section {
                Section::Answer => {
                    answers |= record.record_type != RecordType::CNAME;
                    lowest = lowest.min(ttl);
                    targets.extend(target(parsed, record.record_type, record.rdata.clone()));
                }
                Section::Authority if record.record_type == RecordType::SOA => {
                    let minimum = message.get(..record.rdata.end)?.last_chunk::<4>()?;
                    negative = Some(ttl.min(u32::from_be_bytes(*minimum)).min(LONGEST_NEGATIVE));
                }
                Section::Authority | Section::Additional => {}
            }
        }
        if records.is_broken() {
            return None;
        }
        let holds = match (parsed.flags().rcode(), answers, negative) {
            (Rcode::NOERROR, true, _) => lowest,
            (Rcode::NOERROR | Rcode::NXDOMAIN, _, Some(negative)) => lowest.min(negative),
            // RFC 2308 5: a negative answer without SOA should not be kept.
            (Rcode::NOERROR | Rcode::NXDOMAIN, _, None) => 0,
            _ => FAILURE,
        };
        Some(Self {
            key: key.into(),
            message: message.into(),
            ttl_offsets: ttl_offsets.into(),
            question_end,
            stored: now.seconds(),
            expires: now.seconds().saturating_add(holds),
            targets: targets.into(),
            passed: AtomicU64::new(0),
        })
    }

    /// The key it is kept under.
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The upstream's message.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Names the answer leads to.
    #[inline]
    pub fn targets(&self) -> &[CanonicalName] {
        &self.targets
    }

    /// The response code.
    pub fn rcode(&self) -> Rcode {
        self.flags().rcode()
    }

    /// How old it is at `now`; `stale` is how many seconds past its TTL it may be shown.
    #[inline]
    pub fn freshness(&self, now: Moment, stale: u32) -> Freshness {
        let now = now.seconds();
        if now < self.expires {
            Freshness::Fresh
        } else if now < self.expires.saturating_add(stale) && self.rcode() != Rcode::SERVFAIL {
            Freshness::Stale
        } else {
            Freshness::TooOld
        }
    }

    /// True when `group` was already let pass under `generation`. Groups past the thirty-second are screened each time.
    #[inline]
    pub fn is_passed(&self, generation: u64, group: u16) -> bool {
        let noted = self.passed.load(Ordering::Relaxed);
        group < 32 && noted >> 32 == generation & 0xFFFF_FFFF && noted >> group & 1 == 1
    }

    /// Notes that `group` was let pass under `generation`. A lost race costs one more screening, nothing else.
    pub fn note_passed(&self, generation: u64, group: u16) {
        if group >= 32 {
            return;
        }
        let generation = generation << 32;
        let noted = self.passed.load(Ordering::Relaxed);
        let groups = if noted & !0xFFFF_FFFF == generation { noted & 0xFFFF_FFFF } else { 0 };
        self.passed.store(generation | groups | 1 << group, Ordering::Relaxed);
    }

    /// Copies the answer into `buffer` as the reply to `query`, without OPT record. `None` when it does not fit.
    #[inline]
    pub fn write(&self, query: &Query<'_>, patch: Patch, buffer: &mut [u8]) -> Option<usize> {
        let length = self.message.len();
        let out = buffer.get_mut(..length)?;
        out.copy_from_slice(&self.message);
        // The question as this client spelled it; compressed names in the answer point at it.
        let question_end = usize::from(self.question_end);
        out.get_mut(HEADER..question_end)?.copy_from_slice(query.packet.get(HEADER..question_end)?);
        out.get_mut(..2)?.copy_from_slice(query.packet.get(..2)?);
        let asked = query.flags.0 & (Flags::RD | Flags::CD);
        let mut flags = Flags::QR | Flags::RA | asked | self.flags().0 & Flags::RCODE;
        // RFC 6840 5.8: AD only to clients that show they understand it.
        if self.flags().has(Flags::AD) && (query.dnssec_ok() || query.flags.has(Flags::AD)) {
            flags |= Flags::AD;
        }
        out.get_mut(2..4)?.copy_from_slice(&flags.to_be_bytes());
        let passed = patch.now.seconds().saturating_sub(self.stored);
        for &offset in &self.ttl_offsets {
            let field = out.get_mut(usize::from(offset)..)?.first_chunk_mut::<4>()?;
            let ttl = if patch.stale { STALE_TTL } else { u32::from_be_bytes(*field).saturating_sub(passed) };
            *field = ttl.to_be_bytes();
        }
        Some(length)
    }

    /// Bytes it holds, roughly.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + 2 * self.key.len()
            + self.message.len()
            + 2 * self.ttl_offsets.len()
            + size_of_val::<[CanonicalName]>(&self.targets)
            + 64
    }

    #[inline]
    fn flags(&self) -> Flags {
        Flags(
            self.message
                .get(2..4)
                .and_then(<[u8]>::first_chunk::<2>)
                .map_or(0, |bytes| u16::from_be_bytes(*bytes)),
        )
    }
}

/// The name that a record of this type leads to.
fn target(
    message: Message<'_>,
    record_type: RecordType,
    rdata: std::ops::Range<usize>,
) -> Option<CanonicalName> {
    let at = match record_type {
        RecordType::CNAME | RecordType::DNAME => rdata.start,
        // RFC 9460 2.2: SvcPriority, then TargetName; `.` stands for the owner itself.
        RecordType::SVCB | RecordType::HTTPS => rdata.start + 2,
        _ => return None,
    };
    message.name_at(at).filter(|name| name.label_count() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use jiff::Timestamp;
    use std::time::Duration;

    const QUERY: &[u8] = b"\xAB\xCD\x01\0\0\x01\0\0\0\0\0\0\x01A\x07eXample\0\0\x01\0\x01";

    fn answer() -> Vec<u8> {
        let mut out = b"\0\0\x81\xA0\0\x01\0\x02\0\0\0\0\x01a\x07example\0\0\x01\0\x01".to_vec();
        out.extend(b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x04\x01b\xC0\x0E");
        out.extend(b"\xC0\x27\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x01");
        out
    }

    #[test]
    fn an_answer_counts_down_and_keeps_the_clients_spelling() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let entry = Entry::new(b"k", &answer(), clock.now()).unwrap();
        clock.advance(Duration::from_secs(10));
        let query = Query::read(QUERY).unwrap();
        let mut buffer = [0; 512];
        let length = entry.write(&query, Patch { now: clock.now(), stale: false }, &mut buffer).unwrap();
        let reply = &buffer[..length];
        assert_eq!(&reply[..4], b"\xAB\xCD\x81\x80", "AD is not for a client that did not ask");
        assert_eq!(&reply[HEADER..QUERY.len()], &QUERY[HEADER..]);
        let ttls: Vec<u32> = Message::new(reply).unwrap().records().map(|record| record.ttl).collect();
        assert_eq!(ttls, [50, 20]);
        assert_eq!(entry.targets()[0].to_string(), "b.example");
        assert_eq!(entry.freshness(clock.now(), 60), Freshness::Fresh);
        clock.advance(Duration::from_secs(20));
        assert_eq!(entry.freshness(clock.now(), 60), Freshness::Stale);
        clock.advance(Duration::from_secs(60));
        assert_eq!(entry.freshness(clock.now(), 60), Freshness::TooOld);
    }

    #[test]
    fn a_negative_answer_holds_for_the_lesser_of_ttl_and_minimum() {
        let mut message = b"\0\0\x81\x83\0\x01\0\0\0\x01\0\0\x01a\x07example\0\0\x01\0\x01".to_vec();
        message.extend(b"\xC0\x0E\0\x06\0\x01\0\0\x0E\x10\0\x18\0\0");
        message.extend([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5]);
        let length = message.len();
        message[length - 22 - 2..length - 22].copy_from_slice(&22u16.to_be_bytes());
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let entry = Entry::new(b"k", &message, clock.now()).unwrap();
        clock.advance(Duration::from_secs(4));
        assert_eq!(entry.freshness(clock.now(), 0), Freshness::Fresh);
        clock.advance(Duration::from_secs(1));
        assert_eq!(entry.freshness(clock.now(), 0), Freshness::TooOld);
    }

    #[test]
    fn a_pass_is_remembered_for_one_generation_and_group() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let entry = Entry::new(b"k", &answer(), clock.now()).unwrap();
        entry.note_passed(7, 3);
        entry.note_passed(7, 4);
        assert!(
            entry.is_passed(7, 3)
                && entry.is_passed(7, 4)
                && !entry.is_passed(7, 5)
                && !entry.is_passed(8, 3)
        );
        entry.note_passed(8, 5);
        assert!(!entry.is_passed(7, 3) && entry.is_passed(8, 5));
    }

    #[test]
    fn a_cut_message_is_not_kept() {
        let message = answer();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        for cut in 0..message.len() {
            assert!(Entry::new(b"k", &message[..cut], clock.now()).is_none(), "cut at {cut}");
        }
    }
}
