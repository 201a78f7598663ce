//! What an operator sees when a configuration or a list is wrong: each file of `tests/broken` is checked by the real
//! command line and compared with the messages beside it. `BLESS=1` writes them anew; read the difference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that panics has failed; its own files are small"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Splits a case into its configuration and the files beside it (`=== name` begins one).
fn unpack(case: &str, folder: &Path) {
    let mut parts = case.split("=== ");
    fs::write(folder.join("interdict.toml"), parts.next().unwrap()).unwrap();
    for part in parts {
        let (name, content) = part.split_once('\n').unwrap();
        fs::write(folder.join(name), content).unwrap();
    }
}

/// Exit code and messages of `interdict check` on a case.
fn messages(case: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    unpack(&fs::read_to_string(case).unwrap(), folder.path());
    let output = Command::new(env!("CARGO_BIN_EXE_interdict"))
        .args(["check", "--config", "interdict.toml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    format!("{text}exit {}\n", output.status.code().expect("not killed by a signal"))
}

#[test]
fn every_broken_input_says_where_what_and_a_hint() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let golden = case.with_extension("txt");
        let now = messages(&case);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &now).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != now {
            wrong.push(format!("{}:\n{now}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
