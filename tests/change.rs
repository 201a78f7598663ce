//! What happens around a change of policy, as operators live through it: history, rollback, pin, dates, the audit log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

mod support;

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use interdict::clock::Clock;
use serde_json::Value;
use support::Site;
use support::operator::until;

const NXDOMAIN: &str = "Non-Existent Domain";
const NOERROR: &str = "No Error";
const LIST: &str = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";

fn site(policy: &str, list: &str, clock: Clock) -> Site {
    let site = Site::prepare(policy, clock);
    std::fs::write(site.path("own.txt"), list).unwrap();
    site.started()
}

/// Writes the list and reloads; the changed file may have been noticed first.
fn reload(site: &Site, list: &str) -> Value {
    std::fs::write(site.path("next"), list).unwrap();
    std::fs::rename(site.path("next"), site.path("own.txt")).unwrap();
    site.post("/api/v1/reload?accept_shrink=true&reason=ticket%204711")
}

fn generation(site: &Site) -> u64 {
    site.running.as_ref().unwrap().snapshot().generation()
}

fn interdict(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
    command.arg("--config").arg(&site.config).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn restarted(mut site: Site) -> Site {
    site.stop();
    site.started()
}

#[test]
fn a_rollback_is_the_very_policy_that_was_in_force() {
    let site = site(LIST, "*.one.example\n", Clock::system());
    let first = site.running.as_ref().unwrap().snapshot();
    reload(&site, "*.two.example\n");
    assert_eq!((site.rcode("a.one.example").as_str(), generation(&site)), (NOERROR, 2));
    let outcome = site.post("/api/v1/rollback?reason=mail+is+broken");
    assert_eq!((&outcome["outcome"], &outcome["generation"]), (&"published".into(), &1.into()), "{outcome}");
    let now = site.running.as_ref().unwrap().snapshot();
    assert!(Arc::ptr_eq(&first, &now), "nothing was compiled");
    assert_eq!(site.rcode("a.one.example"), NXDOMAIN);
    // Forth again, by number.
    site.post("/api/v1/rollback?to=2");
    assert_eq!((site.rcode("a.two.example").as_str(), generation(&site)), (NXDOMAIN, 2));
    let history = site.get("/api/v1/history");
    let rows: Vec<(u64, &str, &str, &str)> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap();
            (row["generation"].as_u64().unwrap(), text("who"), text("what"), text("why"))
        })
        .collect();
    assert_eq!(rows.len(), 4, "{history:#}");
    assert_eq!(rows[0], (2, "local", "rollback", ""));
    assert_eq!(rows[1], (1, "local", "rollback", "mail is broken"));
    assert_eq!((rows[2].0, rows[3]), (2, (1, "start", "start", "")));
    assert_eq!(history[0]["in_force"], true);
    assert_eq!(history[1]["change"]["added"]["own"]["names"][0], "one.example");
    let problem = site.post("/api/v1/rollback?to=99").to_string();
    assert!(
        problem.contains("generation 99 is not kept") && problem.contains("interdict history"),
        "{problem}"
    );
}

#[test]
fn a_second_rollback_goes_further_back_and_not_forth_again() {
    let site = site(LIST, "*.one.example\n", Clock::system());
    reload(&site, "*.two.example\n");
    reload(&site, "*.three.example\n");
    for (wanted, name) in [(2, "a.two.example"), (1, "a.one.example")] {
        site.post("/api/v1/rollback");
        assert_eq!((generation(&site), site.rcode(name).as_str()), (wanted, NXDOMAIN));
    }
    let outcome = site.post("/api/v1/rollback");
    assert!(outcome.to_string().contains("no earlier generation"), "{outcome}");
}

#[test]
fn a_rollback_never_takes_a_ban_out_that_came_into_force_since() {
    let exception = "[[policy.exception]]\nid = \"lab\"\napps = [\"tiktok\"]\nuntil = \"2027-03-31\"\n\
                     approved_by = \"CIO\"\nreason = \"analysis\"\n";
    let clock = Clock::manual("2027-03-30T23:59:00Z".parse().unwrap());
    let site = site(&format!("{LIST}{exception}"), "*.one.example\n", clock);
    reload(&site, "*.two.example\n");
    assert_eq!(site.rcode("www.tiktok.com"), NOERROR);
    site.clock.advance(Duration::from_secs(120));
    site.until("www.tiktok.com", NXDOMAIN);
    assert_eq!(generation(&site), 3);
    let outcome = site.post("/api/v1/rollback?to=1");
    assert_eq!(outcome["generation"], 4, "its dates have moved on, so it decides anew: {outcome}");
    assert_eq!(site.rcode("www.tiktok.com"), NXDOMAIN);
    assert_eq!(site.rcode("a.one.example"), NXDOMAIN);
}

#[test]
fn a_date_of_law_needs_no_file_of_the_day() {
    let clock = Clock::manual("2023-10-30T03:59:00Z".parse().unwrap());
    let enforce =
        "[[policy.group]]\nname = \"default\"\nenforce = [\"ca-tbs-2023-10-30-wechat-kaspersky\", \"own\"]\n";
    let site = site(&format!("{LIST}{enforce}"), "*.one.example\n", clock);
    std::fs::write(site.path("own.txt"), "bad line here\n").unwrap();
    std::fs::write(&site.config, "not toml").unwrap();
    assert_eq!(site.rcode("wechat.com"), NOERROR);
    site.clock.advance(Duration::from_secs(120));
    site.until("wechat.com", NXDOMAIN);
    assert_eq!(site.rcode("a.one.example"), NXDOMAIN);
    // A law that was agreed to is in force first and written down then.
    until(5, "it is written down", || site.get("/api/v1/history")[0]["generation"] == 2);
    let history = site.get("/api/v1/history");
    assert_eq!((&history[0]["who"], &history[0]["what"]), (&"date".into(), &"date".into()));
}

#[test]
fn a_pin_holds_against_everybody_but_the_law_and_outlives_the_process() {
    let clock = Clock::manual("2023-10-30T03:00:00Z".parse().unwrap());
    let enforce =
        "[[policy.group]]\nname = \"default\"\nenforce = [\"ca-tbs-2023-10-30-wechat-kaspersky\", \"own\"]\n";
    let site = site(&format!("{LIST}{enforce}"), "*.one.example\n", clock);
    assert_eq!(site.post("/api/v1/pin?reason=elections")["outcome"], "unchanged");
    let outcome = reload(&site, "*.two.example\n");
    assert_eq!((&outcome["outcome"], &outcome["hold"]["why"]), (&"held".into(), &"elections".into()));
    assert_eq!(outcome["difference"]["added"]["own"]["count"], 1, "it says what it holds back");
    let site = restarted(site);
    assert_eq!((generation(&site), site.rcode("a.one.example").as_str()), (1, NXDOMAIN));
    let page = site.http("GET", "/metrics", None).1;
    assert!(page.contains("\ninterdict_policy_pinned 1\n"), "{page}");
    // The law's date is nobody's to pin.
    site.clock.advance(Duration::from_secs(7200));
    site.until("wechat.com", NXDOMAIN);
    assert_eq!(site.rcode("a.one.example"), NXDOMAIN, "and nothing else changed");
    let status = site.get("/api/v1/status");
    assert_eq!((&status["pinned"], &status["hold"]["generation"]), (&true.into(), &2.into()), "{status:#}");
    // A rollback under a pin stays under it.
    reload(&site, "*.two.example\n");
    assert!(site.get("/api/v1/status")["held_back"]["since"].is_string());
    assert_eq!(site.post("/api/v1/unpin")["outcome"], "published");
    assert_eq!(
        (site.rcode("a.two.example").as_str(), site.rcode("wechat.com").as_str()),
        (NXDOMAIN, NXDOMAIN)
    );
    assert!(site.post("/api/v1/unpin").to_string().contains("nothing is pinned"));
}

#[test]
fn a_rollback_outlives_the_process() {
    let site = site(LIST, "*.one.example\n", Clock::system());
    reload(&site, "*.two.example\n");
    site.post("/api/v1/rollback");
    let site = restarted(site);
    assert_eq!((generation(&site), site.rcode("a.one.example").as_str()), (1, NXDOMAIN));
    let problems = format!("{:?}", site.running.as_ref().unwrap().problems);
    assert!(problems.contains("held in force by the rollback of local"), "{problems}");
    assert_eq!(reload(&site, "*.two.example\n")["outcome"], "published");
}

#[test]
fn a_pin_whose_bytes_are_damaged_is_lost_loudly() {
    let mut site = site(LIST, "*.one.example\n", Clock::system());
    site.post("/api/v1/pin");
    site.stop();
    for blob in std::fs::read_dir(site.path("state/blobs")).unwrap() {
        std::fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    std::fs::write(site.path("own.txt"), "*.two.example\n").unwrap();
    let site = site.started();
    assert_eq!(site.rcode("a.two.example"), NXDOMAIN, "better the present than nothing");
    assert_eq!(site.get("/api/v1/status")["pinned"], false);
    let log = site.get("/api/v1/audit").to_string();
    assert!(log.contains("\"lost\"") && log.contains("cannot be used"), "{log}");
}

#[test]
fn a_restart_goes_on_under_its_number_and_a_changed_one_says_what_changed() {
    let mut site = site(LIST, "*.one.example\n", Clock::system());
    for _ in 0..3 {
        site = restarted(site);
    }
    assert_eq!(generation(&site), 1);
    assert_eq!(site.get("/api/v1/history").as_array().unwrap().len(), 1, "a crash loop fills no history");
    site.stop();
    std::fs::write(site.path("own.txt"), "*.one.example\n*.two.example\n").unwrap();
    let site = site.started();
    assert_eq!(generation(&site), 2);
    // What the start changed is found out behind it, and the one before made ready.
    for _ in 0..100 {
        if site.get("/api/v1/status")["ready"][0] == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let row = site.get("/api/v1/history")[0].clone();
    for _ in 0..100 {
        if site.get("/api/v1/history")[0]["change"]["added"]["own"]["names"][0] == "two.example" {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{row:#}");
}

#[test]
fn a_rollback_over_a_changed_boot_setting_is_a_rollback_of_policy() {
    let mut site = site(LIST, "*.one.example\n", Clock::system());
    site.stop();
    let config = support::read(&site.config).replace("workers = 2", "workers = 1");
    std::fs::write(&site.config, config).unwrap();
    std::fs::write(site.path("own.txt"), "*.two.example\n").unwrap();
    let site = site.started();
    assert_eq!(site.rcode("a.two.example"), NXDOMAIN);
    assert_eq!(site.post("/api/v1/rollback")["generation"], 1);
    assert_eq!(site.rcode("a.one.example"), NXDOMAIN);
}

/// A date that lies ahead decides nothing today, and is a change all the same.
#[test]
fn a_change_of_a_date_ahead_is_published_and_kept() {
    let policy = |until: &str| {
        format!(
            "{LIST}[[policy.exception]]\nid = \"lab\"\napps = [\"tiktok\"]\nfrom = \"2099-01-01\"\nuntil = \"{until}\"\n\
             approved_by = \"CIO\"\nreason = \"analysis\"\n"
        )
    };
    let site = site(&policy("2099-02-01"), "*.one.example\n", Clock::system());
    site.write_config(&policy("2099-03-01"));
    let before = site.get("/api/v1/status");
    let outcome = site.post("/api/v1/reload");
    assert_ne!(outcome["outcome"], "rejected", "{outcome}");
    let after = site.get("/api/v1/status");
    assert_eq!(before["digest"], after["digest"]);
    assert_eq!(after["generation"], 2, "{after:#}");
    assert_eq!(after["exceptions"][0]["until"], "2099-03-01T00:00:00Z");
    let page = site.http("GET", "/metrics", None).1;
    assert!(
        page.contains("interdict_exception_expiry_timestamp_seconds{exception=\"lab\"} 4076006400"),
        "{page}"
    );
}

#[test]
fn explain_at_answers_from_what_was_in_force_then() {
    let site = site(LIST, "*.one.example\n", Clock::system());
    let now = || jiff::Timestamp::now().to_string();
    std::thread::sleep(Duration::from_millis(20));
    let first = now();
    reload(&site, "*.two.example\n");
    std::thread::sleep(Duration::from_millis(20));
    let second = now();
    site.post("/api/v1/rollback");
    let at = |moment: &str, name: &str| {
        let output = interdict(&site, &["explain", name, "--at", moment, "--json"]);
        let said = text(&output);
        let answer: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
        (
            answer["generation"].as_u64().unwrap(),
            output.status.code().unwrap(),
            answer["then"]["exact"].clone(),
        )
    };
    assert_eq!(at(&first, "a.one.example"), (1, 1, true.into()));
    assert_eq!(at(&second, "a.one.example"), (2, 0, true.into()));
    assert_eq!(at(&second, "a.two.example"), (2, 1, true.into()));
    assert_eq!(at(&now(), "a.two.example"), (1, 0, true.into()));
    let api = site.get(&format!("/api/v1/explain?name=a.two.example&at={second}"));
    assert_eq!((&api["generation"], &api["verdict"]), (&2.into(), &"block".into()));
    for (moment, word) in [("2001-01-01T00:00Z", "nothing that old is kept"), ("2999-01-01T00:00Z", "--on")] {
        let output = interdict(&site, &["explain", "a.one.example", "--at", moment]);
        assert_eq!(output.status.code(), Some(3));
        assert!(text(&output).contains(word), "{}", text(&output));
    }
}

#[test]
fn what_is_no_longer_kept_is_said_and_its_bytes_are_gone() {
    let policy = format!("{LIST}[history]\nkeep = 2\nkeep_for = \"0\"\nmemory = \"0KiB\"\n");
    let site = site(&policy, "*.n0.example\n", Clock::system());
    std::thread::sleep(Duration::from_millis(20));
    let early = jiff::Timestamp::now().to_string();
    for round in 1..=5 {
        reload(&site, &format!("*.n{round}.example\n"));
    }
    let names = |folder: &str| std::fs::read_dir(site.path(folder)).unwrap().count();
    assert_eq!(names("state/generations"), 2);
    assert_eq!(names("state/blobs"), 4, "configuration, catalog, two lists");
    let output = interdict(&site, &["explain", "a.n0.example", "--at", &early]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output).contains("no longer kept"), "{}", text(&output));
    let output = interdict(&site, &["diff", "5", "6"]);
    // The command line finds no resolver on the port it chose; the interface does.
    assert_eq!(output.status.code(), Some(3));
    let difference = site.get("/api/v1/diff?from=5&to=6");
    assert_eq!(difference["added"]["own"]["names"][0], "n5.example");
    let (status, body) = site.http("GET", "/api/v1/diff?from=1&to=6", None);
    assert!(status == 409 && body.contains("generation 1"), "{body}");
    assert_eq!(site.http("GET", "/api/v1/diff?from=one", None).0, 400);
    let since: Value = site.get("/api/v1/diff?from=5");
    assert_eq!(since["added"]["own"]["names"][0], "n5.example", "what has changed since");
}

#[test]
fn every_change_and_every_refused_one_stands_in_the_log() {
    let mut site = site(LIST, "*.one.example\n", Clock::system());
    reload(&site, "bad line here\n");
    reload(&site, "*.one.example\n*.two.example\n");
    for _ in 0..50 {
        assert_eq!(site.http("POST", "/api/v1/rollback", None).0, 401);
    }
    site.post("/api/v1/rollback?reason=too%0Aearly");
    site.stop();
    let output = interdict(&site, &["audit", "--last", "100", "--json"]);
    let entries: Value = serde_json::from_str(&text(&output)).unwrap();
    let rows: Vec<String> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let word = |key: &str| entry[key].as_str().unwrap().to_owned();
            format!("{} {} {}", word("who"), word("what"), word("outcome"))
        })
        .collect();
    for wanted in [
        "start start published",
        "local reload rejected",
        "stranger rollback unauthorised",
        "local rollback published",
        "interdict stop stopped",
    ] {
        assert!(rows.iter().any(|row| row == wanted), "{wanted}: {rows:#?}");
    }
    let strangers: u64 = entries
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["who"] == "stranger")
        .map(|entry| entry["count"].as_u64().unwrap())
        .sum();
    assert_eq!(strangers, 50, "two entries stand for all of them: {rows:#?}");
    let all = entries.to_string();
    assert!(
        all.contains("bad line here") && all.contains("too early") && all.contains("from 127.0.0.1"),
        "{all}"
    );
    for entry in entries.as_array().unwrap().iter().filter(|entry| entry["outcome"] == "published") {
        assert_eq!(entry["configuration"].as_str().unwrap().len(), 64, "{entry}");
        assert_eq!((entry["law"].as_str().unwrap().len(), entry["digest"].as_str().unwrap().len()), (64, 64));
    }
}

#[test]
fn audit_verify_finds_what_somebody_did_to_the_log() {
    let mut site = site(LIST, "*.one.example\n", Clock::system());
    for round in 1..=4 {
        reload(&site, &format!("*.n{round}.example\n"));
    }
    let head = site.get("/api/v1/status")["audit"]["hash"].as_str().unwrap().to_owned();
    let number = u64::from_str_radix(&head[..12], 16).unwrap() as f64;
    let page = site.http("GET", "/metrics", None).1;
    let line = page.lines().find_map(|line| line.strip_prefix("interdict_audit_head ")).unwrap();
    assert_eq!(line.parse::<f64>().unwrap(), number, "the metric holds the same head");
    site.stop();
    let path = site.path("state/audit.jsonl");
    let config = site.config.clone();
    let verify = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
        command.arg("--config").arg(&config).args(["audit", "verify"]).args(more).output().unwrap()
    };
    let output = verify(&["--head", &head]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let kept = |lines: &[&str]| lines.join("\n") + "\n";
    for (what, log) in [
        ("edit", kept(&lines).replacen("\"who\":\"start\"", "\"who\":\"nobody\"", 1)),
        ("removal", kept(&[&lines[..1], &lines[2..]].concat())),
        ("reordering", kept(&[&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat())),
        ("cut", kept(&lines[..3])),
    ] {
        std::fs::write(&path, &log).unwrap();
        let output = verify(&[]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", text(&output));
        assert!(text(&output).contains("audit.jsonl"), "{what}: {}", text(&output));
    }
    // The end alone cut off: the newest generation's manifest names what was before its own entry, and not that entry.
    std::fs::write(&path, kept(&lines[..lines.len() - 2])).unwrap();
    assert_eq!(verify(&["--head", &head]).status.code(), Some(1));
    // A start says so, when it is more than that.
    std::fs::write(&path, kept(&lines[..2])).unwrap();
    let mut site = site.started();
    let degraded = site.get("/api/v1/status")["degraded"].to_string();
    assert!(degraded.contains("changed by somebody else"), "{degraded}");
    site.stop();
    // A copy elsewhere is verified for itself.
    let copy = site.path("copy.jsonl");
    std::fs::write(&copy, &whole).unwrap();
    let output = verify(&[copy.to_str().unwrap(), "--head", &head]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(verify(&["/nowhere/audit.jsonl"]).status.code(), Some(3));
}

#[test]
fn an_emergency_is_shouted_about_and_over_in_time() {
    let clock = Clock::manual("2027-01-01T00:00:00Z".parse().unwrap());
    let emergency = |until: &str| {
        format!(
            "{LIST}[[policy.exception]]\nid = \"fire\"\napps = [\"tiktok\"]\nbreak_glass = true\nuntil = \"{until}\"\n\
             approved_by = \"duty officer\"\nreason = \"crisis line\"\n"
        )
    };
    let site = site(LIST, "*.one.example\n", clock);
    site.write_config(&emergency("2027-01-02T00:00:01Z"));
    let outcome = site.post("/api/v1/reload");
    assert_eq!((&outcome["outcome"], &outcome["stage"]), (&"rejected".into(), &"guard".into()), "{outcome}");
    assert!(outcome.to_string().contains("longer than 24 h"), "{outcome}");
    site.write_config(&emergency("2027-01-01T20:00:00Z"));
    assert_ne!(site.post("/api/v1/reload")["outcome"], "rejected");
    assert_eq!(site.rcode("www.tiktok.com"), NOERROR);
    let page = site.http("GET", "/metrics", None).1;
    assert!(page.contains("\ninterdict_break_glass_exceptions 1\n"), "{page}");
    assert_eq!(site.get("/api/v1/status")["exceptions"][0]["break_glass"], true);
    site.clock.advance(Duration::from_secs(20 * 3600));
    site.until("www.tiktok.com", NXDOMAIN);
    assert!(site.http("GET", "/metrics", None).1.contains("\ninterdict_break_glass_exceptions 0\n"));
}

#[test]
fn an_exception_is_pointed_out_before_it_lapses() {
    let clock = Clock::manual("2027-03-01T00:00:00Z".parse().unwrap());
    let exception = "[[policy.exception]]\nid = \"lab\"\napps = [\"tiktok\"]\nuntil = \"2027-03-31\"\n\
                     approved_by = \"CIO\"\nreason = \"analysis\"\n";
    let site = site(&format!("{LIST}{exception}"), "*.one.example\n", clock);
    let soon = || site.get("/api/v1/status")["exceptions"][0]["ends_soon"].clone();
    assert_eq!(soon(), false);
    site.clock.advance(Duration::from_secs(24 * 86_400));
    assert_eq!(soon(), true);
    let series = "interdict_exception_expiry_timestamp_seconds{exception=\"lab\"}";
    assert!(site.http("GET", "/metrics", None).1.contains(series));
    site.clock.advance(Duration::from_secs(6 * 86_400));
    site.until("www.tiktok.com", NXDOMAIN);
    assert!(!site.http("GET", "/metrics", None).1.contains(series));
    assert!(site.get("/api/v1/status")["exceptions"].as_array().unwrap().is_empty());
}

/// What was asked, replayed against a change, shows no more of a client than the log does.
#[test]
fn the_impact_of_a_change_is_seen_before_it_counts() {
    let groups =
        "[[policy.group]]\nname = \"lab\"\nclients = [\"127.0.5.0/24\"]\nenforce = [\"tiktok\", \"own\"]\n";
    for (mode, shown, clients) in
        [("full", "127.0.5.1 127.0.5.2", 2), ("prefix", "127.0.5.0/24", 1), ("none", "", 0)]
    {
        let site = Site::prepare(&format!("{LIST}{groups}"), Clock::system());
        std::fs::write(site.path("own.txt"), "*.one.example\n").unwrap();
        let config = support::read(&site.config)
            .replace("[querylog]\n", &format!("[querylog]\nwhich = \"all\"\nclients = \"{mode}\"\n"));
        std::fs::write(&site.config, config).unwrap();
        let mut site = site.started();
        for (client, name) in [
            ([127, 0, 5, 1], "a.two.example"),
            ([127, 0, 5, 2], "b.two.example"),
            ([127, 0, 5, 2], "b.two.example"),
            ([127, 0, 0, 1], "a.one.example"),
            ([127, 0, 0, 1], "www.canada.ca"),
            ([127, 0, 5, 1], "www.tiktok.com"),
        ] {
            let query = support::query(7, 0x0100, name, 1, None);
            site.udp_from(client.into(), &query).expect("a reply");
        }
        site.stop();
        std::fs::write(site.path("own.txt"), "*.two.example\n").unwrap();
        let log = site.path("queries.jsonl");
        let log = log.to_str().unwrap();
        let output = interdict(&site, &["diff", "--impact", log, "--json"]);
        let found: Value =
            serde_json::from_str(&text(&output)).unwrap_or_else(|_| panic!("{}", text(&output)));
        assert_eq!((&found["queries"], &found["refused"]), (&6.into(), &0.into()), "{found:#}");
        let (blocked, unblocked) = (&found["newly_blocked"], &found["unblocked"]);
        assert_eq!((&blocked["queries"], &blocked["names"]), (&3.into(), &2.into()), "{mode}: {found:#}");
        assert_eq!(blocked["clients"], clients, "{mode}: {found:#}");
        assert_eq!(blocked["by"][0]["group"], "lab", "{mode}: {found:#}");
        assert_eq!((&unblocked["queries"], &unblocked["by"][0]["group"]), (&1.into(), &"default".into()));
        let said = text(&interdict(&site, &["diff", "--impact", log]));
        assert!(said.contains(&format!("clients  {shown}")) || clients == 0, "{mode}: {said}");
        assert_eq!(said.contains("127.0.5.1"), mode == "full", "{mode}: {said}");
        assert!(said.contains("newly blocked: 3 queries, 2 names"), "{said}");
    }
}
