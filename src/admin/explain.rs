//! Owns the question what a name or an address gets and why, as it is asked over HTTP. Never decides.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Router, routing::get};
use jiff::Timestamp;

use super::answer::{Parameters, complaint, problem};
use super::api::{Parts, compute};
use crate::dns::{Name, RecordType};
use crate::policy::{Explanation, Identity, Inquiry, NameServer, When};
use crate::problem::Problem;

/// Everything that can be said of a question.
pub(super) const KEYS: [&str; 8] =
    ["name", "address", "name_server", "type", "client", "identity", "on", "at"];

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/explain", get(explain))
}

/// A question, and for when.
#[derive(Debug)]
pub(super) struct Question {
    inquiry: Inquiry,
    on: Option<When>,
    at: Option<Timestamp>,
}

async fn explain(State(parts): State<Parts>, parameters: Parameters) -> Response {
    let question = match Question::read(&parameters) {
        Ok(question) => question,
        Err(problems) => return problem(StatusCode::BAD_REQUEST, &problems),
    };
    let place = match question.must_compile() {
        false => None,
        true => Arc::clone(&parts.compiling).acquire_owned().await.ok(),
    };
    compute(place, move || question.answer(&parts)).await
}

impl Question {
    /// Reads a question; parameters that are empty count as left out, as forms send them so.
    pub(super) fn read(parameters: &Parameters) -> Result<Self, Vec<Problem>> {
        let mut problems: Vec<Problem> = parameters.only(&KEYS).err().into_iter().collect();
        let mut complain = |key: &str, what: &str, hint: &str| problems.push(complaint(key, what, hint));
        let given = |key: &str| parameters.get(key).map(str::trim).filter(|text| !text.is_empty());
        if ["name", "address", "name_server"].iter().all(|key| given(key).is_none()) {
            complain("name", "missing", "add ?name=wechat.com or ?address=192.0.2.1");
        }
        let name = given("name").and_then(|text| {
            let read = text.parse::<Name>();
            read.map_err(|error| complain("name", &format!("not a domain name: {error}"), "")).ok()
        });
        let name_server = given("name_server").and_then(|text| {
            let read = text.parse::<NameServer>();
            let what = |error| format!("neither a name nor an address: {error}");
            read.map_err(|error| complain("name_server", &what(error), "")).ok()
        });
        let mut address = |key: &str| {
            let text = given(key)?;
            let read = text.parse::<IpAddr>();
            read.map_err(|error| complain(key, &error.to_string(), "write an IP address")).ok()
        };
        let (client, address) = (address("client"), address("address"));
        let on = given("on").and_then(|text| {
            text.parse::<When>().map_err(|error| complain("on", error, "write a day such as 2023-10-30")).ok()
        });
        let at = given("at").and_then(|text| {
            let hint = "write a time such as 2026-11-20T14:00:00Z";
            text.parse::<Timestamp>().map_err(|_| complain("at", "not a time", hint)).ok()
        });
        let identity = given("identity").and_then(|text| {
            let hint = "write it as certificate:laptop-7.example";
            text.parse::<Identity>().map_err(|error| complain("identity", error, hint)).ok()
        });
        let record_type = match given("type").map_or(Ok(RecordType::A), str::parse::<RecordType>) {
            Ok(record_type) => record_type,
            Err(error) => {
                complain("type", &error, "write a record type such as AAAA or TYPE65");
                RecordType::A
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let client = client.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        Ok(Self { inquiry: Inquiry { name, record_type, client, identity, address, name_server }, on, at })
    }

    /// Whether a policy must be compiled for it.
    pub(super) fn must_compile(&self) -> bool {
        self.on.is_some() || self.at.is_some()
    }

    /// The answer. May compile: not for a thread that must not wait.
    pub(super) fn answer(&self, parts: &Parts) -> Result<Explanation, Vec<Problem>> {
        match self.at {
            None => parts.pipeline.explain(&self.inquiry, self.on),
            Some(at) => parts.pipeline.then(at).map(|(then, _)| then.explain(&self.inquiry)),
        }
    }
}
