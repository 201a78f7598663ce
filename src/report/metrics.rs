//! Owns what is told of the reports' store to dashboards. Never changes anything.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::tally::Reason;
use crate::telemetry::{Kind, Metric, Sample};

/// Counts of the ledger.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) records: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Seconds since 1970 of the last record written; 0 for none.
    pub(super) newest: AtomicI64,
    /// By [`Reason::ALL`].
    pub(super) lost: [AtomicU64; 3],
}

/// The rows of this room.
pub static METRICS: &[&Metric] = &[&RECORDS, &ROWS, &LOST, &FAILURES, &BYTES, &NEWEST];

static RECORDS: Metric = Metric {
    name: "interdict_report_records_total",
    help: "Records that were counted and written to the reports' store.",
    kind: Kind::Counter,
    labels: &[],
};
static ROWS: Metric = Metric {
    name: "interdict_report_rows_total",
    help: "Rows written to the reports' store.",
    kind: Kind::Counter,
    labels: &[],
};
static LOST: Metric = Metric {
    name: "interdict_report_lost_total",
    help: "Records missing in reports, by reason; room: counted, but not told apart by device.",
    kind: Kind::Counter,
    labels: &["reason"],
};
static FAILURES: Metric = Metric {
    name: "interdict_report_flush_failures_total",
    help: "Times the reports' store could not be opened or written.",
    kind: Kind::Counter,
    labels: &[],
};
static BYTES: Metric = Metric {
    name: "interdict_report_bytes",
    help: "Size of the reports' store.",
    kind: Kind::Gauge,
    labels: &[],
};
static NEWEST: Metric = Metric {
    name: "interdict_report_newest_timestamp_seconds",
    help: "When the newest record in the reports' store came; 0 for none.",
    kind: Kind::Gauge,
    labels: &[],
};

impl Counts {
    pub(super) fn collect(&self, samples: &mut Vec<Sample>) {
        let mut put =
            |metric, labels: Vec<String>, value: f64| samples.push(Sample { metric, labels, value });
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        put(&RECORDS, Vec::new(), read(&self.records));
        put(&ROWS, Vec::new(), read(&self.rows));
        put(&FAILURES, Vec::new(), read(&self.failures));
        put(&BYTES, Vec::new(), read(&self.bytes));
        put(&NEWEST, Vec::new(), self.newest.load(Ordering::Relaxed) as f64);
        for (reason, count) in Reason::ALL.into_iter().zip(&self.lost) {
            put(&LOST, vec![reason.as_str().to_owned()], read(count));
        }
    }
}
