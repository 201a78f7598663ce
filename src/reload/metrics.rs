//! Owns the control plane's rows in the list of metrics. Labels come from compiled policy and fixed words.

use std::sync::atomic::{AtomicU64, Ordering};

use super::outcome::Outcome;
use super::pipeline::Pipeline;
use crate::telemetry::{Collect, Metric, Sample};

/// Reloads by outcome.
#[derive(Debug, Default)]
pub(super) struct Tally {
    published: AtomicU64,
    rejected: AtomicU64,
    unchanged: AtomicU64,
    held: AtomicU64,
    waiting: AtomicU64,
}

impl Tally {
    pub(super) fn count(&self, outcome: &Outcome) {
        let count = match outcome {
            Outcome::Published { .. } => &self.published,
            Outcome::Rejected { .. } => &self.rejected,
            Outcome::Unchanged { .. } => &self.unchanged,
            Outcome::Held { .. } => &self.held,
            Outcome::Waiting(_) => &self.waiting,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The rows of this room.
pub static METRICS: &[&Metric] = &[
    &RELOADS,
    &GENERATION,
    &LOADED,
    &RULES,
    &MEMORY,
    &TRANSITION,
    &SOURCE_RULES,
    &DEGRADED,
    &PINNED,
    &HELD_BACK,
    &LACKING,
    &EXCEPTION_EXPIRY,
    &BREAK_GLASS,
    &AUDIT_SEQUENCE,
    &AUDIT_HEAD,
    &STRANGERS,
];

static RELOADS: Metric =
    Metric::counter("interdict_reloads_total", "Reloads, by how they ended.", &["outcome"]);
static GENERATION: Metric = Metric::gauge("interdict_policy_generation", "Generation in force.", &[]);
static LOADED: Metric = Metric::gauge(
    "interdict_policy_loaded_timestamp_seconds",
    "When the generation in force was published.",
    &[],
);
static RULES: Metric = Metric::gauge("interdict_policy_rules", "Rules in force.", &[]);
static MEMORY: Metric =
    Metric::gauge("interdict_policy_memory_bytes", "Memory of names, rules and their index.", &[]);
static TRANSITION: Metric = Metric::gauge(
    "interdict_policy_next_transition_timestamp_seconds",
    "When an instrument or exception next starts or ends; 0 for never.",
    &[],
);
static SOURCE_RULES: Metric =
    Metric::gauge("interdict_policy_names", "Rules in force, by the list they come from.", &["source"]);
static DEGRADED: Metric = Metric::gauge("interdict_degraded", "Things that do not work as they should.", &[]);

static PINNED: Metric = Metric::gauge(
    "interdict_policy_pinned",
    "1 while a pin or a rollback holds a generation in force, 0 while reloads are published.",
    &[],
);
static HELD_BACK: Metric = Metric::gauge(
    "interdict_policy_held_back_timestamp_seconds",
    "Since when a change is held back by a pin or a rollback; 0 for none.",
    &[],
);
static LACKING: Metric = Metric::gauge(
    "interdict_policy_approvals_lacking",
    "Approvals that the waiting change still needs; 0 when none waits.",
    &[],
);
static EXCEPTION_EXPIRY: Metric = Metric::gauge(
    "interdict_exception_expiry_timestamp_seconds",
    "When an exception that has not ended yet will end.",
    &["exception"],
);
static BREAK_GLASS: Metric =
    Metric::gauge("interdict_break_glass_exceptions", "Emergency exceptions in force.", &[]);
static AUDIT_SEQUENCE: Metric =
    Metric::gauge("interdict_audit_sequence", "Number of the newest entry of the audit log.", &[]);
static AUDIT_HEAD: Metric = Metric::gauge(
    "interdict_audit_head",
    "First 48 bits of the hash of the newest entry of the audit log, as a number.",
    &[],
);
static STRANGERS: Metric = Metric::counter(
    "interdict_unauthorised_requests_total",
    "Requests for a change without a valid token.",
    &[],
);

impl Collect for Pipeline {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let mut push = |metric, label: Option<&str>, value| {
            samples.push(Sample { metric, labels: label.map(str::to_owned).into_iter().collect(), value });
        };
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        push(&RELOADS, Some("published"), read(&self.tally.published));
        push(&RELOADS, Some("rejected"), read(&self.tally.rejected));
        push(&RELOADS, Some("unchanged"), read(&self.tally.unchanged));
        push(&RELOADS, Some("held"), read(&self.tally.held));
        push(&RELOADS, Some("waiting"), read(&self.tally.waiting));
        let audit = self.recorder.shown();
        push(&STRANGERS, None, audit.strangers as f64);
        push(&AUDIT_SEQUENCE, None, audit.head.sequence as f64);
        push(&AUDIT_HEAD, None, audit.head.number() as f64);
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
        push(&PINNED, None, f64::from(u8::from(status.pinned)));
        let since = status.held_back.as_ref().map_or(0.0, |held| held.since.as_second() as f64);
        push(&HELD_BACK, None, since);
        let lacking = status.waiting.as_ref();
        let lacking = lacking.map_or(0, |waiting| waiting.needed.saturating_sub(waiting.approved_by.len()));
        push(&LACKING, None, lacking as f64);
        let emergencies = status.exceptions.iter().filter(|e| e.break_glass && e.in_force).count();
        push(&BREAK_GLASS, None, emergencies as f64);
        for exception in &status.exceptions {
            push(&EXCEPTION_EXPIRY, Some(&exception.id), exception.until.as_second() as f64);
        }
        for source in &status.sources {
            push(&SOURCE_RULES, Some(&source.name), source.rules as f64);
        }
    }
}
