//! Signed lists, from servers and files, with minisign's own tool: what is not the publisher's own, whole and newest, is
//! not taken, whoever sent it and however it came here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]

#[path = "support/lists.rs"]
mod lists;
mod support;

use interdict::clock::Clock;
use lists::{Authority, ListServer, Reply, Signer};
use support::Site;
use support::operator::until;

const NXDOMAIN: &str = "Non-Existent Domain";
const NOERROR: &str = "No Error";

fn policy(from: &str, key: &str, more: &str) -> String {
    format!(
        "[[policy.source]]\nname = \"a\"\nfrom = \"{from}\"\nformat = \"domains\"\nkey = \"{key}\"\n{more}\n"
    )
}

fn manual() -> Clock {
    Clock::manual("2026-11-24T12:00:00Z".parse().unwrap())
}

/// Over plain HTTP: the signature alone protects the list.
#[test]
fn only_what_the_publisher_signed_last_is_taken() {
    let (Some(publisher), Some(stranger)) = (Signer::new(), Signer::new()) else { return };
    let server = ListServer::start(None);
    let good = b"*.one.example\n";
    server.put("/a", *good);
    server.put("/a.minisig", publisher.sign(good, "timestamp:1000\tfile:a", false));
    let site = Site::prepare(&policy(&server.url("/a"), &publisher.key, ""), manual()).settled();
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    let signed = site.source("a")["condition"]["signed"].clone();
    assert_eq!(signed["comment"], "timestamp:1000 file:a");
    assert_eq!(
        (&signed["key"], &signed["at"]),
        (&publisher.key.as_str().into(), &"1970-01-01T00:16:40Z".into())
    );

    let next = b"*.one.example\n*.injected.example\n";
    let edited = String::from_utf8(publisher.sign(next, "timestamp:2000", false)).unwrap();
    let edited = edited.replace("timestamp:2000", "timestamp:3000");
    for (fault, reason, signature) in [
        ("no signature", "signature_missing", None),
        ("not a signature", "signature_missing", Some(b"404 Not Found\n".to_vec())),
        ("too large to be one", "too_large", Some(vec![b'a'; 20_000])),
        ("of other bytes", "signature_wrong", Some(publisher.sign(good, "timestamp:2000", false))),
        ("by another key", "signature_key", Some(stranger.sign(next, "timestamp:2000", false))),
        ("with an edited comment", "signature_wrong", Some(edited.into_bytes())),
        ("made before the list in use", "replayed", Some(publisher.sign(next, "timestamp:999", false))),
    ] {
        server.put("/a", *next);
        match signature {
            Some(signature) => server.put("/a.minisig", signature),
            None => server.answer("/a.minisig", |_| Reply::new("404 Not Found", &[], b"<html>no</html>")),
        }
        let outcome = site.reload("");
        assert_eq!(outcome["outcome"], "unchanged", "{fault}: {outcome}");
        assert!(outcome["warnings"].to_string().contains(&format!("({reason})")), "{fault}: {outcome}");
        assert_eq!(site.failing("a"), reason, "{fault}");
        assert_eq!(site.rcode("www.injected.example"), NOERROR, "{fault}");
        assert_eq!(site.rcode("www.one.example"), NXDOMAIN, "{fault}");
        // The old list again is no fault, however old its signature.
        server.put("/a", *good);
        assert_eq!(site.reload("")["outcome"], "unchanged");
        assert_eq!(site.failing("a"), "", "{fault}");
    }

    // A signature of the same second, in minisign's older form, of a list that is published packed.
    let (list, packed) = (b"*.one.example\n*.two.example\n", {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packer, b"*.one.example\n*.two.example\n").unwrap();
        packer.finish().unwrap()
    });
    server.put("/a", packed.clone());
    server.put("/a.minisig", publisher.sign(list, "timestamp:1000", true));
    assert_eq!(site.reload("")["outcome"], "unchanged");
    assert_eq!(site.failing("a"), "signature_wrong", "what is signed is what is published");
    server.put("/a.minisig", publisher.sign(&packed, "timestamp:1000", true));
    assert_eq!(site.reload("")["outcome"], "published");
    assert_eq!(site.rcode("www.two.example"), NXDOMAIN);
}

#[test]
fn a_replay_is_noticed_across_a_restart_and_so_is_another_key() {
    let (Some(publisher), Some(successor)) = (Signer::new(), Signer::new()) else { return };
    let mut server = ListServer::start(None);
    let (old, new) = (b"*.one.example\n", b"*.one.example\n*.two.example\n");
    server.put("/a", *new);
    server.put("/a.minisig", publisher.sign(new, "timestamp:2000", false));
    let url = server.url("/a");
    let mut site = Site::prepare(&policy(&url, &publisher.key, ""), manual()).settled();
    assert_eq!(site.rcode("www.two.example"), NXDOMAIN);
    site.stop();

    server.put("/a", *old);
    server.put("/a.minisig", publisher.sign(old, "timestamp:1000", false));
    let mut site = site.settled();
    until(10, "it is asked", || site.failing("a") == "replayed");
    assert_eq!(site.rcode("www.two.example"), NXDOMAIN);
    site.stop();

    // Nobody answers, and the operator trusts another key now: what the old one signed counts no longer.
    server.down();
    site.write_config(&policy(&url, &successor.key, ""));
    let mut site = site.settled();
    assert_eq!(site.rcode("www.two.example"), NOERROR);
    assert_eq!(site.failing("a"), "connect");
    let degraded = site.http("GET", "/readyz", None).1;
    assert!(degraded.contains("nothing of it is enforced"), "{degraded}");
    site.stop();

    // The new publisher begins anew, with times of its own.
    server.up();
    server.put("/a.minisig", successor.sign(old, "timestamp:500", false));
    let mut site = site.settled();
    until(10, "it is in force", || site.rcode("www.one.example") == NXDOMAIN);
    site.stop();
}

#[test]
fn what_was_kept_unsigned_counts_no_longer_once_a_signature_is_needed() {
    let Some(publisher) = Signer::new() else { return };
    let authority = Authority::new("ours");
    let mut server = ListServer::certified(&authority);
    let list = b"*.one.example\n";
    server.put("/a", *list);
    let signed = policy(&server.url("/a"), &publisher.key, "ca = \"$DIR/ca.pem\"");
    let unsigned = signed.replace("key = ", "# key = ");
    let site = Site::prepare(&unsigned, manual());
    std::fs::write(site.path("ca.pem"), &authority.pem).unwrap();
    let mut site = site.settled();
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);

    // A reload that cannot have it signed is rejected; what is in force stays.
    site.write_config(&signed);
    let outcome = site.reload("");
    assert_eq!(outcome["outcome"], "rejected", "{outcome}");
    assert!(outcome.to_string().contains("(signature_missing)"), "{outcome}");
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    site.stop();

    // A start with nobody to ask does without it, loudly.
    server.down();
    let mut site = site.settled();
    assert_eq!(site.rcode("www.one.example"), NOERROR);
    assert!(site.http("GET", "/readyz", None).1.contains("nothing of it is enforced"));
    site.stop();

    server.up();
    server.put("/a.minisig", publisher.sign(list, "timestamp:1000", false));
    let site = site.settled();
    until(10, "it is in force", || site.rcode("www.one.example") == NXDOMAIN);
}

#[test]
fn a_key_that_changes_hands_is_followed_without_a_gap_when_both_signed() {
    let (Some(publisher), Some(successor)) = (Signer::new(), Signer::new()) else { return };
    let server = ListServer::start(None);
    let list = b"*.one.example\n";
    server.put("/a", *list);
    server.put("/a.minisig", publisher.sign(list, "timestamp:1000", false));
    server.put("/a.next", successor.sign(list, "timestamp:1000", false));
    let url = server.url("/a");
    let site = Site::prepare(&policy(&url, &publisher.key, ""), manual()).settled();
    site.write_config(&policy(&url, &successor.key, ""));
    let outcome = site.reload("");
    assert_eq!((&outcome["outcome"], &outcome["stage"]), (&"rejected".into(), &"fetch".into()), "{outcome}");
    assert!(outcome.to_string().contains("(signature_key)"), "{outcome}");
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    site.write_config(&policy(&url, &successor.key, "signature = \".next\""));
    assert_eq!(site.reload("")["outcome"], "unchanged", "the same rules");
    assert_eq!(site.source("a")["condition"]["signed"]["key"], successor.key.as_str());
    site.write_config(&policy(&url, &successor.key, &format!("signature = \"{}\"", server.url("/a.next"))));
    assert_eq!(site.reload("")["outcome"], "unchanged");
    assert_eq!(site.failing("a"), "");
}

#[test]
fn a_signed_file_needs_its_signature_beside_it() {
    let Some(publisher) = Signer::new() else { return };
    let mut site = Site::prepare(&policy("$DIR/a.txt", &publisher.key, ""), Clock::system());
    let list = |names: &[&str]| {
        names.iter().map(|name| format!("*.{name}.example\n")).collect::<String>().into_bytes()
    };
    let write = |site: &Site, bytes: &[u8], comment: &str| {
        std::fs::write(site.path("a.txt"), bytes).unwrap();
        std::fs::write(site.path("a.txt.minisig"), publisher.sign(bytes, comment, false)).unwrap();
    };
    write(&site, &list(&["one"]), "timestamp:1000");
    site = site.settled();
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);

    // Changed without a signature: noticed by itself, and not taken.
    std::fs::write(site.path("a.txt"), list(&["one", "injected"])).unwrap();
    until(10, "it is noticed", || site.failing("a") == "signature_wrong");
    assert_eq!(site.rcode("www.injected.example"), NOERROR);
    // The signature comes: taken by itself.
    let signature = publisher.sign(&list(&["one", "injected"]), "timestamp:2000", false);
    std::fs::write(site.path("a.txt.minisig"), signature).unwrap();
    until(10, "it is in force", || site.rcode("www.injected.example") == NXDOMAIN);
    assert_eq!(site.failing("a"), "");

    write(&site, &list(&["one"]), "timestamp:1500");
    until(10, "the replay is noticed", || site.failing("a") == "replayed");
    site.stop();
    // Gone at the next start: the last good one serves.
    std::fs::remove_file(site.path("a.txt")).unwrap();
    let site = site.settled();
    assert_eq!(site.rcode("www.injected.example"), NXDOMAIN);
    assert_eq!(site.failing("a"), "io");
}
