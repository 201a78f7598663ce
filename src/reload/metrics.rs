//! Owns the control plane's rows in the list of metrics. Labels come from compiled policy and fixed words.

use std::sync::atomic::{AtomicU64, Ordering};

use super::outcome::Outcome;
use super::pipeline::Pipeline;
use crate::telemetry::{Collect, Kind, Metric, Sample};

/// Reloads by outcome.
#[derive(Debug, Default)]
pub(super) struct Tally {
    published: AtomicU64,
    rejected: AtomicU64,
    unchanged: AtomicU64,
}

impl Tally {
    pub(super) fn count(&self, outcome: &Outcome) {
        let count = match outcome {
            Outcome::Published { .. } => &self.published,
            Outcome::Rejected { .. } => &self.rejected,
            Outcome::Unchanged { .. } => &self.unchanged,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The rows of this room.
pub static METRICS: &[&Metric] =
    &[&RELOADS, &GENERATION, &LOADED, &RULES, &MEMORY, &TRANSITION, &SOURCE_RULES, &DEGRADED];

static RELOADS: Metric = Metric {
    name: "interdict_reloads_total",
    help: "Reloads, by how they ended.",
    kind: Kind::Counter,
    labels: &["outcome"],
};
static GENERATION: Metric = gauge("interdict_policy_generation", "Generation in force.", &[]);
static LOADED: Metric =
    gauge("interdict_policy_loaded_timestamp_seconds", "When the generation in force was published.", &[]);
static RULES: Metric = gauge("interdict_policy_rules", "Rules in force.", &[]);
static MEMORY: Metric =
    gauge("interdict_policy_memory_bytes", "Memory of names, rules and their index.", &[]);
static TRANSITION: Metric = gauge(
    "interdict_policy_next_transition_timestamp_seconds",
    "When an instrument or exception next starts or ends; 0 for never.",
    &[],
);
static SOURCE_RULES: Metric =
    gauge("interdict_policy_names", "Rules in force, by the list they come from.", &["source"]);
static DEGRADED: Metric = gauge("interdict_degraded", "Things that do not work as they should.", &[]);

const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, help, kind: Kind::Gauge, labels }
}

impl Collect for Pipeline {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let mut push = |metric, label: Option<&str>, value| {
            samples.push(Sample { metric, labels: label.map(str::to_owned).into_iter().collect(), value });
        };
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        push(&RELOADS, Some("published"), read(&self.tally.published));
        push(&RELOADS, Some("rejected"), read(&self.tally.rejected));
        push(&RELOADS, Some("unchanged"), read(&self.tally.unchanged));
        self.collection.collect(samples);
        let mut push = |metric, label: Option<&str>, value| {
            samples.push(Sample { metric, labels: label.map(str::to_owned).into_iter().collect(), value });
        };
        let Some(status) = self.status() else { return };
        push(&GENERATION, None, status.generation as f64);
        push(&LOADED, None, status.published_at.as_second() as f64);
        push(&RULES, None, status.rules as f64);
        push(&MEMORY, None, status.memory_bytes as f64);
        push(&TRANSITION, None, status.next_transition.map_or(0.0, |at| at.as_second() as f64));
        push(&DEGRADED, None, status.degraded.len() as f64);
        for source in &status.sources {
            push(&SOURCE_RULES, Some(&source.name), source.rules as f64);
        }
    }
}
