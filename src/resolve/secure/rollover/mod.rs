//! The root's keys followed when they change (RFC 5011): which are trusted, since when, and which are on their way in or out. Kept in a
//! file between runs. Never asks; whoever does hands over what came.

mod file;
mod key;
mod seen;
mod states;
mod watch;

pub use file::rewritten;
pub use states::{Shown, State};
pub(in crate::resolve) use watch::Rollover;
