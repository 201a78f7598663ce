//! Connections in, connections out: peek reads whom a client wants before anything is encrypted, judge asks the policy, transparent, quic and
//! explicit serve clients, users and line say who they are and how they speak, visit shows who was sent to the sinkhole why, relay moves bytes, threads is where connections over TCP are taken and live. Owns what of a policy DNS alone cannot hold; never decides by itself, and never opens what is
//! encrypted.

mod automatic;
mod claims;
mod config;
mod door;
mod explicit;
mod judge;
mod line;
mod metrics;
mod page;
pub mod peek;
mod quic;
mod relay;
mod start;
mod threads;
mod transparent;
mod users;
mod visit;

pub use claims::{Resolve, Resolving};
pub use config::{Config, Mode, Required, Verify};
pub use judge::Caller;
pub use metrics::{METRICS, Statistics};
pub use start::{Bound, Parts, Started, bind, start};
pub use users::problems;
