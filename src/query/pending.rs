//! Owns the questions that wait for upstreams: identical ones joined, answers kept, each waiting query judged anew by
//! the policy in force when its answer comes. Bounded; what finds no room gets SERVFAIL at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::engine::Engine;
use super::redirect;
use super::request::{Asker, Outcome, Sink};
use super::turn::{Concluded, Done, Judged, Screened, Screening, Turn};
use crate::cache::{Entry, Freshness, Key};
use crate::clock::Moment;
use crate::dns::{CanonicalName, Class, ExtendedError, Flags, Full, MAX_MESSAGE, Name, Query, Rcode};
use crate::resolve::{Ask, Failure};
use crate::telemetry::{Counter, Path};

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
}

type Shard = HashMap<Arc<[u8]>, Waiting, RandomState>;

/// Those who wait for one answer: nearly always one.
#[derive(Debug)]
struct Waiting {
    first: Waiter,
    others: Vec<Waiter>,
}

/// One query that waits.
struct Waiter {
    packet: Packet,
    from: Asker,
    redirected: Option<Redirected>,
    since: Moment,
    sink: Sink,
}

/// Where a client is sent.
struct Redirected {
    /// The name whose records the client gets instead of its own.
    target: Name,
    /// The generation that decided so when it saw the answer; `None` when it needed none to decide.
    by_answer: Option<u64>,
}

/// A query's bytes: a typical one without memory of its own.
enum Packet {
    Long(Box<[u8]>),
    Short { bytes: [u8; SHORT], length: u8 },
}

/// A power of two.
const SHARDS: usize = 16;
/// Longest query kept in place, in bytes: a name of 60 with an OPT record and a cookie.
const SHORT: usize = 119;
/// Queries that may wait for the same answer: more than any honest network sends within one answer time.
const MOST_JOINED: usize = 4096;
/// Queries that may wait for each question that may be under way, on average: bounds the memory of a flood that repeats
/// itself at some 250 bytes times this.
const JOINED_ON_AVERAGE: usize = 4;

/// Whether a query's question must be asked.
enum Joined {
    First(Arc<[u8]>),
    Later,
    NoRoom(Waiter),
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Packet {
    fn new(packet: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..packet.len()) {
            Some(room) => {
                room.copy_from_slice(packet);
                Self::Short { bytes, length: packet.len() as u8 }
            }
            None => Self::Long(packet.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
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
        }
    }

    fn join(&self, key: &Key<'_>, waiter: Waiter) -> Joined {
        if self.waiters.load(Ordering::Relaxed) >= self.most * JOINED_ON_AVERAGE {
            return Joined::NoRoom(waiter);
        }
        let key = key.to_bytes();
        let mut shard = self.shard(&key);
        let joined = match shard.get_mut(&key) {
            Some(waiting) if waiting.others.len() + 1 >= MOST_JOINED => return Joined::NoRoom(waiter),
            Some(waiting) => {
                waiting.others.push(waiter);
                Joined::Later
            }
            None if self.questions.load(Ordering::Relaxed) >= self.most => return Joined::NoRoom(waiter),
            None => {
                shard.insert(Arc::clone(&key), Waiting { first: waiter, others: Vec::new() });
                self.questions.fetch_add(1, Ordering::Relaxed);
                Joined::First(key)
            }
        };
        self.waiters.fetch_add(1, Ordering::Relaxed);
        joined
    }

    fn take(&self, key: &[u8]) -> Option<Waiting> {
        let waiting = self.shard(key).remove(key)?;
        self.questions.fetch_sub(1, Ordering::Relaxed);
        self.waiters.fetch_sub(1 + waiting.others.len(), Ordering::Relaxed);
        Some(waiting)
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        use std::hash::BuildHasher;
        // The upper bits choose the shard, the lower ones the place in it.
        let shard = (self.state.hash_one(key) >> 32) as usize % SHARDS;
        let [first, ..] = &self.shards;
        self.shards.get(shard).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Asks upstreams and answers through `sink` when they did.
    pub(super) fn fetch(
        self: &Arc<Self>,
        query: &Query<'_>,
        from: Asker,
        key: &Key<'_>,
        since: Moment,
        sink: Sink,
    ) {
        let waiter = Waiter { packet: Packet::new(query.packet), from, redirected: None, since, sink };
        let ask = Ask {
            name: &query.name,
            record_type: query.record_type,
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.flags.has(Flags::CD),
        };
        self.wait(key, ask, waiter);
    }

    /// Resolves `target` and answers with its records through `sink`. `by_answer` is the generation that sends the client
    /// there because of the answer to its question; `None` when its question was enough.
    pub(super) fn redirect(
        self: &Arc<Self>,
        query: &Query<'_>,
        from: Asker,
        target: &Name,
        by_answer: Option<u64>,
        since: Moment,
        sink: Sink,
    ) {
        let waiter = Waiter { packet: Packet::new(query.packet), from, redirected: None, since, sink };
        self.send_elsewhere(waiter, target, by_answer);
    }

    fn send_elsewhere(self: &Arc<Self>, waiter: Waiter, target: &Name, by_answer: Option<u64>) {
        let Ok(query) = Query::read(waiter.packet.bytes()) else { return };
        let record_type = query.record_type;
        // A target that makes the name too long stays as it is written, and there is nothing at it.
        let target = redirect::destination(&query.name, target).unwrap_or_else(|| target.clone());
        let name = CanonicalName::from(&target);
        let waiter = Waiter { redirected: Some(Redirected { target, by_answer }), ..waiter };
        let key = Key::new(&name, record_type, false, false);
        let kept = self.parts.store.find(&key);
        let now = self.parts.clock.now();
        if let Some(entry) = kept.filter(|entry| entry.freshness(now, 0) == Freshness::Fresh) {
            self.answer([waiter], Ok((&entry, false)));
            return;
        }
        let ask = Ask { name: &name, record_type, dnssec_ok: false, checking_disabled: false };
        self.wait(&key, ask, waiter);
    }

    fn wait(self: &Arc<Self>, key: &Key<'_>, ask: Ask<'_>, waiter: Waiter) {
        match self.pending.join(key, waiter) {
            Joined::First(key) => {
                let engine = Arc::clone(self);
                self.parts.forwarder.ask(ask, Box::new(move |resolved| engine.resolved(&key, resolved)));
            }
            Joined::Later => self.shared.bump(Counter::Coalesced),
            Joined::NoRoom(waiter) => {
                self.shared.bump(Counter::DropOverload);
                self.answer([waiter], Err(Failure::Timeout));
            }
        }
    }

    /// Keeps what upstreams said and answers those who waited for it.
    fn resolved(self: &Arc<Self>, place: &[u8], resolved: Result<&[u8], Failure>) {
        let name = Key::name_in(place);
        let key = Key::of_bytes(place, &name);
        let now = self.parts.clock.now();
        let (fresh, failure) = match resolved {
            Ok(message) => (Entry::new(&key, message, now), None),
            Err(failure) => (Entry::new(&key, &servfail(place), now), Some(failure)),
        };
        let failed =
            fresh.as_ref().is_none_or(|entry| !matches!(entry.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN));
        let stale = if failed { self.stale(&key, now) } else { None };
        let entry = if stale.is_some() {
            self.shared.bump(Counter::CacheStale);
            None
        } else {
            fresh
        };
        if let Some(entry) = &entry {
            self.parts.store.keep(Arc::clone(entry));
        }
        // Taken only now: a query that comes after this finds the answer in the cache.
        let Some(waiting) = self.pending.take(place) else { return };
        let waiters = std::iter::once(waiting.first).chain(waiting.others);
        match (&stale, &entry, failure) {
            (Some(stale), _, _) => self.answer(waiters, Ok((stale, true))),
            (None, _, Some(failure)) => self.answer(waiters, Err(failure)),
            (None, Some(entry), None) => self.answer(waiters, Ok((entry, false))),
            (None, None, None) => self.answer(waiters, Err(Failure::Network)),
        }
    }

    /// An answer past its TTL that may still be shown.
    fn stale(&self, key: &Key<'_>, now: Moment) -> Option<Arc<Entry>> {
        let longest = self.parts.store.config().stale;
        self.parts.store.find(key).filter(|entry| entry.freshness(now, longest) != Freshness::TooOld)
    }

    /// Answers everybody who waited, each as the policy in force now says.
    fn answer(
        self: &Arc<Self>,
        waiters: impl IntoIterator<Item = Waiter>,
        answer: Result<(&Entry, bool), Failure>,
    ) {
        thread_local! {
            /// Room for a reply of any size, made once for each thread.
            static REPLY: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_MESSAGE].into());
        }
        let snapshot = self.parts.live.load();
        let turn = Turn {
            engine: self,
            snapshot: &snapshot,
            cell: &self.shared,
            ring: self.shared_ring.as_ref(),
            now: self.parts.clock.now(),
            wall_ms: self.shared_ring.as_ref().map_or(0, |_| self.parts.clock.wall().as_millisecond()),
        };
        // Those whom the answer sends elsewhere; they wait anew once this thread's room for a reply is free.
        let mut elsewhere: Vec<(Waiter, &Name)> = Vec::new();
        REPLY.with_borrow_mut(|buffer| {
            for waiter in waiters {
                let Ok(query) = Query::read(waiter.packet.bytes()) else { continue };
                let reply = turn.room(&query, waiter.from, buffer);
                let done = match turn.resolved(&query, &waiter, answer, reply) {
                    Concluded::Done(done) => done,
                    Concluded::Redirect(target) => {
                        elsewhere.push((waiter, target));
                        continue;
                    }
                };
                let took = turn.now.since(waiter.since).as_nanos() as u64;
                self.shared.observe(Path::Miss, took, 1);
                if let Outcome::Reply(length) = done.outcome
                    && let Some(reply) = buffer.get(..length)
                {
                    (waiter.sink)(reply);
                }
            }
        });
        for (waiter, target) in elsewhere {
            self.send_elsewhere(waiter, target, Some(snapshot.generation()));
        }
    }
}

impl<'t> Turn<'t> {
    /// What comes of a query whose answer, or failure, has come.
    fn resolved(
        &self,
        query: &Query<'_>,
        waiter: &Waiter,
        answer: Result<(&Entry, bool), Failure>,
        reply: &mut [u8],
    ) -> Concluded<'t> {
        let client = self.client(waiter.from);
        let judged = self.judge(query, waiter.from, client, false, reply);
        let (entry, stale) = match (&judged, answer) {
            (Judged::Done(done), _) => return Concluded::Done(*done),
            (_, Ok(answer)) => answer,
            (Judged::Resolve(Screening::Awaited(cause)), Err(failure)) => {
                let denied = self.deny_without_answer(query, waiter.from, *cause, reply);
                return Concluded::Done(denied.unwrap_or_else(|| self.failed(query, failure, reply)));
            }
            (_, Err(failure)) => return Concluded::Done(self.failed(query, failure, reply)),
        };
        let sent = match (judged, &waiter.redirected) {
            (Judged::Resolve(screening), None) => {
                return self.conclude(query, waiter.from, client.group, entry, screening, stale, reply);
            }
            (Judged::Redirect(target), Some(Redirected { target: resolved, by_answer: None })) => {
                Some(resolved).filter(|_| match redirect::destination(&query.name, target) {
                    Some(destination) => destination == *resolved,
                    None => target == resolved,
                })
            }
            (Judged::Resolve(_), Some(Redirected { target, by_answer: Some(generation) })) => {
                Some(target).filter(|_| *generation == self.snapshot.generation())
            }
            _ => None,
        };
        Concluded::Done(match sent {
            Some(target) => self.elsewhere(query, waiter.from, client.group, target, entry, reply),
            // The policy changed while the query waited, and what was fetched no longer fits: the client asks again.
            None => {
                let options = ExtendedError::StaleAnswer.option("policy changed");
                self.with_options(query, Rcode::SERVFAIL, &options, reply)
            }
        })
    }

    fn failed(&self, query: &Query<'_>, failure: Failure, reply: &mut [u8]) -> Done {
        self.with_options(query, Rcode::SERVFAIL, &failure.extended_error().option(""), reply)
    }

    /// The reply to a query that is sent to `target`, whose own answer `entry` is.
    fn elsewhere(
        &self,
        query: &Query<'_>,
        from: Asker,
        group: u16,
        target: &Name,
        entry: &Entry,
        reply: &mut [u8],
    ) -> Done {
        // What was decided of the query's own name is no note in the target's entry.
        match self.screen(query, from, group, entry, Screening::Redirected, reply) {
            Screened::Concluded(Concluded::Done(blocked)) => return blocked,
            Screened::Concluded(Concluded::Redirect(_)) | Screened::Passed => {}
        }
        match redirect::write(query, target, self.snapshot.ttl(), entry.message(), self.payload(), reply) {
            Ok((rcode, length)) => self.finish(rcode, Path::Block, length),
            Err(Full) => self.truncated(query, reply),
        }
    }
}

/// A failure in the form of an answer to the question under `key`, to be kept for a moment (RFC 9520).
fn servfail(key: &[u8]) -> Vec<u8> {
    let (kind, name) = key.get(1..).and_then(<[u8]>::split_first_chunk::<2>).unwrap_or((&[0, 0], &[0]));
    let mut out = vec![0, 0];
    out.extend_from_slice(&(Flags::QR | Flags::RD | Flags::RA | Rcode::SERVFAIL.0).to_be_bytes());
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(name);
    out.extend_from_slice(kind);
    out.extend_from_slice(&Class::IN.0.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::RecordType;
    use crate::query::Transport;

    fn waiter(packet: &[u8]) -> Waiter {
        let from = Asker::at(std::net::Ipv4Addr::LOCALHOST.into(), Transport::Udp);
        let packet = Packet::new(packet);
        Waiter { packet, from, redirected: None, since: Moment::START, sink: Box::new(|_| {}) }
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
        let join = |label| pending.join(&key(&name(label)), waiter(b""));
        assert!(matches!(join(b'a'), Joined::First(_)));
        assert!(matches!(join(b'b'), Joined::First(_)));
        assert!(matches!(join(b'c'), Joined::NoRoom(_)), "a third question");
        for _ in 0..6 {
            assert!(matches!(join(b'a'), Joined::Later));
        }
        assert!(matches!(join(b'a'), Joined::NoRoom(_)), "a ninth query");
        let waiting = pending.take(&key(&name(b'a')).to_bytes()).unwrap();
        assert_eq!(waiting.others.len(), 6);
        assert!(pending.take(&key(&name(b'a')).to_bytes()).is_none());
        assert!(matches!(join(b'c'), Joined::First(_)), "room again");
        drop((pending.take(&key(&name(b'b')).to_bytes()), pending.take(&key(&name(b'c')).to_bytes())));
        let counts = [&pending.questions, &pending.waiters].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [0, 0]);
    }

    #[test]
    fn no_more_join_one_question_than_may() {
        let pending = Pending::new(MOST_JOINED);
        for number in 0..=MOST_JOINED {
            let joined = pending.join(&key(&name(b'a')), waiter(b""));
            assert_eq!(matches!(joined, Joined::NoRoom(_)), number == MOST_JOINED, "query {number}");
        }
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
