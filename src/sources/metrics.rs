//! Owns the collected sources' rows in the list of metrics. Labels are configured names and fixed words.

use super::entry::Entry;
use super::refusal::Reason;
use crate::telemetry::{Kind, Metric, Sample};

/// The rows of this room.
pub static METRICS: &[&Metric] = &[&FETCHES, &FAILURES, &SUCCESS, &CHANGE, &EXPIRES, &NOTIFIES];

static FETCHES: Metric = Metric {
    name: "interdict_source_fetches_total",
    help: "Fetches of a source, by what they brought.",
    kind: Kind::Counter,
    labels: &["source", "result"],
};
static FAILURES: Metric = Metric {
    name: "interdict_source_failures_total",
    help: "Fetches of a source whose bytes were not taken, by reason.",
    kind: Kind::Counter,
    labels: &["source", "reason"],
};
static SUCCESS: Metric = Metric {
    name: "interdict_source_last_success_timestamp_seconds",
    help: "When a source's content was last known to be what is published; 0 for never.",
    kind: Kind::Gauge,
    labels: &["source"],
};
static CHANGE: Metric = Metric {
    name: "interdict_source_last_change_timestamp_seconds",
    help: "When a source's content last changed; 0 for never.",
    kind: Kind::Gauge,
    labels: &["source"],
};
static EXPIRES: Metric = Metric {
    name: "interdict_source_expires_timestamp_seconds",
    help: "When a transferred zone's content expires unless its primary confirms it; 0 for none.",
    kind: Kind::Gauge,
    labels: &["source"],
};
pub(super) static NOTIFIES: Metric = Metric {
    name: "interdict_notifies_total",
    help: "Messages that say that a zone has changed (NOTIFY), by what became of them.",
    kind: Kind::Counter,
    labels: &["result"],
};

/// Appends one source's samples.
pub(super) fn collect(source: &str, entry: &Entry, samples: &mut Vec<Sample>) {
    let mut push = |metric, label: Option<&str>, value| {
        let labels = std::iter::once(source).chain(label).map(str::to_owned).collect();
        samples.push(Sample { metric, labels, value });
    };
    for (result, count) in ["changed", "unchanged", "failed"].into_iter().zip(entry.fetches) {
        push(&FETCHES, Some(result), count as f64);
    }
    for (reason, count) in Reason::ALL.into_iter().zip(entry.failures) {
        push(&FAILURES, Some(reason.as_str()), count as f64);
    }
    let changed_at = entry.kept.as_ref().map(|kept| kept.changed_at);
    for (metric, at) in
        [(&SUCCESS, entry.confirmed_at), (&CHANGE, changed_at), (&EXPIRES, entry.expires_at())]
    {
        push(metric, None, at.map_or(0.0, |at| at.as_second() as f64));
    }
}
