//! Owns what is counted of permissions, its rows in the list of metrics, and what operators see of it. Never decides anything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::message::Element;
use super::permits::Permits;
use crate::telemetry::{Kind, Metric};

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) held: AtomicU64,
    pub(super) restored: AtomicU64,
    new: AtomicU64,
    extended: AtomicU64,
    transactions: AtomicU64,
    nanoseconds: AtomicU64,
    failures: [AtomicU64; Reason::ALL.len()],
}

/// Why something was not permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its client has more than its share.
    Client,
    /// There are as many pairs as may be.
    Full,
    /// More replies wait than may.
    Overload,
    /// The kernel did not take it.
    Refused,
    /// The kernel took too long.
    Timeout,
}

/// What operators see of permissions.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PermitStatus {
    /// Pairs of a client and an address.
    pub pairs: usize,
    /// As many as may be.
    pub most: usize,
    /// Replies that wait for the kernel now.
    pub waiting: usize,
    /// Whether every way is open for want of room.
    pub open: bool,
    /// Replies that were not permitted what they lead to, since the start.
    pub failures: u64,
}

pub(in crate::egress) static FAILURES: Metric = Metric::counter(
    "interdict_egress_permit_failures_total",
    "Replies, or what they lead to, that the kernel could not be made to permit, by reason.",
    &["reason"],
);
pub(in crate::egress) static HELD: Metric = Metric::counter(
    "interdict_egress_held_replies_total",
    "Replies that waited for the kernel to permit what they lead to.",
    &[],
);
pub(in crate::egress) static OPEN: Metric = Metric {
    name: "interdict_egress_permits_open",
    help: "Whether every way is open to clients that are held to what they resolved, for want of room.",
    kind: Kind::Gauge,
    labels: &[],
};
pub(in crate::egress) static PAIRS: Metric = Metric {
    name: "interdict_egress_permitted_pairs",
    help: "Pairs of a client and an address that it may reach because it was answered so.",
    kind: Kind::Gauge,
    labels: &[],
};
pub(in crate::egress) static MOST: Metric = Metric {
    name: "interdict_egress_permitted_pairs_limit",
    help: "Pairs that there may be.",
    kind: Kind::Gauge,
    labels: &[],
};
pub(in crate::egress) static PERMITS: Metric = Metric::counter(
    "interdict_egress_permits_total",
    "Pairs that the kernel was told of: new ones, and those that hold longer now.",
    &["kind"],
);
pub(in crate::egress) static RESTORED: Metric = Metric::counter(
    "interdict_egress_permits_restored_total",
    "Times that somebody took the pairs out of the kernel and they were put back.",
    &[],
);
pub(in crate::egress) static SECONDS: Metric = Metric::counter(
    "interdict_egress_permit_seconds_total",
    "Time that the kernel took for pairs, in seconds.",
    &[],
);
pub(in crate::egress) static TRANSACTIONS: Metric = Metric::counter(
    "interdict_egress_permit_transactions_total",
    "Transactions in which the kernel was told of pairs.",
    &[],
);

impl Reason {
    pub(super) const ALL: [Self; 5] =
        [Self::Client, Self::Full, Self::Overload, Self::Refused, Self::Timeout];

    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Full => "full",
            Self::Overload => "overload",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
        }
    }
}

impl Counts {
    pub(super) fn fail(&self, reason: Reason) {
        if let Some(count) = self.failures.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The kernel took the elements, in this time.
    pub(super) fn told(&self, elements: &[Element], took: Duration) {
        if elements.is_empty() {
            return;
        }
        let extended = elements.iter().filter(|element| element.is_known).count() as u64;
        self.extended.fetch_add(extended, Ordering::Relaxed);
        self.new.fetch_add(elements.len() as u64 - extended, Ordering::Relaxed);
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Permits {
    /// What operators see.
    pub(in crate::egress) fn status(&self) -> PermitStatus {
        let failures = self.counts.failures.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        PermitStatus {
            pairs: self.pairs.count(),
            most: self.most,
            waiting: self.queue.count(),
            open: self.is_open(self.clock.now()),
            failures,
        }
    }
}

/// Appends the samples.
pub(in crate::egress) fn collect(permits: &Permits, mut push: impl FnMut(&'static Metric, &[&str], f64)) {
    let counts = &permits.counts;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    for (reason, count) in Reason::ALL.iter().zip(&counts.failures) {
        push(&FAILURES, &[reason.as_str()], read(count));
    }
    push(&HELD, &[], read(&counts.held));
    push(&OPEN, &[], f64::from(u8::from(permits.is_open(permits.clock.now()))));
    push(&PAIRS, &[], permits.pairs.count() as f64);
    push(&MOST, &[], permits.most as f64);
    push(&PERMITS, &["extended"], read(&counts.extended));
    push(&PERMITS, &["new"], read(&counts.new));
    push(&RESTORED, &[], read(&counts.restored));
    push(&SECONDS, &[], read(&counts.nanoseconds) / 1e9);
    push(&TRANSACTIONS, &[], read(&counts.transactions));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_at_their_numbers() {
        assert!(Reason::ALL.iter().enumerate().all(|(at, one)| *one as usize == at));
    }
}
