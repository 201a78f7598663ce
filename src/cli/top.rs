//! Owns the verb `top`: what happens now, once or as a view that renews itself in a terminal. Never keeps anything.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{answer, print_problems};
use super::{Exit, complain, print_json};

/// How the view is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print once and end, for scripts
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
}

/// Names most asked that are shown.
const NAMES: &str = "/api/v1/top/names?limit=10";
/// Newest blocked queries shown.
const RECENT: &str = "/api/v1/recent?verdict=blocked&limit=12";

/// Moves to the first place, clears what is below, and hides nothing (ECMA-48 8.3.21, 8.3.39).
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) fn run(config: Option<&Path>, options: &Arguments, json: bool) -> Exit {
    let is_view = !options.once && !json && std::io::stdout().is_terminal();
    loop {
        let (now, names, recent) = match look(config) {
            Ok(found) => found,
            Err(exit) => return exit,
        };
        if json {
            print_json(&json!({ "now": now, "names": names, "recent": recent }));
            return Exit::Done;
        }
        let page = page(&now, names.as_ref(), recent.as_ref());
        let begin = if is_view { CLEAR } else { "" };
        let mut out = std::io::stdout().lock();
        // Nobody reads on any more.
        if write!(out, "{begin}{page}").and_then(|()| out.flush()).is_err() || !is_view {
            return Exit::Done;
        }
        drop(out);
        std::thread::sleep(Duration::from_secs(options.every));
    }
}

/// What is said of now, and the names most asked and the newest blocked queries where they may be seen.
fn look(config: Option<&Path>) -> Result<(Value, Option<Value>, Option<Value>), Exit> {
    let failed = |problems: Vec<_>| {
        complain(&problems);
        Exit::Failed
    };
    let (status, now) = answer(config, |client| client.read("/api/v1/now")).map_err(failed)?;
    if status != 200 {
        print_problems(&now);
        return Err(Exit::Negative);
    }
    let shown = |path: &str| {
        let (status, found) = answer(config, |client| client.read(path)).map_err(failed)?;
        Ok((status == 200).then_some(found))
    };
    Ok((now, shown(NAMES)?, shown(RECENT)?))
}

fn page(now: &Value, names: Option<&Value>, recent: Option<&Value>) -> String {
    let mut out = String::new();
    let rate = |value: &Value| value.as_f64().map_or("-".to_owned(), |rate| format!("{rate:.1}"));
    let share =
        now["cache_hit_share"].as_f64().map_or("-".to_owned(), |share| format!("{:.0}%", share * 100.0));
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("at               {}", super::seconds(now["at"].as_str().unwrap_or("-"))));
    line(format!(
        "queries          {} a second, {} since the start",
        rate(&now["queries_per_second"]),
        now["queries"]
    ));
    line(format!(
        "blocked          {} a second, {} since the start",
        rate(&now["blocked_per_second"]),
        now["blocked"]
    ));
    line(format!("from the cache   {share}"));
    for (path, title) in [("block", "blocked"), ("hit", "from the cache"), ("miss", "asked upstream")] {
        let times = &now["answers"][path];
        line(format!(
            "answers          {title}: half within {}, 99 of 100 within {}",
            time(&times["half"]),
            time(&times["most"])
        ));
    }
    for upstream in list(&now["upstreams"]) {
        let health = if upstream["healthy"] == true { "answers" } else { "DOES NOT ANSWER" };
        line(format!(
            "upstream         {}: {health}, {} a second, mean {}, {} failures a minute",
            plain(&upstream["upstream"]),
            rate(&upstream["queries_per_second"]),
            time(&upstream["seconds"]),
            upstream["failures"]
        ));
    }
    line(format!("\n{:<24} {:>10} {:>10} {:>10}", "blocked by app", "minute", "hour", "24 hours"));
    for app in list(&now["apps"]) {
        let count = |key: &str| app[key].to_string();
        line(format!(
            "{:<24} {:>10} {:>10} {:>10}",
            plain(&app["app"]),
            count("last_minute"),
            count("last_hour"),
            count("last_day")
        ));
    }
    if let Some(names) = names {
        line(format!("\n{:>10} {:>8} {:<9} {}", "24 hours", "clients", "verdict", "most asked"));
        for row in list(names) {
            line(format!(
                "{:>10} {:>8} {:<9} {}",
                row["questions"].to_string(),
                row["clients"].to_string(),
                plain(&row["verdict"]),
                plain(&row["name"])
            ));
        }
    }
    if let Some(recent) = recent {
        line(format!("\n{:<9} {:<18} {:<14} {:<9} {}", "time", "client", "app", "reply", "newest blocked"));
        for seen in list(recent) {
            let time = seen["time"].as_str().and_then(|time| time.get(11..19)).unwrap_or("-").to_owned();
            line(format!(
                "{time:<9} {:<18} {:<14} {:<9} {} {}",
                plain(&seen["client"]),
                plain(&seen["app"]),
                plain(&seen["rcode"]),
                plain(&seen["name"]),
                plain(&seen["type"])
            ));
        }
    }
    out
}

fn plain(value: &Value) -> String {
    super::plain(value.as_str().unwrap_or("-"))
}

fn time(seconds: &Value) -> String {
    match seconds.as_f64() {
        None => "-".to_owned(),
        Some(s) if s < 0.001 => format!("{:.0} µs", s * 1e6),
        Some(s) if s < 1.0 => format!("{:.1} ms", s * 1e3),
        Some(s) => format!("{s:.2} s"),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_ask_does_not_move_a_cursor() {
        let now = json!({
            "at": "2026-11-28T10:00:00.5Z", "queries_per_second": 12.34, "queries": 99, "blocked_per_second": 1.0, "blocked": 7,
            "cache_hit_share": 0.834, "answers": {"block": {"half": 0.000005, "most": 0.02}},
            "upstreams": [{"upstream": "udp://192.0.2.1:53", "healthy": false, "queries_per_second": 2.0, "seconds": null, "failures": 3}],
            "apps": [{"app": "wechat", "last_minute": 1, "last_hour": 2, "last_day": 3}],
        });
        let recent = json!([{"time": "2026-11-28T09:59:59Z", "client": null, "app": "wechat", "rcode": "NXDOMAIN", "name": "a\u{1b}[2Jb.example", "type": "A"}]);
        let names = json!([{"name": "x\u{1b}[H.example", "questions": 1234, "clients": 7, "group": "default", "verdict": "allowed", "app": ""}]);
        let page = page(&now, Some(&names), Some(&recent));
        assert!(!page.contains('\u{1b}') && page.contains("a?[2Jb.example A"), "{page}");
        for words in [
            "12.3 a second, 99",
            "83%",
            "half within 5 µs, 99 of 100 within 20.0 ms",
            "DOES NOT ANSWER",
            "09:59:59  -                  wechat         NXDOMAIN  a?",
            "      1234        7 allowed   x?[H.example",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
    }
}
