//! Owns the list of questions that wait for upstreams: identical ones joined, those who wait for each, and when those who
//! could have a stale answer lose their patience. Bounded. Never asks, and never answers anybody.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use super::request::{Asker, Sink};
use super::told::Tale;
use crate::cache::Key;
use crate::clock::{Clock, Moment};
use crate::dns::Name;

/// Questions under way, by cache key, with those who wait. In shards, so that threads rarely meet at a lock; each is held
/// for one look-up.
#[derive(Debug)]
pub(super) struct Pending {
    shards: [Mutex<Shard>; SHARDS],
    state: RandomState,
    /// Questions under way.
    questions: AtomicUsize,
    /// Queries that wait.
    waiters: AtomicUsize,
    most: usize,
    /// Queries that wait, by client; several may share a count, which then bounds them together.
    of_client: Box<[AtomicUsize]>,
    /// Questions that are asked ahead of need.
    refreshes: Arc<AtomicUsize>,
    /// Questions for which there is a stale answer, and when it is to be given; the oldest first.
    timed: Mutex<VecDeque<(Moment, Arc<[u8]>)>>,
    /// Told when the first question is put there.
    begun: Notify,
    /// The machine's clock: upstreams do not stand still when a test's clock does.
    network: Clock,
}

type Shard = HashMap<Arc<[u8]>, Waiting, RandomState>;

/// Those who wait for one answer: nearly always one, and nobody when it is fetched ahead of need.
#[derive(Debug)]
struct Waiting {
    first: Option<Waiter>,
    others: Vec<Waiter>,
    patience: Patience,
}

/// How long those who ask a question wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Until there is an outcome.
    Endless,
    /// It is over: who asks now gets the stale answer at once.
    Over,
    /// Until the client response timer ends (RFC 8767 section 5).
    Timed,
}

/// One query that waits.
pub(super) struct Waiter {
    pub(super) packet: Packet,
    pub(super) from: Asker,
    /// The generation under which its name and its client met nothing, if there is one.
    pub(super) passed: Option<u64>,
    /// In memory of its own, as nearly no query is sent elsewhere.
    pub(super) redirected: Option<Box<Redirected>>,
    pub(super) since: Moment,
    pub(super) sink: Sink,
}

/// Where a client is sent.
pub(super) struct Redirected {
    /// The name whose records the client gets instead of its own.
    pub(super) target: Name,
    /// The generation that decided so when it saw the answer; `None` when it needed none to decide.
    pub(super) by_answer: Option<u64>,
    /// What was decided then.
    pub(super) tale: Option<Tale>,
}

/// A query's bytes: a typical one without memory of its own.
pub(super) enum Packet {
    Long(Box<[u8]>),
    Short { bytes: [u8; SHORT], length: u8 },
}

/// A power of two.
const SHARDS: usize = 16;
/// Longest query kept in place, in bytes: a name of 60 with an OPT record and a cookie.
const SHORT: usize = 119;
/// Queries that may wait for the same answer: more than any honest network sends within one answer time.
const MOST_JOINED: usize = 4096;
/// Of all questions that may be under way, as many queries as one client may wait for: a quarter, so that who asks for names that
/// nobody answers leaves room for the others.
const OF_CLIENT: usize = 4;
/// However few may be under way: a device that wakes up asks for that many names.
const LEAST_OF_CLIENT: usize = 64;
/// Counts of clients. A power of two.
const CLIENTS: usize = 4096;
/// Queries that may wait for each question that may be under way, on average: bounds the memory of a flood that repeats
/// itself at some 250 bytes times this.
const JOINED_ON_AVERAGE: usize = 4;

/// A question asked ahead of need is under way.
#[derive(Debug)]
pub(super) struct Refresh(Arc<AtomicUsize>);

impl Drop for Refresh {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a query's question must be asked.
pub(super) enum Joined {
    /// By the caller.
    First(Arc<[u8]>),
    /// It was asked already.
    Later,
    /// It may not be.
    NoRoom(Option<Waiter>),
    /// Its client waits for too much already.
    TooMany(Waiter),
    /// It was asked, and others lost their patience over it.
    TooSlow(Waiter),
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Packet {
    pub(super) fn new(packet: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..packet.len()) {
            Some(room) => {
                room.copy_from_slice(packet);
                Self::Short { bytes, length: packet.len() as u8 }
            }
            None => Self::Long(packet.into()),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Long(bytes) => bytes,
            Self::Short { bytes, length } => bytes.get(..usize::from(*length)).unwrap_or(&[]),
        }
    }
}

impl Pending {
    pub(super) fn new(most: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            state: RandomState::default(),
            questions: AtomicUsize::new(0),
            waiters: AtomicUsize::new(0),
            most,
            of_client: (0..CLIENTS).map(|_| AtomicUsize::new(0)).collect(),
            refreshes: Arc::default(),
            timed: Mutex::default(),
            begun: Notify::new(),
            network: Clock::system(),
        }
    }

    /// Waits for the question under `key`; without a waiter, it is fetched for whoever comes. With `patience`, there is a
    /// stale answer, to be given after that time.
    pub(super) fn join(
        &self,
        key: &Key<'_>,
        mut waiter: Option<Waiter>,
        patience: Option<Duration>,
    ) -> Joined {
        if waiter.is_some() && self.waiters.load(Ordering::Relaxed) >= self.most * JOINED_ON_AVERAGE {
            return Joined::NoRoom(waiter);
        }
        if let Some(waiter) = waiter.take_if(|waiter| !self.has_room_for(waiter)) {
            return Joined::TooMany(waiter);
        }
        let key = key.to_bytes();
        let mut shard = self.shard(&key);
        let (joined, timed) = match (shard.get_mut(&key), waiter) {
            (Some(_), None) => return Joined::Later,
            (Some(waiting), Some(waiter)) => {
                if waiting.patience == Patience::Over && patience.is_some() {
                    return Joined::TooSlow(waiter);
                }
                if waiting.others.len() + 1 >= MOST_JOINED {
                    return Joined::NoRoom(Some(waiter));
                }
                self.of_client(&waiter).fetch_add(1, Ordering::Relaxed);
                if waiting.first.is_none() {
                    waiting.first = Some(waiter);
                } else {
                    waiting.others.push(waiter);
                }
                let timed = patience.filter(|_| waiting.patience == Patience::Endless);
                if timed.is_some() {
                    waiting.patience = Patience::Timed;
                }
                self.waiters.fetch_add(1, Ordering::Relaxed);
                (Joined::Later, timed.map(|patience| (patience, key)))
            }
            (None, waiter) if self.questions.load(Ordering::Relaxed) >= self.most => {
                return Joined::NoRoom(waiter);
            }
            (None, first) => {
                self.waiters.fetch_add(usize::from(first.is_some()), Ordering::Relaxed);
                if let Some(first) = &first {
                    self.of_client(first).fetch_add(1, Ordering::Relaxed);
                }
                let kind = if patience.is_some() { Patience::Timed } else { Patience::Endless };
                let waiting = Waiting { first, others: Vec::new(), patience: kind };
                shard.insert(Arc::clone(&key), waiting);
                self.questions.fetch_add(1, Ordering::Relaxed);
                (Joined::First(Arc::clone(&key)), patience.map(|patience| (patience, key)))
            }
        };
        drop(shard);
        if let Some((patience, key)) = timed {
            self.time(patience, key);
        }
        joined
    }

    /// A place among `most` questions asked ahead of need; dropped when the question is over.
    pub(super) fn begin_refresh(&self, most: usize) -> Option<Refresh> {
        let place = Refresh(Arc::clone(&self.refreshes));
        (self.refreshes.fetch_add(1, Ordering::Relaxed) < most.max(1)).then_some(place)
    }

    /// The question is over: those who waited for it.
    pub(super) fn take(&self, key: &[u8]) -> Option<impl Iterator<Item = Waiter> + use<>> {
        let waiting = self.shard(key).remove(key)?;
        self.questions.fetch_sub(1, Ordering::Relaxed);
        Some(self.counted_out(waiting.first, waiting.others))
    }

    /// Those who waited for a question that goes on. Who asks it from now on waits no more, while there is a stale answer.
    pub(super) fn take_impatient(&self, key: &[u8]) -> Option<impl Iterator<Item = Waiter> + use<>> {
        let mut shard = self.shard(key);
        let waiting = shard.get_mut(key).filter(|waiting| waiting.patience == Patience::Timed)?;
        waiting.patience = Patience::Over;
        Some(self.counted_out(waiting.first.take(), std::mem::take(&mut waiting.others)))
    }

    fn counted_out(
        &self,
        first: Option<Waiter>,
        others: Vec<Waiter>,
    ) -> impl Iterator<Item = Waiter> + use<> {
        self.waiters.fetch_sub(usize::from(first.is_some()) + others.len(), Ordering::Relaxed);
        for waiter in first.iter().chain(&others) {
            self.of_client(waiter).fetch_sub(1, Ordering::Relaxed);
        }
        first.into_iter().chain(others)
    }

    fn has_room_for(&self, waiter: &Waiter) -> bool {
        let most = (self.most / OF_CLIENT).max(LEAST_OF_CLIENT);
        self.of_client(waiter).load(Ordering::Relaxed) < most
    }

    /// What is counted of the client; a site gets a /64 of IPv6, and picks addresses in it as it likes.
    fn of_client(&self, waiter: &Waiter) -> &AtomicUsize {
        use std::hash::BuildHasher;
        let site = match waiter.from.address {
            IpAddr::V4(address) => u64::from(u32::from(address)),
            IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
        };
        let [first, ..] = &*self.of_client else { return &self.waiters };
        self.of_client.get(self.state.hash_one(site) as usize % CLIENTS).unwrap_or(first)
    }

    fn time(&self, patience: Duration, key: Arc<[u8]>) {
        let mut timed = self.timed();
        // A question that was answered may stand here until its time is over. Beyond this many, which no honest network
        // asks for within that time, clients get the outcome of the question instead.
        if timed.len() >= self.most * JOINED_ON_AVERAGE {
            return;
        }
        timed.push_back((self.network.now() + patience, key));
        if timed.len() == 1 {
            self.begun.notify_one();
        }
    }

    /// The next question whose patience is over; waits for it. Everybody has the same patience, so the oldest is next.
    pub(super) async fn impatient(&self) -> Arc<[u8]> {
        loop {
            let next = self.timed().front().map(|(end, _)| end.since(self.network.now()));
            match next {
                None => self.begun.notified().await,
                Some(Duration::ZERO) => {
                    if let Some((_, key)) = self.timed().pop_front() {
                        return key;
                    }
                }
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    fn timed(&self) -> MutexGuard<'_, VecDeque<(Moment, Arc<[u8]>)>> {
        self.timed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        use std::hash::BuildHasher;
        // The upper bits choose the shard, the lower ones the place in it.
        let shard = (self.state.hash_one(key) >> 32) as usize % SHARDS;
        let [first, ..] = &self.shards;
        self.shards.get(shard).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{CanonicalName, RecordType};
    use crate::query::Transport;

    fn waiter(packet: &[u8]) -> Option<Waiter> {
        let from = Asker::at(std::net::Ipv4Addr::LOCALHOST.into(), Transport::Udp);
        let packet = Packet::new(packet);
        Some(Waiter {
            packet,
            from,
            passed: None,
            redirected: None,
            since: Moment::START,
            sink: Box::new(|_| {}),
        })
    }

    fn name(label: u8) -> CanonicalName {
        CanonicalName::read(&[1, label, 0]).unwrap()
    }

    fn key(name: &CanonicalName) -> Key<'_> {
        Key::new(name, RecordType::A, false, false)
    }

    #[test]
    fn questions_and_those_who_wait_are_bounded_and_counted_out() {
        let pending = Pending::new(2);
        let join = |label| pending.join(&key(&name(label)), waiter(b""), None);
        assert!(matches!(join(b'a'), Joined::First(_)));
        assert!(matches!(join(b'b'), Joined::First(_)));
        assert!(matches!(join(b'c'), Joined::NoRoom(_)), "a third question");
        for _ in 0..6 {
            assert!(matches!(join(b'a'), Joined::Later));
        }
        assert!(matches!(join(b'a'), Joined::NoRoom(_)), "a ninth query");
        let waiting = pending.take(&key(&name(b'a')).to_bytes()).unwrap();
        assert_eq!(waiting.count(), 7);
        assert!(pending.take(&key(&name(b'a')).to_bytes()).is_none());
        assert!(matches!(join(b'c'), Joined::First(_)), "room again");
        drop((pending.take(&key(&name(b'b')).to_bytes()), pending.take(&key(&name(b'c')).to_bytes())));
        let counts = [&pending.questions, &pending.waiters].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [0, 0]);
    }

    #[test]
    fn who_could_have_a_stale_answer_waits_once_and_then_no_more() {
        const PATIENCE: Option<Duration> = Some(Duration::from_secs(2));
        let pending = Pending::new(2);
        let join = |patience| pending.join(&key(&name(b'a')), waiter(b""), patience);
        let place = key(&name(b'a')).to_bytes();
        assert!(matches!(pending.join(&key(&name(b'a')), None, None), Joined::First(_)), "nobody waits yet");
        assert!(pending.take_impatient(&place).is_none(), "nobody has a stale answer");
        assert!(matches!(join(PATIENCE), Joined::Later));
        assert!(matches!(join(PATIENCE), Joined::Later));
        assert_eq!(pending.timed().len(), 1, "one timer a question");
        assert_eq!(pending.take_impatient(&place).unwrap().count(), 2);
        assert!(matches!(join(PATIENCE), Joined::TooSlow(_)));
        assert!(matches!(join(None), Joined::Later), "without a stale answer there is nothing but waiting");
        assert!(pending.take_impatient(&place).is_none(), "once");
        assert_eq!(pending.take(&place).unwrap().count(), 1);
        let counts = [&pending.questions, &pending.waiters].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [0, 0]);
    }

    #[test]
    fn no_more_join_one_question_than_may() {
        let pending = Pending::new(MOST_JOINED);
        for number in 0..=MOST_JOINED {
            let mut waiter = waiter(b"").unwrap();
            waiter.from.address = [10, 0, (number >> 8) as u8, number as u8].into();
            let joined = pending.join(&key(&name(b'a')), Some(waiter), None);
            assert_eq!(matches!(joined, Joined::NoRoom(_)), number == MOST_JOINED, "query {number}");
        }
    }

    #[test]
    fn one_client_leaves_room_for_others() {
        let pending = Pending::new(400);
        let long = |number: usize| {
            CanonicalName::read(&[2, b'a' + (number / 26) as u8, b'a' + (number % 26) as u8, 0])
        };
        let ask = |number: usize, client: [u8; 4]| {
            let mut waiter = waiter(b"").unwrap();
            waiter.from.address = client.into();
            pending.join(&key(&long(number).unwrap()), Some(waiter), None)
        };
        let taken = (0..150).filter(|number| matches!(ask(*number, [10, 0, 0, 1]), Joined::First(_))).count();
        assert_eq!(taken, 100);
        assert!(matches!(ask(0, [10, 0, 0, 1]), Joined::TooMany(_)), "nor may it join");
        assert!(matches!(ask(200, [10, 0, 0, 2]), Joined::First(_)));
        assert_eq!(pending.take(&key(&long(7).unwrap()).to_bytes()).unwrap().count(), 1);
        assert!(matches!(ask(201, [10, 0, 0, 1]), Joined::First(_)), "room again");
    }

    #[test]
    fn a_packet_of_any_length_is_kept_whole() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 2000] {
            let bytes: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let packet = Packet::new(&bytes);
            assert_eq!(packet.bytes(), bytes);
            assert_eq!(matches!(packet, Packet::Short { .. }), length <= SHORT);
        }
    }
}
