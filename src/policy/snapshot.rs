//! Owns the snapshot: a policy compiled for one moment, immutable, and the one function that decides a name.
//! Never reads a clock, a file or a socket, and never allocates while deciding.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use jiff::Timestamp;

use super::address::Addresses;
use super::catalog::{App, Catalog, Tier};
use super::client::{Client, ClientTable};
use super::digest::hexadecimal;
use super::group::{Config, Exception, Mode, Otherwise};
use super::identity::IdentityTable;
use super::instrument::Instrument;
use super::local::LocalNames;
use super::matcher::NameTable;
use super::outbound::{Destination, Ech, Outbound};
use super::private::Rebinding;
use super::rule::{Action, ActionKind, Reach};
use super::rulebook::Rulebook;
use super::verdict::{Cause, Trigger, Verdict};
use crate::dns::{CanonicalName, RecordType, Soa};

/// A compiled policy.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) generation: u64,
    pub(super) digest: [u8; 32],
    pub(super) on: Timestamp,
    pub(super) next_transition: Option<Timestamp>,
    /// The rules of the catalog and of the lists.
    pub(super) book: Arc<Rulebook>,
    /// Rules that came since the rulebook's table was built, and the names that exceptions free. Their numbers go on from that
    /// table's; exceptions' kinds go on from the rulebook's.
    pub(super) beside: NameTable,
    pub(super) exceptions_digest: [u8; 32],
    /// How many different names are listed, and freed.
    pub(super) names: usize,
    pub(super) kinds: Box<[RuleKind]>,
    pub(super) actions: Box<[Action]>,
    pub(super) sets: Box<[RuleSet]>,
    pub(super) groups: Box<[CompiledGroup]>,
    pub(super) clients: ClientTable,
    pub(super) identified: IdentityTable,
    /// Rules about addresses.
    pub(super) addresses: Addresses,
    pub(super) soa: Soa,
    pub(super) config: Config,
}

/// What rules have in common; a long list has few kinds. Name and line of each rule are in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RuleKind {
    pub(super) set: u16,
    pub(super) reach: Reach,
    /// Index of the action, or [`DEFAULT_ACTION`].
    pub(super) action: u16,
}

/// The action of a rule that names none: the group's or the policy's.
pub(super) const DEFAULT_ACTION: u16 = u16::MAX;

/// Rules that come from one place and are enforced together.
#[derive(Clone, Debug)]
pub(super) struct RuleSet {
    pub(super) origin: Origin,
    /// The app its rules are attributed to, as an index into the catalog.
    pub(super) app: Option<u16>,
    pub(super) instrument: Option<u16>,
    /// File its lines count in.
    pub(super) file: String,
    /// Rules in it.
    pub(super) rules: u32,
}

/// Where a set of rules comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    App(Tier),
    Canary,
    Exception(u16),
    Source(String),
}

/// A group with everything resolved for the snapshot's moment.
#[derive(Clone, Debug)]
pub(super) struct CompiledGroup {
    pub(super) name: String,
    pub(super) action: u16,
    /// For each set, the enforcement that makes its rules count, and the one that rehearses them.
    pub(super) by_set: Box<[Counting]>,
    pub(super) enforcements: Box<[Enforcement]>,
    pub(super) idle: Vec<Idle>,
    /// Whether any rule about addresses in answers counts.
    pub(super) screens_addresses: bool,
    /// The lowest position at which such a rule is enforced, or [`NONE`].
    pub(super) addresses_from: u16,
    /// The same of rules about the servers of zones.
    pub(super) screens_name_servers: bool,
    pub(super) name_servers_from: u16,
    /// Where its clients may connect to, and what they may always reach.
    pub(super) outbound: Outbound,
    pub(super) reach: Box<[Destination]>,
    pub(super) ech: Ech,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counting {
    pub(super) enforced: u16,
    pub(super) shadow: u16,
}

pub(super) const NONE: u16 = u16::MAX;

/// One set enforced for one group.
#[derive(Clone, Debug)]
pub(super) struct Enforcement {
    /// Place in the group's order; exceptions are at 0.
    pub(super) position: u16,
    pub(super) mode: Mode,
    pub(super) set: u16,
    /// Whether some rules of the set are for names alone, and others for what is below.
    pub(super) mixed: bool,
    pub(super) instrument: Option<u16>,
    pub(super) exception: Option<u16>,
    /// Number of the label set, by kind of action.
    pub(super) labels: [u32; ActionKind::ALL.len()],
    /// EDNS options of a blocked answer, in wire form.
    pub(super) options: Box<[u8]>,
    /// The same when the answer is made up.
    pub(super) forged_options: Box<[u8]>,
}

/// A set that does not count for a group at this moment, and why; for explanations only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Idle {
    pub(super) set: u16,
    pub(super) instrument: Option<u16>,
    pub(super) exception: Option<u16>,
    pub(super) why: IdleReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleReason {
    Ended(Timestamp),
    NotExtended,
    NotYet(Timestamp),
    Off,
}

impl Snapshot {
    /// Who the client is to this policy.
    #[inline]
    pub fn client(&self, address: IpAddr) -> Client {
        self.clients.find(address)
    }

    /// Decides the name of a question.
    #[inline]
    pub fn decide_query(&self, group: u16, name: &CanonicalName) -> Verdict {
        self.decide(group, name, Trigger::QueryName)
    }

    /// Decides a name that an answer leads to.
    #[inline]
    pub fn decide_answer(&self, group: u16, target: &CanonicalName) -> Verdict {
        self.decide(group, target, Trigger::ResponseName)
    }

    /// Precedence: canaries; then the lowest position (exceptions stand at 0); then the longest listed name; then an
    /// exact rule before a wildcard; then passthru before deny. Shadow rules never weaken an enforced one.
    #[inline]
    fn decide(&self, group: u16, name: &CanonicalName, trigger: Trigger) -> Verdict {
        let Some(compiled) = self.groups.get(usize::from(group)) else { return Verdict::Allow };
        let mut canary = None;
        let mut enforced: Option<(u64, Cause)> = None;
        let mut shadow: Option<(u64, Cause)> = None;
        self.search(name, |entry| {
            let Some(kind) = self.kinds.get(entry.kind as usize).filter(|kind| kind.reach.meets(entry.depth))
            else {
                return;
            };
            if kind.set == CANARIES {
                canary = Some(entry.depth as u8);
                return;
            }
            let counting = compiled.by_set.get(usize::from(kind.set)).copied();
            let counting = counting.unwrap_or(Counting { enforced: NONE, shadow: NONE });
            for (enforcement, best) in [(counting.enforced, &mut enforced), (counting.shadow, &mut shadow)] {
                let Some(found) = compiled.enforcements.get(usize::from(enforcement)) else { continue };
                let exact = kind.reach == Reach::Exact;
                let rank = u64::from(found.position) << 32
                    | (entry.depth as u64) << 8
                    | u64::from(!exact) << 1
                    | u64::from(!self.is_passthru(kind.action));
                let first = match best {
                    None => true,
                    Some((lowest, _)) if rank != *lowest => rank < *lowest,
                    Some((_, other)) => self.stands_before((entry.number, entry.kind), other),
                };
                if first {
                    let (rule, kind, depth) = (entry.number, entry.kind, entry.depth as u8);
                    *best = Some((rank, Cause { rule, kind, group, enforcement, trigger, depth, exact }));
                }
            }
        });
        if let Some(depth) = canary {
            return Verdict::Canary { depth };
        }
        match (enforced, shadow) {
            (Some((_, cause)), _) if self.permits(&cause) => Verdict::Permit(cause),
            (Some((_, cause)), _) => Verdict::Deny(self.widened(cause, name)),
            (None, Some((_, cause))) if !self.permits(&cause) => Verdict::Shadow(self.widened(cause, name)),
            (None, _) => Verdict::Allow,
        }
    }

    /// Between two rules for the same name at the same place in the group's order: the first line decides.
    #[cold]
    fn stands_before(&self, (rule, kind): (u32, u32), other: &Cause) -> bool {
        let place = |rule: u32, kind: u32| {
            let found = self.kinds.get(kind as usize)?;
            let action = self.actions.get(usize::from(found.action));
            Some((found.set, self.line_of(rule, kind)?, found.reach, action))
        };
        place(rule, kind) < place(other.rule, other.kind)
    }

    /// A rule for the name alone whose list also denies everything below it, with the same action, speaks for the whole
    /// subtree: its answer may then be NXDOMAIN.
    #[inline]
    fn widened(&self, cause: Cause, name: &CanonicalName) -> Cause {
        if cause.exact && self.enforcement(&cause).is_some_and(|found| found.mixed) {
            let covered = self.is_covered(&cause, name);
            return Cause { exact: !covered, ..cause };
        }
        cause
    }

    /// Out of line: lists that name most names twice are the few.
    #[inline(never)]
    fn is_covered(&self, cause: &Cause, name: &CanonicalName) -> bool {
        let Some(own) = self.kinds.get(cause.kind as usize) else { return false };
        let mut covered = false;
        self.search(name, |entry| {
            let kind = self.kinds.get(entry.kind as usize);
            covered |= kind.is_some_and(|kind| {
                (kind.set, kind.action) == (own.set, own.action)
                    && matches!(kind.reach, Reach::Below | Reach::Subtree)
            });
        });
        covered
    }

    /// Decides a client's question. As [`Snapshot::decide_query`], but a DS question at a listed name belongs to the parent
    /// zone and is let pass when the policy says so, and rules about the client's own address count.
    #[inline]
    pub fn decide_question(&self, client: Client, name: &CanonicalName, record_type: RecordType) -> Verdict {
        let verdict = match self.decide_query(client.group, name) {
            Verdict::Deny(cause)
                if record_type == RecordType::DS && cause.depth == 0 && !self.config.block_ds =>
            {
                Verdict::Allow
            }
            verdict => verdict,
        };
        if client.is_ruled() { self.rule_client(client, verdict) } else { verdict }
    }

    /// What is done for a cause.
    #[inline]
    pub fn action(&self, cause: &Cause) -> &Action {
        const ALLOW: &Action = &Action::Passthru;
        if self.enforcement(cause).is_some_and(|found| found.exception.is_some()) {
            return ALLOW;
        }
        let own = self.kinds.get(cause.kind as usize).map_or(DEFAULT_ACTION, |kind| kind.action);
        let index = match own {
            DEFAULT_ACTION => self.groups.get(usize::from(cause.group)).map_or(0, |group| group.action),
            own => own,
        };
        self.actions.get(usize::from(index)).unwrap_or(ALLOW)
    }

    /// Number of the label set under which a cause is counted.
    #[inline]
    pub fn label_number(&self, cause: &Cause) -> u32 {
        let kind = self.action(cause).kind() as usize;
        self.enforcement(cause).and_then(|found| found.labels.get(kind)).copied().unwrap_or(0)
    }

    /// EDNS options of the answer for a cause: an extended error, two when the answer is `forged`.
    #[inline]
    pub fn options(&self, cause: &Cause, forged: bool) -> &[u8] {
        self.enforcement(cause)
            .map_or(&[], |found| if forged { &found.forged_options } else { &found.options })
    }

    /// The SOA record of negative answers.
    #[inline]
    pub fn soa(&self) -> &Soa {
        &self.soa
    }

    /// TTL of blocked answers in seconds.
    #[inline]
    pub fn ttl(&self) -> u32 {
        self.config.ttl
    }

    /// The operator's own addresses.
    pub fn sinkhole(&self) -> (Ipv4Addr, Ipv6Addr) {
        (self.config.sinkhole_ipv4, self.config.sinkhole_ipv6)
    }

    /// Which answers to public names may not lead inside; `None` when all may.
    #[inline]
    pub fn rebinding(&self) -> Option<&Rebinding> {
        Some(&self.config.rebinding).filter(|rebinding| rebinding.refuse_private)
    }

    /// The operator's own records, if there are any.
    #[inline]
    pub fn local_names(&self) -> Option<&LocalNames> {
        Some(&*self.config.local).filter(|names| !names.is_empty())
    }

    /// What a client that may not ask gets.
    pub fn otherwise(&self) -> Otherwise {
        self.config.otherwise
    }

    /// Number of this generation; grows by one with each published policy.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// SHA-256 over everything that decides a query; equal on every host that compiled the same inputs for the same
    /// day.
    pub fn digest(&self) -> String {
        hexadecimal(&self.digest)
    }

    /// The moment it was compiled for.
    pub fn compiled_on(&self) -> Timestamp {
        self.on
    }

    /// The next moment at which an instrument or exception starts or ends.
    pub fn next_transition(&self) -> Option<Timestamp> {
        self.next_transition
    }

    /// Number of rules.
    pub fn rule_count(&self) -> usize {
        let Addresses { answers, clients, name_servers, .. } = &self.addresses;
        let addresses = answers.len() + clients.len() + name_servers.len();
        self.listed_count() + addresses
    }

    /// Number of different listed names.
    pub fn name_count(&self) -> usize {
        self.names
    }

    /// Bytes held by names, addresses, rules and the indexes over them.
    pub fn memory(&self) -> usize {
        self.book.memory() + self.beside.memory()
    }

    /// Rules by set: the app's id, `app:shared`, the source's name, `canaries` or the exception's id.
    pub fn rules_by_set(&self) -> Vec<(String, u32)> {
        (0..self.sets.len())
            .map(|set| (self.set_title(set as u16), self.sets.get(set).map_or(0, |s| s.rules)))
            .collect()
    }

    /// Name of a group.
    pub fn group_name(&self, group: u16) -> &str {
        self.groups.get(usize::from(group)).map_or("", |group| &group.name)
    }

    /// The group of that name.
    pub fn group_named(&self, name: &str) -> Option<u16> {
        self.groups.iter().position(|group| group.name == name).map(|index| index as u16)
    }

    /// Names of the groups, in the order of their numbers.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.name.as_str())
    }

    /// For each group what it enforces or rehearses: ids of instruments, apps and sources, each once, in order.
    pub fn duties(&self) -> Vec<(String, Vec<(String, Mode)>)> {
        let of = |group: &CompiledGroup| {
            let mut duties: Vec<(String, Mode)> = Vec::new();
            for found in group.enforcements.iter().filter(|found| found.exception.is_none()) {
                let id = self
                    .instrument(found.instrument)
                    .map_or_else(|| self.set_title(found.set), |act| act.id.clone());
                if !duties.iter().any(|(known, _)| *known == id) {
                    duties.push((id, found.mode));
                }
            }
            (group.name.clone(), duties)
        };
        self.groups.iter().map(of).collect()
    }

    /// The settings it was compiled from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The catalog it was compiled from.
    pub fn catalog(&self) -> &Catalog {
        self.book.catalog()
    }

    /// True when a cause's action lets the query pass.
    pub(super) fn permits(&self, cause: &Cause) -> bool {
        *self.action(cause) == Action::Passthru
    }

    #[inline]
    pub(super) fn is_passthru(&self, action: u16) -> bool {
        self.actions.get(usize::from(action)) == Some(&Action::Passthru)
    }

    #[inline]
    pub(super) fn enforcement(&self, cause: &Cause) -> Option<&Enforcement> {
        self.groups.get(usize::from(cause.group))?.enforcements.get(usize::from(cause.enforcement))
    }

    pub(super) fn set(&self, set: u16) -> Option<&RuleSet> {
        self.sets.get(usize::from(set))
    }

    pub(super) fn app(&self, index: Option<u16>) -> Option<&App> {
        self.book.catalog.apps.get(usize::from(index?))
    }

    pub(super) fn instrument(&self, index: Option<u16>) -> Option<&Instrument> {
        self.book.catalog.instruments.get(usize::from(index?))
    }

    pub(super) fn exception(&self, index: Option<u16>) -> Option<&Exception> {
        self.config.exceptions.get(usize::from(index?))
    }

    pub(super) fn set_title(&self, set: u16) -> String {
        let Some(found) = self.set(set) else { return String::new() };
        let app = || self.app(found.app).map_or_else(String::new, |app| app.id.clone());
        match &found.origin {
            Origin::App(Tier::Core) => app(),
            Origin::App(Tier::Shared) => format!("{}:shared", app()),
            Origin::Canary => "canaries".to_owned(),
            Origin::Exception(index) => self
                .exception(Some(*index))
                .map_or_else(String::new, |exception| format!("exception:{}", exception.id)),
            Origin::Source(name) => name.clone(),
        }
    }
}

/// The set of canaries is the first.
pub(super) const CANARIES: u16 = 0;
