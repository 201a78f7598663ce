//! Owns what operators read of egress: /api/v1/egress, of all or of one address. What is spared for a name that somebody asked for is shown only
//! to who is known. Never changes anything.

use std::net::IpAddr;

use axum::extract::State;
use axum::response::Response;
use axum::{Router, routing::get};

use super::answer::{Parameters, absent, complaint, stranger, wrong};
use super::api::{Parts, compute};
use super::visitor::Visitor;
use crate::problem::{Place, Problem};

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/egress", get(egress))
}

async fn egress(State(parts): State<Parts>, visitor: Visitor, parameters: Parameters) -> Response {
    if let Err(problem) = parameters.only(&["address", "client"]) {
        return wrong(&problem);
    }
    let Some(egress) = parts.egress.clone() else {
        return absent(&Problem::error(
            Place::file("[egress]"),
            "is not configured",
            "set nftables = true under [egress]",
        ));
    };
    let Some(text) = parameters.get("address") else {
        return compute(None, move || Ok(egress.status())).await;
    };
    let Ok(address) = text.parse::<IpAddr>() else {
        let what = format!("`{text}` is not an address");
        return wrong(&complaint("address", &what, "write one such as 192.0.2.1"));
    };
    let client = match parameters.get("client").map(|text| text.parse::<IpAddr>()).transpose() {
        Ok(client) => client,
        Err(_) => {
            let what = "not an address";
            return wrong(&complaint("client", what, "write one such as 10.20.0.7"));
        }
    };
    if !visitor.is_known() {
        return stranger();
    }
    compute(None, move || Ok(egress.explain(address, client))).await
}
