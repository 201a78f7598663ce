//! Owns what the zone counts, and its rows in the list of metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Zone;
use crate::dns::RecordType;
use crate::telemetry::{Collect, Metric, Sample};

/// Counts of everything the zone's sockets did.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    asked: [AtomicU64; Asked::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    sent: [AtomicU64; Sent::ALL.len()],
    notified: [AtomicU64; Notified::ALL.len()],
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Axfr,
    Ixfr,
    Ns,
    Other,
    Soa,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The address may not ask.
    Address,
    /// There is no version yet.
    Loading,
    Malformed,
    /// Another name, class or type, or AXFR over UDP.
    Name,
    Signature,
    Unsigned,
}

/// What a transfer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Not all of what it should have.
    Broken,
    /// The SOA alone: the client is up to date.
    Current,
    Difference,
    Whole,
}

/// How a NOTIFY ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notified {
    Answered,
    Refused,
    Unanswered,
}

impl Asked {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Axfr, "axfr"),
        (Self::Ixfr, "ixfr"),
        (Self::Ns, "ns"),
        (Self::Other, "other"),
        (Self::Soa, "soa"),
    ];

    pub(super) fn of(record_type: RecordType) -> Self {
        match record_type {
            RecordType::AXFR => Self::Axfr,
            RecordType::IXFR => Self::Ixfr,
            RecordType::NS => Self::Ns,
            RecordType::SOA => Self::Soa,
            _ => Self::Other,
        }
    }
}

impl Refusal {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Address, "address"),
        (Self::Loading, "loading"),
        (Self::Malformed, "malformed"),
        (Self::Name, "name"),
        (Self::Signature, "signature"),
        (Self::Unsigned, "unsigned"),
    ];
}

impl Sent {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Broken, "broken"),
        (Self::Current, "current"),
        (Self::Difference, "difference"),
        (Self::Whole, "whole"),
    ];
}

impl Notified {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Answered, "answered"), (Self::Refused, "refused"), (Self::Unanswered, "unanswered")];
}

impl Statistics {
    pub(super) fn asked(&self, what: Asked) {
        count(&self.asked, what as usize);
    }

    pub(super) fn refused(&self, why: Refusal) {
        count(&self.refused, why as usize);
    }

    pub(super) fn sent(&self, what: Sent) {
        count(&self.sent, what as usize);
    }

    pub(super) fn notified(&self, how: Notified) {
        count(&self.notified, how as usize);
    }
}

fn count(counts: &[AtomicU64], at: usize) {
    if let Some(count) = counts.get(at) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The rows of this room.
pub static METRICS: &[&Metric] =
    &[&BEHIND, &HISTORY, &LEFT_OUT, &NOTIFIES, &RECORDS, &REFUSED, &REQUESTS, &SERIAL, &TRANSFERS];

static BEHIND: Metric = Metric::gauge(
    "interdict_zone_secondaries_behind",
    "Secondaries to be notified that have not answered for the present serial.",
    &[],
);
static HISTORY: Metric = Metric::gauge(
    "interdict_zone_history_bytes",
    "Memory of the differences kept for incremental transfer.",
    &[],
);
static LEFT_OUT: Metric =
    Metric::gauge("interdict_zone_names_left_out", "Listed names that have no place in the zone.", &[]);
static NOTIFIES: Metric =
    Metric::counter("interdict_zone_notifies_total", "NOTIFY messages sent, by how they ended.", &["result"]);
static RECORDS: Metric =
    Metric::gauge("interdict_zone_records", "Records in the zone, SOA and NS apart.", &[]);
static REFUSED: Metric = Metric::counter(
    "interdict_zone_refused_total",
    "Requests for the zone that were refused, by reason.",
    &["reason"],
);
static REQUESTS: Metric = Metric::counter(
    "interdict_zone_requests_total",
    "Requests for the zone, by what was asked for.",
    &["type"],
);
static SERIAL: Metric =
    Metric::gauge("interdict_zone_serial", "Serial of the zone; 0 before the first version.", &[]);
static TRANSFERS: Metric =
    Metric::counter("interdict_zone_transfers_total", "Transfers of the zone, by what was sent.", &["sent"]);

impl Collect for Zone {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let status = self.status();
        for (metric, value) in [
            (&BEHIND, status.secondaries.iter().filter(|one| one.serial != status.serial).count() as f64),
            (&HISTORY, status.history_bytes as f64),
            (&LEFT_OUT, status.left_out as f64),
            (&RECORDS, status.records as f64),
            (&SERIAL, f64::from(status.serial.unwrap_or(0))),
        ] {
            samples.push(Sample { metric, labels: Vec::new(), value });
        }
        let statistics = &self.server.statistics;
        let asked = Asked::ALL.map(|(_, word)| word);
        let refused = Refusal::ALL.map(|(_, word)| word);
        let sent = Sent::ALL.map(|(_, word)| word);
        let notified = Notified::ALL.map(|(_, word)| word);
        let rows: [(&'static Metric, &[&str], &[AtomicU64]); 4] = [
            (&REQUESTS, &asked, &statistics.asked),
            (&REFUSED, &refused, &statistics.refused),
            (&TRANSFERS, &sent, &statistics.sent),
            (&NOTIFIES, &notified, &statistics.notified),
        ];
        for (metric, words, counts) in rows {
            for (word, count) in words.iter().zip(counts) {
                let value = count.load(Ordering::Relaxed) as f64;
                samples.push(Sample { metric, labels: vec![(*word).to_owned()], value });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_at_their_numbers() {
        assert!(Asked::ALL.iter().enumerate().all(|(at, (one, _))| *one as usize == at));
        assert!(Refusal::ALL.iter().enumerate().all(|(at, (one, _))| *one as usize == at));
        assert!(Sent::ALL.iter().enumerate().all(|(at, (one, _))| *one as usize == at));
        assert!(Notified::ALL.iter().enumerate().all(|(at, (one, _))| *one as usize == at));
    }
}
