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
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::ops::Range;
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
fn a_firewalls_token_fetches_feeds_and_nothing_else() {
    let site = Site::prepare("", Clock::system());
    let tokens = site.path("tokens");
    // printf %s firewall | sha256sum, and of viewer.
    let digest = |token: &str| {
        let said =
            Command::new("sh").args(["-c", &format!("printf %s {token} | sha256sum")]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().split(' ').next().unwrap().to_owned()
    };
    let lines = format!("edge {} feeds\nwall {} viewer\n", digest("firewall"), digest("watcher"));
    std::fs::write(&tokens, lines).unwrap();
    let settings = format!("[admin]\ntokens = {tokens:?}\nread = \"viewer\"");
    let text = support::read(&site.config).replace("[admin]", &settings);
    std::fs::write(&site.config, text).unwrap();
    let site = site.started();
    let status = |method: &str, path: &str, token: Option<&str>| site.http(method, path, token).0;
    assert_eq!(status("GET", "/feeds/domains", None), 401);
    for token in ["firewall", "watcher"] {
        assert_eq!(status("GET", "/feeds/domains", Some(token)), 200, "{token}");
    }
    for path in
        ["/api/v1/status", "/api/v1/explain?name=wechat.com", "/", "/policy", "/api/v1/report?day=2026-01-01"]
    {
        assert_eq!(status("GET", path, Some("firewall")), 403, "{path}");
    }
    for path in ["/api/v1/reload", "/api/v1/pin", "/api/v1/rollback", "/feeds/domains"] {
        assert!([403, 405].contains(&status("POST", path, Some("firewall"))), "{path}");
    }
    // Firewalls know names and passwords only, and send them when they are asked for.
    let address = site.running.as_ref().unwrap().admin;
    let curl = |login: &str, path: &str| {
        let url = format!("http://{address}{path}");
        let answered = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--anyauth", "-u", login, &url])
            .output()
            .unwrap();
        String::from_utf8(answered.stdout).unwrap()
    };
    assert_eq!(curl("edge:firewall", "/feeds/addresses"), "200");
    assert_eq!(curl("edge:wrong", "/feeds/addresses"), "401");
    assert_eq!(curl("wall:firewall", "/feeds/addresses"), "401", "another's name");
    assert_eq!(curl("wall:watcher", "/api/v1/status"), "401", "a password counts for feeds alone");
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

/// Asks for `names` in a row, as many clients as there are sockets, each with a window of questions on their way.
fn flood(site: &Site, sockets: &[UdpSocket], names: Range<u32>) {
    let mut buffer = [0; 1500];
    let mut answered = 0;
    for window in names.clone().collect::<Vec<_>>().chunks(64) {
        let mut waiting = Vec::new();
        for number in window {
            // A third blocked, a third that do not exist, a third that do; of several types, half without EDNS.
            let zone = ["wechat.com", "nxdomain.example", "tree.example"][*number as usize % 3];
            let kind = [1, 28, 65, 16][*number as usize % 4];
            let edns = (number % 2 == 0).then_some(1232);
            let socket = &sockets[*number as usize % sockets.len()];
            let asked = query(*number as u16, 0x0100, &format!("n{number}.{zone}"), kind, edns);
            socket.send_to(&asked, site.address()).unwrap();
            waiting.push(socket);
        }
        answered += waiting.into_iter().filter(|socket| socket.recv(&mut buffer).is_ok()).count();
    }
    assert!(answered as u32 > (names.end - names.start) / 10 * 9, "{answered}");
}

/// What series are made of is the policy and the configuration, so that ten million names and a hundred thousand clients would add no more than these: fifty times
/// as many cells as any table of names, clients or failures has that could grow a label would have shown.
#[test]
fn fifty_thousand_names_and_twenty_thousand_clients_add_no_series_and_the_page_is_well_formed() {
    let site = Site::prepare(
        "[report]\nclients = \"full\"\n[last_day]\nnames = 256\n[zone]\nname = \"rpz.tree\"\nlisten = [\"127.0.0.1:0\"]\nallow = [\"127.0.0.1\"]\n\
         [limits]\nqueries = 1000\n[cookies]\n[rebinding]\nrefuse_private = true\n\
         [[policy.group]]\nname = \"trial\"\nclients = [\"127.9.0.0/16\"]\nenforce = [\"ca-tbs-2023-02-28-tiktok\"]\nmode = \"shadow\"\n",
        Clock::system(),
    );
    let text = support::read(&site.config).replace("[querylog]\n", "[querylog]\nwhich = \"all\"\n");
    std::fs::write(&site.config, text).unwrap();
    let site = site.settled();
    let sockets = |clients: Range<u32>| -> Vec<UdpSocket> {
        let bound = clients.map(|client| {
            let [_, _, c, d] = client.to_be_bytes();
            let network = 8 + (client / 10_000) as u8;
            let socket = UdpSocket::bind((Ipv4Addr::new(127, network, c, d), 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            socket
        });
        bound.collect()
    };
    let two = [0..1, 10_000..10_001].into_iter().flat_map(sockets).collect::<Vec<_>>();
    flood(&site, &two, 0..240);
    let before = site.http("GET", "/metrics", None).1;
    for part in 0..40 {
        flood(&site, &sockets(part * 500..part * 500 + 500), 1000 + part * 1250..1000 + (part + 1) * 1250);
    }
    let after = site.http("GET", "/metrics", None).1;
    assert_eq!(series(&before), series(&after));
    for text in ["tree.example", "127.8.", "127.9.", "n1001"] {
        assert!(!after.contains(text), "{text}");
    }
    // Where the tests run without Debian's packages this part has nothing to ask.
    let Ok(mut promtool) = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn()
    else {
        return;
    };
    promtool.stdin.take().unwrap().write_all(after.as_bytes()).unwrap();
    assert!(promtool.wait().unwrap().success());
}
