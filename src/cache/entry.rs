//! Owns one kept answer: the upstream's bytes, how long they hold, and where the names stand that it leads to.
//! Never decides whether it may be shown; the policy in force does, each time.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::key::Key;
use crate::clock::Moment;
use crate::dns::{CanonicalName, ExtendedError, Flags, HEADER, Message, Query, Rcode, RecordType, Section};

/// One answer, immutable but for the note of which policy passed it. All of it is one allocation, so that a hit costs
/// one walk to memory: the numbers first, then in `bytes` the message with its question in canonical form, the offsets
/// of its TTL fields, and the offsets of the names it leads to.
#[derive(Debug)]
pub struct Entry<B: ?Sized = [u8]> {
    hash: u64,
    /// Upper half: a generation; lower half: the groups, by bit, for which nothing was met under it.
    passed: AtomicU64,
    stored: u32,
    expires: u32,
    /// From this second on it may be asked for anew: near its end while it is fresh, after a failure a while later.
    refresh_at: AtomicU32,
    message_end: u32,
    ttls_end: u32,
    targets_end: u32,
    question_end: u16,
    bits: u8,
    bytes: B,
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

/// Longest any positive answer is kept, in seconds: one day, so that a typing error in a zone does not last longer.
const LONGEST: u32 = 86_400;
/// Longest any negative answer is kept, in seconds (RFC 2308 section 5 suggests one to three hours).
const LONGEST_NEGATIVE: u32 = 3600;
/// How long a name whose upstreams failed is left alone while there is a stale answer, in seconds (RFC 8767 section 5, the
/// failure recheck timer: no more often than every 30).
const RECHECK: u32 = 30;
/// How long a failure is kept, in seconds (RFC 9520 section 3.2: at least one second).
const FAILURE: u32 = 2;

/// What a message says about its own keeping.
struct Reading {
    question_end: usize,
    ttls: Vec<u16>,
    targets: Vec<u16>,
    holds: u32,
}

impl Reading {
    fn of(message: &[u8]) -> Option<Self> {
        let parsed = Message::new(message)?;
        let question_end = parsed.question_end()?;
        let mut ttls = Vec::new();
        let mut targets = Vec::new();
        let mut lowest = LONGEST;
        let mut negative = None;
        let mut answers = false;
        let mut records = parsed.records();
        for record in records.by_ref() {
            // RFC 2181 8: a TTL with the top bit set counts as zero.
            let ttl = if record.ttl > i32::MAX as u32 { 0 } else { record.ttl };
            ttls.push(u16::try_from(record.ttl_offset).ok()?);
            match record.section {
                Section::Answer => {
                    answers |= record.record_type != RecordType::CNAME;
                    lowest = lowest.min(ttl);
                    targets.extend(target(parsed, record.record_type, record.rdata.clone()).ok()?);
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
        Some(Self { question_end, ttls, targets, holds })
    }
}

impl Entry {
    /// TTL of stale records in seconds (RFC 8767 section 4 recommends 30).
    pub const STALE_TTL: u32 = 30;

    /// Keeps `message`, an upstream's answer to `key`'s question without OPT record. `None` when it does not parse or
    /// answers another question.
    pub fn new(key: &Key<'_>, message: &[u8], now: Moment) -> Option<Arc<Self>> {
        Self::holding(key, message, now, LONGEST)
    }

    /// As [`Self::new`], for at most `longest` seconds.
    pub(super) fn holding(key: &Key<'_>, message: &[u8], now: Moment, longest: u32) -> Option<Arc<Self>> {
        let reading = Reading::of(message)?;
        let holds = reading.holds.min(longest);
        let mut question = message.get(HEADER..reading.question_end)?.to_vec();
        // Only the name: QTYPE 65, HTTPS, is a capital letter.
        let name = question.len().checked_sub(4)?;
        question.get_mut(..name)?.make_ascii_lowercase();
        if !key.is_question(question.get(..question.len().checked_sub(2)?)?) {
            return None;
        }
        let mut bytes = message.to_vec();
        bytes.get_mut(HEADER..reading.question_end)?.copy_from_slice(&question);
        bytes.extend(reading.ttls.iter().chain(&reading.targets).flat_map(|offset| offset.to_be_bytes()));
        let ttls_end = message.len() + 2 * reading.ttls.len();
        let numbers = Entry {
            hash: key.hash(),
            passed: AtomicU64::new(0),
            stored: now.seconds(),
            expires: now.seconds().saturating_add(holds),
            refresh_at: AtomicU32::new(now.seconds().saturating_add(holds - ahead(holds))),
            message_end: message.len() as u32,
            ttls_end: ttls_end as u32,
            targets_end: bytes.len() as u32,
            question_end: reading.question_end as u16,
            bits: key.bits(),
            bytes: [],
        };
        allocate(numbers, &bytes)
    }

    /// True when it answers `key`'s question.
    #[inline]
    pub(super) fn answers(&self, key: &Key<'_>) -> bool {
        self.bits == key.bits() && key.is_question(self.question())
    }

    /// QNAME in canonical form and QTYPE; QCLASS, the last two bytes of the question, is always IN.
    #[inline]
    fn question(&self) -> &[u8] {
        self.bytes.get(HEADER..usize::from(self.question_end).wrapping_sub(2)).unwrap_or(&[])
    }

    /// True when both are kept under the same key.
    pub(super) fn has_key_of(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bits == other.bits && self.question() == other.question()
    }

    /// DO and CD of its key.
    pub(super) fn bits(&self) -> u8 {
        self.bits
    }

    /// Seconds since it was kept.
    pub fn age(&self, now: Moment) -> u32 {
        now.seconds().saturating_sub(self.stored)
    }

    /// Seconds for which it still holds.
    pub(super) fn left(&self, now: Moment) -> u32 {
        self.expires.saturating_sub(now.seconds())
    }

    /// The hash of its key.
    #[inline]
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The upstream's message, its question in canonical form.
    #[inline]
    pub fn message(&self) -> &[u8] {
        self.bytes.get(..self.message_end as usize).unwrap_or(&[])
    }

    /// The name that was asked.
    pub fn name(&self) -> Option<CanonicalName> {
        Message::new(self.message())?.name_at(HEADER)
    }

    /// Names the answer leads to: CNAME, DNAME, SVCB and HTTPS targets.
    pub fn targets(&self) -> impl Iterator<Item = CanonicalName> {
        let offsets = self.bytes.get(self.ttls_end as usize..self.targets_end as usize).unwrap_or(&[]);
        let message = Message::new(self.message());
        offsets
            .as_chunks::<2>()
            .0
            .iter()
            .filter_map(move |offset| message?.name_at(usize::from(u16::from_be_bytes(*offset))))
    }

    /// Addresses in the answer: its A and AAAA records.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let message = Message::new(self.message());
        message.into_iter().flat_map(Message::addresses).map(|(address, _)| address)
    }

    /// True when the answer leads to other names.
    #[inline]
    pub fn has_targets(&self) -> bool {
        self.ttls_end < self.targets_end
    }

    /// The response code.
    pub fn rcode(&self) -> Rcode {
        self.flags().rcode()
    }

    /// The id under which a failure is kept that `error` tells of: upstreams' own answers are kept under none.
    pub fn id_of_failure(error: ExtendedError) -> [u8; 2] {
        (error as u16).to_be_bytes()
    }

    /// What tells a client why this SERVFAIL was kept, if it is one of ours: the INFO-CODE of an extended error.
    #[inline]
    pub fn failure(&self) -> Option<u16> {
        let id = u16::from_be_bytes(*self.bytes.first_chunk::<2>()?);
        (id != 0).then_some(id)
    }

    /// Of a fresh answer: true when it is near its end, and nobody fetches it anew yet.
    #[inline]
    pub fn is_due(&self, now: Moment) -> bool {
        now.seconds() >= self.refresh_at.load(Ordering::Relaxed)
    }

    /// True in the last part of its life, whoever fetches it anew.
    pub fn is_ending(&self, now: Moment) -> bool {
        now.seconds() >= self.expires.saturating_sub(ahead(self.expires.saturating_sub(self.stored)))
    }

    /// True for the one caller who is to fetch a due answer anew.
    #[cold]
    pub fn claim_refresh(&self, now: Moment) -> bool {
        let due = self.refresh_at.load(Ordering::Relaxed);
        let claimed =
            self.refresh_at.compare_exchange(due, self.expires, Ordering::Relaxed, Ordering::Relaxed);
        now.seconds() >= due && claimed.is_ok()
    }

    /// Notes that upstreams had nothing better to say at `now`.
    pub fn note_failure(&self, now: Moment) {
        self.refresh_at.store(now.seconds().saturating_add(RECHECK), Ordering::Relaxed);
    }

    /// Of an answer past its TTL: true when upstreams failed so lately that they need not be asked again.
    pub fn failed_lately(&self, now: Moment) -> bool {
        now.seconds() < self.refresh_at.load(Ordering::Relaxed)
    }

    /// How old it is at `now`; `stale` is how many seconds past its TTL it may be shown.
    #[inline]
    pub fn freshness(&self, now: Moment, stale: u32) -> Freshness {
        let now = now.seconds();
        if now < self.expires {
            Freshness::Fresh
        } else if now < self.expires.saturating_add(stale)
            && matches!(self.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN)
        {
            Freshness::Stale
        } else {
            Freshness::TooOld
        }
    }

    /// True when the policy of `generation` has nothing to say to `group` about this question and its answer, as noted.
    /// Groups past the thirty-second are judged each time.
    #[inline]
    pub fn is_passed(&self, generation: u64, group: u16) -> bool {
        let noted = self.passed.load(Ordering::Relaxed);
        group < 32 && noted >> 32 == generation & 0xFFFF_FFFF && noted >> group & 1 == 1
    }

    /// Notes that no rule of `generation` is met for `group`, neither by the question's name nor by a name or an address in
    /// the answer. A lost race costs one more look, nothing else.
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
        let message = self.message();
        let out = buffer.get_mut(..message.len())?;
        out.copy_from_slice(message);
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
        if passed > 0 || patch.stale {
            for offset in
                self.bytes.get(self.message_end as usize..self.ttls_end as usize)?.as_chunks::<2>().0
            {
                let offset = usize::from(u16::from_be_bytes(*offset));
                let field = out.get_mut(offset..)?.first_chunk_mut::<4>()?;
                let left = u32::from_be_bytes(*field).saturating_sub(passed);
                *field = if patch.stale { Self::STALE_TTL } else { left }.to_be_bytes();
            }
        }
        Some(message.len())
    }

    /// Bytes it holds.
    pub fn memory(&self) -> usize {
        // The two counts of an `Arc` stand in front of it.
        size_of_val(self) + 2 * size_of::<usize>()
    }

    #[inline]
    fn flags(&self) -> Flags {
        let bytes = self.bytes.get(2..4).and_then(<[u8]>::first_chunk::<2>);
        Flags(bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes)))
    }
}

/// Makes the one allocation, in the smallest size that holds `bytes`: sizes of whole cache lines up to half a KiB, which
/// hold nearly all answers, then coarser up to the largest message and its offsets. `None` when even that is too small.
fn allocate(numbers: Entry<[u8; 0]>, bytes: &[u8]) -> Option<Arc<Entry>> {
    macro_rules! sizes {
        ($($lines:literal)*) => {
            match HEAD + bytes.len() {
                $(length if length <= $lines * LINE => sized::<{ $lines * LINE - HEAD }>(numbers, bytes),)*
                _ => return None,
            }
        };
    }
    /// A cache line in bytes.
    const LINE: usize = 64;
    /// The numbers, and the two counts of an `Arc`.
    const HEAD: usize = 2 * size_of::<usize>() + std::mem::offset_of!(Entry<[u8; 0]>, bytes);
    Some(sizes!(2 3 4 5 6 7 8 10 12 16 20 24 32 64 128 256 512 1280))
}

fn sized<const N: usize>(numbers: Entry<[u8; 0]>, from: &[u8]) -> Arc<Entry> {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(from) {
        *to = *from;
    }
    let Entry {
        hash,
        passed,
        stored,
        expires,
        refresh_at,
        message_end,
        ttls_end,
        targets_end,
        question_end,
        bits,
        ..
    } = numbers;
    Arc::new(Entry {
        hash,
        passed,
        stored,
        expires,
        refresh_at,
        message_end,
        ttls_end,
        targets_end,
        question_end,
        bits,
        bytes,
    })
}

/// How long before its end an answer that holds this long is fetched anew, in seconds: the last tenth of its life, as in
/// Unbound. Too little of an answer's life is saved, and too much asked, where that is less than a second.
fn ahead(holds: u32) -> u32 {
    holds / 10
}

/// Where the name stands that a record of this type leads to; `Err` when it cannot be read, and so cannot be screened.
fn target(
    message: Message<'_>,
    record_type: RecordType,
    rdata: std::ops::Range<usize>,
) -> Result<Option<u16>, ()> {
    let at = match record_type {
        RecordType::CNAME | RecordType::DNAME => rdata.start,
        // RFC 9460 2.2: SvcPriority, then TargetName; `.` stands for the owner itself.
        RecordType::SVCB | RecordType::HTTPS => rdata.start + 2,
        _ => return Ok(None),
    };
    let name = message.name_at(at).filter(|_| at < rdata.end).ok_or(())?;
    let at = u16::try_from(at).map_err(|_| ())?;
    Ok((name.label_count() > 0).then_some(at))
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

    fn entry(message: &[u8], now: Moment) -> Option<Arc<Entry>> {
        let name = CanonicalName::read(b"\x01a\x07example\0").unwrap();
        Entry::new(&Key::new(&name, RecordType::A, false, false), message, now)
    }

    #[test]
    fn an_answer_counts_down_and_keeps_the_clients_spelling() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let entry = entry(&answer(), clock.now()).unwrap();
        clock.advance(Duration::from_secs(10));
        let query = Query::read(QUERY).unwrap();
        let mut buffer = [0; 512];
        let length = entry.write(&query, Patch { now: clock.now(), stale: false }, &mut buffer).unwrap();
        let reply = &buffer[..length];
        assert_eq!(&reply[..4], b"\xAB\xCD\x81\x80", "AD is not for a client that did not ask");
        assert_eq!(&reply[HEADER..QUERY.len()], &QUERY[HEADER..]);
        let ttls: Vec<u32> = Message::new(reply).unwrap().records().map(|record| record.ttl).collect();
        assert_eq!(ttls, [50, 20]);
        let targets: Vec<String> = entry.targets().map(|name| name.to_string()).collect();
        assert_eq!(targets, ["b.example"]);
        let addresses: Vec<String> = entry.addresses().map(|address| address.to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1"]);
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
        let entry = entry(&message, clock.now()).unwrap();
        clock.advance(Duration::from_secs(4));
        assert_eq!(entry.freshness(clock.now(), 0), Freshness::Fresh);
        clock.advance(Duration::from_secs(1));
        assert_eq!(entry.freshness(clock.now(), 0), Freshness::TooOld);
    }

    #[test]
    fn a_pass_is_remembered_for_one_generation_and_group() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let entry = entry(&answer(), clock.now()).unwrap();
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
    fn what_answers_another_question_is_not_kept() {
        let name = CanonicalName::read(b"\x01b\x07example\0").unwrap();
        let now = Clock::manual(Timestamp::UNIX_EPOCH).now();
        assert!(Entry::new(&Key::new(&name, RecordType::A, false, false), &answer(), now).is_none());
    }

    #[test]
    fn a_type_that_looks_like_a_capital_letter_stays_as_it_is() {
        let name = CanonicalName::read(b"\x01a\x07example\0").unwrap();
        let message = b"\0\0\x81\x80\0\x01\0\0\0\0\0\0\x01A\x07example\0\0\x41\0\x01";
        let now = Clock::manual(Timestamp::UNIX_EPOCH).now();
        let kept = Entry::new(&Key::new(&name, RecordType::HTTPS, false, false), message, now).unwrap();
        assert_eq!(kept.message()[HEADER..], *b"\x01a\x07example\0\0\x41\0\x01");
        assert!(Entry::new(&Key::new(&name, RecordType(97), false, false), message, now).is_none());
    }

    #[test]
    fn an_alias_that_cannot_be_read_is_not_kept() {
        let mut message = answer();
        let pointer = message.iter().rposition(|byte| *byte == 0x0E).unwrap();
        // The alias's target now points at itself.
        message[pointer] = pointer as u8 - 1;
        assert!(entry(&message, Clock::manual(Timestamp::UNIX_EPOCH).now()).is_none());
    }

    #[test]
    fn an_entry_is_one_allocation_of_whole_cache_lines() {
        let now = Clock::manual(Timestamp::UNIX_EPOCH).now();
        let small = entry(&answer(), now).unwrap();
        assert_eq!((small.memory() % 64, small.memory() <= 192), (0, true), "{}", small.memory());
        let mut large = answer();
        for _ in 0..3000 {
            large.extend(b"\xC0\x0C\0\x01\0\x01\0\0\0\x1E\0\x04\xC0\0\x02\x01");
        }
        large[6..8].copy_from_slice(&3002u16.to_be_bytes());
        let kept = entry(&large, now).unwrap();
        assert!(kept.message() == large && kept.memory() < 2 * large.len());
    }

    #[test]
    fn a_cut_message_is_not_kept() {
        let message = answer();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        for cut in 0..message.len() {
            assert!(entry(&message[..cut], clock.now()).is_none(), "cut at {cut}");
        }
    }
}
