//! DNSSEC (RFC 4033 to 4035, 5155): whether an answer is what its zone signed, and why not. Owns the judgement and the trust that
//! it starts from; asks by whatever way it is given. Signatures and proofs are checked by Hickory.

mod anchors;
mod asked;
mod bounded;
mod denial;
mod diagnosis;
mod exempt;
mod judgement;
mod proofs;
mod rendered;
mod rollover;
mod servers;
mod validator;

pub(super) use anchors::Anchors;
pub(super) use asked::with_notes;
pub(super) use diagnosis::{doubted, of_keys};
pub use exempt::Exempt;
pub(super) use judgement::{Judgement, destination, is_answered, is_in_the_open, judge};
pub(super) use proofs::{Counts as ProofCounts, Proofs};
pub(super) use rendered::{blank, render};
pub(super) use rollover::Rollover;
pub use rollover::{Shown as TrustAnchor, State as TrustState, rewritten};
pub(super) use servers::Servers;
pub(super) use validator::{ITERATIONS, Validator};
