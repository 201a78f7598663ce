//! Owns the way a question takes: to upstreams as it is, to upstreams with what they say validated, or from the root down. One
//! outcome is told for each. Never caches.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::proto::serialize::binary::BinDecodable;
use tokio::runtime::Handle;

use super::forward::{Ask, Failure, Forwarder};
use super::metrics;
use super::question::Then;
use super::recurse::{Recursion, roots};
use super::secure::{Anchors, Exempt, Judgement, Validator, render};
use super::upstream::{Config, Dnssec, Mode};
use crate::clock::Clock;
use crate::dns::CanonicalName;
use crate::telemetry::{Collect, Sample};

/// Resolves what is neither blocked nor kept.
#[derive(Debug)]
pub struct Resolver {
    forwarder: Arc<Forwarder>,
    way: Way,
    exempt: Vec<Exempt>,
    deadline: std::time::Duration,
    clock: Clock,
    runtime: Handle,
    counts: Arc<Counts>,
}

/// The way that questions take which no route has a way for.
#[derive(Clone, Debug)]
enum Way {
    Plain,
    Validated(Validator),
    Recursive(Recursion),
}

/// How often answers were what.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) secure: AtomicU64,
    pub(super) insecure: AtomicU64,
    pub(super) bogus: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Resolver {
    /// A resolver as configured. Fails when the system gives no thread or no descriptor, or a file cannot be used.
    pub fn start(config: Config, clock: Clock, runtime: Handle) -> io::Result<Self> {
        let (mode, dnssec, deadline) = (config.mode, config.dnssec(), config.deadline);
        let exempt = config.exempt.clone();
        let anchors = Anchors::read(config.trust_anchor.as_deref()).map_err(io::Error::other)?;
        let hints = config.root_hints.clone();
        let forwarder = Arc::new(Forwarder::start(config, clock.clone(), runtime.clone())?);
        let way = match (mode, dnssec) {
            (Mode::Forward, Dnssec::Pass) => Way::Plain,
            (Mode::Forward, Dnssec::Validate) => {
                Way::Validated(Validator::new(Arc::clone(&forwarder), &anchors, clock.clone()))
            }
            (Mode::Recurse, dnssec) => {
                let anchors = (dnssec == Dnssec::Validate).then_some(&anchors);
                let roots = roots(hints.as_deref()).map_err(io::Error::other)?;
                // Its sockets are made on the runtime.
                let _inside = runtime.enter();
                Way::Recursive(Recursion::new(&roots, anchors).map_err(io::Error::other)?)
            }
        };
        Ok(Self { forwarder, way, exempt, deadline, clock, runtime, counts: Arc::default() })
    }

    /// True when a configured route, not the default, answers for `name`.
    pub fn is_routed(&self, name: &CanonicalName) -> bool {
        self.forwarder.is_routed(name)
    }

    /// Resolves a question within its deadline, and then tells `then`. Returns at once. What a route leads to is passed on as it
    /// comes: inside zones are rarely signed, and never by the root.
    pub fn ask(&self, ask: Ask<'_>, then: Then) {
        let is_plain = matches!(self.way, Way::Plain) || self.is_routed(ask.name);
        let unprotected = !is_plain && (ask.checking_disabled || self.is_exempt(ask.name));
        if is_plain || (unprotected && matches!(self.way, Way::Validated(_))) {
            let checking_disabled = ask.checking_disabled || unprotected;
            return self.forwarder.ask(Ask { checking_disabled, ..ask }, then);
        }
        let Ok(name) = Name::from_bytes(ask.name.as_wire()) else { return then(Err(Failure::Network)) };
        let query = Query::query(name, RecordType::from(ask.record_type.0));
        let (way, deadline, dnssec_ok) = (self.way.clone(), self.deadline, ask.dnssec_ok);
        let (counts, began, now) = (Arc::clone(&self.counts), self.clock.instant(), self.seconds());
        self.runtime.spawn(async move {
            let judged = tokio::time::timeout(deadline, way.resolve(query.clone(), began, now)).await;
            let judged = judged.unwrap_or(Err(Failure::Timeout));
            if !unprotected {
                counts.note(&judged);
            }
            let shown =
                judged.and_then(|judgement| shown(judgement, unprotected)).and_then(|(message, secure)| {
                    render(&query, message, dnssec_ok, secure).ok_or(Failure::Network)
                });
            match shown {
                Ok(message) => then(Ok(&message)),
                Err(failure) => then(Err(failure)),
            }
        });
    }

    fn is_exempt(&self, name: &CanonicalName) -> bool {
        !self.exempt.is_empty() && {
            let now = self.clock.wall();
            self.exempt.iter().any(|exempt| exempt.covers(name, now))
        }
    }

    /// Seconds since 1970, as signatures count them.
    fn seconds(&self) -> u32 {
        self.clock.wall().as_second() as u32
    }
}

/// What a client may see of an answer, and whether as authentic.
fn shown(judgement: Judgement, unprotected: bool) -> Result<(Message, bool), Failure> {
    match judgement {
        Judgement::Secure(message) => Ok((message, !unprotected)),
        Judgement::Insecure(message) => Ok((message, false)),
        Judgement::Bogus(_, message) if unprotected => Ok((message, false)),
        Judgement::Bogus(why, _) => Err(Failure::Bogus(why)),
    }
}

impl Way {
    async fn resolve(self, query: Query, began: Instant, now: u32) -> Result<Judgement, Failure> {
        match self {
            // Such questions do not come here.
            Self::Plain => Err(Failure::NoUpstream),
            Self::Validated(validator) => validator.resolve(query, now).await,
            Self::Recursive(recursion) => recursion.resolve(query, began, now).await,
        }
    }
}

impl Counts {
    fn note(&self, judged: &Result<Judgement, Failure>) {
        let count = match judged {
            Ok(Judgement::Secure(_)) => &self.secure,
            Ok(Judgement::Insecure(_)) => &self.insecure,
            Ok(Judgement::Bogus(..)) => &self.bogus,
            Err(_) => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Collect for Resolver {
    fn collect(&self, samples: &mut Vec<Sample>) {
        self.forwarder.collect(samples);
        metrics::collect_judgements(&self.counts, samples);
    }
}
