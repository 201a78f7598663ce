//! Owns a key: its name, its algorithm and its secret. The only door of `base64`. Never shows the secret.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::mac::Mac;
use crate::dns::Name;

/// A secret that both ends share, under a name that both know. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    name: Name,
    algorithm: Algorithm,
    secret: Box<[u8]>,
}

/// How a MAC is made (RFC 8945 section 6). SHA-1 and MD5 are left out: whoever still has them can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// The one that everybody must have.
    HmacSha256,
    /// With a longer digest.
    HmacSha384,
    /// With the longest digest.
    HmacSha512,
}

impl Key {
    /// A key. `secret` is the secret's bytes, not their base64.
    pub fn new(name: Name, algorithm: Algorithm, secret: &[u8]) -> Self {
        Self(Arc::new(Parts { name, algorithm, secret: secret.into() }))
    }

    /// The same from a secret in base64, as `tsig-keygen` and `keymgr` write it. Fails with what is wrong.
    pub fn from_base64(name: Name, algorithm: Algorithm, secret: &str) -> Result<Self, &'static str> {
        let secret = BASE64_STANDARD.decode(secret.trim()).map_err(|_| "not base64")?;
        if secret.is_empty() { Err("empty") } else { Ok(Self::new(name, algorithm, &secret)) }
    }

    /// What both ends call it.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// How its MACs are made.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// A MAC of nothing yet.
    pub(super) fn mac(&self) -> Mac {
        Mac::new(self.0.algorithm, &self.0.secret)
    }
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// Its name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    /// Its name in the record, in wire form.
    pub(super) fn as_wire(self) -> &'static [u8] {
        match self {
            Self::HmacSha256 => b"\x0bhmac-sha256\0",
            Self::HmacSha384 => b"\x0bhmac-sha384\0",
            Self::HmacSha512 => b"\x0bhmac-sha512\0",
        }
    }

    /// Length of its MAC in bytes.
    pub(super) fn length(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }
}

impl FromStr for Algorithm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
        found.ok_or("not an algorithm that is supported")
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.name, self.0.algorithm)
    }
}
