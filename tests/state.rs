//! The state directory when it misbehaves: absent, full, read-only. The policy is in force all the same, and says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test that panics has failed"
)]

mod support;

use std::process::Command;

use interdict::clock::Clock;
use support::Site;

const NXDOMAIN: &str = "Non-Existent Domain";
const LIST: &str = "[[policy.source]]\nname = \"own\"\nfrom = \"$DIR/own.txt\"\nformat = \"domains\"\n";

fn names(from: usize, count: usize) -> String {
    (from..from + count).map(|i| format!("*.n{i}.listed.example\n")).collect()
}

/// Writes the list and reloads with the token the site began with; the changed file may have been noticed first.
fn reload(site: &Site, token: &str, list: &str) {
    std::fs::write(site.path("own.txt"), list).unwrap();
    let (_, body) = site.http("POST", "/api/v1/reload?accept_shrink=true", Some(token));
    assert!(body.contains("published") || body.contains("unchanged"), "{body}");
}

fn degraded(site: &Site) -> String {
    let (_, body) = site.http("GET", "/api/v1/status", None);
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    let page = site.http("GET", "/metrics", None).1;
    let count = status["degraded"].as_array().unwrap().len();
    assert!(page.contains(&format!("\ninterdict_degraded {count}\n")), "{page}");
    status["degraded"].to_string()
}

#[test]
fn a_file_in_the_place_of_the_directory_is_said_and_harms_no_query() {
    let site = Site::prepare(LIST, Clock::system());
    std::fs::write(site.path("own.txt"), names(0, 10)).unwrap();
    std::fs::write(site.path("state"), "").unwrap();
    let site = site.started();
    assert_eq!(site.rcode("a.n7.listed.example"), NXDOMAIN);
    let problems = format!("{:?}", site.running.as_ref().unwrap().problems);
    assert!(problems.contains("could not be kept"), "{problems}");
    assert!(degraded(&site).contains("could not be kept"));
}

#[test]
fn a_full_disk_keeps_the_generation_before_and_mends_by_itself() {
    support::in_namespaces(&["--mount"], "true", "on_a_small_disk");
}

#[test]
#[ignore = "run in a namespace by the test above"]
fn on_a_small_disk() {
    let mount = |arguments: &[&str], site: &Site| {
        let done = Command::new("mount").args(arguments).arg(site.path("state")).status().unwrap();
        assert!(done.success(), "mount {arguments:?}");
    };
    // The disk is for the generations alone.
    let site = Site::prepare(&format!("{LIST}[report]\ndays = 0\n"), Clock::system());
    std::fs::create_dir(site.path("state")).unwrap();
    mount(&["-t", "tmpfs", "-o", "size=440k", "none"], &site);
    std::fs::write(site.path("own.txt"), names(0, 10)).unwrap();
    let mut site = site.started();
    let token = site.token();
    assert_eq!(degraded(&site), "[]");

    // 200 KB do not fit: in force, not kept, said.
    reload(&site, &token, &names(0, 8000));
    assert_eq!(site.rcode("a.n7999.listed.example"), NXDOMAIN);
    assert!(degraded(&site).contains("No space left"), "{}", degraded(&site));

    // A start now, on bad input, goes back to what was kept whole.
    site.stop();
    std::fs::write(site.path("own.txt"), "bad line here\n").unwrap();
    let mut site = site.started();
    assert_eq!(site.rcode("a.n7.listed.example"), NXDOMAIN);
    assert_ne!(site.rcode("a.n7999.listed.example"), NXDOMAIN);

    // What fits is kept again, and nothing is left of what did not.
    let token = site.token();
    reload(&site, &token, &names(0, 20));
    assert_eq!(degraded(&site), "[]");

    let log = Command::new(env!("CARGO_BIN_EXE_interdict"))
        .arg("--config")
        .arg(&site.config)
        .args(["audit", "verify"])
        .output()
        .unwrap();
    assert!(log.status.success(), "what was cut off is sealed: {log:?}");

    mount(&["-o", "remount,ro"], &site);
    reload(&site, &token, &names(0, 30));
    assert!(degraded(&site).contains("Read-only"), "{}", degraded(&site));
    assert_eq!(site.rcode("a.n29.listed.example"), NXDOMAIN);
    site.stop();
}

/// Root binds the ports; the service's own user reads lists and keeps them, the first generation like every later one.
#[test]
fn the_state_belongs_to_the_user_that_serves() {
    use std::os::unix::fs::MetadataExt;
    let id = Command::new("id").args(["-u", "nobody"]).output().unwrap();
    let nobody: u32 = String::from_utf8(id.stdout).unwrap().trim().parse().unwrap();
    let site = Site::prepare(LIST, Clock::system());
    if std::fs::metadata(site.folder.path()).unwrap().uid() != 0 {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let text = support::read(&site.config).replace("[server]", "[server]\nuser = \"nobody\"");
    std::fs::write(&site.config, text).unwrap();
    std::fs::write(site.path("own.txt"), names(0, 10)).unwrap();
    std::fs::create_dir(site.path("state")).unwrap();
    let owned = Command::new("chown").args(["-R", "nobody"]).arg(site.folder.path()).status().unwrap();
    assert!(owned.success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_interdict"))
        .args(["--config", site.config.to_str().unwrap(), "serve"])
        .stderr(std::fs::File::create(site.path("said")).unwrap())
        .spawn()
        .unwrap();
    let kept = |generation: usize| {
        let manifest = site.path(&format!("state/generations/{generation}.json"));
        (0..200).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            std::fs::metadata(&manifest).ok().map(|file| file.uid())
        })
    };
    let first = kept(1);
    std::fs::write(site.path("own.txt"), names(0, 11)).unwrap();
    let second = kept(2);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((first, second), (Some(nobody), Some(nobody)), "{}", support::read(&site.path("said")));
}
