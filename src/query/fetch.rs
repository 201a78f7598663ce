//! Owns what becomes of a query that the cache cannot answer: asked upstream, answered from what came, from what is stale,
//! or with a failure; each waiting query judged anew by the policy in force then. Never chooses an upstream.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::watch;

use super::engine::Engine;
use super::name_servers::Came;
use super::pending::{Joined, Packet, Redirected, Waiter};
use super::redirect;
use super::request::{Asker, Sink};
use super::told::Told;
use super::turn::{Concluded, Done, Judged, Screened, Screening, Turn};
use crate::cache::{Entry, Freshness, Key};
use crate::clock::Moment;
use crate::dns::{CanonicalName, Class, ExtendedError, Flags, Full, MAX_MESSAGE, Name, Query, Rcode};
use crate::resolve::{Ask, Failure, Response};
use crate::telemetry::{Counter, Origin, Path};

/// What is known of a query whose answer is to be fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missed {
    /// Whether there is an answer, be it stale or not fit to be judged.
    pub(super) is_kept: bool,
    /// The generation under which its name and its client met nothing.
    pub(super) passed: Option<u64>,
}

/// At most one question in this many that may be under way is one that nobody waits for.
const REFRESHES: usize = 10;

impl Engine {
    /// Asks upstreams and answers through `sink` when they did. An answer that is kept past its TTL is given when they take
    /// too long, and at once when they failed lately (RFC 8767 section 5).
    pub(super) fn fetch(
        self: &Arc<Self>,
        query: &Query<'_>,
        from: Asker,
        (key, missed): (&Key<'_>, Missed),
        since: Moment,
        sink: Sink,
    ) {
        let (packet, passed) = (Packet::new(query.packet), missed.passed);
        let waiter = Waiter { packet, from, passed, redirected: None, since, sink };
        // Looked up once more where there is something, so that hits and blocks need not carry it along.
        let old = if missed.is_kept { self.parts.store.find(key) } else { None };
        self.wait(key, ask(query), old.as_ref(), waiter, since);
    }

    /// Fetches anew what was kept under `key` and nears its end; nobody waits for it.
    #[cold]
    pub(super) fn refresh(self: &Arc<Self>, query: &Query<'_>, key: &Key<'_>, now: Moment) {
        let newer = |entry: &Arc<Entry>| entry.freshness(now, 0) == Freshness::Fresh && !entry.is_ending(now);
        if !self.parts.store.config().prefetch || self.parts.store.find(key).as_ref().is_some_and(newer) {
            return;
        }
        let Some(place) = self.pending.begin_refresh(self.parts.config.in_flight / REFRESHES) else {
            return self.shared.bump(Counter::PrefetchSkipped);
        };
        match self.pending.join(key, None, None) {
            Joined::First(key) => {
                let engine = Arc::clone(self);
                let then = move |resolved: Result<Response<'_>, Failure>| {
                    drop(place);
                    let failed = engine.resolved(&key, resolved);
                    engine.shared.bump(if failed { Counter::PrefetchFailed } else { Counter::PrefetchDone });
                };
                self.parts.resolver.ask(ask(query), Box::new(then));
            }
            // Somebody asks for it already.
            Joined::Later | Joined::TooMany(_) | Joined::TooSlow(_) => {}
            Joined::NoRoom(_) => self.shared.bump(Counter::PrefetchSkipped),
        }
    }

    /// Answers from stale answers those who waited too long, until `stop` changes. What they asked for is fetched all the
    /// same.
    pub async fn mind_patience(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let place = tokio::select! {
                place = self.pending.impatient() => place,
                _ = stop.changed() => return,
            };
            let name = Key::name_in(&place);
            let now = self.parts.clock.now();
            let Some(stale) = self.stale(&Key::of_bytes(&place, &name), now) else { continue };
            if let Some(waiters) = self.pending.take_impatient(&place) {
                self.answer(waiters, Ok((&stale, Origin::Stale)), now);
            }
        }
    }

    /// Answers through `sink` with the records of where the client is sent.
    pub(super) fn redirect(
        self: &Arc<Self>,
        query: &Query<'_>,
        from: Asker,
        to: Redirected,
        since: Moment,
        sink: Sink,
    ) {
        let waiter =
            Waiter { packet: Packet::new(query.packet), from, passed: None, redirected: None, since, sink };
        self.send_elsewhere(waiter, to);
    }

    fn send_elsewhere(self: &Arc<Self>, waiter: Waiter, to: Redirected) {
        let Ok(query) = Query::read(waiter.packet.bytes()) else { return };
        let record_type = query.record_type;
        // A target that makes the name too long stays as it is written, and there is nothing at it.
        let target = redirect::destination(&query.name, &to.target).unwrap_or_else(|| to.target.clone());
        let name = CanonicalName::from(&target);
        // Who is sent elsewhere without being asked for has not waited.
        let now = if to.by_answer.is_none() { waiter.since } else { self.parts.clock.now() };
        let waiter = Waiter { redirected: Some(Box::new(Redirected { target, ..to })), ..waiter };
        let key = Key::new(&name, record_type, false, false);
        let kept = self.parts.store.find(&key);
        if let Some(entry) = kept.as_ref().filter(|entry| entry.freshness(now, 0) == Freshness::Fresh) {
            self.answer([waiter], Ok((entry, Origin::Cache)), now);
            return;
        }
        let ask = Ask { name: &name, record_type, dnssec_ok: false, checking_disabled: false };
        self.wait(&key, ask, kept.as_ref(), waiter, now);
    }

    fn wait(
        self: &Arc<Self>,
        key: &Key<'_>,
        ask: Ask<'_>,
        old: Option<&Arc<Entry>>,
        waiter: Waiter,
        now: Moment,
    ) {
        let config = self.parts.store.config();
        let stale = old.filter(|old| old.freshness(now, config.stale) != Freshness::TooOld);
        // What is fresh is asked for only because the servers behind it are not known.
        let is_fresh = |entry: &Entry| entry.freshness(now, 0) == Freshness::Fresh;
        if let Some(stale) = stale.filter(|stale| !is_fresh(stale) && stale.failed_lately(now)) {
            return self.answer([waiter], Ok((stale, Origin::Stale)), now);
        }
        let instead = stale.map(|stale| (&**stale, Origin::Stale)).ok_or(Failure::Timeout);
        match self.pending.join(key, Some(waiter), stale.map(|_| config.stale_after)) {
            Joined::First(key) => {
                let engine = Arc::clone(self);
                self.parts.resolver.ask(
                    ask,
                    Box::new(move |resolved| {
                        engine.resolved(&key, resolved);
                    }),
                );
            }
            Joined::Later => self.shared.bump(Counter::Coalesced),
            Joined::NoRoom(waiter) => {
                self.shared.bump(Counter::DropOverload);
                self.answer(waiter, instead, now);
            }
            Joined::TooMany(waiter) => {
                self.shared.bump(Counter::DropClient);
                self.answer([waiter], instead, now);
            }
            Joined::TooSlow(waiter) => self.answer([waiter], instead, now),
        }
    }

    /// Keeps what upstreams said and answers those who waited for it. Returns whether they failed.
    fn resolved(self: &Arc<Self>, place: &Arc<[u8]>, resolved: Result<Response<'_>, Failure>) -> bool {
        let name = Key::name_in(place);
        let key = Key::of_bytes(place, &name);
        let now = self.parts.clock.now();
        let (fresh, failure) = match resolved {
            Ok(response) => (Entry::new(&key, response.message, now), None),
            Err(failure) => (Entry::new(&key, &servfail(place, failure), now), Some(failure)),
        };
        let failed =
            fresh.as_ref().is_none_or(|entry| !matches!(entry.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN));
        // What failed to validate is no reason to go on showing what did.
        let is_bogus = matches!(failure, Some(Failure::Bogus(_)));
        let old = if failed && !is_bogus { self.stale(&key, now) } else { None };
        let entry = match &old {
            // What there was stays, and is not asked for again too soon.
            Some(old) => {
                old.note_failure(now);
                None
            }
            None => fresh,
        };
        if let Some(entry) = &entry {
            self.parts.store.keep(Arc::clone(entry));
        }
        let came = match (old, entry, failure) {
            (Some(old), _, _) => {
                let is_fresh = old.freshness(now, 0) == Freshness::Fresh;
                Ok((old, if is_fresh { Origin::Cache } else { Origin::Stale }))
            }
            (None, _, Some(failure)) => Err(failure),
            (None, Some(entry), None) => {
                Ok((entry, Origin::Upstream(resolved.ok().and_then(|response| response.upstream))))
            }
            (None, None, None) => Err(Failure::Network),
        };
        self.settle(Arc::clone(place), came, now);
        failed
    }

    /// Answers those who wait under `place`.
    pub(super) fn conclude(self: &Arc<Self>, place: &[u8], came: Came, now: Moment) {
        // Taken only now: a query that comes after this finds the answer in the cache.
        if let Some(waiters) = self.pending.take(place) {
            let came = came.as_ref().map(|(entry, from)| (&**entry, *from));
            self.answer(waiters, came.map_err(|why| *why), now);
        }
    }

    /// What is kept and may still be shown, past its TTL or not.
    fn stale(&self, key: &Key<'_>, now: Moment) -> Option<Arc<Entry>> {
        let longest = self.parts.store.config().stale;
        self.parts.store.find(key).filter(|entry| entry.freshness(now, longest) != Freshness::TooOld)
    }

    /// Answers everybody who waited, each as the policy in force now says.
    fn answer(
        self: &Arc<Self>,
        waiters: impl IntoIterator<Item = Waiter>,
        answer: Result<(&Entry, Origin), Failure>,
        now: Moment,
    ) {
        thread_local! {
            /// Room for a reply of any size, made once for each thread.
            static REPLY: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_MESSAGE].into());
        }
        let snapshot = self.parts.live.load();
        let told = Told::default();
        let turn = Turn {
            engine: self,
            snapshot: &snapshot,
            cell: &self.shared,
            inbox: self.shared_inbox.as_ref(),
            told: &told,
            kept: answer.map_or(Origin::Resolver, |(_, from)| from),
            now,
            wall_ms: self.shared_inbox.as_ref().map_or(0, |_| self.parts.clock.wall().as_millisecond()),
        };
        let attends = snapshot.attends();
        // Those whom the answer sends elsewhere; they wait anew once this thread's room for a reply is free.
        let mut elsewhere: Vec<(Waiter, Redirected)> = Vec::new();
        REPLY.with_borrow_mut(|buffer| {
            for waiter in waiters {
                let Ok(query) = Query::read(waiter.packet.bytes()) else { continue };
                let reply = turn.room(&query, waiter.from, buffer);
                let waited = turn.now.since(waiter.since);
                told.carry(waiter.redirected.as_ref().and_then(|redirected| redirected.tale), waited);
                let done = match turn.resolved(&query, &waiter, answer, reply) {
                    Concluded::Done(done) => done,
                    Concluded::Redirect(target) => {
                        let by_answer = Some(snapshot.generation());
                        let to = Redirected { target: target.clone(), by_answer, tale: told.take() };
                        elsewhere.push((waiter, to));
                        continue;
                    }
                };
                if turn.kept == Origin::Stale {
                    self.shared.bump(Counter::CacheStale);
                }
                self.shared.observe(Path::Miss, waited.as_nanos() as u64, 1);
                let mut sink = Some(waiter.sink);
                let outcome = if attends {
                    let group = turn.client(waiter.from).group;
                    let later = || sink.take().unwrap_or_else(|| Box::new(|_: &[u8]| {}));
                    turn.attend(&query, waiter.from, group, done, reply, later).outcome
                } else {
                    done.outcome
                };
                turn.tell(&query, waiter.from, outcome, buffer);
                if let (Some(sink), Some(reply)) = (sink, outcome.of(buffer)) {
                    sink(reply);
                }
            }
        });
        for (waiter, to) in elsewhere {
            self.send_elsewhere(waiter, to);
        }
    }
}

impl<'t> Turn<'t> {
    /// What comes of a query whose answer, or failure, has come.
    fn resolved(
        &self,
        query: &Query<'_>,
        waiter: &Waiter,
        answer: Result<(&Entry, Origin), Failure>,
        reply: &mut [u8],
    ) -> Concluded<'t> {
        let client = self.client(waiter.from);
        let judged = match waiter.passed {
            // The same policy says the same.
            Some(generation) if generation == self.snapshot.generation() => {
                Judged::Resolve(Screening::Allowed)
            }
            _ => self.judge(query, waiter.from, client, false, reply),
        };
        let (entry, stale) = match (&judged, answer) {
            (Judged::Done(done), _) => return Concluded::Done(*done),
            (_, Ok((entry, from))) => (entry, from == Origin::Stale),
            (Judged::Resolve(Screening::Awaited(cause)), Err(failure)) => {
                let denied = self.deny_without_answer(query, *cause, reply);
                return Concluded::Done(denied.unwrap_or_else(|| self.failed(query, failure, reply)));
            }
            (_, Err(failure)) => {
                self.allowed();
                return Concluded::Done(self.failed(query, failure, reply));
            }
        };
        let sent = match (judged, waiter.redirected.as_deref()) {
            (Judged::Resolve(screening), None) => {
                return self.conclude(query, waiter.from, client.group, entry, screening, stale, reply);
            }
            (Judged::Redirect(target), Some(Redirected { target: resolved, by_answer: None, .. })) => {
                Some(resolved).filter(|_| match redirect::destination(&query.name, target) {
                    Some(destination) => destination == *resolved,
                    None => target == resolved,
                })
            }
            (Judged::Resolve(_), Some(Redirected { target, by_answer: Some(generation), .. })) => {
                Some(target).filter(|_| *generation == self.snapshot.generation())
            }
            _ => None,
        };
        Concluded::Done(match sent {
            Some(target) => self.elsewhere(query, waiter.from, client.group, target, (entry, stale), reply),
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
        (entry, stale): (&Entry, bool),
        reply: &mut [u8],
    ) -> Done {
        let own = self.own_alias(query, target);
        if own.is_some()
            && let Some(refused) = self.refuse_inside(query, Some(target), entry, reply)
        {
            return refused;
        }
        // What was decided of the query's own name is no note in the target's entry.
        match self.screen(query, from, group, entry, Screening::Redirected, reply) {
            Screened::Concluded(Concluded::Done(blocked)) => return blocked,
            Screened::Concluded(Concluded::Redirect(_)) => {}
            Screened::Passed { .. } => self.allowed(),
        }
        // The policy's own TTL bounds what the client keeps, so that an unban is quick; an alias of the operator's has its own.
        let (ttl, longest) = own.map_or((self.snapshot.ttl(), self.snapshot.ttl()), |ttl| (ttl, u32::MAX));
        let longest = if stale { longest.min(Entry::STALE_TTL) } else { longest };
        let age = entry.age(self.now);
        let life = |ttl: u32| if stale { longest } else { ttl.saturating_sub(age).min(longest) };
        match redirect::write(query, target, ttl.min(longest), life, entry.message(), self.payload(), reply) {
            Ok((rcode, length)) => self.finish(rcode, Path::Block, length),
            Err(Full) => self.truncated(query, reply),
        }
    }
}

fn ask<'q>(query: &'q Query<'_>) -> Ask<'q> {
    Ask {
        name: &query.name,
        record_type: query.record_type,
        dnssec_ok: query.dnssec_ok(),
        checking_disabled: query.flags.has(Flags::CD),
    }
}

/// A failure in the form of an answer to the question under `key`, to be kept for a moment (RFC 9520).
pub(super) fn servfail(key: &[u8], failure: Failure) -> Vec<u8> {
    let (kind, name) = key.get(1..).and_then(<[u8]>::split_first_chunk::<2>).unwrap_or((&[0, 0], &[0]));
    let mut out = Entry::id_of_failure(failure.extended_error()).to_vec();
    out.extend_from_slice(&(Flags::QR | Flags::RD | Flags::RA | Rcode::SERVFAIL.0).to_be_bytes());
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(name);
    out.extend_from_slice(kind);
    out.extend_from_slice(&Class::IN.0.to_be_bytes());
    out
}
