//! Owns what is found in a list: its rules, and part by part, lines that can be read again by themselves, what else there is.
//! Never holds a text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MOST_PROBLEMS;
use crate::dns::Name;
use crate::policy::{AddressRule, Rule};
use crate::problem::Problem;

/// What a list holds.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// Its rules about addresses, in order.
    pub addresses: Vec<AddressRule>,
    /// Lines that are well-formed but mean nothing to a resolver, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Complaints, at most [`MOST_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// Malformed lines, all of them.
    pub refused: u64,
    /// Lines read.
    pub lines: u64,
    /// What a response policy zone says of itself.
    pub zone: Option<ZoneHead>,
    /// The stretches of text that can be read again by themselves, in order.
    pub parts: Vec<Part>,
}

impl Parsed {
    /// How many rules it holds, about names and addresses.
    pub fn rule_count(&self) -> usize {
        self.rules.len() + self.addresses.len()
    }
}

/// What a zone says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneHead {
    /// Serial of its SOA record (RFC 1035 section 3.3.13).
    pub serial: Option<u32>,
    /// TTL of its records that have none of their own, in seconds (`$TTL`, RFC 2308 section 4).
    pub ttl: Option<u32>,
}

/// Lines from the beginning of a run of rules (see [`crate::policy::Rule::ends_run`]) to that of another.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Where its first line begins, in bytes.
    pub(super) at: usize,
    /// Lines before it.
    pub(super) before: u32,
    /// Lines in it.
    pub(super) lines: u32,
    /// Rules in it, about names and addresses.
    pub(super) rules: usize,
    /// What its lines were read with.
    pub(super) carried: Carried,
    pub(super) skipped: BTreeMap<&'static str, u64>,
    pub(super) problems: Vec<Problem>,
    pub(super) refused: u64,
    pub(super) zone: Option<ZoneHead>,
}

/// What carries over from line to line in a zone file.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    pub(super) origin: Option<Name>,
    /// The owner of records that name none.
    pub(super) owner: Option<String>,
    /// TTL of records that have none of their own: `$TTL` (RFC 2308 section 4).
    pub(super) ttl: Option<u32>,
}

impl Carried {
    /// True when lines that begin with a record of their own read alike after both.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        (&self.origin, self.ttl) == (&other.origin, other.ttl)
    }
}

impl Part {
    /// The same lines, elsewhere in the list.
    pub(super) fn moved(&self, at: usize, before: u32) -> Self {
        let mut moved = Self { at, before, ..self.clone() };
        for problem in moved.problems.iter_mut().filter(|problem| problem.place.line > 0) {
            problem.place.line = problem.place.line - self.before + before;
        }
        moved
    }
}

impl Parsed {
    /// Takes together what was found in the parts.
    pub(super) fn sum_up(&mut self) {
        for part in &self.parts {
            self.lines += u64::from(part.lines);
            self.refused += part.refused;
            for (reason, count) in &part.skipped {
                *self.skipped.entry(reason).or_default() += count;
            }
            let room = MOST_PROBLEMS.saturating_sub(self.problems.len());
            self.problems.extend(part.problems.iter().take(room).cloned());
            if let Some(head) = part.zone {
                let known = self.zone.get_or_insert_default();
                known.serial = head.serial.or(known.serial);
                known.ttl = head.ttl.or(known.ttl);
            }
        }
    }
}
