//! The dashboard: pages for people, rendered here, whole without a script, in English and French. Owns how things look; what is shown comes from where
//! the API has it, and what is asked for goes the way of the API.

mod act;
mod assets;
mod audit;
mod chart;
mod difference;
mod explain;
mod frame;
mod generations;
mod log;
mod login;
mod now;
mod parts;
mod policy;
mod reports;
mod sign_in;
mod spoken;
mod top;
mod view;
mod words;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use super::api::Parts;
use super::oidc::{BACK, THERE};

/// Bytes of a form: a signature with every byte encoded, and a reason.
const FORM: usize = 32 << 10;

/// Every page, and where its forms go.
pub(super) fn routes() -> Router<Parts> {
    Router::new()
        .route("/", get(now::page))
        .route("/policy", get(policy::page))
        .route("/explain", get(explain::page))
        .route("/generations", get(generations::page))
        .route("/reports", get(reports::page))
        .route("/reports/file", get(reports::file))
        .route("/audit", get(audit::page))
        .route("/log", get(log::page))
        .route("/login", get(login::page).post(login::log_in))
        .route(THERE, get(sign_in::there))
        .route(BACK, get(sign_in::back))
        .route("/logout", post(login::log_out))
        .route("/act", post(act::act))
        .merge(assets::routes())
        .layer(DefaultBodyLimit::max(FORM))
}
