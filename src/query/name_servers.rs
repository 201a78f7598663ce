//! Owns which servers serve the zones that a name and its aliases are in, as kept answers tell, and the asking of what they do not. Only where
//! the policy has rules about such servers. Never decides.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::engine::Engine;
use super::fetch::servfail;
use crate::cache::{Entry, Freshness, Key, Store};
use crate::clock::Moment;
use crate::dns::{CanonicalName, Message, Rcode, RecordType, Section};
use crate::resolve::{Ask, Failure, Response};
use crate::telemetry::{Counter, Origin};

/// The servers of the zones that the names of an answer are in, and of the zones around those.
#[derive(Debug, Default)]
pub(super) struct NameServers {
    pub(super) names: Vec<CanonicalName>,
    pub(super) addresses: Vec<IpAddr>,
    /// Whether nothing failed that was asked.
    pub(super) is_whole: bool,
    /// What is not kept, or kept past its TTL.
    missing: Vec<(CanonicalName, RecordType)>,
}

/// What came of a question that clients wait for: the answer and where it is from.
pub(super) type Came = Result<(Arc<Entry>, Origin), Failure>;

/// Zones of one label are top-level domains, whose servers say nothing of who is behind a name (BIND's `min-ns-dots 1`).
const LEAST_LABELS: usize = 2;
/// Zones of more labels are not looked at: who runs one of them runs one above it, or is let by somebody who does.
const MOST_LABELS: usize = 8;
/// Names of an answer looked at: the one asked for and its aliases.
const MOST_NAMES: usize = 8;
/// Servers looked at: twice the thirteen that fit an answer of 512 bytes.
const MOST_SERVERS: usize = 26;
/// Rounds of questions for one answer: zones, servers' addresses, and what was pushed out of the cache meanwhile.
const MOST_ROUNDS: usize = 3;
/// No further round begins so long after the answer came.
const PATIENCE: Duration = Duration::from_secs(3);
/// Seconds for which an answer that may not be kept, or a failure, is not asked for again: as long as it takes to look at all of them.
const LATELY: u32 = 5;

impl NameServers {
    /// What kept answers tell of the servers behind `entry`, those past their TTL too; with the addresses of the families that are wanted.
    pub(super) fn behind(entry: &Entry, store: &Store, now: Moment, (ipv4, ipv6): (bool, bool)) -> Self {
        let mut found = Self { is_whole: true, ..Self::default() };
        for name in entry.name().into_iter().chain(entry.targets()).take(MOST_NAMES) {
            found.add_zones(&name, store, now);
        }
        found.names.sort_unstable_by(|one, other| one.as_wire().cmp(other.as_wire()));
        found.names.dedup_by(|one, other| one.as_wire() == other.as_wire());
        found.names.truncate(MOST_SERVERS);
        let families = [(ipv4, RecordType::A), (ipv6, RecordType::AAAA)];
        for (_, family) in families.into_iter().filter(|(wanted, _)| *wanted) {
            for at in 0..found.names.len() {
                if let Some(name) = found.names.get(at).cloned()
                    && let Some(entry) = found.kept(name, family, store, now)
                {
                    found.addresses.extend(entry.addresses());
                }
            }
        }
        found.addresses.sort_unstable();
        found.addresses.dedup();
        found
    }

    /// True when something must be asked first.
    pub(super) fn is_wanting(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The servers of each zone that may be at the name or above it. An answer about a name that is no zone has none; what it says of the zone
    /// around is not relied on, as whoever serves that could say so to hide it.
    fn add_zones(&mut self, name: &CanonicalName, store: &Store, now: Moment) {
        let labels = name.label_count();
        for count in LEAST_LABELS..=labels.min(MOST_LABELS) {
            let Some(zone) = CanonicalName::read(name.suffix(labels - count)) else { continue };
            let Some(entry) = self.kept(zone.clone(), RecordType::NS, store, now) else { continue };
            let Some(message) = Message::new(entry.message()) else { continue };
            let servers = message.records().filter(|record| {
                (record.section, record.record_type) == (Section::Answer, RecordType::NS)
                    && message.name_at(record.owner).is_some_and(|owner| owner.as_wire() == zone.as_wire())
            });
            self.names.extend(servers.filter_map(|record| message.name_at(record.rdata.start)));
        }
    }

    /// What is kept. One that tells of a failure, or is neither fresh nor of just now, leaves the whole in doubt: but while upstreams are silent, it
    /// is all there is, and a ban does not end with them.
    fn kept(
        &mut self,
        name: CanonicalName,
        record_type: RecordType,
        store: &Store,
        now: Moment,
    ) -> Option<Arc<Entry>> {
        let entry = store.find(&Key::new(&name, record_type, false, false));
        let is_new = |entry: &Entry| entry.freshness(now, 0) == Freshness::Fresh || entry.age(now) < LATELY;
        if !entry.as_deref().is_some_and(is_new) {
            self.is_whole = false;
            self.missing.push((name, record_type));
        }
        let longest = store.config().stale;
        let entry = entry.filter(|entry| is_new(entry) || entry.freshness(now, longest) == Freshness::Stale);
        let answers = |entry: &Arc<Entry>| matches!(entry.rcode(), Rcode::NOERROR | Rcode::NXDOMAIN);
        self.is_whole &= entry.as_ref().is_some_and(answers);
        entry
    }
}

impl Engine {
    /// Answers those who wait under `place`, once the servers are known that the policy has rules about.
    pub(super) fn settle(self: &Arc<Self>, place: Arc<[u8]>, came: Came, now: Moment) {
        self.settle_within(place, came, (now, now + PATIENCE), MOST_ROUNDS);
    }

    fn settle_within(
        self: &Arc<Self>,
        place: Arc<[u8]>,
        came: Came,
        (now, until): (Moment, Moment),
        rounds: usize,
    ) {
        let missing = match &came {
            // Who gets a stale answer has waited long enough.
            Ok((entry, from)) if *from != Origin::Stale && rounds > 0 && now < until => {
                self.missing_behind(entry, now)
            }
            _ => Vec::new(),
        };
        if missing.is_empty() {
            return self.conclude(&place, came, now);
        }
        let left = Arc::new(AtomicUsize::new(missing.len()));
        let came = Arc::new(came);
        for (name, record_type) in missing {
            self.shared.bump(Counter::NameServerQuestion);
            let (engine, left, place, came) =
                (Arc::clone(self), Arc::clone(&left), Arc::clone(&place), Arc::clone(&came));
            let asked = name.clone();
            let then = move |answer: Result<Response<'_>, Failure>| {
                let key = Key::new(&asked, record_type, false, false);
                let now = engine.parts.clock.now();
                let entry = match answer {
                    Ok(response) => Entry::new(&key, response.message, now),
                    Err(failure) => Entry::new(&key, &servfail(&key.to_bytes(), failure), now),
                };
                if let Some(entry) = entry {
                    engine.parts.store.keep(entry);
                }
                // The last one goes on.
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    engine.settle_within(place, (*came).clone(), (now, until), rounds - 1);
                }
            };
            let ask = Ask { name: &name, record_type, dnssec_ok: false, checking_disabled: false };
            self.parts.resolver.ask(ask, Box::new(then));
        }
    }

    fn missing_behind(&self, entry: &Entry, now: Moment) -> Vec<(CanonicalName, RecordType)> {
        let snapshot = self.parts.live.load();
        if !snapshot.asks_for_name_servers() {
            return Vec::new();
        }
        let families = snapshot.asks_for_name_server_addresses();
        let mut missing = NameServers::behind(entry, &self.parts.store, now, families).missing;
        // One answer may lead to one zone twice.
        missing
            .sort_unstable_by(|one, other| (one.0.as_wire(), one.1.0).cmp(&(other.0.as_wire(), other.1.0)));
        missing.dedup_by(|one, other| one.1 == other.1 && one.0.as_wire() == other.0.as_wire());
        missing
    }
}
