//! DNSSEC (RFC 4033 to 4035, 5155): whether an answer is what its zone signed, and why not. Owns the judgement and the trust that
//! it starts from; asks by whatever way it is given. Signatures and proofs are checked by Hickory.

mod anchors;
mod asked;
mod denial;
mod diagnosis;
mod exempt;
mod judgement;
mod rendered;
mod validator;

pub(super) use anchors::Anchors;
pub use exempt::Exempt;
pub(super) use judgement::{Judgement, destination, judge};
pub(super) use rendered::{blank, render};
pub(super) use validator::{ITERATIONS, Validator};
