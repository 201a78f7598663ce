//! Owns the two-person rule: how many keys must have signed a change, which ones have, and until when a change waits for
//! them. Never publishes, and never asks anybody's consent for a date that was law already.
//!
//! What is signed is one line of text, [`text`], that names the digest of the law as written: the whole policy with all its
//! dates, and the guard. So a signature is good for these inputs and no others, on every host that reads the same ones.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::guard;
use crate::policy::{Amendment, Difference};
use crate::problem::{Place, Problem};
use crate::sources::{Key, SignatureError, verify_minisign};

/// Settings of the two-person rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Keys that must have signed a change before it counts. Default 0: a rule that nobody has keys for would lock an
    /// operator out of his own resolver.
    pub approvals: usize,
    /// Whose signatures count.
    pub approvers: Vec<Approver>,
    /// How long a change waits, and how long a signature is good. Default 24 hours: over night, and not over a holiday.
    pub expiry: Duration,
    /// The longest that a break-glass exception may live. Default 24 hours: by then the others can be asked.
    pub break_glass_longest: Duration,
}

/// Somebody whose signature counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The public key.
    pub key: Key,
    /// What people call its owner; how the key begins, when the configuration does not say.
    pub name: String,
}

/// A signature that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The law it is for.
    pub law: String,
    /// The signer's public key.
    pub key: String,
    /// The signer's name in the configuration.
    pub name: String,
    /// When it was made.
    pub signed_at: Timestamp,
    /// As minisign wrote it.
    pub signature: String,
}

/// A change that waits for approvals.
#[derive(Clone, Debug, Serialize)]
pub struct Waiting {
    /// What is to be signed: the digest of the law.
    pub law: String,
    /// Approvals it needs.
    pub needed: usize,
    /// Names of those who gave one.
    pub approved_by: Vec<String>,
    /// Since when.
    pub since: Timestamp,
    /// When it lapses.
    pub until: Timestamp,
    /// Whether it is an emergency, for which one approval is enough.
    pub break_glass: bool,
    /// Who asked for it.
    pub who: String,
    /// Why.
    pub why: String,
    /// What it would change.
    pub difference: Difference,
}

/// A signature's clock may be ahead of ours by so much.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

impl Default for Config {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { approvals: 0, approvers: Vec::new(), expiry: DAY, break_glass_longest: DAY }
    }
}

impl Config {
    /// Approvals that a step from one law to another needs.
    pub(super) fn needed(&self, amendment: Amendment) -> usize {
        match amendment {
            // Taking an emergency back makes the rule stricter; nobody need wait for that.
            Amendment::None | Amendment::Lapse => 0,
            Amendment::BreakGlass => self.approvals.min(1),
            Amendment::Ordinary => self.approvals,
        }
    }

    /// Reads a signature of a law; the complaint says whose it is not, or why it does not count.
    pub(super) fn read(&self, law: &str, signature: &str, now: Timestamp) -> Result<Approval, Problem> {
        let complain = |what: String, hint: &str| Problem::error(Place::file("signature"), what, hint);
        if self.approvers.is_empty() {
            return Err(complain("nobody may approve".to_owned(), "set `approvers` under [guard]"));
        }
        let mut reason = SignatureError::Key;
        for approver in &self.approvers {
            match verify_minisign(&approver.key, text(law).as_bytes(), signature) {
                Ok(None) => {
                    return Err(complain(
                        "the signature does not say when it was made".to_owned(),
                        "sign without -t: minisign then writes the time into the trusted comment",
                    ));
                }
                Ok(Some(second)) => {
                    let signed_at = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
                    let approval = Approval {
                        law: law.to_owned(),
                        key: approver.key.to_string(),
                        name: approver.name.clone(),
                        signed_at,
                        signature: signature.to_owned(),
                    };
                    if self.is_fresh(&approval, now) {
                        return Ok(approval);
                    }
                    let what = format!("the signature of {} is of {signed_at}", approver.name);
                    return Err(complain(what, "sign again; is a clock wrong?"));
                }
                Err(SignatureError::Key) => {}
                Err(other) => reason = other,
            }
        }
        let hint = "sign exactly what `interdict approve` shows, with a key that [guard] approvers names";
        Err(complain(format!("no approver's signature of this candidate: {reason}"), hint))
    }

    /// Of `all` signatures those that count for a law now, one for each key.
    pub(super) fn counting(&self, all: &[Approval], law: &str, now: Timestamp) -> Vec<Approval> {
        let mut counting: Vec<Approval> = Vec::new();
        for approval in all.iter().filter(|approval| approval.law == law) {
            // What lies on disk is believed no more than what came over the network.
            let Ok(read) = self.read(law, &approval.signature, now) else { continue };
            if !counting.iter().any(|known| known.key == read.key) {
                counting.push(read);
            }
        }
        counting
    }

    fn is_fresh(&self, approval: &Approval, now: Timestamp) -> bool {
        let age = now.duration_since(approval.signed_at);
        age >= -AHEAD && age.unsigned_abs() <= self.expiry.max(AHEAD.unsigned_abs())
    }
}

/// What an approver signs.
pub fn text(law: &str) -> String {
    format!("interdict approve {law}\n")
}

/// What belongs to a law besides the policy: who must agree, and what must not happen.
pub(super) fn terms(guard: &guard::Config, approval: &Config) -> String {
    format!("{guard:?} {approval:?}")
}

/// Break-glass exceptions that came and would live longer than they may.
pub(super) fn too_long(
    config: &Config,
    before: Option<&crate::policy::Config>,
    after: &crate::policy::Config,
    now: Timestamp,
) -> Vec<Problem> {
    let longest = SignedDuration::try_from(config.break_glass_longest).unwrap_or(SignedDuration::MAX);
    let is_known = |id: &str, until: Timestamp| {
        before.is_some_and(|before| {
            before
                .exceptions
                .iter()
                .any(|old| old.break_glass && old.id == id && old.until.in_zone(&before.time_zone) >= until)
        })
    };
    let mut problems = Vec::new();
    for exception in after.exceptions.iter().filter(|exception| exception.break_glass) {
        let until = exception.until.in_zone(&after.time_zone);
        if until.duration_since(now) > longest && !is_known(&exception.id, until) {
            problems.push(Problem::error(
                exception.place.clone(),
                format!(
                    "the break-glass exception `{}` would live until {until}, longer than {}",
                    exception.id,
                    hours(config.break_glass_longest)
                ),
                "shorten it; what must last longer takes the usual approvals, without `break_glass`",
            ));
        }
    }
    problems
}

fn hours(span: Duration) -> impl fmt::Display {
    let minutes = span.as_secs() / 60;
    if minutes.is_multiple_of(60) { format!("{} h", minutes / 60) } else { format!("{minutes} min") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emergency_needs_one_and_its_end_none() {
        let two = Config { approvals: 2, ..Config::default() };
        let needed = |amendment| two.needed(amendment);
        assert_eq!(
            [Amendment::Ordinary, Amendment::BreakGlass, Amendment::Lapse, Amendment::None].map(needed),
            [2, 1, 0, 0]
        );
        assert_eq!(Config::default().needed(Amendment::BreakGlass), 0, "without the rule nothing waits");
    }

    #[test]
    fn a_signature_ages() {
        let config = Config::default();
        let approval = |second| Approval {
            law: String::new(),
            key: String::new(),
            name: String::new(),
            signed_at: Timestamp::from_second(second).unwrap(),
            signature: String::new(),
        };
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (second, fresh) in
            [(1_000_000, true), (1_000_200, true), (1_001_000, false), (913_601, true), (913_500, false)]
        {
            assert_eq!(config.is_fresh(&approval(second), now), fresh, "{second}");
        }
    }
}
