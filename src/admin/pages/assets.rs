//! Owns the files that pages load: style, script and icon, from the program itself. Never anything from elsewhere.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::routing::get;

use super::super::api::Parts;

/// Where the style is; the version makes browsers load it anew after an upgrade.
pub(super) const STYLE: &str = concat!("/assets/dashboard.css?", env!("CARGO_PKG_VERSION"));
/// Where the script is.
pub(super) const SCRIPT: &str = concat!("/assets/dashboard.js?", env!("CARGO_PKG_VERSION"));

const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><circle cx=\"8\" cy=\"8\" r=\"7\" fill=\"#1f4e79\"/>\
                    <path d=\"M4 8h8\" stroke=\"#fff\" stroke-width=\"2.5\"/></svg>";

pub(super) fn routes() -> Router<Parts> {
    fn asset(kind: &'static str, text: &'static str) -> ([(HeaderName, &'static str); 2], &'static str) {
        ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], text)
    }
    Router::new()
        .route(
            "/assets/dashboard.css",
            get(async || asset("text/css; charset=utf-8", include_str!("dashboard.css"))),
        )
        .route(
            "/assets/dashboard.js",
            get(async || asset("text/javascript; charset=utf-8", include_str!("dashboard.js"))),
        )
        .route("/assets/icon.svg", get(async || asset("image/svg+xml", ICON)))
        // What browsers ask for by themselves beside a report, which names none.
        .route("/favicon.ico", get(async || asset("image/svg+xml", ICON)))
}
