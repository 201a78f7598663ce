//! Owns what operators read over HTTP: /metrics /healthz /readyz /api/v1 /feeds. Reading is open to whoever can reach the
//! listener; changing state needs a token, see `change`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::auth::Tokens;
use super::change;
use super::egress;
use super::feeds;
use super::lately;
use super::report;
use crate::dns::{Name, RecordType};
use crate::egress::Egress;
use crate::feeds::Kept;
use crate::policy::{Inquiry, When};
use crate::problem::{Place, Problem};
use crate::reload::{Pipeline, Preview, Request};
use crate::report::Ledger;
use crate::resolve::Resolver;
use crate::telemetry::{Collect, LastDay, prometheus};
use crate::zone::Zone;

/// What the interface shows and asks.
#[derive(Clone)]
pub struct Parts {
    /// The control plane.
    pub pipeline: Arc<Pipeline>,
    /// The policy as a zone, where it is served.
    pub zone: Option<Arc<Zone>>,
    /// The policy's addresses in the kernel, where they are.
    pub egress: Option<Arc<Egress>>,
    /// Whom questions are asked of, and what trust starts from.
    pub resolver: Arc<Resolver>,
    /// What a network announces of the encrypted listeners, one each.
    pub announced: Arc<[serde_json::Value]>,
    /// What was asked lately, and what was rehearsed.
    pub last_day: Arc<LastDay>,
    /// What was counted for reports, where that is kept.
    pub ledger: Option<Arc<Ledger>>,
    /// Where reloads are asked for.
    pub requests: mpsc::Sender<Request>,
    /// Everything the scrape page shows.
    pub collectors: Arc<Vec<Arc<dyn Collect>>>,
    /// Who may change state.
    pub tokens: Arc<Tokens>,
    /// Lists that were asked for lately.
    pub feeds: Arc<Kept>,
    /// A place for the one compilation, or reading of what was kept, at a time that a question about other days or inputs may
    /// cost.
    pub compiling: Arc<Semaphore>,
}

/// Every path. No request has a body: what one sends is never read.
pub(super) fn router(parts: Parts) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .route("/api/v1/explain", get(explain))
        .route("/api/v1/diff", get(diff))
        .route("/api/v1/history", get(history))
        .route("/api/v1/audit", get(audit))
        .merge(change::routes())
        .merge(lately::routes())
        .merge(report::routes())
        .merge(feeds::routes())
        .merge(egress::routes())
        .layer(map_response(harden))
        .with_state(parts)
}

/// What every answer says to browsers and caches: it is of this moment, and nothing but what it says it is.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) type Parameters = Query<HashMap<String, String>>;

async fn metrics(State(parts): State<Parts>) -> Response {
    let collectors: Vec<&dyn Collect> = parts.collectors.iter().map(|collector| &**collector).collect();
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], prometheus::render(&collectors)).into_response()
}

async fn ready(State(parts): State<Parts>) -> Response {
    let trouble = parts.ledger.as_ref().and_then(|ledger| ledger.trouble());
    match parts.pipeline.status().map(|status| status.degraded.into_iter().chain(trouble).collect::<Vec<_>>())
    {
        Some(degraded) if degraded.is_empty() => "ready\n".into_response(),
        // It answers, and should stay in rotation: the body says what to look at.
        Some(degraded) => format!("ready, degraded: {}\n", degraded.join("; ")).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no policy is in force\n").into_response(),
    }
}

async fn status(State(parts): State<Parts>) -> Response {
    let mut status = json!(parts.pipeline.status());
    let last_day = Arc::clone(&parts.last_day);
    // It may be about to be written down.
    let covered = tokio::task::spawn_blocking(move || last_day.covered()).await;
    if let (Some(status), Ok(Some(covered))) = (status.as_object_mut(), covered) {
        status.insert("last_day".to_owned(), json!(covered));
    }
    if let (Some(status), Some(ledger)) = (status.as_object_mut(), &parts.ledger) {
        let report = json!({ "store": ledger.path(), "trouble": ledger.trouble() });
        status.insert("report".to_owned(), report);
    }
    if let (Some(status), Some(zone)) = (status.as_object_mut(), &parts.zone) {
        status.insert("zone".to_owned(), json!(zone.status()));
    }
    if let (Some(status), Some(egress)) = (status.as_object_mut(), &parts.egress) {
        status.insert("egress".to_owned(), json!(egress.status()));
    }
    if let Some(status) = status.as_object_mut() {
        status.insert("upstreams".to_owned(), json!(parts.resolver.upstreams()));
    }
    if let (Some(status), Some(anchors)) = (status.as_object_mut(), parts.resolver.trust_anchors()) {
        status.insert("trust_anchors".to_owned(), json!(anchors));
    }
    if let Some(status) = status.as_object_mut().filter(|_| !parts.announced.is_empty()) {
        status.insert("announced".to_owned(), json!(*parts.announced));
    }
    Json(status).into_response()
}

async fn explain(State(parts): State<Parts>, Query(parameters): Parameters) -> Response {
    let mut problems = Vec::new();
    let mut complain = |key: &str, why: String, hint: &str| {
        problems.push(Problem::error(Place::file(format!("?{key}=")), why, hint));
    };
    let name = match parameters.get("name").map(|name| name.parse::<Name>()).transpose() {
        Ok(name) => name,
        Err(error) => {
            complain("name", format!("not a domain name: {error}"), "");
            None
        }
    };
    let name_server = match parameters.get("name_server").map(|text| text.parse()).transpose() {
        Ok(server) => server,
        Err(error) => {
            complain("name_server", format!("neither a name nor an address: {error}"), "");
            None
        }
    };
    if !["name", "address", "name_server"].iter().any(|key| parameters.contains_key(*key)) {
        complain("name", "missing".to_owned(), "add ?name=wechat.com or ?address=192.0.2.1");
    }
    let mut address = |key: &str| {
        let parsed = parameters.get(key).map(|text| text.parse::<IpAddr>()).transpose();
        parsed.unwrap_or_else(|error| {
            complain(key, error.to_string(), "write an IP address");
            None
        })
    };
    let client = address("client").unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let address = address("address");
    let on = match parameters.get("on").map(|text| text.parse::<When>()).transpose() {
        Ok(on) => on,
        Err(error) => {
            complain("on", error.to_owned(), "write a day such as 2023-10-30");
            None
        }
    };
    let at = match parameters.get("at").map(|text| text.parse::<Timestamp>()).transpose() {
        Ok(at) => at,
        Err(_) => {
            complain("at", "not a time".to_owned(), "write a time such as 2026-11-20T14:00:00Z");
            None
        }
    };
    let identity = match parameters.get("identity").map(|text| text.parse()).transpose() {
        Ok(identity) => identity,
        Err(error) => {
            complain("identity", String::from(error), "write it as certificate:laptop-7.example");
            None
        }
    };
    let record_type = match parameters.get("type").map_or(Ok(RecordType::A), |text| text.parse()) {
        Ok(record_type) => record_type,
        Err(error) => {
            complain("type", error, "write a record type such as AAAA or TYPE65");
            RecordType::A
        }
    };
    if !problems.is_empty() {
        return (StatusCode::BAD_REQUEST, Json(json!({ "problems": problems }))).into_response();
    }
    let inquiry = Inquiry { name, record_type, client, identity, address, name_server };
    let place = match (on, at) {
        (None, None) => None,
        _ => Arc::clone(&parts.compiling).acquire_owned().await.ok(),
    };
    compute(place, move || match at {
        None => parts.pipeline.explain(&inquiry, on),
        Some(at) => parts.pipeline.then(at).map(|(then, _)| then.explain(&inquiry)),
    })
    .await
}

/// What a reload would change, or what tells two generations apart.
async fn diff(State(parts): State<Parts>, Query(parameters): Parameters) -> Response {
    let between = match between(&parameters) {
        Ok(between) => between,
        Err(problem) => return wrong(&problem),
    };
    let place = parts.compiling.acquire_owned().await.ok();
    compute(place, move || match between {
        Some((from, to)) => {
            let compared = parts.pipeline.compare(from, to);
            compared.map(|difference| Preview { difference, warnings: Vec::new() })
        }
        None => parts.pipeline.preview(),
    })
    .await
}

/// The two generations that are asked about, or none.
pub(super) fn between(parameters: &HashMap<String, String>) -> Result<Option<(u64, u64)>, Problem> {
    let number = |key: &str| parameters.get(key).map(|text| text.parse::<u64>()).transpose();
    match (number("from"), number("to")) {
        (Ok(from), Ok(to)) if from.is_some() == to.is_some() => Ok(from.zip(to)),
        _ => {
            let what = "two generations are asked for";
            Err(Problem::error(Place::file("?from=&to="), what, "write two numbers, or none"))
        }
    }
}

/// What is said to a question that cannot be read.
pub(super) fn wrong(problem: &Problem) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "problems": [problem] }))).into_response()
}

async fn history(State(parts): State<Parts>) -> Response {
    let place = Arc::clone(&parts.compiling).acquire_owned().await.ok();
    compute(place, move || Ok(parts.pipeline.history())).await
}

/// The newest entries of the audit log.
async fn audit(State(parts): State<Parts>, Query(parameters): Parameters) -> Response {
    const MOST: usize = 10_000;
    let last = parameters.get("last").and_then(|text| text.parse().ok()).unwrap_or(100).min(MOST);
    let place = Arc::clone(&parts.compiling).acquire_owned().await.ok();
    compute(place, move || parts.pipeline.audit(last)).await
}

/// Answers with what `work` finds, off the threads that must not wait; `place` is given back when the work is done,
/// even if the client no longer waits for it.
pub(super) async fn compute<T: Serialize + Send + 'static>(
    place: Option<OwnedSemaphorePermit>,
    work: impl FnOnce() -> Result<T, Vec<Problem>> + Send + 'static,
) -> Response {
    let computed = tokio::task::spawn_blocking(move || {
        let found = work();
        drop(place);
        found
    });
    match computed.await {
        Ok(Ok(found)) => Json(found).into_response(),
        Ok(Err(problems)) => (StatusCode::CONFLICT, Json(json!({ "problems": problems }))).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Row of blocked queries: labels are the policy's, numbers the workers'.
pub static BLOCKED: crate::telemetry::Metric = crate::telemetry::Metric {
    name: "interdict_blocked_queries_total",
    help: "Queries that met a rule and were blocked, or would have been in shadow mode.",
    kind: crate::telemetry::Kind::Counter,
    labels: crate::telemetry::CAUSE_LABELS,
};
