//! What happens now and happened in the last day, in bounded memory: numbers (read off what a scrape sums), their trend, and the newest records.
//! Owns no counter, and never makes a query wait.

mod now;
mod numbers;
mod routes;
mod tail;
mod top;
mod trend;

pub(super) use now::Now;
pub(super) use routes::{read_filter, routes, verdicts};
pub(super) use tail::Filter;
pub use tail::{Tail, Wiring as TailWiring};
pub(super) use top::{TopClient, TopName, clients as top_clients, names as top_names};
pub use trend::Trend;
pub(super) use trend::{Bucket, Span};
