//! What is written for users is true: README, help and the files under `deploy/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn interdict(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_interdict")).current_dir(root()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a checker where it is installed; `tests/run` installs all of them on Debian.
fn accepted(program: &str, arguments: &[&str]) {
    let Ok(output) = Command::new(program).current_dir(root()).args(arguments).output() else { return };
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

#[test]
fn the_readme_shows_every_verb_and_the_help_knows_each() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let help = text(&interdict(&["--help"]).stdout);
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let verbs: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert!(verbs.len() >= 7, "{help}");
    for verb in verbs {
        let shown = readme.contains(&format!("interdict {verb}")) || readme.contains(&format!("-- {verb}"));
        assert!(shown, "README does not show `interdict {verb}`");
        assert!(interdict(&[verb, "--help"]).status.success());
    }
}

#[test]
fn commands_of_the_readme_that_need_no_resolver_work() {
    let output = interdict(&["check", "--config", "deploy/interdict.toml"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("0 errors, 0 warnings"), "{}", text(&output.stdout));
    let output = interdict(&["explain", "wechat.com", "--on", "2023-10-29"]);
    assert!(text(&output.stdout).contains("wechat.com A for 127.0.0.1"), "{}", text(&output.stdout));
    let output = interdict(&["explain", "wechat.com", "--on", "2023-10-30", "--type", "HTTPS"]);
    assert_eq!(output.status.code(), Some(1), "blocked");
    assert!(text(&output.stdout).contains("NXDOMAIN"));
    for verb in ["status", "diff", "reload", "rollback"] {
        let nobody = root().join("tests/nobody.toml");
        let output = interdict(&[verb, "--config", nobody.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(3), "{verb}");
        assert!(text(&output.stderr).contains("is `interdict serve` running"), "{}", text(&output.stderr));
    }
}

#[test]
fn prometheus_takes_the_scrape_configuration_and_the_rules() {
    accepted("promtool", &["check", "rules", "deploy/prometheus/alerts.yml"]);
    accepted("promtool", &["check", "config", "--syntax-only", "deploy/prometheus/scrape.yml"]);
    let rules = std::fs::read_to_string(root().join("deploy/prometheus/alerts.yml")).unwrap();
    for word in rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let Some(_) = word.strip_prefix("interdict_") else { continue };
        let name =
            ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        let known = interdict::app::metrics().iter().any(|metric| metric.name == name);
        assert!(known, "an alert asks for {word}, which does not exist");
    }
}

#[test]
fn the_unit_names_the_binary_and_the_verb_that_exist() {
    let unit = std::fs::read_to_string(root().join("deploy/systemd/interdict.service")).unwrap();
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let mut words = start.split_whitespace();
    assert!(Path::new(words.next().unwrap()).ends_with("interdict"));
    assert!(words.any(|word| word == "serve"), "{start}");
    assert!(unit.contains("Type=notify"));
}
