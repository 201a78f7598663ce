//! The kernel's log of held packets (NFLOG), for the query log. Owns one socket to the kernel; never holds a packet, and never waits for one that
//! reads the log.

mod message;
mod report;
mod socket;

pub use message::{Held, read_held};
pub(super) use report::{Label, Report, UnresolvedLabel};
