//! Owns how a reload ended, and the state of the control plane, as values for the CLI, the API and the log.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::approval::Waiting;
use super::audit::Head;
use super::inputs::SourceReport;
use crate::policy::Difference;
use crate::problem::Problem;
use crate::sources::{Bundle, Condition, SignedBy};

/// Who asked for a change, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The name of a token, or `signal`; `file`, `date`, `timer` or `start` for what asks by itself.
    pub who: String,
    /// The reason given; empty when none was.
    pub why: String,
}

/// How a reload ended.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// Another generation is held in force; this one was compiled and is not published.
    Held {
        /// The generation in force.
        generation: u64,
        /// What holds it.
        hold: Hold,
        /// What would have changed.
        difference: Difference,
    },
    /// A new generation is in force, or an earlier one once more.
    Published {
        /// Its number.
        generation: u64,
        /// Its digest.
        digest: String,
        /// What it changed.
        difference: Difference,
        /// What a person should look at.
        warnings: Vec<Problem>,
    },
    /// The generation in force keeps deciding.
    Rejected {
        /// The step that failed.
        stage: Stage,
        /// All complaints.
        problems: Vec<Problem>,
    },
    /// Nothing that decides a query differs, now or at a later date.
    Unchanged {
        /// The generation in force.
        generation: u64,
        /// What a person should look at.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<Problem>,
    },
    /// It waits for people's approval.
    Waiting(Box<Waiting>),
}

/// What a reload would change.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Preview {
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
    /// Sources of which last good content would be used, and why.
    pub warnings: Vec<Problem>,
}

/// A step of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reading an approval.
    Approve,
    /// Turning a draft into decisions.
    Compile,
    /// Reading inputs.
    Fetch,
    /// Refusing what nobody can have meant.
    Guard,
    /// Making sense of inputs.
    Parse,
    /// Finding stored inputs.
    Store,
}

/// What a reload is about to do; told to whoever watches. In the order of a new law; a date or a rollback is published first
/// and written down then, as its law was written down before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read inputs.
    Fetch,
    /// Make sense of them.
    Parse,
    /// Turn them into decisions.
    Compile,
    /// Refuse what nobody can have meant.
    Guard,
    /// Keep inputs and manifest on disk.
    Stage,
    /// Write the audit log.
    Record,
    /// Put in force.
    Publish,
    /// Mark as the generation to start on.
    MarkGood,
    /// Drop what need no longer be kept.
    Forget,
}

/// What keeps a generation in force against reloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What it holds against.
    pub kind: HoldKind,
    /// The generation in force.
    pub generation: u64,
    /// Who said so.
    pub who: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// What a hold holds against. Dates of law pass through either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldKind {
    /// Every reload, until somebody takes the pin out.
    Pin,
    /// Reloads that nobody asked for, until somebody asks for one.
    Rollback,
}

/// A change that a hold keeps from coming into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldBack {
    /// Digest of its law.
    pub law: String,
    /// When it was first read.
    pub since: Timestamp,
    /// Rules that would come.
    pub added: usize,
    /// Rules that would go.
    pub removed: usize,
}

/// An exception that has not ended, and until when it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExceptionStatus {
    /// Its id.
    pub id: String,
    /// The group it is for; `None` for all.
    pub group: Option<String>,
    /// Its end.
    pub until: Timestamp,
    /// False before its `from`.
    pub in_force: bool,
    /// Whether it ends within a week: time to renew it, or to say that it will not be.
    pub ends_soon: bool,
    /// Whether it was made in an emergency.
    pub break_glass: bool,
    /// Who granted it.
    pub approved_by: String,
    /// Why.
    pub reason: String,
}

/// The bundle that the rules in force come from.
#[derive(Clone, Debug, Serialize)]
pub struct BundleStatus {
    /// The operator's file.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Size.
    pub bytes: usize,
    /// Who signed it, where a key is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedBy>,
}

/// The state of the control plane.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Generation in force.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// Digest of the law it was made of, whatever the date.
    pub law: String,
    /// The moment it was compiled for.
    pub compiled_on: Timestamp,
    /// When it came into force.
    pub published_at: Timestamp,
    /// Who put it in force.
    pub who: String,
    /// Why.
    pub why: String,
    /// When an instrument or exception next starts or ends.
    pub next_transition: Option<Timestamp>,
    /// Rules.
    pub rules: usize,
    /// Listed names.
    pub names: usize,
    /// Bytes of names, rules and index.
    pub memory_bytes: usize,
    /// Groups.
    pub groups: Vec<String>,
    /// Sources, as last read.
    pub sources: Vec<SourceReport>,
    /// The bundle they come from, if they do.
    pub bundle: Option<BundleStatus>,
    /// Exceptions that have not ended, the first to end first.
    pub exceptions: Vec<ExceptionStatus>,
    /// True after a rollback, until an operator reloads, and while pinned.
    pub pinned: bool,
    /// What holds it in force.
    pub hold: Option<Hold>,
    /// What is held back.
    pub held_back: Option<HeldBack>,
    /// What waits for approvals.
    pub waiting: Option<Waiting>,
    /// Earlier generations that a rollback puts in force at once.
    pub ready: Vec<u64>,
    /// The end of the audit log; note it elsewhere to find out later whether the log was cut off.
    pub audit: Head,
    /// How the last reload ended, and when.
    pub last_outcome: Option<Outcome>,
    /// When the last reload ended.
    pub last_outcome_at: Timestamp,
    /// What does not work as it should.
    pub degraded: Vec<String>,
}

/// The reports of a generation's sources with how their fetches go now.
pub(super) fn with_conditions(
    reports: &[SourceReport],
    conditions: &BTreeMap<String, Condition>,
) -> Vec<SourceReport> {
    let with = |report: &SourceReport| {
        let condition = conditions.get(&report.name).cloned();
        let stale = condition.as_ref().is_some_and(|now| now.failing.is_some() && now.changed_at.is_some());
        SourceReport { last_good: report.last_good || stale, condition, ..report.clone() }
    };
    reports.iter().map(with).collect()
}

impl BundleStatus {
    pub(super) fn of(bundle: &Bundle) -> Self {
        let (file, sha256) = (bundle.name.clone(), bundle.digest.to_string());
        Self { file, sha256, bytes: bundle.image.len(), signed: bundle.signed() }
    }
}

impl By {
    /// Somebody or something without a reason.
    pub fn new(who: &str) -> Self {
        Self { who: who.to_owned(), why: String::new() }
    }

    /// True when nobody asked: a file, a date or a start did.
    pub fn is_automatic(&self) -> bool {
        matches!(self.who.as_str(), "date" | "file" | "start" | "timer")
    }
}

impl Outcome {
    /// The word in labels and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Published { .. } => "published",
            Self::Rejected { .. } => "rejected",
            Self::Unchanged { .. } => "unchanged",
            Self::Waiting(_) => "waiting",
        }
    }
}

impl HoldKind {
    /// The word in status and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Rollback => "rollback",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { generation, hold, difference } => write!(
                f,
                "held back: generation {generation} stays in force by the {} of {}; {} rules would be added, {} removed",
                hold.kind.as_str(),
                hold.who,
                difference.added_count(),
                difference.removed_count()
            ),
            Self::Published { generation, difference, warnings, digest } => {
                let short = digest.get(..12).unwrap_or(digest);
                write!(
                    f,
                    "published generation {generation} ({short}): {} rules, {} added, {} removed",
                    difference.rules_after,
                    difference.added_count(),
                    difference.removed_count()
                )?;
                warnings.iter().try_for_each(|warning| write!(f, "\n{warning}"))
            }
            Self::Rejected { stage, problems } => {
                write!(f, "rejected while it would {stage:?}; the generation in force keeps deciding")?;
                problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
            }
            Self::Unchanged { generation, warnings } => {
                write!(f, "unchanged: generation {generation} stays in force")?;
                warnings.iter().try_for_each(|warning| write!(f, "\n{warning}"))
            }
            Self::Waiting(waiting) => write!(
                f,
                "waiting for approvals ({} of {}) until {}: candidate {}",
                waiting.approved_by.len(),
                waiting.needed,
                waiting.until,
                waiting.law
            ),
        }
    }
}
