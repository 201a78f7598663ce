//! Owns the refusal of generations that nobody can have meant: lists that emptied themselves, bans that vanished, names
//! that must stay reachable. Never looks at inputs, only at what they compiled to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::dns::{CanonicalName, Name};
use crate::policy::{Snapshot, Verdict};
use crate::problem::{Place, Problem};
use crate::sources::Reason;

/// Settings of the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest share of its rules, in percent, that a list may lose at once. Default 10: lists drift by one or two percent
    /// a day; a truncated download loses more.
    pub max_shrink: u8,
    /// Largest share, in percent of what it had, that a list may gain at once. Default 200: lists grow by a few percent a
    /// day, and a feed taken into another may double it; one that more than triples has swallowed something else.
    pub max_growth: u32,
    /// What lists with limits of their own may lose and gain, by list.
    pub own: BTreeMap<String, Limits>,
    /// Names that must be blocked for the default group.
    pub must_block: Vec<Name>,
    /// Names that no group may have blocked.
    pub must_resolve: Vec<Name>,
    /// How many of the names most asked in the last day no change may newly block unasked; 0 for none. Default 100: those are
    /// what everybody uses, so that to block one is either meant, and somebody says so, or an outage. A list that names
    /// what a few infected devices ask for is not held up by more.
    pub most_asked: usize,
    /// How often a name must have been asked in that day to be one of them. Default 1000: on a quiet network the hundredth
    /// name is asked by one device now and then.
    pub most_asked_at_least: u64,
}

/// Limits of one list; what is not set is as for all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// See [`Config::max_shrink`].
    pub max_shrink: Option<u8>,
    /// See [`Config::max_growth`].
    pub max_growth: Option<u32>,
}

/// A list that changed by more than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leap {
    pub(super) reason: Reason,
    pub(super) what: String,
    pub(super) hint: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_shrink: 10,
            max_growth: 200,
            own: BTreeMap::new(),
            must_block: Vec::new(),
            must_resolve: Vec::new(),
            most_asked: 100,
            most_asked_at_least: 1000,
        }
    }
}

/// Lists smaller than this may shrink by any share: a hand-written list of five names often loses one.
const SMALL: u64 = 50;
/// Lists may grow to this size by any share: a few hundred names too many are no outage, and new lists begin small.
const HARMLESS: u64 = 1000;

impl Config {
    /// Whether a list may go from `before` rules to `now`.
    pub(super) fn allow(&self, list: &str, before: u64, now: u64) -> Result<(), Leap> {
        let own = self.own.get(list).copied().unwrap_or_default();
        let max_shrink = u64::from(own.max_shrink.unwrap_or(self.max_shrink));
        let max_growth = u64::from(own.max_growth.unwrap_or(self.max_growth));
        let (lost, gained) = (before.saturating_sub(now), now.saturating_sub(before));
        let emptied = before > 0 && now == 0 && !list.starts_with("exception:");
        if emptied || (before >= SMALL && lost * 100 > before * max_shrink) {
            return Err(Leap {
                reason: Reason::Shrink,
                what: format!(
                    "it would go from {before} rules to {now}; at most {max_shrink} % may go at once"
                ),
                hint: "if that is meant: interdict reload --accept-shrink",
            });
        }
        if before > 0 && now > HARMLESS && gained * 100 > before.max(SMALL) * max_growth {
            return Err(Leap {
                reason: Reason::Growth,
                what: format!(
                    "it would go from {before} rules to {now}; at most {max_growth} % may come at once"
                ),
                hint: "if that is meant: interdict reload --accept-growth",
            });
        }
        Ok(())
    }
}

/// Every reason not to publish `next` in place of `live`. `accept_leaps` leaves out the comparison of sizes.
pub(super) fn check(
    config: &Config,
    live: Option<&Snapshot>,
    next: &Snapshot,
    accept_leaps: bool,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(live) = live.filter(|_| !accept_leaps) {
        leaps(config, live, next, &mut problems);
    }
    let unknown = IpAddr::from([0, 0, 0, 0]);
    for name in &config.must_block {
        let group = next.group_named("default").unwrap_or_else(|| next.client(unknown).group);
        if !matches!(
            next.decide_query(group, &CanonicalName::from(name)),
            Verdict::Deny(_) | Verdict::Canary { .. }
        ) {
            problems.push(Problem::error(
                Place::file("[guard]"),
                format!("`{name}` must be blocked, and would not be for the group `default`"),
                "`interdict explain` says why; change `must_block` if that is meant",
            ));
        }
    }
    for name in &config.must_resolve {
        for (group, title) in (0..).zip(next.group_names()) {
            if let Verdict::Deny(cause) = next.decide_query(group, &CanonicalName::from(name)) {
                let words = next.describe(&cause);
                problems.push(Problem::error(
                    Place::file("[guard]"),
                    format!(
                        "`{name}` must resolve, and would be blocked for the group `{title}` by {}",
                        words.rule
                    ),
                    "take the rule out, or change `must_resolve` if that is meant",
                ));
            }
        }
    }
    problems
}

/// Lists that are in both generations and changed by more than they may, each and together. A list that is new, or taken
/// out of the configuration, is no leap.
fn leaps(config: &Config, live: &Snapshot, next: &Snapshot, problems: &mut Vec<Problem>) {
    let after: BTreeMap<String, u32> = next.rules_by_set().into_iter().collect();
    let mut together = (0, 0);
    for (list, before) in live.rules_by_set() {
        let Some(&now) = after.get(&list) else { continue };
        let (before, now) = (u64::from(before), u64::from(now));
        if !config.own.contains_key(&list) {
            together = (together.0 + before, together.1 + now);
        }
        if let Err(leap) = config.allow(&list, before, now) {
            problems.push(Problem::error(Place::file(&list), leap.what, leap.hint));
        }
    }
    // Many small lists may each pass, and be an outage together.
    if problems.is_empty()
        && let Err(leap) = config.allow("", together.0, together.1)
    {
        let what = format!("all lists without limits of their own: {}", leap.what);
        problems.push(Problem::error(Place::file("[guard]"), what, leap.hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_change_by_its_own_share_or_by_that_of_all() {
        let own = Limits { max_shrink: Some(50), max_growth: None };
        let config = Config { own: BTreeMap::from([("wild".to_owned(), own)]), ..Config::default() };
        let reason = |list, before, now| config.allow(list, before, now).err().map(|leap| leap.reason);
        for (list, before, now, expected) in [
            ("calm", 100, 90, None),
            ("calm", 100, 89, Some(Reason::Shrink)),
            ("wild", 100, 50, None),
            ("wild", 100, 49, Some(Reason::Shrink)),
            ("calm", 49, 1, None),
            ("calm", 1, 0, Some(Reason::Shrink)),
            ("exception:lab", 1, 0, None),
            ("calm", 0, 2_000_000, None),
            ("calm", 10, 1000, None),
            ("calm", 10, 1001, Some(Reason::Growth)),
            ("calm", 1000, 3000, None),
            ("calm", 1000, 3001, Some(Reason::Growth)),
            ("wild", 1000, 3001, Some(Reason::Growth)),
        ] {
            assert_eq!(reason(list, before, now), expected, "{list}: {before} to {now}");
        }
    }
}
