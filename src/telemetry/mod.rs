//! Counters, latency, record, ring, drain, and one output a file: prometheus, querylog.
mod metric;
pub use metric::{Collect, Kind, Metric, Sample};
