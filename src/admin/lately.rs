//! Owns what operators read of people's questions: what a change would mean for them, and what shadow mode would have blocked.
//! Names that were asked, and clients, are shown only to who may change state. Never changes anything.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Router, routing::get};

use super::api::{Parameters, Parts, between, compute, wrong};
use super::change::{owner, stranger};

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/impact", get(impact)).route("/api/v1/report/shadow", get(shadow))
}

/// What a reload would have meant for what was asked in the last day, or going from one generation to another.
async fn impact(State(parts): State<Parts>, headers: HeaderMap, Query(parameters): Parameters) -> Response {
    if owner(&parts, &headers).await.is_none() {
        return stranger();
    }
    let between = match between(&parameters) {
        Ok(between) => between,
        Err(problem) => return wrong(&problem),
    };
    let place = Arc::clone(&parts.compiling).acquire_owned().await.ok();
    compute(place, move || parts.pipeline.impact(between)).await
}

/// What shadow mode would have blocked.
async fn shadow(State(parts): State<Parts>, headers: HeaderMap) -> Response {
    if owner(&parts, &headers).await.is_none() {
        return stranger();
    }
    compute(None, move || Ok(parts.last_day.rehearsed())).await
}
