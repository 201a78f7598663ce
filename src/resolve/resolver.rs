//! Owns the way a question takes: to upstreams as it is, to upstreams with what they say validated, or from the root down. One
//! outcome is told for each. Never caches.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::proto::serialize::binary::BinDecodable;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::dns64::{self, Detour};
use super::forward::{Ask, Failure, Forwarder, ShownUpstream};
use super::metrics;
use super::question::{Response, Then};
use super::recurse::roots;
use super::secure::{Anchors, Exempt, Judgement, Proofs, Rollover, TrustAnchor, render};
use super::upstream::{Config, Dnssec, Mode};
use super::way::{Asked, Making, Way};
use crate::clock::{Clock, Moment};
use crate::dns::{CanonicalName, Nat64};
use crate::telemetry::{Collect, Sample, Storage};

/// Resolves what is neither blocked nor kept.
#[derive(Debug)]
pub struct Resolver(Arc<Ways>);

/// What every question under way holds on to.
#[derive(Debug)]
struct Ways {
    forwarder: Arc<Forwarder>,
    /// Made anew when trust starts from other keys.
    way: RwLock<Arc<Way>>,
    making: Making,
    /// The root's keys, where they are followed.
    rollover: Option<Rollover>,
    dns64: Option<Nat64>,
    exempt: Vec<Exempt>,
    /// What secure answers proved of other names; `None` where that is not used.
    proofs: Option<Proofs>,
    deadline: Duration,
    clock: Clock,
    runtime: Handle,
    counts: Counts,
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
        Self::start_with(config, None, clock, runtime)
    }

    /// The same, with a place where the root's keys are kept while they change.
    pub fn start_with(
        config: Config,
        anchors: Option<Storage>,
        clock: Clock,
        runtime: Handle,
    ) -> io::Result<Self> {
        let (mode, dnssec, deadline) = (config.mode, config.dnssec(), config.deadline);
        let is_validating = dnssec == Dnssec::Validate;
        let proofs = (config.aggressive_nsec && is_validating).then(Proofs::default);
        let (exempt, dns64) = (config.exempt.clone(), config.dns64);
        let configured = Anchors::read(config.trust_anchor.as_deref()).map_err(io::Error::other)?;
        let rollover = (is_validating && !config.hold_down.is_zero())
            .then(|| Rollover::begin(&configured, anchors, config.hold_down, clock.wall()));
        let roots = match mode {
            Mode::Forward => Vec::new(),
            Mode::Recurse => roots(config.root_hints.as_deref()).map_err(io::Error::other)?,
        };
        let forwarder = Arc::new(Forwarder::start(config, clock.clone(), runtime.clone())?);
        let (keeps, runs) = (clock.clone(), runtime.clone());
        let making =
            Making { mode, dnssec, roots, forwarder: Arc::clone(&forwarder), clock: keeps, runtime: runs };
        let trusted = rollover.as_ref().map_or(configured, Rollover::anchors);
        let way = RwLock::new(Arc::new(making.way(&trusted)?));
        Ok(Self(Arc::new(Ways {
            forwarder,
            way,
            making,
            rollover,
            dns64,
            exempt,
            proofs,
            deadline,
            clock,
            runtime,
            counts: Counts::default(),
        })))
    }

    /// Looks at the root's keys from time to time, and trusts others when they change (RFC 5011), until `stop` changes.
    pub async fn follow_trust(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let Some(rollover) = &self.0.rollover else { return };
        loop {
            let after = tokio::select! {
                after = self.0.look_at_root(rollover) => after,
                _ = stop.changed() => return,
            };
            tokio::select! {
                () = self.0.clock.passed(self.0.clock.now() + after) => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// The root's keys and how far each is trusted; `None` where nothing is validated, or they are not followed.
    pub fn trust_anchors(&self) -> Option<Vec<TrustAnchor>> {
        self.0.rollover.as_ref().map(Rollover::shown)
    }

    /// The upstreams that are configured, those of routes too.
    pub fn upstreams(&self) -> Vec<ShownUpstream> {
        self.0.forwarder.shown()
    }

    /// What somebody should look at.
    pub fn trouble(&self) -> Option<String> {
        let troubles = self.0.rollover.as_ref()?.trouble(self.0.clock.wall());
        (!troubles.is_empty()).then(|| troubles.join("; "))
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
        // Read once: a miss that reads the clock at every step spends a thirtieth of its time on that.
        let now = self.0.forwarder.now();
        let deadline = now + self.0.deadline;
        match self.0.dns64.and_then(|prefix| Some((prefix, Detour::of(prefix, &ask)?))) {
            None => self.0.ask(ask, now, deadline, then),
            Some((prefix, detour)) => self.0.ask_around(ask, deadline, (prefix, detour), then),
        }
    }
}

impl Ways {
    fn way(&self) -> Arc<Way> {
        Arc::clone(&self.way.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the root's keys once; returns after how long to look again.
    async fn look_at_root(&self, rollover: &Rollover) -> Duration {
        let query = Query::query(Name::root(), RecordType::DNSKEY);
        let asked = Asked { began: self.clock.instant(), now: self.seconds() };
        let way = self.way();
        let looked = tokio::time::timeout(self.deadline, way.ask(&query, asked)).await;
        let message = looked.ok().and_then(Result::ok).map(|(message, _)| message);
        let next = rollover.take(message.as_ref(), self.clock.wall());
        if next.is_changed {
            // What was validated by the keys of before is validated anew.
            match self.making.way(&rollover.anchors()) {
                Ok(way) => *self.way.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(way),
                Err(error) => {
                    tracing::error!(%error, "the root's new keys cannot be used; the old ones stay")
                }
            }
        }
        next.after
    }

    /// The same for hosts with IPv6 alone. One deadline holds for both questions; the first leaves the second a part of the time, as
    /// servers that say nothing to the one may answer the other.
    fn ask_around(
        self: &Arc<Self>,
        ask: Ask<'_>,
        deadline: Moment,
        (prefix, detour): (Nat64, Detour),
        then: Then,
    ) {
        let name = ask.name.clone();
        match detour {
            Detour::Addresses => {
                let (ways, dnssec_ok, checking_disabled) =
                    (Arc::clone(self), ask.dnssec_ok, ask.checking_disabled);
                let then = move |first: Result<Response<'_>, Failure>| {
                    let Some(until) = dns64::wanting(first.map(|first| first.message)) else {
                        return then(first);
                    };
                    let record_type = crate::dns::RecordType::A;
                    let first = first.map(|first| (first.message.to_vec(), first.upstream));
                    let (at, question) = (name.clone(), name);
                    let then = move |second: Result<Response<'_>, Failure>| {
                        let has_first = first.as_ref().map(|_| ()).map_err(|failure| *failure);
                        let said = second.map(|second| second.message);
                        let joined = dns64::joined(prefix, &at, until, has_first, said);
                        let answer = joined.and_then(|made| match made {
                            Some(message) => Ok((message, second.ok().and_then(|second| second.upstream))),
                            None => first,
                        });
                        match answer {
                            Ok((message, upstream)) => then(Ok(Response { message: &message, upstream })),
                            Err(failure) => then(Err(failure)),
                        }
                    };
                    let second = Ask { name: &question, record_type, dnssec_ok, checking_disabled };
                    ways.ask(second, ways.forwarder.now(), deadline, Box::new(then));
                };
                let now = self.forwarder.now();
                let first = now + self.deadline.mul_f64(dns64::FIRST);
                self.ask(ask, now, first.min(deadline), Box::new(then));
            }
            Detour::Pointer(target) => {
                let at = target.clone();
                let then = move |other: Result<Response<'_>, Failure>| match other {
                    Ok(other) => match dns64::alias(&name, &at, other.message) {
                        Some(message) => then(Ok(Response { message: &message, ..other })),
                        None => then(Err(Failure::Network)),
                    },
                    Err(failure) => then(Err(failure)),
                };
                self.ask(Ask { name: &target, ..ask }, self.forwarder.now(), deadline, Box::new(then));
            }
        }
    }

    /// What a route leads to is passed on as it comes: inside zones are rarely signed, and never by the root.
    fn ask(self: &Arc<Self>, ask: Ask<'_>, now: Moment, deadline: Moment, then: Then) {
        let way = self.way();
        let is_plain = matches!(*way, Way::Plain) || self.forwarder.is_routed(ask.name);
        let unprotected = !is_plain && (ask.checking_disabled || self.is_exempt(ask.name));
        if is_plain || (unprotected && matches!(*way, Way::Validated(_))) {
            let checking_disabled = ask.checking_disabled || unprotected;
            return self.forwarder.ask_until(Ask { checking_disabled, ..ask }, now, deadline, then);
        }
        let Ok(name) = Name::from_bytes(ask.name.as_wire()) else { return then(Err(Failure::Network)) };
        let query = Query::query(name, RecordType::from(ask.record_type.0));
        let proved = self.proofs.as_ref().filter(|_| !unprotected);
        if let Some(message) = proved.and_then(|proofs| proofs.answer(&query, self.clock.now()))
            && let Some(message) = render(&query, message, ask.dnssec_ok, true)
        {
            return then(Ok(Response { message: &message, upstream: None }));
        }
        let (ways, dnssec_ok) = (Arc::clone(self), ask.dnssec_ok);
        let asked = Asked { began: self.clock.instant(), now: self.seconds() };
        let longest = deadline.since(now);
        self.runtime.spawn(async move {
            let resolved = way.resolve(query.clone(), asked);
            let resolved = tokio::time::timeout(longest, resolved).await.unwrap_or(Err(Failure::Timeout));
            let upstream = resolved.as_ref().ok().and_then(|(_, upstream)| *upstream);
            let judged = resolved.map(|(judgement, _)| judgement);
            if !unprotected {
                ways.counts.note(&judged);
                if let (Some(proofs), Ok(Judgement::Secure(message))) = (&ways.proofs, &judged) {
                    proofs.learn(&query, message, ways.clock.now());
                }
            }
            let shown =
                judged.and_then(|judgement| shown(judgement, unprotected)).and_then(|(message, secure)| {
                    render(&query, message, dnssec_ok, secure).ok_or(Failure::Network)
                });
            match shown {
                Ok(message) => then(Ok(Response { message: &message, upstream })),
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
        if let Some(proofs) = &self.0.proofs {
            proofs.collect(samples);
        }
        if let Some(rollover) = &self.0.rollover {
            metrics::collect_anchors(rollover, samples);
        }
    }
}
