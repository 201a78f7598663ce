//! Owns the collateral guard: which held addresses also answer for names that a group may ask for and that were asked for lately, or are
//! somebody else's. Never holds anything.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::learned::Learned;
use super::plan::{Plan, blocks};
use crate::clock::Moment;
use crate::dns::{CanonicalName, Name};
use crate::policy::{Snapshot, Verdict};

/// Goes through the answers that clients were given lately: for each its addresses, and what tells its name and the names that it is an alias
/// of.
pub type Lately =
    std::sync::Arc<dyn Fn(&mut dyn FnMut(&mut dyn Iterator<Item = IpAddr>, &Told<'_>)) + Send + Sync>;
/// Tells an answer's name, and the names that it leads to.
pub type Told<'t> = dyn Fn() -> Option<(Name, Vec<Name>)> + 't;

/// Why an address is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reason {
    /// A name that is not banned leads there, and was asked for lately.
    AllowedName,
    /// A name that an exception or a passthru rule frees leads there.
    Exception,
    /// It is one of this network's own resolvers, or an upstream.
    OwnResolver,
    /// It means something else in every network.
    Private,
    /// It is in a network that several services share.
    SharedNetwork,
}

/// What is spared for one group: the address, why, and the name that leads there.
pub(super) type Spared = BTreeMap<IpAddr, (Reason, Name)>;

/// Names that were asked for lately and lead to addresses that are held, or would be.
#[derive(Debug, Default)]
pub(super) struct Seen {
    by_address: HashMap<IpAddr, Vec<Sighting>>,
}

#[derive(Debug)]
struct Sighting {
    name: Name,
    /// Names that it is an alias of.
    targets: Vec<Name>,
    at: Moment,
}

/// How long a name counts as asked for lately after its answer was last seen: over a working hour, so that nothing comes and goes.
const LATELY: Duration = Duration::from_secs(3600);
/// Addresses that are remembered, and names of each.
const MOST: usize = 16_384;
const MOST_NAMES: usize = 8;
const MOST_TARGETS: usize = 8;

impl Reason {
    pub(super) const ALL: [Self; 5] =
        [Self::AllowedName, Self::Exception, Self::OwnResolver, Self::Private, Self::SharedNetwork];

    /// The word in labels.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AllowedName => "allowed-name",
            Self::Exception => "exception",
            Self::OwnResolver => "own-resolver",
            Self::Private => "private",
            Self::SharedNetwork => "shared-network",
        }
    }
}

impl Seen {
    /// Notes that an answer to `name` holds `address`.
    pub(super) fn note(&mut self, address: IpAddr, name: &Name, targets: &[Name], at: Moment) {
        if self.by_address.len() >= MOST && !self.by_address.contains_key(&address) {
            return;
        }
        let sightings = self.by_address.entry(address).or_default();
        let targets = targets.iter().take(MOST_TARGETS).cloned().collect();
        // Of many names at one address the oldest makes room, so that one that is allowed is not kept out by those that are not.
        let oldest = || sightings.iter().enumerate().min_by_key(|(_, sighting)| sighting.at);
        let known = sightings.iter().position(|sighting| sighting.name == *name);
        let place = known.or_else(|| oldest().filter(|_| sightings.len() >= MOST_NAMES).map(|(at, _)| at));
        let sighting = Sighting { name: name.clone(), targets, at };
        match place.and_then(|place| sightings.get_mut(place)) {
            Some(place) => *place = sighting,
            None => sightings.push(sighting),
        }
    }

    /// Forgets what was not asked for lately.
    pub(super) fn forget(&mut self, now: Moment) {
        self.by_address.retain(|_, sightings| {
            sightings.retain(|sighting| sighting.at + LATELY > now);
            !sightings.is_empty()
        });
    }

    /// What is spared for each group, in the order of the plan's. An address of a network that the catalog or a list names is spared only
    /// for a name that somebody freed on purpose: what else leads there is most likely the app's own and not listed yet.
    pub(super) fn spare(&self, plan: &Plan, learned: &Learned, snapshot: &Snapshot) -> Vec<Spared> {
        let mut all: Vec<Spared> = Vec::new();
        for (number, group) in (0..).zip(&plan.groups) {
            let mut spared = Spared::new();
            let held: Vec<_> = group.holds.iter().filter_map(|(part, _)| plan.parts.get(*part)).collect();
            let is_listed = |address| held.iter().any(|part| part.holds(address));
            for (title, address, entry) in learned.all() {
                // One of the app's own names that an exception frees here.
                let is_held = held.iter().any(|part| part.title == title && !part.is_bypass);
                let freed = entry.names.iter().find(|name| !blocks(snapshot, number, name));
                if let Some(name) = freed.filter(|_| is_held && !is_listed(address)) {
                    spared.insert(address, (Reason::Exception, name.clone()));
                }
            }
            for (address, sightings) in &self.by_address {
                let is_listed = is_listed(*address);
                let found = sightings.iter().find_map(|sighting| {
                    let reason = sighting.reason(snapshot, number)?;
                    // Ways around this resolver may be held although their names are not banned.
                    let is_own = held.iter().any(|part| part.asks(&sighting.name));
                    (reason == Reason::Exception || !(is_listed || is_own))
                        .then(|| (reason, sighting.name.clone()))
                });
                if let Some(found) = found {
                    spared.entry(*address).or_insert(found);
                }
            }
            all.push(spared);
        }
        all
    }
}

impl Sighting {
    /// Why the group may have what the name leads to.
    fn reason(&self, snapshot: &Snapshot, group: u16) -> Option<Reason> {
        match snapshot.decide_query(group, &CanonicalName::from(&self.name)) {
            Verdict::Permit(_) => Some(Reason::Exception),
            Verdict::Allow => {
                let mut answers = self
                    .targets
                    .iter()
                    .map(|target| snapshot.decide_answer(group, &CanonicalName::from(target)));
                let is_free = answers.all(|verdict| matches!(verdict, Verdict::Allow | Verdict::Permit(_)));
                is_free.then_some(Reason::AllowedName)
            }
            Verdict::Canary { .. } | Verdict::Deny(_) | Verdict::Shadow(_) => None,
        }
    }
}
