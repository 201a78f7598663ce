//! Connections that carry messages behind their lengths (RFC 7766, RFC 7858): over TCP as they are, or inside of TLS. Owns who
//! may come (places), what a connection does (connection), and what handles its queries (workers).

mod accept;
mod completion;
mod connection;
mod inbox;
mod places;
mod workers;

pub use accept::{Config, serve};
pub use workers::Workers;

pub(super) use completion::Completion;
pub(super) use places::{Place, Places};
