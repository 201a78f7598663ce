//! Owns the keyed digest itself. The only door of `aws-lc-rs` besides TLS's. Never compares two MACs faster where they
//! differ sooner.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::key::Algorithm;

/// A MAC being made.
#[derive(Clone)]
pub(super) struct Mac(hmac::Context);

impl Mac {
    pub(super) fn new(algorithm: Algorithm, secret: &[u8]) -> Self {
        let algorithm = match algorithm {
            Algorithm::HmacSha256 => hmac::HMAC_SHA256,
            Algorithm::HmacSha384 => hmac::HMAC_SHA384,
            Algorithm::HmacSha512 => hmac::HMAC_SHA512,
        };
        Self(hmac::Context::with_key(&hmac::Key::new(algorithm, secret)))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// A MAC before this one, with its length in front (RFC 8945 section 4.3.1).
    pub(super) fn update_prior(&mut self, mac: &[u8]) {
        self.update(&(mac.len() as u16).to_be_bytes());
        self.update(mac);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.sign().as_ref().to_vec()
    }

    pub(super) fn is(self, mac: &[u8]) -> bool {
        verify_slices_are_equal(self.0.sign().as_ref(), mac).is_ok()
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mac")
    }
}
