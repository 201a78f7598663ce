//! Owns the description of the interface (OpenAPI 3.1) as it is served. A test holds it and the routes together. Never answers for anything else.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};

use super::answer::{Parameters, wrong};
use super::api::Parts;

/// The document.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/openapi.json", get(document))
}

async fn document(State(_): State<Parts>, parameters: Parameters) -> Response {
    match parameters.only(&[]) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response(),
        Err(problem) => wrong(&problem),
    }
}
