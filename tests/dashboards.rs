//! The dashboards over a real Prometheus that scrapes a running resolver: every panel's query returns data, and each alert fires on the fault it
//! names and is quiet otherwise. Skipped, and said so, where Prometheus is not installed; `tests/run` installs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and may read any file"
)]
#![allow(dead_code, reason = "shares files with other suites")]

mod support;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use interdict::clock::Clock;
use serde_json::Value;
use support::{Program, Site, free_port};

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

/// A list, and a group that rehearses.
const POLICY: &str = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n\
     [[policy.group]]\nname = \"trial\"\nclients = [\"127.0.0.2/32\"]\nenforce = [\"ca-tbs-2023-02-28-tiktok\"]\nmode = \"shadow\"\n";

/// Every panel's title and queries, with the variables filled in.
fn queries() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(deploy("grafana")).unwrap().map(|file| file.unwrap().path()) {
        let dashboard: Value = serde_json::from_str(&support::read(&file)).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let expression = target["expr"].as_str().unwrap();
                let expression = expression.replace("$__rate_interval", "10s").replace("$instance", ".*");
                assert!(!expression.contains('$'), "{expression}");
                all.push((format!("{}: {}", file.display(), panel["title"]), expression));
            }
        }
    }
    all
}

#[test]
fn every_panel_of_every_dashboard_shows_what_a_running_resolver_tells() {
    let site = Site::prepare(POLICY, Clock::system());
    std::fs::write(site.path("own.txt"), "*.own.example\n").unwrap();
    let site = site.started();
    let port = free_port();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: interdict\n    static_configs:\n      - targets: [\"{}\"]\n",
        site.running.as_ref().unwrap().admin
    );
    std::fs::write(site.path("prometheus.yml"), config).unwrap();
    let log = std::fs::File::create(site.path("prometheus.log")).unwrap();
    let started = Command::new("prometheus")
        .arg(format!("--config.file={}", site.path("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", site.path("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let _running = match started {
        Ok(child) => Program(child),
        Err(error) => return eprintln!("skipped: prometheus: {error}"),
    };
    // The number of series that a query gives.
    let ask = |expression: &str| -> Option<usize> {
        let uri = format!("http://127.0.0.1:{port}/api/v1/query");
        let ran = Command::new("curl")
            .args([
                "--silent",
                "--get",
                "--max-time",
                "10",
                "--data-urlencode",
                &format!("query={expression}"),
                &uri,
            ])
            .output()
            .expect("curl is installed");
        let said: Value = serde_json::from_slice(&ran.stdout).ok()?;
        assert_eq!(said["status"], "success", "{expression}: {said}");
        let is_number = |one: &Value| one["value"][1].as_str().is_some_and(|value| value != "NaN");
        Some(said["data"]["result"].as_array().unwrap().iter().filter(|one| is_number(one)).count())
    };
    // Rates need several scrapes with something between them.
    let scraped = |_: &u32| {
        for name in ["www.wechat.com", "www.canada.ca", "www.canada.ca"] {
            site.ask(name, 1);
        }
        site.udp_from(Ipv4Addr::new(127, 0, 0, 2), &support::query(1, 0x0100, "www.tiktok.com", 1, None));
        std::thread::sleep(Duration::from_millis(250));
        ask("count_over_time(interdict_build_info[1m]) >= 5").is_some_and(|series| series == 1)
    };
    assert!((0..200).any(|round| scraped(&round)), "{}", support::read(&site.path("prometheus.log")));
    let all = queries();
    assert!(all.len() > 30);
    let empty: Vec<_> = all.iter().filter(|(_, expression)| ask(expression) == Some(0)).collect();
    assert_eq!(empty, Vec::<&(String, String)>::new());
}

#[test]
fn each_alert_fires_on_its_fault_and_has_a_case_that_says_so() {
    let tests = deploy("prometheus/alerts.test.yml");
    let ran = Command::new("promtool").args(["test", "rules"]).arg(&tests).output();
    let Ok(ran) = ran else { return eprintln!("skipped: promtool is not installed") };
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let named = |path: &Path, before: &str| -> BTreeSet<String> {
        let text = support::read(path);
        let names = text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(before));
        names.map(|name| name.trim().to_owned()).collect()
    };
    let alerts = named(&deploy("prometheus/alerts.yml"), "alert:");
    let with_cases = named(&tests, "alertname:");
    assert_eq!(with_cases, alerts, "every alert has a case");
}
