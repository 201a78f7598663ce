//! Owns what operators read of the reports: who was blocked, by which act, and on which devices an app very likely is. Clients are shown only to who may change
//! state. Never counts anything.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;

use super::api::{Parameters, Parts, wrong};
use super::change::{owner, stranger};
use crate::problem::{Place, Problem};
use crate::report::{Asked, Ledger};

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/report", get(report)).route("/api/v1/report/devices", get(devices))
}

/// A report of a day, a month or days in a row; of this month when nothing is asked.
async fn report(State(parts): State<Parts>, headers: HeaderMap, Query(parameters): Parameters) -> Response {
    let detailed = parameters.get("detail").is_some_and(|detail| detail == "day");
    answer(&parts, &headers, &parameters, move |ledger, asked| ledger.report(asked, detailed)).await
}

/// Devices that very likely have an app, by the days asked for; by the last 30 when nothing is asked.
async fn devices(State(parts): State<Parts>, headers: HeaderMap, Query(parameters): Parameters) -> Response {
    answer(&parts, &headers, &parameters, Ledger::devices).await
}

async fn answer<T: Serialize + Send + 'static>(
    parts: &Parts,
    headers: &HeaderMap,
    parameters: &HashMap<String, String>,
    read: impl FnOnce(&Ledger, &Asked) -> Result<T, Problem> + Send + 'static,
) -> Response {
    if owner(parts, headers).await.is_none() {
        return stranger();
    }
    let Some(ledger) = parts.ledger.clone() else {
        let hint = "set [report] store, or [policy] state, and days other than 0";
        return wrong(&Problem::error(Place::file("[report]"), "nothing is counted for reports", hint));
    };
    let of = |key: &str| parameters.get(key).cloned();
    let asked = Asked { day: of("day"), month: of("month"), from: of("from"), to: of("to") };
    // Reading a year takes its time: one at a time.
    let place = Arc::clone(&parts.compiling).acquire_owned().await.ok();
    let found = tokio::task::spawn_blocking(move || {
        let found = read(&ledger, &asked);
        drop(place);
        found
    });
    match found.await {
        Ok(Ok(found)) => Json(found).into_response(),
        Ok(Err(problem)) if problem.place.file.starts_with('?') => wrong(&problem),
        Ok(Err(problem)) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "problems": [problem] }))).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
