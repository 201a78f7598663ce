//! Owns what stands in the zone: which owner names a group's policy has there and the records of each, computed from the
//! snapshot whenever they are needed. Never holds the records of a whole zone.
//!
//! **The same decision as ours.** A reader of response policy zones looks for the name itself, then for the longest wildcard
//! above it; by the rules of DNS (RFC 4592) the wildcard of the *closest* name that exists in the zone, owner or not. Ours
//! asks the order of enforcement first, and the length of names second. So the zone is not made of rules but of decisions: a
//! listed name has what the policy decides for it, and its wildcard what the policy decides below it. Where both are what the
//! closest wildcard above says anyway, the name is left out; that takes rules out that a stronger one overrules. A name left
//! out or never listed that stands between such a wildcard and a name kept below it would hide the wildcard, and is filled
//! in with what the wildcard says.

use std::collections::HashSet;
use std::sync::Arc;

use super::record::{LARGEST, Record};
use crate::dns::{CanonicalName, MAX_NAME, Name, RecordType};
use crate::policy::{LocalRecord, Ruling, Snapshot};

/// The content of one version.
#[derive(Debug)]
pub(super) struct Content {
    snapshot: Arc<Snapshot>,
    /// `None` when the policy has no such group: nothing is published.
    group: Option<u16>,
    /// Bytes that the zone's name takes of every owner.
    zone: usize,
    /// Names that are there only so that a wildcard above them is not hidden; and listed ones that would else be left out.
    filled: HashSet<Box<[u8]>>,
    /// Listed names for which there is no owner, or no record.
    pub(super) left_out: u64,
}

/// What the policy decides at and around a name.
struct Decided<'s> {
    own: Option<Ruling<'s>>,
    below: Option<Ruling<'s>>,
    /// What the name would get if nothing were listed under it.
    above: Option<Ruling<'s>>,
}

/// Owners whose last label is one of these are other triggers than the name of a question.
const OTHER_TRIGGERS: [&[u8]; 4] = [b"rpz-client-ip", b"rpz-ip", b"rpz-nsdname", b"rpz-nsip"];

impl Decided<'_> {
    /// True when the closest wildcard above says all there is to say.
    fn is_implied(&self) -> bool {
        self.own == self.above && self.below == self.above
    }
}

impl Content {
    /// The content that `group` of `snapshot` has in a zone of that name.
    pub(super) fn new(snapshot: Arc<Snapshot>, group: &str, zone: &Name) -> Self {
        let mut content = Self {
            group: snapshot.group_named(group),
            zone: zone.as_wire().len(),
            filled: HashSet::new(),
            left_out: 0,
            snapshot,
        };
        let (mut filled, mut left_out) = (HashSet::new(), 0);
        for name in content.snapshot.listed_names() {
            let decided = content.decided(&name);
            if decided.is_implied() {
                continue;
            }
            if !content.has_place(&name) {
                left_out += 1;
                continue;
            }
            if decided.above.is_some() {
                content.fill_above(&name, &mut filled);
            }
        }
        (content.filled, content.left_out) = (filled, left_out);
        content
    }

    /// TTL of the zone's records, in seconds.
    pub(super) fn ttl(&self) -> u32 {
        self.snapshot.ttl()
    }

    /// True when the policies are the same to the last byte, so that their content is.
    pub(super) fn is_same_policy(&self, other: &Self) -> bool {
        self.group == other.group && self.snapshot.digest() == other.snapshot.digest()
    }

    /// The names that have records, each once, and some that have none.
    pub(super) fn names(&self) -> impl Iterator<Item = CanonicalName> {
        let listed = self.snapshot.listed_names().filter(|name| !self.filled.contains(name.as_wire()));
        listed.chain(self.filled.iter().filter_map(|wire| CanonicalName::read(wire)))
    }

    /// True when [`Content::names`] has `name`.
    pub(super) fn has(&self, name: &CanonicalName) -> bool {
        self.filled.contains(name.as_wire()) || self.snapshot.lists(name)
    }

    /// Appends the records of `name` and of its wildcard to a run.
    pub(super) fn write(&self, name: &CanonicalName, run: &mut Vec<u8>) {
        let decided = self.decided(name);
        let has_owner = !decided.is_implied() || self.filled.contains(name.as_wire());
        if !has_owner || !self.has_place(name) {
            return;
        }
        let labels = name.as_wire().split_last().map_or(&[][..], |(_, labels)| labels);
        if let Some(ruling) = decided.own {
            self.write_ruling(ruling, labels, run);
        }
        let mut wildcard = [0; MAX_NAME + 2];
        if let (Some(ruling), Some(owner)) = (decided.below, wildcard.get_mut(..2 + labels.len()))
            && let Some((star, rest)) = owner.split_at_mut_checked(2)
            && 2 + labels.len() + self.zone <= MAX_NAME
        {
            star.copy_from_slice(b"\x01*");
            rest.copy_from_slice(labels);
            self.write_ruling(ruling, owner, run);
        }
    }

    fn decided(&self, name: &CanonicalName) -> Decided<'_> {
        let Some(group) = self.group else { return Decided { own: None, below: None, above: None } };
        let below = self.snapshot.ruling_below(group, name);
        // What speaks above speaks below too.
        let parent =
            CanonicalName::read(name.suffix(1)).filter(|_| below.is_some() && name.label_count() > 0);
        Decided {
            own: self.snapshot.ruling(group, name),
            below,
            above: parent.and_then(|parent| self.snapshot.ruling_below(group, &parent)),
        }
    }

    /// Notes the names above `name` that would hide the wildcard above them.
    fn fill_above(&self, name: &CanonicalName, filled: &mut HashSet<Box<[u8]>>) {
        for depth in 1..name.label_count() {
            let Some(above) = CanonicalName::read(name.suffix(depth)) else { return };
            let decided = self.decided(&above);
            if decided.above.is_none() {
                // Nothing speaks for it but itself.
                return;
            }
            if decided.is_implied() && !filled.insert(above.as_wire().into()) {
                return;
            }
        }
    }

    /// True when the zone has an owner that means this name.
    fn has_place(&self, name: &CanonicalName) -> bool {
        let labels = name.label_count();
        labels > 0
            && name.as_wire().len() - 1 + self.zone <= MAX_NAME
            && name.label(0) != b"*"
            && !OTHER_TRIGGERS.contains(&name.label(labels - 1))
    }

    fn write_ruling(&self, ruling: Ruling<'_>, owner: &[u8], run: &mut Vec<u8>) {
        let ttl = self.ttl();
        let mut write = |record_type, ttl, rdata: &[u8]| {
            Record { owner, record_type, ttl, rdata }.write(run);
        };
        let target: &[u8] = match ruling {
            Ruling::Alias(target) => target.as_wire(),
            Ruling::Drop => b"\x08rpz-drop\0",
            Ruling::Nodata => b"\x01*\0",
            Ruling::Nxdomain => b"\0",
            Ruling::Passthru => b"\x0Crpz-passthru\0",
            Ruling::TcpOnly => b"\x0Crpz-tcp-only\0",
            Ruling::Sinkhole => {
                let (ipv4, ipv6) = self.snapshot.sinkhole();
                write(RecordType::A, ttl, &ipv4.octets());
                return write(RecordType::AAAA, ttl, &ipv6.octets());
            }
            Ruling::Records(records) => {
                let fitting = || records.iter().filter(|record| record.rdata.len() <= LARGEST);
                for (at, record) in fitting().enumerate() {
                    // The records of a set have one TTL (RFC 2181 5.2), and differ.
                    let of_type = fitting().filter(|other| other.record_type == record.record_type);
                    let least = of_type.map(|other| other.ttl.unwrap_or(ttl)).min().unwrap_or(ttl);
                    let is_same = |other: &&LocalRecord| {
                        (other.record_type, &other.rdata) == (record.record_type, &record.rdata)
                    };
                    if !fitting().take(at).any(|other| is_same(&other)) {
                        write(record.record_type, least, &record.rdata);
                    }
                }
                if fitting().next().is_some() {
                    return;
                }
                // No records of its own: the name exists, and no type does.
                b"\x01*\0"
            }
        };
        write(RecordType::CNAME, ttl, target);
    }
}
