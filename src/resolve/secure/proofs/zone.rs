//! Owns what is kept of one zone, and what it says of a question. Whether records prove something is [`super::super::denial`]'s to
//! say; here those are found that might.

use std::collections::{BTreeMap, HashMap};

use hickory_resolver::proto::dnssec::rdata::{NSEC, NSEC3};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};

use super::super::denial::{Denial, Denied, wildcard};
use super::chain::Chain;
use super::kept::Kept;
use crate::clock::Moment;

/// The kept proofs of a zone.
#[derive(Debug, Default)]
pub(super) struct Zone {
    soa: Option<Kept>,
    /// By owner, in the order that they prove things by.
    nsec: BTreeMap<Name, Kept>,
    nsec3: Option<Chain>,
    /// What wildcards have, by name and type.
    wildcards: HashMap<(Name, RecordType), Kept>,
    bytes: usize,
}

/// What kept proofs say.
#[derive(Debug)]
pub(super) enum Found<'z> {
    NoData(Vec<&'z Kept>),
    NoName(Vec<&'z Kept>),
    /// A wildcard's records, and the proof that nothing is closer.
    Wildcard(&'z Kept, &'z Kept),
}

impl Zone {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn soa(&self, now: Moment) -> Option<&Kept> {
        self.soa.as_ref().filter(|soa| soa.left(now).is_some())
    }

    pub(super) fn keep_soa(&mut self, kept: Kept, minimum: u32, now: Moment) {
        let kept = kept.at_most(minimum, now);
        self.account(kept.bytes());
        let old = self.soa.replace(kept);
        self.discount(old);
    }

    pub(super) fn keep_nsec(&mut self, apex: &Name, owner: Name, nsec: &NSEC, kept: Kept) {
        // A record that leads out of its zone says nothing.
        if !apex.zone_of(nsec.next_domain_name()) {
            return;
        }
        self.account(kept.bytes());
        let old = self.nsec.insert(owner, kept);
        self.discount(old);
    }

    pub(super) fn keep_nsec3(&mut self, apex: &Name, owner: &Name, nsec3: &NSEC3, kept: Kept) {
        if owner.base_name() != *apex || !Chain::takes(nsec3) {
            return;
        }
        // Another salt or count of iterations is another chain: the zone has begun a new one.
        if self.nsec3.as_ref().is_none_or(|chain| !chain.is_of(nsec3)) {
            let old = self.nsec3.replace(Chain::of(apex, nsec3));
            let gone: usize = old.iter().flat_map(Chain::all).map(Kept::bytes).sum();
            self.bytes = self.bytes.saturating_sub(gone);
        }
        self.account(kept.bytes());
        let old = match &mut self.nsec3 {
            Some(chain) => chain.keep(owner, kept),
            None => None,
        };
        self.discount(old);
    }

    pub(super) fn keep_wildcard(&mut self, name: Name, kind: RecordType, kept: Kept) {
        self.account(kept.bytes());
        let old = self.wildcards.insert((name, kind), kept);
        self.discount(old);
    }

    fn account(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    fn discount(&mut self, gone: Option<Kept>) {
        self.bytes = self.bytes.saturating_sub(gone.map_or(0, |gone| gone.bytes()));
    }

    /// Forgets what `stays` is false for, which is told each set and its number.
    pub(super) fn forget(&mut self, stays: impl Fn(&Kept, usize) -> bool) {
        let mut number = 0;
        let mut stays = |kept: &Kept| {
            number += 1;
            stays(kept, number)
        };
        self.nsec.retain(|_, kept| stays(kept));
        if let Some(chain) = &mut self.nsec3 {
            chain.retain(&mut stays);
        }
        self.wildcards.retain(|_, kept| stays(kept));
        let all = self.soa.iter().chain(self.nsec.values()).chain(self.wildcards.values());
        self.bytes = all.chain(self.nsec3.iter().flat_map(Chain::all)).map(Kept::bytes).sum();
    }

    /// What is known of a question in this zone.
    pub(super) fn find(&self, query: &Query, now: Moment) -> Option<Found<'_>> {
        self.by_names(query, now).or_else(|| self.by_hashes(query, now))
    }

    /// The last record at or before a name.
    fn before(&self, name: &Name, now: Moment) -> Option<&Kept> {
        let (_, kept) = self.nsec.range(..=name).next_back()?;
        kept.left(now).map(|_| kept)
    }

    fn by_names(&self, query: &Query, now: Moment) -> Option<Found<'_>> {
        let (name, kind) = (&query.name, query.query_type);
        let first = self.before(name, now)?;
        let own = Denial::of_records(first.record().into_iter());
        // At the very name, or a name without records above others.
        if own.no_data(name, kind) == Denied::Proved {
            return Some(Found::NoData(vec![first]));
        }
        let encloser = own.encloser_by_names(name)?;
        let wildcard = wildcard(name, encloser)?;
        let second = self.before(&wildcard, now);
        let both = || {
            let second = second.filter(|second| !std::ptr::eq(*second, first));
            std::iter::once(first).chain(second).collect::<Vec<_>>()
        };
        let proof = Denial::of_records(both().into_iter().filter_map(Kept::record));
        if proof.no_name(name) == Denied::Proved {
            return Some(Found::NoName(both()));
        }
        if proof.no_data(name, kind) == Denied::Proved {
            return Some(Found::NoData(both()));
        }
        self.by_wildcard(wildcard, kind, now, || {
            (own.no_closer(name, encloser) == Denied::Proved).then_some(first)
        })
    }

    fn by_hashes(&self, query: &Query, now: Moment) -> Option<Found<'_>> {
        let (name, kind) = (&query.name, query.query_type);
        let chosen = self.nsec3.as_ref()?.chosen(name, now)?;
        let proof = Denial::of_records(chosen.all().filter_map(Kept::record));
        if proof.no_data(name, kind) == Denied::Proved {
            return Some(Found::NoData(chosen.all().collect()));
        }
        if proof.no_name(name) == Denied::Proved {
            return Some(Found::NoName(chosen.all().collect()));
        }
        let encloser = chosen.encloser?;
        self.by_wildcard(wildcard(name, encloser)?, kind, now, || {
            let is_closest = proof.no_closer(name, encloser) == Denied::Proved;
            chosen.next_closer.filter(|_| is_closest)
        })
    }

    fn by_wildcard<'z>(
        &'z self,
        wildcard: Name,
        kind: RecordType,
        now: Moment,
        nothing_closer: impl FnOnce() -> Option<&'z Kept>,
    ) -> Option<Found<'z>> {
        let records = self.wildcards.get(&(wildcard, kind)).filter(|kept| kept.left(now).is_some())?;
        Some(Found::Wildcard(records, nothing_closer()?))
    }
}
