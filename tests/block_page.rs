//! Who is sent to the sinkhole in place of a banned name: what a person reads there, in which language, and how fast an app gives up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may read any file"
)]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares files with other suites")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use interdict::clock::Clock;
use interdict::telemetry::Reference;
use support::Site;
use support::operator::until;

const POLICY: &str = "contact = \"dns-team@example.gc.ca\"
action = \"sinkhole\"
sinkhole = { ipv4 = \"192.0.2.1\", ipv6 = \"2001:db8::1\" }
[[proxy]]
mode = \"page\"
address = \"127.0.0.1:0\"
head = \"1s\"
";

/// In force since October 2023 for WeChat.
fn site(more: &str) -> Site {
    Site::start(&format!("{POLICY}{more}"), Clock::system())
}

fn page_at(site: &Site) -> SocketAddr {
    site.running.as_ref().unwrap().proxies[0]
}

/// All that comes back for these bytes.
fn say(site: &Site, bytes: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(page_at(site))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(bytes)?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(String::from_utf8_lossy(&all).into_owned())
}

fn visit(site: &Site, host: &str, fields: &str) -> String {
    say(site, format!("GET /any/where HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").as_bytes()).unwrap()
}

#[test]
fn a_citizen_reads_why_in_their_language() {
    let site = site("");
    let english = visit(&site, "www.wechat.com", "Accept-Language: en-CA,en;q=0.9\r\n");
    assert!(english.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{english}");
    for expected in [
        "Content-Language: en",
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'",
        "<html lang=\"en\">",
        "www.wechat.com",
        "WeChat",
        "ca-tbs-2023-10-30-wechat-kaspersky",
        "2023-10-30",
        "dns-team@example.gc.ca",
        "Whom to ask",
        "Interdict-Reference: ",
    ] {
        assert!(english.contains(expected), "{expected}: {english}");
    }
    assert!(
        !english.contains("<script") && !english.contains("src=") && !english.contains("http"),
        "{english}"
    );
    let french = visit(&site, "www.wechat.com", "Accept-Language: fr-CA,fr;q=0.9,en;q=0.5\r\n");
    for expected in [
        "Content-Language: fr",
        "<html lang=\"fr\">",
        "Accès bloqué",
        "En vigueur depuis",
        "À qui s’adresser",
    ] {
        assert!(french.contains(expected), "{expected}: {french}");
    }
    assert!(english.len() < 10 << 10 && french.len() < 10 << 10);
    // The reference is of the generation, and of a time that is now.
    let reference = english.split("Interdict-Reference: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let found: Reference = reference.parse().unwrap();
    assert_eq!(site.status()["generation"], found.generation);
    let age = Clock::system().wall().as_millisecond() - found.time_ms;
    assert!((0..10_000).contains(&age), "{age}");
    // Whoever made the question was told of; a look at the page is no question more.
    assert_eq!(site.metric("interdict_proxy_connections_total{mode=\"page\",outcome=\"denied\"}"), 2.0);
    let (_, metrics) = site.http("GET", "/metrics", None);
    let mut blocked = metrics.lines().filter(|line| line.starts_with("interdict_blocked_queries_total{"));
    assert!(blocked.all(|line| line.ends_with(" 0")), "{metrics}");
}

#[test]
fn the_reference_on_a_page_finds_the_query_in_the_log() {
    let site = site("");
    for name in ["www.tiktok.com", "www.wechat.com", "www.canada.ca", "kaspersky.com"] {
        site.ask(name, 1);
    }
    until(10, "lines", || site.metric("interdict_querylog_records_total{sink=\"file\"}") >= 3.0);
    let page = visit(&site, "WWW.WeChat.com", "");
    let reference = page.split("Interdict-Reference: ").nth(1).unwrap().split("\r\n").next().unwrap();
    assert!(page.contains(&format!("<dd>{reference}</dd>")), "{page}");
    let output = Command::new(env!("CARGO_BIN_EXE_interdict"))
        .arg("--config")
        .arg(&site.config)
        .args(["log", "--json", "--reference", reference])
        .output()
        .unwrap();
    let (found, said) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), found.lines().count()), (Some(0), 1), "{reference}: {found}{said}");
    assert!(
        found.contains("\"name\":\"www.wechat.com\"") && found.contains("\"client\":\"127.0.0.1\""),
        "{found}"
    );
}

#[test]
fn what_is_not_banned_is_said_to_be_free() {
    let site = site(
        "[[policy.exception]]\nid = \"lab\"\napps = [\"tiktok\"]\nuntil = \"2099-01-01\"\napproved_by = \"CIO\"\nreason = \"lab\"\n",
    );
    for host in ["www.example.org", "www.tiktok.com", "127.0.0.1"] {
        let page = visit(&site, host, "");
        assert!(page.starts_with("HTTP/1.1 404 ") && page.contains("Not blocked"), "{host}: {page}");
    }
    let head = say(&site, b"HEAD / HTTP/1.1\r\nHost: wechat.com\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 403 ") && head.ends_with("\r\n\r\n"), "{head}");
    let post =
        say(&site, b"POST / HTTP/1.1\r\nHost: wechat.com\r\nContent-Length: 100000\r\n\r\nabc").unwrap();
    assert!(post.starts_with("HTTP/1.1 403 "), "{post}");
    let strange = visit(&site, "wechat.com", "Accept-Language: <script>alert(1)</script>\r\nX: \u{fffd}\r\n");
    assert!(strange.contains("<html lang=\"en\">") && !strange.contains("script"), "{strange}");
}

/// An app speaks TLS at once; it must not wait for a page that it cannot read.
#[test]
fn what_is_not_plain_http_is_cut_off_at_once() {
    let site = site("");
    for first in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"SSH-2.0-x\r\n",
        b"\0\0\0\0",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    ] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(page_at(&site)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(first).unwrap();
        let mut all = Vec::new();
        let ended = stream.read_to_end(&mut all);
        assert!(all.is_empty(), "{first:?}: {:?}", String::from_utf8_lossy(&all));
        // Half a hello is waited for, as long as `head` says.
        assert!(began.elapsed() < Duration::from_secs(5), "{first:?}");
        let _reset = ended.is_err();
    }
    let tls = Command::new("curl")
        .args([
            "-sk",
            "-m",
            "10",
            "--resolve",
            &format!("www.wechat.com:{}:127.0.0.1", page_at(&site).port()),
        ])
        .arg(format!("https://www.wechat.com:{}/", page_at(&site).port()))
        .output()
        .unwrap();
    assert_eq!(tls.status.code(), Some(35), "curl's word for a handshake that failed");
}

#[test]
fn a_language_is_added_by_a_file_and_a_bad_one_is_told() {
    let keys = [
        "name",
        "blocked",
        "why",
        "asked",
        "app",
        "instrument",
        "authority",
        "citation",
        "since",
        "contact",
        "reference",
        "ask",
        "free",
        "free_why",
        "not_connected",
        "unreachable",
        "mismatched",
        "inside",
        "not_understood",
    ];
    let lines: String = keys.iter().map(|key| format!("{key} = \"«{key}»\"\n")).collect();
    let site = Site::prepare(&format!("{POLICY}words = [\"$DIR/iu.toml\"]\n"), Clock::system());
    std::fs::write(site.path("iu.toml"), format!("language = \"iu\"\n{}", lines.replace("free =", "fre =")))
        .unwrap();
    let problems = site.try_start().unwrap_err();
    let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(told.contains("iu.toml") && told.contains("`free`") && told.contains("`fre`"), "{told}");
    std::fs::write(site.path("iu.toml"), format!("language = \"iu\"\n{lines}")).unwrap();
    let site = site.started();
    let page = visit(&site, "wechat.com", "Accept-Language: iu-Latn, fr;q=0.5\r\n");
    assert!(page.contains("<html lang=\"iu\">") && page.contains("«blocked»"), "{page}");
    assert!(page.contains("<a href=\"?lang=en\" lang=\"en\"") && page.contains(">Français</a>"), "{page}");
}
