//! Owns what operators read of people's questions: what a change would mean for them, and what shadow mode would have blocked.
//! Names that were asked, and clients, are shown only to who is known. Never changes anything.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Router, routing::get};

use super::answer::{Parameters, stranger, wrong};
use super::api::{Parts, between, compute};
use super::visitor::Visitor;

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/impact", get(impact)).route("/api/v1/report/shadow", get(shadow))
}

/// What a reload would have meant for what was asked in the last day, or going from one generation to another.
async fn impact(State(parts): State<Parts>, visitor: Visitor, parameters: Parameters) -> Response {
    if !visitor.is_known() {
        return stranger();
    }
    let between = match between(&parts, &parameters) {
        Ok(between) => between,
        Err(problem) => return wrong(&problem),
    };
    let place = Arc::clone(&parts.compiling).acquire_owned().await.ok();
    compute(place, move || parts.pipeline.impact(between)).await
}

/// What shadow mode would have blocked.
async fn shadow(State(parts): State<Parts>, visitor: Visitor, parameters: Parameters) -> Response {
    if !visitor.is_known() {
        return stranger();
    }
    if let Err(problem) = parameters.only(&[]) {
        return wrong(&problem);
    }
    compute(None, move || Ok(parts.last_day.rehearsed())).await
}
