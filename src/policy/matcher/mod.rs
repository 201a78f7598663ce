//! Owns the search for listed names among a question's name and its ancestors: one keyed hash a label from right to
//! left, one look at a group of tags a suffix, and an exact comparison before anything is believed. Never knows what a rule
//! means.

mod code;
mod hash;
mod image;
mod rules;
mod stored;
mod table;

pub(super) use hash::HashKey;
pub use image::Image;
pub(super) use rules::{Listed, Rules};
pub(super) use stored::{Damage, StoredTable};
pub(super) use table::{Entry, NameTable};
