//! Owns one kept set of records with its signature, and how long it holds. Never looks what it says.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::proto::serialize::binary::BinEncodable;

use super::super::denial::{labels, wildcard};
use super::super::judgement::signature;
use crate::clock::Moment;

/// A set of records and the signature that was checked.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    records: Vec<Record>,
    /// Seconds of the clock at which it ends.
    until: u32,
    bytes: usize,
}

/// Longest that a proof is kept, in seconds: as long as a negative answer is.
const LONGEST: u32 = 3600;
/// What a set needs beside its records' own bytes, for each of them.
const OVERHEAD: usize = 160;

impl Kept {
    /// `record`, alone in its set, with its signature among the records `beside` it, and the zone that signed it.
    pub(super) fn of_record(record: &Record, beside: &[Record], now: Moment) -> Option<(Name, Self)> {
        let (signer, _, signed) = checked(record, beside)?;
        (signer.zone_of(&record.name)).then(|| (signer, Self::new(vec![record.clone(), signed], now)))
    }

    /// The records of a set that stands in for a wildcard, with their signature; the zone, and the wildcard's name.
    pub(super) fn of_wildcard(
        records: &[&Record],
        beside: &[Record],
        now: Moment,
    ) -> Option<(Name, Name, Self)> {
        let first = records.first()?;
        let (signer, claimed, signed) = checked(first, beside)?;
        if claimed >= labels(&first.name) || first.name.is_wildcard() {
            return None;
        }
        if records.iter().any(|record| record.proof != Proof::Secure) || !signer.zone_of(&first.name) {
            return None;
        }
        let wildcard = wildcard(&first.name, claimed)?.to_lowercase();
        let all = records.iter().map(|record| (*record).clone()).chain([signed]).collect();
        Some((signer, wildcard, Self::new(all, now)))
    }

    fn new(records: Vec<Record>, now: Moment) -> Self {
        let holds = records.iter().map(|record| record.ttl).min().unwrap_or(0).min(LONGEST);
        let size = |record: &Record| record.to_bytes().map_or(0, |bytes| bytes.len()) + OVERHEAD;
        let bytes = records.iter().map(size).sum();
        Self { records, until: now.seconds().saturating_add(holds), bytes }
    }

    /// The same, for at most so many seconds.
    pub(super) fn at_most(mut self, seconds: u32, now: Moment) -> Self {
        self.until = self.until.min(now.seconds().saturating_add(seconds));
        self
    }

    /// Seconds for which it still holds; `None` when it does no more.
    pub(super) fn left(&self, now: Moment) -> Option<u32> {
        self.until.checked_sub(now.seconds()).filter(|left| *left > 0)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first record: all that a proof has.
    pub(super) fn record(&self) -> Option<&Record> {
        self.records.first()
    }

    /// The records for a reply, each with that TTL, and with that owner where one is given.
    pub(super) fn shown(&self, owner: Option<&Name>, ttl: u32) -> impl Iterator<Item = Record> {
        self.records.iter().map(move |record| {
            let mut record = record.clone();
            record.ttl = ttl;
            record.proof = Proof::Secure;
            if let Some(owner) = owner {
                record.name = owner.clone();
            }
            record
        })
    }
}

/// The checked signature over a record's set: who signed, how many labels it claims, the record.
fn checked(record: &Record, beside: &[Record]) -> Option<(Name, usize, Record)> {
    beside.iter().find_map(|other| {
        let is_checked = other.proof == Proof::Secure
            && other.record_type() == RecordType::RRSIG
            && other.name == record.name;
        let input = signature(other).filter(|_| is_checked)?.input();
        (input.type_covered == record.record_type())
            .then(|| (input.signer_name.to_lowercase(), usize::from(input.num_labels), other.clone()))
    })
}
