//! Owns the way from the command line to a running resolver: where it is, the token, the answer or its problems. Never knows
//! what an answer means.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Exit, complain, print_json};
use crate::admin::{Client, ClientError, LOCAL_TOKEN, link};
use crate::app;
use crate::problem::{Place, Problem, Severity};
use crate::sources::{CONFIG_FILE, read_file};

/// Asks, and prints the answer as JSON or by `print`. Only a plain yes is [`Exit::Done`].
pub(super) fn ask(
    config: Option<&Path>,
    json: bool,
    question: impl FnOnce(&Client) -> Result<(u16, Value), ClientError>,
    print: impl FnOnce(&Value),
) -> Exit {
    let (status, value) = match answer(config, question) {
        Ok(answer) => answer,
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    match (json, status) {
        (true, _) => print_json(&value),
        (false, 200 | 202) => print(&value),
        (false, _) => print_problems(&value),
    }
    if status == 200 { Exit::Done } else { Exit::Negative }
}

/// The status and the JSON of an answer.
pub(super) fn answer(
    config: Option<&Path>,
    question: impl FnOnce(&Client) -> Result<(u16, Value), ClientError>,
) -> Result<(u16, Value), Vec<Problem>> {
    let boot = app::boot(config)?;
    let local = app::state_directory(&boot).map(|state| state.join(LOCAL_TOKEN));
    let token = std::env::var("INTERDICT_TOKEN").ok().or_else(|| {
        let raw = read_file(&local?, CONFIG_FILE).ok()?;
        raw.text().ok().map(|text| text.trim().to_owned())
    });
    question(&Client::new(boot.admin.listen, token)).map_err(|error| {
        vec![Problem::error(
            Place::file("interdict"),
            error.to_string(),
            "is `interdict serve` running with the same --config?",
        )]
    })
}

/// Where generations are kept, by the configuration.
pub(super) fn state(config: Option<&Path>) -> Result<PathBuf, Vec<Problem>> {
    let boot = app::boot(config)?;
    app::state_directory(&boot).ok_or_else(|| {
        let what = "no state directory is known";
        vec![Problem::error(Place::file("state"), what, "set `state` under [policy]")]
    })
}

/// `path` with what is `Some` of `parameters` as its query string.
pub(super) fn with(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let given: Vec<_> = parameters.iter().filter_map(|(key, value)| Some((*key, (*value)?))).collect();
    link(path, &given)
}

/// The problems of an answer, as they would be shown here.
pub(super) fn print_problems(value: &Value) {
    if value["outcome"] == "rejected" {
        eprintln!(
            "rejected at stage {}; the generation in force keeps deciding",
            value["stage"].as_str().unwrap_or("-")
        );
    }
    for problem in value["problems"].as_array().into_iter().flatten() {
        eprintln!("{}", problem_of(problem));
    }
}

/// What a person should look at, on standard error.
pub(super) fn print_warnings(value: &Value) {
    for problem in value["warnings"].as_array().into_iter().flatten() {
        eprintln!("{}", Problem { severity: Severity::Warning, ..problem_of(problem) });
    }
}

fn problem_of(problem: &Value) -> Problem {
    let place = &problem["where"];
    let place = Place {
        file: place["file"].as_str().unwrap_or_default().to_owned(),
        line: place["line"].as_u64().unwrap_or(0) as u32,
        column: place["column"].as_u64().unwrap_or(0) as u32,
    };
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    Problem::error(place, text("what"), text("hint"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_writes_arrives_as_written() {
        let path = with("/x", &[("to", None), ("reason", Some("a&b=c é")), ("last", Some("5"))]);
        assert_eq!(path, "/x?reason=a%26b%3Dc%20%C3%A9&last=5");
    }
}
