//! The interface as programs meet it: what its description promises holds for whatever fits it and whatever does not, lists come in parts, and what has not
//! changed is not sent again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may look at the clock"
)]

mod support;

use std::path::Path;
use std::process::Command;

use interdict::clock::Clock;
use serde_json::{Value, json};
use support::dashboard::{furnished, status};

#[test]
fn a_list_comes_in_parts_and_each_says_where_the_next_is() {
    let site = furnished(Clock::system(), "");
    for number in 0..4 {
        site.reload(&format!("?reason=number{number}"));
    }
    let mut numbers = Vec::new();
    let mut next = Some("/api/v1/audit?last=3".to_owned());
    while let Some(path) = next {
        let (head, body) = site.http_whole("GET", &path, None);
        let entries: Vec<Value> = serde_json::from_str(&body).unwrap();
        assert!(entries.len() <= 3);
        numbers.splice(0..0, entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()));
        let link =
            head.lines().find_map(|line| line.strip_prefix("link: <")?.strip_suffix(">; rel=\"next\""));
        next = link.map(str::to_owned);
    }
    let whole: Vec<u64> = (1..=*numbers.last().unwrap()).collect();
    assert_eq!(numbers, whole, "every entry once");
    let (head, body) = site.http_whole("GET", "/api/v1/history?limit=1", None);
    assert!(head.contains("link: </api/v1/history?limit=1&offset=1>; rel=\"next\""), "{head}");
    let newest: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((newest.as_array().unwrap().len(), &newest[0]["in_force"]), (1, &json!(true)));
    let (head, body) = site.http_whole("GET", "/api/v1/history?limit=10&offset=1", None);
    assert!(!head.contains("link:") && body.contains("\"generation\":1"), "{body}");
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let site = furnished(Clock::system(), "");
    for path in ["/api/v1/policy", "/api/v1/history", "/api/v1/openapi.json", "/feeds/domains"] {
        let (head, body) = site.browse("GET", path, "", "");
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect(path).to_owned();
        let (again, nothing) = site.browse("GET", path, &format!("If-None-Match: {tag}\r\n"), "");
        assert_eq!((status(&again), nothing.as_str()), (304, ""), "{path}");
        let (other, whole) = site.browse("GET", path, "If-None-Match: \"other\"\r\n", "");
        assert_eq!((status(&other), &whole), (200, &body), "{path}");
        if path != "/api/v1/openapi.json" {
            std::fs::write(site.path("own.txt"), format!("*.{}.example\n*.two.example\n", path.len()))
                .unwrap();
            site.reload("?accept_shrink=true");
            let (changed, _) = site.browse("GET", path, &format!("If-None-Match: {tag}\r\n"), "");
            assert_eq!(status(&changed), 200, "{path} after a reload");
        }
    }
}

#[test]
fn what_happens_now_is_told_in_numbers() {
    let site = furnished(Clock::system(), "");
    let now = site.get("/api/v1/now");
    assert_eq!((&now["queries"], &now["blocked"]), (&json!(70), &json!(30)), "{now}");
    assert!(
        now["queries_per_second"].as_f64().unwrap() > 0.0 && now["cache_hit_share"].as_f64().unwrap() > 0.5,
        "{now}"
    );
    assert_eq!(
        (&now["apps"][0]["app"], &now["apps"][0]["last_day"]),
        (&json!("wechat"), &json!(15)),
        "{now}"
    );
    assert_eq!(now["upstreams"][0]["healthy"], json!(true), "{now}");
    for (span, buckets) in [("hour", 60), ("day", 96)] {
        let trend = site.get(&format!("/api/v1/trend?span={span}"));
        let trend = trend.as_array().unwrap();
        let blocked: u64 = trend.iter().map(|bucket| bucket["blocked"].as_u64().unwrap()).sum();
        assert_eq!((trend.len(), blocked), (buckets, 30));
    }
    // The same as a scrape says.
    let scraped = site.http("GET", "/metrics", None).1;
    let blocked: u64 = scraped
        .lines()
        .filter(|line| {
            line.starts_with("interdict_blocked_queries_total") && line.contains("mode=\"enforce\"")
        })
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(blocked, 30);
}

#[test]
fn the_interface_keeps_what_its_description_promises() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/schemathesis/bin/schemathesis");
    if !program.exists() {
        return eprintln!("skipped: tests/run makes the environment of schemathesis");
    }
    let site = furnished(Clock::system(), "");
    let address = site.running.as_ref().unwrap().admin;
    let output = Command::new(program)
        .args([
            "run",
            &format!("http://{address}/api/v1/openapi.json"),
            "--checks",
            "all",
            "--max-examples",
            "15",
        ])
        .args(["--seed", "1", "--no-color", "--request-timeout", "20", "--generation-database", "none"])
        .args(["-H", "Authorization: Bearer old-token"])
        .env("PYTHONPATH", root.join("tests/api"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .current_dir(site.folder.path())
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("No issues found") || said.contains("passed"), "{said}");
    println!("{}", said.lines().rev().take(12).collect::<Vec<_>>().join("\n"));
}
