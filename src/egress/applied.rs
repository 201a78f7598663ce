//! Owns what the kernel was told last of what is banned, and whether what it shows is still that. Never tells or asks it.

use std::net::IpAddr;
use std::sync::Arc;

use super::nftables::{Elements, Listing};
use super::plan::Plan;
use crate::clock::Moment;

/// What the kernel was told last.
pub(super) struct Applied {
    pub(super) plan: Arc<Plan>,
    /// What the kernel showed of it then.
    pub(super) fingerprint: [u8; 32],
    pub(super) elements: Elements,
    pub(super) at: Moment,
}

/// Elements that are about to go may be gone already, in seconds.
const MARGIN: u64 = 10;

impl Applied {
    /// True when nothing is missing and nothing was changed.
    pub(super) fn is_shown_by(&self, listing: &Listing, now: Moment) -> bool {
        let gone = now.since(self.at).as_secs() + MARGIN;
        let is_there = |set: &str, address: &IpAddr| {
            listing.elements.get(set).is_some_and(|found| found.contains(address))
        };
        let all = self.elements.iter().flat_map(|(set, addresses)| {
            addresses.iter().map(move |(address, seconds)| (set, address, seconds))
        });
        let mut lasting = all.filter(|(.., seconds)| seconds.is_none_or(|seconds| seconds > gone));
        let spared = listing.elements.iter().filter(|(set, _)| set.contains(".spared."));
        let mut spared = spared.flat_map(|(set, found)| found.iter().map(move |address| (set, address)));
        listing.fingerprint == self.fingerprint
            && lasting.all(|(set, address, _)| is_there(set, address))
            && spared
                .all(|(set, address)| self.elements.get(set).is_some_and(|known| known.contains_key(address)))
    }
}
