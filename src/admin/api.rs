//! Owns what operators read over HTTP: /metrics /healthz /readyz /api/v1 /feeds, and the pages. Reading what shows nobody is open to whoever can reach the
//! listener unless configured otherwise; changing state needs a role, see `change`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::answer::{Parameters, absent, problem, unmade, wrong};
use super::auth::Tokens;
use super::config::Config;
use super::live::{self, Tail, Trend};
use super::oidc::SignIn;
use super::session::Sessions;
use super::{
    change, egress, explain, feeds, lately, log, openapi, pages, policy, records, report, tag, visitor,
};
use crate::clock::Clock;
use crate::egress::Egress;
use crate::feeds::Kept;
use crate::problem::{Place, Problem};
use crate::reload::{Pipeline, Preview, Request};
use crate::report::Ledger;
use crate::resolve::Resolver;
use crate::telemetry::{self, Collect, LastDay, prometheus};
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
    /// Who may do what.
    pub tokens: Arc<Tokens>,
    /// Browsers that logged in.
    pub sessions: Arc<Sessions>,
    /// Signing in at a provider, where there is one.
    pub sign_in: Option<Arc<SignIn>>,
    /// The settings of this door.
    pub config: Arc<Config>,
    /// What tells the time.
    pub clock: Clock,
    /// The numbers of the last day.
    pub trend: Arc<Trend>,
    /// The newest records, where they are kept.
    pub tail: Option<Arc<Tail>>,
    /// Where queries are logged.
    pub querylog: Arc<telemetry::Config>,
    /// A place for the one search of a log at a time.
    pub searching: Arc<Semaphore>,
    /// Lists that were asked for lately.
    pub feeds: Arc<Kept>,
    /// A place for the one compilation, or reading of what was kept, at a time that a question about other days or inputs may
    /// cost.
    pub compiling: Arc<Semaphore>,
}

/// Every path. No request of the API has a body: what one sends is never read.
pub(super) fn router(parts: Parts) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .route("/api/v1/diff", get(diff))
        .merge(change::routes())
        .merge(explain::routes())
        .merge(records::routes())
        .merge(lately::routes())
        .merge(live::routes())
        .merge(log::routes())
        .merge(report::routes())
        .merge(feeds::routes())
        .merge(egress::routes())
        .merge(openapi::routes())
        .merge(policy::routes())
        .merge(pages::routes())
        .fallback(nothing_there)
        .method_not_allowed_fallback(not_so)
        .layer(from_fn(tag::name_answer))
        .layer(from_fn_with_state(parts.clone(), visitor::identify))
        .layer(map_response(harden))
        .with_state(parts)
}

async fn nothing_there(uri: Uri) -> Response {
    absent(&Problem::error(
        Place::file(uri.path()),
        "there is nothing there",
        "/api/v1/openapi.json lists every path",
    ))
}

async fn not_so(method: Method, uri: Uri) -> Response {
    let what = format!("{method} is not possible there");
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        &[Problem::error(Place::file(uri.path()), what, "the field Allow says what is")],
    )
}

/// What every answer says to browsers and caches: it is of this moment, and nothing but what it says it is.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

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

async fn status(State(parts): State<Parts>, parameters: Parameters) -> Response {
    if let Err(problem) = parameters.only(&[]) {
        return wrong(&problem);
    }
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

/// What a reload would change, or what tells two generations apart.
async fn diff(State(parts): State<Parts>, parameters: Parameters) -> Response {
    let between = match between(&parts, &parameters) {
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

/// The two generations that are asked about, or none; the one in force stands for one that is left out.
pub(super) fn between(parts: &Parts, parameters: &Parameters) -> Result<Option<(u64, u64)>, Problem> {
    parameters.only(&["from", "to"])?;
    let number = |key: &str| parameters.number(key, 0..u64::MAX);
    let in_force = || parts.pipeline.in_force().map(|snapshot| snapshot.generation());
    Ok(match (number("from")?, number("to")?) {
        (None, None) => None,
        (from, to) => from.or_else(in_force).zip(to.or_else(in_force)),
    })
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
        Ok(Err(problems)) => problem(StatusCode::CONFLICT, &problems),
        Err(_) => failed(),
    }
}

/// What is said when an answer could not be computed.
pub(super) fn failed() -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, &[unmade()])
}

/// Row of blocked queries: labels are the policy's, numbers the workers'.
pub static BLOCKED: telemetry::Metric = telemetry::Metric {
    name: "interdict_blocked_queries_total",
    help: "Queries that met a rule and were blocked, or would have been in shadow mode.",
    kind: telemetry::Kind::Counter,
    labels: telemetry::CAUSE_LABELS,
};
