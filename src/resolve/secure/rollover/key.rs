//! Owns what a key of the root is known by: its algorithm and its bytes, which stay the same when it is revoked.

use std::str::FromStr;

use hickory_resolver::proto::dnssec::rdata::DNSKEY;
use hickory_resolver::proto::dnssec::{PublicKey as _, PublicKeyBuf, TrustAnchors};

/// A key that signs the root's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(PublicKeyBuf);

/// Flags of such a key: of a zone, and a secure entry point (RFC 4034 section 2.1.1).
const FLAGS: u16 = 257;

impl Key {
    pub(super) fn of(record: &DNSKEY) -> Self {
        Self(record.public_key().clone())
    }

    /// The root's among anchors.
    pub(super) fn all(anchors: &TrustAnchors) -> Vec<Self> {
        (0..anchors.len()).filter_map(|at| anchors.get(at)).map(|key| Self(key.clone())).collect()
    }

    /// The number that it is called by (RFC 4034 appendix B), while it is not revoked.
    pub(super) fn tag(&self) -> u16 {
        self.record().calculate_key_tag().unwrap_or(0)
    }

    pub(super) fn algorithm(&self) -> u8 {
        self.0.algorithm().into()
    }

    pub(super) fn trust(&self, anchors: &mut TrustAnchors) {
        anchors.insert(&self.0);
    }

    fn record(&self) -> DNSKEY {
        DNSKEY::with_flags(FLAGS, self.0.clone())
    }

    /// As a line of a file of trust anchors.
    pub(super) fn line(&self) -> String {
        format!(". 172800 IN DNSKEY {}", self.record())
    }

    /// The key in such a line.
    pub(super) fn read(line: &str) -> Option<Self> {
        let anchors = TrustAnchors::from_str(&format!("{}\n", line.trim())).ok()?;
        match Self::all(&anchors).as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }
}
