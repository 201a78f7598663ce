//! Owns the histogram of answer times, by the path an answer took. Fixed buckets, no allocation.
//! Never reads a clock; durations are handed in.

use std::sync::atomic::{AtomicU64, Ordering};

use super::metric::{Kind, Metric, Sample};

/// How an answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Path {
    /// Blocked by policy.
    Block,
    /// From the cache, or made by this resolver.
    Hit,
    /// Asked upstream.
    Miss,
}

/// The histograms of one worker.
#[derive(Debug, Default)]
pub(super) struct Latency {
    paths: [Histogram; 3],
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_nanoseconds: AtomicU64,
}

/// Upper bounds in seconds: from what a batch of blocks takes to what a client waits at most.
const BOUNDS: [f64; 16] =
    [5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0, 5.0];

/// Prometheus writes a histogram as three series of one metric; each has a row of its own here, so that every sample
/// has the labels its row says.
static ANSWER: Metric = Metric {
    name: "interdict_answer_seconds",
    help: "Time from receiving a query to its reply, by the path its answer took.",
    kind: Kind::Histogram,
    labels: &["path"],
};

impl Latency {
    pub(super) fn metrics() -> impl Iterator<Item = &'static Metric> {
        std::iter::once(&ANSWER)
    }

    pub(super) fn observe(&self, path: Path, nanoseconds: u64, count: u64, add: impl Fn(&AtomicU64, u64)) {
        let Some(histogram) = self.paths.get(path as usize) else { return };
        let seconds = nanoseconds as f64 / 1e9;
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = histogram.buckets.get(bucket) {
            add(bucket, count);
        }
        add(&histogram.sum_nanoseconds, nanoseconds.saturating_mul(count));
    }

    /// Sums the workers. A sample's second label is the bucket's bound, or `sum`.
    pub(super) fn collect(workers: &[&Self], samples: &mut Vec<Sample>) {
        for (index, path) in ["block", "hit", "miss"].iter().enumerate() {
            let of = |read: &dyn Fn(&Histogram) -> u64| -> u64 {
                workers.iter().filter_map(|worker| worker.paths.get(index)).map(read).sum()
            };
            let mut push = |label: String, value: f64| {
                samples.push(Sample { metric: &ANSWER, labels: vec![(*path).to_owned(), label], value });
            };
            let mut cumulative = 0;
            for bucket in 0..=BOUNDS.len() {
                cumulative += of(&|h| h.buckets.get(bucket).map_or(0, |count| count.load(Ordering::Relaxed)));
                push(BOUNDS.get(bucket).map_or("+Inf".to_owned(), f64::to_string), cumulative as f64);
            }
            push("sum".to_owned(), of(&|h| h.sum_nanoseconds.load(Ordering::Relaxed)) as f64 / 1e9);
        }
    }
}
