//! Proofs that are kept to answer for other names than those they came for (RFC 8198): what signed NSEC and NSEC3 records of secure
//! answers say of the gaps between names, and what wildcards have. Bounded in bytes. Never keeps what was not proved.

mod chain;
mod kept;
mod store;
mod zone;

pub(in crate::resolve) use store::{Counts, Proofs};
