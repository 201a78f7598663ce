//! Operators: API, health, metrics, auth, and the client side of it for the command line. Owns who may change what; never
//! reloads by itself.

mod api;
mod auth;
mod change;
mod client;
mod egress;
mod feeds;
mod lately;
mod report;
mod serve;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use api::{BLOCKED, Parts};
pub use auth::{LOCAL_TOKEN, Tokens};
pub use client::{Client, ClientError};
pub use serve::serve;

/// Settings of the operators' door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens. Default 127.0.0.1:9153: metrics and status are for this machine unless an operator says otherwise.
    pub listen: SocketAddr,
    /// File with the tokens that may change state.
    pub tokens: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9153), tokens: None }
    }
}
