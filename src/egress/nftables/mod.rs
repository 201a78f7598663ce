//! The kernel's side: what the table `inet interdict` is made of, as a script; what the kernel says is in it; and the program that carries both.
//! Owns one table and never touches another.

mod listing;
mod names;
mod program;
mod script;
#[cfg(test)]
mod tests;

pub use listing::{Listing, read_listing};
pub(super) use names::{Counted, counters};
pub(super) use program::{Failure, Nft};
pub(super) use script::{Elements, all_learned, changes, learned, remove, spared, whole};
