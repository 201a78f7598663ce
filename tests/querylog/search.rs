//! `interdict log`: what is looked for in the log that a run left, in its file and in what was put aside of it; and what it says when there is nothing to look in.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use interdict::clock::Clock;
use serde_json::Value;

use super::{count, started, until};
use crate::support::{self, Site, query};

fn log(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
    command.arg("--config").arg(config).arg("log").args(arguments).output().unwrap()
}

/// What a search printed, as lines; it must have found some.
fn found(site: &Site, arguments: &[&str]) -> Vec<String> {
    let output = log(&site.config, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A site that logs everything and puts its file aside at that size, after these questions.
fn asked(names: &[&str], rotate: &str) -> Site {
    let all = "[[querylog.sink]]\nname = \"all\"\nto = \"file:$DIR/all.jsonl\"\nwhich = \"all\"\nrotate = ";
    let site = started(Site::prepare("", Clock::system()), &format!("{all}\"{rotate}\"\n"));
    for (number, name) in names.iter().enumerate() {
        site.udp(&query(7, 0x0100, name, 1, Some(1232))).expect("a reply");
        until(10, "a line", || count(&site, "records", "all") > number as f64);
    }
    site
}

/// What was put aside of the log.
fn put_aside(site: &Site) -> Vec<String> {
    let all = std::fs::read_dir(site.folder.path()).unwrap().filter_map(Result::ok);
    let all = all.map(|file| file.path().display().to_string());
    all.filter(|path| path.contains("all.jsonl.")).collect()
}

#[test]
fn a_kept_log_is_searched_by_name_client_app_verdict_and_time() {
    let names = ["www.wechat.com", "www.canada.ca", "tiktok.com", "ottawa.canada.ca", "nxdomain.example"];
    let names: Vec<&str> = names.iter().copied().cycle().take(20).collect();
    let site = asked(&names, "1KiB");
    assert!(put_aside(&site).len() >= 2, "{:?} were put aside", put_aside(&site));

    let all = found(&site, &["--json"]);
    let lines: Vec<Value> = all.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let in_order: Vec<&str> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(in_order, names, "the oldest first, each once, whichever file it is in");
    for (arguments, expected) in [
        (&["--name", "CANADA.ca"][..], 8),
        (&["--verdict", "blocked"], 8),
        (&["--app", "wechat"], 4),
        (&["--verdict", "allowed", "--rcode", "nxdomain"], 4),
        (&["--client", "127.0.0.1"], 20),
        (&["--client", "127.0."], 20),
        (&["--from", "2020-01-01", "--to", "2999-12-31"], 20),
        (&["--name", "tiktok", "--last", "3"], 3),
        (&["--group", "default", "--sink", "all"], 20),
    ] {
        let found = found(&site, &[&["--json"], arguments].concat());
        assert_eq!(found.len(), expected, "{arguments:?}: {found:#?}");
    }
    // The newest are shown, and how many more there are.
    let newest: Value = serde_json::from_str(&found(&site, &["--json", "--last", "1"])[0]).unwrap();
    assert_eq!(newest["time"], lines[19]["time"]);
    let table = found(&site, &["--app", "wechat", "--last", "0"]);
    assert!(table[0].trim_start().starts_with("time") && table.len() == 5, "{table:#?}");
    for word in
        ["blocked", "127.0.0.1", "www.wechat.com", "NXDOMAIN", "policy", "ca-tbs-2023-10-30-wechat-kaspersky"]
    {
        assert!(table[1].contains(word), "{word}: {table:#?}");
    }
    let upstream = format!("udp://{}", site.upstream.address);
    assert!(found(&site, &["--name", "nxdomain"])[1].contains(&upstream));
    // Files that were copied elsewhere, compressed or not.
    until(10, "compressed", || put_aside(&site).iter().all(|path| path.ends_with(".gz")));
    let current = site.path("all.jsonl");
    let current = if current.exists() { support::read(&current).lines().count() } else { 0 };
    let files = put_aside(&site);
    let files: Vec<&str> =
        ["--json", "--last", "0"].into_iter().chain(files.iter().map(String::as_str)).collect();
    assert_eq!(found(&site, &files).len() + current, 20);
}

#[test]
fn what_cannot_be_searched_says_why_and_what_to_do() {
    let site = asked(&["www.wechat.com"], "1MiB");
    let said = |config: &Path, arguments: &[&str], code: i32| {
        let output = log(config, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    };
    assert!(said(&site.config, &["--name", "nobody.asked"], 1).contains("0 of "));
    assert!(
        said(&site.config, &["--to", "2020-01-01"], 1).contains("0 of "),
        "the newest file may hold anything"
    );
    assert!(said(&site.config, &["--sink", "other"], 3).contains("use one of file, all"));
    assert!(said(&site.config, &["--from", "2026-02-01", "--to", "2026-01-01"], 3).contains("is after"));
    assert!(said(&site.config, &["--reference", "7-xyz"], 2).contains("not a reference"));
    assert!(said(&site.config, &["--verdict", "maybe"], 2).contains("blocked"));
    // What is there is looked through all the same.
    let kept = site.path("all.jsonl");
    let both = said(&site.config, &["nowhere.jsonl", kept.to_str().unwrap()], 3);
    assert!(both.contains("1 of 1 lines") && both.contains("nowhere.jsonl: error: cannot be read"), "{both}");
    // A file that is none, and one that broke off.
    let broken = site.path("broken.gz");
    std::fs::write(&broken, b"\x1F\x8Bnonsense").unwrap();
    assert!(said(&site.config, &[broken.to_str().unwrap()], 3).contains("looked through"));
    let other = site.path("other.jsonl");
    std::fs::write(&other, "{\"time\":\"2026-01-01T00:00:00Z\"}\nnothing\n").unwrap();
    assert!(said(&site.config, &[other.to_str().unwrap()], 1).contains("2 lines are none of a query log"));
    // Nothing of a line moves a terminal's cursor.
    let hostile = r#"{"time":"2026-01-01T00:00:00Z","client":"\u001b[2J","name":"\u009b.example","type":"A","verdict":"allowed","group":""}"#;
    std::fs::write(&other, hostile).unwrap();
    let shown = log(&site.config, &[other.to_str().unwrap()]).stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("?[2J") && !shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    // Nothing is logged there.
    let none = site.path("none.toml");
    std::fs::write(&none, "[querylog]\nto = []\n").unwrap();
    assert!(said(&none, &[], 3).contains("no sink writes a file"));
    // Somebody else reads from there.
    let piped = site.path("piped.toml");
    std::fs::write(&piped, "[querylog]\nto = [\"file:/dev/null\"]\n").unwrap();
    assert!(said(&piped, &[], 3).contains("it is no file"));
    // Clients that nobody is to know.
    let hidden = site.path("hidden.toml");
    let text = support::read(&site.config).replace("[querylog]\n", "[querylog]\nclients = \"hmac\"\n");
    std::fs::write(&hidden, text).unwrap();
    assert!(said(&hidden, &["--client", "10.0.0.1"], 3).contains("shows no addresses"));
}

#[test]
fn a_search_while_files_are_put_aside_misses_none() {
    /// Questions at most: a search that never ends is no endless test.
    const MOST: usize = 20_000;
    let site = asked(&["first.example"], "2KiB");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MOST {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                site.udp(&query(7, 0x0100, &format!("n{number}.example"), 1, Some(1232))).expect("a reply");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        // Nothing panics before the other thread is told to stop.
        let mut seen = Vec::new();
        while seen.len() < 20 || (put_aside(&site).len() < 10 && seen.len() < 500) {
            seen.push(log(&site.config, &["--json", "--last", "0"]));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut before = 0;
        for output in seen {
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{said}");
            let found = String::from_utf8(output.stdout).unwrap();
            let lines: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines[0]["name"], "first.example");
            for (number, line) in lines[1..].iter().enumerate() {
                assert_eq!(line["name"], format!("n{number}.example"), "each once, in order");
            }
            assert!(lines.len() >= before && !said.contains("none of a query log"), "{before}: {said}");
            before = lines.len();
        }
    });
    assert!(put_aside(&site).len() >= 10, "{:?} were put aside", put_aside(&site));
}

#[test]
fn who_searches_for_what_is_in_the_services_own_log() {
    let site = Site::prepare("", Clock::system());
    let port = support::free_port();
    let text = support::read(&site.config);
    let own = format!("[admin]\nlisten = \"127.0.0.1:{port}\"");
    std::fs::write(&site.config, text.replace("[admin]\nlisten = \"127.0.0.1:0\"", &own)).unwrap();
    let service = Command::new(env!("CARGO_BIN_EXE_interdict"))
        .arg("--config")
        .arg(&site.config)
        .arg("serve")
        .stderr(std::fs::File::create(site.path("said")).unwrap())
        .spawn();
    let _service = support::Program(service.unwrap());
    let asked = format!("http://127.0.0.1:{port}/api/v1/log?client=10.1.2.3&name=tik%0Atok");
    until(10, "an answer", || {
        let Ok(token) = std::fs::read_to_string(site.path("state/token")) else { return false };
        let mut curl = Command::new("curl");
        curl.args(["-s", "-H", &format!("Authorization: Bearer {token}"), &asked]);
        String::from_utf8(curl.output().unwrap().stdout).unwrap().contains("\"complete\":true")
    });
    let said = support::read(&site.path("said"));
    let line = said.lines().find(|line| line.contains("looks into the query log")).expect(&said);
    for part in ["local", "127.0.0.1", "client=10.1.2.3", "name=tik\\ntok"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}
