//! Owns minisign signatures, of lists and of approvals: whose they must be, and what they say besides. The only door of
//! `minisign-verify`. Never trusts a comment that is not signed.

use std::fmt;
use std::str::FromStr;

use minisign_verify::{Error, PublicKey, Signature};

use super::refusal::{Reason, Refusal};

/// A minisign public key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    key: PublicKey,
    text: String,
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not in minisign's form.
    #[error("not a minisign signature")]
    Form,
    /// Made with another key.
    #[error("made with another key")]
    Key,
    /// Made by the key, of something else.
    #[error("not a signature of this text")]
    Text,
}

/// What a valid signature says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    /// Its trusted comment, without control characters.
    pub(super) comment: String,
    /// When it was made, in seconds since 1970, where the comment says so.
    pub(super) signed_at: Option<i64>,
}

/// Cap for a signature: four lines, one of them a comment.
pub(super) const SIGNATURE_FILE: u64 = 16 << 10;
/// Most of a trusted comment that is shown.
const SHOWN: usize = 300;

/// Verifies that `signature`, as minisign writes it, is the key's signature of `bytes`. Returns when it was made, in seconds
/// since 1970, where its trusted comment says so; fails with what is wrong.
pub fn verify_minisign(key: &Key, bytes: &[u8], signature: &str) -> Result<Option<i64>, SignatureError> {
    key.read(bytes, signature).map(|seal| seal.signed_at)
}

impl Key {
    /// Verifies that `signature` is this key's signature of a list's `bytes`, in either of minisign's two forms.
    pub(super) fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<Seal, Refusal> {
        let text = std::str::from_utf8(signature).map_err(|_| SignatureError::Form);
        text.and_then(|text| self.read(bytes, text)).map_err(|error| match error {
            SignatureError::Form => Refusal::new(
                Reason::SignatureMissing,
                "what lies where the signature should is not one",
                "sign the list with: minisign -Sm FILE; or set `signature` to where it is",
            ),
            SignatureError::Key => Refusal::new(
                Reason::SignatureKey,
                "it is signed by another key than the configured one",
                "if its publisher has a new key, get that key from the publisher and put it in `key`",
            ),
            SignatureError::Text => Refusal::new(
                Reason::SignatureWrong,
                "the signature is not of these bytes",
                "list and signature may be of different days; if it lasts, ask the publisher",
            ),
        })
    }

    fn read(&self, bytes: &[u8], signature: &str) -> Result<Seal, SignatureError> {
        let signature = Signature::decode(signature).map_err(|_| SignatureError::Form)?;
        self.key.verify(bytes, &signature, true).map_err(|error| match error {
            Error::UnexpectedKeyId => SignatureError::Key,
            _ => SignatureError::Text,
        })?;
        let comment = signature.trusted_comment();
        let signed_at =
            comment.split_whitespace().find_map(|word| word.strip_prefix("timestamp:")?.parse().ok());
        let shown = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
        Ok(Seal { comment: shown, signed_at })
    }
}

/// The line that begins with `RWQ`, or the whole file that minisign writes.
impl FromStr for Key {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("").trim();
        let key = PublicKey::from_base64(line).map_err(|_| "not a minisign public key")?;
        Ok(Self { key, text: line.to_owned() })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of minisign-verify's own documentation: signed by minisign, of the four bytes `test`.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNED: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==
";

    #[test]
    fn a_signature_counts_only_for_its_bytes_its_comment_and_its_key() {
        let key: Key = KEY.parse().unwrap();
        let seal = key.verify(b"test", SIGNED.as_bytes()).unwrap();
        assert_eq!(seal.signed_at, Some(1_633_700_835));
        assert_eq!(seal.comment, "timestamp:1633700835 file:test prehashed");
        let reason =
            |bytes: &[u8], signature: &str| key.verify(bytes, signature.as_bytes()).unwrap_err().reason;
        assert_eq!(reason(b"Test", SIGNED), Reason::SignatureWrong);
        assert_eq!(reason(b"test", &SIGNED.replace("1633700835", "1733700835")), Reason::SignatureWrong);
        assert_eq!(reason(b"test", "404 not found"), Reason::SignatureMissing);
        let other: Key = KEY.replacen("RWQf6", "RWQg6", 1).parse().unwrap();
        assert_eq!(other.verify(b"test", SIGNED.as_bytes()).unwrap_err().reason, Reason::SignatureKey);
        assert_eq!(verify_minisign(&key, b"test", SIGNED), Ok(Some(1_633_700_835)));
        assert_eq!(verify_minisign(&other, b"test", SIGNED), Err(SignatureError::Key));
    }

    #[test]
    fn a_key_is_one_line_or_the_file_that_minisign_writes() {
        let file = format!("untrusted comment: minisign public key E7620F1842B4E81F\n{KEY}\n");
        assert_eq!(file.parse::<Key>(), KEY.parse::<Key>());
        assert_eq!(file.parse::<Key>().unwrap().to_string(), KEY);
        for wrong in ["", "RWQ", "ssh-ed25519 AAAA", KEY.trim_end_matches("GFO3")] {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }
}
