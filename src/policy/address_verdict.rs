//! Owns what rules about addresses decide, and their place beside rules about names: the group's order first, then client,
//! query name, response address (draft-vixie-dnsop-dns-rpz section 5). Never searches a list of names.

use std::collections::HashMap;
use std::net::IpAddr;

use super::address::{AddressTable, NONE, Ruling, Whose};
use super::client::Client;
use super::rule::Reach;
use super::snapshot::{self, CompiledGroup, Snapshot};
use super::verdict::{Cause, Verdict};
use crate::dns::RecordType;

/// The rule that decides so far, among those that are enforced or those that are rehearsed.
#[derive(Clone, Copy, Debug)]
struct Best {
    /// The lowest decides: position; the longest prefix; passthru before all else.
    rank: u64,
    /// Of equals the smallest address.
    address: u128,
    cause: Cause,
}

/// The best of both, while addresses are looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Bests {
    enforced: Option<Best>,
    shadow: Option<Best>,
}

impl Snapshot {
    /// True when some rule about the addresses in answers counts for the group.
    #[inline]
    pub fn screens_addresses(&self, group: u16) -> bool {
        self.groups.get(usize::from(group)).is_some_and(|group| group.screens_addresses)
    }

    /// True when a rule about the addresses in an answer of this type stands before what was met, so that the answer must
    /// be known first.
    #[inline]
    pub fn awaits_addresses(&self, cause: &Cause, record_type: RecordType) -> bool {
        let Some(group) = self.groups.get(usize::from(cause.group)) else { return false };
        group.screens_addresses
            && group.addresses_from < self.position(cause)
            && matches!(record_type, RecordType::A | RecordType::AAAA)
    }

    /// Decides the addresses of an answer. `met` is the rule that its name, or the client, met already: then only rules that
    /// stand before it count.
    pub fn decide_addresses(
        &self,
        group: u16,
        addresses: impl Iterator<Item = IpAddr>,
        met: Option<&Cause>,
    ) -> Verdict {
        let mut bests = Bests::default();
        if let Some(compiled) = self.groups.get(usize::from(group)) {
            for address in addresses {
                self.rank(group, compiled, Whose::Answer, address, &mut bests);
            }
        }
        let [enforced, shadow] = [bests.enforced, bests.shadow].map(|best| best.map(|best| best.cause));
        self.weigh_beside(met, enforced, shadow)
    }

    /// The verdict that follows from the rules that decide about an answer, beside one that was `met` before: they count only where they
    /// stand before that.
    pub(super) fn weigh_beside(
        &self,
        met: Option<&Cause>,
        enforced: Option<Cause>,
        shadow: Option<Cause>,
    ) -> Verdict {
        match (met, enforced) {
            (Some(met), Some(found)) if self.position(&found) < self.position(met) => self.verdict_of(found),
            (Some(met), _) => self.verdict_of(*met),
            (None, enforced) => self.weigh(enforced, shadow),
        }
    }

    /// What was decided of a name, for a client whose own address met a rule: the group's order decides, and at the same
    /// place the client goes first.
    #[cold]
    pub(super) fn rule_client(&self, client: Client, name: Verdict) -> Verdict {
        let Some(ruling) = self.addresses.rulings.get(client.ruling as usize) else { return name };
        let first = |own: &Cause, cause: &Cause| self.position(own) <= self.position(cause);
        match (name, ruling.enforced, ruling.shadow) {
            (Verdict::Canary { .. }, ..) => name,
            (Verdict::Allow, enforced, shadow) => self.weigh(enforced, shadow),
            (Verdict::Deny(cause) | Verdict::Permit(cause), Some(own), _) if first(&own, &cause) => {
                self.verdict_of(own)
            }
            (Verdict::Deny(_) | Verdict::Permit(_), ..) => name,
            (Verdict::Shadow(_), Some(own), _) => self.verdict_of(own),
            (Verdict::Shadow(cause), None, Some(own)) if first(&own, &cause) => self.weigh(None, Some(own)),
            (Verdict::Shadow(_), None, _) => name,
        }
    }

    /// The verdict when `cause` decides.
    #[inline]
    pub fn verdict_of(&self, cause: Cause) -> Verdict {
        if self.permits(&cause) { Verdict::Permit(cause) } else { Verdict::Deny(cause) }
    }

    /// The verdict that follows from the rules that decide among those enforced and those rehearsed.
    #[inline]
    pub(super) fn weigh(&self, enforced: Option<Cause>, shadow: Option<Cause>) -> Verdict {
        match (enforced, shadow) {
            (Some(cause), _) => self.verdict_of(cause),
            (None, Some(cause)) if !self.permits(&cause) => Verdict::Shadow(cause),
            (None, _) => Verdict::Allow,
        }
    }

    #[inline]
    pub(super) fn position(&self, cause: &Cause) -> u16 {
        self.enforcement(cause).map_or(u16::MAX, |found| found.position)
    }

    /// Looks at every rule that covers `address`.
    fn rank(&self, group: u16, compiled: &CompiledGroup, whose: Whose, address: IpAddr, bests: &mut Bests) {
        let number = match address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
            IpAddr::V6(address) => u128::from(address),
        };
        for (rule, listed) in self.addresses_of(whose).covering(address) {
            let Some(kind) = self.kinds.get(listed.kind as usize) else { continue };
            let Some(counting) = compiled.by_set.get(usize::from(kind.set)) else { continue };
            for (enforcement, best) in
                [(counting.enforced, &mut bests.enforced), (counting.shadow, &mut bests.shadow)]
            {
                let Some(found) = compiled.enforcements.get(usize::from(enforcement)) else { continue };
                let rank = u64::from(found.position) << 16
                    | u64::from(128 - listed.prefix.mapped_length()) << 8
                    | u64::from(!self.is_passthru(kind.action));
                if best.is_none_or(|best| (rank, number) < (best.rank, best.address)) {
                    let trigger = whose.trigger();
                    let (kind, depth, exact) = (listed.kind, 0, kind.reach == Reach::Exact);
                    let cause = Cause { rule, kind, group, enforcement, trigger, depth, exact };
                    *best = Some(Best { rank, address: number, cause });
                }
            }
        }
    }

    pub(super) fn addresses_of(&self, whose: Whose) -> &AddressTable {
        match whose {
            Whose::Answer => &self.addresses.answers,
            Whose::Client => &self.addresses.clients,
            Whose::NameServer => &self.addresses.name_servers,
        }
    }

    /// Works out once for all what clients' own addresses meet, so that finding a client's group finds that too; and for
    /// which groups answers' addresses count.
    pub(super) fn settle_addresses(&mut self) {
        let mut rulings: Vec<Ruling> = Vec::new();
        let mut known: HashMap<(u16, u32), u32> = HashMap::new();
        let mut ruling = |group: u16, innermost: u32, address: IpAddr| {
            *known.entry((group, innermost)).or_insert_with(|| {
                let mut bests = Bests::default();
                if let Some(compiled) = self.groups.get(usize::from(group)) {
                    self.rank(group, compiled, Whose::Client, address, &mut bests);
                }
                let [enforced, shadow] =
                    [bests.enforced, bests.shadow].map(|best| best.map(|best| best.cause));
                if enforced.is_none() && shadow.is_none() {
                    return NONE;
                }
                rulings.push(Ruling { enforced, shadow });
                rulings.len() as u32 - 1
            })
        };
        let rules = &self.addresses.clients;
        let clients = self.clients.overlaid(rules, &mut ruling);
        let identified: Vec<_> = self
            .identified
            .clients
            .iter()
            .map(|(group, table)| (*group, table.overlaid(rules, &mut ruling)))
            .collect();
        self.identified.clients = identified.into_iter().collect();
        self.clients = clients;
        self.addresses.rulings = rulings.into();

        let mut listed = vec![false; self.sets.len()];
        for rule in self.addresses.answers.rules() {
            let set = self.kinds.get(rule.kind as usize).map(|kind| usize::from(kind.set));
            if let Some(listed) = set.and_then(|set| listed.get_mut(set)) {
                *listed = true;
            }
        }
        for group in &mut self.groups {
            (group.screens_addresses, group.addresses_from) = group.counts_from(&listed);
        }
    }
}

impl CompiledGroup {
    /// Whether any of the sets that are marked counts here, and the lowest position at which one is enforced.
    pub(super) fn counts_from(&self, marked: &[bool]) -> (bool, u16) {
        let mut found = (false, snapshot::NONE);
        for (counting, _) in self.by_set.iter().zip(marked).filter(|(_, marked)| **marked) {
            let enforced = self.enforcements.get(usize::from(counting.enforced));
            let position = enforced.map_or(snapshot::NONE, |found| found.position);
            let counts = counting.enforced != snapshot::NONE || counting.shadow != snapshot::NONE;
            found = (found.0 | counts, found.1.min(position));
        }
        found
    }
}
