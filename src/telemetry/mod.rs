//! Counters, latency, record, ring, and one output a file: prometheus, querylog. Owns how the product is observed;
//! never looks up what an id means, and never makes a query wait.

mod counters;
mod latency;
mod metric;
pub mod prometheus;
mod querylog;
mod record;
mod ring;

pub use counters::{Cell, Counter, Counters};
pub use latency::Path;
pub use metric::{Collect, Kind, Metric, Sample};
pub use querylog::{Clients, Config, Describe, QueryLog};
pub use record::{Decision, Record};
pub use ring::{Ring, Rings};

/// The rows of this room.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    Counters::metrics().chain(querylog::METRICS.iter().copied())
}
