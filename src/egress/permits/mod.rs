//! What a client may reach because it was answered so (`egress = "resolved-only"`): pairs of a client and an address, with the time for which
//! they hold. Owns the pairs, in memory and in the kernel, and the replies that wait until the kernel has theirs; never decides who is held to
//! them.
//!
//! `permits` is asked by the query path what a reply leads to that its client may not reach yet → such a reply waits in `queue` → `writer`, one
//! thread, tells the kernel of all that waits in one transaction (`message`, `socket`) → `pairs` remembers → the replies go out, in order.
//! `table` makes the kernel's table around the pairs, and leaves them alone when a generation changes.

mod counts;
mod dump;
mod message;
mod pairs;
#[expect(clippy::module_inception, reason = "the room's own subject")]
mod permits;
mod queue;
mod socket;
mod table;
mod writer;

pub use counts::PermitStatus;
pub(super) use counts::{
    FAILURES, HELD, MOST, OPEN, PAIRS, PERMITS, RESTORED, SECONDS, TRANSACTIONS, collect,
};
pub use permits::{Lacking, Permits, Standing};
pub use queue::{Held, Release};
pub(super) use table::Table;
pub(super) use writer::Writer;
