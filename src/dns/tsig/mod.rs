//! Transaction signatures (RFC 8945): messages signed and verified with a secret that both ends share. Bytes and the time in,
//! bytes out. Owns the record, what its MAC covers, and the order of the checks. Never reads a clock, a socket or a file.

mod key;
mod mac;
mod record;
mod request;
mod response;

pub use key::{Algorithm, Key};
pub use record::Fault;
pub use request::{Rejected, Verified, verify_request};
pub use response::{Signer, Verifier, sign_request};

/// Seconds by which the clocks of both ends may differ (RFC 8945 section 10).
pub const FUDGE: u16 = 300;

#[cfg(test)]
mod tests;
