//! Owns what a query's turn tells the log: the one decision that counts, kept until the reply is known, and then a record of both. Never decides, and costs
//! a query that is not logged next to nothing.

use std::cell::Cell;
use std::num::NonZero;
use std::time::Duration;

use super::request::{Asker, Outcome, Sink};
use super::turn::Turn;
use crate::dns::Query;
use crate::policy::Cause;
use crate::telemetry::{Decision, Entry, Origin, Reply};

/// What will be told of the query that is handled now.
#[derive(Debug, Default)]
pub(super) struct Told {
    tale: Cell<Option<Tale>>,
    /// Whether an answer of somebody else's is shown.
    shown: Cell<bool>,
    /// Microseconds that it waited for others to answer.
    took_us: Cell<Option<NonZero<u32>>>,
}

/// A decision, and who decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tale {
    decision: Decision,
    cause: Option<Cause>,
    generation: u64,
}

impl Told {
    /// What is told so far; nothing is any more.
    pub(super) fn take(&self) -> Option<Tale> {
        self.shown.set(false);
        self.tale.take()
    }

    /// What was decided before this turn, and how long the query has waited. Nothing of another query is left.
    pub(super) fn carry(&self, tale: Option<Tale>, waited: Duration) {
        self.shown.set(false);
        // What waited less than can be said has waited, and what did not wait at all has not.
        let micros = u32::try_from(waited.as_micros()).unwrap_or(u32::MAX);
        let waited = (!waited.is_zero()).then_some(NonZero::new(micros).unwrap_or(NonZero::<u32>::MIN));
        self.took_us.set(waited);
        self.tale.set(tale);
    }

    /// An answer of somebody else's is written.
    #[inline]
    pub(super) fn note_shown(&self) {
        self.shown.set(true);
    }
}

impl Tale {
    /// A query has one record: of what decides its answer, else of what was first to be said of it.
    fn gives_way_to(&self, later: Decision) -> bool {
        let weight = |decision| match decision {
            Decision::Allowed => 0,
            Decision::Shadow => 1,
            Decision::Permitted => 2,
            Decision::Blocked | Decision::Refused => 3,
        };
        later.is_denial() || weight(later) > weight(self.decision)
    }
}

impl Turn<'_> {
    /// Notes that the query met no rule, where such queries are logged. Whatever else is noted of it stands.
    #[inline]
    pub(super) fn allowed(&self) {
        if self.engine.parts.config.log_all {
            self.note(Decision::Allowed, None);
        }
    }

    /// Notes a decision for the log, if there is one.
    #[inline]
    pub(super) fn note(&self, decision: Decision, cause: Option<Cause>) {
        if self.inbox.is_some() {
            self.note_logged(decision, cause);
        }
    }

    /// Out of line: where queries are logged, a call is the least of it.
    #[inline(never)]
    fn note_logged(&self, decision: Decision, cause: Option<Cause>) {
        if self.told.tale.get().is_none_or(|tale| tale.gives_way_to(decision)) {
            let generation = self.snapshot.generation();
            self.told.tale.set(Some(Tale { decision, cause, generation }));
        }
    }

    /// Tells the log of a query that is over. What is still to be answered is told then, by whoever answers.
    #[inline]
    pub(super) fn tell(&self, query: &Query<'_>, from: Asker, outcome: Outcome, buffer: &[u8]) {
        if self.inbox.is_some() && self.told.tale.get().is_some() {
            self.tell_logged(query, from, outcome, buffer);
        }
    }

    #[inline(never)]
    fn tell_logged(&self, query: &Query<'_>, from: Asker, outcome: Outcome, buffer: &[u8]) {
        let (Some(inbox), Some(tale)) = (self.inbox, self.told.tale.get()) else { return };
        if outcome != Outcome::Later {
            let reply = outcome.of(buffer).filter(|_| self.engine.parts.config.log_replies);
            let reply = reply.map(|reply| Reply::new(reply, self.origin(tale)));
            inbox.push(self.telling(query, from, tale).with(&query.name, reply));
        }
        self.told.take();
    }

    /// The sink of a reply that waits, telling the log of the reply that goes out in the end, which may be another.
    pub(super) fn told_when_sent(&self, query: &Query<'_>, from: Asker, sink: Sink) -> Sink {
        let (Some(inbox), Some(tale)) = (self.inbox.cloned(), self.told.tale.get()) else { return sink };
        let origin = self.engine.parts.config.log_replies.then(|| self.origin(tale));
        let (name, entry) = (query.name.clone(), self.telling(query, from, tale));
        self.told.take();
        Box::new(move |reply: &[u8]| {
            inbox.push(entry.with(&name, origin.map(|origin| Reply::new(reply, origin))));
            sink(reply);
        })
    }

    fn origin(&self, tale: Tale) -> Origin {
        match (tale.decision.is_denial(), self.told.shown.get()) {
            (true, _) => Origin::Policy,
            (false, true) => self.kept,
            (false, false) => Origin::Resolver,
        }
    }

    /// All but the name and the reply.
    fn telling(&self, query: &Query<'_>, from: Asker, tale: Tale) -> Entry<(), ()> {
        Entry {
            time_ms: self.wall_ms,
            client: from.address,
            identity: from.identity,
            transport: from.transport.as_str(),
            name: (),
            record_type: query.record_type,
            decision: tale.decision,
            cause: tale.cause,
            generation: tale.generation,
            took_us: self.told.took_us.get(),
            reply: None,
        }
    }
}
