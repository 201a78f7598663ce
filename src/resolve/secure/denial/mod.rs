//! Denial of existence (RFC 4035 section 5.4, RFC 5155 section 8): whether the signed NSEC or NSEC3 records of an answer prove that
//! something is not there. Owns that alone; who signed the records was looked at before.

mod nsec;
mod nsec3;

pub(super) use nsec3::decoded;

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC, NSEC3};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType, RecordTypeSet};

/// What a proof comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Denied {
    /// It proves nothing.
    Unproved,
    /// There may be an unsigned delegation in its place (opt-out, RFC 5155 section 6), or it takes more hashing than is reasonable.
    Insecure,
    /// There is nothing.
    Proved,
}

/// The signed records of an answer that deny.
#[derive(Debug)]
pub(super) struct Denial<'m> {
    nsec: Vec<(&'m Name, &'m NSEC)>,
    nsec3: Vec<(&'m Name, &'m NSEC3)>,
}

impl<'m> Denial<'m> {
    pub(super) fn of(authorities: &'m [Record]) -> Self {
        Self::of_records(authorities.iter().filter(|record| record.proof == Proof::Secure))
    }

    /// That of records which are known to be signed.
    pub(super) fn of_records(records: impl Iterator<Item = &'m Record>) -> Self {
        let (mut nsec, mut nsec3) = (Vec::new(), Vec::new());
        for record in records {
            match &record.data {
                RData::DNSSEC(DNSSECRData::NSEC(data)) => nsec.push((&record.name, data)),
                RData::DNSSEC(DNSSECRData::NSEC3(data)) => nsec3.push((&record.name, data)),
                _ => {}
            }
        }
        Self { nsec, nsec3 }
    }

    /// That there is no such name, and no wildcard in its stead.
    pub(super) fn no_name(&self, name: &Name) -> Denied {
        nsec::no_name(&self.nsec, name).max(nsec3::no_name(&self.nsec3, name))
    }

    /// That there is no such type at the name.
    pub(super) fn no_data(&self, name: &Name, kind: RecordType) -> Denied {
        nsec::no_data(&self.nsec, name, kind).max(nsec3::no_data(&self.nsec3, name, kind))
    }

    /// The labels of the closest ancestor of a name that exists, where NSEC records show that the name does not.
    pub(super) fn encloser_by_names(&self, name: &Name) -> Option<usize> {
        nsec::encloser_of(&self.nsec, name)
    }

    /// That nothing stands between the name and the wildcard that answered for it; the wildcard's parent has so many labels.
    pub(super) fn no_closer(&self, name: &Name, labels: usize) -> Denied {
        nsec::no_closer(&self.nsec, name, labels).max(nsec3::no_closer(&self.nsec3, name, labels))
    }
}

/// How many labels a name has, an asterisk counted too.
pub(super) fn labels(name: &Name) -> usize {
    name.iter().count()
}

/// The ancestor of a name with so many labels.
fn ancestor(name: &Name, labels_left: usize) -> Name {
    name.trim_to(labels_left)
}

/// The wildcard below that ancestor.
pub(super) fn wildcard(name: &Name, labels_left: usize) -> Option<Name> {
    ancestor(name, labels_left).prepend_label("*").ok()
}

/// True for the types above a zone cut.
fn is_delegation(types: &RecordTypeSet) -> bool {
    types.contains(RecordType::NS) && !types.contains(RecordType::SOA)
}

/// True when a record at an owner of these types speaks for its parent zone only, and for nothing below (RFC 6840 section 4.1).
fn ends_here(types: &RecordTypeSet) -> bool {
    is_delegation(types) || types.contains(RecordType::DNAME)
}

/// True when types at the very name say that there is none of that type: neither it nor an alias; and said by the side of a zone cut
/// that may say so (RFC 4035 section 5.2, RFC 6840 section 4.1).
fn denies(types: &RecordTypeSet, name: &Name, kind: RecordType) -> bool {
    let right_side = match kind {
        RecordType::DS => !types.contains(RecordType::SOA) || name.is_root(),
        _ => !is_delegation(types),
    };
    right_side && !types.contains(kind) && !types.contains(RecordType::CNAME)
}
