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

/// The lines of the log, once there are so many.
fn logged(site: &support::Site, count: usize) -> Vec<Value> {
    for _ in 0..500 {
        let text = support::read(&site.path("queries.jsonl"));
        if text.lines().count() >= count {
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the log does not come to {count} lines");
}

#[test]
fn the_kept_log_comes_in_parts_too_while_more_is_written() {
    let site = furnished(Clock::system(), "");
    let ask = |path: &str| {
        let fields = "Authorization: Bearer viewer-token\r\n";
        let (head, body) = site.browse("GET", path, fields, "");
        (status(&head), head, serde_json::from_str::<Value>(&body).unwrap())
    };
    let kept = logged(&site, 70);
    let (mut found, mut parts) = (Vec::new(), 0);
    let mut next = Some("/api/v1/log?limit=7".to_owned());
    while let Some(path) = next {
        let (code, head, body) = ask(&path);
        assert_eq!((code, &body["complete"], &body["sink"]), (200, &json!(true), &json!("file")), "{body}");
        found.extend(body["lines"].as_array().unwrap().clone());
        let link =
            head.lines().find_map(|line| line.strip_prefix("link: <")?.strip_suffix(">; rel=\"next\""));
        next = link.map(str::to_owned);
        parts += 1;
        // Later than all of it.
        site.rcode("www.wechat.com");
    }
    assert_eq!(parts, 10);
    let times: Vec<&str> = found.iter().map(|line| line["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
    let all = |lines: &[Value]| {
        let mut all: Vec<String> = lines.iter().map(Value::to_string).collect();
        all.sort();
        all
    };
    assert_eq!(all(&found), all(&kept), "each line once, as it stands in the log");

    let count =
        |query: &str| ask(&format!("/api/v1/log?limit=1000&{query}")).2["lines"].as_array().unwrap().len();
    let client = "client=127.0.2.4";
    assert_eq!(
        (count(client), count("app=tiktok&verdict=shadow"), count("rcode=nxdomain&client=127.0.2.")),
        (7, 5, 30)
    );
    assert_eq!((count("to=2020-01-01"), count("group=rehearsal&instrument=nosuch")), (0, 0));
    for (query, key) in [
        ("from=yesterday", "from"),
        ("from=2026-02-01&to=2026-01-01", "from"),
        ("verdict=bad", "verdict"),
        ("reference=7", "reference"),
        ("sink=other", "sink"),
        ("cursor=2026-01-01_x", "cursor"),
        ("limit=0", "limit"),
        ("nmae=x", "nmae"),
    ] {
        let (code, _, body) = ask(&format!("/api/v1/log?{query}"));
        assert!(
            code == 400 && body["detail"].as_str().unwrap().contains(&format!("?{key}=")),
            "{query}: {body}"
        );
    }
    assert_eq!(site.http("GET", "/api/v1/log", None).0, 401);
}

#[test]
fn a_search_shows_no_more_of_clients_than_the_sink_that_shows_least() {
    let mut site = furnished(Clock::system(), "");
    logged(&site, 70);
    site.stop();
    let plain = support::read(&site.config);
    let dir = site.folder.path().display().to_string();
    let mut with = |sinks: &str| {
        let text = plain.replace("to = [\"file:", "# to = [\"file:") + &sinks.replace("$DIR", &dir);
        std::fs::write(&site.config, text).unwrap();
        site.running = Some(site.try_start().unwrap());
        let (code, body) = site.http("GET", "/api/v1/log?name=wechat", Some("viewer-token"));
        let (told, whose) = site.http("GET", "/api/v1/log?client=127.0.2.4", Some("viewer-token"));
        site.stop();
        (code, body, (told, whose.matches("\"time\":").count()))
    };
    let sink = |name: &str, to: &str, more: &str| {
        format!("[[querylog.sink]]\nname = \"{name}\"\nto = \"{to}\"\n{more}\n")
    };
    let full = sink("full", "file:$DIR/queries.jsonl", "which = \"all\"");
    let (code, body, told) = with(&full);
    assert!(code == 200 && body.contains("\"client\":\"127.0.2.4\"") && told == (200, 7), "{body}");
    // What was written before the setting was changed is there as it was.
    let networks = sink("networks", "syslog://127.0.0.1:9", "clients = \"prefix\"");
    let (code, body, told) = with(&[full.as_str(), &networks].concat());
    assert!(
        code == 200 && body.contains("\"client\":\"127.0.2.0/24\"") && !body.contains("127.0.2.4"),
        "{body}"
    );
    assert_eq!(told, (200, 35), "whoever is in the network");
    let nothing = sink("nothing", "syslog://127.0.0.1:9", "clients = \"none\"");
    let (code, body, told) = with(&[full.as_str(), &nothing].concat());
    assert!(code == 200 && body.contains("wechat") && !body.contains("\"127.0."), "{body}");
    assert_eq!(told.0, 400, "whom a line is of is not to be found out by asking");
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
