//! Owns what operators read of the past: what came into force, and the audit log, a page at a time with a link to the next (RFC 8288). Never writes either.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::answer::{Parameters, complaint, problem, with_next, wrong};
use super::api::{Parts, failed};
use crate::problem::Problem;
use crate::reload::{Entry, Generation};

/// Rows of a page that asks for no number.
const USUAL: u64 = 100;
/// Rows of the largest page.
const MOST: u64 = 10_000;

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/history", get(history)).route("/api/v1/audit", get(audit))
}

/// A part of a list, and where the next one begins.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    pub(super) next: Option<u64>,
}

/// Times a generation came into force, the newest first.
async fn history(State(parts): State<Parts>, parameters: Parameters) -> Response {
    let page = parameters.only(&["limit", "offset"]).and_then(|()| {
        let limit = parameters.number("limit", 1..MOST + 1)?;
        Ok((limit.unwrap_or(MOST), parameters.number("offset", 0..u64::from(u32::MAX))?.unwrap_or(0)))
    });
    let (limit, offset) = match page {
        Ok(page) => page,
        Err(problem) => return wrong(&problem),
    };
    let found = read(&parts, move |parts| Ok(generations(parts, offset, limit))).await;
    show(found, |next| format!("/api/v1/history?limit={limit}&offset={next}"))
}

/// The generations from `offset` on.
pub(super) fn generations(parts: &Parts, offset: u64, limit: u64) -> Page<Generation> {
    let all = parts.pipeline.history();
    let next = offset.saturating_add(limit);
    let more = all.len() as u64 > next;
    let rows = all.into_iter().skip(offset as usize).take(limit as usize).collect();
    Page { rows, next: more.then_some(next) }
}

/// The newest entries of the audit log, oldest first; with `before`, of those that are older.
async fn audit(State(parts): State<Parts>, parameters: Parameters) -> Response {
    let page = parameters.only(&["last", "before"]).and_then(|()| {
        if parameters.get("before").is_some_and(|text| text == "0") {
            return Err(complaint("before", "there is no entry before the first", "write a number from 1"));
        }
        Ok((
            parameters.number("last", 1..MOST + 1)?.unwrap_or(USUAL),
            parameters.number("before", 1..u64::MAX)?,
        ))
    });
    let (last, before) = match page {
        Ok(page) => page,
        Err(problem) => return wrong(&problem),
    };
    let found = read(&parts, move |parts| entries(parts, last, before)).await;
    show(found, |next| format!("/api/v1/audit?last={last}&before={next}"))
}

/// The newest entries before `before`.
pub(super) fn entries(parts: &Parts, last: u64, before: Option<u64>) -> Result<Page<Entry>, Vec<Problem>> {
    let rows = parts.pipeline.audit(last as usize, before)?;
    let next = rows.first().map(|oldest| oldest.sequence).filter(|oldest| *oldest > 1);
    Ok(Page { rows, next })
}

/// Reads, one at a time, off the threads that must not wait; `None` when the reading died.
pub(super) async fn read<T: Send + 'static>(
    parts: &Parts,
    work: impl FnOnce(&Parts) -> Result<T, Vec<Problem>> + Send + 'static,
) -> Option<Result<T, Vec<Problem>>> {
    let place = Arc::clone(&parts.compiling).acquire_owned().await.ok();
    let parts = parts.clone();
    let found = tokio::task::spawn_blocking(move || {
        let found = work(&parts);
        drop(place);
        found
    });
    found.await.ok()
}

/// Answers with a part, and where the next one is.
pub(super) fn show<T: Serialize>(
    found: Option<Result<Page<T>, Vec<Problem>>>,
    link: impl FnOnce(u64) -> String,
) -> Response {
    let Page { rows, next } = match found {
        Some(Ok(page)) => page,
        Some(Err(problems)) => return problem(StatusCode::CONFLICT, &problems),
        None => return failed(),
    };
    with_next(Json(rows).into_response(), next.map(link).as_deref())
}
