//! Owns what egress counts, and its rows in the list of metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::nftables::Failure;
use super::permits;
use super::shown::Egress;
use super::spared::Reason;
use crate::telemetry::{Collect, Kind, Metric, Sample};

/// What is counted beside packets.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) failures: [AtomicU64; Failure::REASONS.len()],
    pub(super) restored: AtomicU64,
    pub(super) spared: [AtomicU64; Reason::ALL.len()],
}

/// The rows of this room.
pub static METRICS: &[&Metric] = &[
    &ADDRESSES,
    &APPLIED,
    &BYTES,
    &FAILURES,
    &PACKETS,
    &RESTORED,
    &SPARED,
    &permits::FAILURES,
    &permits::HELD,
    &permits::MOST,
    &permits::OPEN,
    &permits::PAIRS,
    &permits::PERMITS,
    &permits::RESTORED,
    &permits::SECONDS,
    &permits::TRANSACTIONS,
];

static ADDRESSES: Metric = Metric {
    name: "interdict_egress_addresses",
    help: "Networks and addresses that the kernel holds, by what they belong to.",
    kind: Kind::Gauge,
    labels: &["app", "family", "origin"],
};
static APPLIED: Metric = Metric {
    name: "interdict_egress_applied_timestamp_seconds",
    help: "When the kernel last took a generation; 0 for never.",
    kind: Kind::Gauge,
    labels: &[],
};
static BYTES: Metric = Metric::counter(
    "interdict_egress_dropped_bytes_total",
    "Bytes of packets that the kernel held, or would have held in shadow mode.",
    &["app", "group", "direction", "mode"],
);
static FAILURES: Metric = Metric::counter(
    "interdict_egress_failures_total",
    "Times that the kernel could not be told or asked, by reason.",
    &["reason"],
);
static PACKETS: Metric = Metric::counter(
    "interdict_egress_dropped_packets_total",
    "Packets that the kernel held, or would have held in shadow mode.",
    &["app", "group", "direction", "mode"],
);
static RESTORED: Metric = Metric::counter(
    "interdict_egress_restored_total",
    "Times that the kernel's table was gone or changed and was put back.",
    &[],
);
static SPARED: Metric = Metric::counter(
    "interdict_egress_spared_total",
    "Addresses found to be somebody else's too and therefore not held, by reason.",
    &["reason"],
);

impl Counts {
    pub(super) fn failed(&self, reason: &str) {
        let at = Failure::REASONS.iter().position(|known| *known == reason);
        count(&self.failures, at.unwrap_or(0));
    }

    pub(super) fn spare(&self, reason: Reason) {
        count(&self.spared, reason as usize);
    }
}

fn count(counts: &[AtomicU64], at: usize) {
    if let Some(count) = counts.get(at) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Collect for Egress {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let mut push = |metric, labels: &[&str], value: f64| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            samples.push(Sample { metric, labels, value });
        };
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        for (reason, count) in Failure::REASONS.iter().zip(&self.counts.failures) {
            push(&FAILURES, &[reason], read(count));
        }
        push(&RESTORED, &[], read(&self.counts.restored));
        for (reason, count) in Reason::ALL.iter().zip(&self.counts.spared) {
            push(&SPARED, &[reason.as_str()], read(count));
        }
        permits::collect(&self.permits, &mut push);
        let state = self.state();
        push(&APPLIED, &[], state.applied.map_or(0.0, |(_, at)| at.as_second() as f64));
        for (counted, (packets, bytes)) in state.tally.totals().iter().chain(state.unresolved.totals()) {
            let labels = [counted.app.as_str(), &counted.group, counted.direction, counted.mode];
            push(&PACKETS, &labels, *packets as f64);
            push(&BYTES, &labels, *bytes as f64);
        }
        for ((app, family, origin), count) in state.addresses() {
            push(&ADDRESSES, &[&app, family, origin], count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_at_their_numbers() {
        assert!(Reason::ALL.iter().enumerate().all(|(at, one)| *one as usize == at));
    }
}
