//! Owns the text of the table of what clients were answered: who is held to it, what they may reach beside it, and the sets that the pairs are in.
//! A table of its own, so that a generation's transaction leaves the pairs alone, and so that looking at the other one does not list them.
//! Never knows a pair but to put it back.
//!
//! # The table
//!
//! What belongs to a connection that was let through passes: it outlives its permission. A packet that begins one is looked up by who sends it;
//! for a group that is held it must go where the group may always go, or be of a pair. What is not is counted, and refused so that it fails at
//! once; or only counted. The other table comes before this one, so that what is banned is counted as such.

use std::net::IpAddr;

use super::names::Counted;
use super::script::line;
use crate::egress::config::{Config, Hook};
use crate::egress::nflog::UnresolvedLabel;
use crate::egress::plan::{Group, Plan};
use crate::policy::{Destination, Outbound};

/// The table's name, and how the kernel's program calls it.
pub(in crate::egress) const RESOLVED_NAME: &str = "interdict-resolved";
pub(in crate::egress) const RESOLVED: &str = "inet interdict-resolved";
/// What is held is counted as if it belonged to this app.
const UNRESOLVED: &str = "unresolved";

/// A pair that is put back: client, address, and the seconds for which it holds.
pub(in crate::egress) type Kept = (IpAddr, IpAddr, u64);

/// Pairs that one line adds.
const OF_LINE: usize = 200;

/// The set of pairs for an address, or of addresses that are open to all clients of their family.
pub(in crate::egress) fn pair_set(is_for_anybody: bool, address: IpAddr) -> &'static str {
    match (is_for_anybody, address.is_ipv4()) {
        (false, true) => "pairs.v4",
        (false, false) => "pairs.v6",
        (true, true) => "across.v4",
        (true, false) => "across.v6",
    }
}

/// Takes the table out, if it is there.
pub(in crate::egress) fn remove_resolved() -> String {
    format!("add table {RESOLVED}\ndelete table {RESOLVED}\n")
}

/// The table around the pairs that are there: all but the sets is made anew, in place of those chains and counters.
pub(in crate::egress) fn around<'t>(
    plan: &Plan,
    config: &Config,
    user: Option<u32>,
    chains: &[String],
    counters: impl Iterator<Item = &'t String>,
) -> String {
    let mut out = String::new();
    line(&mut out, &format!("flush table {RESOLVED}"));
    for chain in chains {
        line(&mut out, &format!("delete chain {RESOLVED} {chain}"));
    }
    for counter in counters {
        line(&mut out, &format!("delete counter {RESOLVED} {counter}"));
    }
    body(&mut out, plan, config, user);
    out
}

/// The whole table with these pairs, in place of whatever has its name.
pub(in crate::egress) fn anew(plan: &Plan, config: &Config, user: Option<u32>, pairs: &[Kept]) -> String {
    let mut out = remove_resolved();
    body(&mut out, plan, config, user);
    for set in ["pairs.v4", "pairs.v6", "across.v4", "across.v6"] {
        let of_set: Vec<String> = pairs
            .iter()
            .filter(|(client, address, _)| pair_set(client.is_unspecified(), *address) == set)
            .map(|(client, address, seconds)| match client.is_unspecified() {
                true => format!("{address} timeout {seconds}s"),
                false => format!("{client} . {address} timeout {seconds}s"),
            })
            .collect();
        for words in of_set.chunks(OF_LINE) {
            line(&mut out, &format!("add element {RESOLVED} {set} {{ {} }}", words.join(", ")));
        }
    }
    out
}

/// Each counter's name and what it counts.
pub(in crate::egress) fn unresolved_counters(plan: &Plan) -> Vec<(String, Counted)> {
    let guarded = plan.groups.iter().filter(|group| group.outbound != Outbound::Off);
    let counters = guarded.map(|group| {
        let mode = if group.outbound == Outbound::ResolvedOnly { "enforce" } else { "shadow" };
        let counted =
            Counted { app: UNRESOLVED.to_owned(), group: group.name.clone(), direction: "out", mode };
        (format!("count.{}", group.ident), counted)
    });
    counters.collect()
}

fn body(out: &mut String, plan: &Plan, config: &Config, user: Option<u32>) {
    line(out, &format!("add table {RESOLVED}"));
    for (name, _) in unresolved_counters(plan) {
        line(out, &format!("add counter {RESOLVED} {name}"));
    }
    let hooks: Vec<&Hook> = config.hooks.iter().filter(|hook| is_looked_at(**hook, user)).collect();
    for hook in &hooks {
        // Behind the other table, and before whatever an operator's own filter accepts or counts.
        let hook = hook.as_str();
        line(
            out,
            &format!("add chain {RESOLVED} {hook} {{ type filter hook {hook} priority -1; policy accept; }}"),
        );
    }
    line(out, &format!("add chain {RESOLVED} look"));
    let guarded = || plan.groups.iter().filter(|group| group.outbound != Outbound::Off);
    for group in guarded() {
        line(out, &format!("add chain {RESOLVED} group.{}", group.ident));
    }
    sets(out, config);
    for hook in hooks {
        if let (Hook::Output, Some(user)) = (hook, user) {
            // This process asks upstreams and fetches lists, wherever they are.
            line(out, &format!("add rule {RESOLVED} output meta skuid {user} return"));
        }
        line(out, &format!("add rule {RESOLVED} {} jump look", hook.as_str()));
    }
    entrance(out, plan);
    for (number, group) in plan.groups.iter().enumerate().filter(|(_, group)| group.outbound != Outbound::Off)
    {
        of_group(out, (plan, number, group), config);
    }
}

/// What this host sends itself is looked at only where its own questions can be told from the rest.
pub(in crate::egress) fn is_looked_at(hook: Hook, user: Option<u32>) -> bool {
    hook == Hook::Forward || user.is_some()
}

fn sets(out: &mut String, config: &Config) {
    // What has ended is there a little longer, and so is what is changed.
    let size = 2 * config.pairs + 4096;
    for (set, kind) in [
        ("pairs.v4", "ipv4_addr . ipv4_addr"),
        ("pairs.v6", "ipv6_addr . ipv6_addr"),
        ("across.v4", "ipv4_addr"),
        ("across.v6", "ipv6_addr"),
    ] {
        line(out, &format!("add set {RESOLVED} {set} {{ type {kind}; flags timeout; size {size}; }}"));
    }
    line(out, &format!("add set {RESOLVED} open {{ type nf_proto; flags timeout; }}"));
    // Nobody's: they tell whether somebody emptied the sets.
    for (set, key) in [
        ("pairs.v4", "0.0.0.1 . 0.0.0.0"),
        ("pairs.v6", "::1 . ::"),
        ("across.v4", "0.0.0.0"),
        ("across.v6", "::"),
    ] {
        line(out, &format!("add element {RESOLVED} {set} {{ {key} }}"));
    }
}

/// The way from the hooks to a group's chain.
fn entrance(out: &mut String, plan: &Plan) {
    let mut rule = |text: &str| line(out, &format!("add rule {RESOLVED} look {text}"));
    rule("ct state established,related return");
    rule("meta nfproto @open return");
    rule("fib daddr type { local, broadcast, multicast } return");
    // A host must find its neighbours.
    rule(
        "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } return",
    );
    for (is_ipv4, family) in [(true, "ip"), (false, "ip6")] {
        let ranges = plan.guarded.iter().filter(|(first, ..)| first.is_ipv4() == is_ipv4);
        let words = ranges.filter_map(|(first, last, group)| {
            let who = if first == last { first.to_string() } else { format!("{first}-{last}") };
            Some(format!("{who} : goto group.{}", plan.groups.get(*group)?.ident))
        });
        let words: Vec<String> = words.collect();
        if !words.is_empty() {
            rule(&format!("{family} saddr vmap {{ {} }}", words.join(", ")));
        }
    }
}

/// What one group may reach.
fn of_group(out: &mut String, (plan, number, group): (&Plan, usize, &Group), config: &Config) {
    let mut rule = |text: &str| line(out, &format!("add rule {RESOLVED} group.{} {text}", group.ident));
    for destination in &group.reach {
        rule(&format!("{}return", matched(destination)));
    }
    rule("ip saddr . ip daddr @pairs.v4 return");
    rule("ip6 saddr . ip6 daddr @pairs.v6 return");
    if config.dual_stack {
        rule("ip daddr @across.v4 return");
        rule("ip6 daddr @across.v6 return");
    }
    let is_enforced = group.outbound == Outbound::ResolvedOnly;
    if let Some(log) = config.nflog_group {
        let prefix = UnresolvedLabel { generation: plan.generation, group: number, is_enforced }.text();
        // A flood must not drown the log: counters tell how many there were.
        rule(&format!("limit rate 50/second burst 100 packets log prefix \"{prefix}\" group {log}"));
    }
    rule(&format!("counter name \"count.{}\"", group.ident));
    if is_enforced {
        rule("meta l4proto tcp reject with tcp reset");
        rule("reject with icmpx type admin-prohibited");
    }
}

/// The words that match a destination.
fn matched(destination: &Destination) -> String {
    let mut words = String::new();
    if let Some(network) = destination.network {
        let family = if network.is_ipv4() { "ip" } else { "ip6" };
        words.push_str(&format!("{family} daddr {network} "));
    }
    if let Some(service) = destination.service {
        let protocol = if service.is_udp { "udp" } else { "tcp" };
        words.push_str(&format!("{protocol} dport {}-{} ", service.first, service.last));
    }
    words
}
