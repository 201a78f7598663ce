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

use super::dns64::{self, Detour};
use super::forward::{Ask, Failure, Forwarder};
use super::metrics;
use super::question::Then;
use super::recurse::{Recursion, roots};
use super::secure::{Anchors, Exempt, Judgement, Validator, render};
use super::upstream::{Config, Dnssec, Mode};
use crate::clock::Clock;
use crate::dns::{CanonicalName, Nat64};
use crate::telemetry::{Collect, Sample};

/// Resolves what is neither blocked nor kept.
#[derive(Debug)]
pub struct Resolver(Arc<Ways>);

/// What every question under way holds on to.
#[derive(Debug)]
struct Ways {
    forwarder: Arc<Forwarder>,
    way: Way,
    dns64: Option<Nat64>,
    exempt: Vec<Exempt>,
    deadline: std::time::Duration,
    clock: Clock,
    runtime: Handle,
    counts: Counts,
}

/// The way that questions take which no route has a way for.
#[derive(Debug)]
enum Way {
    Plain,
    Validated(Validator),
    Recursive(Box<Recursion>),
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
        let (exempt, dns64) = (config.exempt.clone(), config.dns64);
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
                Way::Recursive(Box::new(Recursion::new(&roots, anchors).map_err(io::Error::other)?))
            }
        };
        Ok(Self(Arc::new(Ways {
            forwarder,
            way,
            dns64,
            exempt,
            deadline,
            clock,
            runtime,
            counts: Counts::default(),
        })))
    }

    /// The translator's prefix in which made-up addresses lie: one there leads where the address leads that it stands for.
    #[inline]
    pub fn nat64(&self) -> Option<Nat64> {
        self.0.dns64
    }

    /// True when a configured route, not the default, answers for `name`.
    pub fn is_routed(&self, name: &CanonicalName) -> bool {
        self.0.forwarder.is_routed(name)
    }

    /// Resolves a question within its deadline, and then tells `then`. Returns at once.
    pub fn ask(&self, ask: Ask<'_>, then: Then) {
        match self.0.dns64.and_then(|prefix| Some((prefix, Detour::of(prefix, &ask)?))) {
            None => self.0.ask(ask, then),
            Some((prefix, detour)) => self.0.ask_around(ask, prefix, detour, then),
        }
    }
}

impl Ways {
    /// The same for hosts with IPv6 alone.
    fn ask_around(self: &Arc<Self>, ask: Ask<'_>, prefix: Nat64, detour: Detour, then: Then) {
        let name = ask.name.clone();
        match detour {
            Detour::Addresses => {
                let (ways, dnssec_ok, checking_disabled) =
                    (Arc::clone(self), ask.dnssec_ok, ask.checking_disabled);
                let then = move |first: Result<&[u8], Failure>| {
                    let Some(until) = dns64::wanting(first) else { return then(first) };
                    let record_type = crate::dns::RecordType::A;
                    let first = first.map(<[u8]>::to_vec);
                    let (at, question) = (name.clone(), name);
                    let then = move |second: Result<&[u8], Failure>| match dns64::joined(
                        prefix, &at, until, first, second,
                    ) {
                        Ok(answer) => then(Ok(&answer)),
                        Err(failure) => then(Err(failure)),
                    };
                    let second = Ask { name: &question, record_type, dnssec_ok, checking_disabled };
                    ways.ask(second, Box::new(then));
                };
                self.ask(ask, Box::new(then));
            }
            Detour::Pointer(target) => {
                let at = target.clone();
                let then = move |other: Result<&[u8], Failure>| match other {
                    Ok(other) => match dns64::alias(&name, &at, other) {
                        Some(answer) => then(Ok(&answer)),
                        None => then(Err(Failure::Network)),
                    },
                    Err(failure) => then(Err(failure)),
                };
                self.ask(Ask { name: &target, ..ask }, Box::new(then));
            }
        }
    }

    /// What a route leads to is passed on as it comes: inside zones are rarely signed, and never by the root.
    fn ask(self: &Arc<Self>, ask: Ask<'_>, then: Then) {
        let is_plain = matches!(self.way, Way::Plain) || self.forwarder.is_routed(ask.name);
        let unprotected = !is_plain && (ask.checking_disabled || self.is_exempt(ask.name));
        if is_plain || (unprotected && matches!(self.way, Way::Validated(_))) {
            let checking_disabled = ask.checking_disabled || unprotected;
            return self.forwarder.ask(Ask { checking_disabled, ..ask }, then);
        }
        let Ok(name) = Name::from_bytes(ask.name.as_wire()) else { return then(Err(Failure::Network)) };
        let query = Query::query(name, RecordType::from(ask.record_type.0));
        let (ways, dnssec_ok) = (Arc::clone(self), ask.dnssec_ok);
        let (began, now) = (self.clock.instant(), self.seconds());
        self.runtime.spawn(async move {
            let resolved = ways.way.resolve(query.clone(), began, now);
            let judged = tokio::time::timeout(ways.deadline, resolved).await.unwrap_or(Err(Failure::Timeout));
            if !unprotected {
                ways.counts.note(&judged);
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
    async fn resolve(&self, query: Query, began: Instant, now: u32) -> Result<Judgement, Failure> {
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
        self.0.forwarder.collect(samples);
        metrics::collect_judgements(&self.0.counts, samples);
    }
}
