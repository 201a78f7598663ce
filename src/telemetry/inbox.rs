//! Owns the way of records from query threads to the log: an inbox for each writer, which the log's thread takes away whole and leaves an empty one for. Pushing
//! never waits for the log, and takes no memory; a full inbox loses the record and counts it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::record::{Entry, Record};
use super::reply::{Origin, Reply};
use crate::dns::CanonicalName;

/// Records that may wait in an inbox: what a thread that answers 800,000 queries a second says in the 20 ms that the log sleeps at most, all of them
/// logged from one moment to the next.
const RECORDS: usize = 1 << 14;
/// Bytes of their names and replies: of twice what a usual record has. All of it is taken at the beginning; what was never written to is no memory yet.
const BYTES: usize = RECORDS * 256;

/// One writer's inbox.
#[derive(Clone, Debug)]
pub struct Inbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Two, and the log's thread holds only one of them, for as long as it takes to put another in its place: whoever writes alone finds one free. What is
    /// in the second came while the first was taken away, and is read next.
    filling: [Mutex<Batch>; 2],
    /// What is read, by one thread at a time; otherwise empty.
    reading: Mutex<Batch>,
    /// Whose turn it is to write, where several do: with both batches to choose from, a writer's later record could stand in front of its earlier one.
    turn: Option<Mutex<()>>,
    lost: AtomicU64,
}

/// All writers' inboxes.
#[derive(Debug, Default)]
pub struct Inboxes(Mutex<Vec<Inbox>>);

/// Records one behind the other, their names and replies apart.
#[derive(Debug)]
struct Batch {
    entries: Vec<Entry<u8, Kept>>,
    bytes: Vec<u8>,
}

/// How much there is of a reply, and what is known of it beside its bytes.
#[derive(Clone, Copy, Debug)]
struct Kept {
    length: u16,
    origin: Origin,
    is_cut: bool,
}

impl Inbox {
    fn new(records: usize, bytes: usize, turn: Option<Mutex<()>>) -> Self {
        let batch = || Mutex::new(Batch::with_room(records, bytes));
        let (filling, reading, lost) = ([batch(), batch()], batch(), AtomicU64::new(0));
        Self(Arc::new(Inner { filling, reading, turn, lost }))
    }

    /// Hands a record to the log; counts it as lost when the inbox is full. Writers that share an inbox wait for each other, and nobody for the log.
    pub fn push(&self, record: Record<'_>) {
        let _turn = self.0.turn.as_ref().map(locked);
        if self.0.free().push(record).is_none() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Inner {
    /// The first that nobody holds.
    fn free(&self) -> MutexGuard<'_, Batch> {
        let [first, second] = &self.filling;
        for batch in [first, second] {
            match batch.try_lock() {
                Ok(batch) => return batch,
                Err(TryLockError::Poisoned(batch)) => return batch.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        locked(first)
    }

    /// Takes what waits, the oldest first; not what comes meanwhile.
    fn drain(&self, name: &mut CanonicalName, take: &mut impl FnMut(&Record<'_>)) {
        let mut reading = locked(&self.reading);
        for filling in &self.filling {
            {
                let mut filling = locked(filling);
                if filling.entries.is_empty() {
                    continue;
                }
                std::mem::swap(&mut *filling, &mut *reading);
            }
            reading.read(name, take);
            reading.entries.clear();
            reading.bytes.clear();
        }
    }
}

impl Batch {
    fn with_room(records: usize, bytes: usize) -> Self {
        Self { entries: Vec::with_capacity(records), bytes: Vec::with_capacity(bytes) }
    }

    /// `None` when there is no room.
    fn push(&mut self, record: Record<'_>) -> Option<()> {
        let (name, reply) = (record.name.as_wire(), record.reply);
        let kept = reply.map(|reply| {
            let Reply { bytes, origin, is_cut } = reply;
            Kept { length: bytes.len() as u16, origin, is_cut }
        });
        let bytes = reply.map_or(&[][..], |reply| reply.bytes);
        let has_room = self.entries.len() < self.entries.capacity()
            && self.bytes.capacity() - self.bytes.len() >= name.len() + bytes.len();
        has_room.then(|| {
            self.entries.push(record.with(name.len() as u8, kept));
            self.bytes.extend_from_slice(name);
            self.bytes.extend_from_slice(bytes);
        })
    }

    /// Shows each record, with `name` as the place for names.
    fn read(&self, name: &mut CanonicalName, take: &mut impl FnMut(&Record<'_>)) {
        let mut rest = &*self.bytes;
        let mut next = |length: usize| {
            let (taken, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(taken)
        };
        for entry in &self.entries {
            let wire = next(entry.name.into());
            let reply = entry.reply.and_then(|Kept { length, origin, is_cut }| {
                Some(Reply { bytes: next(length.into())?, origin, is_cut })
            });
            // Always: what was pushed was a name.
            if wire.and_then(|wire| name.copy_over(wire)).is_some() {
                take(&entry.with(name, reply));
            }
        }
    }
}

impl Inboxes {
    /// An inbox for one more thread that writes.
    pub fn add(&self) -> Inbox {
        self.added(Inbox::new(RECORDS, BYTES, None))
    }

    /// The same for several.
    pub fn add_shared(&self) -> Inbox {
        self.added(Inbox::new(RECORDS, BYTES, Some(Mutex::default())))
    }

    fn added(&self, inbox: Inbox) -> Inbox {
        locked(&self.0).push(inbox.clone());
        inbox
    }

    /// Takes what waits, oldest first within an inbox; and not what comes meanwhile, as no writer is to keep the others waiting.
    pub(super) fn drain(&self, mut take: impl FnMut(&Record<'_>)) {
        let inboxes = locked(&self.0).clone();
        let mut name = CanonicalName::root();
        inboxes.iter().for_each(|Inbox(inbox)| inbox.drain(&mut name, &mut take));
    }

    /// Records lost to full inboxes.
    pub fn lost(&self) -> u64 {
        locked(&self.0).iter().map(|Inbox(inbox)| inbox.lost.load(Ordering::Relaxed)).sum()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::dns::RecordType;
    use crate::policy::{Cause, IdentityNumber, Trigger};
    use crate::telemetry::Decision;

    /// A record with a name and a reply of its own: its bytes, who said so, and whether there was more.
    type Owned = Entry<CanonicalName, (Vec<u8>, Origin, bool)>;

    fn push(inbox: &Inbox, entry: &Owned) {
        let reply = entry.reply.as_ref().map(|(bytes, origin, _)| Reply::new(bytes, *origin));
        inbox.push(entry.with(&entry.name, reply));
    }

    fn drained(inboxes: &Inboxes) -> Vec<Owned> {
        let mut records = Vec::new();
        inboxes.drain(|record| {
            let reply = record.reply.map(|reply| (reply.bytes().to_vec(), reply.origin(), reply.is_cut()));
            records.push(record.with(record.name.clone(), reply));
        });
        records
    }

    /// A record of one writer: its number, and a reply as long as that number says, all of one byte.
    fn entry(writer: u8, number: u64) -> Owned {
        let length = (number * 7 % (Reply::MOST as u64 + 1)) as usize;
        Entry {
            time_ms: number as i64,
            client: [10, 0, 0, writer].into(),
            identity: IdentityNumber::default(),
            transport: "udp",
            name: CanonicalName::read(b"\x06wechat\x03com\0").unwrap(),
            record_type: RecordType::A,
            decision: Decision::Allowed,
            cause: None,
            generation: 7,
            took_us: None,
            reply: Some((vec![writer; length], Origin::Cache, false)),
        }
    }

    /// Lets so many writers push to one small inbox while it is drained, and looks at what comes out. Returns how much that is.
    fn written_by(writers: u8) -> u64 {
        const EACH: u64 = 20_000;
        let inboxes = Inboxes::default();
        let inbox = inboxes.added(Inbox::new(16, 4096, (writers > 1).then(Mutex::default)));
        let mut next = vec![0_u64; writers.into()];
        let mut seen = 0;
        thread::scope(|scope| {
            let write = |writer| {
                let inbox = &inbox;
                move || {
                    for number in 0..EACH {
                        push(inbox, &entry(writer, number));
                        // So that all of them meet, however few processors there are.
                        thread::yield_now();
                    }
                }
            };
            let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(write(writer))).collect();
            loop {
                let over = threads.iter().all(|writer| writer.is_finished());
                for record in drained(&inboxes) {
                    let std::net::IpAddr::V4(client) = record.client else { panic!("{record:?}") };
                    let [.., writer] = client.octets();
                    let number = record.time_ms as u64;
                    let next = &mut next[usize::from(writer)];
                    assert!(number >= *next, "in their order");
                    *next = number + 1;
                    seen += 1;
                    let (reply, ..) = record.reply.unwrap();
                    assert_eq!(reply.len() as u64, number * 7 % (Reply::MOST as u64 + 1));
                    assert!(reply.iter().all(|byte| *byte == writer));
                }
                if over {
                    break;
                }
            }
        });
        assert_eq!(seen + inboxes.lost(), u64::from(writers) * EACH);
        seen
    }

    #[test]
    fn writers_lose_only_what_has_no_room_and_keep_their_order() {
        assert!(written_by(1) > 0);
    }

    #[test]
    fn so_do_writers_that_share_an_inbox_and_they_mix_nothing_up() {
        assert!(written_by(3) > 0);
    }

    #[test]
    fn while_one_batch_is_taken_away_the_other_takes_what_comes() {
        let inboxes = Inboxes::default();
        let inbox = inboxes.add();
        push(&inbox, &entry(1, 0));
        {
            let _held = locked(&inbox.0.filling[0]);
            push(&inbox, &entry(1, 1));
        }
        push(&inbox, &entry(1, 2));
        let times: Vec<i64> = drained(&inboxes).iter().map(|record| record.time_ms).collect();
        assert_eq!((times, inboxes.lost()), (vec![0, 2, 1], 0));
    }

    #[test]
    fn a_full_inbox_loses_what_comes_and_has_room_again_once_it_is_read() {
        let inboxes = Inboxes::default();
        let inbox = inboxes.add();
        for (number, fits) in [(0, RECORDS), (73, BYTES / (12 + 511))] {
            (0..fits + 5).for_each(|_| push(&inbox, &entry(1, number)));
            assert_eq!(drained(&inboxes).len(), fits, "of {number}");
        }
        assert_eq!(inboxes.lost(), 10);
        push(&inbox, &entry(1, 73));
        assert_eq!(drained(&inboxes)[0].time_ms, 73);
        assert_eq!(inboxes.lost(), 10);
    }

    /// Most of what a thread pays for the log is the handing of cache lines to another core.
    #[test]
    fn a_usual_record_takes_four_cache_lines() {
        let (name, reply) = (b"\x03www\x07example\x03com\0", [0; 120]);
        let taken = size_of::<Entry<u8, Kept>>() + name.len() + reply.len();
        assert!(taken <= 4 * 64, "{taken}");
    }

    fn entries() -> impl Strategy<Value = Owned> {
        let cause = (any::<[u32; 2]>(), any::<[u16; 2]>(), any::<u8>(), any::<bool>()).prop_map(
            |(ids, parts, depth, exact)| {
                let ([rule, kind], [group, enforcement]) = (ids, parts);
                Cause { rule, kind, group, enforcement, trigger: Trigger::QueryName, depth, exact }
            },
        );
        let client = prop_oneof![
            any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
            any::<[u8; 16]>().prop_map(std::net::IpAddr::from)
        ];
        let labels = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..=63), 0..4);
        let name = labels.prop_map(|labels| {
            let wire = labels.iter().flat_map(|label| [&[label.len() as u8][..], label].concat());
            CanonicalName::read(&wire.chain([0]).collect::<Vec<_>>()).unwrap_or_else(CanonicalName::root)
        });
        let asked = any::<Option<u16>>().prop_map(Origin::Upstream);
        let origin = prop_oneof![Just(Origin::Cache), Just(Origin::Policy), asked];
        let reply = (proptest::collection::vec(any::<u8>(), 0..600), origin, Just(false));
        let option = proptest::option::of(reply);
        (client, name, proptest::option::of(cause), option, any::<i64>(), any::<Option<NonZero<u32>>>())
            .prop_map(|(client, name, cause, reply, time_ms, took_us)| Entry {
                time_ms,
                client,
                identity: IdentityNumber::default(),
                transport: "doq",
                name,
                record_type: RecordType::AAAA,
                decision: Decision::Shadow,
                cause,
                generation: 9,
                took_us,
                reply,
            })
    }

    proptest! {
        #[test]
        fn what_is_pushed_comes_out_as_it_was(pushed in proptest::collection::vec(entries(), 0..20)) {
            let inboxes = Inboxes::default();
            let inbox = inboxes.add();
            pushed.iter().for_each(|entry| push(&inbox, entry));
            let mut kept = pushed;
            for (bytes, _, is_cut) in kept.iter_mut().filter_map(|entry| entry.reply.as_mut()) {
                *is_cut = bytes.len() > Reply::MOST;
                bytes.truncate(Reply::MOST);
            }
            prop_assert_eq!(format!("{:?}", drained(&inboxes)), format!("{kept:?}"));
        }
    }
}
