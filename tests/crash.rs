//! kill -9 at every step of the pipeline, and at moments of chance: whatever it was about to do, the next start has one
//! whole generation in force, a history and an audit log that hold together.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

mod support;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use interdict::app;
use interdict::clock::Clock;
use interdict::policy::Labels;
use interdict::reload::{By, Outcome, Trigger};
use serde_json::Value;
use support::Site;

const NXDOMAIN: &str = "Non-Existent Domain";
const LIST: &str = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";

/// Everything the child does, and how often it is told of a step: a first start, a reload, a rollback, a reload.
const CHILD: &str = "child_that_is_killed";

fn list(version: usize) -> String {
    format!("*.both.example\n*.v{version}.example\n")
}

/// Kills this process, as `kill -9` does.
fn kill_self() -> ! {
    Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
#[ignore = "run by the test below, which sets what it needs"]
fn child_that_is_killed() {
    let folder = PathBuf::from(std::env::var("CRASH_FOLDER").unwrap());
    let at: usize = std::env::var("CRASH_AT").unwrap().parse().unwrap();
    let steps = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&steps);
    let (config, state) = (folder.join("interdict.toml"), folder.join("state"));
    let pipeline = app::pipeline(Some(config), None, Some(&state), Clock::system(), Labels::default())
        .watched_by(Arc::new(move |step| {
            if count.fetch_add(1, Ordering::Relaxed) == at {
                std::fs::write(folder.join("step"), format!("{step:?}")).unwrap();
                kill_self();
            }
        }));
    let folder = PathBuf::from(std::env::var("CRASH_FOLDER").unwrap());
    let ops = By { who: "ops".to_owned(), why: "crash test".to_owned() };
    let published = |outcome: Outcome| assert!(matches!(outcome, Outcome::Published { .. }), "{outcome}");
    pipeline.start().unwrap();
    std::fs::write(folder.join("own.txt"), list(2)).unwrap();
    published(pipeline.run(Trigger::Request, true, &ops));
    published(pipeline.rollback(None, &ops));
    std::fs::write(folder.join("own.txt"), list(3)).unwrap();
    published(pipeline.run(Trigger::Request, true, &ops));
    std::fs::write(folder.join("steps"), steps.load(Ordering::Relaxed).to_string()).unwrap();
}

/// Runs the child in a site's folder; true when it was killed.
fn child(folder: &Path, at: usize) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env("CRASH_FOLDER", folder)
        .env("CRASH_AT", at.to_string())
        .output()
        .unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    killed
}

/// What must hold after every crash: one whole generation, a history without a hole, an audit log that verifies.
fn sound(site: &Site, about: &str) {
    assert_eq!(site.rcode("a.both.example"), NXDOMAIN, "{about}");
    let versions: Vec<usize> =
        (1..=3).filter(|version| site.rcode(&format!("a.v{version}.example")) == NXDOMAIN).collect();
    assert_eq!(versions.len(), 1, "{about}: not one whole generation but parts of {versions:?}");
    let status = site.get("/api/v1/status");
    assert_eq!(status["degraded"], serde_json::json!([]), "{about}: {status:#}");
    let history = site.get("/api/v1/history");
    let rows = history.as_array().unwrap();
    assert_eq!(rows[0]["generation"], status["generation"], "{about}: {history:#}");
    for pair in rows.windows(2) {
        assert_eq!(pair[0]["replaced"], pair[1]["generation"], "{about}: {history:#}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_interdict"))
        .arg("--config")
        .arg(&site.config)
        .args(["audit", "verify", "--json"])
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && found["torn"].is_null(), "{about}: {found:#}");
    // Nothing came into force that the log does not know of.
    let log = site.get("/api/v1/audit?last=10000");
    for row in rows {
        let known = log.as_array().unwrap().iter().any(|entry| entry["digest"] == row["digest"]);
        assert!(known, "{about}: {row:#} {log:#}");
    }
}

#[test]
fn a_kill_at_any_step_leaves_one_whole_generation() {
    let fresh = || {
        let site = Site::prepare(LIST, Clock::system());
        std::fs::write(site.path("own.txt"), list(1)).unwrap();
        site
    };
    let whole = fresh();
    assert!(!child(whole.folder.path(), usize::MAX));
    let steps: usize = std::fs::read_to_string(whole.path("steps")).unwrap().parse().unwrap();
    assert!(steps >= 20, "{steps}");
    let crash = |at: usize| {
        let site = fresh();
        assert!(child(site.folder.path(), at), "step {at} of {steps}");
        let step = std::fs::read_to_string(site.path("step")).unwrap();
        let about = format!("killed at step {at}, {step}");
        let site = site.started();
        sound(&site, &about);
        // It goes on from there.
        std::fs::write(site.path("own.txt"), list(2)).unwrap();
        site.http("POST", "/api/v1/reload?accept_shrink=true", Some(&site.token()));
        assert_eq!(site.rcode("a.v2.example"), NXDOMAIN, "{about}");
        sound(&site, &format!("{about}, then reloaded"));
        step
    };
    // Most of each is waiting for something to end.
    const AT_ONCE: usize = 4;
    let seen: BTreeSet<String> = std::thread::scope(|scope| {
        let crash = &crash;
        let parts: Vec<_> = (0..AT_ONCE)
            .map(|part| {
                scope.spawn(move || (part..steps).step_by(AT_ONCE).map(crash).collect::<Vec<String>>())
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("no part failed")).collect()
    });
    let all = ["Compile", "Fetch", "Forget", "Guard", "MarkGood", "Parse", "Publish", "Record", "Stage"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

/// The real binary under a stream of reloads, killed at moments that nobody chose.
#[test]
fn a_kill_at_any_moment_leaves_one_whole_generation() {
    const ROUNDS: u64 = 12;
    let site = Site::prepare(LIST, Clock::system());
    std::fs::write(site.path("own.txt"), list(1)).unwrap();
    let mut site = site.started();
    let (admin, address) = (site.running.as_ref().unwrap().admin, site.address());
    site.stop();
    let config = std::fs::read_to_string(&site.config).unwrap();
    let fixed = config
        .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{admin}\""))
        .replace("address = \"127.0.0.1:0\"", &format!("address = \"{address}\""));
    for round in 0..ROUNDS {
        std::fs::write(&site.config, &fixed).unwrap();
        let start = || {
            Command::new(env!("CARGO_BIN_EXE_interdict"))
                .arg("--config")
                .arg(&site.config)
                .arg("serve")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let mut serving = start();
        let verb = |arguments: &[&str]| {
            Command::new(env!("CARGO_BIN_EXE_interdict"))
                .arg("--config")
                .arg(&site.config)
                .args(arguments)
                .output()
                .unwrap()
                .status
                .success()
        };
        let began = Instant::now();
        while !verb(&["status"]) {
            assert!(began.elapsed() < Duration::from_secs(20), "round {round}: it does not start");
            // Between two rounds a test beside this one may have taken its port.
            if serving.try_wait().unwrap().is_some() {
                serving = start();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Changes go on while it is killed: the command line's own process asks, and is left without an answer.
        let version = usize::try_from(round % 3 + 1).unwrap();
        std::fs::write(site.path("next"), list(version)).unwrap();
        std::fs::rename(site.path("next"), site.path("own.txt")).unwrap();
        let mut asking = Command::new(env!("CARGO_BIN_EXE_interdict"))
            .arg("--config")
            .arg(&site.config)
            .args(if round % 4 == 3 {
                ["rollback", "--reason", "chance"]
            } else {
                ["reload", "--reason", "chance"]
            })
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Spread over the time that a reload takes here, without a clock's help to hit the same step twice.
        std::thread::sleep(Duration::from_millis(7 * round));
        serving.kill().unwrap();
        serving.wait().unwrap();
        asking.wait().unwrap();
        std::fs::write(&site.config, &config).unwrap();
        let mut again = site.started();
        sound(&again, &format!("killed in round {round}"));
        again.stop();
        site = again;
    }
}
