//! Owns what rules about the servers of zones decide, and their place behind those about names and answers' addresses: the group's order first,
//! then the server's name, then its address (draft-vixie-dnsop-dns-rpz section 5). Never finds out which servers a zone has.

use std::net::IpAddr;

use super::address::{ListedPrefix, Whose};
use super::snapshot::{Counting, NONE, Snapshot};
use super::verdict::{Cause, Trigger, Verdict};
use crate::dns::CanonicalName;

/// The rule that decides so far; the lowest rank decides, and of equals the first that was looked at.
type Best = Option<(u64, Cause)>;

impl Snapshot {
    /// True when some rule about zones' servers counts for the group.
    #[inline]
    pub fn screens_name_servers(&self, group: u16) -> bool {
        self.groups.get(usize::from(group)).is_some_and(|group| group.screens_name_servers)
    }

    /// True when it does for any group.
    pub fn asks_for_name_servers(&self) -> bool {
        self.groups.iter().any(|group| group.screens_name_servers)
    }

    /// Whether there are rules about the IPv4 and the IPv6 addresses of zones' servers, so that these must be known.
    pub fn asks_for_name_server_addresses(&self) -> (bool, bool) {
        // Those of IPv4 stand first.
        let rules = self.addresses.name_servers.rules();
        let is_ipv4 = |rule: &ListedPrefix| rule.prefix.is_ipv4();
        (rules.first().is_some_and(is_ipv4), rules.last().is_some_and(|rule| !is_ipv4(rule)))
    }

    /// True when a rule about zones' servers stands before what was met, so that the servers must be known first.
    #[inline]
    pub fn awaits_name_servers(&self, cause: &Cause) -> bool {
        let Some(group) = self.groups.get(usize::from(cause.group)) else { return false };
        group.screens_name_servers && group.name_servers_from < self.position(cause)
    }

    /// Decides the servers of the zones that a question's name and its answer's names are in. `met` is the rule that was met already: then
    /// only rules that stand before it count.
    pub fn decide_name_servers(
        &self,
        group: u16,
        names: &[CanonicalName],
        addresses: &[IpAddr],
        met: Option<&Cause>,
    ) -> Verdict {
        let (mut enforced, mut shadow): (Best, Best) = (None, None);
        for name in names {
            self.search(name, |entry| {
                let kind = self.kinds.get(entry.kind as usize);
                if kind.is_some_and(|kind| kind.reach.meets_name_server(entry.depth)) {
                    // The closest listed name goes first.
                    let rank = (entry.depth as u64) << 8;
                    let found = (entry.number, entry.kind, Trigger::NameServerName);
                    self.weigh_name_server(group, found, rank, [&mut enforced, &mut shadow]);
                }
            });
        }
        for address in addresses {
            for (number, listed) in self.addresses_of(Whose::NameServer).covering(*address) {
                // Behind all names; the longest prefix goes first.
                let rank = 1 << 24 | u64::from(128 - listed.prefix.mapped_length()) << 8;
                let found = (number, listed.kind, Trigger::NameServerAddress);
                self.weigh_name_server(group, found, rank, [&mut enforced, &mut shadow]);
            }
        }
        let [enforced, shadow] = [enforced, shadow].map(|best| best.map(|(_, cause)| cause));
        self.weigh_beside(met, enforced, shadow)
    }

    /// Takes a rule in the place of the one that decides so far, if it goes before it: by place in the group's order, by `rank`, passthru
    /// before all else.
    fn weigh_name_server(
        &self,
        group: u16,
        (rule, kind, trigger): (u32, u32, Trigger),
        rank: u64,
        bests: [&mut Best; 2],
    ) {
        let Some(compiled) = self.groups.get(usize::from(group)) else { return };
        let Some(listed) = self.kinds.get(kind as usize) else { return };
        let counting = compiled.by_set.get(usize::from(listed.set)).copied();
        let Counting { enforced, shadow } = counting.unwrap_or(Counting { enforced: NONE, shadow: NONE });
        for (enforcement, best) in [enforced, shadow].into_iter().zip(bests) {
            let Some(found) = compiled.enforcements.get(usize::from(enforcement)) else { continue };
            let rank = u64::from(found.position) << 32 | rank | u64::from(!self.is_passthru(listed.action));
            if best.as_ref().is_none_or(|(lowest, _)| rank < *lowest) {
                let cause = Cause { rule, kind, group, enforcement, trigger, depth: 0, exact: true };
                *best = Some((rank, cause));
            }
        }
    }

    /// Works out for which groups zones' servers count.
    pub(super) fn settle_name_servers(&mut self) {
        let mut listed = vec![false; self.sets.len()];
        let by_name = self.kinds.iter().filter(|kind| kind.reach.is_about_name_servers());
        let by_address = self.addresses.name_servers.rules().iter();
        let by_address = by_address.filter_map(|rule| self.kinds.get(rule.kind as usize));
        for kind in by_name.chain(by_address) {
            if let Some(listed) = listed.get_mut(usize::from(kind.set)) {
                *listed = true;
            }
        }
        for group in &mut self.groups {
            (group.screens_name_servers, group.name_servers_from) = group.counts_from(&listed);
        }
    }
}
