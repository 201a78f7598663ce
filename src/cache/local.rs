//! Owns one worker's own answers: a small four-way table in front of the shared store, so that a hit takes no lock and
//! writes no shared memory. Never outlives its worker, and never holds large answers.

use std::sync::Arc;

use super::entry::{Entry, Freshness};
use super::key::Key;
use crate::clock::Moment;

/// One worker's table.
#[derive(Debug)]
pub struct Local {
    /// A byte of each answer's hash, zero for an empty place: questions without an answer here end at these.
    tags: Box<[[u8; WAYS]]>,
    sets: Box<[Set]>,
}

/// Answers whose hashes share a set, the newest first. One cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([Option<Arc<Entry>>; WAYS]);

/// Answers in a set: as many as a cache line holds.
const WAYS: usize = 4;

/// Sets in the table: 32,768 answers of a typical 200 bytes are 6 MB a worker, and hold the names that make up nearly
/// all queries of a site.
const SETS: usize = 8192;

/// Largest answer kept here, in bytes, so that a worker never holds more than 32 MiB of what the store already dropped.
const LARGEST: usize = 1024;

impl Default for Local {
    fn default() -> Self {
        Self { tags: vec![[0; WAYS]; SETS].into(), sets: (0..SETS).map(|_| Set::default()).collect() }
    }
}

impl Local {
    /// The fresh answer kept under `key`.
    #[inline]
    pub fn find(&self, key: &Key<'_>, now: Moment) -> Option<&Entry> {
        let (set, tag) = place(key);
        for (way, _) in self.tags.get(set)?.iter().enumerate().filter(|(_, other)| **other == tag) {
            let entry = self.sets.get(set)?.0.get(way)?.as_deref();
            if let Some(entry) = entry.filter(|entry| entry.answers(key)) {
                return Some(entry).filter(|entry| entry.freshness(now, 0) == Freshness::Fresh);
            }
        }
        None
    }

    /// Keeps an answer, in place of an older one of the same key or of the oldest of its set.
    pub fn keep(&mut self, key: &Key<'_>, entry: Arc<Entry>) {
        if entry.memory() > LARGEST {
            return;
        }
        let (set, tag) = place(key);
        let (Some(tags), Some(Set(ways))) = (self.tags.get_mut(set), self.sets.get_mut(set)) else { return };
        let same = ways.iter().flatten().position(|kept| kept.answers(key)).unwrap_or(WAYS - 1);
        // Those before it move one place back.
        if let (Some(ways), Some(tags)) = (ways.get_mut(..=same), tags.get_mut(..=same)) {
            ways.rotate_right(1);
            tags.rotate_right(1);
        }
        (ways[0], tags[0]) = (Some(entry), tag);
    }
}

/// The set of a key, and its tag, which is never zero.
#[inline]
fn place(key: &Key<'_>) -> (usize, u8) {
    let hash = key.hash();
    (hash as usize & (SETS - 1), ((hash >> 56) as u8).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{CanonicalName, RecordType};

    fn answer(label: u8) -> (CanonicalName, Vec<u8>) {
        let question = [1, label, 0, 0, 1, 0, 1];
        let head = b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0";
        let record = b"\xC0\x0C\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x01";
        (CanonicalName::read(&question).unwrap(), [&head[..], &question, record].concat())
    }

    #[test]
    fn an_answer_is_found_under_its_own_key_only() {
        let mut local = Local::default();
        let (name, message) = answer(b'a');
        let key = Key::new(&name, RecordType::A, true, false);
        local.keep(&key, Entry::new(&key, &message, Moment::START).unwrap());
        assert!(local.find(&key, Moment::START).is_some());
        for other in [
            Key::new(&name, RecordType::A, false, false),
            Key::new(&name, RecordType::A, true, true),
            Key::new(&name, RecordType::AAAA, true, false),
            Key::new(&answer(b'b').0, RecordType::A, true, false),
        ] {
            assert!(local.find(&other, Moment::START).is_none(), "{other:?}");
        }
    }

    #[test]
    fn the_same_question_takes_one_place() {
        let mut local = Local::default();
        let (name, message) = answer(b'a');
        let key = Key::new(&name, RecordType::A, false, false);
        for _ in 0..3 {
            local.keep(&key, Entry::new(&key, &message, Moment::START).unwrap());
        }
        assert_eq!(local.sets.iter().flat_map(|set| &set.0).flatten().count(), 1);
    }

    #[test]
    fn a_set_is_one_cache_line() {
        assert_eq!(size_of::<Set>(), 64);
    }
}
