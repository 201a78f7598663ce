//! Owns how the kept generations are shown: one row for each time one came into force, the newest first. Never reads a file.

use jiff::Timestamp;
use serde::Serialize;

use super::manifest::{Input, Manifest, Spell};
use super::outcome::Hold;
use crate::policy::Difference;

/// One time a generation came into force.
#[derive(Clone, Debug, Serialize)]
pub struct Generation {
    /// Its number. A number always means the same decisions; a generation that came into force again has two rows.
    pub generation: u64,
    /// SHA-256 of what it decides.
    pub digest: String,
    /// Digest of the law it was made of, whatever the date.
    pub law: String,
    /// When it came into force.
    pub from: Timestamp,
    /// When another did; `None` while it is in force, and where that is no longer known.
    pub until: Option<Timestamp>,
    /// Whether it is in force now.
    pub in_force: bool,
    /// Whether it is pinned, or held by a rollback.
    pub held: bool,
    /// Whether a rollback would put it in force at once.
    pub ready: bool,
    /// Who put it in force.
    pub who: String,
    /// How: `start`, `reload`, `date`, `rollback`, `pin`, `approve`.
    pub what: String,
    /// Why.
    pub why: String,
    /// The generation in force before.
    pub replaced: Option<u64>,
    /// The generation whose inputs it was made of anew.
    pub rollback_of: Option<u64>,
    /// Who approved it.
    pub approvals: Vec<String>,
    /// What it changed.
    pub change: Difference,
    /// What it was made of.
    pub inputs: Vec<Input>,
}

/// What is to be said of a policy of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Then {
    /// The generation.
    pub generation: u64,
    /// The moment asked about.
    pub at: Timestamp,
    /// Whether this version of the program compiles it to what was in force; false after an upgrade that decides otherwise.
    pub exact: bool,
}

pub(super) fn generations(
    timeline: Vec<(Spell, Manifest)>,
    in_force: Option<u64>,
    hold: Option<&Hold>,
    ready: &[u64],
) -> Vec<Generation> {
    let mut rows: Vec<Generation> = Vec::with_capacity(timeline.len());
    for (spell, manifest) in timeline {
        let number = manifest.generation;
        if let Some(before) = rows.last_mut()
            && spell.replaced == Some(before.generation)
        {
            before.until = Some(spell.from);
        }
        rows.push(Generation {
            generation: number,
            digest: manifest.digest,
            law: manifest.law,
            from: spell.from,
            until: None,
            in_force: false,
            held: false,
            ready: ready.contains(&number),
            who: spell.who,
            what: spell.what,
            why: spell.why,
            replaced: spell.replaced,
            rollback_of: manifest.rollback_of,
            approvals: spell.approvals,
            change: spell.change,
            inputs: manifest.inputs,
        });
    }
    rows.reverse();
    if let Some(row) = rows.iter_mut().find(|row| Some(row.generation) == in_force) {
        row.in_force = true;
        row.held = hold.is_some_and(|hold| hold.generation == row.generation);
    }
    rows
}
