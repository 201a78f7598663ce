//! Owns the numbers that no room alone can show: blocked queries by what the policy calls them, and which version runs;
//! and the list of all. Never counts.

use std::sync::Arc;

use crate::policy::Labels;
use crate::telemetry::{Collect, Counters, Kind, Metric, Sample};
use crate::{admin, cache, egress, listen, proxy, reload, report, resolve, sources, telemetry, zone};

/// Blocked queries by label set: the policy knows the labels, the workers the numbers.
#[derive(Debug)]
pub(super) struct Blocked {
    pub(super) labels: Labels,
    pub(super) counters: Arc<Counters>,
}

impl Collect for Blocked {
    fn collect(&self, samples: &mut Vec<Sample>) {
        for (labels, count) in self.counters.causes(&self.labels) {
            samples.push(Sample { metric: &admin::BLOCKED, labels, value: count as f64 });
        }
    }
}

/// Which interdict this is, for dashboards that watch many.
#[derive(Debug)]
pub(super) struct Build;

pub(super) static BUILD: Metric = Metric {
    name: "interdict_build_info",
    help: "Always 1; its label says which version runs.",
    kind: Kind::Gauge,
    labels: &["version"],
};

impl Collect for Build {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let labels = vec![env!("CARGO_PKG_VERSION").to_owned()];
        samples.push(Sample { metric: &BUILD, labels, value: 1.0 });
    }
}

/// Every metric there is.
pub fn metrics() -> Vec<&'static Metric> {
    let mut all = vec![&BUILD, &admin::BLOCKED];
    all.extend(telemetry::metrics());
    for room in [
        admin::METRICS,
        cache::METRICS,
        egress::METRICS,
        listen::METRICS,
        proxy::METRICS,
        reload::METRICS,
        report::METRICS,
        resolve::METRICS,
        sources::METRICS,
        zone::METRICS,
    ] {
        all.extend(room.iter().copied());
    }
    all
}
