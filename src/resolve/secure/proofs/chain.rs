//! Owns the kept NSEC3 records of one zone (RFC 5155): one chain, by hash, and which of them might say something of a name. Never
//! uses what opts out for a gap, where a delegation may hide.

use std::collections::BTreeMap;
use std::ops::Bound;

use hickory_resolver::proto::dnssec::Nsec3HashAlgorithm;
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC3};
use hickory_resolver::proto::rr::{Name, RData};

use super::super::denial::{decoded, labels, wildcard};
use super::kept::Kept;
use crate::clock::Moment;

/// A chain of hashes.
#[derive(Debug)]
pub(super) struct Chain {
    apex: Name,
    algorithm: Nsec3HashAlgorithm,
    iterations: u16,
    salt: Vec<u8>,
    records: BTreeMap<Vec<u8>, Kept>,
}

/// Records that together may prove something of a name.
#[derive(Debug)]
pub(super) struct Chosen<'c> {
    /// Of the name itself, or of its closest ancestor that exists.
    at: &'c Kept,
    /// The labels of that ancestor; `None` when the name itself exists.
    pub(super) encloser: Option<usize>,
    pub(super) next_closer: Option<&'c Kept>,
    wildcard: Option<&'c Kept>,
}

/// Most iterations of hashing: who still has more has few names, and a question upstream is then cheaper than hashing (RFC 9276 section
/// 3.1 asks for none).
const MOST_ITERATIONS: u16 = 10;
/// Most labels below the apex: each costs a hash, on a thread that others wait for.
const MOST_LABELS: usize = 8;

impl Chain {
    /// True for records that are worth keeping.
    pub(super) fn takes(record: &NSEC3) -> bool {
        record.iterations() <= MOST_ITERATIONS
    }

    /// An empty chain with the hashing of `record`.
    pub(super) fn of(apex: &Name, record: &NSEC3) -> Self {
        Self {
            apex: apex.clone(),
            algorithm: record.hash_algorithm(),
            iterations: record.iterations(),
            salt: record.salt().to_vec(),
            records: BTreeMap::new(),
        }
    }

    pub(super) fn is_of(&self, record: &NSEC3) -> bool {
        record.hash_algorithm() == self.algorithm
            && record.iterations() == self.iterations
            && record.salt() == self.salt
    }

    /// Keeps a record; returns what was there.
    pub(super) fn keep(&mut self, owner: &Name, kept: Kept) -> Option<Kept> {
        let hash = owner.iter().next().and_then(decoded);
        match hash {
            Some(hash) => self.records.insert(hash, kept),
            // Not kept: as if it had been there.
            None => Some(kept),
        }
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&Kept) -> bool) {
        self.records.retain(|_, kept| stays(kept));
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Kept> {
        self.records.values()
    }

    fn hash(&self, name: &Name) -> Option<Vec<u8>> {
        let digest = self.algorithm.hash(&self.salt, name, self.iterations).ok()?;
        Some(digest.as_ref().to_vec())
    }

    fn at(&self, hash: &[u8], now: Moment) -> Option<&Kept> {
        self.records.get(hash).filter(|kept| kept.left(now).is_some())
    }

    /// The record in whose gap a hash is.
    fn covering(&self, hash: &[u8], now: Moment) -> Option<&Kept> {
        let before = self.records.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(hash))).next_back();
        // Before the first is behind the last.
        let (owner, kept) = before.or_else(|| self.records.last_key_value())?;
        let record = nsec3(kept)?;
        let next = record.next_hashed_owner_name();
        let is_in = match next > owner.as_slice() {
            true => owner.as_slice() < hash && hash < next,
            false => owner.as_slice() < hash || hash < next,
        };
        (is_in && !record.opt_out() && kept.left(now).is_some()).then_some(kept)
    }

    /// The records that may prove something of `name`, which is in the zone.
    pub(super) fn chosen(&self, name: &Name, now: Moment) -> Option<Chosen<'_>> {
        let (lowest, own) = (labels(&self.apex), labels(name));
        if self.records.is_empty() || own > lowest + MOST_LABELS {
            return None;
        }
        let mut closer = None;
        for count in (lowest..=own).rev() {
            let hash = self.hash(&name.trim_to(count))?;
            let Some(at) = self.at(&hash, now) else {
                closer = Some(hash);
                continue;
            };
            let Some(closer) = closer else {
                return Some(Chosen { at, encloser: None, next_closer: None, wildcard: None });
            };
            let next_closer = Some(self.covering(&closer, now)?);
            let hash = self.hash(&wildcard(name, count)?)?;
            let wildcard = self.at(&hash, now).or_else(|| self.covering(&hash, now));
            return Some(Chosen { at, encloser: Some(count), next_closer, wildcard });
        }
        None
    }
}

impl<'c> Chosen<'c> {
    /// Each of them once.
    pub(super) fn all(&self) -> impl Iterator<Item = &'c Kept> {
        let second = self.next_closer.filter(|second| !std::ptr::eq(*second, self.at));
        let third = self.wildcard.filter(|third| {
            !std::ptr::eq(*third, self.at) && second.is_none_or(|second| !std::ptr::eq(*third, second))
        });
        std::iter::once(self.at).chain(second).chain(third)
    }
}

fn nsec3(kept: &Kept) -> Option<&NSEC3> {
    match &kept.record()?.data {
        RData::DNSSEC(DNSSECRData::NSEC3(record)) => Some(record),
        _ => None,
    }
}
