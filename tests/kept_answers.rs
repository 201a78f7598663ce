//! Answers that outlive a restart: what is given, by which policy, and what is not believed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may read any file"
)]
#![allow(dead_code, reason = "shares files with other suites")]

mod support;

use interdict::clock::Clock;
use support::{Site, code};

fn restored(site: &Site) -> f64 {
    site.metric("interdict_cache_restored_answers")
}

/// Stopped and started again; upstreams are gone meanwhile.
fn again(mut site: Site) -> Site {
    site.stop();
    site.started()
}

#[test]
fn what_was_resolved_before_a_restart_needs_no_upstream() {
    let site = Site::start("", Clock::system());
    let before = site.ask("www.canada.ca", 1);
    assert_eq!(code(&before), "NOERROR");
    site.upstream.stop();
    let site = again(site);
    assert_eq!(restored(&site), 1.0);
    let after = site.ask("www.canada.ca", 1);
    assert_eq!((code(&after), after.answers.len()), ("NOERROR", before.answers.len()));
    assert!(after.answers[0].ttl <= before.answers[0].ttl);
    assert_eq!(code(&site.ask("other.canada.ca", 1)), "SERVFAIL", "upstreams are gone");
}

#[test]
fn a_name_that_was_banned_meanwhile_is_blocked_from_the_kept_answer_too() {
    let site = Site::start("", Clock::system());
    assert_eq!(code(&site.ask("www.canada.ca", 1)), "NOERROR");
    let list = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";
    std::fs::write(site.path("own.txt"), "www.canada.ca\n").unwrap();
    site.write_config(list);
    let site = again(site);
    assert_eq!(restored(&site), 1.0);
    assert_eq!(site.ask("www.canada.ca", 1).answers.len(), 0);
}

#[test]
fn what_is_broken_or_not_wanted_is_not_taken_over() {
    let mut site = Site::start("", Clock::system());
    assert_eq!(code(&site.ask("www.canada.ca", 1)), "NOERROR");
    site.stop();
    let file = site.path("state/answers");
    let mut bytes = std::fs::read(&file).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let mut site = site.started();
    assert_eq!(restored(&site), 0.0);
    assert_eq!(code(&site.ask("www.canada.ca", 1)), "NOERROR");
    site.stop();
    // Answers that nobody validated are none to one that validates.
    site.write_config("[dns64]\nprefix = \"64:ff9b::/96\"\n");
    let mut site = site.started();
    assert_eq!(restored(&site), 0.0);
    site.stop();
    std::fs::remove_file(&file).unwrap();
    site.write_config("[cache]\nkept = false\n");
    let site = again(site.started());
    assert_eq!(restored(&site), 0.0);
    assert!(!file.exists());
}
