//! Owns the addresses that banned names lead to: since when until when, by which names, and those that are not taken because of what they
//! are. Bounded; never resolves anything, and never decides for whom they are held.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::config::Config;
use super::plan::Plan;
use super::spared::Reason;
use crate::clock::Moment;
use crate::dns::{Message, Name, Nat64};
use crate::policy::{Prefix, is_private};

/// Addresses by the title of what they belong to.
#[derive(Debug, Default)]
pub(super) struct Learned {
    entries: BTreeMap<(String, IpAddr), Entry>,
}

/// One address.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// From when on it counts no more.
    pub(super) until: Moment,
    /// The banned names that lead there; the first few.
    pub(super) names: Vec<Name>,
    /// Why it is nobody's alone.
    pub(super) spared: Option<Reason>,
}

/// An address in an answer, and the seconds for which it holds.
pub(super) type Found = (IpAddr, u32);

/// What an address must not be to be held.
#[derive(Debug)]
pub(super) struct Terms {
    /// Shortest life of an address: names whose answers live for a minute are resolved far less often.
    pub(super) floor: Duration,
    shared: Vec<Prefix>,
    nat64: Option<Nat64>,
    own: Vec<Prefix>,
}

/// Most addresses, and most of one answer.
const MOST: usize = 65_536;
const MOST_OF_ANSWER: usize = 64;
/// Names that are remembered of an address: enough to explain it.
const MOST_NAMES: usize = 4;
/// Longest life: a day, as of any answer.
const CEILING: Duration = Duration::from_secs(86_400);

impl Terms {
    /// The terms of a configuration; `own` are the upstreams.
    pub(super) fn new(config: &Config, own: &[Prefix]) -> Self {
        let floor = 2 * config.resolve.unwrap_or_default() + Duration::from_secs(60);
        let own = own.iter().chain(&config.resolvers).copied().collect();
        Self { floor, shared: config.shared.clone(), nat64: config.nat64, own }
    }

    /// Addresses, each with what stands for it at the translator.
    pub(super) fn with_twins(&self, addresses: impl Iterator<Item = IpAddr>) -> impl Iterator<Item = IpAddr> {
        addresses.flat_map(|address| {
            let address = address.to_canonical();
            let twin = match (self.nat64, address) {
                (Some(prefix), IpAddr::V4(address)) => Some(prefix.embed(address).into()),
                _ => None,
            };
            std::iter::once(address).chain(twin)
        })
    }

    /// The address that one of the translator's stands for; any other means itself.
    fn meant(&self, address: IpAddr) -> IpAddr {
        match (self.nat64, address) {
            (Some(prefix), IpAddr::V6(mapped)) => prefix.extract(mapped).map_or(address, IpAddr::V4),
            _ => address,
        }
    }

    /// Why an address is nobody's alone.
    fn spares(&self, plan: &Plan, address: IpAddr) -> Option<Reason> {
        let address = self.meant(address);
        let inside = |networks: &[Prefix]| networks.iter().any(|network| network.holds(address));
        if is_private(address) || address.is_multicast() {
            Some(Reason::Private)
        } else if inside(&self.own) {
            Some(Reason::OwnResolver)
        } else if inside(&self.shared) || inside(&plan.known_shared) {
            Some(Reason::SharedNetwork)
        } else {
            None
        }
    }
}

impl Learned {
    /// Takes what a name of `title` leads to. Returns true when there is something new.
    pub(super) fn take(
        &mut self,
        (title, name): (&str, &Name),
        found: &[Found],
        (plan, terms): (&Plan, &Terms),
        now: Moment,
    ) -> bool {
        let mut is_new = false;
        let found = found.iter().take(MOST_OF_ANSWER);
        let found = found.flat_map(|(found, seconds)| {
            terms.with_twins(std::iter::once(*found)).map(move |address| (address, seconds))
        });
        for (address, seconds) in found {
            let life = Duration::from_secs(u64::from(*seconds)).clamp(terms.floor, CEILING.max(terms.floor));
            let until = now + life;
            let key = (title.to_owned(), address);
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.until = entry.until.max(until);
                if !entry.names.contains(name) && entry.names.len() < MOST_NAMES {
                    entry.names.push(name.clone());
                }
            } else if self.entries.len() < MOST {
                let spared = terms.spares(plan, address);
                self.entries.insert(key, Entry { until, names: vec![name.clone()], spared });
                is_new = true;
            }
        }
        is_new
    }

    /// Takes over an address that the kernel still held when this process started.
    pub(super) fn take_over(
        &mut self,
        title: &str,
        address: IpAddr,
        (plan, terms): (&Plan, &Terms),
        now: Moment,
    ) {
        if self.entries.len() < MOST {
            let entry =
                Entry { until: now + terms.floor, names: Vec::new(), spared: terms.spares(plan, address) };
            self.entries.entry((title.to_owned(), address)).or_insert(entry);
        }
    }

    /// Forgets what counts no more, and what belongs to nothing that is held; judges anew what an address is.
    pub(super) fn keep(&mut self, plan: &Plan, terms: &Terms, now: Moment) {
        self.entries.retain(|(title, _), entry| {
            entry.until > now && plan.parts.iter().any(|part| part.title == *title)
        });
        for ((_, address), entry) in &mut self.entries {
            entry.spared = terms.spares(plan, *address);
        }
    }

    /// Everything that is known: title, address and the rest, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, IpAddr, &Entry)> {
        self.entries.iter().map(|((title, address), entry)| (title.as_str(), *address, entry))
    }
}

/// The addresses in an answer to a question for some.
pub(super) fn addresses(message: &[u8]) -> Vec<Found> {
    let found = Message::new(message).into_iter().flat_map(Message::addresses);
    found.take(MOST_OF_ANSWER).map(|(address, ttl)| (address.to_canonical(), ttl)).collect()
}
