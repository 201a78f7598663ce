//! Operators: API, health, metrics, auth, and the client side of it for the command line. Owns who may change what; never
//! reloads by itself.

mod answer;
mod api;
mod auth;
mod change;
mod client;
mod config;
mod door;
mod egress;
mod explain;
mod feeds;
pub mod fields;
mod lately;
mod link;
mod live;
mod log;
pub mod oidc;
mod openapi;
mod pages;
mod person;
mod policy;
mod records;
mod report;
mod serve;
mod session;
mod tag;
mod visitor;

pub use api::{BLOCKED, Parts};
pub use auth::{LOCAL_TOKEN, Tokens};
pub use client::{Client, ClientError};
pub use config::{Config, Reading};
pub use door::{Door, problems};
pub use link::link;
pub use live::{Tail, TailWiring, Trend};
pub use serve::serve;
pub use session::Sessions;

/// The rows of this room.
pub static METRICS: &[&crate::telemetry::Metric] = oidc::METRICS;
