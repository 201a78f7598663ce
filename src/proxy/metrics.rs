//! Owns the proxy's numbers and their rows in the list of metrics. Blocks are counted per app as those of questions are, in cells of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::policy::Labels;
use crate::telemetry::{CAUSE_LABELS, Cell, Collect, Counters, Kind, Metric, Sample};

/// What the proxy counts.
#[derive(Debug)]
pub struct Statistics {
    flows: [Flows; Way::ALL.len()],
    /// Bytes from clients to origins, and back.
    pub(super) up: AtomicU64,
    pub(super) down: AtomicU64,
    pub(super) idle: AtomicU64,
    pub(super) encrypted: AtomicU64,
    claims: [AtomicU64; 2],
    logins: [AtomicU64; Shown::ALL.len()],
    labels: Labels,
    causes: Counters,
    pub(super) cell: Arc<Cell>,
}

#[derive(Debug, Default)]
struct Flows {
    open: AtomicI64,
    ended: [AtomicU64; Outcome::ALL.len()],
}

/// How a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Way {
    /// By asking for it.
    Explicit,
    /// By the sinkhole's address.
    Page,
    /// By the kernel, as QUIC.
    Quic,
    /// By the kernel, over TCP.
    Transparent,
}

impl Way {
    const ALL: [Self; 4] = [Self::Explicit, Self::Page, Self::Quic, Self::Transparent];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Page => "page",
            Self::Quic => "quic",
            Self::Transparent => "transparent",
        }
    }
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Outcome {
    /// Its client failed too often to show who it is.
    Attempts,
    /// The policy denies it.
    Denied,
    /// Its client left, or nothing worked any more.
    Gone,
    /// Its handshake of TLS failed, or took too long.
    Handshake,
    /// It took more bytes to say whom it wants than are read.
    HeadBytes,
    /// It took too long to say so.
    HeadTime,
    /// It leads to this machine itself.
    Inside,
    /// There were too many.
    Limit,
    /// What it said breaks the rules of what it spoke.
    Malformed,
    /// Its name does not lead where it goes.
    Mismatched,
    /// It got what it wanted.
    Passed,
    /// An explicit proxy does not connect to such ports.
    Port,
    /// It was answered by this proxy itself.
    Served,
    /// Its client did not show who it is, as it must.
    Unidentified,
    /// It said no name.
    Unnamed,
    /// Its origin did not answer, or has no address.
    Unreachable,
}

impl Outcome {
    const ALL: [Self; 16] = [
        Self::Attempts,
        Self::Denied,
        Self::Gone,
        Self::Handshake,
        Self::HeadBytes,
        Self::HeadTime,
        Self::Inside,
        Self::Limit,
        Self::Malformed,
        Self::Mismatched,
        Self::Passed,
        Self::Port,
        Self::Served,
        Self::Unidentified,
        Self::Unnamed,
        Self::Unreachable,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Handshake => "handshake",
            Self::HeadBytes => "head-bytes",
            Self::HeadTime => "head-time",
            Self::Inside => "inside",
            Self::Limit => "limit",
            Self::Malformed => "malformed",
            Self::Mismatched => "mismatched",
            Self::Passed => "passed",
            Self::Port => "port",
            Self::Served => "served",
            Self::Unidentified => "unidentified",
            Self::Unnamed => "unnamed",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What became of a name and a password that a client of an explicit proxy showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Shown {
    /// Its address had failed too often: it was not looked at.
    Limited,
    /// It is a user's.
    Right,
    /// It is nobody's.
    Wrong,
}

impl Shown {
    const ALL: [Self; 3] = [Self::Limited, Self::Right, Self::Wrong];

    fn as_str(self) -> &'static str {
        match self {
            Self::Limited => "limited",
            Self::Right => "right",
            Self::Wrong => "wrong",
        }
    }
}

/// The rows of this room.
pub static METRICS: &[&Metric] =
    &[&CONNECTIONS, &OPEN, &BYTES, &BLOCKED, &IDLE, &CLAIMS, &ENCRYPTED, &LOGINS];

static CONNECTIONS: Metric = Metric {
    name: "interdict_proxy_connections_total",
    help: "Connections that the proxy took and that have ended, by what became of them.",
    kind: Kind::Counter,
    labels: &["mode", "outcome"],
};
static OPEN: Metric = Metric {
    name: "interdict_proxy_open_connections",
    help: "Connections that the proxy holds open.",
    kind: Kind::Gauge,
    labels: &["mode"],
};
static BYTES: Metric = Metric {
    name: "interdict_proxy_bytes_total",
    help: "Bytes moved between clients and origins.",
    kind: Kind::Counter,
    labels: &["direction"],
};
static BLOCKED: Metric = Metric {
    name: "interdict_proxy_blocked_total",
    help: "Connections that met a rule and were blocked, or would have been in shadow mode.",
    kind: Kind::Counter,
    labels: CAUSE_LABELS,
};
static IDLE: Metric = Metric {
    name: "interdict_proxy_idle_closed_total",
    help: "Connections ended because nothing moved for too long.",
    kind: Kind::Counter,
    labels: &[],
};
static CLAIMS: Metric = Metric {
    name: "interdict_proxy_names_verified_total",
    help: "Names of connections held against the addresses they go to.",
    kind: Kind::Counter,
    labels: &["result"],
};
static ENCRYPTED: Metric = Metric {
    name: "interdict_proxy_encrypted_hellos_total",
    help: "Hellos of TLS that carry an encrypted one, or what looks like it.",
    kind: Kind::Counter,
    labels: &[],
};

static LOGINS: Metric = Metric {
    name: "interdict_proxy_logins_total",
    help: "Names and passwords that clients showed to an explicit proxy, by what became of them.",
    kind: Kind::Counter,
    labels: &["result"],
};

impl Statistics {
    /// All zero. Blocks are counted under the numbers that `labels` gives.
    pub fn new(labels: Labels) -> Self {
        let causes = Counters::new(Labels::CAPACITY);
        let cell = causes.shared();
        Self {
            flows: Default::default(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            encrypted: AtomicU64::new(0),
            claims: Default::default(),
            logins: Default::default(),
            labels,
            causes,
            cell,
        }
    }

    /// Counts a connection as open while `served` serves it, and then what became of it.
    pub(super) async fn during(&self, way: Way, served: impl Future<Output = Outcome>) {
        let Some(flows) = self.flows.get(way as usize) else { return };
        flows.open.fetch_add(1, Ordering::Relaxed);
        let outcome = served.await;
        flows.open.fetch_sub(1, Ordering::Relaxed);
        self.ended(way, outcome);
    }

    pub(super) fn ended(&self, way: Way, outcome: Outcome) {
        if let Some(count) = self.flows.get(way as usize).and_then(|flows| flows.ended.get(outcome as usize))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn shown(&self, shown: Shown) {
        if let Some(count) = self.logins.get(shown as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn claimed(&self, holds: bool) {
        let [failed, held] = &self.claims;
        if holds { held } else { failed }.fetch_add(1, Ordering::Relaxed);
    }
}

impl Collect for Statistics {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let mut push = |metric, labels: &[&str], value: f64| {
            let labels = labels.iter().copied().map(str::to_owned).collect();
            samples.push(Sample { metric, labels, value });
        };
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        for (way, flows) in Way::ALL.iter().zip(&self.flows) {
            push(&OPEN, &[way.as_str()], flows.open.load(Ordering::Relaxed) as f64);
            for (outcome, count) in Outcome::ALL.iter().zip(&flows.ended) {
                push(&CONNECTIONS, &[way.as_str(), outcome.as_str()], read(count));
            }
        }
        push(&BYTES, &["up"], read(&self.up));
        push(&BYTES, &["down"], read(&self.down));
        push(&IDLE, &[], read(&self.idle));
        push(&ENCRYPTED, &[], read(&self.encrypted));
        for (result, count) in ["failed", "held"].iter().zip(&self.claims) {
            push(&CLAIMS, &[result], read(count));
        }
        for (shown, count) in Shown::ALL.iter().zip(&self.logins) {
            push(&LOGINS, &[shown.as_str()], read(count));
        }
        let met = self.causes.causes(&self.labels).into_iter().filter(|(_, count)| *count > 0);
        for (labels, count) in met {
            samples.push(Sample { metric: &BLOCKED, labels, value: count as f64 });
        }
    }
}
