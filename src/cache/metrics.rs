//! Owns the cache's rows in the list of metrics. Lookups are counted where they happen, by the query path.

use crate::telemetry::{Kind, Metric, Sample};

/// The rows of this room.
pub static METRICS: &[&Metric] = &[&ENTRIES, &BYTES, &LIMIT, &RESTORED];

static ENTRIES: Metric =
    Metric { name: "interdict_cache_entries", help: "Answers in the cache.", kind: Kind::Gauge, labels: &[] };
static BYTES: Metric = Metric {
    name: "interdict_cache_bytes",
    help: "Memory held by cached answers.",
    kind: Kind::Gauge,
    labels: &[],
};
static LIMIT: Metric = Metric {
    name: "interdict_cache_limit_bytes",
    help: "Memory that cached answers may hold.",
    kind: Kind::Gauge,
    labels: &[],
};

static RESTORED: Metric = Metric {
    name: "interdict_cache_restored_answers",
    help: "Answers taken over from before the start.",
    kind: Kind::Gauge,
    labels: &[],
};

pub(super) fn collect(entries: f64, bytes: f64, limit: f64, restored: f64, samples: &mut Vec<Sample>) {
    for (metric, value) in [(&ENTRIES, entries), (&BYTES, bytes), (&LIMIT, limit), (&RESTORED, restored)] {
        samples.push(Sample { metric, labels: Vec::new(), value });
    }
}
