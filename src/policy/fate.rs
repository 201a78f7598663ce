//! Owns what other programs are told of a policy: what becomes of a name or a network for one group, and for which app and act. Read off the
//! snapshot's own decisions; never decides by itself.

use super::client::Prefix;
use super::group::Mode;
use super::rule::Action;
use super::ruling::unlisted_child;
use super::snapshot::{CompiledGroup, DEFAULT_ACTION, Origin, Snapshot};
use super::verdict::{Cause, Verdict};
use crate::dns::CanonicalName;

/// For whom a rule counts: ids of the app and the instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribution<'s> {
    /// The app, if the rule is attributed to one.
    pub app: Option<&'s str>,
    /// The instrument, if one makes it count.
    pub instrument: Option<&'s str>,
}

/// What becomes of a name, as far as a part of the policy is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody gets it.
    Blocked,
    /// The same, and nothing of the part that is asked about would do it.
    BlockedBeside,
    /// Answered negatively for everybody, so that devices stay with this resolver.
    Canary,
    /// Nothing is said of it.
    Free,
    /// An exception or a passthru rule lets it pass.
    Passed,
    /// It would be blocked, were it not only rehearsed.
    Rehearsed,
    /// It is answered otherwise: with other records, or over TCP.
    Rewritten,
}

impl Snapshot {
    /// What becomes of `name` for a group. `holds` says what the part that is asked about consists of: a name is banned for each app and act that bans
    /// it, whichever of the rules goes first.
    pub fn fate(&self, group: u16, name: &CanonicalName, holds: impl Fn(Attribution<'_>) -> bool) -> Fate {
        match self.decide_query(group, name) {
            Verdict::Allow => Fate::Free,
            Verdict::Canary { .. } => Fate::Canary,
            Verdict::Permit(_) => Fate::Passed,
            Verdict::Shadow(_) => Fate::Rehearsed,
            Verdict::Deny(cause) if !is_denial(self.action(&cause)) => Fate::Rewritten,
            Verdict::Deny(cause) if holds(self.attribution(&cause)) => Fate::Blocked,
            Verdict::Deny(_) if self.is_denied_by(group, name, holds) => Fate::Blocked,
            Verdict::Deny(_) => Fate::BlockedBeside,
        }
    }

    /// What becomes of the names below `name` at or above which nothing longer is listed.
    pub fn fate_below(
        &self,
        group: u16,
        name: &CanonicalName,
        holds: impl Fn(Attribution<'_>) -> bool,
    ) -> Fate {
        unlisted_child(name).map_or(Fate::Free, |child| self.fate(group, &child, holds))
    }

    /// True when some rule that counts denies `name`, were it alone, and is one that `holds` takes.
    fn is_denied_by(
        &self,
        group: u16,
        name: &CanonicalName,
        holds: impl Fn(Attribution<'_>) -> bool,
    ) -> bool {
        let Some(group) = self.groups.get(usize::from(group)) else { return false };
        let mut denied = false;
        self.search(name, |entry| {
            let kind = self.kinds.get(entry.kind as usize).filter(|kind| kind.reach.meets(entry.depth));
            let Some(kind) = kind.filter(|_| !denied) else { return };
            let action = if kind.action == DEFAULT_ACTION { group.action } else { kind.action };
            if self.actions.get(usize::from(action)).is_some_and(is_denial) {
                denied = self.attributions(group, kind.set).any(&holds);
            }
        });
        denied
    }

    /// For whom the rules of a set count in a group: once for each act, app or list that the group enforces and the set belongs to.
    fn attributions<'s>(
        &'s self,
        group: &'s CompiledGroup,
        set: u16,
    ) -> impl Iterator<Item = Attribution<'s>> {
        let app = self.set(set).and_then(|set| self.app(set.app)).map(|app| app.id.as_str());
        let counting = group.enforcements.iter().filter(move |found| {
            found.set == set && found.exception.is_none() && found.mode == Mode::Enforce
        });
        counting.map(move |found| Attribution { app, instrument: self.act_of(found.instrument) })
    }

    fn attribution(&self, cause: &Cause) -> Attribution<'_> {
        let set = self.kinds.get(cause.kind as usize).and_then(|kind| self.set(kind.set));
        Attribution {
            app: self.app(set.and_then(|set| set.app)).map(|app| app.id.as_str()),
            instrument: self.act_of(self.enforcement(cause).and_then(|found| found.instrument)),
        }
    }

    fn act_of(&self, instrument: Option<u16>) -> Option<&str> {
        self.instrument(instrument).map(|act| act.id.as_str())
    }

    /// The networks that a group may not reach, as far as `holds` takes them: those of the apps it bans, and those that its lists deny in answers.
    /// `None` stands for one that has no prefix, or in which an exception holds.
    pub fn blocked_networks(
        &self,
        group: u16,
        holds: impl Fn(Attribution<'_>) -> bool,
    ) -> impl Iterator<Item = Option<Prefix>> {
        let of_apps: Vec<Option<Prefix>> = self.networks_of_apps(group, &holds).collect();
        let of_lists = self.networks_of_lists(group).filter(move |(attribution, _)| holds(*attribution));
        of_apps.into_iter().chain(of_lists.map(|(_, prefix)| prefix))
    }

    fn networks_of_apps(
        &self,
        group: u16,
        holds: impl Fn(Attribution<'_>) -> bool,
    ) -> impl Iterator<Item = Option<Prefix>> {
        let group = self.groups.get(usize::from(group));
        let freed: Vec<&str> = group
            .into_iter()
            .flat_map(|group| &group.enforcements)
            .filter_map(|found| self.exception(found.exception))
            .flat_map(|exception| exception.apps.iter().map(String::as_str))
            .collect();
        (0..).zip(&self.sets).flat_map(move |(number, set)| {
            let is_banned = group.is_some_and(|group| self.attributions(group, number).any(&holds));
            let app = self.app(set.app).filter(|app| is_banned && !freed.contains(&app.id.as_str()));
            let found = match (&set.origin, app) {
                (Origin::App(tier), Some(app)) => Some((*tier, app)),
                _ => None,
            };
            let networks = found
                .into_iter()
                .flat_map(|(tier, app)| app.networks.iter().filter(move |network| network.tier == tier));
            networks.map(|network| network.prefix)
        })
    }

    fn networks_of_lists(&self, group: u16) -> impl Iterator<Item = (Attribution<'_>, Option<Prefix>)> {
        let rules = self.addresses.answers.rules();
        rules.iter().enumerate().filter_map(move |(number, rule)| {
            let inside = |prefix: Prefix| {
                let ((first, last), (from, to)) = (rule.prefix.range(), prefix.range());
                prefix.is_ipv4() == rule.prefix.is_ipv4() && first <= from && to <= last
            };
            let cause = self.denial(group, rule.prefix)?;
            // What is let pass inside of it would be lost. A prefix comes before all that it covers.
            let mut covered = rules.iter().skip(number).take_while(|other| inside(other.prefix));
            let has_holes = covered.any(|other| self.denial(group, other.prefix).is_none());
            Some((self.attribution(&cause), (!has_holes).then_some(rule.prefix)))
        })
    }

    /// What denies answers with the first address of a prefix.
    fn denial(&self, group: u16, prefix: Prefix) -> Option<Cause> {
        match self.decide_addresses(group, std::iter::once(prefix.first()), None) {
            Verdict::Deny(cause) if is_denial(self.action(&cause)) => Some(cause),
            _ => None,
        }
    }
}

/// True when nothing of what was asked for is given.
pub(super) fn is_denial(action: &Action) -> bool {
    match action {
        Action::Drop | Action::Nodata | Action::Nxdomain | Action::Refused | Action::Sinkhole => true,
        Action::Local(_) | Action::Passthru | Action::Redirect(_) | Action::TcpOnly => false,
    }
}
