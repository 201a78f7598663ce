//! The operator's own records: every type, aliases, wildcards, reverse names; beside bans, special names and reloads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]
#![allow(dead_code, reason = "shares files with other suites")]

mod support;

use hickory_proto::op::Message;
use interdict::clock::Clock;
use support::Site;

const OWN: &str = r#"
[[local]]
name = "printer.corp.internal"
a = ["10.0.0.7", "10.0.0.8"]
aaaa = ["fd00::7"]
txt = ["third floor", ""]

[[local]]
name = "_ldap._tcp.corp.example"
srv = ["0 5 389 dc.corp.example"]
ttl = "1h"

[[local]]
name = "corp.example"
mx = ["10 mail.corp.example"]

[[local]]
name = "*.apps.corp.example"
a = ["10.0.0.9"]

[[local]]
name = "print.example"
cname = "printer.corp.internal"

[[local]]
name = "search.example"
cname = "www.fetched.example"
ttl = "2m"

[[local]]
name = "app.example"
cname = "x.apps.corp.example"

[[local]]
name = "first.example"
cname = "www.douyin.com"

[[local]]
name = "www.douyin.com"
cname = "printer.corp.internal"

[[local]]
name = "banned-inside.example"
cname = "www.tiktok.com"

[[local]]
name = "www.wechat.com"
a = ["10.0.0.1"]

[[local]]
name = "9.0.0.10.in-addr.arpa"
ptr = "apps.corp.example"
"#;

/// Code and answer, in the order of the answer.
fn got(message: &Message) -> (String, Vec<String>) {
    let answers = message
        .answers
        .iter()
        .map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data));
    (support::code(message).to_owned(), answers.collect())
}

fn ask(site: &Site, name: &str, kind: u16) -> (String, Vec<String>) {
    got(&site.ask(name, kind))
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn every_type_is_answered_and_what_is_not_there_is_said_not_to_be() {
    let site = Site::start(OWN, Clock::system());
    let name = "printer.corp.internal";
    let records = lines(&["printer.corp.internal. 300 A 10.0.0.7", "printer.corp.internal. 300 A 10.0.0.8"]);
    assert_eq!(ask(&site, name, 1), ("NOERROR".to_owned(), records), "although `internal` is special");
    assert_eq!(ask(&site, name, 28).1, lines(&["printer.corp.internal. 300 AAAA fd00::7"]));
    assert_eq!(ask(&site, name, 16).1.len(), 2);
    assert_eq!(
        ask(&site, "_ldap._tcp.corp.example", 33).1,
        lines(&["_ldap._tcp.corp.example. 3600 SRV 0 5 389 dc.corp.example."])
    );
    assert_eq!(ask(&site, "corp.example", 15).1, lines(&["corp.example. 300 MX 10 mail.corp.example."]));
    // NODATA has an SOA record, so that it is kept for a while (RFC 2308 section 2.2).
    let none = site.ask(name, 33);
    assert_eq!((got(&none), none.authorities.len()), (("NOERROR".to_owned(), Vec::new()), 1));
    let flags = none.metadata;
    assert!(!flags.authoritative && !flags.authentic_data && flags.recursion_available);
    assert_eq!(ask(&site, "other.corp.internal", 1).0, "NXDOMAIN", "special as before");
    for above in ["corp.internal", "internal", "0.0.10.in-addr.arpa"] {
        assert_eq!(ask(&site, above, 1), ("NOERROR".to_owned(), Vec::new()), "{above} has names below it");
    }
    assert_eq!(ask(&site, "other.corp.example", 1).0, "NOERROR", "somebody else's, who is asked");
    assert_eq!(ask(&site, "a.b.apps.corp.example", 1).1, lines(&["a.b.apps.corp.example. 300 A 10.0.0.9"]));
    assert_eq!(
        ask(&site, "7.0.0.10.in-addr.arpa", 12).1,
        lines(&["7.0.0.10.in-addr.arpa. 300 PTR printer.corp.internal."])
    );
    assert_eq!(
        ask(&site, "9.0.0.10.in-addr.arpa", 12).1,
        lines(&["9.0.0.10.in-addr.arpa. 300 PTR apps.corp.example."])
    );
    assert_eq!(
        ask(&site, "1.0.0.10.in-addr.arpa", 12).1,
        lines(&["1.0.0.10.in-addr.arpa. 300 PTR www.wechat.com."])
    );
    let page = site.http("GET", "/metrics", None).1;
    assert!(page.contains("interdict_special_queries_total{kind=\"local\"} 10\n"), "{page}");
}

#[test]
fn aliases_lead_inside_and_outside_and_a_ban_goes_before_all() {
    let site = Site::start(OWN, Clock::system());
    assert_eq!(
        ask(&site, "print.example", 28).1,
        lines(&[
            "print.example. 300 CNAME printer.corp.internal.",
            "printer.corp.internal. 300 AAAA fd00::7"
        ])
    );
    assert_eq!(ask(&site, "print.example", 5).1, lines(&["print.example. 300 CNAME printer.corp.internal."]));
    let (code, answers) = ask(&site, "search.example", 1);
    assert_eq!((code.as_str(), answers.len()), ("NOERROR", 2), "{answers:?}");
    assert_eq!(answers[0], "search.example. 120 CNAME www.fetched.example.");
    assert_eq!(answers[1], "www.fetched.example. 300 A 192.0.2.7");
    let asked = || site.upstream.asked.load(std::sync::atomic::Ordering::Relaxed);
    let before = asked();
    assert_eq!(
        ask(&site, "app.example", 1).1,
        lines(&["app.example. 300 CNAME x.apps.corp.example.", "x.apps.corp.example. 300 A 10.0.0.9"])
    );
    assert_eq!(asked(), before, "what is under a wildcard is the operator's own");
    // What an alias leads to says nothing of other records at its own name.
    for (banned, code) in [
        ("www.wechat.com", "NXDOMAIN"),
        ("banned-inside.example", "NOERROR"),
        // The ban is in the middle.
        ("first.example", "NOERROR"),
    ] {
        let reply = site.ask(banned, 1);
        assert_eq!(reply.answers.len(), 0, "{banned}: {reply:?}");
        assert_eq!((support::code(&reply), reply.authorities.len()), (code, 1), "{banned}");
    }
}

#[test]
fn records_change_with_a_reload_and_wrong_ones_change_nothing() {
    let site = Site::start(OWN, Clock::system());
    assert_eq!(ask(&site, "new.fetched.example", 1).0, "NOERROR");
    site.write_config(&format!("{OWN}\n[[local]]\nname = \"new.fetched.example\"\na = [\"10.9.9.9\"]\n"));
    assert_eq!(site.http("POST", "/api/v1/reload", Some(&site.token())).0, 200);
    let own = lines(&["new.fetched.example. 300 A 10.9.9.9"]);
    assert_eq!(ask(&site, "new.fetched.example", 1).1, own, "although another answer was kept");
    site.write_config(&format!("{OWN}\n[[local]]\nname = \"new.fetched.example\"\na = [\"10.9.9\"]\n"));
    assert_ne!(site.http("POST", "/api/v1/reload", Some(&site.token())).0, 200);
    assert_eq!(ask(&site, "new.fetched.example", 1).1, own);
    site.write_config(OWN);
    assert_eq!(site.http("POST", "/api/v1/reload", Some(&site.token())).0, 200);
    assert_ne!(ask(&site, "new.fetched.example", 1).1, own);
}

#[test]
fn what_is_written_twice_or_leads_round_is_refused_with_its_place() {
    let site = Site::start(OWN, Clock::system());
    for (wrong, what) in [
        ("[[local]]\nname = \"corp.example\"\na = [\"10.0.0.3\"]\nttl = \"1m\"\n", "is written twice"),
        ("[[local]]\nname = \"*.turn.example\"\ncname = \"x.turn.example\"\n", "leads round and round"),
    ] {
        site.write_config(&format!("{OWN}\n{wrong}"));
        let (status, said) = site.http("POST", "/api/v1/reload", Some(&site.token()));
        assert_ne!(status, 200);
        assert!(said.contains(what) && said.contains("interdict.toml"), "{said}");
    }
}
