//! law → decision; pure.
mod rule;
pub use rule::{Action, ActionKind, LocalRecord, Reach, Rule};
