//! Owns what operators ask to be changed: who asks, with which role, why, and how it ended. A stranger is told nothing but that,
//! and written down, as is who may not. Never changes anything by itself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use serde_json::json;
use tokio::sync::oneshot;

use super::answer::{Parameters, complaint, forbidden, problem, problem_with, stranger, unavailable};
use super::api::Parts;
use super::person::{Person, Role};
use super::visitor::Visitor;
use crate::problem::Problem;
use crate::reload::{By, Outcome, Request, RequestKind};

/// A reason is a sentence or two, as history and audit log keep it.
const REASON: usize = 500;
/// A signature that minisign writes has some 350 bytes.
const SIGNATURE: usize = 4096;

/// Every path that changes something. What belongs to a request is in its query string: no request has a body.
pub(super) fn routes() -> Router<Parts> {
    macro_rules! change {
        ($read:expr) => {
            post(async |State(parts): State<Parts>, visitor: Visitor, parameters: Parameters| {
                answer(parts, &visitor, &parameters, $read).await
            })
        };
    }
    Router::new()
        .route("/api/v1/approve", change!(approve))
        .route("/api/v1/pin", change!(pin))
        .route("/api/v1/reload", change!(reload))
        .route("/api/v1/rollback", change!(rollback))
        .route("/api/v1/unpin", change!(unpin))
}

type Parsed<T> = Result<T, Problem>;

const ACCEPT: [&str; 3] = ["accept_shrink", "accept_growth", "accept_most_asked"];

/// A reload.
pub(super) fn reload(asked: &Parameters) -> Parsed<RequestKind> {
    asked.only(&[&ACCEPT[..], &["reason"]].concat())?;
    let mut accept_shrink = false;
    for name in ACCEPT {
        accept_shrink |= asked.boolean(name)?;
    }
    Ok(RequestKind::Reload { accept_shrink })
}

/// A signature of the change that waits.
pub(super) fn approve(asked: &Parameters) -> Parsed<RequestKind> {
    asked.only(&["candidate", "signature", "reason"])?;
    let law = asked.get("candidate").filter(|law| !law.is_empty()).ok_or_else(|| {
        complaint("candidate", "missing", "add ?candidate= and the digest that `interdict approve` shows")
    })?;
    let signature = asked
        .get("signature")
        .filter(|text| !text.is_empty() && text.len() <= SIGNATURE)
        .ok_or_else(|| complaint("signature", "missing or too long", "add the file that minisign wrote"))?;
    Ok(RequestKind::Approve { law: law.to_owned(), signature: signature.to_owned() })
}

/// A pin.
pub(super) fn pin(asked: &Parameters) -> Parsed<RequestKind> {
    Ok(RequestKind::Pin { to: generation(asked)? })
}

/// A rollback.
pub(super) fn rollback(asked: &Parameters) -> Parsed<RequestKind> {
    Ok(RequestKind::Rollback { to: generation(asked)? })
}

/// The end of a pin.
pub(super) fn unpin(asked: &Parameters) -> Parsed<RequestKind> {
    asked.only(&["reason"])?;
    Ok(RequestKind::Unpin)
}

fn generation(asked: &Parameters) -> Parsed<Option<u64>> {
    asked.only(&["to", "reason"])?;
    asked.number("to", 0..u64::MAX)
}

/// The reason given, in one line.
fn reason(asked: &Parameters) -> Parsed<String> {
    let text = asked.get("reason").unwrap_or("").trim();
    if text.chars().count() > REASON {
        return Err(complaint("reason", "too long", "say it in 500 characters"));
    }
    Ok(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// The role that a change needs.
pub(super) fn role_for(kind: &RequestKind) -> Role {
    match kind {
        RequestKind::Approve { .. } => Role::Approver,
        RequestKind::Pin { .. }
        | RequestKind::Reload { .. }
        | RequestKind::Rollback { .. }
        | RequestKind::Unpin => Role::Operator,
    }
}

/// How it ended that a change was asked for.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nobody who is known asked.
    Stranger,
    /// Who asked does not hold the role.
    Forbidden(Role),
    /// It cannot be read.
    Wrong(Vec<Problem>),
    /// It was looked at.
    Outcome(Outcome),
    /// The process stops.
    Gone,
}

/// Has `person` ask for what `read` makes of the parameters.
pub(super) async fn ask(
    parts: &Parts,
    visitor: &Visitor,
    person: Option<&Person>,
    parameters: &Parameters,
    read: impl FnOnce(&Parameters) -> Parsed<RequestKind>,
) -> Ended {
    let kind = read(parameters);
    let from = visitor.from;
    let Some(Person { name, roles }) = person else {
        let what = kind.as_ref().map_or("request", RequestKind::as_str);
        let pipeline = Arc::clone(&parts.pipeline);
        // The log may wait for a disk; a stranger need not know.
        drop(tokio::task::spawn_blocking(move || pipeline.refuse_stranger(from, what)).await);
        return Ended::Stranger;
    };
    let (kind, why) = match (kind, reason(parameters)) {
        (Ok(kind), Ok(why)) => (kind, why),
        (kind, why) => return Ended::Wrong(kind.err().into_iter().chain(why.err()).collect()),
    };
    let by = By { who: name.clone(), why };
    let role = role_for(&kind);
    if !roles.hold(role) {
        let (pipeline, what) = (Arc::clone(&parts.pipeline), kind.as_str());
        drop(tokio::task::spawn_blocking(move || pipeline.refuse(&by, from, what)).await);
        return Ended::Forbidden(role);
    }
    tracing::info!(who = %by.who, why = %by.why, ?from, what = kind.as_str(), "asked through the API");
    let (reply, outcome) = oneshot::channel();
    if parts.requests.send(Request { kind, by, reply }).await.is_err() {
        return Ended::Gone;
    }
    outcome.await.map_or(Ended::Gone, Ended::Outcome)
}

async fn answer(
    parts: Parts,
    visitor: &Visitor,
    parameters: &Parameters,
    read: impl FnOnce(&Parameters) -> Parsed<RequestKind>,
) -> Response {
    match ask(&parts, visitor, visitor.by_request(), parameters, read).await {
        Ended::Stranger => stranger(),
        Ended::Forbidden(role) => forbidden(role.as_str()),
        Ended::Wrong(problems) => problem(StatusCode::BAD_REQUEST, &problems),
        Ended::Gone => unavailable("the process stops"),
        Ended::Outcome(outcome) => match &outcome {
            Outcome::Rejected { problems, .. } => {
                problem_with(StatusCode::CONFLICT, problems, json!(outcome))
            }
            Outcome::Held { .. } | Outcome::Waiting(_) => {
                (StatusCode::ACCEPTED, Json(outcome)).into_response()
            }
            Outcome::Published { .. } | Outcome::Unchanged { .. } => Json(outcome).into_response(),
        },
    }
}
