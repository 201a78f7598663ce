//! Ask others: upstream, exchange, health, forward. Owns the talk with other resolvers and hands back their bytes
//! unchanged. Never caches, never joins identical questions, never looks at the policy.

mod exchange;
mod forward;
mod health;
mod metrics;
mod upstream;

pub use forward::{Failure, Forwarder};
pub use metrics::METRICS;
pub use upstream::{Config, Protocol, Route, Upstream, system_servers};
