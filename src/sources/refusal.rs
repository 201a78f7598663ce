//! Owns the reasons for which bytes of a source are not taken: one word each for labels, one sentence for people. Never
//! decides what follows from one.

use std::time::Duration;

use super::Config;
use crate::problem::{Place, Problem};

/// Why new bytes of a source are not taken. Also the last label of the metric that counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The server does not prove who it is.
    Certificate,
    /// No connection.
    Connect,
    /// The bytes do not unpack.
    Damaged,
    /// No bytes.
    Empty,
    /// More rules than a list may gain at once.
    Growth,
    /// No generation that may be published can be made with it.
    Guard,
    /// A web page.
    Html,
    /// A file cannot be read.
    Io,
    /// Lines that are none of its syntax.
    Malformed,
    /// Not one rule.
    NoRules,
    /// The proxy refused.
    Proxy,
    /// Led elsewhere, too often or out of encryption.
    Redirect,
    /// Signed before what is in use, or of an older serial.
    Replayed,
    /// More rules lost than a list may lose at once.
    Shrink,
    /// Signed by another key, or with one that the other end does not know.
    SignatureKey,
    /// Not signed.
    SignatureMissing,
    /// The signature is of other bytes, or of another time.
    SignatureWrong,
    /// The server answered with another status than 200, the primary with a response code.
    Status,
    /// Not there in time.
    Timeout,
    /// Over its size cap.
    TooLarge,
    /// Cut off.
    Truncated,
}

/// Why new bytes of a source are not taken, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind.
    pub reason: Reason,
    /// What is wrong, in one line.
    pub what: String,
    /// What to do about it; may be empty.
    pub hint: String,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 21] = [
        Self::Certificate,
        Self::Connect,
        Self::Damaged,
        Self::Empty,
        Self::Growth,
        Self::Guard,
        Self::Html,
        Self::Io,
        Self::Malformed,
        Self::NoRules,
        Self::Proxy,
        Self::Redirect,
        Self::Replayed,
        Self::Shrink,
        Self::SignatureKey,
        Self::SignatureMissing,
        Self::SignatureWrong,
        Self::Status,
        Self::Timeout,
        Self::TooLarge,
        Self::Truncated,
    ];

    /// The word in labels, logs and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Connect => "connect",
            Self::Damaged => "damaged",
            Self::Empty => "empty",
            Self::Growth => "growth",
            Self::Guard => "guard",
            Self::Html => "html",
            Self::Io => "io",
            Self::Malformed => "malformed",
            Self::NoRules => "no_rules",
            Self::Proxy => "proxy",
            Self::Redirect => "redirect",
            Self::Replayed => "replayed",
            Self::Shrink => "shrink",
            Self::SignatureKey => "signature_key",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureWrong => "signature_wrong",
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
        }
    }
}

impl Refusal {
    /// A refusal of that kind.
    pub fn new(reason: Reason, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason, what: what.into(), hint: hint.into(), retry_after: None }
    }

    /// The complaint about `source` that refuses it.
    pub fn problem(&self, source: &Config) -> Problem {
        let what = format!("source `{}` ({}): {}", source.name, self.reason.as_str(), self.what);
        Problem::error(Place::file(source.title()), what, self.hint.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_word_and_its_place_in_the_list() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
        let mut words = Reason::ALL.map(Reason::as_str).to_vec();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
