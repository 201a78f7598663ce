//! The query log. Owns which queries are written down, how and where; never makes a query wait.

mod log;

pub(super) use log::METRICS;
pub use log::{Clients, Config, Describe, Described, QueryLog};
