//! The policy in force, served to other resolvers as a response policy zone: a network's BIND and Unbound enforce the same
//! bans from one source. Owns the zone's content, serial and history, transfers out (AXFR, IXFR, TSIG) and NOTIFY. Works
//! beside the data plane and never touches it; never decides what is banned.
//!
//! Read `content` first: it says why the zone decides as the policy does. A published policy becomes a version in `follow`;
//! `server` answers from the newest version, `transfer` writes it out, `notify` tells secondaries of it.

mod config;
mod content;
mod difference;
mod fingerprint;
mod follow;
mod metrics;
mod notify;
mod record;
mod request;
mod response;
mod serial;
mod server;
mod start;
mod tcp;
mod transfer;
mod udp;
mod version;

pub use self::notify::Secondary;
pub use config::Config;
pub use metrics::METRICS;
pub use start::{Bound, Parts, Status, Zone, bind, start};

#[cfg(test)]
mod tests;
