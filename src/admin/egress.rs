//! Owns what operators read of egress: /api/v1/egress, of all or of one address. What is spared for a name that somebody asked for is shown only
//! to who may change state. Never changes anything.

use std::net::IpAddr;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde_json::json;

use super::api::{Parameters, Parts, compute, wrong};
use super::change::{owner, stranger};
use crate::problem::{Place, Problem};

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/egress", get(egress))
}

async fn egress(State(parts): State<Parts>, headers: HeaderMap, Query(parameters): Parameters) -> Response {
    let Some(egress) = parts.egress.clone() else {
        let problem = Problem::error(
            Place::file("[egress]"),
            "is not configured",
            "set nftables = true under [egress]",
        );
        return (StatusCode::NOT_FOUND, Json(json!({ "problems": [problem] }))).into_response();
    };
    let Some(text) = parameters.get("address") else {
        return compute(None, move || Ok(egress.status())).await;
    };
    let Ok(address) = text.parse::<IpAddr>() else {
        let what = format!("`{text}` is not an address");
        return wrong(&Problem::error(Place::file("?address="), what, "write one such as 192.0.2.1"));
    };
    let client = match parameters.get("client").map(|text| text.parse::<IpAddr>()).transpose() {
        Ok(client) => client,
        Err(_) => {
            let what = "`client` is not an address";
            return wrong(&Problem::error(Place::file("?client="), what, "write one such as 10.20.0.7"));
        }
    };
    if owner(&parts, &headers).await.is_none() {
        return stranger();
    }
    compute(None, move || Ok(egress.explain(address, client))).await
}
