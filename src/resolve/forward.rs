//! Owns the door to upstreams: a question in, one outcome out. Never chooses a server, and never touches an answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use tokio::runtime::Handle;

use super::asking::Asking;
use super::metrics;
use super::question::{Question, Then};
use super::receive;
use super::servers::Server;
use super::upstream::Config;
use crate::clock::{Clock, Moment};
use crate::dns::{CanonicalName, Class, ExtendedError, MAX_NAME, RecordType};
use crate::telemetry::{Collect, Sample};

/// Asks upstreams.
#[derive(Debug)]
pub struct Forwarder(Arc<Asking>);

/// One upstream, as operators are shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownUpstream {
    /// As it is written.
    pub upstream: String,
    /// Whether it answers.
    pub healthy: bool,
    /// Whether it is asked inside of TLS now.
    pub encrypted: bool,
    /// After how long it is late, and another asked too; `None` while nothing is known.
    pub late_after_ms: Option<u64>,
}

/// What is asked of upstreams.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'q> {
    /// QNAME.
    pub name: &'q CanonicalName,
    /// QTYPE; the class is always IN.
    pub record_type: RecordType,
    /// DO: DNSSEC records wanted.
    pub dnssec_ok: bool,
    /// CD: the upstream is not to validate.
    pub checking_disabled: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The last upstream tried could not be reached.
    #[error("no upstream could be reached")]
    Network,
    /// The answer is not what its zone signed.
    #[error("the answer did not validate")]
    Bogus(ExtendedError),
    /// It would take more questions than one is worth.
    #[error("resolving it takes too much")]
    Limit,
    /// No upstream is configured for the name.
    #[error("no upstream is configured")]
    NoUpstream,
    /// The upstreams say that they cannot answer.
    #[error("the upstreams refused")]
    Refused,
    /// No upstream answered in time.
    #[error("no upstream answered in time")]
    Timeout,
}

impl Failure {
    /// The extended error that tells a client.
    pub fn extended_error(self) -> ExtendedError {
        match self {
            Self::Bogus(why) => why,
            Self::Network | Self::Refused => ExtendedError::NetworkError,
            Self::Limit | Self::NoUpstream | Self::Timeout => ExtendedError::NoReachableAuthority,
        }
    }
}

impl Forwarder {
    /// A forwarder over the configured upstreams, with a thread on which their answers arrive. `runtime` is where
    /// conversations over TCP take place. Fails when the system gives no thread or no descriptor.
    pub fn start(config: Config, clock: Clock, runtime: Handle) -> io::Result<Self> {
        let asking = Arc::new(Asking::new(config, clock, runtime)?);
        receive::spawn(Arc::clone(&asking))?;
        Ok(Self(asking))
    }

    /// True when a configured route, not the default, answers for `name`.
    pub fn is_routed(&self, name: &CanonicalName) -> bool {
        self.0.servers.route(name).1
    }

    /// The upstreams, for operators.
    pub(super) fn shown(&self) -> Vec<ShownUpstream> {
        let show = |server: &Server| ShownUpstream {
            upstream: server.health.upstream.to_string(),
            healthy: !server.health.is_down(),
            encrypted: server.is_encrypted(),
            late_after_ms: server.health.lateness.late_after().map(|after| after.as_millis() as u64),
        };
        self.0.servers.all().iter().map(show).collect()
    }

    /// Asks until one upstream answers, they all failed, or the deadline is over, and then tells `then`. Returns at once,
    /// never having waited: over UDP the query is on its way by then.
    pub fn ask(&self, ask: Ask<'_>, then: Then) {
        let now = self.now();
        self.ask_until(ask, now, now + self.0.config.deadline, then);
    }

    /// The time that deadlines are counted in.
    pub(super) fn now(&self) -> Moment {
        self.0.network.now()
    }

    /// The same with a deadline of the question's own.
    pub(super) fn ask_until(&self, ask: Ask<'_>, now: Moment, deadline: Moment, then: Then) {
        let name = ask.name.as_wire();
        let mut wire = [0; MAX_NAME + 4];
        let (kind, class) = (ask.record_type.0.to_be_bytes(), Class::IN.0.to_be_bytes());
        for (to, from) in wire.iter_mut().zip(name.iter().chain(&kind).chain(&class)) {
            *to = *from;
        }
        let wire = wire.get(..name.len() + 4).unwrap_or(&[]);
        let (servers, _) = self.0.servers.route(ask.name);
        let question = Question::new(wire, ask.dnssec_ok, ask.checking_disabled, servers, deadline, then);
        self.0.ask_next(&Arc::new(question), now, 0, None);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // Not waited for: the last to let go may be the thread itself, having told who asked.
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Collect for Forwarder {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let now = self.now();
        for server in self.0.servers.all() {
            let sockets = server.ports.as_ref().map_or(0, |ports| ports.count(now));
            metrics::collect(&server.health, sockets, server.is_encrypted(), samples);
        }
    }
}
