//! Owns the upstreams' rows in the list of metrics. Labels are configured upstreams, never anything a client sent.

use std::sync::atomic::{AtomicU64, Ordering};

use super::health::Health;
use super::resolver::Counts;
use crate::telemetry::{Kind, Metric, Sample};

/// The rows of this room.
pub static METRICS: &[&Metric] =
    &[&QUERIES, &ANSWERS, &FAILURES, &TCP, &SECONDS, &HEALTHY, &SOCKETS, &JUDGED];

static QUERIES: Metric =
    counter("interdict_upstream_queries_total", "Questions asked of an upstream.", &["upstream"]);
static ANSWERS: Metric =
    counter("interdict_upstream_answers_total", "Answers an upstream gave.", &["upstream"]);
static FAILURES: Metric = counter(
    "interdict_upstream_failures_total",
    "Questions an upstream did not answer well, by reason.",
    &["upstream", "reason"],
);
static TCP: Metric = counter("interdict_upstream_tcp_total", "Answers that came over TCP.", &["upstream"]);
static SECONDS: Metric =
    counter("interdict_upstream_seconds_total", "Time spent waiting for answers that came.", &["upstream"]);
static HEALTHY: Metric = Metric {
    name: "interdict_upstream_healthy",
    help: "1 while an upstream answers, 0 while it is asked last.",
    kind: Kind::Gauge,
    labels: &["upstream"],
};
static SOCKETS: Metric = Metric {
    name: "interdict_upstream_sockets",
    help: "UDP sockets open to an upstream.",
    kind: Kind::Gauge,
    labels: &["upstream"],
};

static JUDGED: Metric = counter(
    "interdict_dnssec_answers_total",
    "Answers validated, by what came of it; failed: not to be had.",
    &["result"],
);

const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, help, kind: Kind::Counter, labels }
}

pub(super) fn collect(server: &Health, sockets: usize, samples: &mut Vec<Sample>) {
    let upstream = server.upstream.to_string();
    let counts = &server.counts;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    let plain = [
        (&QUERIES, read(&counts.queries)),
        (&ANSWERS, read(&counts.answers)),
        (&TCP, read(&counts.tcp)),
        (&SECONDS, read(&counts.nanoseconds) / 1e9),
        (&HEALTHY, f64::from(u8::from(!server.is_down()))),
        (&SOCKETS, sockets as f64),
    ];
    samples.extend(plain.map(|(metric, value)| Sample { metric, labels: vec![upstream.clone()], value }));
    let reasons = [
        ("mismatch", &counts.mismatches),
        ("network", &counts.network),
        ("servfail", &counts.servfail),
        ("timeout", &counts.timeouts),
    ];
    samples.extend(reasons.map(|(reason, count)| Sample {
        metric: &FAILURES,
        labels: vec![upstream.clone(), reason.to_owned()],
        value: read(count),
    }));
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
