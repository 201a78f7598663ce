//! Unfiltered upstream answers in wire form: key, entry, store. Owns what upstreams said and how long it holds; never
//! holds anything the policy made up, so that a new policy needs no flush.

mod entry;
mod hints;
mod kept;
mod key;
mod local;
mod metrics;
mod store;

pub use entry::{Entry, Freshness, Patch};
pub use kept::{Damage, KEPT_FILE, Keeper};
pub use key::Key;
pub use local::Local;
pub use metrics::METRICS;
pub use store::{Config, Store};
