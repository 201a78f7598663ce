//! Owns the ruling: what a policy does with a name, in the words that every reader of response policy zones knows. Read off
//! the snapshot's own decisions; never decides by itself.

use super::rule::{Action, LocalRecord};
use super::snapshot::Snapshot;
use super::verdict::Verdict;
use crate::dns::{CanonicalName, Name};

/// What is done with questions for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling<'s> {
    /// Another name's records.
    Alias(&'s Name),
    /// No reply at all.
    Drop,
    /// The name exists, the type does not.
    Nodata,
    /// Neither the name nor any below it exists.
    Nxdomain,
    /// Resolved although a rule was met.
    Passthru,
    /// Records of a list's own.
    Records(&'s [LocalRecord]),
    /// The operator's own addresses.
    Sinkhole,
    /// Answered over TCP only.
    TcpOnly,
}

impl Snapshot {
    /// What the group's policy does with `name`; `None` when nothing that is enforced meets it. Refusal, for which response
    /// policy zones have no word, becomes a denial; a denial of the name alone is NODATA, as in this resolver's own answers,
    /// because names below it may live (RFC 8020).
    pub fn ruling(&self, group: u16, name: &CanonicalName) -> Option<Ruling<'_>> {
        let cause = match self.decide_query(group, name) {
            Verdict::Allow | Verdict::Shadow(_) => return None,
            Verdict::Canary { .. } => return Some(Ruling::Nxdomain),
            Verdict::Permit(_) => return Some(Ruling::Passthru),
            Verdict::Deny(cause) => cause,
        };
        Some(match self.action(&cause) {
            Action::Drop => Ruling::Drop,
            Action::Local(records) => Ruling::Records(records),
            Action::Nodata => Ruling::Nodata,
            Action::Nxdomain | Action::Refused if cause.speaks_for_subtree() => Ruling::Nxdomain,
            Action::Nxdomain | Action::Refused => Ruling::Nodata,
            Action::Passthru => Ruling::Passthru,
            Action::Redirect(target) => Ruling::Alias(target),
            Action::Sinkhole => Ruling::Sinkhole,
            Action::TcpOnly => Ruling::TcpOnly,
        })
    }

    /// What the group's policy does with the names below `name` at or above which nothing longer is listed; `None` also when
    /// there is no room for any.
    pub fn ruling_below(&self, group: u16, name: &CanonicalName) -> Option<Ruling<'_>> {
        self.ruling(group, &unlisted_child(name)?)
    }
}

/// A child of `name` that nobody lists: a label of one zero byte is in no list of real names. `None` when there is no room for any.
pub(super) fn unlisted_child(name: &CanonicalName) -> Option<CanonicalName> {
    let mut wire = [0; 2 + crate::dns::MAX_NAME];
    let end = 2 + name.as_wire().len();
    wire.get_mut(..2)?.copy_from_slice(&[1, 0]);
    wire.get_mut(2..end)?.copy_from_slice(name.as_wire());
    CanonicalName::read(wire.get(..end)?)
}
