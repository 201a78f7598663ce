//! Owns the refusal of generations that nobody can have meant: lists that emptied themselves, bans that vanished, names
//! that must stay reachable. Never looks at inputs, only at what they compiled to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::dns::{CanonicalName, Name};
use crate::policy::{Snapshot, Verdict};
use crate::problem::{Place, Problem};

/// Settings of the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest share of its rules, in percent, that a list may lose at once. Default 10: lists drift by one or two percent
    /// a day; a truncated download loses more.
    pub max_shrink: u8,
    /// Names that must be blocked for the default group.
    pub must_block: Vec<Name>,
    /// Names that no group may have blocked.
    pub must_resolve: Vec<Name>,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_shrink: 10, must_block: Vec::new(), must_resolve: Vec::new() }
    }
}

/// Lists smaller than this may change by any share: a hand-written list of five names often loses one.
const SMALL: u32 = 50;

/// Every reason not to publish `next` in place of `live`. `accept_shrink` leaves out the comparison of sizes.
pub(super) fn check(
    config: &Config,
    live: Option<&Snapshot>,
    next: &Snapshot,
    accept_shrink: bool,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(live) = live.filter(|_| !accept_shrink) {
        shrink(config, live, next, &mut problems);
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

/// Lists that are in both generations and lost too much. A list taken out of the configuration is no loss.
fn shrink(config: &Config, live: &Snapshot, next: &Snapshot, problems: &mut Vec<Problem>) {
    let after: BTreeMap<String, u32> = next.rules_by_set().into_iter().collect();
    for (list, before) in live.rules_by_set() {
        let Some(&now) = after.get(&list) else { continue };
        let lost = before.saturating_sub(now);
        let emptied = before > 0 && now == 0;
        let too_much =
            before >= SMALL && u64::from(lost) * 100 > u64::from(before) * u64::from(config.max_shrink);
        if (emptied && !list.starts_with("exception:")) || too_much {
            problems.push(Problem::error(
                Place::file(&list),
                format!(
                    "the list would go from {before} rules to {now}; at most {} % may go at once",
                    config.max_shrink
                ),
                "if that is meant: interdict reload --accept-shrink",
            ));
        }
    }
}
