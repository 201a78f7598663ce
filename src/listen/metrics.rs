//! Owns the front ends' numbers and their rows in the list of metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::renewal::{EXPIRES, RENEWALS};
use crate::query::Transport;
use crate::telemetry::{Collect, Kind, Metric, Sample};

/// What the front ends count. Rare events only; per-query numbers are the workers'.
#[derive(Debug, Default)]
pub struct Statistics {
    pub(super) send_failed: AtomicU64,
    pub(super) oversized: AtomicU64,
    pub(super) accept_failed: AtomicU64,
    /// Queries over a client's limit that were not answered, and whose client was told to come over TCP.
    pub(super) limited: AtomicU64,
    pub(super) slipped: AtomicU64,
    /// Datagrams of balancers that did not say whose they are.
    pub(super) unattributed: AtomicU64,
    connections: [Connections; CONNECTED.len()],
}

/// The transports that have connections.
const CONNECTED: [Transport; 4] = [Transport::Tcp, Transport::Dot, Transport::Doh, Transport::Doq];

/// What is counted of the connections of one transport.
#[derive(Debug, Default)]
pub(super) struct Connections {
    connections: AtomicU64,
    pub(super) opened: AtomicU64,
    closed: [AtomicU64; Closed::ALL.len()],
    handshakes: [AtomicU64; Handshake::ALL.len()],
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Handshake {
    /// Not at all.
    Failed,
    /// With a new session.
    Full,
    /// With a ticket of an earlier one.
    Resumed,
}

impl Handshake {
    const ALL: [Self; 3] = [Self::Failed, Self::Full, Self::Resumed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Full => "full",
            Self::Resumed => "resumed",
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Closed {
    /// The client closed it.
    Client,
    /// The handshake failed, or took too long.
    Handshake,
    /// Nothing came for too long, or a message did not get finished.
    Idle,
    /// It was open for too long.
    Lifetime,
    /// There were too many.
    Limit,
    /// A balancer did not say whose it is.
    Proxy,
    /// The client did not take its replies.
    SlowReader,
}

impl Closed {
    const ALL: [Self; 7] = [
        Self::Client,
        Self::Handshake,
        Self::Idle,
        Self::Lifetime,
        Self::Limit,
        Self::Proxy,
        Self::SlowReader,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Limit => "limit",
            Self::Proxy => "proxy",
            Self::SlowReader => "slow-reader",
        }
    }
}

/// The rows of this room.
pub static METRICS: &[&Metric] =
    &[&CONNECTIONS, &OPENED, &CLOSED, &HANDSHAKES, &LIMITED, &ERRORS, &EXPIRES, &RENEWALS];

static CONNECTIONS: Metric = Metric {
    name: "interdict_connections",
    help: "Open connections.",
    kind: Kind::Gauge,
    labels: &["protocol"],
};
static OPENED: Metric = Metric {
    name: "interdict_connections_total",
    help: "Connections accepted.",
    kind: Kind::Counter,
    labels: &["protocol"],
};
static CLOSED: Metric = Metric {
    name: "interdict_connections_closed_total",
    help: "Connections that ended, by reason.",
    kind: Kind::Counter,
    labels: &["protocol", "reason"],
};
static HANDSHAKES: Metric = Metric {
    name: "interdict_tls_handshakes_total",
    help: "TLS handshakes, by how they ended.",
    kind: Kind::Counter,
    labels: &["protocol", "result"],
};
static LIMITED: Metric = Metric {
    name: "interdict_rate_limited_queries_total",
    help: "Queries over UDP beyond what one client may ask, by what became of them.",
    kind: Kind::Counter,
    labels: &["result"],
};
static ERRORS: Metric = Metric {
    name: "interdict_listen_errors_total",
    help: "Datagrams not sent or not received whole, and connections not accepted.",
    kind: Kind::Counter,
    labels: &["reason"],
};

impl Statistics {
    /// What is counted of the connections of `transport`.
    pub(super) fn of(&self, transport: Transport) -> &Connections {
        let found = CONNECTED.iter().zip(&self.connections).find(|(connected, _)| **connected == transport);
        let [first, ..] = &self.connections;
        found.map_or(first, |(_, connections)| connections)
    }
}

impl Connections {
    /// Counts a connection as open while `served` serves it, and then why it ended.
    pub(super) async fn during(&self, served: impl Future<Output = Closed>) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let reason = served.await;
        self.connections.fetch_sub(1, Ordering::Relaxed);
        self.closed(reason);
    }

    pub(super) fn closed(&self, reason: Closed) {
        if let Some(count) = self.closed.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn handshake(&self, how: Handshake) {
        if let Some(count) = self.handshakes.get(how as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Collect for Statistics {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let mut push = |metric, labels: &[&str], count: &AtomicU64| {
            let labels = labels.iter().copied().map(str::to_owned).collect();
            samples.push(Sample { metric, labels, value: count.load(Ordering::Relaxed) as f64 });
        };
        for (transport, connections) in CONNECTED.iter().zip(&self.connections) {
            let protocol = transport.as_str();
            push(&CONNECTIONS, &[protocol], &connections.connections);
            push(&OPENED, &[protocol], &connections.opened);
            for (reason, count) in Closed::ALL.iter().zip(&connections.closed) {
                // Without TLS there is no handshake.
                if *transport != Transport::Tcp || *reason != Closed::Handshake {
                    push(&CLOSED, &[protocol, reason.as_str()], count);
                }
            }
            for (how, count) in Handshake::ALL.iter().zip(&connections.handshakes) {
                if *transport != Transport::Tcp {
                    push(&HANDSHAKES, &[protocol, how.as_str()], count);
                }
            }
        }
        push(&LIMITED, &["dropped"], &self.limited);
        push(&LIMITED, &["slipped"], &self.slipped);
        push(&ERRORS, &["accept"], &self.accept_failed);
        push(&ERRORS, &["oversized"], &self.oversized);
        push(&ERRORS, &["proxy"], &self.unattributed);
        push(&ERRORS, &["send"], &self.send_failed);
    }
}
