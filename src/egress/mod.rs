//! What DNS cannot hold back: apps that never ask for a name, in the kernel. Owns the addresses that the policy keeps clients from, and
//! how the kernel learns of them; never decides what is banned, and never delays a query.
//!
//! `plan` says what a policy holds → `questions` resolve the banned names, `learned` keeps what they lead to, `spared` finds what must live →
//! `nftables` makes a script of it → `keeper` puts that in force with each generation, looks every few seconds whether it still is, and
//! reads the counters.

mod applied;
mod config;
mod held;
mod keeper;
mod learned;
mod metrics;
mod nflog;
mod nftables;
mod permits;
mod plan;
mod questions;
mod shown;
mod spared;
mod tally;
mod thread;

pub use config::{AtStop, Config, Hook, Without};
pub use keeper::Wiring;
pub use metrics::METRICS;
pub use nflog::{Held, read_held};
pub use nftables::{Listing, read_listing, read_pairs};
pub use permits::{Held as HeldReply, Lacking, PermitStatus, Permits, Release, Standing as Permission};
pub use questions::{Resolve, Then};
pub use shown::{Belonging, Egress, Explained, Resolved, Standing, Status};
pub use spared::{Lately, Told};
pub use thread::Waiting;
