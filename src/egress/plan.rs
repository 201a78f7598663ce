//! Owns what the kernel is to hold by one policy: the apps and lists, their networks and names, and for each group which of them. A pure
//! function of the snapshot and the settings; never knows what is in the kernel.

use std::net::IpAddr;

use super::config::Config;
use crate::dns::{CanonicalName, Name};
use crate::policy::{
    Catalog, Destination, ENCRYPTED_DNS, Fate, Holding, Mode, Outbound, Prefix, Snapshot, Tier,
};

/// What is to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) generation: u64,
    /// Apps and lists that any group may not reach.
    pub(super) parts: Vec<Part>,
    /// The networks of all of them, none inside of another.
    pub(super) all: Vec<Prefix>,
    /// The policy's groups, in the order of their numbers.
    pub(super) groups: Vec<Group>,
    /// Who is in which group but the last resort, by address: first, last, and the group's number.
    pub(super) ranges: Vec<(IpAddr, IpAddr, usize)>,
    /// Who may ask and is held to what it resolved, or rehearses that, in the same way.
    pub(super) guarded: Vec<(IpAddr, IpAddr, usize)>,
    /// The number of the group of everybody else.
    pub(super) otherwise: usize,
    /// Networks that several services share, as the catalog says: nothing there is learned.
    pub(super) known_shared: Vec<Prefix>,
    /// Questions that are left out because there are too many.
    pub(super) unasked: usize,
}

/// An app, what it shares with other services, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// What it is called in the kernel; unique.
    pub(super) ident: String,
    /// The app's id, with `:shared` for what other services use too, or the list's name.
    pub(super) title: String,
    /// The app's id, or `none`.
    pub(super) app: String,
    /// None inside of another.
    pub(super) networks: Vec<Prefix>,
    /// What is resolved to learn more of its addresses.
    pub(super) names: Vec<Name>,
    /// Whether it is the ways around this resolver.
    pub(super) is_bypass: bool,
    /// Whether it is an app's, and not a list's.
    pub(super) is_app: bool,
}

/// A group of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// What it is called in the kernel; unique.
    pub(super) ident: String,
    pub(super) name: String,
    /// The numbers of the parts that it may not reach, the ways around this resolver last.
    pub(super) holds: Vec<(usize, Mode)>,
    /// Where its clients may connect to, and what they may always reach.
    pub(super) outbound: Outbound,
    pub(super) reach: Vec<Destination>,
}

/// Most names that are resolved: several times as many as a catalog's apps have.
const MOST_NAMES: usize = 8192;
/// The group of everybody whom no other group names.
const DEFAULT: &str = "default";

impl Plan {
    /// The plan for a policy.
    pub(super) fn of(snapshot: &Snapshot, config: &Config) -> Self {
        let mut plan = Self {
            generation: snapshot.generation(),
            parts: Vec::new(),
            all: Vec::new(),
            groups: Vec::new(),
            ranges: Vec::new(),
            guarded: Vec::new(),
            otherwise: usize::from(snapshot.group_named(DEFAULT).unwrap_or(0)),
            known_shared: known_shared(snapshot.catalog()),
            unasked: 0,
        };
        for (number, name) in (0..).zip(snapshot.group_names()) {
            let mut holdings = snapshot.holdings(number);
            if config.bypass {
                holdings.extend(bypass(snapshot, number, &holdings));
            }
            let mut holds: Vec<(usize, Mode)> =
                holdings.into_iter().map(|held| (plan.part(&held, config), held.mode)).collect();
            holds.sort_by_key(|(part, _)| {
                plan.parts.get(*part).map(|part| (part.is_bypass, part.title.clone()))
            });
            let taken: Vec<&str> = plan.groups.iter().map(|group| group.ident.as_str()).collect();
            plan.groups.push(Group {
                ident: ident(name, &taken),
                name: name.to_owned(),
                holds,
                outbound: snapshot.outbound(number),
                reach: snapshot.reach(number).to_vec(),
            });
        }
        let ranges = snapshot.groups_by_address();
        let ranges = ranges.map(|(first, last, group)| (first, last, usize::from(group)));
        let guarded =
            snapshot.admitted_by_address().filter(|(.., group)| snapshot.outbound(*group) != Outbound::Off);
        plan.guarded = guarded.map(|(first, last, group)| (first, last, usize::from(group))).collect();
        plan.ranges = ranges.filter(|(.., group)| *group != plan.otherwise).collect();
        plan.all = Prefix::outermost(plan.parts.iter().flat_map(|part| &part.networks).copied().collect());
        plan.ask(snapshot);
        plan
    }

    /// The number of a part, which is added unless it is there.
    fn part(&mut self, held: &Holding<'_>, config: &Config) -> usize {
        let mut networks = held.networks.clone();
        networks.extend(held.networks.iter().filter_map(|network| network.embedded(config.nat64?)));
        let networks = Prefix::outermost(networks);
        let is_same = |part: &Part| part.title == held.title && part.networks == networks;
        if let Some(number) = self.parts.iter().position(is_same) {
            return number;
        }
        let taken: Vec<&str> = self.parts.iter().map(|part| part.ident.as_str()).collect();
        self.parts.push(Part {
            ident: ident(&held.title, &taken),
            title: held.title.clone(),
            app: held.app.to_owned(),
            networks,
            names: Vec::new(),
            is_bypass: held.title == ENCRYPTED_DNS,
            is_app: held.has_names || held.title.ends_with(":shared"),
        });
        self.parts.len() - 1
    }

    /// The names to be resolved: an app's own, as far as a group that bans it blocks them.
    fn ask(&mut self, snapshot: &Snapshot) {
        let mut room = MOST_NAMES;
        for (number, part) in self.parts.iter_mut().enumerate() {
            let app = snapshot.catalog().app(&part.title).filter(|_| part.is_app);
            let holders = (0..).zip(&self.groups);
            let holders = holders.filter(|(_, group)| group.holds.iter().any(|(held, _)| *held == number));
            let holders: Vec<u16> = holders.map(|(group, _)| group).collect();
            let listed = app.into_iter().flat_map(|app| &app.names).filter(|name| name.tier == Tier::Core);
            let is_blocked = |name: &Name| holders.iter().any(|group| blocks(snapshot, *group, name));
            let names = listed.map(|listed| listed.name.clone());
            let mut names: Vec<Name> = names.filter(|name| part.is_bypass || is_blocked(name)).collect();
            names.sort();
            names.dedup();
            self.unasked += names.len().saturating_sub(room);
            names.truncate(room);
            room -= names.len();
            part.names = names;
        }
    }

    /// True when a network of any part holds the address.
    pub(super) fn lists(&self, address: IpAddr) -> bool {
        Prefix::any_holds(&self.all, address)
    }
}

impl Part {
    /// True when one of its networks holds the address.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        Prefix::any_holds(&self.networks, address)
    }

    /// True when `name` is resolved to learn more of its addresses.
    pub(super) fn asks(&self, name: &Name) -> bool {
        self.names.binary_search(name).is_ok()
    }
}

/// True when the group's policy blocks the name, or rehearses that.
pub(super) fn blocks(snapshot: &Snapshot, group: u16, name: &Name) -> bool {
    let fate = snapshot.fate(group, &CanonicalName::from(name), |_| true);
    matches!(fate, Fate::Blocked | Fate::BlockedBeside | Fate::Rehearsed)
}

/// The ways around this resolver, for a group that bans anything and nothing of them itself.
fn bypass<'s>(snapshot: &'s Snapshot, group: u16, holdings: &[Holding<'s>]) -> Option<Holding<'s>> {
    let app = snapshot.catalog().app(ENCRYPTED_DNS)?;
    let is_named = holdings.iter().any(|held| held.title == app.id);
    if holdings.is_empty() || is_named || snapshot.frees(group, &app.id) {
        return None;
    }
    // Where everything is rehearsed, this is too.
    let is_enforced = holdings.iter().any(|held| held.mode == Mode::Enforce);
    let networks = app.networks.iter().filter_map(|network| network.prefix).collect();
    Some(Holding {
        app: &app.id,
        title: app.id.clone(),
        mode: if is_enforced { Mode::Enforce } else { Mode::Shadow },
        networks: Prefix::outermost(networks),
        has_names: true,
    })
}

fn known_shared(catalog: &Catalog) -> Vec<Prefix> {
    let networks = catalog.apps.iter().flat_map(|app| &app.networks);
    let shared = networks.filter(|network| network.tier == Tier::Shared);
    Prefix::outermost(shared.filter_map(|network| network.prefix).collect())
}

/// What something is called in the kernel: letters and digits of its own name, and a number when that is taken.
fn ident(name: &str, taken: &[&str]) -> String {
    /// Names have at most 255 bytes there, and some are made of three of these.
    const LONGEST: usize = 60;
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let base: String = name.chars().map(plain).take(LONGEST).collect();
    let numbered = (2..).map(|number: usize| format!("{base}_{number}"));
    let mut all = std::iter::once(base.clone()).chain(numbered);
    all.find(|found| !taken.contains(&found.as_str())).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_alike_gets_a_number() {
        assert_eq!(ident("tencent-qq", &[]), "tencent-qq");
        assert_eq!(ident("a b\"; drop", &[]), "a_b___drop");
        assert_eq!(ident("a c", &["a_b", "a_c", "a_c_2"]), "a_c_3");
        assert_eq!(ident(&"x".repeat(300), &[]).len(), 60);
    }
}
