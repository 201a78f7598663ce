//! Owns the questions that wait for upstreams: identical ones joined, answers kept, each waiting query judged anew by
//! the policy in force when its answer comes. Bounded; what finds no room gets SERVFAIL at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::engine::{Engine, question};
use super::redirect;
use super::request::{Asker, Outcome, Sink};
use super::turn::{Done, Judged, Screening, Turn};
use crate::cache::{Entry, Freshness, Key};
use crate::clock::Moment;
use crate::dns::{CanonicalName, ExtendedError, Flags, Full, MAX_MESSAGE, Name, Query, Rcode, RecordType};
use crate::resolve::Failure;
use crate::telemetry::{Counter, Path};

/// Questions under way, by cache key, with those who wait.
#[derive(Debug)]
pub(super) struct Pending {
    waiting: Mutex<HashMap<Box<[u8]>, Vec<Waiter>>>,
    most: usize,
}

/// One query that waits.
struct Waiter {
    packet: Box<[u8]>,
    from: Asker,
    /// The name whose records the client gets instead of its own.
    redirected: Option<Name>,
    since: Moment,
    sink: Sink,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("from", &self.from).finish_non_exhaustive()
    }
}

/// Queries that may wait for the same answer: more than any honest network sends within one answer time.
const MOST_JOINED: usize = 4096;

/// Whether a query's question must be asked.
enum Joined {
    First,
    Later,
    NoRoom(Waiter),
}

impl Pending {
    pub(super) fn new(most: usize) -> Self {
        Self { waiting: Mutex::default(), most }
    }

    fn join(&self, key: &[u8], waiter: Waiter) -> Joined {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = waiting.len() >= self.most;
        match waiting.get_mut(key) {
            Some(waiters) if waiters.len() >= MOST_JOINED => Joined::NoRoom(waiter),
            Some(waiters) => {
                waiters.push(waiter);
                Joined::Later
            }
            None if full => Joined::NoRoom(waiter),
            None => {
                waiting.insert(key.into(), vec![waiter]);
                Joined::First
            }
        }
    }

    fn take(&self, key: &[u8]) -> Vec<Waiter> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(key).unwrap_or_default()
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
        let waiter = Waiter { packet: query.packet.into(), from, redirected: None, since, sink };
        let asked = Asked {
            name: query.name.clone(),
            record_type: query.record_type,
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.flags.has(Flags::CD),
        };
        self.wait(key, asked, waiter);
    }

    /// Resolves `target` and answers with its records through `sink`.
    pub(super) fn redirect(
        self: &Arc<Self>,
        query: &Query<'_>,
        from: Asker,
        target: &Name,
        since: Moment,
        sink: Sink,
    ) {
        let name = CanonicalName::from(target);
        let key = Key::new(&name, query.record_type, false, false);
        let redirected = Some(target.clone());
        let waiter = Waiter { packet: query.packet.into(), from, redirected, since, sink };
        let kept = self.parts.store.find(&key);
        if let Some(entry) = kept.filter(|entry| entry.freshness(since, 0) == Freshness::Fresh) {
            self.answer(vec![waiter], Ok((&entry, false)));
            return;
        }
        let asked = Asked {
            name: name.clone(),
            record_type: query.record_type,
            dnssec_ok: false,
            checking_disabled: false,
        };
        self.wait(&key, asked, waiter);
    }

    fn wait(self: &Arc<Self>, key: &Key<'_>, asked: Asked, waiter: Waiter) {
        let place = key.to_bytes();
        match self.pending.join(&place, waiter) {
            Joined::First => {
                let engine = Arc::clone(self);
                self.parts.runtime.spawn(async move { engine.ask(place, asked).await });
            }
            Joined::Later => self.shared.bump(Counter::Coalesced),
            Joined::NoRoom(waiter) => {
                self.shared.bump(Counter::DropOverload);
                self.answer(vec![waiter], Err(Failure::Timeout));
            }
        }
    }

    async fn ask(self: Arc<Self>, place: Box<[u8]>, asked: Asked) {
        let key = asked.key();
        let question = question(&asked.name, asked.record_type);
        let resolved =
            self.parts.forwarder.resolve(&question, &asked.name, asked.dnssec_ok, asked.checking_disabled);
        let (message, failure) = match resolved.await {
            Ok(message) => (message, None),
            Err(failure) => (servfail(&question), Some(failure)),
        };
        let now = self.parts.clock.now();
        let fresh = Entry::new(&key, &message, now);
        let failed =
            fresh.as_ref().is_none_or(|entry| !matches!(entry.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN));
        let stale = if failed { self.stale(&key, now) } else { None };
        if let Some(entry) = stale {
            self.shared.bump(Counter::CacheStale);
            self.answer(self.pending.take(&place), Ok((&entry, true)));
            return;
        }
        let entry = fresh;
        if let Some(entry) = &entry {
            self.parts.store.keep(Arc::clone(entry));
        }
        // Taken only now: a query that comes after this finds the answer in the cache.
        let waiters = self.pending.take(&place);
        match (&entry, failure) {
            (_, Some(failure)) => self.answer(waiters, Err(failure)),
            (Some(entry), None) => self.answer(waiters, Ok((entry, false))),
            (None, None) => self.answer(waiters, Err(Failure::Network)),
        }
    }

    /// An answer past its TTL that may still be shown.
    fn stale(&self, key: &Key<'_>, now: Moment) -> Option<Arc<Entry>> {
        let longest = self.parts.store.config().stale;
        self.parts.store.find(key).filter(|entry| entry.freshness(now, longest) != Freshness::TooOld)
    }

    /// Answers everybody who waited, each as the policy in force now says.
    fn answer(&self, waiters: Vec<Waiter>, answer: Result<(&Entry, bool), Failure>) {
        let snapshot = self.parts.live.load();
        let now = self.parts.clock.now();
        let turn = Turn {
            engine: self,
            snapshot: &snapshot,
            cell: &self.shared,
            ring: self.shared_ring.as_ref(),
            now,
            wall_ms: self.parts.clock.wall().as_millisecond(),
        };
        let mut buffer = vec![0; MAX_MESSAGE];
        for waiter in waiters {
            let Ok(query) = Query::read(&waiter.packet) else { continue };
            let reply = turn.room(&query, waiter.from, &mut buffer);
            let done = turn.resolved(&query, &waiter, answer, reply);
            self.shared.observe(Path::Miss, now.since(waiter.since).as_nanos() as u64, 1);
            if let Outcome::Reply(length) = done.outcome
                && let Some(reply) = buffer.get(..length)
            {
                (waiter.sink)(reply);
            }
        }
    }
}

/// What is asked of upstreams.
struct Asked {
    name: CanonicalName,
    record_type: RecordType,
    dnssec_ok: bool,
    checking_disabled: bool,
}

impl Asked {
    fn key(&self) -> Key<'_> {
        Key::new(&self.name, self.record_type, self.dnssec_ok, self.checking_disabled)
    }
}

impl Turn<'_> {
    /// The reply to a query whose answer, or failure, has come.
    fn resolved(
        &self,
        query: &Query<'_>,
        waiter: &Waiter,
        answer: Result<(&Entry, bool), Failure>,
        reply: &mut [u8],
    ) -> Done {
        let client = self.snapshot.client(waiter.from.address);
        let judged = self.judge(query, waiter.from, client.group, false, reply);
        let (entry, stale) = match (&judged, answer) {
            (Judged::Done(done), _) => return *done,
            (_, Ok(answer)) => answer,
            (_, Err(failure)) => {
                let options = failure.extended_error().option("");
                return self.with_options(query, Rcode::SERVFAIL, &options, reply);
            }
        };
        match (judged, &waiter.redirected) {
            (Judged::Resolve(screening), None) => {
                self.conclude(query, waiter.from, client.group, entry, screening, stale, reply)
            }
            (Judged::Redirect(target), Some(resolved)) if target == resolved => {
                // The entry is the target's: what was decided of the query's own name is no note in it.
                let screened = self.screen(query, waiter.from, client.group, entry, Screening::Met, reply);
                if let Some(blocked) = screened {
                    return blocked;
                }
                match redirect::write(
                    query,
                    target,
                    self.snapshot.ttl(),
                    entry.message(),
                    self.payload(),
                    reply,
                ) {
                    Ok((rcode, length)) => self.finish(rcode, Path::Block, length),
                    Err(Full) => self.truncated(query, reply),
                }
            }
            // The policy changed while the query waited, and what was fetched no longer fits: the client asks again.
            _ => self.with_options(
                query,
                Rcode::SERVFAIL,
                &ExtendedError::StaleAnswer.option("policy changed"),
                reply,
            ),
        }
    }
}

/// A failure in the form of an answer, to be kept for a moment (RFC 9520).
fn servfail(question: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend_from_slice(&(Flags::QR | Flags::RD | Flags::RA | Rcode::SERVFAIL.0).to_be_bytes());
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(question);
    out
}
