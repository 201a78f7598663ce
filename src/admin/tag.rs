//! Owns the names of answers: what was read before and has not changed is not sent again (RFC 9110 section 13.1.2). Never keeps an answer.

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::sources::Digest;

/// Answers above this size are sent as they are.
const LARGEST: usize = 8 << 20;

/// Names a good answer of the API by its bytes, and leaves them out for who knows them.
pub(super) async fn name_answer(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_of_api = request.uri().path().starts_with("/api/");
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let fits = response.body().size_hint().exact().is_some_and(|size| size <= LARGEST as u64);
    if !is_read || !is_of_api || !fits || response.status() != StatusCode::OK {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // All of it is in memory already.
    let Ok(bytes) = to_bytes(body, LARGEST).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let tag = format!("\"{}\"", Digest::of(&bytes).to_string().get(..32).unwrap_or_default());
    let is_known =
        known.as_ref().and_then(|known| known.to_str().ok()).is_some_and(|known| holds(known, &tag));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        head.headers.insert(header::ETAG, tag);
    }
    if !is_known {
        return Response::from_parts(head, Body::from(bytes));
    }
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::CONTENT_TYPE);
    Response::from_parts(head, Body::empty())
}

/// Whether a list of tags holds one.
pub(super) fn holds(known: &str, tag: &str) -> bool {
    known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_not() {
        assert!(holds("\"a\", W/\"b\"", "\"b\"") && holds("*", "\"x\""));
        assert!(!holds("\"a\"", "\"b\"") && !holds("", "\"b\""));
    }
}
