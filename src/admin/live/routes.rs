//! Owns what operators read of now over HTTP: /api/v1/now, /api/v1/trend, /api/v1/recent. Records show names that people asked: they are for those
//! who are known. Never writes.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};

use super::super::answer::{Parameters, absent, complaint, stranger, with_next, wrong};
use super::super::api::{Parts, compute};
use super::super::visitor::Visitor;
use super::now::Now;
use super::tail::Filter;
use super::trend::Span;
use crate::problem::{Place, Problem};
use crate::telemetry::Decision;

pub(in crate::admin) fn routes() -> Router<Parts> {
    Router::new()
        .route("/api/v1/now", get(now))
        .route("/api/v1/trend", get(trend))
        .route("/api/v1/recent", get(recent))
}

async fn now(State(parts): State<Parts>, parameters: Parameters) -> Response {
    if let Err(problem) = parameters.only(&[]) {
        return wrong(&problem);
    }
    compute(None, move || Ok(Now::read(&parts.trend, parts.clock.wall()))).await
}

async fn trend(State(parts): State<Parts>, parameters: Parameters) -> Response {
    let span = parameters.only(&["span"]).and_then(|()| span(&parameters));
    match span {
        Ok(span) => compute(None, move || Ok(parts.trend.buckets(span))).await,
        Err(problem) => wrong(&problem),
    }
}

fn span(parameters: &Parameters) -> Result<Span, Problem> {
    let Some(text) = parameters.get("span") else { return Ok(Span::default()) };
    text.parse().map_err(|hint| complaint("span", "is not known", hint))
}

/// The newest records, the newest first.
async fn recent(State(parts): State<Parts>, visitor: Visitor, parameters: Parameters) -> Response {
    if !visitor.is_known() {
        return stranger();
    }
    let filter = match read_filter(&parameters) {
        Ok(filter) => filter,
        Err(problem) => return wrong(&problem),
    };
    let Some(tail) = &parts.tail else {
        let hint = "set `tail` under [admin], or a query log, or reports";
        return absent(&Problem::error(Place::file("[admin]"), "no records are kept", hint));
    };
    let found = tail.newest(&filter);
    // Whoever follows asks for what comes after the newest there is.
    let newest = found.first().map_or(filter.after, |seen| seen.number);
    let rows = Json(found.iter().map(|seen| &**seen).collect::<Vec<_>>());
    with_next(rows.into_response(), Some(&format!("/api/v1/recent?after={newest}")))
}

/// What somebody wants to see of the newest records.
pub(in crate::admin) fn read_filter(parameters: &Parameters) -> Result<Filter, Problem> {
    parameters.only(&["name", "client", "app", "verdict", "group", "after", "limit"])?;
    let of = |key: &str| parameters.get(key).unwrap_or("").trim().to_owned();
    let verdict = of("verdict");
    if parameters.get("verdict").is_some() {
        verdict.parse::<Decision>().map_err(|hint| complaint("verdict", "is not known", &hint))?;
    }
    Ok(Filter {
        name: of("name").to_ascii_lowercase(),
        client: of("client"),
        app: of("app"),
        verdict,
        group: of("group"),
        after: parameters.number("after", 0..u64::MAX)?.unwrap_or(0),
        most: parameters.number("limit", 1..1001)?.unwrap_or(100) as usize,
    })
}

/// What the policy can have said.
pub(in crate::admin) fn verdicts() -> [&'static str; 5] {
    Decision::ALL.map(Decision::as_str)
}
