//! Reloads as an operator lives through them: a running resolver, real files, real queries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]

mod support;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use interdict::clock::Clock;
use support::{Site, query};

const NXDOMAIN: &str = "Non-Existent Domain";
const NOERROR: &str = "No Error";
const LIST: &str = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";

fn site(policy: &str, list: &str) -> Site {
    let site = Site::prepare(policy, Clock::system());
    std::fs::write(site.path("own.txt"), list).unwrap();
    site.started()
}

fn many(count: usize, with: &str) -> String {
    (0..count).map(|i| format!("n{i}.listed.example\n")).collect::<String>() + with
}

#[test]
fn a_changed_file_is_in_force_by_itself() {
    let site = site(LIST, "*.one.example\n");
    assert_eq!(
        (site.rcode("a.one.example").as_str(), site.rcode("two.example").as_str()),
        (NXDOMAIN, NOERROR)
    );
    // Two questions were kept in the cache before the change; the new policy screens them all the same.
    std::fs::write(site.path("next"), "*.two.example\n").unwrap();
    std::fs::rename(site.path("next"), site.path("own.txt")).unwrap();
    site.until("two.example", NXDOMAIN);
    assert_eq!(site.rcode("a.one.example"), NOERROR);
}

#[test]
fn bad_input_is_rejected_whole_and_named() {
    let site = site(LIST, &many(100, "one.example\n"));
    let before = site.http("GET", "/api/v1/status", None).1;
    for (content, stage, what) in [
        ("one.example\ntwo..example\nthree.example\n", "parse", "empty label"),
        ("<!DOCTYPE html><html>Log in</html>", "parse", "web page"),
        ("n1.listed.example\n", "guard", "at most 10 %"),
        ("# nothing\n", "guard", "to 0"),
    ] {
        std::fs::write(site.path("own.txt"), content).unwrap();
        let outcome = site.reload("");
        assert_eq!(
            (&outcome["outcome"], &outcome["stage"]),
            (&"rejected".into(), &stage.into()),
            "{outcome}"
        );
        assert!(outcome.to_string().contains(what), "{outcome}");
        assert_eq!(site.rcode("one.example"), NOERROR, "an exact rule answers NODATA");
        assert!(site.ask("one.example", 1).answers.is_empty(), "the generation before keeps deciding");
    }
    assert!(before.contains("\"generation\":1"));
    std::fs::write(site.path("own.txt"), "n1.listed.example\n").unwrap();
    assert_eq!(site.reload("?accept_shrink=true")["outcome"], "published");
    assert_eq!(site.ask("one.example", 1).answers.len(), 1);
}

#[test]
fn a_missing_source_keeps_its_last_good_content() {
    let site = site(LIST, "*.one.example\n");
    std::fs::remove_file(site.path("own.txt")).unwrap();
    assert_eq!(site.reload("")["outcome"], "unchanged");
    std::fs::write(site.path("own.txt"), "").unwrap();
    assert_eq!(site.reload("")["outcome"], "unchanged");
    assert_eq!(site.rcode("a.one.example"), NXDOMAIN);
}

#[test]
fn a_changed_boot_setting_is_refused_by_name() {
    let site = site(LIST, "*.one.example\n");
    let text = support::read(&site.config).replace("workers = 2", "workers = 3");
    std::fs::write(&site.config, text).unwrap();
    let outcome = site.reload("");
    assert!(outcome.to_string().contains("[server] workers cannot change"), "{outcome}");
}

#[test]
fn changing_state_needs_a_token() {
    let site = site(LIST, "*.one.example\n");
    for token in [None, Some("wrong")] {
        assert_eq!(site.http("POST", "/api/v1/reload", token).0, 401);
    }
    assert_eq!(site.http("GET", "/api/v1/reload", Some(&site.token())).0, 405);
    assert_eq!(site.http("POST", "/api/v1/reload", Some(&site.token())).0, 200);
}

#[test]
fn a_rollback_holds_until_an_operator_reloads() {
    let site = site(LIST, "*.one.example\n");
    std::fs::write(site.path("own.txt"), "*.one.example\n*.two.example\n").unwrap();
    site.until("a.two.example", NXDOMAIN);
    let (status, body) = site.http("POST", "/api/v1/rollback", Some(&site.token()));
    assert_eq!(status, 200, "{body}");
    assert_eq!(site.rcode("a.two.example"), NOERROR);
    std::fs::write(site.path("own.txt"), "*.one.example\n*.two.example\n*.three.example\n").unwrap();
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(site.rcode("a.two.example"), NOERROR, "a changed file does not undo a rollback");
    assert_eq!(site.reload("")["outcome"], "published");
    assert_eq!(site.rcode("a.two.example"), NXDOMAIN);
}

#[test]
fn a_start_on_bad_input_uses_the_last_good_generation() {
    let mut site = site(LIST, "*.one.example\n");
    site.stop();
    std::fs::write(site.path("own.txt"), "bad line here\n").unwrap();
    // A crash left half a manifest and a file aside; neither may matter.
    std::fs::write(site.path("state/generations/2.json"), "{\"version\": 1, \"gener").unwrap();
    std::fs::write(site.path("state/blobs/00.new"), "half").unwrap();
    let site = site.started();
    let running = site.running.as_ref().unwrap();
    assert!(
        running.problems.iter().any(|problem| problem.to_string().contains("bad line here")),
        "{:?}",
        running.problems
    );
    assert_eq!(running.snapshot().generation(), 1, "what is in force again keeps its number");
    assert_eq!(site.rcode("a.one.example"), NXDOMAIN);
    std::fs::write(site.path("own.txt"), "*.two.example\n").unwrap();
    site.until("a.two.example", NXDOMAIN);
    let running = site.running.as_ref().unwrap();
    assert_eq!(running.snapshot().generation(), 3, "a number that was given is not given again");
}

#[test]
fn a_start_with_nothing_good_says_everything_at_once() {
    let site = Site::prepare(&format!("ttl = \"x\"\nactoin = \"drop\"\n{LIST}"), Clock::system());
    let problems = site.try_start().unwrap_err();
    let text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    assert!(text.contains("did you mean `action`?") && text.contains("`ttl` is \"x\""), "{text}");
}

#[test]
fn damaged_bytes_on_disk_are_noticed() {
    let mut site = site(LIST, "*.one.example\n");
    site.stop();
    for blob in site.path("state/blobs").read_dir().unwrap() {
        std::fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    std::fs::write(site.path("own.txt"), "bad line here\n").unwrap();
    assert!(site.try_start().is_err(), "nothing good is left");
}

/// The reload test: reloads under load, blocked and allowed names mixed. Not one query lost, not one wrong.
#[test]
fn reloads_lose_no_query() {
    const RELOADS: usize = 10;
    let list = |round: usize| many(20_000, &format!("*.round{round}.example\n"));
    let site = site(LIST, &list(0));
    let (stop, sent, wrong) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..2)
        .map(|number| {
            let (stop, sent, wrong, address) =
                (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&wrong), site.address());
            std::thread::spawn(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                let names = [
                    ("www.tiktok.com", 3),
                    ("www.canada.ca", 0),
                    ("a.wechat.com", 3),
                    ("n7.listed.example", 0),
                ];
                let mut buffer = [0; 1500];
                let mut id: u16 = number;
                while !stop.load(Ordering::Relaxed) {
                    for (name, rcode) in names {
                        id = id.wrapping_add(2);
                        socket.send_to(&query(id, 0x0100, name, 1, None), address).unwrap();
                        let right = socket.recv(&mut buffer).is_ok()
                            && buffer[..2] == id.to_be_bytes()
                            && buffer[3] & 15 == rcode;
                        sent.fetch_add(1, Ordering::Relaxed);
                        wrong.fetch_add(u64::from(!right), Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for round in 1..=RELOADS {
        std::fs::write(site.path("next"), list(round)).unwrap();
        std::fs::rename(site.path("next"), site.path("own.txt")).unwrap();
        let outcome = site.reload("");
        assert_ne!(outcome["outcome"], "rejected", "{outcome}");
        // Every worker sees the change: many sockets, so that every listening thread is asked.
        for _ in 0..20 {
            assert_eq!(site.rcode(&format!("a.round{round}.example")), NXDOMAIN);
            assert_eq!(site.rcode(&format!("a.round{}.example", round - 1)), NOERROR);
        }
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(sent.load(Ordering::Relaxed) > 1000);
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "of {}", sent.load(Ordering::Relaxed));
}
