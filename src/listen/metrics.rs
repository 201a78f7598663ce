//! Owns the front ends' numbers and their rows in the list of metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::{Collect, Kind, Metric, Sample};

/// What the front ends count. Rare events only; per-query numbers are the workers'.
#[derive(Debug, Default)]
pub struct Statistics {
    pub(super) send_failed: AtomicU64,
    pub(super) oversized: AtomicU64,
    pub(super) accept_failed: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) closed: [AtomicU64; Closed::ALL.len()],
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Closed {
    /// The client closed it.
    Client,
    /// Nothing came for too long, or a message did not get finished.
    Idle,
    /// It was open for too long.
    Lifetime,
    /// There were too many.
    Limit,
    /// The client did not take its replies.
    SlowReader,
}

impl Closed {
    const ALL: [Self; 5] = [Self::Client, Self::Idle, Self::Lifetime, Self::Limit, Self::SlowReader];

    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Limit => "limit",
            Self::SlowReader => "slow-reader",
        }
    }
}

/// The rows of this room.
pub static METRICS: &[&Metric] = &[&CONNECTIONS, &OPENED, &CLOSED, &ERRORS];

static CONNECTIONS: Metric = Metric {
    name: "interdict_tcp_connections",
    help: "Open TCP connections.",
    kind: Kind::Gauge,
    labels: &[],
};
static OPENED: Metric = Metric {
    name: "interdict_tcp_connections_total",
    help: "TCP connections accepted.",
    kind: Kind::Counter,
    labels: &[],
};
static CLOSED: Metric = Metric {
    name: "interdict_tcp_closed_total",
    help: "TCP connections that ended, by reason.",
    kind: Kind::Counter,
    labels: &["reason"],
};
static ERRORS: Metric = Metric {
    name: "interdict_listen_errors_total",
    help: "Datagrams not sent or not received whole, and connections not accepted.",
    kind: Kind::Counter,
    labels: &["reason"],
};

impl Statistics {
    pub(super) fn count_closed(&self, reason: Closed) {
        if let Some(count) = self.closed.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Collect for Statistics {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let mut push = |metric, label: Option<&str>, value| {
            samples.push(Sample { metric, labels: label.map(str::to_owned).into_iter().collect(), value });
        };
        push(&CONNECTIONS, None, read(&self.connections));
        push(&OPENED, None, read(&self.opened));
        for (reason, count) in Closed::ALL.iter().zip(&self.closed) {
            push(&CLOSED, Some(reason.as_str()), read(count));
        }
        push(&ERRORS, Some("accept"), read(&self.accept_failed));
        push(&ERRORS, Some("oversized"), read(&self.oversized));
        push(&ERRORS, Some("send"), read(&self.send_failed));
    }
}
