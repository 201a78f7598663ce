//! The operators' interface as a scraper, a command line and a stranger see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use interdict::clock::Clock;
use support::{Site, query};

#[test]
fn a_revoked_token_changes_nothing_from_that_moment() {
    let site = Site::prepare("", Clock::system());
    let digest = Command::new("sh").args(["-c", "printf %s secret | sha256sum"]).output().unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap();
    let tokens = site.path("tokens");
    std::fs::write(&tokens, format!("ops {}\n", digest.split(' ').next().unwrap())).unwrap();
    let text = support::read(&site.config).replace("[admin]", &format!("[admin]\ntokens = {tokens:?}"));
    std::fs::write(&site.config, text).unwrap();
    let site = site.started();
    assert_eq!(site.http("POST", "/api/v1/reload", Some("secret")).0, 200);
    std::fs::write(&tokens, "").unwrap();
    assert_eq!(site.http("POST", "/api/v1/reload", Some("secret")).0, 401);
    assert_eq!(site.http("POST", "/api/v1/reload", None).0, 401);
    assert_eq!(site.http("POST", "/api/v1/reload", Some(&site.token())).0, 200);
}

#[test]
fn half_open_requests_neither_stay_nor_delay_the_stop() {
    let mut site = Site::start("", Clock::system());
    let admin = site.running.as_ref().unwrap().admin;
    let mut half: Vec<TcpStream> = (0..30)
        .map(|_| {
            let mut stream = TcpStream::connect(admin).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x").unwrap();
            stream
        })
        .collect();
    assert_eq!(site.http("GET", "/healthz", None).0, 200);
    let first = &mut half[0];
    first.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).expect("closed by the server within its limit for a request's head");
    let mut again = TcpStream::connect(admin).unwrap();
    again.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let began = Instant::now();
    site.stop();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn answers_are_of_this_moment_and_bad_questions_say_what_is_wrong() {
    let site = Site::start("", Clock::system());
    let head = site.http_whole("GET", "/api/v1/status", None).0.to_lowercase();
    assert!(head.contains("cache-control: no-store"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    for (path, word) in [
        ("/api/v1/explain", "?name="),
        ("/api/v1/explain?name=a..b", "not a domain name"),
        ("/api/v1/explain?name=wechat.com&type=NOSUCHTYPE", "NOSUCHTYPE"),
        ("/api/v1/explain?name=wechat.com&client=me", "?client="),
        ("/api/v1/explain?name=wechat.com&on=soon", "?on="),
    ] {
        let (status, body) = site.http("GET", path, None);
        assert_eq!(status, 400, "{path}: {body}");
        assert!(body.contains(word), "{path}: {body}");
    }
    let (status, body) = site.http("GET", "/api/v1/explain?name=wechat.com&type=HTTPS", None);
    assert_eq!(status, 200);
    assert!(body.contains("\"type\":\"HTTPS\"") && body.contains("\"reply\":\"NXDOMAIN\""), "{body}");
    assert_eq!(site.http("GET", "/api/v1/diff", None).0, 200);
}

/// Names and label values of a scrape page's series; fails when one stands there twice.
fn series(page: &str) -> BTreeSet<&str> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let all: Vec<&str> = lines.map(|line| line.rsplit_once(' ').expect("a value").0).collect();
    let distinct: BTreeSet<&str> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "no series twice");
    distinct
}

#[test]
fn ten_thousand_names_add_no_series_and_the_page_is_well_formed() {
    let site = Site::start("", Clock::system());
    let ask = |from: u32, to: u32| {
        for number in from..to {
            let name = if number % 2 == 0 { "wechat.com" } else { "nxdomain.example" };
            let bytes = query(number as u16, 0x0100, &format!("n{number}.{name}"), 1, Some(1232));
            site.udp(&bytes).expect("a reply");
        }
    };
    ask(0, 100);
    let before = site.http("GET", "/metrics", None).1;
    ask(100, 10_000);
    let after = site.http("GET", "/metrics", None).1;
    assert_eq!(series(&before), series(&after));
    // Where the tests run without Debian's packages this part has nothing to ask.
    let Ok(mut promtool) = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn()
    else {
        return;
    };
    promtool.stdin.take().unwrap().write_all(after.as_bytes()).unwrap();
    assert!(promtool.wait().unwrap().success());
}
