//! Lists from the network as an operator lives through them: a running resolver, real servers on loopback, every fault
//! that a list server, the way to it and the disk can have. What answered before answers during and after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]

#[path = "support/lists.rs"]
mod lists;
mod support;

use std::io::Write;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use interdict::clock::Clock;
use lists::{Authority, ConnectProxy, ListServer, Reply};
use serde_json::Value;
use support::Site;
use support::operator::until;

const NXDOMAIN: &str = "Non-Existent Domain";
const NOERROR: &str = "No Error";

/// A source at that address; `more` are further keys.
fn source(name: &str, from: &str, more: &str) -> String {
    format!(
        "[[policy.source]]\nname = \"{name}\"\nfrom = \"{from}\"\nformat = \"domains\"\nca = \"$DIR/ca.pem\"\n{more}\n"
    )
}

fn prepared(authority: &Authority, policy: &str, clock: Clock) -> Site {
    let site = Site::prepare(policy, clock);
    std::fs::write(site.path("ca.pem"), &authority.pem).unwrap();
    site
}

fn manual() -> Clock {
    Clock::manual("2026-11-24T12:00:00Z".parse().unwrap())
}

fn reloads(site: &Site) -> f64 {
    ["published", "rejected", "unchanged"]
        .map(|outcome| site.metric(&format!("interdict_reloads_total{{outcome=\"{outcome}\"}}")))
        .iter()
        .sum()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn names(count: usize, with: &str) -> String {
    (0..count).map(|i| format!("*.n{i}.listed.example\n")).collect::<String>() + with
}

#[test]
fn a_refresh_costs_one_request_while_nothing_changes_and_one_reload_when_something_does() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a.txt", "*.one.example\n");
    let site = prepared(&authority, &source("a", &server.url("/a.txt"), ""), manual()).settled();
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN, "fetched before the first question");
    assert_eq!(server.asked().len(), 1);
    until(10, "the first look at the files", || reloads(&site) == 1.0);
    let before = (reloads(&site), site.status()["compiled_on"].clone());

    // Not before its time, less a tenth.
    site.clock.advance(Duration::from_secs(3000));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.asked().len(), 1);
    site.clock.advance(Duration::from_secs(1000));
    until(10, "a second request", || {
        site.metric("interdict_source_fetches_total{source=\"a\",result=\"unchanged\"}") == 1.0
    });
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        asked[1].headers.contains_key("if-none-match") && !asked[0].headers.contains_key("if-none-match")
    );
    assert_eq!((reloads(&site), site.status()["compiled_on"].clone()), before, "a 304 costs no compile");
    let confirmed = site.metric("interdict_source_last_success_timestamp_seconds{source=\"a\"}");
    let changed = site.metric("interdict_source_last_change_timestamp_seconds{source=\"a\"}");
    assert_eq!(confirmed - changed, 4000.0);

    server.put("/a.txt", "*.one.example\n*.two.example\n");
    site.clock.advance(Duration::from_secs(4000));
    until(10, "the new list is in force", || site.rcode("www.two.example") == NXDOMAIN);
    assert_eq!(server.asked().len(), 3);
    until(10, "it is counted", || site.metric("interdict_reloads_total{outcome=\"published\"}") == 1.0);

    // An operator who reloads asks at once.
    assert_eq!(site.reload("")["outcome"], "unchanged");
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn last_modified_serves_where_there_is_no_etag_and_same_bytes_are_no_change_without_either() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.answer("/dated", |asked| match asked.headers.get("if-modified-since").map(String::as_str) {
        Some("Tue, 24 Nov 2026 12:00:00 GMT") => Reply::raw("HTTP/1.1 304 Not Modified\r\n\r\n"),
        _ => Reply::ok(&[("Last-Modified", "Tue, 24 Nov 2026 12:00:00 GMT")], b"*.one.example\n"),
    });
    server.answer("/plain", |_| Reply::ok(&[], b"*.two.example\n"));
    // Where an encrypted server leads on to is followed.
    let elsewhere = server.url("/plain");
    server.answer("/moved", move |_| {
        Reply::new("301 Moved Permanently", &[("Location", &elsewhere)], b"moved\n")
    });
    let policy = source("dated", &server.url("/dated"), "") + &source("plain", &server.url("/moved"), "");
    let site = prepared(&authority, &policy, manual()).settled();
    assert_eq!(site.reload("")["outcome"], "unchanged");
    for name in ["dated", "plain"] {
        let count = |result| {
            site.metric(&format!("interdict_source_fetches_total{{source=\"{name}\",result=\"{result}\"}}"))
        };
        assert_eq!((count("changed"), count("unchanged"), count("failed")), (1.0, 1.0, 0.0), "{name}");
    }
}

#[test]
fn packed_lists_are_unpacked_whether_the_server_or_the_publisher_packed_them() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    let list = |number: usize| format!("*.packed{number}.example\n").into_bytes();
    let mut policy = String::new();
    for (number, (encoding, body)) in [
        (Some("gzip"), gzip(&list(0))),
        (Some("zstd"), zstd(&list(1))),
        (None, gzip(&list(2))),
        (None, zstd(&list(3))),
        (Some("gzip"), gzip(&gzip(&list(4)))),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{number}");
        server.answer(&path, move |asked| {
            assert_eq!(asked.headers["accept-encoding"], "gzip, zstd");
            Reply::ok(
                &encoding.map(|encoding| ("Content-Encoding", encoding)).into_iter().collect::<Vec<_>>(),
                &body,
            )
        });
        policy += &source(&format!("s{number}"), &server.url(&path), "");
    }
    let site = prepared(&authority, &policy, Clock::system()).settled();
    for number in 0..5 {
        assert_eq!(site.rcode(&format!("www.packed{number}.example")), NXDOMAIN);
    }
}

/// The fault table. Each fault meets a resolver that holds a good list; the operator reloads; the list holds, the status
/// says why and since when; the fault ends, and the new list is in force.
#[test]
fn every_fault_of_a_list_server_keeps_the_last_good_list_and_is_said() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    let clear = ListServer::start(None);
    let clear_url = clear.url("/a");
    clear.put("/a", "*.injected.example\n");
    let list = names(100, "*.one.example\n");
    server.put("/a", list.as_str());
    let policy = source("a", &server.url("/a"), "timeout = \"700ms\"\nmax_bytes = \"1MiB\"");
    let site = prepared(&authority, &policy, manual()).settled();
    let good = list.clone() + "*.injected.example\n";
    let bomb = gzip(&vec![b'\n'; 64 << 20]);
    let huge = names(60_000, "*.injected.example\n");
    let many = names(3000, "*.injected.example\n");
    let page = b"<!DOCTYPE html><html><body>Please log in</body></html>".to_vec();
    let cut = |head: &str, body: &str| Reply::raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
    let mut damaged = gzip(good.as_bytes());
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    let drip = Reply(
        std::iter::once((Duration::ZERO, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec()))
            .chain((0..100).map(|_| (Duration::from_millis(50), b"*".to_vec())))
            .collect(),
    );
    let faults: Vec<(&str, &str, Reply)> = vec![
        (
            "HTML by its type",
            "html",
            Reply::ok(&[("Content-Type", "text/html; charset=utf-8")], good.as_bytes()),
        ),
        ("HTML by its bytes", "html", Reply::ok(&[("Content-Type", "text/plain")], &page)),
        ("HTML, packed", "html", Reply::ok(&[("Content-Encoding", "gzip")], &gzip(&page))),
        ("empty body", "empty", Reply::ok(&[], b"")),
        ("only comments", "no_rules", Reply::ok(&[], b"# moved\n# away\n")),
        ("lines of another syntax", "malformed", Reply::ok(&[], b"*.injected.example\n0.0.0.0 a b\n")),
        (
            "cut off before its length",
            "truncated",
            cut(&format!("Content-Length: {}", good.len() + 9), &good),
        ),
        (
            "cut off between chunks",
            "truncated",
            cut("Transfer-Encoding: chunked", &format!("{:x}\r\n{good}\r\n", good.len())),
        ),
        (
            "cut off inside gzip",
            "truncated",
            Reply::ok(&[("Content-Encoding", "gzip")], &gzip(good.as_bytes())[..200]),
        ),
        ("no end stated", "truncated", cut("Connection: close", &good)),
        ("connection closed at once", "truncated", Reply::default()),
        ("not HTTP", "damaged", Reply::raw("SSH-2.0-OpenSSH_9.2\r\n\r\n")),
        ("damaged gzip", "damaged", Reply::ok(&[("Content-Encoding", "gzip")], &damaged)),
        ("an encoding not asked for", "damaged", Reply::ok(&[("Content-Encoding", "br")], good.as_bytes())),
        ("a bomb by the server", "too_large", Reply::ok(&[("Content-Encoding", "gzip")], &bomb)),
        ("a bomb as published", "too_large", Reply::ok(&[], &zstd(&vec![b'\n'; 64 << 20]))),
        ("over its cap", "too_large", Reply::ok(&[], huge.as_bytes())),
        ("a byte every 50 ms", "timeout", drip),
        ("silence", "timeout", Reply(vec![(Duration::from_secs(3), Vec::new())])),
        ("404", "status", Reply::new("404 Not Found", &[], good.as_bytes())),
        ("503", "status", Reply::new("503 Service Unavailable", &[("Retry-After", "120")], b"later\n")),
        ("redirect out of encryption", "redirect", Reply::new("302 Found", &[("Location", &clear_url)], b"")),
        ("redirect in a circle", "redirect", Reply::new("302 Found", &[("Location", "/a")], b"")),
        ("a tenth of its rules", "shrink", Reply::ok(&[], (names(10, "*.injected.example\n")).as_bytes())),
        ("thirty times its rules", "growth", Reply::ok(&[], many.as_bytes())),
        (
            "a ban on what must resolve",
            "guard",
            Reply::ok(&[], (good.clone() + "*.must.example\n").as_bytes()),
        ),
    ];
    let text = support::read(&site.config) + "[guard]\nmust_resolve = [\"www.must.example\"]\n";
    std::fs::write(&site.config, text).unwrap();
    let mut table = Vec::new();
    for (fault, reason, reply) in faults {
        let round = table.len();
        let mine = format!("*.round{round}.example\n");
        let own = list.clone() + &mine;
        server.put("/a", own.as_str());
        let outcome = site.reload("");
        assert_ne!(outcome["outcome"], "rejected", "{fault}: {outcome}");
        let asked = || {
            [
                site.rcode("www.one.example"),
                site.rcode(&format!("www.round{round}.example")),
                site.rcode("www.injected.example"),
            ]
        };
        let before = asked();
        assert_eq!(before, [NXDOMAIN, NXDOMAIN, NOERROR], "{fault}");

        let count = format!("interdict_source_failures_total{{source=\"a\",reason=\"{reason}\"}}");
        let failures = site.metric(&count);
        server.answer("/a", move |_| reply.clone());
        let outcome = site.reload("");
        let during = asked();
        assert_eq!(outcome["outcome"], "unchanged", "{fault}: {outcome}");
        let warning = outcome["warnings"][0].clone();
        let what = warning["what"].as_str().unwrap_or_else(|| panic!("{fault}: {outcome}"));
        assert!(what.contains(&format!("({reason})")) && what.contains("since 2026-"), "{fault}: {what}");
        assert_eq!(during, before, "{fault}");
        let shown = site.source("a");
        assert_eq!(shown["last_good"], true, "{fault}: {shown}");
        assert_eq!(shown["condition"]["failing"]["reason"], reason, "{fault}: {shown}");
        let degraded = site.status()["degraded"].to_string();
        assert!(degraded.contains(&format!("source `a` ({reason})")), "{fault}: {degraded}");
        assert_eq!(site.metric("interdict_degraded"), 1.0);
        assert_eq!(site.metric(&count), failures + 1.0, "{fault}");

        // Again: since the same moment, one more time.
        site.clock.advance(Duration::from_secs(5));
        site.reload("");
        let again = site.source("a")["condition"]["failing"].clone();
        assert_eq!(
            (&again["since"], &again["times"]),
            (&shown["condition"]["failing"]["since"], &2.into()),
            "{fault}"
        );

        server.put("/a", (own + "*.mended.example\n").as_str());
        let outcome = site.reload("");
        assert_eq!(outcome["outcome"], "published", "{fault}: {outcome}");
        assert_eq!(
            (site.failing("a"), site.status()["degraded"].to_string()),
            (String::new(), "[]".to_owned())
        );
        let after = [site.rcode("www.one.example"), site.rcode("www.mended.example")];
        assert_eq!(after, [NXDOMAIN, NXDOMAIN], "{fault}");
        table.push(format!("{fault:30} {reason:12} {during:?} then {after:?}: {}", warning["what"]));
    }
    eprintln!("{}", table.join("\n"));
    assert_eq!(clear.asked().len(), 0, "nothing was asked in the clear");
}

#[test]
fn what_the_guard_holds_back_comes_through_when_an_operator_means_it() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a", names(100, ""));
    server.put("/b", names(100, ""));
    let policy = source("a", &server.url("/a"), "")
        + &source("b", &server.url("/b"), "max_shrink = \"60%\"\nmax_growth = \"3000%\"");
    let site = prepared(&authority, &policy, manual()).settled();
    for body in [names(50, ""), names(1050, "")] {
        server.put("/a", body.clone());
        server.put("/b", body.clone());
        assert_eq!(site.reload("")["outcome"], "published", "the other one comes through");
        assert_ne!(site.failing("a"), "");
        assert_eq!(site.failing("b"), "", "within limits of its own");
        assert_eq!(site.source("b")["rules"], body.lines().count());
        assert_eq!(site.reload("?accept_growth=true")["outcome"], "published");
        assert_eq!(site.failing("a"), "");
        assert_eq!(site.source("a")["rules"], body.lines().count());
    }
}

/// A feed that takes in what everybody uses is refused by itself, and taken when somebody means it.
#[test]
fn a_list_that_would_block_what_is_asked_most_is_left_out_until_an_operator_means_it() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let policy = source("a", &server.url("/a"), "") + "[guard]\nmost_asked = 5\nmost_asked_at_least = 5\n";
    let site = prepared(&authority, &policy, manual()).settled();
    for _ in 0..6 {
        assert_eq!(site.rcode("www.mail.example"), NOERROR);
    }
    server.put("/a", "*.one.example\n*.mail.example\n");
    let outcome = site.reload("");
    assert_eq!(outcome["outcome"], "unchanged", "{outcome}");
    assert!(
        outcome["warnings"].to_string().contains("`www.mail.example`, number 1 of the names"),
        "{outcome}"
    );
    assert_eq!((site.rcode("www.mail.example").as_str(), site.failing("a").as_str()), (NOERROR, "guard"));
    assert_eq!(site.reload("?accept_most_asked=true")["outcome"], "published");
    assert_eq!((site.rcode("www.mail.example").as_str(), site.failing("a").as_str()), (NXDOMAIN, ""));
}

#[test]
fn a_list_that_must_not_be_is_left_out_and_holds_up_nothing_else() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let policy = source("a", &server.url("/a"), "")
        + "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n"
        + "[guard]\nmust_resolve = [\"www.must.example\"]\n";
    let site = prepared(&authority, &policy, manual());
    std::fs::write(site.path("own.txt"), "*.own.example\n").unwrap();
    let site = site.settled();
    server.put("/a", "*.one.example\n*.must.example\n*.two.example\n");
    std::fs::write(site.path("own.txt"), "*.own.example\n*.three.example\n").unwrap();
    let outcome = site.reload("");
    assert_ne!(outcome["outcome"], "rejected", "{outcome}");
    assert!(outcome["warnings"].to_string().contains("must resolve"), "{outcome}");
    assert_eq!(site.rcode("www.three.example"), NXDOMAIN, "the operator's own change is in force");
    assert_eq!(site.rcode("www.must.example"), NOERROR);
    assert_eq!(site.rcode("www.two.example"), NOERROR, "nothing of the list is half applied");
    assert_eq!(site.failing("a"), "guard");
}

#[test]
fn a_server_that_does_not_prove_itself_is_not_asked_for_a_list() {
    let (authority, other, forged) =
        (Authority::new("ours"), Authority::new("theirs"), Authority::new("ours"));
    let certified = |tls| {
        let server = ListServer::start(Some(tls));
        server.put("/a", "*.one.example\n");
        server
    };
    let stranger = certified(other.certify("127.0.0.1", 2100));
    let forger = certified(forged.certify("127.0.0.1", 2100));
    let misnamed = certified(authority.certify("lists.example", 2100));
    let expired = certified(authority.certify("127.0.0.1", 2021));
    for (server, what) in [
        (&stranger, "not trusted"),
        (&forger, "not trusted"),
        (&misnamed, "for another name"),
        (&expired, "has expired"),
    ] {
        let site = prepared(&authority, &source("a", &server.url("/a"), ""), manual()).settled();
        let shown = site.source("a");
        assert_eq!(shown["condition"]["failing"]["reason"], "certificate", "{shown}");
        assert!(shown["condition"]["failing"]["what"].as_str().unwrap().contains(what), "{shown}");
        assert!(site.status()["degraded"].to_string().contains("nothing of it is enforced"));
        assert_eq!(site.rcode("www.one.example"), NOERROR);
        assert_eq!(server.asked().len(), 0);
        if std::ptr::eq(server, &stranger) {
            // The operator names the right authority.
            std::fs::write(site.path("ca.pem"), &other.pem).unwrap();
            assert_eq!(site.reload("")["outcome"], "published");
            assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
            // And breaks it again.
            for (pem, what) in [(None, "cannot be read"), (Some("no certificate"), "holds no certificate")] {
                match pem {
                    None => std::fs::remove_file(site.path("ca.pem")).unwrap(),
                    Some(pem) => std::fs::write(site.path("ca.pem"), pem).unwrap(),
                }
                let outcome = site.reload("");
                assert!(outcome["warnings"].to_string().contains(what), "{outcome}");
                assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
            }
        }
    }
}

#[test]
fn a_proxy_leads_to_the_server_or_says_no() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    for admits in [true, false] {
        let proxy = ConnectProxy::start(admits);
        let policy = source("a", &server.url("/a"), &format!("proxy = \"http://{}\"", proxy.address));
        let site = prepared(&authority, &policy, manual()).settled();
        if admits {
            assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
            assert_eq!(proxy.connected.load(Ordering::Relaxed), 1);
        } else {
            assert_eq!(site.failing("a"), "proxy");
        }
    }
    assert_eq!(server.connections(), 1, "only through the proxy that admits");
}

#[test]
fn a_failing_source_is_asked_soon_then_ever_later_and_recovers_by_itself() {
    let authority = Authority::new("ours");
    let mut server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    server.down();
    let site = prepared(&authority, &source("a", &server.url("/a"), "refresh = \"4m\""), manual()).settled();
    let running = site.running.as_ref().unwrap();
    assert!(format!("{:?}", running.problems).contains("(connect)"), "{:?}", running.problems);
    assert_eq!(site.rcode("www.tiktok.com"), NXDOMAIN, "it starts without the list");
    assert_eq!(site.failing("a"), "connect");
    for (times, expected) in [(1, 30.0), (2, 60.0), (3, 120.0), (4, 240.0), (5, 240.0)] {
        let shown = site.source("a")["condition"].clone();
        assert_eq!(shown["failing"]["times"], times, "{shown}");
        let next: jiff::Timestamp = shown["next_fetch"].as_str().unwrap().parse().unwrap();
        let wait = next.duration_since(site.clock.wall()).as_secs_f64();
        assert!((expected * 0.9 - 0.1..=expected * 1.1 + 0.1).contains(&wait), "after {times}: {wait}");
        if times < 5 {
            site.clock.advance(Duration::from_secs_f64(wait + 1.0));
            until(10, "the next failure", || site.source("a")["condition"]["failing"]["times"] == times + 1);
        }
    }
    server.up();
    site.clock.advance(Duration::from_secs(300));
    until(10, "it is in force", || site.rcode("www.one.example") == NXDOMAIN);
    assert_eq!(site.failing("a"), "");
    assert_eq!(site.status()["degraded"].to_string(), "[]");
}

#[test]
fn a_start_without_the_network_serves_the_last_good_list_and_says_so() {
    let authority = Authority::new("ours");
    let mut server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let mut site = prepared(&authority, &source("a", &server.url("/a"), ""), manual()).settled();
    site.stop();
    server.down();
    // A cut-off run left something aside, half a record, and bytes that no record names.
    std::fs::write(site.path("state/sources/a.new"), "{\"version\": 1, \"sou").unwrap();
    std::fs::write(site.path("state/sources/b.json"), "{\"version\": 1, \"sou").unwrap();
    std::fs::write(site.path(&format!("state/sources/{}", "0".repeat(64))), "*.half").unwrap();
    site.clock.advance(Duration::from_secs(86_400));
    let mut site = site.settled();
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    until(10, "it is said", || site.failing("a") == "connect");
    let degraded = site.status()["degraded"].to_string();
    assert!(
        degraded.contains("since 2026-11-25T12:00:00Z; its content of 2026-11-24T12:00:00Z is used"),
        "{degraded}"
    );
    assert_eq!(site.metric("interdict_source_last_success_timestamp_seconds{source=\"a\"}"), 1_795_521_600.0);
    let left: Vec<_> =
        site.path("state/sources").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "swept: {left:?}");

    // Kept bytes that were damaged are not used: the generation before still holds them.
    site.stop();
    for path in left.iter().filter(|path| path.extension().is_none()) {
        std::fs::write(path, "*.one.examplf\n").unwrap();
    }
    let mut site = site.settled();
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    assert_eq!(site.rcode("www.one.examplf"), NOERROR);
    site.stop();

    server.up();
    let site = site.settled();
    until(10, "it is well", || site.failing("a").is_empty());
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
}

#[test]
fn a_crash_between_keeping_and_publishing_loses_neither_list() {
    let authority = Authority::new("ours");
    let mut server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let mut site = prepared(&authority, &source("a", &server.url("/a"), ""), manual()).settled();
    let generations = site.path("state/generations");
    let copy = |from: &str, to: &str| {
        let copied = Command::new("cp").args(["-a", from, to]).current_dir(site.folder.path()).status();
        assert!(copied.unwrap().success());
    };
    copy("state/generations", "generations.before");
    copy("state/good", "good.before");
    server.put("/a", "*.one.example\n*.two.example\n");
    assert_eq!(site.reload("")["outcome"], "published");
    // As after kill -9 in between: the new list is kept, its generation is not.
    std::fs::remove_dir_all(generations).unwrap();
    copy("generations.before", "state/generations");
    copy("good.before", "state/good");
    site.stop();
    server.down();
    let site = site.settled();
    assert_eq!(site.rcode("www.two.example"), NXDOMAIN);
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
}

/// Killed at any moment while new lists come in: what is in force at the next start, with nobody to ask, is one list,
/// whole, and never an older one than at the start before.
#[test]
fn a_kill_at_any_moment_leaves_one_whole_list() {
    const ROUNDS: usize = 8;
    const SIZE: usize = 2000;
    let authority = Authority::new("ours");
    let mut server = ListServer::certified(&authority);
    let version = |round: usize| (0..SIZE).map(|i| format!("*.n{i}.v{round}.example\n")).collect::<String>();
    server.put("/a", version(0));
    let mut site = prepared(&authority, &source("a", &server.url("/a"), ""), Clock::system()).settled();
    site.stop();
    let mut random = 7u64;
    let (mut newest, mut taken) = (0, 0);
    for round in 1..=ROUNDS {
        server.put("/a", version(round));
        let asked = server.asked().len();
        let record = || support::read(&site.path("state/sources/a.json"));
        let before = record();
        let begin = || {
            Command::new(env!("CARGO_BIN_EXE_interdict"))
                .args(["--config", site.config.to_str().unwrap(), "serve", "--log-level", "error"])
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap()
        };
        let mut child = begin();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // From the request on: judged, compiled, kept, published, within a few hundred milliseconds.
        until(10, "it is asked", || {
            if child.try_wait().unwrap().is_some() {
                // The port that the system chose for UDP was taken for TCP by a test beside this one.
                child = begin();
            }
            server.asked().len() > asked
        });
        if round < ROUNDS {
            std::thread::sleep(Duration::from_millis((random >> 33) % 300));
        } else {
            // Once at least it is late enough on any machine.
            until(10, "it is kept", || record() != before);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        server.down();
        site = site.settled();
        let found: Vec<usize> = (0..=round)
            .filter(|version| site.rcode(&format!("www.n0.v{version}.example")) == NXDOMAIN)
            .collect();
        assert_eq!(found.len(), 1, "round {round}: {found:?}");
        assert!(found[0] >= newest, "round {round}: back from {newest} to {}", found[0]);
        newest = found[0];
        taken += usize::from(newest == round);
        assert_eq!(site.rcode(&format!("www.n{}.v{newest}.example", SIZE - 1)), NXDOMAIN);
        assert_eq!(site.source("a")["rules"], SIZE);
        site.stop();
        server.up();
    }
    eprintln!("{taken} of {ROUNDS} lists were taken before the kill");
    assert_eq!(newest, ROUNDS);
}

#[test]
fn a_full_disk_keeps_new_lists_in_memory_and_mends_by_itself() {
    support::in_namespaces(&["--mount"], "true", "with_lists_on_a_small_disk");
}

#[test]
#[ignore = "run in a namespace by the test above"]
fn with_lists_on_a_small_disk() {
    let authority = Authority::new("ours");
    let mut server = ListServer::certified(&authority);
    server.put("/a", names(100, ""));
    // The disk is for the lists alone.
    let lists = source("a", &server.url("/a"), "max_growth = \"9999%\"") + "[report]\ndays = 0\n";
    let site = prepared(&authority, &lists, manual());
    std::fs::create_dir(site.path("state")).unwrap();
    let mount = |options: &str| {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(site.path("state"))
            .status();
        assert!(done.unwrap().success(), "mount {options}");
    };
    mount("size=440k");
    let site = site.settled();
    assert_eq!(site.status()["degraded"].to_string(), "[]");

    let token = site.token();
    let reload = || site.http("POST", "/api/v1/reload", Some(&token)).1;
    server.put("/a", names(8000, ""));
    assert!(reload().contains("published"));
    assert_eq!(site.rcode("www.n7999.listed.example"), NXDOMAIN, "in force");
    let degraded = site.status()["degraded"].to_string();
    assert!(degraded.contains("source `a`: its content could not be kept: No space left"), "{degraded}");

    // It fails now: what is in memory goes on.
    server.down();
    reload();
    assert_eq!(site.rcode("www.n7999.listed.example"), NXDOMAIN);
    server.up();

    let done = Command::new("mount").args(["-o", "remount,size=8m"]).arg(site.path("state")).status();
    assert!(done.unwrap().success());
    reload();
    let degraded = site.status()["degraded"].to_string();
    assert!(!degraded.contains("its content could not be kept"), "{degraded}");
    let mut site = site;
    site.stop();
    server.down();
    let mut site = site.settled();
    assert_eq!(site.rcode("www.n7999.listed.example"), NXDOMAIN, "kept after all");
    site.stop();
}

#[test]
fn a_source_that_cannot_be_fetched_is_not_added() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let site = prepared(&authority, &source("a", &server.url("/a"), ""), manual()).settled();
    let before = support::read(&site.config);
    let with = source("b", &server.url("/b"), "").replace("$DIR", site.folder.path().to_str().unwrap());
    std::fs::write(&site.config, before + &with).unwrap();
    let outcome = site.reload("");
    assert_eq!((&outcome["outcome"], &outcome["stage"]), (&"rejected".into(), &"fetch".into()), "{outcome}");
    assert!(outcome.to_string().contains("source `b` (status): the server answered 404"), "{outcome}");
    assert_eq!(site.rcode("www.one.example"), NXDOMAIN);
    server.answer("/b", |_| Reply::raw("HTTP/1.1 304 Not Modified\r\n\r\n"));
    let outcome = site.reload("");
    assert!(outcome.to_string().contains("(status): the server answered 304"), "not asked for: {outcome}");
    server.put("/b", "*.two.example\n");
    assert_eq!(site.reload("")["outcome"], "published");
    assert_eq!(site.rcode("www.two.example"), NXDOMAIN);
}

/// A list server that holds the line holds up nobody: not a changed file, not the status, not the end.
#[test]
fn a_server_that_holds_the_line_holds_up_nothing() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let policy = source("a", &server.url("/a"), "")
        + "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";
    let site = prepared(&authority, &policy, Clock::system());
    std::fs::write(site.path("own.txt"), "*.own.example\n").unwrap();
    let mut site = site.settled();
    let (release, held) = mpsc::sync_channel::<()>(1);
    let held = Mutex::new(held);
    server.answer("/a", move |_| {
        let _released = held.lock().unwrap().recv_timeout(Duration::from_secs(9)).is_ok();
        Reply::ok(&[], b"*.one.example\n*.late.example\n")
    });
    let requests = server.asked().len();
    let (token, admin) = (site.token(), site.running.as_ref().unwrap().admin);
    let asks = move || {
        let mut stream = std::net::TcpStream::connect(admin).unwrap();
        let head = format!(
            "POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        let _cut = std::io::Read::read_to_string(&mut stream, &mut text).is_err();
        text
    };
    let waiting = std::thread::spawn(asks.clone());
    until(10, "the fetch is under way", || server.asked().len() > requests);
    std::fs::write(site.path("own.txt"), "*.own.example\n*.new.example\n").unwrap();
    until(10, "the changed file is in force", || site.rcode("www.new.example") == NXDOMAIN);
    assert_eq!(site.failing("a"), "");
    assert!(!waiting.is_finished(), "the fetch is still under way");
    release.send(()).unwrap();
    assert!(waiting.join().unwrap().contains("published"));
    assert_eq!(site.rcode("www.late.example"), NXDOMAIN);

    // And once more, while the process stops.
    let requests = server.asked().len();
    let cut_off = std::thread::spawn(asks);
    until(10, "the fetch is under way", || server.asked().len() > requests);
    site.stop();
    assert!(!cut_off.join().unwrap().contains("published"));
    assert!(release.send(()).is_ok(), "the server still holds the line");
}

#[test]
fn a_preview_shows_what_a_reload_would_change_and_changes_nothing() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let site = prepared(&authority, &source("a", &server.url("/a"), ""), manual()).settled();
    let diff = || -> Value { serde_json::from_str(&site.http("GET", "/api/v1/diff", None).1).unwrap() };
    server.put("/a", "*.one.example\n*.two.example\n");
    let before = site.source("a");
    assert_eq!(diff()["added"]["a"]["names"][0], "two.example");
    server.answer("/a", |_| Reply::new("404 Not Found", &[], b""));
    let fallen = diff();
    assert_eq!((&fallen["added"], &fallen["removed"]), (&serde_json::json!({}), &serde_json::json!({})));
    assert!(fallen["warnings"].to_string().contains("answered 404"), "{fallen}");
    assert_eq!(site.source("a"), before, "looking leaves no trace");
    assert_eq!(site.rcode("www.two.example"), NOERROR);
}

#[test]
fn a_rollback_holds_against_new_lists_until_an_operator_reloads() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let site = prepared(&authority, &source("a", &server.url("/a"), ""), manual()).settled();
    server.put("/a", "*.one.example\n*.two.example\n");
    assert_eq!(site.reload("")["outcome"], "published");
    assert_eq!(site.http("POST", "/api/v1/rollback", Some(&site.token())).0, 200);
    assert_eq!(site.rcode("www.two.example"), NOERROR);
    server.put("/a", "*.one.example\n*.two.example\n*.three.example\n");
    let requests = server.asked().len();
    site.clock.advance(Duration::from_secs(4000));
    until(10, "it is fetched", || server.asked().len() > requests);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(site.rcode("www.three.example"), NOERROR);
    assert_eq!(site.reload("")["outcome"], "published");
    assert_eq!(site.rcode("www.three.example"), NXDOMAIN);
}

#[test]
fn a_pin_holds_new_lists_back_over_a_restart_and_lets_them_in_at_its_end() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let mut site = prepared(&authority, &source("a", &server.url("/a"), ""), manual()).settled();
    assert_eq!(site.http("POST", "/api/v1/pin", Some(&site.token())).0, 200);
    server.put("/a", "*.one.example\n*.two.example\n");
    site.clock.advance(Duration::from_secs(4000));
    until(10, "the new list is held back", || site.status()["held_back"]["added"] == 1);
    assert_eq!(site.rcode("www.two.example"), NOERROR);

    site.stop();
    let site = site.settled();
    assert_eq!(
        (site.rcode("www.one.example"), site.rcode("www.two.example")),
        (NXDOMAIN.into(), NOERROR.into())
    );
    until(10, "it is fetched and held back again", || site.status()["held_back"]["added"] == 1);
    assert_eq!(site.rcode("www.two.example"), NOERROR);

    server.put("/a", "*.one.example\n*.two.example\n*.three.example\n");
    let (code, body) = site.http("POST", "/api/v1/unpin", Some(&site.token()));
    assert!(code == 200 && body.contains("published"), "{body}");
    assert_eq!(site.rcode("www.three.example"), NXDOMAIN, "an unpin asks for the newest list");
}

#[test]
fn a_new_list_waits_for_approval_and_is_kept_once_it_has_it() {
    let authority = Authority::new("ours");
    let mut server = ListServer::certified(&authority);
    server.put("/a", "*.one.example\n");
    let keys = tempfile::tempdir().unwrap();
    let minisign = |arguments: &[&str]| {
        let done = Command::new("minisign").current_dir(keys.path()).args(arguments).output();
        assert!(done.unwrap().status.success(), "minisign {arguments:?}");
    };
    minisign(&["-G", "-W", "-p", "pub", "-s", "key"]);
    let key = support::read(&keys.path().join("pub")).lines().nth(1).unwrap().to_owned();
    let guard = format!("[guard]\napprovals = 1\napprovers = [\"{key} alice\"]\n");
    let policy = source("a", &server.url("/a"), "") + &guard;
    let mut site = prepared(&authority, &policy, Clock::system()).settled();

    server.put("/a", "*.one.example\n*.two.example\n");
    assert_eq!(site.reload("")["outcome"], "waiting");
    assert_eq!(site.rcode("www.two.example"), NOERROR);
    // Not approved, so no start may find it among the last good lists.
    site.stop();
    server.down();
    let mut site = site.settled();
    assert_eq!(
        (site.rcode("www.one.example"), site.rcode("www.two.example")),
        (NXDOMAIN.into(), NOERROR.into())
    );
    server.up();
    let waiting = site.reload("");
    assert_eq!(waiting["outcome"], "waiting", "{waiting}");

    let law = waiting["law"].as_str().unwrap();
    std::fs::write(keys.path().join("text"), format!("interdict approve {law}\n")).unwrap();
    minisign(&["-S", "-s", "key", "-m", "text"]);
    let signature = support::read(&keys.path().join("text.minisig"));
    let encoded: String = signature.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = format!("/api/v1/approve?candidate={law}&signature={encoded}");
    let (code, body) = site.http("POST", &path, Some(&site.token()));
    assert!(code == 200 && body.contains("published"), "{body}");
    assert_eq!(site.rcode("www.two.example"), NXDOMAIN);
    site.stop();
    server.down();
    let site = site.settled();
    assert_eq!(site.rcode("www.two.example"), NXDOMAIN, "it is the last good list now");
}

#[test]
fn the_status_shows_the_serial_and_the_ttl_of_a_zone() {
    let authority = Authority::new("ours");
    let server = ListServer::certified(&authority);
    let zone = |serial: u32| {
        format!("$TTL 300\n@ SOA ns. host. ( {serial} 3600 600 86400 60 )\n  NS ns.\n*.one.example CNAME .\n")
    };
    server.put("/z", zone(2_026_112_401));
    let policy = source("z", &server.url("/z"), "").replace("domains", "rpz");
    let site = prepared(&authority, &policy, manual()).settled();
    assert_eq!(site.source("z")["zone"], serde_json::json!({"serial": 2_026_112_401u32, "ttl": 300}));
    server.put("/z", zone(2_026_112_402));
    assert_eq!(site.reload("")["outcome"], "unchanged", "the same rules");
    assert_eq!(site.source("z")["zone"]["serial"], 2_026_112_402u32);
}

/// The command line's own view: `status` for people, `check` and `explain` without a running resolver.
#[test]
fn the_command_line_shows_where_lists_come_from_and_what_is_wrong_with_them() {
    let authority = Authority::new("ours");
    let mut server = ListServer::certified(&authority);
    let site = prepared(&authority, &source("a", &server.url("/a?token=secret"), ""), Clock::system());
    server.put("/a?token=secret", "*.one.example\n");
    let site = site.settled();
    let admin = site.running.as_ref().unwrap().admin.to_string();
    let config = site.path("seen.toml");
    let text = support::read(&site.config).replacen(
        "127.0.0.1:0\"\n[querylog]",
        &format!("{admin}\"\n[querylog]"),
        1,
    );
    std::fs::write(&config, text).unwrap();
    let typed = |verb: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_interdict"))
            .args(["--config", config.to_str().unwrap()])
            .args(verb)
            // What the environment says of proxies is not for lists, nor for the resolver's own interface.
            .env("ALL_PROXY", "http://127.0.0.1:1")
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let shown = server.url("/a?…");
    let (code, out, err) = typed(&["check"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains(&format!("source a: 1 rules from 1 lines of {shown}, 0 refused")), "{out}");
    let (code, out, err) = typed(&["status"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains(&format!("source           a: 1 rules from {shown}\n                 confirmed 2")),
        "{out}"
    );
    assert!(!out.contains("secret") && !out.contains("failing"), "{out}");

    server.down();
    let (code, out, err) = typed(&["reload"]);
    assert_eq!((code, out.as_str()), (0, "unchanged: generation 1 stays in force\n"), "{err}");
    assert!(err.starts_with(&format!("{shown}: warning: source `a` (connect): ")), "{err}");
    assert!(err.contains("  hint: can this host reach the server?"), "{err}");
    let (_, out, _) = typed(&["status"]);
    assert!(out.contains("1 rules from https://127.0.0.1") && out.contains(", last good content\n"), "{out}");
    assert!(
        out.contains("\n                 failing (connect, ")
            && out.contains("\ndegraded         source `a` (connect): "),
        "{out}"
    );
    let (code, _, err) = typed(&["check"]);
    assert_eq!(code, 1);
    assert!(err.starts_with(&format!("{shown}: error: source `a` (connect): ")), "{err}");
    // What the resolver keeps explains names without the network.
    let (code, out, err) = typed(&["explain", "www.one.example"]);
    assert_eq!(code, 1, "blocked: {out}{err}");
    assert!(out.contains(&shown), "{out}");
}
