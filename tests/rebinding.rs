//! Answers to public names that lead inside: refused, told, counted; and where they may.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]
#![allow(dead_code, reason = "shares files with other suites")]

mod support;

use interdict::clock::Clock;
use support::{Site, code};

/// The upstream's one address counts as inside.
const REFUSED: &str =
    "[rebinding]\nrefuse_private = true\naddresses = [\"192.0.2.0/24\"]\nallow = [\"corp.example\"]\n";

#[test]
fn an_answer_that_leads_inside_is_refused_and_told_fresh_and_from_the_cache() {
    let site = Site::start(REFUSED, Clock::system());
    for times in [1.0, 2.0, 3.0] {
        let reply = site.ask("www.fetched.example", 1);
        assert_eq!((code(&reply), reply.answers.len(), reply.authorities.len()), ("NOERROR", 0, 1));
        let why = reply.edns.unwrap().option(15.into()).cloned().unwrap();
        let why = Vec::<u8>::try_from(&why).unwrap();
        assert_eq!(why[..2], [0, 15]);
        assert!(String::from_utf8_lossy(&why[2..]).contains("private address"));
        assert_eq!(site.metric("interdict_rebinding_answers_refused_total"), times);
    }
    assert_eq!(site.ask("a.corp.example", 1).answers.len(), 1, "a zone that may");
    let page = site.http("GET", "/metrics", None).1;
    let blocked = page.lines().filter(|line| line.starts_with("interdict_blocked_queries_total{"));
    assert!(blocked.clone().all(|line| line.ends_with(" 0")), "{:?}", blocked.collect::<Vec<_>>());
}

#[test]
fn it_begins_and_ends_with_a_reload_whatever_is_kept() {
    let site = Site::start("", Clock::system());
    assert_eq!(site.ask("www.fetched.example", 1).answers.len(), 1);
    for (text, answers) in [(REFUSED, 0), ("", 1)] {
        site.write_config(text);
        assert_eq!(site.http("POST", "/api/v1/reload", Some(&site.token())).0, 200);
        assert_eq!(site.ask("www.fetched.example", 1).answers.len(), answers);
    }
}

#[test]
fn a_route_and_an_own_record_may_lead_inside() {
    let site = Site::prepare("", Clock::system());
    let route = format!(
        "{REFUSED}[[upstream.route]]\nzone = \"routed.example\"\nservers = [\"udp://{}\"]\n[[local]]\nname = \"own.example\"\na = [\"10.0.0.1\"]\n{}{}",
        site.upstream.address,
        "[[local]]\nname = \"alias.example\"\ncname = \"a.routed.example\"\n",
        "[[local]]\nname = \"outside.example\"\ncname = \"www.fetched.example\"\n",
    );
    site.write_config(&route);
    let site = site.started();
    for (name, answers) in [("a.routed.example", 1), ("own.example", 1), ("alias.example", 2)] {
        assert_eq!(site.ask(name, 1).answers.len(), answers, "{name}");
    }
    for name in ["other.example", "outside.example"] {
        assert_eq!(site.ask(name, 1).answers.len(), 0, "{name}");
    }
}

#[test]
fn a_rule_may_lead_to_a_page_inside() {
    let list = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.rpz\"\nformat = \"rpz\"\nzone = \"rpz.example\"\n";
    let site = Site::prepare(&format!("{REFUSED}{list}"), Clock::system());
    let zone = "$TTL 60\n@ SOA ns. contact. 1 2 3 4 5\n@ NS ns.\nbad.example CNAME page.fetched.example.\n";
    std::fs::write(site.path("own.rpz"), zone).unwrap();
    let site = site.started();
    assert_eq!(site.ask("bad.example", 1).answers.len(), 2);
    assert_eq!(site.ask("page.fetched.example", 1).answers.len(), 0, "nobody was sent there");
}

#[test]
fn an_address_of_a_translator_leads_where_the_address_does_that_it_stands_for() {
    let translated = "[dns64]\nprefix = \"fd00:64::/96\"\n[rebinding]\nrefuse_private = true\n";
    let site = Site::start(translated, Clock::system());
    assert_eq!(site.ask("www.fetched.example", 28).answers.len(), 1, "192.0.2.7 is the public's");
    let site = Site::start(&format!("{translated}addresses = [\"192.0.2.0/24\"]\n"), Clock::system());
    assert_eq!(site.ask("www.fetched.example", 28).answers.len(), 0);
}

#[test]
fn the_log_says_once_that_an_answer_was_refused() {
    let site = Site::prepare(REFUSED, Clock::system());
    let text = support::read(&site.config).replace("[querylog]\n", "[querylog]\nwhich = \"all\"\n");
    std::fs::write(&site.config, text).unwrap();
    let site = site.started();
    for name in ["www.fetched.example", "www.fetched.example", "a.corp.example", "cloaked.example"] {
        site.ask(name, 1);
    }
    let lines = || {
        let text = support::read(&site.path("queries.jsonl"));
        let mut lines: Vec<(String, String)> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| {
                (line["name"].as_str().unwrap().to_owned(), line["verdict"].as_str().unwrap().to_owned())
            })
            .collect();
        lines.sort();
        lines
    };
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        if lines().len() >= 4 {
            break;
        }
    }
    // Whatever met a rule, or nothing, has one line.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let expected = [
        ("a.corp.example", "allowed"),
        ("cloaked.example", "blocked"),
        ("www.fetched.example", "refused"),
        ("www.fetched.example", "refused"),
    ];
    assert_eq!(lines(), expected.map(|(name, verdict)| (name.to_owned(), verdict.to_owned())));
}
