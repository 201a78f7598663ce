//! Clients that are held to what they resolved, in a real kernel: what they were answered they reach at once, and nothing else; whatever
//! happens to the table, to the process, or to the generation.
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

use network::{EVERYBODY, EVERYBODY_V6, LAB, Network, rest};
use support::operator::until;

/// Addresses that nobody bans.
const FREE: &str = "198.51.100.7";
const OTHER: &str = "198.51.100.9";
const FREE_V6: &str = "2001:db8:f::7";
const OTHER_V6: &str = "2001:db8:f::8";

/// The last lines of the group `default`, and what follows it.
const HELD: &str = "egress = \"resolved-only\"\n";
const ON: &str = "[egress]\nnftables = true\nresolve = \"0\"\nnflog_group = 78\ngrace = \"1s\"\n[[listener]]\naddress = \"[fd77:1::1]:53\"\n[access]\nallow = [\"10.77.0.0/16\", \"fd77::/16\"]\n";

/// Starts a network, or returns where the machine gives none.
macro_rules! network {
    () => {
        match Network::start() {
            Some(network) => network,
            None => return,
        }
    };
}

/// Starts the program with clients held to what they resolve, and waits until the kernel knows.
fn serve(network: &mut Network, of_group: &str, more: &str) {
    let more = format!("{of_group}{ON}{more}");
    network.configure(&more.replace("[access]\nallow = [\"10.77.0.0/16\", \"fd77::/16\"]\n", ""));
    let path = network.path("interdict.toml");
    let text = support::read(&path)
        .replace("allow = [\"10.77.0.0/16\"]", "allow = [\"10.77.0.0/16\", \"fd77::/16\"]");
    std::fs::write(path, text).unwrap();
    network.serve_by(&[]);
    network.holding();
}

fn permits(network: &Network, name: &str) -> f64 {
    network.metric(&format!("interdict_egress_{name}"))
}

#[test]
fn what_was_resolved_is_reached_at_once_and_nothing_else() {
    let mut network = network!();
    network.names(&format!("free.example {FREE}\nfree.example {FREE_V6}\nalso.example alias:free.example\n"));
    serve(&mut network, HELD, "");
    for (who, address, refused) in [(EVERYBODY, FREE, "prohibited"), (EVERYBODY_V6, FREE_V6, "prohibited")] {
        assert_eq!(network.reach(who, "tcp", address), "reset", "an address out of a program");
        assert_eq!(network.reach(who, "udp", address), refused);
        assert_eq!(network.reach_port(who, "udp", address, "853"), refused, "a foreign resolver");
    }
    assert_eq!(network.reach(EVERYBODY, "tcp", "8.8.8.8"), "reset");
    assert_eq!(network.reach(LAB, "tcp", FREE), "answered", "another group");
    assert_eq!(network.ask_from(EVERYBODY, "also.example", "A"), format!("NOERROR {FREE}"));
    for protocol in ["tcp", "udp"] {
        assert_eq!(network.reach(EVERYBODY, protocol, FREE), "answered");
    }
    assert_eq!(network.reach(EVERYBODY, "tcp", OTHER), "reset", "a neighbour");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", FREE_V6), "reset", "another's answer");
    assert_eq!(network.ask_from(EVERYBODY_V6, "free.example", "AAAA"), format!("NOERROR {FREE_V6}"));
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", FREE_V6), "answered");
    for (who, protocol, names) in [
        (EVERYBODY, "tcp", 0..300),
        (EVERYBODY, "udp", 300..600),
        (EVERYBODY_V6, "tcp", 0..300),
        (EVERYBODY_V6, "udp", 300..600),
    ] {
        let asked = names.end - names.start;
        assert_eq!(network.race(who, protocol, names), (asked, 0, String::new()), "{who} {protocol}");
    }
    // What is in the cache is answered by another way.
    for (who, protocol) in [(LAB, "tcp"), (EVERYBODY, "tcp"), (EVERYBODY, "udp")] {
        assert_eq!(network.race(who, protocol, 1000..1200), (200, 0, String::new()), "{who} {protocol}");
    }
    assert!(permits(&network, "permits_total{kind=\"new\"}") >= 1202.0);
    assert!(permits(&network, "held_replies_total") >= 1202.0);
    assert!(permits(&network, "permitted_pairs") >= 1000.0);
    until(5, "counted by group", || network.held("unresolved", "default", "out", "enforce") >= 6.0);
    let log = || std::fs::read_to_string(network.path("queries.jsonl")).unwrap_or_default();
    until(5, "logged", || {
        log().lines().any(|line| {
            [
                "\"transport\":\"egress\"",
                "\"client\":\"10.77.1.2\"",
                "\"verdict\":\"blocked\"",
                "\"rule\":\"resolved-only\"",
                "9.100.51.198",
            ]
            .iter()
            .all(|word| line.contains(word))
        })
    });
    until(20, "counted in the report, by group", || {
        network
            .say(&["report", "--csv"])
            .lines()
            .any(|line| line.contains("resolved-only") && line.contains("default"))
    });
    let said = network.say(&["explain", FREE, "--client", EVERYBODY]);
    assert!(said.contains("  client      10.77.1.2 (default): permitted for "), "{said}");
    let said = network.say(&["explain", OTHER, "--client", EVERYBODY]);
    assert!(said.contains("  client      10.77.1.2 (default): not resolved"), "{said}");
    assert!(!network.say(&["explain", OTHER, "--client", LAB]).contains("  client "));
    let status = network.get("/api/v1/egress");
    assert!(status.contains("\"resolved\":{\"pairs\":"), "{status}");
    assert!(network.say(&["status"]).contains(" of 131072 permissions"));
}

/// What is told of a reply is what went out in the end, and when it did.
#[test]
fn a_reply_that_waited_for_the_kernel_has_one_line_in_the_log() {
    let mut network = network!();
    network.names(&format!("free.example {FREE}\n"));
    let sink = "[[querylog.sink]]\nname = \"all\"\nto = \"file:$DIR/all.jsonl\"\nwhich = \"all\"\n";
    serve(&mut network, HELD, sink);
    for _ in 0..2 {
        assert_eq!(network.ask_from(EVERYBODY, "free.example", "A"), format!("NOERROR {FREE}"));
    }
    assert!(permits(&network, "held_replies_total") >= 1.0);
    let lines = || {
        let text = std::fs::read_to_string(network.path("all.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["name"] == "free.example").collect::<Vec<_>>()
    };
    until(5, "two lines", || lines().len() >= 2);
    std::thread::sleep(Duration::from_millis(100));
    let told = lines();
    for (line, from) in told.iter().zip(["upstream", "cache"]) {
        assert_eq!((&line["answers"][0]["data"], &line["answered_from"]), (&FREE.into(), &from.into()));
    }
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn a_permission_ends_with_its_answer_and_the_grace_and_what_began_before_outlives_it() {
    let mut network = network!();
    network.names(&format!("brief.example {FREE} 4\n"));
    serve(&mut network, HELD, "");
    let path = network.path("interdict.toml");
    let text = support::read(&path).replace("grace = \"1s\"", "grace = \"5s\"");
    std::fs::write(&path, text).unwrap();
    network.end("-TERM");
    network.serve_by(&[]);
    network.holding();
    assert_eq!(network.ask_from(EVERYBODY, "brief.example", "A"), format!("NOERROR {FREE}"));
    let open = network.background("client", &["hold", FREE, "443", EVERYBODY]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered", "within its life");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered", "within the grace");
    until(15, "it ends", || network.reach(EVERYBODY, "tcp", FREE) == "reset");
    assert_eq!(network.ask_from(EVERYBODY, "brief.example", "A"), format!("NOERROR {FREE}"));
    assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered", "asked for again");
    assert_eq!(rest(open), "lived", "what began before");
    until(30, "and is forgotten", || permits(&network, "permitted_pairs") == 0.0);
    // Answers of no life at all, one after the other: each goes on where the one before ends.
    network.names(&format!("never.example {FREE} 0\n"));
    for _ in 0..8 {
        assert_eq!(network.ask_from(EVERYBODY, "never.example", "A"), format!("NOERROR {FREE}"));
        assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered");
        std::thread::sleep(Duration::from_millis(400));
    }
    assert!(permits(&network, "permits_total{kind=\"extended\"}") >= 1.0);
    assert_eq!(network.log().matches("ERROR").count(), 0, "{}", network.log());
}

#[test]
fn shadow_cuts_nobody_says_what_would_be_cut_and_leads_to_the_ban_without_a_gap() {
    let mut network = network!();
    network.names(&format!("free.example {FREE}\n"));
    serve(&mut network, "egress = \"shadow\"\n", "");
    assert_eq!(network.ask_from(EVERYBODY, "free.example", "A"), format!("NOERROR {FREE}"));
    for address in [FREE, OTHER] {
        assert_eq!(network.reach(EVERYBODY, "tcp", address), "answered", "{address}");
    }
    until(5, "what would be cut is counted", || {
        network.held("unresolved", "default", "out", "shadow") >= 1.0
    });
    let log = || std::fs::read_to_string(network.path("queries.jsonl")).unwrap_or_default();
    until(5, "and logged", || {
        log().lines().any(|line| line.contains("\"verdict\":\"shadow\"") && line.contains("9.100.51.198"))
    });
    assert!(!log().contains("7.100.51.198"), "what was resolved is not");
    let said = network.say(&["explain", OTHER, "--client", EVERYBODY]);
    assert!(said.contains("not resolved; let pass (shadow)"), "{said}");
    for round in 0..3 {
        let path = network.path("interdict.toml");
        let text = support::read(&path).replace("egress = \"shadow\"", "egress = \"resolved-only\"");
        std::fs::write(
            &path,
            format!("{text}\n# {round}\n[[local]]\nname = \"r{round}.example\"\na = [\"192.0.2.9\"]\n"),
        )
        .unwrap();
        let said = network.say(&["reload"]);
        assert!(said.contains(&format!("generation {}", round + 2)), "{said}");
        until(10, "it is in the kernel", || {
            network.say(&["status"]).contains(&format!("egress           generation {}", round + 2))
        });
        assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered", "resolved under an earlier generation");
        assert_eq!(network.reach(EVERYBODY, "tcp", OTHER), "reset");
    }
    until(5, "counted", || network.held("unresolved", "default", "out", "enforce") >= 3.0);
    assert_eq!(permits(&network, "permits_restored_total"), 0.0);
    assert_eq!(network.metric("interdict_egress_restored_total"), 0.0, "{}", network.log());
}

#[test]
fn what_a_group_may_always_reach_is_let_through() {
    let mut network = network!();
    let reach = format!("{HELD}reach = [\"{OTHER}\", \"udp/443\", \"{OTHER_V6} tcp/400-500\"]\n");
    serve(&mut network, &reach, "");
    for (who, protocol, address, port, found) in [
        (EVERYBODY, "tcp", OTHER, "443", "answered"),
        (EVERYBODY, "tcp", FREE, "443", "reset"),
        (EVERYBODY, "udp", FREE, "443", "answered"),
        (EVERYBODY, "udp", FREE, "853", "prohibited"),
        (EVERYBODY_V6, "tcp", OTHER_V6, "443", "answered"),
        (EVERYBODY_V6, "tcp", OTHER_V6, "853", "reset"),
        (EVERYBODY_V6, "tcp", FREE_V6, "443", "reset"),
    ] {
        assert_eq!(network.reach_port(who, protocol, address, port), found, "{protocol} {address} {port}");
    }
    let said = network.say(&["explain", OTHER, "--client", EVERYBODY]);
    assert!(said.contains("may always reach 198.51.100.9/32, udp/443"), "{said}");
}

#[test]
fn hints_and_translated_addresses_count_and_the_other_family_only_where_it_is_asked_for() {
    let mut network = network!();
    network.names(&format!("svc.example https:{FREE},{FREE_V6}\nonly4.example {OTHER}\n"));
    serve(&mut network, HELD, "[dns64]\nprefix = \"64:ff9b::/96\"\n");
    assert_eq!(network.ask_from(EVERYBODY, "svc.example", "HTTPS"), format!("NOERROR {FREE} {FREE_V6}"));
    assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", FREE_V6), "reset", "the kernel cannot know whose it is");
    let translated = "64:ff9b::c633:6409";
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", translated), "reset");
    assert_eq!(network.ask_from(EVERYBODY_V6, "only4.example", "AAAA"), format!("NOERROR {translated}"));
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", translated), "answered");
    network.end("-TERM");
    serve(&mut network, HELD, "");
    let path = network.path("interdict.toml");
    std::fs::write(&path, support::read(&path).replace("[egress]\n", "[egress]\ndual_stack = true\n"))
        .unwrap();
    network.end("-TERM");
    network.serve_by(&[]);
    network.holding();
    assert_eq!(network.ask_from(EVERYBODY, "svc.example", "HTTPS"), format!("NOERROR {FREE} {FREE_V6}"));
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", FREE_V6), "answered");
    assert_eq!(network.reach(EVERYBODY_V6, "tcp", OTHER_V6), "reset");
}

#[test]
fn without_room_answers_fail_or_every_way_is_open_and_both_are_shouted() {
    let mut network = network!();
    network.names(&format!("free.example {FREE}\n"));
    let room =
        |word: &str| ON.replace("[egress]\n", &format!("[egress]\npairs = 40\nwhen_full = \"{word}\"\n"));
    let with = |network: &mut Network, word: &str| {
        network.configure(&format!("{HELD}{}", room(word).split("[[listener]]").next().unwrap()));
        network.serve_by(&[]);
        network.holding();
    };
    with(&mut network, "closed");
    assert_eq!(network.race(EVERYBODY, "tcp", 0..40), (40, 0, String::new()));
    assert_eq!(network.ask_from(EVERYBODY, "free.example", "A"), "SERVFAIL");
    assert_eq!(network.ask_from(LAB, "free.example", "A"), format!("NOERROR {FREE}"), "another group");
    assert_eq!(
        network.ask_from(EVERYBODY, "n7.fresh.example", "A"),
        "NOERROR 198.18.0.7",
        "what is permitted already"
    );
    assert_eq!(network.reach(EVERYBODY, "tcp", "198.18.0.7"), "answered");
    assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "reset");
    assert!(permits(&network, "permit_failures_total{reason=\"full\"}") >= 1.0);
    let health = network.get("/readyz");
    assert!(
        health.contains("no room for what more clients are answered (40 pairs): those answers fail"),
        "{health}"
    );
    assert_eq!(permits(&network, "permits_open"), 0.0);
    assert_eq!(network.log().matches("ERROR").count(), 1, "said once: {}", network.log());
    network.end("-TERM");

    let _gone = network.nft("delete table inet interdict-resolved");
    with(&mut network, "open");
    assert_eq!(network.race(EVERYBODY, "tcp", 0..40), (40, 0, String::new()));
    assert_eq!(network.reach(EVERYBODY, "tcp", OTHER), "reset", "not yet");
    assert_eq!(
        network.race(EVERYBODY, "tcp", 40..80),
        (40, 0, String::new()),
        "the way is open before the reply"
    );
    assert_eq!(network.reach(EVERYBODY, "tcp", OTHER), "answered", "to everything");
    assert_eq!(permits(&network, "permits_open"), 1.0);
    assert!(network.get("/readyz").contains("every way is open"), "{}", network.get("/readyz"));
    until(45, "it closes by itself", || network.reach(EVERYBODY, "tcp", OTHER) == "reset");
    until(5, "and says so", || permits(&network, "permits_open") == 0.0);
}

#[test]
fn what_somebody_took_out_is_back_and_what_was_resolved_is_still_permitted() {
    let mut network = network!();
    network.names(&format!("free.example {FREE} 600\nfree.example {FREE_V6} 600\n"));
    serve(&mut network, HELD, "");
    for (who, kind) in [(EVERYBODY, "A"), (EVERYBODY_V6, "AAAA")] {
        assert!(network.ask_from(who, "free.example", kind).starts_with("NOERROR"));
    }
    for (set, number) in [("pairs.v4", 1.0), ("pairs.v6", 2.0), ("across.v4", 3.0)] {
        assert!(network.nft(&format!("flush set inet interdict-resolved {set}")).0);
        until(10, set, || permits(&network, "permits_restored_total") >= number);
        assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered", "after {set}");
        assert_eq!(network.reach(EVERYBODY_V6, "tcp", FREE_V6), "answered", "after {set}");
    }
    for (number, command) in [
        "flush table inet interdict-resolved",
        "delete table inet interdict-resolved",
        "insert rule inet interdict-resolved look accept",
        "flush chain inet interdict-resolved look",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(network.nft(command).0, "{command}");
        until(15, command, || network.metric("interdict_egress_restored_total") >= number as f64 + 1.0);
        assert_eq!(network.reach(EVERYBODY, "tcp", OTHER), "reset", "after {command}");
        assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered", "after {command}");
        assert_eq!(network.reach(EVERYBODY_V6, "tcp", FREE_V6), "answered", "after {command}");
    }
    // Gone at the very moment that a client asks.
    assert!(network.nft("delete table inet interdict-resolved").0);
    assert_eq!(network.race(EVERYBODY, "tcp", 0..50), (50, 0, String::new()));
    until(10, "it is back", || network.reach(EVERYBODY, "tcp", OTHER) == "reset");
    assert_eq!(network.race(EVERYBODY, "tcp", 0..50), (50, 0, String::new()));
    assert_eq!(network.reach(EVERYBODY, "tcp", "198.18.0.49"), "answered");
}

#[test]
fn a_killed_process_leaves_its_permissions_and_the_next_one_knows_them() {
    let mut network = network!();
    network.names(&format!("free.example {FREE} 600\n"));
    serve(&mut network, HELD, "");
    assert_eq!(network.ask_from(EVERYBODY, "free.example", "A"), format!("NOERROR {FREE}"));
    network.end("-KILL");
    assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered");
    assert_eq!(network.reach(EVERYBODY, "tcp", OTHER), "reset");
    serve(&mut network, HELD, "");
    assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered");
    let said = network.say(&["explain", FREE, "--client", EVERYBODY]);
    assert!(said.contains("permitted for "), "{said}");
    assert!(network.nft("delete table inet interdict-resolved").0);
    until(10, "put back with it", || {
        network.reach(EVERYBODY, "tcp", OTHER) == "reset"
            && network.reach(EVERYBODY, "tcp", FREE) == "answered"
    });
    network.end("-TERM");
    // Nobody is held: the table goes, and with it what would cut.
    serve(&mut network, "", "");
    assert_eq!(network.reach(EVERYBODY, "tcp", OTHER), "answered");
    assert!(!network.nft("list table inet interdict-resolved").0);
    network.end("-TERM");
    serve(&mut network, HELD, "");
    let path = network.path("interdict.toml");
    std::fs::write(&path, support::read(&path).replace("[egress]\n", "[egress]\nat_stop = \"remove\"\n"))
        .unwrap();
    network.end("-TERM");
    network.serve_by(&[]);
    network.holding();
    assert_eq!(network.reach(EVERYBODY, "tcp", OTHER), "reset");
    network.end("-TERM");
    assert_eq!(network.reach(EVERYBODY, "tcp", OTHER), "answered");
    assert!(!network.nft("list table inet interdict-resolved").0);
}

#[test]
fn only_two_threads_may_change_the_packet_filter() {
    let mut network = network!();
    let folder = network.folder.path().to_owned();
    let made = std::process::Command::new("chown").args(["-R", "nobody", folder.to_str().unwrap()]).status();
    assert!(made.unwrap().success());
    network.names(&format!("free.example {FREE}\n"));
    serve(&mut network, HELD, "[server]\nuser = \"nobody\"\n");
    assert_eq!(network.ask_from(EVERYBODY, "free.example", "A"), format!("NOERROR {FREE}"));
    assert_eq!(network.reach(EVERYBODY, "tcp", FREE), "answered");
    let number = network.child().id();
    let threads = std::fs::read_dir(format!("/proc/{number}/task")).unwrap();
    let mut with: Vec<String> = threads
        .filter_map(|thread| {
            let path = thread.unwrap().path();
            let status = support::read(&path.join("status"));
            let set = status
                .lines()
                .find(|line| line.starts_with("CapPrm:"))?
                .split_whitespace()
                .nth(1)?
                .to_owned();
            let name = support::read(&path.join("comm")).trim().to_owned();
            (u64::from_str_radix(&set, 16).unwrap() != 0)
                .then(|| format!("{name} {}", set.trim_start_matches('0')))
        })
        .collect();
    with.sort();
    assert_eq!(with, ["egress 1000", "egress-log 1000", "egress-permits 1000"]);
}

#[test]
fn a_kernel_that_refuses_stops_answers_only_where_that_is_asked_for() {
    let mut network = network!();
    network.names(&format!("free.example {FREE}\n"));
    let without = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
    for (word, answer) in [("open", format!("NOERROR {FREE}")), ("closed", "SERVFAIL".to_owned())] {
        let egress = ON.replace("[egress]\n", &format!("[egress]\non_failure = \"{word}\"\n"));
        network.configure(&format!("{HELD}{}", egress.split("[[listener]]").next().unwrap()));
        network.serve_by(&without);
        assert_eq!(network.ask_from(EVERYBODY, "free.example", "A"), answer, "{word}");
        assert_eq!(network.ask_from(LAB, "free.example", "A"), format!("NOERROR {FREE}"));
        assert_eq!(network.ask("kaspersky.com"), "NXDOMAIN");
        assert!(permits(&network, "permit_failures_total{reason=\"refused\"}") >= 1.0, "{word}");
        assert!(network.get("/readyz").contains("degraded: egress: "), "{}", network.get("/readyz"));
        network.end("-TERM");
    }
}

#[test]
fn every_transport_waits_for_the_kernel() {
    let mut network = network!();
    let made = rcgen::generate_simple_self_signed(vec!["dns.example".to_owned()]).unwrap();
    std::fs::write(network.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(network.path("cert.pem"), made.cert.pem()).unwrap();
    let listeners = [
        "dot\"\naddress = \"10.77.1.1:853",
        "doh\"\naddress = \"10.77.1.1:443",
        "doq\"\naddress = \"10.77.1.1:853",
    ];
    let listeners = listeners.map(|listener| format!("[[listener]]\nprotocol = \"{listener}\"\n")).concat();
    let tls = "[tls]\ncertificate = \"$DIR/cert.pem\"\nkey = \"$DIR/key.pem\"\n";
    let tls = tls.replace("$DIR", &network.folder.path().display().to_string());
    serve(&mut network, HELD, &format!("{tls}{listeners}"));
    let ca = format!("+tls-ca={}", network.path("cert.pem").display());
    let mut held = 0.0;
    for (number, transport) in ["+notcp", "+tcp", "+tls", "+https", "+quic"].into_iter().enumerate() {
        let name = format!("n{}.fresh.example", 4000 + number);
        let address = format!("198.18.15.{}", 160 + number);
        assert_eq!(network.reach(EVERYBODY, "tcp", &address), "reset", "{transport}");
        for (client, more) in [(LAB, 0.0), (EVERYBODY, 1.0)] {
            // The first is held to nothing, and has it fetched. Over QUIC this client cannot say which address it asks from.
            let is_quic = transport == "+quic";
            if is_quic && client == LAB {
                continue;
            }
            let mut kdig = network.inside("client", "kdig");
            kdig.arg("@10.77.1.1");
            if !is_quic {
                kdig.args(["-b", client]);
            }
            if number > 1 {
                kdig.args([&ca, "+tls-host=dns.example"]);
            }
            kdig.args([transport, &name]);
            let ran = kdig.output().expect("kdig is installed");
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(
                said.contains(&address),
                "{transport}: {said}{} {}",
                String::from_utf8_lossy(&ran.stderr),
                ran.status
            );
            held += more;
            assert_eq!(permits(&network, "held_replies_total"), held, "{transport} {client}");
        }
        assert_eq!(network.reach(EVERYBODY, "tcp", &address), "answered", "{transport}");
    }
}
