//! What was asked in the last day: sampler, sketch, crowd, kept, watch. Owns a bounded summary of the names most asked and by
//! whom, so that a change can be judged by what it would mean. Never makes a query wait, and keeps of clients only what the
//! settings let it keep.

mod crowd;
mod kept;
mod sampler;
mod sketch;
mod watch;

pub use crowd::Crowd;
pub use sampler::{Feed, Sampler};
pub use sketch::{Covered, Day, Party};
pub(super) use watch::METRICS;
pub use watch::{LastDay, Storage, Wiring};

use super::querylog::Clients;

/// Settings of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Names kept, counted apart for each group that asked them; 0 keeps none. Default 8192: many times what the guard looks
    /// at, so that a flood of random names does not push out what matters, in at most 10 MiB (4 MiB is usual), and twice that
    /// while it is written down. Any name that is more than one question in so many is among them.
    pub names: usize,
    /// What is kept of the clients that asked. Default none: who asked what is kept only by decision. Where there is a query
    /// log that decision was taken, and its setting counts here too.
    pub clients: Clients,
}

impl Default for Config {
    fn default() -> Self {
        Self { names: 8192, clients: Clients::None }
    }
}
