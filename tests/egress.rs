//! What DNS cannot hold back, in a real kernel: a client, a gateway and a server in namespaces of their own, where the client never asks for a
//! name and still does not get through; and whoever is not banned does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may read any file"
)]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares files with other suites")]

#[path = "support/network.rs"]
mod network;
mod support;

use std::time::Duration;

use interdict::clock::Clock;
use network::{EVERYBODY, EVERYBODY_V6, FORENSICS, LAB, Network, TRIAL, rest};
use support::operator::until;
use support::read;

/// An address of Kaspersky's, and one of each family that nobody bans.
const BANNED: &str = "77.74.177.5";
const BANNED_V6: &str = "2a03:2480:68::5";
const FREE: &str = "198.51.100.7";
const FREE_V6: &str = "2001:db8:f::7";

const ON: &str = "[egress]\nnftables = true\nresolve = \"1s\"\n";

/// Starts a network, or returns where the machine gives none.
macro_rules! network {
    () => {
        match Network::start() {
            Some(network) => network,
            None => return,
        }
    };
}

#[test]
fn a_fixed_address_is_cut_for_whom_it_is_banned_and_for_nobody_else() {
    let mut network = network!();
    network.serve("");
    assert_eq!(network.reach(EVERYBODY, "tcp", BANNED), "answered", "nothing is held without egress");
    network.end("-TERM");
    network.serve(ON);
    network.holding();
    assert_eq!(network.reach(EVERYBODY, "tcp", BANNED), "reset");
    assert_eq!(network.reach(EVERYBODY, "udp", BANNED), "prohibited");
    assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered");
    assert_eq!(network.reach(EVERYBODY, "udp", FREE), "answered");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", BANNED_V6), "reset");
    assert_eq!(network.reach(EVERYBODY_V6, "udp", BANNED_V6), "prohibited");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", FREE_V6), "answered");
    for (who, found) in [(LAB, "answered"), (TRIAL, "answered"), (FORENSICS, "answered")] {
        assert_eq!(network.reach(who, "tcp", BANNED), found, "{who}");
    }
    until(5, "drops are counted", || network.held("kaspersky", "default", "out", "enforce") >= 2.0);
    until(5, "so is what shadow mode lets pass", || {
        network.held("kaspersky", "trial", "out", "shadow") >= 3.0
            && network.held("kaspersky", "trial", "in", "shadow") >= 2.0
    });
    assert_eq!(network.held("kaspersky", "forensics", "out", "enforce"), -1.0, "an exception's is not there");
    assert!(
        network.metric("interdict_egress_addresses{app=\"kaspersky\",family=\"ipv6\",origin=\"catalog\"}")
            > 5.0
    );
    let said = network.say(&["explain", BANNED]);
    assert!(said.contains("belongs to  kaspersky (catalog: 77.74.176.0/21)"), "{said}");
    for line in ["default: blocked (kaspersky)", "trial: shadow (kaspersky)", "lab: free", "forensics: free"]
    {
        assert!(said.contains(&format!("group       {line}")), "{said}");
    }
    let said = network.say(&["status"]);
    assert!(said.contains("egress           generation 1 in the kernel since"), "{said}");
}

#[test]
fn ways_around_the_resolver_are_cut() {
    let mut network = network!();
    network.serve(&format!("{ON}resolvers = [\"198.51.100.9\"]\n"));
    network.holding();
    assert_eq!(network.reach(EVERYBODY, "tcp", "8.8.8.8"), "reset");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", "2001:4860:4860::8888"), "reset");
    assert_eq!(network.reach_port(EVERYBODY, "tcp", FREE, "853"), "reset", "DNS over TLS to anybody");
    assert_eq!(network.reach_port(EVERYBODY, "udp", FREE, "853"), "prohibited", "DNS over QUIC to anybody");
    assert_eq!(network.reach_port(EVERYBODY_V6, "tcp", FREE_V6, "853"), "reset");
    assert_eq!(network.reach_port(EVERYBODY, "tcp", "198.51.100.9", "853"), "answered", "an own resolver");
    assert_eq!(network.reach_port(LAB, "tcp", FREE, "853"), "answered", "a group that bans nothing");
    assert_eq!(network.reach_port(TRIAL, "tcp", FREE, "853"), "answered", "a group that only rehearses");
    assert_eq!(network.reach(FORENSICS, "tcp", "8.8.8.8"), "reset");
    until(5, "counted", || network.held("encrypted-dns", "default", "out", "enforce") >= 5.0);
    network.end("-TERM");
    network.serve(&format!("{ON}bypass = false\n"));
    until(10, "held without", || network.reach(EVERYBODY, "tcp", "8.8.8.8") == "answered");
    assert_eq!(network.reach_port(EVERYBODY, "tcp", FREE, "853"), "answered");
    assert_eq!(network.reach(EVERYBODY, "tcp", BANNED), "reset");
}

#[test]
fn what_banned_names_lead_to_is_learned_and_what_others_need_is_spared() {
    let mut network = network!();
    network.names(
        "tiktok.com 198.51.100.8\ntiktok.com 203.0.113.5\ntiktok.com 2001:db8:f::8\ntiktok.com 10.77.1.1\n\
         tiktokv.com 203.0.113.6\nshop.example 203.0.113.5\nalone.example 198.51.100.10\n",
    );
    network.serve(&format!("{ON}shared = [\"203.0.113.6\"]\n"));
    network.holding();
    until(10, "the address is learned", || network.reach(EVERYBODY, "tcp", "198.51.100.8") == "reset");
    until(5, "so is the one of IPv6", || network.reach(EVERYBODY_V6, "tcp", "2001:db8:f::8") == "reset");
    assert_eq!(network.reach(EVERYBODY, "udp", "198.51.100.8"), "prohibited");
    assert_eq!(network.reach(FORENSICS, "tcp", "198.51.100.8"), "reset", "the exception is for another app");
    assert_eq!(network.reach(TRIAL, "tcp", "198.51.100.8"), "answered");
    assert_eq!(network.reach(EVERYBODY, "tcp", "203.0.113.6"), "answered", "a network that is shared");
    assert_eq!(network.reach(EVERYBODY, "tcp", "203.0.113.5"), "reset", "nobody else is known there");
    assert_eq!(network.ask("tiktok.com"), "NXDOMAIN", "what is learned is for no client");
    assert_eq!(network.ask("shop.example"), "NOERROR");
    until(15, "a neighbour is spared", || network.reach(EVERYBODY, "tcp", "203.0.113.5") == "answered");
    assert_eq!(network.reach(EVERYBODY, "tcp", "198.51.100.8"), "reset", "and nothing else");
    assert_eq!(network.reach(EVERYBODY, "tcp", "198.51.100.10"), "answered");
    assert!(network.metric("interdict_egress_spared_total{reason=\"allowed-name\"}") >= 1.0);
    assert!(network.metric("interdict_egress_spared_total{reason=\"shared-network\"}") >= 1.0);
    assert!(network.metric("interdict_egress_spared_total{reason=\"private\"}") >= 1.0);
    assert_eq!(
        network.metric("interdict_egress_addresses{app=\"tiktok\",family=\"ipv6\",origin=\"learned\"}"),
        1.0
    );
    let said = network.say(&["explain", "203.0.113.5"]);
    assert!(said.contains("belongs to  tiktok (learned: tiktok.com)"), "{said}");
    assert!(said.contains("group       default: spared (tiktok, allowed-name, shop.example)"), "{said}");
    let said = network.say(&["explain", "198.51.100.8"]);
    assert!(said.contains("group       default: blocked (tiktok)"), "{said}");
    let said = network.say(&["explain", "203.0.113.6"]);
    assert!(said.contains("tiktok (learned: tiktokv.com); spared: shared-network"), "{said}");
    let said = network.say(&["explain", FREE]);
    assert!(said.contains("belongs to  nothing that is banned"), "{said}");
}

#[test]
fn what_is_banned_is_banned_at_the_translator_too() {
    let mut network = network!();
    network.names("tiktok.com 198.51.100.8\ntiktokv.com 203.0.113.5\nshop.example 203.0.113.5\n");
    network.serve(&format!("{ON}[dns64]\nprefix = \"64:ff9b::/96\"\n"));
    network.holding();
    let mapped = |address: &str| format!("64:ff9b::{address}");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", &mapped(BANNED)), "reset");
    assert_eq!(network.reach(EVERYBODY_V6, "udp", &mapped(BANNED)), "prohibited");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", &mapped("8.8.8.8")), "reset", "a way around");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", &mapped(FREE)), "answered");
    until(10, "what is learned too", || {
        network.reach(EVERYBODY_V6, "tcp", &mapped("198.51.100.8")) == "reset"
    });
    assert_eq!(network.ask("shop.example"), "NOERROR");
    until(15, "and what others need is spared", || {
        network.reach(EVERYBODY_V6, "tcp", &mapped("203.0.113.5")) == "answered"
    });
    let said = network.say(&["explain", &mapped(BANNED)]);
    assert!(said.contains("kaspersky (catalog: 64:ff9b::4d4a:b000/117)"), "{said}");
}

#[test]
fn a_table_that_was_flushed_is_back_and_a_neighbour_is_left_alone() {
    let mut network = network!();
    network.names("tiktok.com 198.51.100.8\n");
    for command in [
        "add table inet operator",
        "add chain inet operator forward { type filter hook forward priority 0; policy accept; }",
        "add set inet operator known { type ipv4_addr; }",
        "add element inet operator known { 192.0.2.99 }",
        "add rule inet operator forward ip daddr @known counter drop",
    ] {
        assert!(network.nft(command).0, "{command}");
    }
    let before = network.nft("list table inet operator").1;
    // Not again while the test runs: what is learned comes back from what is known.
    network.serve(&ON.replace("\"1s\"", "\"1h\""));
    network.holding();
    until(10, "learned", || network.reach(EVERYBODY, "tcp", "198.51.100.8") == "reset");
    until(5, "counted", || network.held("tiktok", "default", "out", "enforce") >= 1.0);
    let counted = network.held("tiktok", "default", "out", "enforce");
    for (number, command) in [
        "delete table inet interdict",
        "flush table inet interdict",
        "flush set inet interdict set.kaspersky.listed.v4",
        "flush set inet interdict set.tiktok.learned.v4",
        "add element inet interdict set.default.spared.v4 { 198.51.100.8 }",
        "insert rule inet interdict look accept",
        "delete chain inet interdict forward",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(network.nft(command).0, "{command}");
        until(10, command, || network.metric("interdict_egress_restored_total") >= number as f64 + 1.0);
        for address in [BANNED, "198.51.100.8"] {
            assert_eq!(network.reach(EVERYBODY, "tcp", address), "reset", "{address} after {command}");
        }
    }
    until(5, "totals go on", || network.held("tiktok", "default", "out", "enforce") >= counted + 3.0);
    assert_eq!(network.nft("list table inet operator").1, before);
    assert_eq!(network.metric("interdict_egress_restored_total"), 7.0, "{}", network.log());
}

#[test]
fn a_ban_that_comes_into_force_cuts_what_is_open() {
    let mut network = network!();
    let lists = network.path("blocklists");
    let copied = std::process::Command::new("cp")
        .args(["-r", concat!(env!("CARGO_MANIFEST_DIR"), "/blocklists"), lists.to_str().unwrap()])
        .status();
    assert!(copied.unwrap().success());
    let _source = std::fs::remove_file(lists.join("embed.rs"));
    let from = Clock::system().wall() + Duration::from_secs(8);
    let act = read(&lists.join("instruments/ca-tbs-2023-02-28-tiktok.toml"));
    let act = act.lines().map(|line| {
        if line.starts_with("id =") {
            "id = \"test-act\"".to_owned()
        } else if line.starts_with("in_force_from =") {
            format!("in_force_from = {{ date = \"{from:.0}\", verified = true }}")
        } else if line.starts_with("apps =") {
            "apps = [\"telegram\"]".to_owned()
        } else {
            line.to_owned()
        }
    });
    let act: Vec<String> = act.collect();
    std::fs::write(lists.join("instruments/test-act.toml"), act.join("\n")).unwrap();
    network.names("telegram.org 198.51.100.8\n");
    network.configure(&format!("{ON}[policy_]\nblocklists = 1\n"));
    let config = read(&network.path("interdict.toml"));
    let config = config.replace("[policy_]\nblocklists = 1\n", "");
    let config = config.replace("[policy]\n", &format!("[policy]\nblocklists = \"{}\"\n", lists.display()));
    std::fs::write(network.path("interdict.toml"), config).unwrap();
    network.serve_by(&[]);
    network.holding();
    let open = network.background("client", &["hold", "198.51.100.8", "443", EVERYBODY]);
    assert!(Clock::system().wall() < from, "the test is too slow to see the time before");
    assert_eq!(network.reach(EVERYBODY, "tcp", "198.51.100.8"), "answered", "before");
    assert_eq!(rest(open), "reset", "what was open when it came into force");
    assert!(Clock::system().wall() >= from);
    assert_eq!(network.reach(EVERYBODY, "tcp", "198.51.100.8"), "reset", "after");
    assert_eq!(network.ask("telegram.org"), "NXDOMAIN");
}

#[test]
fn without_the_capability_dns_goes_on_and_health_says_so() {
    let mut network = network!();
    network.configure(ON);
    // As a service without it: root, but for what the packet filter needs.
    network.serve_by(&["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]);
    until(10, "it is counted", || {
        network.metric("interdict_egress_failures_total{reason=\"denied\"}") >= 2.0
    });
    assert_eq!(network.ask("kaspersky.com"), "NXDOMAIN");
    let health = network.get("/readyz");
    assert!(health.contains("degraded: egress: the kernel is not told what to hold"), "{health}");
    assert!(network.metric("interdict_degraded") >= 1.0);
    let log = network.log();
    assert_eq!(log.matches("ERROR").count(), 1, "said once: {log}");
    assert!(log.contains("AmbientCapabilities"), "{log}");
    network.end("-TERM");

    network.serve(&format!("{ON}program = \"/nowhere/nft\"\n"));
    until(10, "so is a program that is not there", || {
        network.metric("interdict_egress_failures_total{reason=\"absent\"}") >= 1.0
    });
    assert_eq!(network.ask("kaspersky.com"), "NXDOMAIN");
    let health = network.get("/readyz");
    assert!(health.contains("`/nowhere/nft` is not installed"), "{health}");
}

#[test]
fn the_capability_outlives_the_change_of_user() {
    let mut network = network!();
    let folder = network.folder.path().to_owned();
    let made = std::process::Command::new("chown").args(["-R", "nobody", folder.to_str().unwrap()]).status();
    assert!(made.unwrap().success());
    network.configure(&format!("{ON}[server]\nuser = \"nobody\"\n"));
    network.serve_by(&[]);
    network.holding();
    assert_eq!(network.reach(EVERYBODY, "tcp", BANNED), "reset");
    // One thread has it, and that one has no other.
    let number = network.child().id();
    let threads = std::fs::read_dir(format!("/proc/{number}/task")).unwrap();
    let with: Vec<String> = threads
        .filter_map(|thread| {
            let path = thread.unwrap().path();
            let status = read(&path.join("status"));
            assert!(
                status.lines().any(|line| line.starts_with("Uid:") && !line.contains("\t0\t")),
                "{status}"
            );
            let line = status.lines().find(|line| line.starts_with("CapPrm:"))?;
            let name = read(&path.join("comm")).trim().to_owned();
            let set = u64::from_str_radix(line.split_whitespace().nth(1)?, 16).unwrap();
            (set != 0).then(|| format!("{name} {set:x}"))
        })
        .collect();
    assert_eq!(with, ["egress 1000"]);
}

#[test]
fn at_the_stop_it_stays_or_goes_and_a_killed_process_leaves_it() {
    let mut network = network!();
    network.names("tiktok.com 198.51.100.8\n");
    network.serve(ON);
    network.holding();
    until(10, "learned", || network.reach(EVERYBODY, "tcp", "198.51.100.8") == "reset");
    network.end("-TERM");
    for address in [BANNED, "198.51.100.8"] {
        assert_eq!(network.reach(EVERYBODY, "tcp", address), "reset", "{address} after the stop");
    }
    network.serve(ON);
    network.holding();
    network.end("-KILL");
    assert_eq!(network.reach(EVERYBODY, "tcp", BANNED), "reset", "after it was killed");
    // What was learned is known again before anything is resolved.
    network.names("");
    network.serve(&ON.replace("\"1s\"", "\"1h\""));
    network.holding();
    for address in [BANNED, "198.51.100.8"] {
        assert_eq!(network.reach(EVERYBODY, "tcp", address), "reset", "{address} after the restart");
    }
    let said = network.say(&["explain", "198.51.100.8"]);
    assert!(said.contains("tiktok (learned: held before the last start)"), "{said}");
    network.end("-TERM");
    network.serve(&format!("{ON}at_stop = \"remove\"\n"));
    network.holding();
    assert_eq!(network.reach(EVERYBODY, "tcp", BANNED), "reset");
    network.end("-TERM");
    assert_eq!(network.reach(EVERYBODY, "tcp", BANNED), "answered");
    assert!(!network.nft("list table inet interdict").0);
}

#[test]
fn what_the_kernel_holds_is_in_the_query_log() {
    let mut network = network!();
    network.names("tiktok.com 198.51.100.8\n");
    network.serve(&format!("{ON}nflog_group = 77\n"));
    network.holding();
    until(10, "learned", || network.reach(EVERYBODY, "tcp", "198.51.100.8") == "reset");
    assert_eq!(network.reach(EVERYBODY, "udp", BANNED), "prohibited");
    assert_eq!(network.reach(TRIAL, "tcp", BANNED), "answered");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", BANNED_V6), "reset");
    let log = || std::fs::read_to_string(network.path("queries.jsonl")).unwrap_or_default();
    let line = |words: &[&str]| {
        log().lines().any(|line| {
            line.contains("\"transport\":\"egress\"") && words.iter().all(|word| line.contains(word))
        })
    };
    let by = "\"client\":\"10.77.1.2\"";
    for words in [
        &[
            by,
            "\"name\":\"tiktok.com\"",
            "\"verdict\":\"blocked\"",
            "\"app\":\"tiktok\"",
            "\"group\":\"default\"",
        ] as &[&str],
        &[
            by,
            "\"name\":\"5.177.74.77.in-addr.arpa\"",
            "\"app\":\"kaspersky\"",
            "\"trigger\":\"egress\"",
            "\"action\":\"drop\"",
        ],
        &[
            "\"client\":\"10.77.8.2\"",
            "\"verdict\":\"shadow\"",
            "\"app\":\"kaspersky\"",
            "\"group\":\"trial\"",
        ],
        &["\"client\":\"fd77:1::2\"", "\"type\":\"AAAA\"", "\"app\":\"kaspersky\""],
    ] {
        until(5, &format!("a line with {words:?}"), || line(words));
    }
    assert_eq!(network.metric("interdict_egress_failures_total{reason=\"log\"}"), 0.0);
    // Questions and connections are told apart.
    let log = network.path("queries.jsonl");
    let said = network.say(&["diff", "--impact", log.to_str().unwrap()]);
    assert!(said.contains("newly blocked: 0 queries"), "{said}");
}
