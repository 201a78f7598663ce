//! Owns the upstreams' rows in the list of metrics. Labels are configured upstreams, never anything a client sent.

use std::sync::atomic::{AtomicU64, Ordering};

use super::health::Health;
use super::resolver::Counts;
use super::secure::{ProofCounts, Rollover};
use crate::telemetry::{Metric, Sample};

/// The rows of this room.
pub static METRICS: &[&Metric] = &[
    &QUERIES,
    &ANSWERS,
    &FAILURES,
    &HEDGES,
    &LATE,
    &TCP,
    &SECONDS,
    &HEALTHY,
    &SOCKETS,
    &ENCRYPTED,
    &JUDGED,
    &SYNTHESISED,
    &PROOFS,
    &ANCHORS,
    &CHECKS,
    &CHECKED,
];

static QUERIES: Metric =
    Metric::counter("interdict_upstream_queries_total", "Questions asked of an upstream.", &["upstream"]);
static ANSWERS: Metric =
    Metric::counter("interdict_upstream_answers_total", "Answers an upstream gave.", &["upstream"]);
static FAILURES: Metric = Metric::counter(
    "interdict_upstream_failures_total",
    "Questions an upstream did not answer well, by reason.",
    &["upstream", "reason"],
);
static HEDGES: Metric = Metric::counter(
    "interdict_upstream_hedges_total",
    "Questions that another upstream was asked too, as this one was late: won, the other answered first; lost, it did not; withheld, too many were.",
    &["upstream", "result"],
);
static LATE: Metric = Metric::gauge(
    "interdict_upstream_late_seconds",
    "Time after which an upstream is late by its own measure, and another asked too; 0 while nothing is known.",
    &["upstream"],
);
static TCP: Metric =
    Metric::counter("interdict_upstream_tcp_total", "Answers that came over TCP.", &["upstream"]);
static SECONDS: Metric = Metric::counter(
    "interdict_upstream_seconds_total",
    "Time spent waiting for answers that came.",
    &["upstream"],
);
static HEALTHY: Metric = Metric::gauge(
    "interdict_upstream_healthy",
    "1 while an upstream answers, 0 while it is asked last.",
    &["upstream"],
);
static SOCKETS: Metric =
    Metric::gauge("interdict_upstream_sockets", "UDP sockets open to an upstream.", &["upstream"]);

static ENCRYPTED: Metric = Metric::gauge(
    "interdict_upstream_encrypted",
    "1 while an upstream is asked inside of TLS, 0 while it is asked in clear.",
    &["upstream"],
);

static JUDGED: Metric = Metric::counter(
    "interdict_dnssec_answers_total",
    "Answers validated, by what came of it; failed: not to be had.",
    &["result"],
);

static SYNTHESISED: Metric = Metric::counter(
    "interdict_dnssec_synthesised_answers_total",
    "Answers made of kept proofs without asking anybody (RFC 8198), by what they say.",
    &["result"],
);
static PROOFS: Metric =
    Metric::gauge("interdict_dnssec_proofs_bytes", "Memory held by proofs that answers are made of.", &[]);

static ANCHORS: Metric = Metric::gauge(
    "interdict_trust_anchors",
    "Keys of the root, by how far they are trusted (RFC 5011).",
    &["state"],
);
static CHECKS: Metric = Metric::counter(
    "interdict_trust_anchor_checks_total",
    "Looks at the root's keys, by what came of them.",
    &["result"],
);
static CHECKED: Metric = Metric::gauge(
    "interdict_trust_anchor_checked_timestamp_seconds",
    "When the root's keys were last seen, signed by a trusted one; 0 for never.",
    &[],
);

pub(super) fn collect(server: &Health, sockets: usize, is_encrypted: bool, samples: &mut Vec<Sample>) {
    let upstream = server.upstream.to_string();
    let counts = &server.counts;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    let plain = [
        (&QUERIES, read(&counts.queries)),
        (&ANSWERS, read(&counts.answers)),
        (&LATE, server.lateness.late_after().map_or(0.0, |after| after.as_secs_f64())),
        (&TCP, read(&counts.tcp)),
        (&SECONDS, read(&counts.nanoseconds) / 1e9),
        (&HEALTHY, f64::from(u8::from(!server.is_down()))),
        (&SOCKETS, sockets as f64),
        (&ENCRYPTED, f64::from(u8::from(is_encrypted))),
    ];
    samples.extend(plain.map(|(metric, value)| Sample { metric, labels: vec![upstream.clone()], value }));
    let reasons = [
        ("mismatch", &counts.mismatches),
        ("network", &counts.network),
        ("servfail", &counts.servfail),
        ("timeout", &counts.timeouts),
    ];
    let hedges =
        [("lost", &counts.hedges_lost), ("withheld", &counts.hedges_withheld), ("won", &counts.hedges_won)];
    let results = |metric| {
        let upstream = upstream.clone();
        move |(result, count): (&str, &AtomicU64)| Sample {
            metric,
            labels: vec![upstream.clone(), result.to_owned()],
            value: count.load(Ordering::Relaxed) as f64,
        }
    };
    samples.extend(reasons.map(results(&FAILURES)));
    samples.extend(hedges.map(results(&HEDGES)));
}

pub(super) fn collect_judgements(counts: &Counts, samples: &mut Vec<Sample>) {
    let results = [
        ("bogus", &counts.bogus),
        ("failed", &counts.failed),
        ("insecure", &counts.insecure),
        ("secure", &counts.secure),
    ];
    samples.extend(results.map(|(result, count)| Sample {
        metric: &JUDGED,
        labels: vec![result.to_owned()],
        value: count.load(Ordering::Relaxed) as f64,
    }));
}

pub(super) fn collect_proofs(counts: &ProofCounts, bytes: usize, samples: &mut Vec<Sample>) {
    let results =
        [("nodata", &counts.nodata), ("nxdomain", &counts.nxdomain), ("wildcard", &counts.wildcard)];
    samples.extend(results.map(|(result, count)| Sample {
        metric: &SYNTHESISED,
        labels: vec![result.to_owned()],
        value: count.load(Ordering::Relaxed) as f64,
    }));
    samples.push(Sample { metric: &PROOFS, labels: Vec::new(), value: bytes as f64 });
}

pub(super) fn collect_anchors(rollover: &Rollover, samples: &mut Vec<Sample>) {
    samples.extend(rollover.states().map(|(state, count)| Sample {
        metric: &ANCHORS,
        labels: vec![state.to_owned()],
        value: count as f64,
    }));
    let results = [("failed", &rollover.checks.failed), ("ok", &rollover.checks.done)];
    samples.extend(results.map(|(result, count)| Sample {
        metric: &CHECKS,
        labels: vec![result.to_owned()],
        value: count.load(Ordering::Relaxed) as f64,
    }));
    let checked = rollover.checked().map_or(0, |at| at.as_second());
    samples.push(Sample { metric: &CHECKED, labels: Vec::new(), value: checked as f64 });
}
