//! Owns the verb `history`: what came into force when, by whom, why, and what it changed.

use std::path::Path;

use comfy_table::{Table, presets};
use serde_json::Value;

use super::ask::ask;
use super::{Exit, seconds};

pub(super) fn run(config: Option<&Path>, last: usize, json: bool) -> Exit {
    ask(config, json, |client| client.read("/api/v1/history"), |value| print(value, last))
}

fn print(value: &Value, last: usize) {
    let rows = value.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return say!("no generation is kept; `state` under [policy] says where");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "generation",
        "since",
        "digest",
        "by",
        "how",
        "rules",
        "why",
    ]);
    for row in rows.iter().take(last) {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let yes = |key: &str| row[key] == true;
        let mut generation = row["generation"].to_string();
        for (key, word) in [("in_force", "in force"), ("held", "held")] {
            if yes(key) {
                generation.push_str(&format!(", {word}"));
            }
        }
        let names = |key: &str| -> Vec<&str> {
            row[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let mut why = text("why");
        if !names("approvals").is_empty() {
            why.push_str(&format!(" (approved by {})", names("approvals").join(", ")));
        }
        let count = |key: &str| -> u64 {
            let lists = row["change"][key].as_object().into_iter().flatten();
            lists.filter_map(|(_, change)| change["count"].as_u64()).sum()
        };
        table.add_row([
            generation,
            seconds(&text("from")),
            text("digest").chars().take(12).collect(),
            text("who"),
            text("what"),
            format!("{} (+{} -{})", row["change"]["rules_after"], count("added"), count("removed")),
            if why.is_empty() { "-".to_owned() } else { why.trim().to_owned() },
        ]);
    }
    say!("{}", table.trim_fmt());
    if rows.len() > last {
        say!("and {} earlier; see --last", rows.len() - last);
    }
}
