//! Owns what operators read of people's questions: what a change would mean for them, what shadow mode would have blocked, what was asked most and by whom.
//! Names that were asked, and clients, are shown only to who is known. Never changes anything.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Router, routing::get};

use super::answer::{Parameters, complaint, stranger, wrong};
use super::api::{Parts, between, compute};
use super::link::link;
use super::live::{TopClient, TopName, top_clients, top_names};
use super::records::{Page, read, show};
use super::visitor::Visitor;
use crate::problem::{Place, Problem};

pub(super) fn routes() -> Router<Parts> {
    Router::new()
        .route("/api/v1/impact", get(impact))
        .route("/api/v1/report/shadow", get(shadow))
        .route("/api/v1/top/clients", get(most_asking))
        .route("/api/v1/top/names", get(most_asked))
}

/// The names most asked in the last day, the first first.
async fn most_asked(State(parts): State<Parts>, visitor: Visitor, parameters: Parameters) -> Response {
    if !visitor.is_known() {
        return stranger();
    }
    let part = match part(&parameters, &["verdict", "limit", "offset"]) {
        Ok(part) => part,
        Err(problem) => return wrong(&problem),
    };
    let verdict = parameters.get("verdict").unwrap_or("").to_owned();
    if parameters.get("verdict").is_some() && !SAID.contains(&verdict.as_str()) {
        let hint = format!("use one of {}", SAID.join(", "));
        return wrong(&complaint("verdict", "is not known", &hint));
    }
    let pairs = [("verdict", verdict.as_str())].into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let next = part.next("/api/v1/top/names", pairs);
    let found = read(&parts, move |parts| Ok(part.of(names_asked(parts, &verdict)?))).await;
    show(found, next)
}

/// The clients that asked most in the last day, the first first.
async fn most_asking(State(parts): State<Parts>, visitor: Visitor, parameters: Parameters) -> Response {
    if !visitor.is_known() {
        return stranger();
    }
    let part = match part(&parameters, &["limit", "offset"]) {
        Ok(part) => part,
        Err(problem) => return wrong(&problem),
    };
    let next = part.next("/api/v1/top/clients", Vec::new());
    let found = read(&parts, move |parts| Ok(part.of(clients_asking(parts)?))).await;
    show(found, next)
}

/// What the policy can say of a name.
const SAID: [&str; 4] = ["allowed", "blocked", "permitted", "shadow"];

/// The names most asked in the last day, of those that the policy says `verdict` to. Takes milliseconds: not for a thread that must not wait.
pub(super) fn names_asked(parts: &Parts, verdict: &str) -> Result<Vec<TopName>, Vec<Problem>> {
    let day = parts.last_day.day().ok_or_else(not_kept)?;
    let snapshot = parts.pipeline.in_force().ok_or_else(Vec::new)?;
    Ok(top_names(&day, &snapshot, verdict))
}

/// The clients that asked most in the last day. Takes milliseconds: not for a thread that must not wait.
pub(super) fn clients_asking(parts: &Parts) -> Result<Vec<TopClient>, Vec<Problem>> {
    let day = parts.last_day.day().ok_or_else(not_kept)?;
    if day.clients.kept(IpAddr::from([0; 4])).is_none() {
        let what = "nothing is kept of the clients that asked in the last day";
        let hint = "set `clients` under [last_day] to \"full\" or \"prefix\"";
        return Err(vec![Problem::error(Place::file("[last_day]"), what, hint)]);
    }
    Ok(top_clients(&day))
}

fn not_kept() -> Vec<Problem> {
    let what = "what was asked in the last day is not kept";
    vec![Problem::error(Place::file("[last_day]"), what, "set `names` under [last_day]")]
}

/// A part of a list.
#[derive(Clone, Copy, Debug)]
struct Part {
    limit: u64,
    offset: u64,
}

impl Part {
    fn of<T>(self, all: Vec<T>) -> Page<T> {
        let next = self.offset.saturating_add(self.limit);
        let more = all.len() as u64 > next;
        let rows = all.into_iter().skip(self.offset as usize).take(self.limit as usize).collect();
        Page { rows, next: more.then_some(next) }
    }

    /// How the part behind it is asked for.
    fn next(self, path: &'static str, pairs: Vec<(&str, &str)>) -> impl FnOnce(u64) -> String + use<> {
        let begin = link(path, &[&pairs[..], &[("limit", &self.limit.to_string())]].concat());
        move |next| format!("{begin}&offset={next}")
    }
}

fn part(parameters: &Parameters, keys: &[&str]) -> Result<Part, Problem> {
    parameters.only(keys)?;
    let limit = parameters.number("limit", 1..1001)?.unwrap_or(100);
    Ok(Part { limit, offset: parameters.number("offset", 0..u64::from(u32::MAX))?.unwrap_or(0) })
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
