//! Owns what operators ask to be changed over HTTP: who asks, why, and how it ended. A stranger is told nothing but that,
//! and written down. Never changes anything by itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use serde_json::json;
use tokio::sync::oneshot;

use super::api::Parts;
use crate::problem::{Place, Problem};
use crate::reload::{By, Outcome, Request, RequestKind};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// One request for a change.
struct Asked {
    parts: Parts,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    parameters: HashMap<String, String>,
}

/// A reason is a sentence or two, as history and audit log keep it.
const REASON: usize = 500;
/// A signature that minisign writes has some 350 bytes.
const SIGNATURE: usize = 4096;

/// Every path that changes something. What belongs to a request is in its query string: no request has a body.
pub(super) fn routes() -> Router<Parts> {
    type Parameters = Query<HashMap<String, String>>;
    type Sender = Option<Extension<Peer>>;
    macro_rules! change {
        ($kind:expr) => {
            post(
                async |State(parts): State<Parts>,
                       peer: Sender,
                       headers: HeaderMap,
                       Query(parameters): Parameters| {
                    Asked { parts, peer, headers, parameters }.answer($kind).await
                },
            )
        };
    }
    Router::new()
        .route("/api/v1/approve", change!(approve))
        .route("/api/v1/pin", change!(|asked| Ok(RequestKind::Pin { to: number(asked)? })))
        .route("/api/v1/reload", change!(reload))
        .route("/api/v1/rollback", change!(|asked| Ok(RequestKind::Rollback { to: number(asked)? })))
        .route("/api/v1/unpin", change!(|_| Ok(RequestKind::Unpin)))
}

type Parsed<T> = Result<T, Problem>;

fn complain(key: &str, what: &str, hint: &str) -> Problem {
    Problem::error(Place::file(format!("?{key}=")), what, hint)
}

fn reload(asked: &HashMap<String, String>) -> Parsed<RequestKind> {
    let accept_shrink = ["accept_shrink", "accept_growth", "accept_most_asked"]
        .into_iter()
        .any(|name| asked.get(name).is_some_and(|value| value == "true"));
    Ok(RequestKind::Reload { accept_shrink })
}

fn approve(asked: &HashMap<String, String>) -> Parsed<RequestKind> {
    let law = asked.get("candidate").ok_or_else(|| {
        complain("candidate", "missing", "add ?candidate= and the digest that `interdict approve` shows")
    })?;
    let signature = asked
        .get("signature")
        .filter(|text| text.len() <= SIGNATURE)
        .ok_or_else(|| complain("signature", "missing or too long", "add the file that minisign wrote"))?;
    Ok(RequestKind::Approve { law: law.clone(), signature: signature.clone() })
}

fn number(asked: &HashMap<String, String>) -> Parsed<Option<u64>> {
    asked
        .get("to")
        .map(|text| text.parse().map_err(|_| complain("to", "not a generation", "write its number")))
        .transpose()
}

/// The reason given, in one line.
fn reason(asked: &HashMap<String, String>) -> Parsed<String> {
    let text = asked.get("reason").map_or("", String::as_str).trim();
    if text.chars().count() > REASON {
        return Err(complain("reason", "too long", "say it in 500 characters"));
    }
    Ok(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

impl Asked {
    async fn answer(self, kind: impl FnOnce(&HashMap<String, String>) -> Parsed<RequestKind>) -> Response {
        let kind = kind(&self.parameters);
        let Some(who) = owner(&self.parts, &self.headers).await else {
            let what = kind.as_ref().map_or("request", RequestKind::as_str);
            self.refuse(what).await;
            return stranger();
        };
        let (kind, why) = match (kind, reason(&self.parameters)) {
            (Ok(kind), Ok(why)) => (kind, why),
            (kind, why) => {
                let problems: Vec<Problem> = kind.err().into_iter().chain(why.err()).collect();
                return (StatusCode::BAD_REQUEST, Json(json!({ "problems": problems }))).into_response();
            }
        };
        let from = self.peer.map(|Extension(Peer(address))| address);
        tracing::info!(%who, %why, ?from, what = kind.as_str(), "asked through the API");
        let (reply, outcome) = oneshot::channel();
        let request = Request { kind, by: By { who, why }, reply };
        if self.parts.requests.send(request).await.is_err() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        match outcome.await {
            Ok(outcome @ Outcome::Rejected { .. }) => (StatusCode::CONFLICT, Json(outcome)).into_response(),
            Ok(outcome @ (Outcome::Held { .. } | Outcome::Waiting(_))) => {
                (StatusCode::ACCEPTED, Json(outcome)).into_response()
            }
            Ok(outcome) => Json(outcome).into_response(),
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }

    /// Writes down that a stranger asked.
    async fn refuse(&self, what: &'static str) {
        let from = self.peer.map(|Extension(Peer(address))| address);
        let pipeline = Arc::clone(&self.parts.pipeline);
        // The log may wait for a disk; a stranger need not know.
        drop(tokio::task::spawn_blocking(move || pipeline.refuse_stranger(from, what)).await);
    }
}

/// Whose token was sent.
pub(super) async fn owner(parts: &Parts, headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?;
    let token = value.to_str().ok()?.strip_prefix("Bearer ")?.to_owned();
    let tokens = Arc::clone(&parts.tokens);
    tokio::task::spawn_blocking(move || tokens.owner(&token)).await.ok()?
}

/// What is said to somebody without a valid token.
pub(super) fn stranger() -> Response {
    let hint = "send `Authorization: Bearer TOKEN` with a token of the file that [admin] tokens names";
    let problem = Problem::error(Place::file("Authorization"), "no valid token was sent", hint);
    (StatusCode::UNAUTHORIZED, Json(json!({ "problems": [problem] }))).into_response()
}
