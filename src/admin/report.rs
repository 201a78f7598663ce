//! Owns what operators read of the reports: who was blocked, by which act, and on which devices an app very likely is. Clients are shown only to who is
//! known. Never counts anything.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::answer::{Parameters, absent, complaint, problem, stranger, wrong};
use super::api::Parts;
use super::visitor::Visitor;
use crate::problem::{Place, Problem};
use crate::report::{Asked, Ledger};

/// The days that are asked for.
pub(super) const DAYS: [&str; 4] = ["day", "month", "from", "to"];

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/report", get(report)).route("/api/v1/report/devices", get(devices))
}

/// A report of a day, a month or days in a row; of this month when nothing is asked.
async fn report(State(parts): State<Parts>, visitor: Visitor, parameters: Parameters) -> Response {
    let detailed = match parameters.get("detail") {
        None => false,
        Some("day") => true,
        Some(_) => return wrong(&complaint("detail", "is not known", "write day, or leave it out")),
    };
    if let Err(problem) = parameters.only(&[&DAYS[..], &["detail"]].concat()) {
        return wrong(&problem);
    }
    answer(&parts, &visitor, &parameters, move |ledger, asked| ledger.report(asked, detailed)).await
}

/// Devices that very likely have an app, by the days asked for; by the last 30 when nothing is asked.
async fn devices(State(parts): State<Parts>, visitor: Visitor, parameters: Parameters) -> Response {
    if let Err(problem) = parameters.only(&DAYS) {
        return wrong(&problem);
    }
    answer(&parts, &visitor, &parameters, Ledger::devices).await
}

/// The days that somebody asks for.
pub(super) fn asked(parameters: &Parameters) -> Asked {
    let of = |key: &str| parameters.get(key).filter(|text| !text.is_empty()).map(str::to_owned);
    Asked { day: of("day"), month: of("month"), from: of("from"), to: of("to") }
}

/// Why there is nothing to read where nothing is counted.
pub(super) fn uncounted() -> Problem {
    let hint = "set [report] store, or [policy] state, and days other than 0";
    Problem::error(Place::file("[report]"), "nothing is counted for reports", hint)
}

/// Reads the ledger, one at a time, off the threads that must not wait.
pub(super) async fn read<T: Send + 'static>(
    parts: &Parts,
    asked: Asked,
    read: impl FnOnce(&Ledger, &Asked) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let ledger = parts.ledger.clone().ok_or_else(uncounted)?;
    // Reading a year takes its time: one at a time.
    let place = Arc::clone(&parts.compiling).acquire_owned().await.ok();
    let found = tokio::task::spawn_blocking(move || {
        let found = read(&ledger, &asked);
        drop(place);
        found
    });
    let failed = |_| Problem::error(Place::file("[report]"), "could not be read", "the log says why");
    found.await.map_err(failed)?
}

async fn answer<T: Serialize + Send + 'static>(
    parts: &Parts,
    visitor: &Visitor,
    parameters: &Parameters,
    read: impl FnOnce(&Ledger, &Asked) -> Result<T, Problem> + Send + 'static,
) -> Response {
    if !visitor.is_known() {
        return stranger();
    }
    if parts.ledger.is_none() {
        return absent(&uncounted());
    }
    match self::read(parts, asked(parameters), read).await {
        Ok(found) => Json(found).into_response(),
        Err(problem) if problem.place.file.starts_with('?') => wrong(&problem),
        Err(one) => problem(StatusCode::SERVICE_UNAVAILABLE, &[one]),
    }
}
