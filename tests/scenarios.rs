//! Scenarios: a policy, a scripted upstream, a clock that a test moves, questions and the replies expected. One file
//! each under `tests/scenarios/`, named as the interaction it shows, because that is where blockers break.
//!
//! A file has `about`; `clock`, the moment it begins, if time matters; `policy`, the configuration; `policies`, other
//! configurations by name; `files`, put into the site's folder `$DIR`; and `steps`:
//!
//! ```text
//! ask NAME [TYPE] [from ADDRESS] -> RCODE [DATA ...] [ttl=SECONDS]   DATA of the answers in order, or `empty`
//! until NAME ... -> ...            the same, asked again for at most five seconds
//! later SECONDS                    moves the clock on
//! set MOMENT                       sets the wall clock, forwards or back
//! upstream stops                   no answers from now on
//! upstream asked -> COUNT          questions it got so far
//! policy NAME                      writes that configuration and reloads
//! write FILE: TEXT                 with \n for a new line
//! reload | rollback -> OUTCOME     by an operator
//! metric TEXT                      a line of the metrics page begins with TEXT
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

mod support;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hickory_proto::op::Message;
use interdict::clock::Clock;
use support::{Site, query};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    about: String,
    clock: Option<String>,
    #[serde(default)]
    policy: String,
    #[serde(default)]
    policies: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    steps: Vec<String>,
}

fn play(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let scenario: Scenario =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!scenario.about.is_empty() && !scenario.steps.is_empty());
    let clock =
        scenario.clock.as_ref().map_or_else(Clock::system, |moment| Clock::manual(moment.parse().unwrap()));
    let site = Site::prepare(&scenario.policy, clock);
    for (name, text) in &scenario.files {
        std::fs::write(site.path(name), text).unwrap();
    }
    let site = site.started();
    for step in &scenario.steps {
        if let Err(said) = take(&site, &scenario, step) {
            panic!("{}: `{step}`: {said}", path.file_stem().unwrap().display());
        }
    }
}

/// Takes one step; an error says what came instead of what was expected.
fn take(site: &Site, scenario: &Scenario, step: &str) -> Result<(), String> {
    let (action, expected) = step.split_once(" -> ").unwrap_or((step, ""));
    let (verb, rest) = action.split_once(' ').unwrap_or((action, ""));
    let same = |found: String| if found == expected { Ok(()) } else { Err(found) };
    match (verb, rest) {
        ("ask", question) => ask(site, question, expected),
        ("until", question) => {
            let mut tries = 0;
            loop {
                tries += 1;
                let found = ask(site, question, expected);
                if found.is_ok() || tries == 100 {
                    return found;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        ("later", seconds) => {
            site.clock.advance(Duration::from_secs(seconds.parse().unwrap()));
            Ok(())
        }
        ("set", moment) => {
            site.clock.set(moment.parse().unwrap());
            Ok(())
        }
        ("upstream", "stops") => {
            site.upstream.stop();
            Ok(())
        }
        ("upstream", "asked") => same(site.upstream.asked.load(Ordering::Relaxed).to_string()),
        ("policy", name) => {
            site.write_config(&scenario.policies[name]);
            change(site, "reload").map(drop)
        }
        ("write", what) => {
            let (file, text) = what.split_once(": ").unwrap();
            std::fs::write(site.path("aside"), text.replace("\\n", "\n")).unwrap();
            std::fs::rename(site.path("aside"), site.path(file)).unwrap();
            Ok(())
        }
        ("reload" | "rollback", "") => same(change(site, verb)?),
        ("metric", begin) => {
            let page = site.http("GET", "/metrics", None).1;
            if page.lines().any(|line| line.starts_with(begin)) { Ok(()) } else { Err(page) }
        }
        _ => Err("no such step".to_owned()),
    }
}

fn change(site: &Site, verb: &str) -> Result<String, String> {
    let (_, body) = site.http("POST", &format!("/api/v1/{verb}"), Some(&site.token()));
    let outcome: serde_json::Value =
        serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
    outcome["outcome"].as_str().map(str::to_owned).ok_or(body)
}

fn ask(site: &Site, question: &str, expected: &str) -> Result<(), String> {
    let mut words = question.split(' ');
    let name = words.next().unwrap();
    let (mut record_type, mut client) = (1, Ipv4Addr::LOCALHOST);
    while let Some(word) = words.next() {
        match word {
            "A" => record_type = 1,
            "AAAA" => record_type = 28,
            "DS" => record_type = 43,
            "HTTPS" => record_type = 65,
            "from" => client = words.next().unwrap().parse().unwrap(),
            _ => return Err(format!("no such type: {word}")),
        }
    }
    let Some(reply) = site.udp_from(client, &query(7, 0x0100, name, record_type, Some(1232))) else {
        return if expected == "nothing" { Ok(()) } else { Err("nothing".to_owned()) };
    };
    let reply = Message::from_vec(&reply).unwrap();
    let code = support::code(&reply);
    let mut found = vec![code.to_owned()];
    if expected.contains(' ') {
        found.extend(reply.answers.iter().map(|record| record.data.to_string()));
        if reply.answers.is_empty() {
            found.push("empty".to_owned());
        }
        if expected.contains("ttl=") {
            found.extend(reply.answers.first().map(|record| format!("ttl={}", record.ttl)));
        }
    }
    let found = found.join(" ");
    if found == expected { Ok(()) } else { Err(found) }
}

#[test]
fn every_scenario_plays_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 12, "{files:?}");
    let failed: Vec<String> = std::thread::scope(|scope| {
        let played: Vec<_> = files.iter().map(|file| scope.spawn(move || play(file))).collect();
        let said = |panic: Box<dyn std::any::Any + Send>| {
            panic.downcast::<String>().map_or_else(|_| "panicked".to_owned(), |said| *said)
        };
        played.into_iter().filter_map(|thread| thread.join().err().map(said)).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_wrong_expectation_fails() {
    let site = Site::start("", Clock::system());
    assert_eq!(ask(&site, "tiktok.com", "NOERROR 192.0.2.7"), Err("NXDOMAIN empty".to_owned()));
    assert_eq!(ask(&site, "www.canada.ca", "NXDOMAIN"), Err("NOERROR".to_owned()));
}
