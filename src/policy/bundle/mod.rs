//! A compiled policy as one file: the rulebook, that is every rule, the catalog and what is known of the lists. Groups,
//! exceptions and dates are each host's own, and decided there. Owns its form, its writing and the checks by which bytes
//! become a rulebook. Never reads a file.
//!
//! The two large parts of the table are used where they lie; everything else is read into memory. A bundle may come from
//! anywhere: whatever its bytes are, none makes a search panic, read elsewhere or run on.

mod book;
mod flaw;
mod frame;
mod words;

pub use book::{Bundle, Provenance, seal_bundle};
