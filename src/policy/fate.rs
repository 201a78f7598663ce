//! Owns what other programs are told of a policy: what becomes of a name or a network for one group, and for which app and act. Read off the
//! snapshot's own decisions; never decides by itself.

use super::client::Prefix;
use super::rule::Action;
use super::ruling::unlisted_child;
use super::snapshot::{NONE, Origin, Snapshot};
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

/// What becomes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<'s> {
    /// Nobody gets it.
    Blocked(Attribution<'s>),
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
    /// What becomes of `name` for a group.
    pub fn fate(&self, group: u16, name: &CanonicalName) -> Fate<'_> {
        match self.decide_query(group, name) {
            Verdict::Allow => Fate::Free,
            Verdict::Canary { .. } => Fate::Canary,
            Verdict::Permit(_) => Fate::Passed,
            Verdict::Shadow(_) => Fate::Rehearsed,
            Verdict::Deny(cause) if is_denial(self.action(&cause)) => Fate::Blocked(self.attribution(&cause)),
            Verdict::Deny(_) => Fate::Rewritten,
        }
    }

    /// What becomes of the names below `name` at or above which nothing longer is listed.
    pub fn fate_below(&self, group: u16, name: &CanonicalName) -> Fate<'_> {
        unlisted_child(name).map_or(Fate::Free, |child| self.fate(group, &child))
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

    /// The networks that a group may not reach: those of the apps it bans, and those that its lists deny in answers. `None` stands for one that
    /// has no prefix, or in which an exception holds.
    pub fn blocked_networks(&self, group: u16) -> impl Iterator<Item = (Attribution<'_>, Option<Prefix>)> {
        self.networks_of_apps(group).chain(self.networks_of_lists(group))
    }

    fn networks_of_apps(&self, group: u16) -> impl Iterator<Item = (Attribution<'_>, Option<Prefix>)> {
        let group = self.groups.get(usize::from(group));
        let freed: Vec<&str> = group
            .into_iter()
            .flat_map(|group| &group.enforcements)
            .filter_map(|found| self.exception(found.exception))
            .flat_map(|exception| exception.apps.iter().map(String::as_str))
            .collect();
        self.sets.iter().enumerate().flat_map(move |(number, set)| {
            let counting = group.and_then(|group| group.by_set.get(number));
            let enforced = counting.map(|counting| counting.enforced).filter(|enforced| *enforced != NONE);
            let enforcement = enforced.and_then(|at| group?.enforcements.get(usize::from(at)));
            let app = self.app(set.app).filter(|app| !freed.contains(&app.id.as_str()));
            let found = match (&set.origin, enforcement, app) {
                (Origin::App(tier), Some(enforcement), Some(app)) => Some((*tier, enforcement, app)),
                _ => None,
            };
            found.into_iter().flat_map(|(tier, enforcement, app)| {
                let instrument = self.act_of(enforcement.instrument);
                let attribution = Attribution { app: Some(&app.id), instrument };
                let networks = app.networks.iter().filter(move |network| network.tier == tier);
                networks.map(move |network| (attribution, network.prefix))
            })
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
fn is_denial(action: &Action) -> bool {
    match action {
        Action::Drop | Action::Nodata | Action::Nxdomain | Action::Refused | Action::Sinkhole => true,
        Action::Local(_) | Action::Passthru | Action::Redirect(_) | Action::TcpOnly => false,
    }
}
