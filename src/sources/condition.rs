//! Owns how the state of a collected source is shown to people and programs. Never changes it.

use jiff::Timestamp;
use serde::Serialize;

/// The state of a collected source.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    /// Its path or address, without the query.
    pub from: String,
    /// When its content was last known to be what is published.
    pub confirmed_at: Option<Timestamp>,
    /// When its content came first.
    pub changed_at: Option<Timestamp>,
    /// When it is fetched next; absent when only an operator's reload does.
    pub next_fetch: Option<Timestamp>,
    /// The signature of its content.
    pub signed: Option<SignedBy>,
    /// Why and since when nothing newer is used.
    pub failing: Option<Failing>,
    /// When a zone's content expires unless its primary confirms it before; it stays in force, loudly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why its content is in memory only.
    pub unkept: Option<String>,
}

/// A verified signature.
#[derive(Clone, Debug, Serialize)]
pub struct SignedBy {
    /// The public key.
    pub key: String,
    /// The trusted comment.
    pub comment: String,
    /// When it was signed, where the comment says so.
    pub at: Option<String>,
}

/// Failures in a row.
#[derive(Clone, Debug, Serialize)]
pub struct Failing {
    /// When the first was.
    pub since: Timestamp,
    /// How many there were.
    pub times: u32,
    /// One word.
    pub reason: &'static str,
    /// What is wrong with the last.
    pub what: String,
    /// What to do about it.
    pub hint: String,
    /// Since when, and what is used instead, in words.
    pub standing: String,
}

impl Condition {
    /// What does not work as it should with the source `name`, one line each.
    pub fn complaints(&self, name: &str) -> Vec<String> {
        let failing = self.failing.as_ref();
        let failing = failing.map(|failing| {
            format!("source `{name}` ({}): {}; {}", failing.reason, failing.what, failing.standing)
        });
        let unkept =
            self.unkept.as_ref().map(|why| format!("source `{name}`: its content could not be kept: {why}"));
        failing.into_iter().chain(unkept).collect()
    }
}
