//! The kernel's side: what the tables `inet interdict` and `inet interdict-resolved` are made of, as a script; what the kernel says is in them; and
//! the program that carries both. Owns these two and never touches another.

mod listing;
mod names;
mod pairs;
mod program;
mod resolved;
mod script;
#[cfg(test)]
mod tests;

pub use listing::{Listing, read_listing};
pub(super) use names::{Counted, counters};
pub use pairs::read_pairs;
pub(super) use program::{Failure, Nft};
pub(super) use resolved::{
    Kept, RESOLVED, RESOLVED_NAME, anew, around, is_looked_at, pair_set, remove_resolved, unresolved_counters,
};
pub(super) use script::{Elements, TABLE, all_learned, changes, learned, remove, spared, whole};
