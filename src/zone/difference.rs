//! Owns what tells one version from the next: the records that went and those that came, found by looking every name of one
//! up in the other. Never keeps a version, and never more of a difference than a limit.

use std::collections::BTreeSet;

use super::content::Content;
use super::fingerprint::Fingerprint;
use super::record::{Record, records};

/// Records that went and came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// A run of records.
    pub(super) removed: Vec<u8>,
    /// A run of records.
    pub(super) added: Vec<u8>,
}

/// What a comparison found.
#[derive(Debug)]
pub(super) struct Compared {
    /// `None` when it is larger than the limit.
    pub(super) difference: Option<Difference>,
    /// The later version's records.
    pub(super) fingerprint: Fingerprint,
}

impl Difference {
    /// Bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.removed.len() + self.added.len()
    }

    fn is_empty(&self) -> bool {
        self.bytes() == 0
    }
}

/// Compares two versions of the zone; `fingerprint` is the earlier one's, `limit` the most bytes a difference may have.
pub(super) fn compare(
    earlier: &Content,
    later: &Content,
    fingerprint: Fingerprint,
    limit: usize,
) -> Compared {
    let mut found = Found { fingerprint, difference: Difference::default(), limit, is_over: false };
    if !earlier.is_same_policy(later) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let all = earlier.names().chain(later.names().filter(|name| !earlier.has(name)));
        for name in all {
            before.clear();
            after.clear();
            earlier.write(&name, &mut before);
            later.write(&name, &mut after);
            if before != after {
                found.tell_apart(&before, &after);
            }
        }
    }
    let difference = (!found.is_over).then_some(found.difference);
    Compared { difference, fingerprint: found.fingerprint }
}

/// The fingerprint of a whole version.
pub(super) fn fingerprint(content: &Content) -> Fingerprint {
    let (mut fingerprint, mut run) = (Fingerprint::default(), Vec::new());
    for name in content.names() {
        run.clear();
        content.write(&name, &mut run);
        fingerprint.add(&run);
    }
    fingerprint
}

impl Compared {
    /// True when no record differs.
    pub(super) fn is_same(&self) -> bool {
        self.difference.as_ref().is_some_and(Difference::is_empty)
    }
}

struct Found {
    fingerprint: Fingerprint,
    difference: Difference,
    limit: usize,
    is_over: bool,
}

impl Found {
    /// Notes which of one name's records went and which came.
    fn tell_apart(&mut self, before: &[u8], after: &[u8]) {
        let all: [BTreeSet<Record<'_>>; 2] = [before, after].map(|run| records(run).collect());
        let [earlier, later] = &all;
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        earlier.difference(later).for_each(|record| record.write(&mut removed));
        later.difference(earlier).for_each(|record| record.write(&mut added));
        self.fingerprint.remove(&removed);
        self.fingerprint.add(&added);
        if self.is_over || self.difference.bytes() + removed.len() + added.len() > self.limit {
            self.is_over = true;
            self.difference = Difference::default();
            return;
        }
        self.difference.removed.extend(removed);
        self.difference.added.extend(added);
    }
}
