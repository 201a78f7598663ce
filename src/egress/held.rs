//! Owns what comes of the plan, of what was learned and of what is spared, for the sets that change between generations. Pure; never talks to
//! the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::learned::Learned;
use super::nftables::{Elements, all_learned, learned, spared};
use super::plan::Plan;
use super::spared::Spared;
use crate::clock::Moment;

/// The elements that hold at `now`, with the seconds that are left of each.
pub(super) fn elements(plan: &Plan, known: &Learned, free: &[Spared], now: Moment) -> Elements {
    let mut elements = Elements::new();
    let mut held: BTreeSet<IpAddr> = BTreeSet::new();
    for (title, address, entry) in known.all() {
        let left = entry.until.since(now).as_secs();
        if entry.spared.is_some() || left == 0 {
            continue;
        }
        // What one of its networks holds is there already.
        for part in plan.parts.iter().filter(|part| part.title == title && !part.holds(address)) {
            held.insert(address);
            for set in [learned(part, address), all_learned(address)] {
                let seconds = elements.entry(set).or_default().entry(address).or_insert(Some(left));
                *seconds = (*seconds).max(Some(left));
            }
        }
    }
    for (group, free) in plan.groups.iter().zip(free) {
        for address in free.keys().filter(|address| held.contains(*address) || plan.lists(**address)) {
            elements.entry(spared(group, *address)).or_default().insert(*address, None);
        }
    }
    elements
}
