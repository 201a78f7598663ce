//! Owns the choice among upstreams: route, order, failover, retries, one deadline over all. Never touches an answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::exchange::{Ask, Broken, exchange};
use super::health::Health;
use super::metrics;
use super::upstream::{Config, Upstream};
use crate::clock::Clock;
use crate::dns::{CanonicalName, ExtendedError, Message, Name, Rcode};
use crate::telemetry::{Collect, Sample};

/// Asks upstreams. Cheap to share; holds no state of a single question.
#[derive(Debug)]
pub struct Forwarder {
    config: Config,
    clock: Clock,
    default: Vec<Arc<Health>>,
    routes: Vec<(Name, Vec<Arc<Health>>)>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The last upstream tried could not be reached.
    #[error("no upstream could be reached")]
    Network,
    /// No upstream is configured for the name.
    #[error("no upstream is configured")]
    NoUpstream,
    /// No upstream answered in time.
    #[error("no upstream answered in time")]
    Timeout,
}

impl Failure {
    /// The extended error that tells a client.
    pub fn extended_error(self) -> ExtendedError {
        match self {
            Self::Network => ExtendedError::NetworkError,
            Self::NoUpstream | Self::Timeout => ExtendedError::NoReachableAuthority,
        }
    }
}

impl Forwarder {
    /// A forwarder over the configured upstreams; an upstream named twice is watched once.
    pub fn new(config: Config, clock: Clock) -> Self {
        let mut known: Vec<Arc<Health>> = Vec::new();
        let mut watch = |servers: &[Upstream]| {
            let of = |upstream: &Upstream| match known.iter().find(|health| health.upstream == *upstream) {
                Some(health) => Arc::clone(health),
                None => {
                    let health = Arc::new(Health::new(*upstream));
                    known.push(Arc::clone(&health));
                    health
                }
            };
            servers.iter().map(of).collect::<Vec<_>>()
        };
        let default = watch(&config.servers);
        let mut routes: Vec<_> =
            config.routes.iter().map(|route| (route.zone.clone(), watch(&route.servers))).collect();
        routes.sort_by_key(|(zone, _)| std::cmp::Reverse(zone.label_count()));
        Self { config, clock, default, routes }
    }

    /// True when a configured route, not the default, answers for `name`.
    pub fn is_routed(&self, name: &CanonicalName) -> bool {
        !self.routes.is_empty() && self.route(name).is_some()
    }

    /// Asks until one upstream answers, they all failed, or the deadline is over. `question` is QNAME, QTYPE and QCLASS
    /// in wire form. The answer comes without OPT record and with a zero id; never truncated.
    pub async fn resolve(
        &self,
        question: &[u8],
        name: &CanonicalName,
        dnssec_ok: bool,
        checking_disabled: bool,
    ) -> Result<Vec<u8>, Failure> {
        let servers = self.route(name).unwrap_or(&self.default);
        let attempts = self.try_all(servers, Ask { question, dnssec_ok, checking_disabled, edns: true });
        tokio::time::timeout(self.config.deadline, attempts).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Two rounds over the servers, the healthy and fast ones first.
    async fn try_all(&self, servers: &[Arc<Health>], ask: Ask<'_>) -> Result<Vec<u8>, Failure> {
        const ROUNDS: usize = 2;
        let mut failure = Failure::NoUpstream;
        let mut unhelpful = None;
        for _ in 0..ROUNDS {
            for server in self.order(servers) {
                match self.ask(&server, ask).await {
                    Ok(message) => match rcode(&message) {
                        Rcode::NOERROR | Rcode::NXDOMAIN => return Ok(message),
                        _ => unhelpful = Some(message),
                    },
                    Err(Broken::Network(_)) => failure = Failure::Network,
                    Err(Broken::Timeout) => failure = Failure::Timeout,
                }
            }
            // Every server said it cannot help: asking again at once would not change that.
            if let Some(message) = unhelpful {
                return Ok(message);
            }
        }
        Err(failure)
    }

    async fn ask(&self, server: &Health, mut ask: Ask<'_>) -> Result<Vec<u8>, Broken> {
        let started = self.clock.now();
        ask.edns = server.takes_edns(started);
        let wait = server.patience(self.config.timeout);
        let counts = &server.counts;
        counts.queries.fetch_add(1, Ordering::Relaxed);
        let mut outcome = exchange(server.upstream, ask, wait).await;
        // RFC 6891 7: a server that knows no EDNS says FORMERR, NOTIMP or nothing of use.
        let refused = |message: &[u8]| matches!(rcode(message), Rcode::FORMERR | Rcode::NOTIMP) && ask.edns;
        if outcome.as_ref().is_ok_and(|answered| refused(&answered.message)) {
            server.refused_edns(self.clock.now());
            ask.edns = false;
            outcome = exchange(server.upstream, ask, wait).await;
        }
        match outcome {
            Ok(answered) => {
                server.succeeded(self.clock.now().since(started));
                counts.tcp.fetch_add(u64::from(answered.tcp), Ordering::Relaxed);
                counts.mismatches.fetch_add(u64::from(answered.mismatches), Ordering::Relaxed);
                if rcode(&answered.message) == Rcode::SERVFAIL {
                    counts.servfail.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answered.message)
            }
            Err(broken) => {
                server.failed(self.clock.now());
                match broken {
                    Broken::Network(_) => counts.network.fetch_add(1, Ordering::Relaxed),
                    Broken::Timeout => counts.timeouts.fetch_add(1, Ordering::Relaxed),
                };
                tracing::debug!(upstream = %server.upstream, error = %broken, "exchange failed");
                Err(broken)
            }
        }
    }

    /// The order of trying: a server that is down and due for a probe, when luck has it; then the healthy ones, the
    /// fastest first and now and then another, so that its speed stays known; last those that are down.
    fn order(&self, servers: &[Arc<Health>]) -> Vec<Arc<Health>> {
        /// One query in this many goes to another than the fastest.
        const EXPLORE: u32 = 20;
        let now = self.clock.now();
        let (mut up, down): (Vec<_>, Vec<_>) = servers.iter().cloned().partition(|server| !server.is_down());
        up.sort_by_key(|server| server.speed());
        if up.len() > 1 && fastrand::u32(..EXPLORE) == 0 {
            let other = fastrand::usize(1..up.len());
            up.swap(0, other);
        }
        let (probes, rest): (Vec<_>, Vec<_>) = down.into_iter().partition(|server| server.claim_probe(now));
        // A probe goes first only where a healthy server can still answer in time after it.
        if up.is_empty() {
            probes.into_iter().chain(rest).collect()
        } else {
            probes.into_iter().take(1).chain(up).chain(rest).collect()
        }
    }

    fn route(&self, name: &CanonicalName) -> Option<&Vec<Arc<Health>>> {
        let matches = |zone: &Name| {
            let labels = zone.label_count();
            name.label_count() >= labels && name.suffix(name.label_count() - labels) == zone.as_wire()
        };
        self.routes.iter().find(|(zone, _)| matches(zone)).map(|(_, servers)| servers)
    }
}

impl Collect for Forwarder {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let mut seen: Vec<&Arc<Health>> = Vec::new();
        for server in self.default.iter().chain(self.routes.iter().flat_map(|(_, servers)| servers)) {
            if !seen.iter().any(|known| Arc::ptr_eq(known, server)) {
                metrics::collect(server, samples);
                seen.push(server);
            }
        }
    }
}

fn rcode(message: &[u8]) -> Rcode {
    Message::new(message).map_or(Rcode::SERVFAIL, |message| message.flags().rcode())
}
