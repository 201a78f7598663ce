//! Owns what is told of signing in at the provider. Never says who did.

use std::sync::atomic::{AtomicU64, Ordering};

use super::sign_in::Trouble;
use crate::telemetry::{Metric, Sample};

/// Counts of attempts, by how they ended.
#[derive(Debug, Default)]
pub(super) struct Counts {
    begun: AtomicU64,
    /// By [`Trouble::ALL`].
    failed: [AtomicU64; Trouble::ALL.len()],
}

/// The rows of this room.
pub(in crate::admin) static METRICS: &[&Metric] = &[&SIGN_INS];

static SIGN_INS: Metric = Metric::counter(
    "interdict_sign_ins_total",
    "Attempts to sign in at the OpenID Connect provider, by how they ended.",
    &["result"],
);

impl Counts {
    pub(super) fn begun(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, trouble: Trouble) {
        let all = Trouble::ALL.into_iter().zip(&self.failed);
        for (_, count) in all.filter(|(one, _)| *one == trouble) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn collect(&self, samples: &mut Vec<Sample>) {
        let failed = Trouble::ALL.into_iter().map(Trouble::as_str).zip(&self.failed);
        for (result, count) in [("begun", &self.begun)].into_iter().chain(failed) {
            let value = count.load(Ordering::Relaxed) as f64;
            samples.push(Sample { metric: &SIGN_INS, labels: vec![result.to_owned()], value });
        }
    }
}
