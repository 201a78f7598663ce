//! Owns the verb `approve`: what waits for approval, how to sign it, and the signature's way to the resolver. Never sees a
//! secret key: minisign signs.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::ask::{answer, ask, with};
use super::remote::{print_changes, print_outcome};
use super::{Exit, complain, print_json, seconds};
use crate::problem::{Place, Problem};
use crate::reload::approval_text;
use crate::sources::{CONFIG_FILE, Digest, read_file};

/// Options of `approve`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The candidate's digest, or how it begins [default: show what waits]
    candidate: Option<String>,
    /// Sign with this minisign secret key; minisign must be installed
    #[arg(long, value_name = "FILE", requires = "candidate", conflicts_with = "signature")]
    key: Option<PathBuf>,
    /// A signature that minisign made elsewhere
    #[arg(long, value_name = "FILE", requires = "candidate")]
    signature: Option<PathBuf>,
}

pub(super) fn run(config: Option<&Path>, options: &Arguments, json: bool) -> Exit {
    let waiting = match answer(config, |client| client.read("/api/v1/status")) {
        Ok((_, status)) => status["waiting"].clone(),
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    let Some(wanted) = &options.candidate else {
        if json {
            print_json(&waiting);
        } else {
            show(&waiting);
        }
        return Exit::Done;
    };
    let law = waiting["law"].as_str().unwrap_or_default();
    if let Err(problem) = is_meant(wanted, law) {
        complain(&[problem]);
        return Exit::Negative;
    }
    let signature = match (&options.key, &options.signature) {
        (Some(key), _) => sign(law, key),
        (None, Some(file)) => read_signature(file),
        (None, None) => {
            show(&waiting);
            return Exit::Done;
        }
    };
    let signature = match signature {
        Ok(signature) => signature,
        Err(problem) => {
            complain(&[problem]);
            return Exit::Failed;
        }
    };
    let path = with("/api/v1/approve", &[("candidate", Some(law)), ("signature", Some(&signature))]);
    let mut counted = false;
    let exit = ask(
        config,
        json,
        |client| {
            let answer = client.change(&path)?;
            // Counted, though others may have to sign too.
            counted = matches!(answer.0, 200 | 202);
            Ok(answer)
        },
        print_outcome,
    );
    if counted { Exit::Done } else { exit }
}

/// Whether `wanted` names the candidate that waits; enough of it, so that nobody signs what he did not look at.
fn is_meant(wanted: &str, law: &str) -> Result<(), Problem> {
    const ENOUGH: usize = 12;
    let complain = |what: String, hint: &str| Err(Problem::error(Place::file("approve"), what, hint));
    let wanted = wanted.to_ascii_lowercase();
    if law.is_empty() {
        complain("no change waits for approval".to_owned(), "it may have lapsed: interdict reload")
    } else if wanted.len() < ENOUGH {
        complain(format!("`{wanted}` is too short"), "write at least 12 characters of the digest")
    } else if law.starts_with(&wanted) {
        Ok(())
    } else {
        complain(format!("another candidate waits: {law}"), "look at it with: interdict approve")
    }
}

fn show(waiting: &Value) {
    if waiting.is_null() {
        return say!("nothing waits for approval");
    }
    let text = |key: &str| waiting[key].as_str().unwrap_or("-").to_owned();
    let names: Vec<&str> =
        waiting["approved_by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (law, why) = (text("law"), text("why"));
    say!("candidate  {law}");
    if waiting["break_glass"] == true {
        say!("BREAK GLASS: an emergency exception; one approval is enough");
    }
    say!("asked by   {}{}", text("who"), if why.is_empty() { String::new() } else { format!(": {why}") });
    say!("waits      since {}, until {}", seconds(&text("since")), seconds(&text("until")));
    say!("approvals  {} of {} {}", names.len(), waiting["needed"], names.join(", "));
    print_changes(&waiting["difference"]);
    say!("to approve it with a key on this machine:");
    say!("  interdict approve {law} --key minisign.key");
    say!("or sign anywhere, and bring the signature here:");
    say!("  printf '{}\\n' > candidate.txt", approval_text(&law).trim_end());
    say!("  minisign -Sm candidate.txt");
    say!("  interdict approve {law} --signature candidate.txt.minisig");
}

fn read_signature(file: &Path) -> Result<String, Problem> {
    let raw = read_file(file, CONFIG_FILE).map_err(|error| error.problem(file))?;
    raw.text().map(Cow::into_owned)
}

/// Lets minisign sign, in a folder that nobody else can write to. It asks for the key's password by itself.
fn sign(law: &str, key: &Path) -> Result<String, Problem> {
    let failed = |what: String, hint: &str| Problem::error(Place::file("minisign"), what, hint);
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| failed(error.to_string(), ""))?;
    let folder = std::env::temp_dir().join(format!("interdict-{}", Digest::of(&random)));
    let made = fs::DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|error| failed(format!("{}: {error}", folder.display()), "set TMPDIR"))?;
    let signed = sign_in(&folder, law, key);
    if let Err(error) = fs::remove_dir_all(&folder) {
        eprintln!("interdict: {} could not be removed: {error}", folder.display());
    }
    match signed {
        Ok(signature) => signature,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(failed(
            "is not installed".to_owned(),
            "install it, or sign elsewhere: `interdict approve` shows how",
        )),
        Err(error) => Err(failed(error.to_string(), "")),
    }
}

fn sign_in(folder: &Path, law: &str, key: &Path) -> std::io::Result<Result<String, Problem>> {
    let (text, signature) = (folder.join("candidate.txt"), folder.join("candidate.txt.minisig"));
    fs::write(&text, approval_text(law))?;
    let mut minisign = Command::new("minisign");
    minisign.arg("-S").arg("-s").arg(key).arg("-m").arg(&text).arg("-x").arg(&signature);
    // Its own messages go where ours do not mix with data.
    let status = minisign.stdout(std::io::stderr()).status()?;
    if !status.success() {
        let what = format!("did not sign: {status}");
        return Ok(Err(Problem::error(Place::file("minisign"), what, "is that the secret key?")));
    }
    Ok(read_signature(&signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_signs_by_accident() {
        let law = "0123456789abcdef";
        assert!(is_meant("0123456789ABCDEF", law).is_ok() && is_meant("0123456789ab", law).is_ok());
        assert!(is_meant("0123", law).is_err() && is_meant("0123456789abff", law).is_err());
        assert!(is_meant("0123456789ab", "").is_err());
    }
}
