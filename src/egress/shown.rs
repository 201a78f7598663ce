//! Owns what operators see of egress: whether the kernel holds the policy in force, how much, and for one address what becomes of it and why.
//! Never changes anything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::config::Config;
use super::learned::Learned;
use super::metrics::Counts;
use super::permits::{PermitStatus, Permits, Standing as Permission};
use super::plan::{Group, Plan};
use super::spared::Spared;
use super::tally::Tally;
use crate::clock::Clock;
use crate::policy::Mode;

/// Egress, as the rest of the process sees it.
#[derive(Debug)]
pub struct Egress {
    pub(super) config: Config,
    pub(super) counts: Counts,
    pub(super) permits: Arc<Permits>,
    state: Mutex<State>,
}

/// What the keeper knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) plan: Option<Arc<Plan>>,
    pub(super) learned: Learned,
    /// By group.
    pub(super) spared: Vec<Spared>,
    /// The generation that the kernel holds, and since when.
    pub(super) applied: Option<(u64, Timestamp)>,
    /// Why it does not hold what it should.
    pub(super) trouble: Option<String>,
    pub(super) tally: Tally,
    /// Of what clients did not resolve.
    pub(super) unresolved: Tally,
}

/// What operators see of it all.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The generation that the kernel holds.
    pub generation: Option<u64>,
    /// When it took it.
    pub applied_at: Option<Timestamp>,
    /// Why it does not hold what it should.
    pub trouble: Option<String>,
    /// Networks and addresses by app.
    pub apps: BTreeMap<String, Amount>,
    /// Packets held since the start, by group; those only rehearsed apart.
    pub groups: BTreeMap<String, Packets>,
    /// Addresses that are spared for some group.
    pub spared: usize,
    /// What clients may reach because they were answered so; `None` where nobody is held to that.
    pub resolved: Option<PermitStatus>,
}

/// How much belongs to an app.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Amount {
    /// Networks of the catalog and of lists.
    pub networks: usize,
    /// Addresses that its names lead to.
    pub learned: usize,
}

/// How much was held.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Packets {
    /// Held.
    pub held: u64,
    /// Only counted.
    pub rehearsed: u64,
}

/// What becomes of an address.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The address.
    pub address: IpAddr,
    /// The generation that the kernel holds.
    pub generation: Option<u64>,
    /// What it belongs to.
    pub belongs_to: Vec<Belonging>,
    /// What it comes to for each group.
    pub groups: Vec<Standing>,
    /// What it comes to for one client that is held to what it resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Resolved>,
}

/// Whether one client may connect to an address because it was answered so.
#[derive(Clone, Debug, Serialize)]
pub struct Resolved {
    /// The client.
    pub client: IpAddr,
    /// Its group.
    pub group: String,
    /// `resolved-only` or `shadow`.
    pub egress: &'static str,
    /// Of the pair.
    #[serde(flatten)]
    pub permission: Permission,
    /// What it may always reach there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<String>,
}

/// Why an address belongs to something.
#[derive(Clone, Debug, Serialize)]
pub struct Belonging {
    /// App, shared part of an app, or list.
    pub title: String,
    /// `catalog`, `list` or `learned`.
    pub origin: &'static str,
    /// The network that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Banned names that lead there; none for what was held before the start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Why it is held for nobody all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spared: Option<&'static str>,
}

/// What an address comes to for a group.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// The group.
    pub group: String,
    /// `blocked`, `shadow`, `spared` or `free`.
    pub verdict: &'static str,
    /// As what it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Why it is spared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The name that it is spared for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Egress {
    /// With these settings; nothing is held yet.
    pub fn new(config: Config, clock: Clock) -> Arc<Self> {
        let permits = Arc::new(Permits::new(&config, clock));
        Arc::new(Self { config, counts: Counts::default(), permits, state: Mutex::default() })
    }

    /// Who may reach what it was answered.
    pub fn permits(&self) -> &Arc<Permits> {
        &self.permits
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What does not work as it should, in words.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.state().trouble.clone();
        trouble.or_else(|| self.permits.trouble())
    }

    /// What operators see of it all.
    pub fn status(&self) -> Status {
        let state = self.state();
        let mut apps: BTreeMap<String, Amount> = BTreeMap::new();
        for ((app, _, origin), count) in state.addresses() {
            let amount = apps.entry(app).or_default();
            let place = if origin == "learned" { &mut amount.learned } else { &mut amount.networks };
            *place += count;
        }
        let mut groups: BTreeMap<String, Packets> = BTreeMap::new();
        for (counted, (packets, _)) in state.tally.totals().iter().chain(state.unresolved.totals()) {
            let of = groups.entry(counted.group.clone()).or_default();
            *(if counted.mode == "enforce" { &mut of.held } else { &mut of.rehearsed }) += packets;
        }
        let spared: std::collections::BTreeSet<&IpAddr> =
            state.spared.iter().flat_map(BTreeMap::keys).collect();
        Status {
            generation: state.applied.map(|(generation, _)| generation),
            applied_at: state.applied.map(|(_, at)| at),
            trouble: state.trouble.clone().or_else(|| self.permits.trouble()),
            apps,
            groups,
            spared: spared.len(),
            resolved: state
                .plan
                .as_ref()
                .filter(|plan| !plan.guarded.is_empty())
                .map(|_| self.permits.status()),
        }
    }

    /// What becomes of one address, and why; for one client too, if it is held to what it resolved.
    pub fn explain(&self, address: IpAddr, client: Option<IpAddr>) -> Explained {
        let address = address.to_canonical();
        let state = self.state();
        let generation = state.applied.map(|(generation, _)| generation);
        let (belongs_to, groups) = (Vec::new(), Vec::new());
        let mut explained = Explained { address, generation, belongs_to, groups, client: None };
        let Some(plan) = state.plan.clone() else { return explained };
        for part in &plan.parts {
            let origin = if part.is_app { "catalog" } else { "list" };
            let networks = part.networks.iter().filter(|network| network.holds(address));
            explained.belongs_to.extend(networks.map(|network| Belonging {
                title: part.title.clone(),
                origin,
                network: Some(network.to_string()),
                names: Vec::new(),
                spared: self.shared(address),
            }));
        }
        let learned = state.learned.all().filter(|(_, known, _)| *known == address);
        explained.belongs_to.extend(learned.map(|(title, _, entry)| Belonging {
            title: title.to_owned(),
            origin: "learned",
            network: None,
            names: entry.names.iter().map(ToString::to_string).collect(),
            spared: entry.spared.map(|reason| reason.as_str()).or_else(|| self.shared(address)),
        }));
        for (number, group) in plan.groups.iter().enumerate() {
            let standing = state.standing((&plan, number, group), address, &explained.belongs_to);
            explained.groups.push(standing);
        }
        explained.client = client.and_then(|client| self.resolved(&plan, client.to_canonical(), address));
        explained
    }

    fn resolved(&self, plan: &Plan, client: IpAddr, address: IpAddr) -> Option<Resolved> {
        let mut ranges = plan.guarded.iter();
        let holds = |first: &IpAddr, last: &IpAddr| {
            first.is_ipv4() == client.is_ipv4() && (*first..=*last).contains(&client)
        };
        let (.., group) = ranges.find(|(first, last, _)| holds(first, last))?;
        let group = plan.groups.get(*group)?;
        let reach =
            group.reach.iter().filter(|reach| reach.network.is_none_or(|network| network.holds(address)));
        Some(Resolved {
            client,
            group: group.name.clone(),
            egress: group.outbound.as_str(),
            permission: self.permits.standing(client, address),
            reach: reach.map(ToString::to_string).collect(),
        })
    }

    fn shared(&self, address: IpAddr) -> Option<&'static str> {
        self.config.shared.iter().any(|network| network.holds(address)).then_some("shared-network")
    }
}

impl State {
    fn standing(
        &self,
        (plan, number, group): (&Plan, usize, &Group),
        address: IpAddr,
        belongs_to: &[Belonging],
    ) -> Standing {
        let mut standing =
            Standing { group: group.name.clone(), verdict: "free", part: None, reason: None, name: None };
        let parts = group.holds.iter().filter_map(|(part, mode)| Some((plan.parts.get(*part)?, mode)));
        let mut held: Vec<(&str, Mode, Option<&'static str>)> = Vec::new();
        for (part, mode) in parts {
            let belongings = belongs_to.iter().filter(|belonging| belonging.title == part.title);
            held.extend(belongings.map(|belonging| (part.title.as_str(), *mode, belonging.spared)));
        }
        // What is enforced decides before what is rehearsed.
        held.sort_by_key(|(_, mode, spared)| (spared.is_some(), *mode != Mode::Enforce));
        let Some((title, mode, spared)) = held.first() else { return standing };
        standing.part = Some((*title).to_owned());
        match (spared, self.spared.get(number).and_then(|free| free.get(&address))) {
            (Some(reason), _) => {
                standing.verdict = "spared";
                standing.reason = Some(reason);
            }
            (None, Some((reason, name))) => {
                standing.verdict = "spared";
                standing.reason = Some(reason.as_str());
                standing.name = Some(name.to_string());
            }
            (None, None) => {
                standing.verdict = if *mode == Mode::Enforce { "blocked" } else { "shadow" };
            }
        }
        standing
    }

    /// How many networks and addresses, by app, family and origin.
    pub(super) fn addresses(&self) -> BTreeMap<(String, &'static str, &'static str), usize> {
        let mut all = BTreeMap::new();
        let family = |is_ipv4| if is_ipv4 { "ipv4" } else { "ipv6" };
        let Some(plan) = &self.plan else { return all };
        for part in &plan.parts {
            let origin = if part.is_app { "catalog" } else { "list" };
            for network in &part.networks {
                *all.entry((part.app.clone(), family(network.is_ipv4()), origin)).or_default() += 1;
            }
        }
        let mut apps: BTreeMap<&str, &str> = BTreeMap::new();
        apps.extend(plan.parts.iter().map(|part| (part.title.as_str(), part.app.as_str())));
        for (title, address, _) in self.learned.all().filter(|(_, _, entry)| entry.spared.is_none()) {
            if let Some(app) = apps.get(title) {
                *all.entry(((*app).to_owned(), family(address.is_ipv4()), "learned")).or_default() += 1;
            }
        }
        all
    }
}
