//! The script for a small plan, word by word, and what the kernel takes of it.

use std::net::IpAddr;

use super::{
    Elements, all_learned, anew, around, changes, counters, learned, remove, remove_resolved, spared, whole,
};
use crate::egress::config::{Config, Hook};
use crate::egress::plan::{Group, Part, Plan};
use crate::policy::{Mode, Outbound, Prefix};

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn plan() -> Plan {
    let part = |title: &str, networks: &[&str], is_bypass| Part {
        ident: title.to_owned(),
        title: title.to_owned(),
        app: title.to_owned(),
        networks: prefixes(networks),
        names: Vec::new(),
        is_bypass,
        is_app: true,
    };
    let group = |ident: &str, name: &str, holds: &[(usize, Mode)]| Group {
        ident: ident.to_owned(),
        name: name.to_owned(),
        holds: holds.to_vec(),
        outbound: Outbound::Off,
        reach: Vec::new(),
    };
    Plan {
        generation: 12,
        parts: vec![
            part("tiktok", &["192.0.2.0/24", "2001:db8::/32"], false),
            part("encrypted-dns", &["198.51.100.53/32"], true),
        ],
        all: prefixes(&["192.0.2.0/24", "198.51.100.53/32", "2001:db8::/32"]),
        groups: vec![
            group("default", "default", &[(0, Mode::Enforce), (1, Mode::Enforce)]),
            group("a_b", "a b", &[(0, Mode::Shadow)]),
        ],
        ranges: vec![
            (address("10.0.0.0"), address("10.0.0.255"), 1),
            (address("fd00::1"), address("fd00::1"), 1),
        ],
        guarded: Vec::new(),
        otherwise: 0,
        known_shared: Vec::new(),
        unasked: 0,
    }
}

fn config() -> Config {
    Config {
        hooks: vec![Hook::Forward, Hook::Output],
        resolvers: prefixes(&["10.0.0.53/32"]),
        shared: prefixes(&["203.0.113.0/24"]),
        nflog_group: Some(7),
        ..Config::default()
    }
}

fn elements(plan: &Plan) -> Elements {
    let (tiktok, default) = (&plan.parts[0], &plan.groups[0]);
    let mut elements = Elements::new();
    for text in ["198.51.100.8", "2001:db9::8"] {
        let address = address(text);
        for set in [learned(tiktok, address), all_learned(address)] {
            elements.entry(set).or_default().insert(address, Some(900));
        }
    }
    elements.entry(spared(default, address("192.0.2.9"))).or_default().insert(address("192.0.2.9"), None);
    elements
}

fn script() -> String {
    let plan = plan();
    whole(&plan, &config(), &prefixes(&["198.51.100.1/32"]), Some(110), &elements(&plan))
}

#[test]
fn the_script_is_what_it_was() {
    let expected = include_str!("expected.nft");
    let expected: String =
        expected.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    assert_eq!(script().trim_end(), expected);
}

#[test]
fn a_change_leaves_chains_and_counters_as_they_are() {
    let plan = plan();
    let script = changes(&plan, &elements(&plan));
    assert_eq!(script.lines().filter(|line| line.starts_with("flush set ")).count(), 10);
    for line in script.lines() {
        assert!(
            line.starts_with("flush set inet interdict ") || line.starts_with("add element inet interdict ")
        );
    }
    assert!(
        script.contains("add element inet interdict set.tiktok.learned.v4 { 198.51.100.8 timeout 900s }\n")
    );
    assert!(script.contains("add element inet interdict set.default.spared.v4 { 192.0.2.9 }\n"));
}

/// The small plan, with one group that is held to what it resolved and one that rehearses that.
fn guarding() -> Plan {
    let mut plan = plan();
    plan.guarded = vec![
        (address("10.0.0.0"), address("10.0.0.255"), 1),
        (address("192.0.2.1"), address("192.0.2.1"), 0),
        (address("fd00::"), address("fd00::ffff"), 1),
    ];
    for (group, outbound) in plan.groups.iter_mut().zip([Outbound::ResolvedOnly, Outbound::Shadow]) {
        group.outbound = outbound;
        group.reach = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32 udp/5-7".parse().unwrap()];
    }
    plan
}

#[test]
fn the_script_of_what_was_resolved_is_what_it_was() {
    let pairs = [
        (address("10.0.0.1"), address("192.0.2.7"), 60),
        (address("fd00::1"), address("2001:db8::7"), 61),
        (address("::"), address("2001:db8::8"), 62),
    ];
    let config = Config { dual_stack: true, ..config() };
    let script = anew(&guarding(), &config, Some(110), &pairs);
    let expected = include_str!("resolved.nft");
    let expected: Vec<&str> = expected.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(script.trim_end(), expected.join("\n"));
}

#[test]
fn a_change_of_generation_takes_out_everything_but_the_pairs() {
    let chains = ["look", "group.gone"].map(str::to_owned);
    let counter = "count.gone".to_owned();
    let script = around(&guarding(), &config(), None, &chains, std::iter::once(&counter));
    assert!(
        !script.contains("delete set") && !script.contains("flush set") && !script.contains("delete table")
    );
    for line in ["flush table inet interdict-resolved", "delete chain inet interdict-resolved group.gone"] {
        assert!(script.contains(&format!("{line}\n")), "{line}");
    }
    assert!(script.contains("delete counter inet interdict-resolved count.gone\n"));
    assert!(!script.contains("hook output"), "its own questions could not be told from the rest");
    for line in script.lines().chain(remove_resolved().lines()) {
        assert!(line.contains(" inet interdict-resolved"), "{line}");
    }
}

#[test]
fn every_counter_is_made_and_used_once() {
    let script = script();
    let names = counters(&plan());
    assert_eq!(names.len(), 6);
    for (name, _) in &names {
        assert!(script.contains(&format!("add counter inet interdict {name}\n")), "{name}");
        assert_eq!(script.matches(&format!("counter name \"{name}\"\n")).count(), 1, "{name}");
    }
    let shown: Vec<String> =
        names.iter().map(|(_, c)| format!("{} {} {} {}", c.app, c.group, c.direction, c.mode)).collect();
    assert!(shown.contains(&"tiktok a b in shadow".to_owned()), "{shown:?}");
}

#[test]
fn another_policy_has_another_mark_and_the_same_one_the_same() {
    let mark = |plan: &Plan, config: &Config| super::script::mark(plan, config, &[], None);
    let (plan, config) = (plan(), config());
    assert_eq!(mark(&plan, &config), mark(&plan.clone(), &config.clone()));
    let mut other = plan.clone();
    other.parts[0].networks.pop();
    assert_ne!(mark(&plan, &config), mark(&other, &config));
    assert_ne!(mark(&plan, &config), mark(&plan, &Config { nflog_group: None, ..config.clone() }));
}

#[test]
fn nothing_but_the_own_table_is_named() {
    for line in script().lines().chain(remove().lines()) {
        let mut words = line.split(' ').skip(2);
        assert_eq!((words.next(), words.next()), (Some("inet"), Some("interdict")), "{line}");
    }
}
