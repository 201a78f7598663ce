//! Owns the bounded queues between query threads and the log: one a writer, so that writers hardly ever meet. Pushing never waits; a full queue loses
//! the record and counts it. A record takes as many words as it has, and not as many as it could have: most of what a thread pays for the log is the
//! handing of cache lines to another core.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::record::Record;
use super::reply::AsSent;
use crate::dns::CanonicalName;

/// Words of eight bytes that a writer may have waiting, a power of two: 2 MiB, some 9,000 usual records or 2,500 of the largest. At 20,000 blocked
/// queries a second and a drain every 20 ms, twenty times what is needed, and twice what is needed where all of 200,000 queries a second are logged.
const WORDS: usize = 1 << 18;

/// One writer's queue.
#[derive(Clone, Debug)]
pub struct Ring(Arc<Inner>);

/// Records stand one behind the other, each behind a word that says how many words it has, the last of which may be in front of the first. What
/// is free is zero, so that a length that is not zero says that its record is whole.
#[derive(Debug)]
struct Inner {
    words: Box<[AtomicU64]>,
    /// Words ever taken by writers, and given back by the reader.
    taken: Alone,
    given_back: Alone,
    lost: AtomicU64,
    reading: Mutex<()>,
}

/// A count in a cache line pair of its own, so that writers and the reader do not take each other's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone(AtomicU64);

/// All writers' queues.
#[derive(Debug, Default)]
pub struct Rings(Mutex<Vec<Ring>>);

impl Ring {
    fn new(words: usize) -> Self {
        let words = (0..words.next_power_of_two()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner {
            words,
            taken: Alone::default(),
            given_back: Alone::default(),
            lost: AtomicU64::new(0),
            reading: Mutex::default(),
        }))
    }

    /// Hands a record to the log; counts it as lost when the queue is full.
    pub fn push<N: Borrow<CanonicalName>, R: AsSent>(&self, record: &Record<N, R>) {
        let ring = &*self.0;
        let words = 1 + record.words() as u64;
        // What was given back was made zero before that.
        let most = ring.given_back.0.load(Ordering::Acquire) + ring.words.len() as u64;
        let room = |taken: u64| Some(taken + words).filter(|end| *end <= most);
        match ring.taken.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(begin) => {
                let mut at = begin;
                record.pack(|word| {
                    at += 1;
                    ring.at(at).store(word, Ordering::Relaxed);
                });
                // From here on it is the reader's.
                ring.at(begin).store(words, Ordering::Release);
            }
            Err(_) => {
                ring.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Inner {
    fn at(&self, place: u64) -> &AtomicU64 {
        /// Never looked at: there is a word at every place below a power of two.
        static NONE: AtomicU64 = AtomicU64::new(0);
        self.words.get(place as usize & (self.words.len() - 1)).unwrap_or(&NONE)
    }

    /// Puts the oldest record, if it is whole, into `record`. For one thread at a time.
    fn pop(&self, record: &mut Record) -> Option<()> {
        let begin = self.given_back.0.load(Ordering::Relaxed);
        let words = self.at(begin).load(Ordering::Acquire);
        if words == 0 {
            return None;
        }
        let take = |place: u64| {
            let word = self.at(place);
            let value = word.load(Ordering::Relaxed);
            word.store(0, Ordering::Relaxed);
            value
        };
        take(begin);
        let mut rest = (begin + 1..begin + words).map(take);
        let unpacked = record.unpack(|| rest.next().unwrap_or(0));
        rest.for_each(drop);
        self.given_back.0.store(begin + words, Ordering::Release);
        unpacked
    }
}

impl Rings {
    /// A queue for one more writer.
    pub fn add(&self) -> Ring {
        let ring = Ring::new(WORDS);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ring.clone());
        ring
    }

    /// Takes what waits, oldest first within a writer; and not what comes meanwhile, as no writer is to keep the others waiting.
    pub(super) fn drain(&self, mut take: impl FnMut(&Record)) {
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut record = Record::blank();
        for Ring(ring) in rings {
            let _one_at_a_time = ring.reading.lock().unwrap_or_else(PoisonError::into_inner);
            let end = ring.taken.0.load(Ordering::Relaxed);
            while ring.given_back.0.load(Ordering::Relaxed) < end {
                let Some(()) = ring.pop(&mut record) else { break };
                take(&record);
            }
        }
    }

    /// Records lost to full queues.
    pub fn lost(&self) -> u64 {
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rings.iter().map(|ring| ring.0.lost.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::dns::{CanonicalName, RecordType};
    use crate::policy::IdentityNumber;
    use crate::telemetry::{Decision, Origin, Reply};

    /// A record of one writer: its number, and a reply as long as that number says, all of one byte.
    fn record(writer: u8, number: u64) -> Record {
        let length = (number * 7 % (Reply::MOST as u64 + 1)) as usize;
        Record {
            time_ms: number as i64,
            client: [10, 0, 0, writer].into(),
            identity: IdentityNumber::default(),
            transport: "udp",
            name: CanonicalName::read(b"\x06wechat\x03com\0").unwrap(),
            record_type: RecordType::A,
            decision: Decision::Allowed,
            cause: None,
            generation: 7,
            took_us: 0,
            reply: Some(Reply::new(&vec![writer; length], Origin::Cache)),
        }
    }

    fn drained(rings: &Rings) -> Vec<Record> {
        let mut records = Vec::new();
        rings.drain(|record| records.push(record.clone()));
        records
    }

    #[test]
    fn writers_that_share_a_small_ring_lose_only_what_has_no_room_and_mix_nothing_up() {
        const EACH: u64 = 20_000;
        let rings = Rings::default();
        let ring = Ring::new(512);
        rings.0.lock().unwrap().push(ring.clone());
        let mut seen = [0_u64; 3];
        let mut next = [0_u64; 3];
        thread::scope(|scope| {
            let writers: Vec<_> = (0..3_u8)
                .map(|writer| {
                    let ring = &ring;
                    scope.spawn(move || {
                        for number in 0..EACH {
                            ring.push(&record(writer, number));
                            // So that all of them meet, however few processors there are.
                            thread::yield_now();
                        }
                    })
                })
                .collect();
            loop {
                let over = writers.iter().all(|writer| writer.is_finished());
                for record in drained(&rings) {
                    let std::net::IpAddr::V4(client) = record.client else { panic!("{record:?}") };
                    let writer = client.octets()[3];
                    let number = record.time_ms as u64;
                    assert!(number >= next[usize::from(writer)], "in their order");
                    next[usize::from(writer)] = number + 1;
                    seen[usize::from(writer)] += 1;
                    let reply = record.reply.unwrap();
                    assert_eq!(reply.bytes().len() as u64, number * 7 % (Reply::MOST as u64 + 1));
                    assert!(reply.bytes().iter().all(|byte| *byte == writer));
                }
                if over {
                    break;
                }
            }
        });
        assert_eq!(seen.iter().sum::<u64>() + rings.lost(), 3 * EACH);
        assert!(seen.iter().sum::<u64>() > 0);
        assert!(ring.0.words.iter().all(|word| word.load(Ordering::Relaxed) == 0), "what is free is zero");
    }

    #[test]
    fn a_full_ring_loses_what_comes_and_has_room_again_once_it_is_read() {
        let rings = Rings::default();
        let ring = rings.add();
        let each = 1 + record(1, 0).words();
        (0..WORDS / each + 5).for_each(|_| ring.push(&record(1, 0)));
        assert_eq!(rings.lost(), 5);
        assert_eq!(drained(&rings).len(), WORDS / each);
        ring.push(&record(1, 73));
        assert_eq!(drained(&rings)[0].time_ms, 73);
        assert_eq!(rings.lost(), 5);
    }
}
