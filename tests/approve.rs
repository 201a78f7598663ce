//! The two-person rule with real keys: minisign signs, the command line brings the signature, the resolver counts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

mod support;

use std::process::{Command, Output};
use std::time::Duration;

use interdict::clock::Clock;
use support::Site;

const NXDOMAIN: &str = "Non-Existent Domain";
const NOERROR: &str = "No Error";
const LIST: &str = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";

/// A site where two of alice, bob and carol must agree; `None` where minisign is not installed.
fn site(clock: Clock) -> Option<Site> {
    site_with(clock, "")
}

fn site_with(clock: Clock, rule: &str) -> Option<Site> {
    let site = Site::prepare("", clock);
    let mut keys = String::new();
    for name in ["alice", "bob", "carol", "mallory"] {
        let (public, secret) = (site.path(&format!("{name}.pub")), site.path(&format!("{name}.key")));
        let made = Command::new("minisign")
            .args(["-G", "-W", "-f", "-p"])
            .arg(&public)
            .arg("-s")
            .arg(&secret)
            .output();
        let Ok(made) = made else {
            eprintln!("skipped: minisign is not installed");
            return None;
        };
        assert!(made.status.success(), "{made:?}");
        let key = std::fs::read_to_string(public).unwrap().lines().nth(1).unwrap().to_owned();
        if name != "mallory" {
            keys.push_str(&format!("\"{key} {name}\", "));
        }
    }
    std::fs::write(site.path("rule"), format!("{rule}[guard]\napprovals = 2\napprovers = [{keys}]\n"))
        .unwrap();
    std::fs::write(site.path("own.txt"), "*.one.example\n").unwrap();
    configure(&site, "");
    // The command line finds the resolver by the port in the configuration: start once to choose it.
    let mut site = site.started();
    let admin = site.running.as_ref().unwrap().admin;
    site.stop();
    std::fs::write(site.path("admin"), admin.to_string()).unwrap();
    configure(&site, "");
    Some(site.started())
}

/// Writes the configuration with the rule and what else a test wants.
fn configure(site: &Site, more: &str) {
    let rule = std::fs::read_to_string(site.path("rule")).unwrap();
    site.write_config(&format!("{LIST}{more}{rule}"));
    if let Ok(admin) = std::fs::read_to_string(site.path("admin")) {
        let text = std::fs::read_to_string(&site.config).unwrap();
        let text = text.replace("listen = \"127.0.0.1:0\"", &format!("listen = {admin:?}"));
        std::fs::write(&site.config, text).unwrap();
    }
}

fn interdict(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
    command.arg("--config").arg(&site.config).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn candidate(site: &Site) -> String {
    let status = site.get("/api/v1/status");
    status["waiting"]["law"].as_str().unwrap_or_else(|| panic!("nothing waits: {status:#}")).to_owned()
}

fn list(site: &Site, text: &str) {
    std::fs::write(site.path("next"), text).unwrap();
    std::fs::rename(site.path("next"), site.path("own.txt")).unwrap();
}

/// Asks for a reload and expects that it waits.
fn asked(site: &Site) -> String {
    let output = interdict(site, &["reload", "--reason", "ticket 4711"]);
    assert_eq!(output.status.code(), Some(1), "not in force: {}", text(&output));
    assert!(text(&output).contains("waiting for approvals"), "{}", text(&output));
    candidate(site)
}

fn approve(site: &Site, law: &str, who: &str) -> Output {
    let key = site.path(&format!("{who}.key"));
    interdict(site, &["approve", law, "--key", key.to_str().unwrap()])
}

#[test]
fn a_change_counts_when_two_different_people_have_signed_it() {
    let Some(site) = site(Clock::system()) else { return };
    list(&site, "*.two.example\n");
    let law = asked(&site);
    let shown = text(&interdict(&site, &["approve"]));
    for word in [&law, "two.example", "0 of 2", "ticket 4711", "minisign -Sm"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let page = site.http("GET", "/metrics", None).1;
    assert!(page.contains("\ninterdict_policy_approvals_lacking 2\n"), "{page}");

    for (who, answer) in [("mallory", "no approver's signature"), ("alice", "1 of 2"), ("alice", "1 of 2")] {
        let said = text(&approve(&site, &law, who));
        assert!(said.contains(answer), "{who}: {said}");
        assert_eq!(site.rcode("a.two.example"), NOERROR, "{who} alone is not enough");
    }
    let output = approve(&site, &law[..16], "bob");
    assert!(output.status.success() && text(&output).contains("published generation 2"), "{}", text(&output));
    assert_eq!(
        (site.rcode("a.two.example").as_str(), site.rcode("a.one.example").as_str()),
        (NXDOMAIN, NOERROR)
    );
    let row = site.get("/api/v1/history")[0].clone();
    assert_eq!(
        (&row["who"], &row["why"], &row["what"]),
        (&"local".into(), &"ticket 4711".into(), &"approve".into())
    );
    assert_eq!(row["approvals"], serde_json::json!(["alice", "bob"]));
    let log = site.get("/api/v1/audit").to_string();
    assert!(
        log.contains("signed by alice") && log.contains("trusted comment"),
        "the signature itself is kept: {log}"
    );
    assert!(text(&interdict(&site, &["approve"])).contains("nothing waits"));
}

#[test]
fn a_signature_made_elsewhere_is_brought_and_only_for_what_it_is_of() {
    let Some(site) = site(Clock::system()) else { return };
    list(&site, "*.two.example\n");
    let law = asked(&site);
    let sign = |law: &str, who: &str, more: &[&str]| {
        let (file, key) = (site.path("candidate.txt"), site.path(&format!("{who}.key")));
        std::fs::write(&file, format!("interdict approve {law}\n")).unwrap();
        let signed =
            Command::new("minisign").arg("-S").arg("-s").arg(key).arg("-m").arg(&file).args(more).output();
        assert!(signed.unwrap().status.success());
        site.path("candidate.txt.minisig").to_str().unwrap().to_owned()
    };
    let bring = |law: &str, file: &str| text(&interdict(&site, &["approve", law, "--signature", file]));
    // Without a time there is no telling how old it is.
    let said = bring(&law, &sign(&law, "alice", &["-t", "I agree"]));
    assert!(said.contains("does not say when"), "{said}");
    let old = sign(&law, "alice", &["-t", "timestamp:1600000000"]);
    assert!(bring(&law, &old).contains("is of 2020-09-13"), "{}", bring(&law, &old));
    let other = sign(&law.replace(&law[..1], "x"), "alice", &[]);
    assert!(bring(&law, &other).contains("not a signature of this text"), "{}", bring(&law, &other));
    assert!(bring(&law, &sign(&law, "alice", &[])).contains("1 of 2"));

    // The inputs change: what was signed is not what waits now, and the signature is good for nothing else.
    list(&site, "*.two.example\n*.three.example\n");
    let next = asked(&site);
    assert_ne!(law, next);
    assert!(site.get("/api/v1/status")["waiting"]["approved_by"].as_array().unwrap().is_empty());
    let said = bring(&law, &sign(&law, "bob", &[]));
    assert!(said.contains("another candidate waits"), "{said}");
    assert_eq!(
        (site.rcode("a.two.example").as_str(), site.rcode("a.one.example").as_str()),
        (NOERROR, NXDOMAIN)
    );

    // Somebody puts the old content back: alice's signature of that is still fresh, and counts.
    list(&site, "*.two.example\n");
    assert_eq!(asked(&site), law);
    let said = bring(&law, &sign(&law, "carol", &[]));
    assert!(said.contains("published"), "{said}");
    assert_eq!(site.rcode("a.two.example"), NXDOMAIN);

    // And what is in force put back into the file withdraws what waits.
    list(&site, "*.four.example\n");
    asked(&site);
    list(&site, "*.two.example\n");
    for _ in 0..100 {
        if site.get("/api/v1/status")["waiting"].is_null() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(site.get("/api/v1/status")["waiting"].is_null());
    assert!(site.get("/api/v1/audit").to_string().contains("withdrawn"));
}

#[test]
fn neither_a_restart_nor_a_looser_rule_is_a_way_around() {
    let Some(mut site) = site(Clock::system()) else { return };
    let rule = std::fs::read_to_string(site.path("rule")).unwrap();
    std::fs::write(site.path("rule"), rule.replace("approvals = 2", "approvals = 0")).unwrap();
    configure(&site, "");
    list(&site, "*.two.example\n");
    let law = asked(&site);
    assert!(text(&approve(&site, &law, "alice")).contains("1 of 2"));
    site.stop();
    let site = site.started();
    assert_eq!(
        (site.rcode("a.two.example").as_str(), site.rcode("a.one.example").as_str()),
        (NOERROR, NXDOMAIN)
    );
    let problems = format!("{:?}", site.running.as_ref().unwrap().problems);
    assert!(problems.contains("waiting for approvals (1 of 2)"), "{problems}");
    assert_eq!(candidate(&site), law);
    assert!(text(&approve(&site, &law, "bob")).contains("published"));
    list(&site, "*.three.example\n");
    for _ in 0..100 {
        if site.rcode("a.three.example") == NXDOMAIN {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("without the rule a changed file counts by itself");
}

#[test]
fn a_date_of_law_waits_for_nobody_and_a_candidate_lapses() {
    let clock = Clock::manual("2023-10-30T03:59:00Z".parse().unwrap());
    let Some(site) = site_with(
        clock,
        "[[policy.group]]\nname = \"default\"\nenforce = [\"ca-tbs-2023-10-30-wechat-kaspersky\", \
         \"ca-tbs-2023-02-28-tiktok\", \"own\"]\n",
    ) else {
        return;
    };
    let exception = "[[policy.exception]]\nid = \"lab\"\napps = [\"tiktok\"]\nuntil = \"2023-11-30\"\n\
                     approved_by = \"CIO\"\nreason = \"analysis\"\n";
    configure(&site, exception);
    asked(&site);
    assert_eq!(site.rcode("wechat.com"), NOERROR);
    site.clock.advance(Duration::from_secs(120));
    for _ in 0..100 {
        if site.rcode("wechat.com") == NXDOMAIN {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(site.rcode("wechat.com"), NXDOMAIN, "agreed to long ago");
    assert_eq!(site.rcode("www.tiktok.com"), NXDOMAIN, "the exception waits on");
    candidate(&site);
    site.clock.advance(Duration::from_secs(24 * 3600));
    assert!(site.get("/api/v1/status")["waiting"].is_null());
    let output = approve(&site, &"0".repeat(64), "alice");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("it may have lapsed"), "{}", text(&output));
}

#[test]
fn an_emergency_needs_one_signature_and_taking_it_back_none() {
    let Some(site) = site(Clock::system()) else { return };
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3);
    let exception = |id: &str, break_glass: bool| {
        format!(
            "[[policy.exception]]\nid = \"{id}\"\napps = [\"tiktok\"]\nuntil = \"{until}\"\nbreak_glass = {break_glass}\n\
             approved_by = \"duty officer\"\nreason = \"crisis line\"\n"
        )
    };
    configure(&site, &exception("fire", true));
    let law = asked(&site);
    let shown = text(&interdict(&site, &["approve"]));
    assert!(shown.contains("BREAK GLASS") && shown.contains("0 of 1"), "{shown}");
    assert!(text(&approve(&site, &law, "bob")).contains("published"));
    assert_eq!(site.rcode("www.tiktok.com"), NOERROR);
    let status = text(&interdict(&site, &["status"]));
    assert!(status.contains("BREAK GLASS") && status.contains("crisis line"), "{status}");
    // Nothing else slips in beside it.
    configure(&site, &(exception("fire", true) + &exception("quiet", false)));
    asked(&site);
    assert!(text(&interdict(&site, &["approve"])).contains("0 of 2"));
    configure(&site, "");
    let output = interdict(&site, &["reload"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(site.rcode("www.tiktok.com"), NXDOMAIN);
}
