//! Owns what of a policy a packet filter can hold: for each group the apps and lists that it bans or rehearses with their networks, and who
//! belongs to it by address. Read off the snapshot's own decisions; never decides by itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::catalog::Tier;
use super::client::Prefix;
use super::fate::is_denial;
use super::group::Mode;
use super::snapshot::{NONE, Origin, Snapshot};
use super::verdict::{Cause, Verdict};

/// An app or a list whose networks a group may not reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding<'s> {
    /// The app's id, or `none` for a list that is attributed to none.
    pub app: &'s str,
    /// The app's id, with `:shared` for what other services use too, or the list's name.
    pub title: String,
    /// Whether it is enforced or rehearsed.
    pub mode: Mode,
    /// Its networks, none inside of another.
    pub networks: Vec<Prefix>,
    /// Whether the app's own names lead to more of its addresses.
    pub has_names: bool,
}

impl Snapshot {
    /// What a group may not reach, in the order of the rules' sets. Without what an exception frees, and without networks that have no
    /// prefix or in which something passes.
    pub fn holdings(&self, group: u16) -> Vec<Holding<'_>> {
        let Some(compiled) = self.groups.get(usize::from(group)) else { return Vec::new() };
        let mut of_lists = self.networks_held_by_lists(group);
        let mut holdings = Vec::new();
        for (number, set) in (0..).zip(&self.sets) {
            let app = self.app(set.app);
            let mut hold = |mode, networks, has_names| {
                holdings.push(Holding {
                    app: app.map_or("none", |app| &app.id),
                    title: self.set_title(number),
                    mode,
                    networks: Prefix::outermost(networks),
                    has_names,
                });
            };
            match (&set.origin, app) {
                (Origin::App(tier), Some(app)) => {
                    let counting = compiled.by_set.get(usize::from(number));
                    let mode = match counting {
                        Some(counting) if counting.enforced != NONE => Mode::Enforce,
                        Some(counting) if counting.shadow != NONE => Mode::Shadow,
                        _ => continue,
                    };
                    if self.frees(group, &app.id) {
                        continue;
                    }
                    let own = app.networks.iter().filter(|network| network.tier == *tier);
                    let has_names = *tier == Tier::Core;
                    hold(mode, own.filter_map(|network| network.prefix).collect(), has_names);
                }
                (Origin::Source(_), _) => {
                    for mode in [Mode::Enforce, Mode::Shadow] {
                        if let Some(networks) = of_lists.remove(&(number, mode == Mode::Enforce)) {
                            hold(mode, networks, false);
                        }
                    }
                }
                _ => {}
            }
        }
        holdings
    }

    /// True when an exception in force lets the group use the app.
    pub fn frees(&self, group: u16, app: &str) -> bool {
        let group = self.groups.get(usize::from(group));
        let exceptions = group.into_iter().flat_map(|group| &group.enforcements);
        let mut exceptions = exceptions.filter_map(|found| self.exception(found.exception));
        exceptions.any(|exception| exception.apps.iter().any(|freed| freed == app))
    }

    /// What holds connections of a group to addresses of the app or list with this title; `None` for an app without a name. Only
    /// [`Snapshot::describe`] makes words of it.
    pub fn cause_of_holding(&self, group: u16, title: &str) -> Option<Cause> {
        let set = (0..self.sets.len()).find(|set| self.set_title(*set as u16) == title)? as u16;
        let counting = self.groups.get(usize::from(group))?.by_set.get(usize::from(set));
        let by = counting.map_or(NONE, |counting| match counting.enforced {
            NONE => counting.shadow,
            enforced => enforced,
        });
        self.cause_of_network(group, set, by)
    }

    /// Every address there is, in ranges from first to last, with the number of its group; those of IPv4 first. Who is known by more than an
    /// address may be in another.
    pub fn groups_by_address(&self) -> impl Iterator<Item = (IpAddr, IpAddr, u16)> {
        self.clients.groups()
    }

    /// The addresses of those who may ask, in ranges from first to last, with the number of the group; those of IPv4 first.
    pub fn admitted_by_address(&self) -> impl Iterator<Item = (IpAddr, IpAddr, u16)> {
        self.clients.admitted()
    }

    /// The networks that lists deny in answers, by set and whether that is enforced.
    fn networks_held_by_lists(&self, group: u16) -> BTreeMap<(u16, bool), Vec<Prefix>> {
        let rules = self.addresses.answers.rules();
        let mut held: BTreeMap<(u16, bool), Vec<Prefix>> = BTreeMap::new();
        for (number, rule) in rules.iter().enumerate() {
            let Some((cause, enforced)) = self.held(group, rule.prefix) else { continue };
            let (_, end) = rule.prefix.range();
            // What passes inside of it would be lost. A prefix comes before all that it covers.
            let covered = rules.iter().skip(number + 1).take_while(|other| {
                other.prefix.is_ipv4() == rule.prefix.is_ipv4() && other.prefix.range().1 <= end
            });
            let mut covered = covered.map(|other| self.held(group, other.prefix));
            let has_holes = covered.any(|other| other.is_none_or(|(_, inside)| enforced && !inside));
            let set = self.kinds.get(cause.kind as usize).map(|kind| kind.set);
            if let Some(set) = set.filter(|_| !has_holes) {
                held.entry((set, enforced)).or_default().push(rule.prefix);
            }
        }
        held
    }

    /// What denies answers with the first address of a prefix, and whether it is enforced.
    fn held(&self, group: u16, prefix: Prefix) -> Option<(Cause, bool)> {
        match self.decide_addresses(group, std::iter::once(prefix.first()), None) {
            Verdict::Deny(cause) if is_denial(self.action(&cause)) => Some((cause, true)),
            Verdict::Shadow(cause) if is_denial(self.action(&cause)) => Some((cause, false)),
            _ => None,
        }
    }
}
