//! interdict

pub mod admin;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dns;
pub mod document;
pub mod formats;
pub mod listen;
pub mod net;
pub mod policy;
pub mod problem;
pub mod query;
pub mod reload;
pub mod resolve;
pub mod sources;
pub mod telemetry;
