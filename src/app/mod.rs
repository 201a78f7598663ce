//! Composition root: builds the rooms, wires channels, start and stop order. Owns nothing once everything runs but the
//! handles to stop it. Never handed to another room.

mod announce;
mod ask;
mod before;
mod egress;
mod newest;
mod numbers;
mod start;
mod words;

pub use numbers::metrics;
pub use start::{Running, boot, pipeline, start, state_directory};
