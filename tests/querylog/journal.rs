//! systemd's own journal, in a namespace of its own: what is sent is found by field, and what was sent while it was away too.

use std::process::{Command, Stdio};

use interdict::clock::Clock;
use serde_json::Value;

use super::{count, started};
use crate::support::operator::until;
use crate::support::{Program, Site, in_namespaces};

const JOURNALD: &str = "/lib/systemd/systemd-journald";

#[test]
fn entries_are_found_by_field_in_a_real_journal() {
    if !std::path::Path::new(JOURNALD).exists() {
        return eprintln!("skipped: {JOURNALD} is not installed");
    }
    let setup = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd /run/log && \
                 printf '[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=no\\n' > /run/journald.conf && \
                 mount --bind /run/journald.conf /etc/systemd/journald.conf";
    in_namespaces(&["--mount"], setup, "journal::beside_a_journal");
}

fn journald() -> Program {
    let quiet = || Stdio::null();
    let started = Command::new(JOURNALD).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    Program(started.unwrap())
}

/// What the journal has of this resolver, in the order in which it came.
fn entries(filter: &str) -> Vec<Value> {
    let shown = Command::new("journalctl")
        .args(["--directory=/run/log/journal", "--output=json", "--no-pager", "SYSLOG_IDENTIFIER=interdict"])
        .args(Some(filter).filter(|filter| !filter.is_empty()))
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
#[ignore = "needs a mount namespace, which the test above makes"]
fn beside_a_journal() {
    let first = journald();
    let socket = std::path::Path::new("/run/systemd/journal/socket");
    until(10, "a journal", || socket.exists());
    let site = started(
        Site::prepare("", Clock::system()),
        "[[querylog.sink]]\nto = \"journald\"\nwhich = \"all\"\n[[querylog.sink]]\nname = \"elsewhere\"\nto = \"journald:/run/none\"\n",
    );
    site.ask("www.wechat.com", 28);
    site.ask("www.canada.ca", 1);
    until(10, "two entries", || entries("").len() >= 2);
    let [blocked] = &entries("INTERDICT_VERDICT=blocked")[..] else { panic!("{:?}", entries("")) };
    for (field, wanted) in [
        ("INTERDICT_NAME", "www.wechat.com"),
        ("INTERDICT_TYPE", "AAAA"),
        ("INTERDICT_APP", "wechat"),
        ("INTERDICT_INSTRUMENT", "ca-tbs-2023-10-30-wechat-kaspersky"),
        ("INTERDICT_CLIENT", "127.0.0.1"),
        ("INTERDICT_GROUP", "default"),
        ("INTERDICT_RCODE", "NXDOMAIN"),
        ("INTERDICT_ANSWERED_FROM", "policy"),
        ("PRIORITY", "5"),
        ("SYSLOG_FACILITY", "16"),
        (
            "MESSAGE",
            "blocked www.wechat.com AAAA for 127.0.0.1: wechat, ca-tbs-2023-10-30-wechat-kaspersky, group default",
        ),
    ] {
        assert_eq!(blocked[field], wanted, "{field}: {blocked}");
    }
    let [allowed] = &entries("PRIORITY=6")[..] else { panic!("{:?}", entries("")) };
    assert_eq!(
        (&allowed["INTERDICT_NAME"], &allowed["INTERDICT_APP"]),
        (&"www.canada.ca".into(), &Value::Null)
    );
    assert_eq!(allowed["INTERDICT_ANSWERS"], "www.canada.ca 300 IN A 192.0.2.7");
    assert_eq!(allowed["INTERDICT_FLAGS"], serde_json::json!(["RD", "RA"]), "a field that stands twice");
    assert_eq!(count(&site, "records", "journald"), 2.0);
    drop(first);
    for number in 0..3 {
        site.ask(&format!("n{number}.wechat.com"), 1);
    }
    until(10, "a reason", || {
        site.metric("interdict_querylog_failures_total{sink=\"journald\",reason=\"connect\"}") >= 1.0
    });
    let _second = journald();
    until(15, "what waited", || entries("").len() >= 5);
    assert_eq!((count(&site, "records", "journald"), count(&site, "lost", "journald")), (5.0, 0.0));
    assert_eq!((count(&site, "records", "elsewhere"), count(&site, "lost", "file")), (0.0, 0.0));
}
