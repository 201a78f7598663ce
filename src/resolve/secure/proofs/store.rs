//! Owns the proofs of all zones: what answers teach, what they answer, and how much memory that may take. Never looks into a record
//! further than to whose it is.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::super::denial::labels;
use super::super::rendered::blank;
use super::kept::Kept;
use super::zone::{Found, Zone};
use crate::clock::Moment;
use crate::resolve::metrics;
use crate::telemetry::Sample;

/// The kept proofs of all zones.
#[derive(Default)]
pub(in crate::resolve) struct Proofs {
    zones: RwLock<Zones>,
    pub(in crate::resolve) counts: Counts,
}

#[derive(Default)]
struct Zones {
    by_apex: HashMap<Name, Zone>,
    bytes: usize,
}

/// How often which answer was made of proofs.
#[derive(Debug, Default)]
pub(in crate::resolve) struct Counts {
    pub(in crate::resolve) nodata: AtomicU64,
    pub(in crate::resolve) nxdomain: AtomicU64,
    pub(in crate::resolve) wildcard: AtomicU64,
}

/// Bytes that proofs may hold: some 20,000 gaps with their signatures, as many as the zones of a large network have that are asked
/// for what they do not hold.
const MOST: usize = 16 << 20;

impl Proofs {
    /// Keeps what a secure answer to `query` proves of other names.
    pub(in crate::resolve) fn learn(&self, query: &Query, message: &Message, now: Moment) {
        let proves = |record: &Record| {
            record.proof == Proof::Secure
                && matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3 | RecordType::SOA)
        };
        if !message.authorities.iter().any(proves) {
            return;
        }
        let mut zones = self.zones.write().unwrap_or_else(PoisonError::into_inner);
        for record in message.authorities.iter().filter(|record| proves(record)) {
            zones.learn(record, &message.authorities, now);
        }
        if is_plain(query.query_type) {
            zones.learn_wildcard(query, message, now);
        }
        zones.shrink(now);
    }

    /// The answer to `query` that kept proofs make, every record of it secure; `None` where they do not.
    pub(in crate::resolve) fn answer(&self, query: &Query, now: Moment) -> Option<Message> {
        if !is_plain(query.query_type) {
            return None;
        }
        let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
        let zone = zones.of(query)?;
        let (found, mut message) = (zone.find(query, now)?, blank(query.clone()));
        let soa = || zone.soa(now);
        match found {
            Found::NoName(proofs) => {
                message.metadata.response_code = ResponseCode::NXDomain;
                deny(&mut message, soa()?, &proofs, now)?;
                self.counts.nxdomain.fetch_add(1, Ordering::Relaxed);
            }
            Found::NoData(proofs) => {
                deny(&mut message, soa()?, &proofs, now)?;
                self.counts.nodata.fetch_add(1, Ordering::Relaxed);
            }
            Found::Wildcard(records, proof) => {
                let left = records.left(now)?.min(proof.left(now)?);
                message.insert_answers(records.shown(Some(&query.name), left).collect());
                message.insert_authorities(proof.shown(None, left).collect());
                self.counts.wildcard.fetch_add(1, Ordering::Relaxed);
            }
        }
        Some(message)
    }

    pub(in crate::resolve) fn collect(&self, samples: &mut Vec<Sample>) {
        let bytes = self.zones.read().unwrap_or_else(PoisonError::into_inner).bytes;
        metrics::collect_proofs(&self.counts, bytes, samples);
    }
}

/// Writes a denial: the zone's SOA record, and the proofs. Everything holds as long as what ends first (RFC 9077 section 3).
fn deny(message: &mut Message, soa: &Kept, proofs: &[&Kept], now: Moment) -> Option<()> {
    let lefts = proofs.iter().map(|proof| proof.left(now));
    let left = lefts.chain([soa.left(now)]).collect::<Option<Vec<u32>>>()?.into_iter().min()?;
    let records = soa.shown(None, left).chain(proofs.iter().flat_map(|proof| proof.shown(None, left)));
    message.insert_authorities(records.collect());
    Some(())
}

/// True for types whose absence a proof is about: not those that the chain of proofs itself is made of, nor those that stand for many.
fn is_plain(kind: RecordType) -> bool {
    !matches!(
        kind,
        RecordType::ANY
            | RecordType::AXFR
            | RecordType::IXFR
            | RecordType::NSEC
            | RecordType::NSEC3
            | RecordType::OPT
            | RecordType::RRSIG
    )
}

impl Zones {
    /// The closest zone that something is kept of in which the answer to `query` stands.
    fn of(&self, query: &Query) -> Option<&Zone> {
        if self.by_apex.is_empty() {
            return None;
        }
        // What is said of a delegation is said above it.
        let deepest = labels(&query.name).checked_sub(usize::from(query.query_type == RecordType::DS))?;
        (0..=deepest).rev().find_map(|count| self.by_apex.get(&query.name.trim_to(count)))
    }

    fn learn(&mut self, record: &Record, beside: &[Record], now: Moment) {
        let Some((apex, kept)) = Kept::of_record(record, beside, now) else { return };
        let zone = self.by_apex.entry(apex.clone()).or_default();
        let before = zone.bytes();
        match &record.data {
            RData::SOA(soa) if record.name == apex => zone.keep_soa(kept, soa.minimum, now),
            RData::DNSSEC(DNSSECRData::NSEC(nsec)) => {
                zone.keep_nsec(&apex, record.name.to_lowercase(), nsec, kept)
            }
            RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) => zone.keep_nsec3(&apex, &record.name, nsec3, kept),
            _ => {}
        }
        self.bytes = self.bytes + zone.bytes() - before;
    }

    /// Keeps what a wildcard has, where it answered for the question's name.
    fn learn_wildcard(&mut self, query: &Query, message: &Message, now: Moment) {
        let wanted = |record: &&Record| record.name == query.name && record.record_type() == query.query_type;
        let records: Vec<&Record> = message.answers.iter().filter(wanted).collect();
        if matches!(query.query_type, RecordType::CNAME | RecordType::DS | RecordType::NS | RecordType::SOA) {
            return;
        }
        let Some((apex, wildcard, kept)) = Kept::of_wildcard(&records, &message.answers, now) else { return };
        let zone = self.by_apex.entry(apex).or_default();
        let before = zone.bytes();
        zone.keep_wildcard(wildcard, query.query_type, kept);
        self.bytes = self.bytes + zone.bytes() - before;
    }

    /// Makes room: what has ended goes first, then half of a zone that fills much, else zones as they come.
    fn shrink(&mut self, now: Moment) {
        if self.bytes <= MOST {
            return;
        }
        self.by_apex.values_mut().for_each(|zone| zone.forget(|kept, _| kept.left(now).is_some()));
        if self.sum() > MOST
            && let Some(largest) = self.by_apex.values_mut().max_by_key(|zone| zone.bytes())
            && largest.bytes() > MOST / 4
        {
            largest.forget(|_, number| number % 2 == 0);
        }
        let mut over = self.sum().saturating_sub(MOST / 8 * 7);
        self.by_apex.retain(|_, zone| {
            let goes = over > 0 || zone.bytes() == 0;
            over = if goes { over.saturating_sub(zone.bytes()) } else { over };
            !goes
        });
        self.bytes = self.sum();
    }

    fn sum(&self) -> usize {
        self.by_apex.values().map(Zone::bytes).sum()
    }
}

impl fmt::Debug for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proofs").field("counts", &self.counts).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
