//! Owns the form in which answers outlive a restart, and what of it is taken back: whatever still holds by the wall clock. Never
//! opens a file, and never believes one that is not whole.

use std::fmt;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::entry::{Entry, Freshness};
use super::key::Key;
use super::store::Store;
use crate::clock::{Clock, Moment};
use crate::dns::{CanonicalName, HEADER, Message, Rcode, RecordType};

/// The first bytes of the file. The number is that of its form; another is not read.
const HEAD: &[u8] = b"interdict answers 2\n";
/// Most bytes that are written: the answers of a large network that hold for more than minutes, written and read in well under a
/// second.
pub const KEPT_FILE: u64 = 64 << 20;
/// Bytes of a digest: one stands in front of the answers, another behind them.
const DIGEST: usize = 32;
/// Length, bits, age and rest of its life in front of each answer.
const FRONT: usize = 13;

/// Why bytes are not kept answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Another program's, or another version's.
    #[error("not a file of kept answers of this version, or answers that came about otherwise")]
    Foreign,
    /// Cut off or changed.
    #[error("not as it was written")]
    Broken,
    /// Written at a later time than it is now.
    #[error("written in the future: the clock was set back")]
    Future,
}

/// Puts bytes where the next start finds them.
type Write = dyn Fn(&[u8]) -> io::Result<()> + Send + Sync;

/// Has the answers of a store outlive a restart. Files are for whoever makes it.
pub struct Keeper {
    store: Arc<Store>,
    clock: Clock,
    /// Tells how answers came about; what came about otherwise is not taken over.
    terms: [u8; DIGEST],
    write: Box<Write>,
}

impl Keeper {
    /// For that store, whose answers come about by `terms`: whether they are validated, for one. `write` puts bytes where the next
    /// start finds them.
    pub fn new(
        store: Arc<Store>,
        clock: Clock,
        terms: &str,
        write: impl Fn(&[u8]) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        // However long they are, the file has room for them.
        let terms = Sha256::digest(terms).into();
        Self { store, clock, terms, write: Box::new(write) }
    }

    /// Takes over what the last run wrote. What cannot be used is said and left.
    pub fn take_over(&self, before: &[u8]) {
        let answers = before.strip_prefix(self.terms.as_slice()).ok_or(Damage::Foreign);
        match answers.and_then(|rest| self.store.restore(rest, self.clock.now(), self.clock.wall())) {
            Ok(answers) => tracing::info!(answers, "taken over from before the start"),
            Err(error) => tracing::warn!(%error, "answers from before the start are of no use"),
        }
    }

    /// Writes the answers that hold now.
    pub fn save(&self) {
        let answers = self.store.to_bytes(self.clock.now(), self.clock.wall());
        if let Err(error) = (self.write)(&[self.terms.as_slice(), &answers].concat()) {
            tracing::warn!(%error, "the next start begins without answers");
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Store {
    /// The answers that still hold at `now`, as bytes; the wall clock shows `wall`.
    pub fn to_bytes(&self, now: Moment, wall: Timestamp) -> Vec<u8> {
        let mut out = HEAD.to_vec();
        out.extend(wall.as_second().to_be_bytes());
        for entry in self.answers() {
            let holds = entry.freshness(now, 0) == Freshness::Fresh
                && matches!(entry.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN);
            let message = entry.message();
            if !holds {
                continue;
            }
            if (out.len() + FRONT + message.len() + 2 * DIGEST) as u64 > KEPT_FILE {
                break;
            }
            out.extend((message.len() as u32).to_be_bytes());
            out.push(entry.bits());
            out.extend(entry.age(now).to_be_bytes());
            out.extend(entry.left(now).to_be_bytes());
            out.extend_from_slice(message);
        }
        let digest = Sha256::digest(&out);
        out.extend_from_slice(&digest);
        out
    }

    /// Takes back what [`Self::to_bytes`] wrote, less the time that passed; returns how many answers there are. What they are, the
    /// policy in force looks at when they are asked for, as at any answer.
    pub fn restore(&self, bytes: &[u8], now: Moment, wall: Timestamp) -> Result<u64, Damage> {
        let rest = bytes.strip_prefix(HEAD).ok_or(Damage::Foreign)?;
        let (body, digest) = bytes.split_last_chunk::<DIGEST>().ok_or(Damage::Broken)?;
        if Sha256::digest(body).as_slice() != digest {
            return Err(Damage::Broken);
        }
        let (written, mut rest) = rest.split_first_chunk().ok_or(Damage::Broken)?;
        let away = wall.as_second().saturating_sub(i64::from_be_bytes(*written));
        let away = u64::try_from(away).map_err(|_| Damage::Future)?;
        let mut taken = 0;
        while rest.len() > digest.len() {
            let (length, after) = rest.split_first_chunk().ok_or(Damage::Broken)?;
            let (&[bits], after) = after.split_first_chunk().ok_or(Damage::Broken)?;
            let (age, after) = after.split_first_chunk().ok_or(Damage::Broken)?;
            let (left, after) = after.split_first_chunk().ok_or(Damage::Broken)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (message, after) = after.split_at_checked(length).ok_or(Damage::Broken)?;
            rest = after;
            let age = u64::from(u32::from_be_bytes(*age)).saturating_add(away);
            let left = u64::from(u32::from_be_bytes(*left)).saturating_sub(away);
            taken += u64::from(self.take_back(message, bits, age, left, now).is_some());
        }
        self.note_restored(taken);
        Ok(taken)
    }

    /// Keeps an answer that is `age` seconds old, for the `life` that is left of it: its records alone do not tell, as a negative
    /// answer may hold for less than its SOA, and none holds for longer than a bound.
    fn take_back(&self, message: &[u8], bits: u8, age: u64, life: u64, now: Moment) -> Option<()> {
        let parsed = Message::new(message)?;
        let end = parsed.question_end()?;
        let name: CanonicalName = parsed.name_at(HEADER)?;
        let (kind, _class) = message.get(..end)?.get(end.checked_sub(4)?..)?.split_first_chunk::<2>()?;
        let record_type = RecordType(u16::from_be_bytes(*kind));
        let mut aged = message.to_vec();
        for record in parsed.records() {
            let left = u64::from(record.ttl).checked_sub(age).filter(|left| *left > 0)?;
            let at = aged.get_mut(record.ttl_offset..)?.first_chunk_mut::<4>()?;
            *at = u32::try_from(left).ok()?.to_be_bytes();
        }
        let key = Key::new(&name, record_type, bits & 2 != 0, bits & 1 != 0);
        let entry: Arc<Entry> = Entry::holding(&key, &aged, now, u32::try_from(life).ok()?)?;
        (entry.freshness(now, 0) == Freshness::Fresh).then(|| self.keep(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Config;
    use super::*;
    use crate::dns::Name;
    use std::sync::Mutex;
    use std::time::Duration;

    fn answer(name: &str, ttl: u32) -> Vec<u8> {
        let name: Name = name.parse().unwrap();
        let mut out = b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0".to_vec();
        out.extend(name.as_wire());
        out.extend(b"\0\x01\0\x01\xC0\x0C\0\x01\0\x01");
        out.extend(ttl.to_be_bytes());
        out.extend(b"\0\x04\xC0\0\x02\x01");
        out
    }

    fn keep(store: &Store, name: &str, ttl: u32, now: Moment) {
        let canonical = CanonicalName::from(&name.parse::<Name>().unwrap());
        let key = Key::new(&canonical, RecordType::A, true, false);
        store.keep(Entry::new(&key, &answer(name, ttl), now).unwrap());
    }

    /// TTL of what is left.
    fn left(store: &Store, name: &str) -> Option<u32> {
        let canonical = CanonicalName::from(&name.parse::<Name>().unwrap());
        let entry = store.find(&Key::new(&canonical, RecordType::A, true, false))?;
        Message::new(entry.message()).unwrap().records().next().map(|record| record.ttl)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn answers_come_back_less_the_time_that_passed() {
        let clock = Clock::manual(at(0));
        let store = Store::new(Config::default());
        keep(&store, "long.example", 600, clock.now());
        keep(&store, "short.example", 60, clock.now());
        clock.advance(Duration::from_secs(20));
        let bytes = store.to_bytes(clock.now(), at(20));
        let again = Store::new(Config::default());
        assert_eq!(again.restore(&bytes, Moment::START, at(50)), Ok(2));
        assert_eq!((left(&again, "long.example"), left(&again, "short.example")), (Some(550), Some(10)));
        let later = Store::new(Config::default());
        assert_eq!(later.restore(&bytes, Moment::START, at(60)), Ok(1), "one has ended meanwhile");
        assert_eq!((left(&later, "long.example"), left(&later, "short.example")), (Some(540), None));
    }

    #[test]
    fn what_is_not_whole_or_from_the_future_is_not_believed() {
        let store = Store::new(Config::default());
        keep(&store, "a.example", 600, Moment::START);
        let bytes = store.to_bytes(Moment::START, at(0));
        let read = |bytes: &[u8], wall| Store::new(Config::default()).restore(bytes, Moment::START, wall);
        assert_eq!(read(&bytes, at(-1)), Err(Damage::Future));
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut], at(0)).is_err(), "cut at {cut}");
        }
        for changed in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[changed] ^= 1;
            assert!(read(&bytes, at(0)).is_err(), "changed at {changed}");
        }
        assert_eq!(read(b"interdict answers 1\n", at(0)), Err(Damage::Foreign));
    }

    #[test]
    fn no_more_is_written_than_may_be() {
        let store = Store::new(Config { memory: 1 << 30, ..Config::default() });
        let text = "x".repeat(60);
        for number in 0..300_000 {
            keep(&store, &format!("n{number}.{text}.{text}.{text}.example"), 600, Moment::START);
        }
        let file = Arc::new(Mutex::new(Vec::new()));
        let keeper = |store: &Arc<Store>| {
            let file = Arc::clone(&file);
            Keeper::new(Arc::clone(store), Clock::manual(at(0)), &"server ".repeat(1000), move |bytes| {
                *file.lock().unwrap() = bytes.to_vec();
                Ok(())
            })
        };
        keeper(&Arc::new(store)).save();
        let bytes = file.lock().unwrap().clone();
        assert!(bytes.len() as u64 <= KEPT_FILE, "{}", bytes.len());
        assert!(bytes.len() as u64 > KEPT_FILE - 1024, "{}", bytes.len());
        let smaller = Arc::new(Store::new(Config { memory: 1 << 20, ..Config::default() }));
        keeper(&smaller).take_over(&bytes);
        assert!(smaller.answers().next().is_some(), "a smaller cache keeps what it can");
    }

    #[test]
    fn what_comes_back_holds_no_longer_than_it_would_have() {
        let clock = Clock::manual(at(0));
        let store = Store::new(Config::default());
        // NODATA for the ten minutes of the SOA's TTL, or the five seconds of its MINIMUM.
        let mut negative = answer("none.example", 600);
        negative[6..10].copy_from_slice(&[0, 0, 0, 1]);
        let end = negative.len();
        negative[end - 13] = 6;
        negative[end - 5] = 22;
        negative.truncate(end - 4);
        negative.extend([0; 2]);
        negative.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]);
        let canonical = CanonicalName::from(&"none.example".parse::<Name>().unwrap());
        let key = Key::new(&canonical, RecordType::A, true, false);
        store.keep(Entry::new(&key, &negative, clock.now()).unwrap());
        // Two days, of which it is kept for one.
        keep(&store, "long.example", 2 * 86_400, clock.now());
        clock.advance(Duration::from_secs(2));
        let bytes = store.to_bytes(clock.now(), at(2));
        let after = |wall| {
            let again = Store::new(Config::default());
            let taken = again.restore(&bytes, Moment::START, at(wall)).unwrap();
            let life = |name: &str| {
                let canonical = CanonicalName::from(&name.parse::<Name>().unwrap());
                again.find(&Key::new(&canonical, RecordType::A, true, false)).map(|e| e.left(Moment::START))
            };
            (taken, life("none.example"), life("long.example"))
        };
        assert_eq!(after(4), (2, Some(1), Some(86_396)));
        assert_eq!(after(5), (1, None, Some(86_395)));
        assert_eq!(after(86_400), (0, None, None));
    }
}
