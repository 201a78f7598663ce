//! What is written for users is true: README, help and the files under `deploy/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use interdict::clock::Clock;
use support::Site;

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

/// Every line of the README's tour, typed against a running resolver.
#[test]
fn the_tour_of_the_readme_works_as_written() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let tour = readme.split("## Five minutes").nth(1).unwrap().split("```").nth(1).unwrap();
    let site = Site::prepare(
        "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n",
        Clock::system(),
    );
    // A link out of the watched folder: what is written through it is found by what is typed, not by itself before that.
    std::fs::create_dir(site.path("lists")).unwrap();
    std::os::unix::fs::symlink("lists/own.txt", site.path("own.txt")).unwrap();
    std::fs::write(site.path("own.txt"), "*.one.example\n").unwrap();
    let mut site = site.started();
    // The command line finds the resolver by its configuration, so the ports it chose go there.
    let admin = site.running.as_ref().unwrap().admin;
    let config = std::fs::read_to_string(&site.config)
        .unwrap()
        .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{admin}\""));
    site.stop();
    std::fs::write(&site.config, config).unwrap();
    let site = site.started();
    let binary = Path::new(env!("CARGO_BIN_EXE_interdict"));
    let mut typed = 0;
    for line in tour.lines().filter(|line| !line.is_empty() && *line != "sh") {
        let command = line.split(" #").next().unwrap().trim();
        if command.starts_with("interdict diff") {
            // So that there is something to show, to publish and to roll back.
            std::fs::write(site.path("own.txt"), "*.one.example\n*.two.example\n").unwrap();
        }
        let here = command
            .replace("-p 5353", &format!("+time=5 -p {}", site.address().port()))
            .replace("127.0.0.1:9153", &admin.to_string())
            .replace("policy.bundle", site.path("policy.bundle").to_str().unwrap());
        let here = match here.strip_prefix("interdict ") {
            Some(rest) if !rest.contains("--config") => {
                format!("interdict --config {:?} {rest}", site.config)
            }
            _ => here,
        };
        let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let output = Command::new("sh").args(["-c", &here]).current_dir(root()).env("PATH", path).output();
        let output = output.unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        if output.status.code() == Some(127) {
            eprintln!("not installed here: {here}");
            continue;
        }
        let wanted = if command.starts_with("interdict explain") { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(wanted), "{here}: {said}");
        let shows: &[&str] = match command.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["dig", .., "wechat.com"] => &["NXDOMAIN", "EDE: 15 (Blocked)", "wechat"],
            ["dig", ..] => &["NOERROR", "192.0.2.7"],
            ["interdict", "explain", ..] => &["wechat.com"],
            ["interdict", "check", ..] => &["0 errors"],
            ["interdict", "compile", ..] => &[" names, ", "sha256"],
            ["interdict", "export", ..] => {
                &["# interdict unbound: group default", "\"wechat.com.\" always_nxdomain"]
            }
            ["interdict", "bundle", ..] => &["list         own: 1 rules"],
            ["interdict", "status"] => &["generation       1", "source           own: 1 rules"],
            ["interdict", "diff", "--impact"] => &["newly blocked: 0 queries"],
            ["interdict", "report"] => &["Use of prohibited applications", "wechat", "Treasury Board"],
            ["interdict", "report", "--devices"] => &["very likely installed", "The rule"],
            ["interdict", "report", "--shadow"] => &["0 queries would have been blocked from 20"],
            ["interdict", "diff"] => &["+ own: 1 rules: two.example"],
            ["interdict", "log", ..] => &["blocked", "wechat.com", "NXDOMAIN", " lines in 1 file"],
            ["interdict", "reload", ..] => &["generation"],
            ["interdict", "rollback", ..] => &["published generation"],
            ["interdict", "pin"] => &["pinned: generation 1"],
            ["interdict", "unpin"] => &["published generation 3"],
            ["interdict", "approve"] => &["nothing waits"],
            ["interdict", "history"] => &["3, in force", "mail is broken", "rollback", "start"],
            ["interdict", "audit"] => &["mail is broken", "pinned", "published"],
            ["interdict", "top", ..] => &["queries ", "blocked by app", "wechat.com A"],
            ["curl", ..] => {
                &["interdict_build_info{version=", "interdict_blocked_queries_total{app=\"wechat\""]
            }
            _ => panic!("the tour has a line this test does not know: {line}"),
        };
        for word in shows {
            assert!(said.contains(word), "{here} does not show {word}: {said}");
        }
        typed += 1;
    }
    assert!(typed >= 7, "{typed}");
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
    for verb in ["status", "diff", "reload", "rollback", "pin", "unpin", "approve", "history", "top"] {
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

/// The unit, checked by the service manager's own tool with the binary at a place that exists.
#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = std::fs::read_to_string(root().join("deploy/systemd/interdict.service")).unwrap();
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<&str> = start.split_whitespace().collect();
    let help = text(&interdict(&[&words[1..], &["--help"]].concat()).stdout);
    assert!(words[0].ends_with("/interdict") && help.contains("serve"), "{start}: {help}");
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("interdict.service");
    std::fs::write(&here, unit.replace(words[0], env!("CARGO_BIN_EXE_interdict"))).unwrap();
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&here).output() else { return };
    let said = text(&output.stderr);
    // Other units of the machine may have faults of their own.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("interdict")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

/// What the container file copies exists, what it runs is what it built, and it builds with the compiler that is needed.
#[test]
fn the_container_file_fits_the_tree() {
    let file = std::fs::read_to_string(root().join("deploy/container/Containerfile")).unwrap();
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let needed =
        manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(file.contains(&format!("rust:{needed}-")), "built with another compiler than {needed}");
    let (mut copied, mut run) = (None, None);
    for line in file.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [word, ..] if word.starts_with('#') => {}
            ["COPY", "--from=build", from, to] => {
                assert_eq!(*from, "/src/target/release/interdict");
                copied = Some((*to).to_owned());
            }
            ["COPY", from, _] => assert!(root().join(from).exists(), "{line}"),
            ["ENTRYPOINT", entry] => run = Some(entry.trim_matches(['[', ']', '"']).to_owned()),
            [word, ..] => assert!(
                ["FROM", "WORKDIR", "RUN", "VOLUME", "EXPOSE", "CMD"].contains(word),
                "not an instruction: {line}"
            ),
        }
    }
    assert!(copied.is_some() && copied == run, "{copied:?} is copied, {run:?} is run");
}
