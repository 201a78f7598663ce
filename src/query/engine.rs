//! Owns THE PATH of a query and what its stages share. One function a reader sees whole; every stage has a file of its
//! own. A block or a cache hit takes no lock and allocates nothing.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::ahead::Ahead;
use super::fetch::Missed;
use super::local::Own;
use super::notice::Notice;
use super::pending::{Pending, Redirected};
use super::request::{Asker, Outcome, Sink, Transport};
use super::shares::{Backlog, Shares};
use super::special;
use super::told::Told;
use super::turn::{Concluded, Done, Judged, Screening, Turn};
use crate::cache::{Entry, Freshness, Key, Local, Store};
use crate::clock::{Clock, Moment};
use crate::dns::{CanonicalName, Class, Flags, Message, Name, Query, Rcode};
use crate::egress::Permits;
use crate::policy::{Credentials, Identities, Identity, IdentityNumber, Live, Reader, Snapshot};
use crate::resolve::Resolver;
use crate::telemetry::{Cell, Counter, Counters, Feed, Inbox, Inboxes, Origin, Path, Sampler};

/// Settings of the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest UDP reply in bytes. Default 1232: what passes every network without fragments (DNS flag day 2020).
    pub udp_payload: u16,
    /// Questions that may wait for upstreams at once. Default 10,000: at a 50 ms answer time that is 200,000 misses a
    /// second, and it bounds sockets and memory when upstreams stall.
    pub in_flight: usize,
    /// Whether queries that met no rule are logged too.
    pub log_all: bool,
    /// Whether replies are kept for the log; reports and the live tail, which take its records too, do not look at them.
    pub log_replies: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { udp_payload: 1232, in_flight: 10_000, log_all: false, log_replies: false }
    }
}

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The policy in force.
    pub live: Live,
    /// Time.
    pub clock: Clock,
    /// Kept answers.
    pub store: Arc<Store>,
    /// Upstreams.
    pub resolver: Arc<Resolver>,
    /// Counters.
    pub counters: Arc<Counters>,
    /// The query log's queues, when there is a log.
    pub inboxes: Option<Arc<Inboxes>>,
    /// Who clients were, beside their addresses.
    pub identities: Identities,
    /// RDATA of the SVCB records that designate encrypted listeners (RFC 9462); none for none.
    pub designated: Vec<Vec<u8>>,
    /// Where NOTIFY goes, when somebody takes it.
    pub notices: Option<mpsc::Sender<Notice>>,
    /// Where some queries are noted, so that what was asked lately is known.
    pub last_day: Option<Arc<Feed>>,
    /// Who may reach what it was answered, where a packet filter holds clients to that.
    pub permits: Option<Arc<Permits>>,
    /// Settings.
    pub config: Config,
}

/// What all workers share.
#[derive(Debug)]
pub struct Engine {
    pub(super) parts: Parts,
    pub(super) pending: Pending,
    /// Counters and log queue of work off the listening threads.
    pub(super) shared: Arc<Cell>,
    pub(super) shared_inbox: Option<Inbox>,
}

/// Answers queries for one listening thread or one connection.
#[derive(Debug)]
pub struct Worker {
    engine: Arc<Engine>,
    reader: Reader,
    snapshot: Arc<Snapshot>,
    local: Option<Local>,
    cell: Arc<Cell>,
    inbox: Option<Inbox>,
    sampler: Sampler,
    /// What each client may have fetched; only of a listening thread, whose queries wait where they cannot be told apart.
    shares: Option<Shares>,
    /// Whether finished replies to some group are looked at once more.
    attends: bool,
    now: Moment,
    wall_ms: i64,
    /// Queries of this batch, by the path their answer took.
    blocked: u64,
    answered: u64,
    ahead: Ahead,
}

/// What is next for a query.
enum Next<'s> {
    Done(Done),
    Fetch(Missed),
    /// To be answered with another name's records; true when its own answer led to that.
    Redirect(&'s Name, bool),
}

impl Engine {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let shared = parts.counters.shared();
        let shared_inbox = parts.inboxes.as_ref().map(|inboxes| inboxes.add_shared());
        Arc::new(Self { pending: Pending::new(parts.config.in_flight), shared, shared_inbox, parts })
    }

    /// A worker for a listening thread, with counters and a table of answers of its own.
    pub fn thread_worker(self: &Arc<Self>) -> Worker {
        let inbox = self.parts.inboxes.as_ref().map(|inboxes| inboxes.add());
        let shares = Some(Shares::new());
        Worker { shares, ..self.worker(Some(Local::default()), self.parts.counters.single_writer(), inbox) }
    }

    fn worker(self: &Arc<Self>, local: Option<Local>, cell: Arc<Cell>, inbox: Option<Inbox>) -> Worker {
        let snapshot = self.parts.live.load();
        Worker {
            engine: Arc::clone(self),
            reader: self.parts.live.reader(),
            attends: snapshot.attends(),
            snapshot,
            local,
            cell,
            inbox,
            sampler: Sampler::new(self.parts.last_day.clone()),
            shares: None,
            now: Moment::START,
            wall_ms: 0,
            blocked: 0,
            answered: 0,
            ahead: Ahead::default(),
        }
    }
}

impl Worker {
    /// Loads the policy and reads the clock, once for the queries up to [`Worker::end_batch`]. Call it when idle too, at
    /// least once a second, so that a policy no longer in force is let go.
    pub fn begin_batch(&mut self) {
        let current = self.reader.load();
        if !Arc::ptr_eq(current, &self.snapshot) {
            self.snapshot = Arc::clone(current);
            self.attends = self.snapshot.attends();
        }
        self.now = self.engine.parts.clock.now();
        self.sampler.tick(self.now);
        if self.inbox.is_some() {
            self.wall_ms = self.engine.parts.clock.wall().as_millisecond();
        }
    }

    /// The number under which who shows `credentials`, and asks at `path`, is known to the policy that the batch is handled by.
    pub fn identify(&self, credentials: &Credentials, path: Option<&str>) -> IdentityNumber {
        self.snapshot.identify(credentials, path, &self.engine.parts.identities)
    }

    /// When the batch came.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// The time of day.
    pub fn wall(&self) -> Timestamp {
        self.engine.parts.clock.wall()
    }

    /// The generation that the batch is handled by.
    pub fn generation(&self) -> u64 {
        self.snapshot.generation()
    }

    /// True when some group is for those who ask at `path`.
    pub fn knows_path(&self, path: &str) -> bool {
        self.snapshot.knows(&Identity::path(path))
    }

    /// Shows the batch before its queries are handled, where that makes looking through long lists faster.
    pub fn look_ahead<'p>(&mut self, packets: impl Iterator<Item = &'p [u8]>) {
        if self.ahead.pays {
            self.ahead.look(&self.snapshot, packets);
        }
    }

    /// Says what waits behind the batch. While the next queries may find no room, nothing is fetched, and hits and blocks, which cost a third of
    /// that, are answered; from then on whoever asks for most is cut, until nothing waits any more.
    pub fn note_backlog(&mut self, backlog: Backlog) {
        if let Some(shares) = &mut self.shares
            && let Some(busiest) = shares.note(backlog, self.now)
        {
            busiest.report();
        }
    }

    /// THE PATH. Answers one query into `reply`; `later` makes the sink and is called only when the answer must be
    /// fetched.
    pub fn handle(
        &mut self,
        packet: &[u8],
        from: Asker,
        reply: &mut [u8],
        later: impl FnOnce() -> Sink,
    ) -> Outcome {
        if self.shares.as_ref().is_some_and(|shares| shares.sheds(from.address)) {
            self.cell.bump(Counter::DropClient);
            return Outcome::Drop;
        }
        let told = Told::default();
        let turn = Turn {
            engine: &self.engine,
            snapshot: &self.snapshot,
            cell: &self.cell,
            inbox: self.inbox.as_ref(),
            told: &told,
            kept: Origin::Cache,
            now: self.now,
            wall_ms: self.wall_ms,
        };
        let query = match Query::read(packet) {
            Ok(query) => query,
            // Off the path of queries: whatever else it is, it is answered elsewhere or not at all.
            Err(malformed) => {
                return match self
                    .engine
                    .parts
                    .notices
                    .as_ref()
                    .filter(|_| Message::new(packet).is_some_and(Message::is_notify))
                {
                    Some(notices) => turn.notice(notices, packet, from, later()),
                    None => turn.malformed(malformed, packet, reply).outcome,
                };
            }
        };
        turn.cell.bump(match from.transport {
            Transport::Doh => Counter::QueryDoh,
            Transport::Doq => Counter::QueryDoq,
            Transport::Dot => Counter::QueryDot,
            Transport::Tcp => Counter::QueryTcp,
            Transport::Udp => Counter::QueryUdp,
        });
        let reply = turn.room(&query, from, reply);
        let client = turn.client(from);
        if client.admitted && self.sampler.is_due() {
            self.sampler.note(&query.name, from.address, from.identity);
        }
        let key = turn.key(&query);
        let near = self.local.as_ref().and_then(|local| local.find(&key, self.now));
        let next = if !client.admitted {
            Next::Done(turn.not_admitted(&query, reply))
        } else if query.class != Class::IN {
            Next::Done(turn.refuse(&query, Counter::RefusedClass, reply))
        } else if let Some(entry) = near.filter(|entry| turn.is_passed(entry, client)) {
            shown(turn.passed_hit(&query, entry, reply), entry, self.now)
        } else if let Some(special) =
            special::find(&query.name).filter(|special| turn.is_ours(*special, &query.name))
        {
            Next::Done(turn.special(&query, special, reply))
        } else {
            match turn.judge(&query, from, client, true, reply) {
                Judged::Done(done) => Next::Done(done),
                Judged::Redirect(target) => Next::Redirect(target, false),
                Judged::Resolve(screening) => {
                    let hit = |entry: &Entry, reply: &mut [u8]| match turn.hit(
                        &query,
                        from,
                        client.group,
                        entry,
                        screening,
                        reply,
                    ) {
                        Concluded::Done(done) => shown(done, entry, self.now),
                        Concluded::Redirect(target) => Next::Redirect(target, true),
                    };
                    let judgeable = |entry: &Entry| !turn.lacks_name_servers(client.group, entry, screening);
                    match (turn.own_answer(&query, screening, from, client.group, reply), near) {
                        (Some(next), _) => next,
                        (None, Some(entry)) if judgeable(entry) => hit(entry, reply),
                        (None, _) => {
                            let store = &self.engine.parts.store;
                            let (fresh, is_kept) = find(&mut self.local, store, &key, self.now);
                            match fresh {
                                Some(entry) if judgeable(&entry) => hit(&entry, reply),
                                _ if !query.flags.has(Flags::RD) => {
                                    let denied = match screening {
                                        Screening::Awaited(cause) => {
                                            turn.deny_without_answer(&query, cause, reply)
                                        }
                                        _ => None,
                                    };
                                    Next::Done(denied.unwrap_or_else(|| {
                                        turn.allowed();
                                        turn.refuse(&query, Counter::RefusedNoRecursion, reply)
                                    }))
                                }
                                _ => {
                                    let missed = Missed { is_kept, passed: turn.passed(screening) };
                                    miss(self.shares.as_mut(), &turn, from, missed)
                                }
                            }
                        }
                    }
                }
            }
        };
        let done = match next {
            Next::Done(done) if !self.attends => done,
            Next::Done(done) => turn.attend(&query, from, client.group, done, reply, later),
            Next::Fetch(missed) => {
                turn.cell.bump(Counter::CacheMiss);
                self.engine.fetch(&query, from, (&key, missed), self.now, later());
                Done::later()
            }
            Next::Redirect(target, by_answer) => {
                let generation = by_answer.then(|| turn.snapshot.generation());
                let to = Redirected { target: target.clone(), by_answer: generation, tale: told.take() };
                self.engine.redirect(&query, from, to, self.now, later());
                Done::later()
            }
        };
        turn.tell(&query, from, done.outcome, reply);
        if done.due {
            self.engine.refresh(&query, &key, self.now);
        }
        match done.path {
            Some(Path::Block) => self.blocked += 1,
            Some(_) => self.answered += 1,
            None => {}
        }
        done.outcome
    }

    /// Accounts for the batch: every reply in it left together, so they share one duration.
    pub fn end_batch(&mut self) {
        if self.blocked + self.answered > 0 {
            let took = self.engine.parts.clock.now().since(self.now).as_nanos() as u64;
            self.cell.observe(Path::Block, took, self.blocked);
            self.cell.observe(Path::Hit, took, self.answered);
            self.ahead.pays = self.blocked * Ahead::SHARE > self.answered && self.snapshot.is_large();
            (self.blocked, self.answered) = (0, 0);
        }
    }
}

/// What is next for a query that was answered from `entry`.
#[inline]
fn shown<'s>(done: Done, entry: &Entry, now: Moment) -> Next<'s> {
    Next::Done(Done { due: entry.is_due(now) && entry.claim_refresh(now), ..done })
}

/// What is not kept is fetched, unless its client asks for too much of that.
fn miss<'t>(shares: Option<&mut Shares>, turn: &Turn<'_>, from: Asker, missed: Missed) -> Next<'t> {
    match shares.and_then(|shares| shares.refuse(from.address)) {
        None => Next::Fetch(missed),
        Some(why) => {
            turn.cell.bump(why);
            Next::Done(Done::drop())
        }
    }
}

/// A fresh answer from the shared store, from now on kept in the worker's own table; and whether there is one at all.
fn find(local: &mut Option<Local>, store: &Store, key: &Key<'_>, now: Moment) -> (Option<Arc<Entry>>, bool) {
    let Some(entry) = store.find(key) else { return (None, false) };
    if entry.freshness(now, 0) != Freshness::Fresh {
        return (None, true);
    }
    if let Some(local) = local {
        local.keep(key, Arc::clone(&entry));
    }
    (Some(entry), true)
}

impl<'t> Turn<'t> {
    /// What this resolver answers by itself although no policy says so.
    fn own_answer(
        &self,
        query: &Query<'_>,
        screening: Screening,
        from: Asker,
        group: u16,
        reply: &mut [u8],
    ) -> Option<Next<'t>> {
        use crate::dns::RecordType as Type;
        let done = match query.record_type {
            Type::ANY => self.any(query, reply),
            Type::OPT => self.plain(query, Rcode::FORMERR, reply),
            Type::AXFR | Type::IXFR | Type::MAILA | Type::MAILB | Type::TKEY | Type::TSIG => {
                self.refuse(query, Counter::RefusedType, reply)
            }
            _ => {
                // A rule that waits for addresses counts here too, where none of an upstream's come.
                if let Screening::Awaited(cause) = screening
                    && self.has_own_records(&query.name)
                    && let Some(denied) = self.deny_without_answer(query, cause, reply)
                {
                    return Some(Next::Done(denied));
                }
                match self.own_records(query, from, group, reply) {
                    Some(Own::Done(done)) => return Some(Next::Done(done)),
                    Some(Own::Elsewhere(target)) => return Some(Next::Redirect(target, true)),
                    None if query.record_type == Type::PTR => self.own_pointer(query, reply)?,
                    None => return None,
                }
            }
        };
        self.allowed();
        Some(Next::Done(done))
    }

    /// A special-use name is answered here, unless the operator routes it somewhere or has records for it, or it is that of an address
    /// which stands for another.
    pub(super) fn is_ours(&self, special: special::Special, name: &CanonicalName) -> bool {
        let nat64 = self.engine.parts.resolver.nat64();
        let elsewhere = || {
            self.engine.parts.resolver.is_routed(name)
                || self.has_own_records(name)
                || nat64.is_some_and(|prefix| prefix.reverse(name).is_some())
        };
        special.is_fixed() || !elsewhere()
    }

    #[inline]
    fn key<'q>(&self, query: &'q Query<'_>) -> Key<'q> {
        Key::new(&query.name, query.record_type, query.dnssec_ok(), query.flags.has(Flags::CD))
    }
}
