//! Owns the text that `nft -f -` puts in force in one transaction: a pure function of the plan, the settings and what was learned, in one order
//! on every host. Never runs it.
//!
//! # The table
//!
//! A packet's addresses are looked up in the sets `all`, of everything that is held, once each way: whoever talks to nobody of them pays for no
//! more. The map `clients` then leads to the chain of the client's group, which goes through the parts that the group may not reach. What is
//! held for it is counted, and refused so that it fails at once: TCP with a reset, all else as administratively prohibited. What comes from
//! there is dropped without a word, and what is rehearsed is only counted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::names::{Way, counter, held};
use crate::egress::config::{Config, Hook};
use crate::egress::nflog::Label;
use crate::egress::plan::{Group, Part, Plan};
use crate::policy::{Mode, Prefix, hexadecimal};

/// The table that this program owns.
pub(in crate::egress) const TABLE: &str = "inet interdict";

/// What changes between generations: addresses by set, with the seconds for which each holds, or for as long as it stays.
pub(in crate::egress) type Elements = BTreeMap<String, BTreeMap<IpAddr, Option<u64>>>;

/// Elements that one line adds: the kernel's program reads lines, and people may have to.
const OF_LINE: usize = 200;

/// The two families: the suffix of sets, the type of their elements, and the words for an address.
const FAMILIES: [(bool, &str, &str, &str); 2] =
    [(true, "v4", "ipv4_addr", "ip"), (false, "v6", "ipv6_addr", "ip6")];

/// Takes the table out, if it is there.
pub(in crate::egress) fn remove() -> String {
    format!("add table {TABLE}\ndelete table {TABLE}\n")
}

/// The name of the chain that tells by which plan and settings the table was made; nothing goes through it.
pub(in crate::egress) fn mark(plan: &Plan, config: &Config, own: &[Prefix], user: Option<u32>) -> String {
    let text = body(plan, config, own, user);
    let digest = Sha256::digest(text);
    format!("made.{}", hexadecimal(digest.get(..8).unwrap_or(&digest)))
}

/// The whole table, in place of whatever has its name. `own` are the upstreams; packets of `user` that leave this host are its own.
pub(in crate::egress) fn whole(
    plan: &Plan,
    config: &Config,
    own: &[Prefix],
    user: Option<u32>,
    elements: &Elements,
) -> String {
    let mut out = remove();
    line(&mut out, &format!("add table {TABLE}"));
    line(&mut out, &format!("add chain {TABLE} {}", mark(plan, config, own, user)));
    out.push_str(&body(plan, config, own, user));
    add_all(&mut out, elements);
    out
}

/// The elements alone, in place of those that are there.
pub(in crate::egress) fn changes(plan: &Plan, elements: &Elements) -> String {
    let mut out = String::new();
    for set in volatile(plan) {
        line(&mut out, &format!("flush set {TABLE} {set}"));
    }
    add_all(&mut out, elements);
    out
}

/// The sets whose elements come and go between generations.
fn volatile(plan: &Plan) -> impl Iterator<Item = String> {
    let learned = plan.parts.iter().map(|part| format!("{}.learned", part.ident));
    let spared = plan.groups.iter().map(|group| format!("{}.spared", group.ident));
    let own = learned.chain(spared).map(|set| format!("set.{set}"));
    let all = std::iter::once("all.learned".to_owned()).chain(own);
    all.flat_map(|set| FAMILIES.map(|(_, suffix, ..)| format!("{set}.{suffix}")))
}

/// The set in which a part's learned address is.
pub(in crate::egress) fn learned(part: &Part, address: IpAddr) -> String {
    format!("set.{}.learned.{}", part.ident, suffix(address))
}

/// The set in which every learned address is.
pub(in crate::egress) fn all_learned(address: IpAddr) -> String {
    format!("all.learned.{}", suffix(address))
}

/// The set in which what a group is spared is.
pub(in crate::egress) fn spared(group: &Group, address: IpAddr) -> String {
    format!("set.{}.spared.{}", group.ident, suffix(address))
}

fn suffix(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "v4" } else { "v6" }
}

pub(super) fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn add_all(out: &mut String, elements: &Elements) {
    for (set, addresses) in elements {
        let words = addresses.iter().map(|(address, seconds)| match seconds {
            Some(seconds) => format!("{address} timeout {seconds}s"),
            None => address.to_string(),
        });
        add(out, set, words);
    }
}

/// Adds elements to a set or a map.
fn add(out: &mut String, set: &str, words: impl Iterator<Item = String>) {
    let words: Vec<String> = words.collect();
    for words in words.chunks(OF_LINE) {
        line(out, &format!("add element {TABLE} {set} {{ {} }}", words.join(", ")));
    }
}

/// Everything but what changes between generations.
fn body(plan: &Plan, config: &Config, own: &[Prefix], user: Option<u32>) -> String {
    let mut out = String::new();
    for (name, _) in super::counters(plan) {
        line(&mut out, &format!("add counter {TABLE} {name}"));
    }
    chains(&mut out, plan, config);
    sets(&mut out, plan, config, own);
    entrance(&mut out, plan, config, user);
    for group in &plan.groups {
        for way in Way::ALL {
            of_group(&mut out, plan, group, way);
            for (part, mode) in &group.holds {
                if let Some(part) = plan.parts.get(*part) {
                    verdict(&mut out, (group, part, *mode), config, (plan, way));
                }
            }
        }
    }
    out
}

fn chains(out: &mut String, plan: &Plan, config: &Config) {
    for hook in &config.hooks {
        // Before whatever an operator's own filter accepts or counts.
        let hook = hook.as_str();
        line(
            out,
            &format!("add chain {TABLE} {hook} {{ type filter hook {hook} priority -2; policy accept; }}"),
        );
    }
    line(out, &format!("add chain {TABLE} look"));
    for way in Way::ALL {
        line(out, &format!("add chain {TABLE} way.{}", way.as_str()));
        for group in &plan.groups {
            line(out, &format!("add chain {TABLE} group.{}.{}", group.ident, way.as_str()));
            for part in group.holds.iter().filter_map(|(part, _)| plan.parts.get(*part)) {
                line(out, &format!("add chain {TABLE} hold.{}", held(group, part, way)));
            }
        }
    }
}

fn sets(out: &mut String, plan: &Plan, config: &Config, own: &[Prefix]) {
    let own = own.iter().chain(&config.resolvers).copied().collect();
    let fixed: Vec<(String, Vec<Prefix>)> = [
        ("all.listed".to_owned(), plan.all.clone()),
        ("own".to_owned(), Prefix::outermost(own)),
        ("shared".to_owned(), Prefix::outermost(config.shared.clone())),
    ]
    .into_iter()
    .chain(plan.parts.iter().map(|part| (format!("set.{}.listed", part.ident), part.networks.clone())))
    .collect();
    for (name, networks) in fixed {
        for (is_ipv4, suffix, kind, _) in FAMILIES {
            let set = format!("{name}.{suffix}");
            line(out, &format!("add set {TABLE} {set} {{ type {kind}; flags interval; }}"));
            let networks = networks.iter().filter(|network| network.is_ipv4() == is_ipv4);
            add(out, &set, networks.map(ToString::to_string));
        }
    }
    for set in volatile(plan) {
        let kind = if set.ends_with("v4") { "ipv4_addr" } else { "ipv6_addr" };
        let flags =
            if set.ends_with(".spared.v4") || set.ends_with(".spared.v6") { "" } else { " flags timeout;" };
        line(out, &format!("add set {TABLE} {set} {{ type {kind};{flags} }}"));
    }
    for way in Way::ALL {
        for (is_ipv4, suffix, kind, _) in FAMILIES {
            let map = format!("clients.{}.{suffix}", way.as_str());
            line(out, &format!("add map {TABLE} {map} {{ type {kind} : verdict; flags interval; }}"));
            let ranges = plan.ranges.iter().filter(|(first, ..)| first.is_ipv4() == is_ipv4);
            let words = ranges.filter_map(|(first, last, group)| {
                let chain = format!("group.{}.{}", plan.groups.get(*group)?.ident, way.as_str());
                let who = if first == last { first.to_string() } else { format!("{first}-{last}") };
                Some(format!("{who} : goto {chain}"))
            });
            add(out, &map, words);
        }
    }
}

/// The way from the hooks to a group's chain.
fn entrance(out: &mut String, plan: &Plan, config: &Config, user: Option<u32>) {
    let mut rule = |chain: &str, text: &str| line(out, &format!("add rule {TABLE} {chain} {text}"));
    for hook in &config.hooks {
        if let (Hook::Output, Some(user)) = (hook, user) {
            // This process asks upstreams and fetches lists, wherever they are.
            rule(hook.as_str(), &format!("meta skuid {user} return"));
        }
        rule(hook.as_str(), "jump look");
    }
    for (way, end) in [(Way::Out, "daddr"), (Way::In, "saddr")] {
        for set in ["listed", "learned"] {
            for (_, suffix, _, family) in FAMILIES {
                rule("look", &format!("{family} {end} @all.{set}.{suffix} goto way.{}", way.as_str()));
            }
        }
    }
    let holds_bypass = plan.groups.iter().flat_map(|group| &group.holds);
    let mut parts = holds_bypass.filter_map(|(part, _)| plan.parts.get(*part));
    if parts.any(|part| part.is_bypass) {
        rule("look", &format!("{ENCRYPTED} goto way.out"));
    }
    let otherwise = plan.groups.get(plan.otherwise);
    for (way, there, here) in [(Way::Out, "daddr", "saddr"), (Way::In, "saddr", "daddr")] {
        let word = way.as_str();
        let chain = &format!("way.{word}");
        for (_, suffix, _, family) in FAMILIES {
            rule(chain, &format!("{family} {there} @shared.{suffix} return"));
        }
        for (_, suffix, _, family) in FAMILIES {
            rule(chain, &format!("{family} {here} vmap @clients.{word}.{suffix}"));
        }
        if let Some(group) = otherwise {
            rule(chain, &format!("goto group.{}.{word}", group.ident));
        }
    }
}

/// DNS over TLS and over QUIC.
const ENCRYPTED: &str = "meta l4proto { tcp, udp } th dport 853";

/// What one group may not reach.
fn of_group(out: &mut String, plan: &Plan, group: &Group, way: Way) {
    let chain = format!("group.{}.{}", group.ident, way.as_str());
    let mut rule = |text: &str| line(out, &format!("add rule {TABLE} {chain} {text}"));
    let (there, here) = if way == Way::Out { ("daddr", "saddr") } else { ("saddr", "daddr") };
    for (_, suffix, _, family) in FAMILIES {
        rule(&format!("{family} {there} @set.{}.spared.{suffix} return", group.ident));
    }
    for (part, mode) in &group.holds {
        let Some(part) = plan.parts.get(*part) else { continue };
        if part.is_bypass {
            for end in [there, here] {
                for (_, suffix, _, family) in FAMILIES {
                    rule(&format!("{family} {end} @own.{suffix} return"));
                }
            }
        }
        // What is only rehearsed may still be held as something else.
        let verb = if *mode == Mode::Enforce { "goto" } else { "jump" };
        let hold = format!("{verb} hold.{}", held(group, part, way));
        for set in ["listed", "learned"] {
            for (_, suffix, _, family) in FAMILIES {
                rule(&format!("{family} {there} @set.{}.{set}.{suffix} {hold}", part.ident));
            }
        }
        if part.is_bypass && way == Way::Out {
            // Once each packet: what the sets hold was counted above.
            rule(&format!(
                "{ENCRYPTED} ip daddr != @set.{0}.listed.v4 ip daddr != @set.{0}.learned.v4 {hold}",
                part.ident
            ));
            rule(&format!(
                "{ENCRYPTED} ip6 daddr != @set.{0}.listed.v6 ip6 daddr != @set.{0}.learned.v6 {hold}",
                part.ident
            ));
        }
    }
}

/// What becomes of a packet that is held.
fn verdict(
    out: &mut String,
    (group, part, mode): (&Group, &Part, Mode),
    config: &Config,
    (plan, way): (&Plan, Way),
) {
    let chain = format!("hold.{}", held(group, part, way));
    let mut rule = |text: &str| line(out, &format!("add rule {TABLE} {chain} {text}"));
    if let Some(number) = config.nflog_group {
        let index = |found: Option<usize>| found.unwrap_or(0);
        let group = index(plan.groups.iter().position(|other| other.ident == group.ident));
        let part = index(plan.parts.iter().position(|other| other.ident == part.ident));
        let label = Label {
            generation: plan.generation,
            group,
            part,
            is_enforced: mode == Mode::Enforce,
            is_outward: way == Way::Out,
        };
        let prefix = label.text();
        // A flood must not drown the log: counters tell how many there were.
        rule(&format!("limit rate 50/second burst 100 packets log prefix \"{prefix}\" group {number}"));
    }
    rule(&format!("counter name \"{}\"", counter(group, part, way)));
    match (mode, way) {
        (Mode::Enforce, Way::Out) => {
            rule("meta l4proto tcp reject with tcp reset");
            rule("reject with icmpx type admin-prohibited");
        }
        (Mode::Enforce, Way::In) => rule("drop"),
        _ => {}
    }
}
