//! What the running resolver knows of what was asked: the guard that minds it, the preview of a change, the report of what is
//! rehearsed; and that it keeps no more of clients than it may.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

mod support;

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::Duration;

use interdict::clock::Clock;
use serde_json::Value;
use support::Site;

const NXDOMAIN: &str = "Non-Existent Domain";
const NOERROR: &str = "No Error";
const LIST: &str = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";
const LAB: &str =
    "[[policy.group]]\nname = \"lab\"\nclients = [\"127.0.5.0/24\"]\nenforce = [\"tiktok\", \"own\"]\n";
const GUARD: &str = "[guard]\nmost_asked = 3\nmost_asked_at_least = 3\n";

fn prepared(policy: &str, list: &str, clock: Clock) -> Site {
    let site = Site::prepare(policy, clock);
    std::fs::write(site.path("own.txt"), list).unwrap();
    site
}

/// Started on ports that the configuration names, so that the command line finds it.
fn found(site: Site) -> Site {
    let mut site = site.settled();
    let admin = site.running.as_ref().unwrap().admin;
    site.stop();
    replace(&site, "listen = \"127.0.0.1:0\"", &format!("listen = \"{admin}\""));
    site.settled()
}

fn replace(site: &Site, from: &str, to: &str) {
    let text = support::read(&site.config);
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(&site.config, text.replacen(from, to, 1)).unwrap();
}

fn list(site: &Site, list: &str) {
    std::fs::write(site.path("next"), list).unwrap();
    std::fs::rename(site.path("next"), site.path("own.txt")).unwrap();
}

fn ask(site: &Site, client: [u8; 4], name: &str, times: usize) {
    for _ in 0..times {
        let query = support::query(7, 0x0100, name, 1, None);
        site.udp_from(Ipv4Addr::from(client), &query).expect("a reply");
    }
}

fn impact(site: &Site, query: &str) -> Value {
    let (status, body) = site.http("GET", &format!("/api/v1/impact{query}"), Some(&site.token()));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn shadow(site: &Site) -> Value {
    let (status, body) = site.http("GET", "/api/v1/report/shadow", Some(&site.token()));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn interdict(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
    command.arg("--config").arg(&site.config).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn kept(site: &Site) -> String {
    support::read(&site.path("state/last-day.json"))
}

/// What was asked most, and by whom, as the interface, a page and the command line show it.
fn tops(site: &Site, mode: &str) {
    let ask = |path: &str| {
        let (head, body) = site.http_whole("GET", path, Some(&site.token()));
        (head, serde_json::from_str::<Value>(&body).unwrap())
    };
    assert_eq!(site.http("GET", "/api/v1/top/names", None).0, 401, "what people ask is for known people");
    let (head, names) = ask("/api/v1/top/names?limit=2");
    assert!(head.to_lowercase().contains("etag: "), "{head}");
    let link = head.lines().find_map(|line| line.strip_prefix("link: <")).unwrap();
    let next = link.split('>').next().unwrap();
    assert_eq!(next, "/api/v1/top/names?limit=2&offset=2");
    let rows = |names: &Value| -> Vec<(String, u64, String, String)> {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let row = |row: &Value| {
            (text(row, "name"), row["questions"].as_u64().unwrap(), text(row, "verdict"), text(row, "app"))
        };
        names.as_array().unwrap().iter().map(row).collect()
    };
    let row = |name: &str, questions, verdict: &str, app: &str| {
        (name.to_owned(), questions, verdict.to_owned(), app.to_owned())
    };
    let first = [row("www.canada.ca", 5, "allowed", ""), row("a.one.example", 4, "blocked", "")];
    assert_eq!(rows(&names), first);
    assert_eq!(rows(&ask(next).1)[0], row("b.two.example", 2, "allowed", ""));
    let blocked = rows(&ask("/api/v1/top/names?verdict=blocked").1);
    assert_eq!(blocked, [first[1].clone(), row("www.tiktok.com", 1, "blocked", "tiktok")]);
    let (_, clients) = ask("/api/v1/top/clients");
    let counts =
        |client: &str, questions: u64| serde_json::json!({ "client": client, "questions": questions });
    match mode {
        "full" => {
            assert_eq!(clients[0], counts("127.0.0.1", 9));
            assert_eq!(clients.as_array().unwrap().len(), 3, "{clients}");
        }
        "prefix" => assert_eq!(clients, serde_json::json!([counts("127.0.0.0", 9), counts("127.0.5.0", 4)])),
        _ => assert_eq!(clients["status"], 409, "{clients}"),
    }
    let session = site.log_in(&site.token());
    let page = site.browse("GET", "/", &format!("Cookie: interdict-session={session}\r\n"), "").1;
    assert!(page.contains("top-asked") && page.contains(">www.canada.ca<"), "{page}");
    assert_eq!(page.contains("top-clients-caption"), mode != "none");
    assert_eq!(page.contains(">127.0.5.1<"), mode == "full");
    assert!(!site.browse("GET", "/", "", "").1.contains("www.canada.ca"), "a stranger sees what was asked");
    let said = text(&interdict(site, &["top", "--once"]));
    assert!(said.contains("most asked") && said.contains("allowed   www.canada.ca"), "{said}");
}

#[test]
fn the_impact_of_a_change_is_seen_without_a_log_and_shows_no_more_of_clients_than_is_kept() {
    for (mode, shown, clients) in
        [("full", "127.0.5.1 127.0.5.2", 2), ("prefix", "127.0.5.0/24", 1), ("none", "", 0)]
    {
        let site = prepared(&format!("{LIST}{LAB}"), "*.one.example\n", Clock::system());
        replace(&site, "[querylog]\n", &format!("[querylog]\nclients = \"{mode}\"\n"));
        let site = found(site);
        for (client, name, times) in [
            ([127, 0, 5, 1], "a.two.example", 1),
            ([127, 0, 5, 2], "b.two.example", 2),
            ([127, 0, 0, 1], "a.one.example", 4),
            ([127, 0, 0, 1], "www.canada.ca", 5),
            ([127, 0, 5, 1], "www.tiktok.com", 1),
        ] {
            ask(&site, client, name, times);
        }
        tops(&site, mode);
        std::fs::write(site.path("own.txt"), "*.two.example\n").unwrap();
        let found = impact(&site, "");
        let number = |key: &str| found[key].as_u64().unwrap();
        assert_eq!((number("asked"), number("beyond"), number("names")), (13, 0, 5), "{found:#}");
        assert_eq!(found["clients_kept"], mode);
        let (blocked, unblocked) = (&found["newly_blocked"], &found["unblocked"]);
        assert_eq!((&blocked["queries"], &blocked["names"]), (&3.into(), &2.into()), "{mode}: {found:#}");
        assert_eq!(blocked["clients"], clients, "{mode}: {found:#}");
        let part = &blocked["by"][0];
        assert_eq!((&part["group"], &part["source"]), (&"lab".into(), &"own".into()), "{found:#}");
        assert_eq!(part["name_examples"], serde_json::json!(["b.two.example", "a.two.example"]));
        assert_eq!((&unblocked["queries"], &unblocked["by"][0]["group"]), (&4.into(), &"default".into()));
        let output = interdict(&site, &["diff", "--impact"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("about 13 questions from 20"), "{said}");
        assert!(said.contains("judged by the 5 names asked most; 0.0 % of the questions"), "{said}");
        assert!(said.contains("newly blocked: 3 queries, 2 names"), "{said}");
        assert!(said.contains(&format!("clients  {shown}")) || clients == 0, "{mode}: {said}");
        assert_eq!(said.contains("127.0.5.1"), mode == "full", "{mode}: {said}");
        assert_eq!(said.contains("no clients are kept"), mode == "none", "{said}");
        let json: Value =
            serde_json::from_str(&text(&interdict(&site, &["diff", "--impact", "--json"]))).unwrap();
        assert_eq!(json["newly_blocked"], *blocked);
    }
}

#[test]
fn the_impact_tells_generations_apart_and_strangers_nothing() {
    let mut site = prepared(&format!("{LIST}{GUARD}"), "*.one.example\n", Clock::system()).settled();
    ask(&site, [127, 0, 0, 1], "a.one.example", 2);
    ask(&site, [127, 0, 0, 1], "a.two.example", 1);
    list(&site, "*.two.example\n");
    assert_eq!(site.reload("?accept_shrink=true")["generation"], 2);
    let found = impact(&site, "?from=2&to=1");
    assert_eq!(
        (&found["newly_blocked"]["queries"], &found["unblocked"]["queries"]),
        (&2.into(), &1.into()),
        "{found:#}"
    );
    for path in ["/api/v1/impact", "/api/v1/report/shadow"] {
        for token in [None, Some("wrong")] {
            let (status, body) = site.http("GET", path, token);
            assert_eq!(status, 401, "{body}");
            assert!(!body.contains("example"), "{body}");
        }
    }
    let (status, body) = site.http("GET", "/api/v1/impact?from=two", Some(&site.token()));
    assert!(status == 400 && body.contains("?from="), "{body}");
    let (status, body) = site.http("GET", "/api/v1/impact?from=2&to=77", Some(&site.token()));
    assert!(status == 409 && body.contains("generation 77"), "{body}");
    // Where nothing is kept, that is what is said.
    site.stop();
    replace(&site, "[querylog]", "[last_day]\nnames = 0\n[querylog]");
    let site = site.settled();
    let (status, body) = site.http("GET", "/api/v1/impact", Some(&site.token()));
    assert!(status == 409 && body.contains("is not kept") && body.contains("[last_day]"), "{body}");
    assert!(!kept(&site).contains("example"), "what was kept before is gone: {}", kept(&site));
}

#[test]
fn a_change_that_would_block_what_is_asked_most_is_refused_until_somebody_says_so() {
    let site = prepared(&format!("{LIST}{LAB}{GUARD}"), "*.one.example\n", Clock::system()).settled();
    ask(&site, [127, 0, 0, 1], "www.mail.example", 9);
    ask(&site, [127, 0, 5, 1], "www.mail.example", 1);
    ask(&site, [127, 0, 0, 1], "www.maps.example", 8);
    ask(&site, [127, 0, 0, 1], "a.one.example", 7);
    ask(&site, [127, 0, 0, 1], "fourth.example", 6);
    ask(&site, [127, 0, 0, 1], "rare.example", 2);
    // Asked most, and news.
    list(&site, "*.one.example\nmail.example\n*.mail.example\nfourth.example\n");
    let refused = site.reload("");
    assert_eq!(
        (&refused["outcome"], &refused["stage"]),
        (&"rejected".into(), &"guard".into()),
        "{refused:#}"
    );
    let problems = refused["problems"].as_array().unwrap();
    let what = problems[0]["what"].as_str().unwrap();
    assert_eq!(problems.len(), 1, "the fourth is not among the three: {refused:#}");
    assert!(
        what.starts_with("`www.mail.example`, number 1 of the names most asked in the last day"),
        "{what}"
    );
    assert!(what.contains("(about 10 questions, about 2 clients)"), "{what}");
    for group in ["default", "lab"] {
        assert!(what.contains(&format!("for the group `{group}` by ")), "{what}");
    }
    assert!(what.contains("own.txt:3 of the list `own`"), "{what}");
    assert_eq!(problems[0]["where"]["file"], "[guard] most_asked");
    assert!(problems[0]["hint"].as_str().unwrap().contains("--accept-most-asked"), "{refused:#}");
    assert_eq!(site.rcode("www.mail.example"), NOERROR);
    let preview = site.get("/api/v1/diff");
    assert!(preview["warnings"].to_string().contains("www.mail.example"), "{preview:#}");
    // The same by the way that the hint names.
    assert_eq!(site.reload("?accept_most_asked=true")["outcome"], "published");
    assert_eq!(site.rcode("www.mail.example"), NXDOMAIN);
    // Blocked today already is no news; less asked than counts is none; unblocking is none.
    list(&site, "mail.example\n*.mail.example\nfourth.example\nrare.example\n*.rare.example\n");
    assert_ne!(site.reload("")["outcome"], "rejected");
    assert_eq!(site.rcode("a.one.example"), NOERROR);
    assert_eq!(site.rcode("rare.example"), NXDOMAIN);
}

#[test]
fn a_date_of_law_and_a_rollback_are_not_held_up_by_what_is_asked() {
    let clock = Clock::manual("2023-10-29T12:00:00Z".parse().unwrap());
    let policy = format!(
        "time_zone = \"UTC\"\n{LIST}{GUARD}[[policy.group]]\nname = \"default\"\nenforce = [\"ca-tbs-2023-10-30-wechat-kaspersky\", \"own\"]\n"
    );
    let site = prepared(&policy, "*.one.example\n", clock).settled();
    ask(&site, [127, 0, 0, 1], "a.one.example", 5);
    ask(&site, [127, 0, 0, 1], "wechat.com", 5);
    assert_eq!(site.rcode("wechat.com"), NOERROR);
    list(&site, "*.two.example\n");
    // The changed file may have been noticed first.
    assert_ne!(site.reload("?accept_shrink=true")["outcome"], "rejected");
    ask(&site, [127, 0, 0, 1], "a.one.example", 5);
    assert_eq!(site.post("/api/v1/rollback")["outcome"], "published");
    assert_eq!(site.rcode("a.one.example"), NXDOMAIN);
    site.clock.advance(Duration::from_secs(24 * 3600));
    site.until("wechat.com", NXDOMAIN);
}

#[test]
fn what_was_asked_outlives_a_restart_and_not_a_day() {
    let clock = Clock::manual("2026-11-20T10:30:00Z".parse().unwrap());
    let site = prepared(&format!("{LIST}{GUARD}"), "*.one.example\n", clock).settled();
    ask(&site, [127, 0, 5, 1], "www.mail.example", 4);
    let mut site = site;
    site.stop();
    assert!(kept(&site).contains("www.mail.example") && kept(&site).contains("127.0.5.1"), "{}", kept(&site));
    let mode = std::fs::metadata(site.path("state/last-day.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut site = site.settled();
    let found = impact(&site, "");
    assert_eq!((&found["asked"], &found["since"]), (&4.into(), &"2026-11-20T10:30:00Z".into()), "{found:#}");
    list(&site, "*.one.example\n*.mail.example\n");
    assert_eq!(site.reload("")["outcome"], "rejected");
    // Clients that another setting kept are gone at once, also from the disk; the names are not.
    site.stop();
    list(&site, "*.one.example\n");
    replace(&site, "[querylog]", "[last_day]\nclients = \"none\"\n[querylog]");
    let site = site.settled();
    assert!(kept(&site).contains("www.mail.example") && !kept(&site).contains("127.0.5"), "{}", kept(&site));
    assert_eq!(impact(&site, "")["asked"], 4);
    site.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(impact(&site, "")["asked"], 0);
    list(&site, "*.one.example\n*.mail.example\n");
    assert_ne!(site.reload("")["outcome"], "rejected", "nobody asked for it in the last day");
    assert_eq!(site.rcode("www.mail.example"), NXDOMAIN);
    // What is no summary of ours is no reason not to start.
    let mut site = site;
    site.stop();
    std::fs::write(site.path("state/last-day.json"), "{\"version\": 1, cut off").unwrap();
    let site = site.settled();
    assert_eq!(impact(&site, "")["asked"], 0);
}

/// One noted question may stand for five hundred; what is asked often is told from those all the same.
#[test]
fn a_flood_of_names_is_counted_in_bounded_memory_and_hides_nothing() {
    const QUESTIONS: u32 = 30_000;
    let site = prepared(LIST, "*.one.example\n", Clock::system());
    replace(&site, "[querylog]", "[last_day]\nnames = 50\n[querylog]");
    let site = site.settled();
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(site.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    for number in 0..QUESTIONS {
        let name = match number % 3 {
            0 => "www.mail.example".to_owned(),
            _ => format!("n{number}.wechat.com"),
        };
        socket.send(&support::query(7, 0x0100, &name, 1, None)).unwrap();
        // At the server's pace, so that none is lost before it is asked.
        let _lost = socket.recv(&mut [0; 512]).is_err();
    }
    let found = impact(&site, "");
    let asked = found["asked"].as_u64().unwrap();
    assert!((u64::from(QUESTIONS) - 1500..=QUESTIONS.into()).contains(&asked), "{found:#}");
    assert!(found["beyond"].as_u64().unwrap() > 0 && found["names"].as_u64().unwrap() <= 50, "{found:#}");
    assert_eq!(site.metric("interdict_last_day_samples_total{result=\"lost\"}"), 0.0);
    assert!(site.metric("interdict_last_day_names") <= 50.0);
    let covered = site.status()["last_day"].clone();
    assert!(covered["questions"] == asked && covered["names"].as_u64().unwrap() <= 50, "{covered}");
    list(&site, "*.one.example\n*.mail.example\n");
    let refused = site.reload("");
    assert!(refused.to_string().contains("`www.mail.example`, number 1 "), "{refused:#}");
    assert_eq!(site.rcode("www.mail.example"), NOERROR);
}

#[test]
fn what_is_rehearsed_is_reported_by_entry_group_and_list() {
    let policy = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n\
        [[policy.source]]\nname = \"trial\"\nfrom = \"$DIR/trial.txt\"\nformat = \"domains\"\nmode = \"shadow\"\n\
        [[policy.group]]\nname = \"default\"\nenforce = [\"own\", \"trial\", { id = \"tiktok\", mode = \"shadow\" }]\n\
        [[policy.group]]\nname = \"lab\"\nclients = [\"127.0.5.0/24\"]\nenforce = [\"own\"]\nmode = \"shadow\"\n";
    let site = prepared(policy, "*.one.example\n", Clock::system());
    std::fs::write(site.path("trial.txt"), "*.two.example\n").unwrap();
    let mut site = found(site);
    let nothing = shadow(&site);
    assert_eq!((&nothing["queries"], nothing["by"].as_array().unwrap().len()), (&0.into(), 0), "{nothing}");
    let fate = |client, name: &str| {
        let query = support::query(7, 0x0100, name, 1, None);
        site.udp_from(Ipv4Addr::from(client), &query).unwrap()[3] & 15
    };
    let (somebody, lab) = ([127, 0, 0, 1], [127, 0, 5, 1]);
    assert_eq!(fate(somebody, "a.one.example"), 3, "enforced");
    assert_eq!(fate(lab, "a.one.example"), 0, "the group is in shadow mode");
    assert_eq!(fate(somebody, "a.two.example"), 0, "the list is");
    assert_eq!(fate(somebody, "b.two.example"), 0);
    assert_eq!(fate(somebody, "www.tiktok.com"), 0, "the entry is");
    assert_eq!(fate(somebody, "x.cloaked.example"), 0, "what an answer leads to is");
    let found = shadow(&site);
    let row = |app: &str, source: &str, group: &str| {
        let rows = found["by"].as_array().unwrap().iter();
        let mut rows =
            rows.filter(|row| row["app"] == app && row["source"] == source && row["group"] == group);
        rows.next().unwrap_or_else(|| panic!("{app} {source} {group}: {found:#}")).clone()
    };
    assert_eq!((&found["queries"], found["by"].as_array().unwrap().len()), (&5.into(), 3), "{found:#}");
    assert_eq!(row("none", "own", "lab")["names"], serde_json::json!(["a.one.example"]));
    assert_eq!(
        row("none", "trial", "default")["names"],
        serde_json::json!(["a.two.example", "b.two.example"])
    );
    let app = row("tiktok", "catalog", "default");
    assert_eq!((&app["queries"], &app["instrument"]), (&2.into(), &"none".into()));
    assert_eq!(app["names"], serde_json::json!(["www.tiktok.com", "x.cloaked.example"]));
    assert!(
        found["since"].as_str() <= app["first"].as_str() && app["first"].as_str() <= app["last"].as_str()
    );
    // Lists are no label of the metric: two that differ in nothing else are one series.
    let sample = |group: &str| {
        site.metric(&format!(
            "interdict_blocked_queries_total{{app=\"none\",instrument=\"none\",group=\"{group}\",action=\"nxdomain\",mode=\"shadow\"}}"
        ))
    };
    assert_eq!((sample("default"), sample("lab")), (2.0, 1.0));
    let output = interdict(&site, &["report", "--shadow"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("5 queries would have been blocked from 20"), "{said}");
    assert!(said.lines().nth(1).unwrap().contains("instrument  source"), "{said}");
    assert!(said.contains("a.two.example b.two.example"), "{said}");
    assert!(!said.contains("127.0."), "no client: {said}");
    let json: Value =
        serde_json::from_str(&text(&interdict(&site, &["report", "--shadow", "--json"]))).unwrap();
    assert_eq!(json["by"], found["by"]);
    // It goes on after a restart, and a log says the same.
    let before = found["by"].clone();
    site.stop();
    let log = site.path("queries.jsonl");
    let mut lines = std::fs::read_to_string(&log).unwrap();
    // Of a query that met no rule there is nothing to say about rules.
    let time = lines.get(..lines.find(",\"client\"").unwrap()).unwrap().to_owned();
    lines.push_str(&format!("{time},\"client\":null,\"name\":\"c.example\",\"type\":\"A\",\"verdict\":\"allowed\",\"group\":\"lab\"}}\n"));
    std::fs::write(&log, lines).unwrap();
    let logged = interdict(&site, &["report", "--shadow", "--json", "--log", log.to_str().unwrap()]);
    let logged: Value = serde_json::from_str(&text(&logged)).unwrap();
    assert_eq!((&logged["queries"], &logged["refused"]), (&5.into(), &0.into()), "{logged:#}");
    for (one, other) in before.as_array().unwrap().iter().zip(logged["by"].as_array().unwrap()) {
        for key in ["app", "instrument", "source", "group", "queries", "names"] {
            assert_eq!(one[key], other[key], "{key}: {logged:#}");
        }
    }
    let site = site.settled();
    ask(&site, somebody, "b.two.example", 3);
    let again = shadow(&site);
    assert_eq!((&again["queries"], &again["since"]), (&8.into(), &found["since"]), "{again:#}");
    assert_eq!(again["by"][0]["queries"], 5, "{again:#}");
    // Wrong input.
    for (arguments, code, word) in [
        (&["report", "--log", "/nowhere"][..], 2, "--shadow"),
        (&["report", "--shadow", "--log", "/nowhere"][..], 3, "cannot be read"),
        (&["report", "--shadow", "--log", site.config.to_str().unwrap()][..], 0, "not of a query log"),
    ] {
        let output = interdict(&site, arguments);
        let said = text(&output);
        assert!(output.status.code() == Some(code) && said.contains(word), "{arguments:?}: {said}");
    }
}
