//! Owns the lists that firewalls, proxies and resolvers fetch: /feeds/FORMAT. Open to whoever may read the policy. Never renders on a thread that
//! must not wait.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};

use super::answer::{Parameters, absent, wrong};
use super::api::Parts;
use super::tag;
use crate::feeds::{Format, Part, Selection, Served};
use crate::problem::{Place, Problem};

const GENERATION: HeaderName = HeaderName::from_static("interdict-generation");
const POLICY: HeaderName = HeaderName::from_static("interdict-policy");
const LEFT_OUT: HeaderName = HeaderName::from_static("interdict-left-out");

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/feeds/{format}", get(feed))
}

async fn feed(
    State(parts): State<Parts>,
    Path(format): Path<String>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Response {
    let format = match format.parse::<Format>() {
        Ok(format) => format,
        Err(problem) => return absent(&problem),
    };
    let of = |key: &str| parameters.get(key).map(str::to_owned);
    let (app, instrument) = (of("app"), of("instrument"));
    if app.is_some() && instrument.is_some() {
        let what = "both an app and an instrument are asked for";
        // Each is known, and no list is of both.
        return absent(&Problem::error(Place::file("?app=&instrument="), what, "write one of them"));
    }
    if let Err(problem) = parameters.only(&["app", "instrument", "group"]) {
        return wrong(&problem);
    }
    let selection = Selection {
        group: parameters.get("group").map(str::to_owned),
        part: Part::of(app.as_ref(), instrument.as_ref()),
    };
    let Some(snapshot) = parts.pipeline.in_force() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no policy is in force\n").into_response();
    };
    let (generation, policy) = (snapshot.generation(), snapshot.digest());
    let place = Arc::clone(&parts.compiling).acquire_owned().await.ok();
    let rendered = tokio::task::spawn_blocking(move || {
        let rendered = parts.feeds.render(&snapshot, format, &selection);
        drop(place);
        rendered
    });
    let rendered = match rendered.await {
        Ok(Ok(rendered)) => rendered,
        Ok(Err(problem)) => return absent(&problem),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let tag = format!("\"{}\"", rendered.tag);
    let left_out = HeaderValue::try_from(rendered.feed.left_out.join("; ")).ok();
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| tag::holds(known, &tag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, format.content_type())], Bytes::from_owner(Served(rendered))).into_response()
    };
    if let Some(left_out) = left_out.filter(|value| !is_known && !value.is_empty()) {
        response.headers_mut().insert(LEFT_OUT, left_out);
    }
    let said = [(header::ETAG, tag), (GENERATION, generation.to_string()), (POLICY, policy)];
    for (name, value) in said {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
