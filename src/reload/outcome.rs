//! Owns how a reload ended, and the state of the control plane, as values for the CLI, the API and the log.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::inputs::SourceReport;
use crate::policy::Difference;
use crate::problem::Problem;
use crate::sources::Condition;

/// How a reload ended.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// A new generation is in force.
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
    /// Nothing that decides a query differs.
    Unchanged {
        /// The generation in force.
        generation: u64,
        /// What a person should look at.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<Problem>,
    },
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

/// The state of the control plane.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Generation in force.
    pub generation: u64,
    /// Its digest.
    pub digest: String,
    /// The moment it was compiled for.
    pub compiled_on: Timestamp,
    /// When it came into force here.
    pub published_at: Timestamp,
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
    /// True after a rollback, until an operator reloads.
    pub pinned: bool,
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

impl Outcome {
    /// The word in labels and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Published { .. } => "published",
            Self::Rejected { .. } => "rejected",
            Self::Unchanged { .. } => "unchanged",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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
        }
    }
}
