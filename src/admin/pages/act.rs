//! Owns what a page's forms ask to be changed, and the page that says how it ended. A form counts only from our own page and with the token that was made
//! for this session; the change itself goes the way of the API.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::difference::difference;
use super::frame::{Place, whole_with};
use super::parts;
use super::view::View;
use crate::admin::answer::{Parameters, complaint};
use crate::admin::change::{self, Ended};
use crate::problem::Problem;
use crate::reload::{Outcome, RequestKind};

/// What a form sends, with each field once.
pub(super) type Sent = Result<Form<Vec<(String, String)>>, FormRejection>;

pub(super) async fn act(view: View, sent: Sent) -> Response {
    let parameters = match sent {
        Ok(Form(pairs)) => Parameters::of_form(pairs),
        Err(rejected) => return rejected.into_response(),
    };
    let (what, token) =
        (parameters.get("what").unwrap_or("").to_owned(), parameters.get("token").unwrap_or(""));
    let person = view.visitor.by_form(&view.parts, token).cloned();
    let left = parameters.without("what").without("token");
    let read = move |asked: &Parameters| -> Result<RequestKind, Problem> {
        match what.as_str() {
            "approve" => change::approve(asked),
            "pin" => change::pin(asked),
            "reload" => change::reload(asked),
            "rollback" => change::rollback(asked),
            "unpin" => change::unpin(asked),
            _ => Err(complaint("what", "is not known", "use a form of the page")),
        }
    };
    let ended = change::ask(&view.parts, &view.visitor, person.as_ref(), &left, read).await;
    let words = view.words;
    let (status, title, content) = match &ended {
        Ended::Stranger => (StatusCode::FORBIDDEN, words.problems, html! { p { (words.log_in_first) } }),
        Ended::Forbidden(role) => {
            let content =
                html! { p { (words.not_allowed) " (" (words.role_needed) " " (role.as_str()) ")" } };
            (StatusCode::FORBIDDEN, words.problems, content)
        }
        Ended::Wrong(problems) => (StatusCode::BAD_REQUEST, words.problems, parts::problems(&view, problems)),
        Ended::Gone => (StatusCode::SERVICE_UNAVAILABLE, words.problems, html! {}),
        Ended::Outcome(outcome) => {
            let status = match outcome {
                Outcome::Rejected { .. } => StatusCode::CONFLICT,
                _ => StatusCode::OK,
            };
            (status, words.outcome, how(&view, outcome))
        }
    };
    let content = html! { (content) p { a href="/generations" { (words.go_back) } } };
    whole_with(status, &view, Place::Elsewhere, title, &content)
}

fn how(view: &View, outcome: &Outcome) -> Markup {
    let words = view.words;
    let short = |word: &str, number: u64| html! { p { strong { (word) } (words.colon) (words.generation) " " (number) } };
    html! {
        @match outcome {
            Outcome::Published { generation, difference: changed, warnings, .. } => {
                div class="notice good" role="status" {
                    (short(words.in_force, *generation))
                    (difference(view, changed))
                    @for one in warnings { p { (one.place.to_string()) ": " (one.what) } }
                }
            },
            Outcome::Unchanged { generation, .. } => {
                div class="notice good" role="status" {
                    (short(words.in_force, *generation))
                    p { (words.difference_none) }
                }
            },
            Outcome::Held { generation, hold, difference: changed } => {
                div class="notice warn" role="status" {
                    (short(words.held_back, *generation))
                    p { (words.held) " " (hold.kind.as_str()) ", " (hold.who) }
                    (difference(view, changed))
                }
            },
            Outcome::Waiting(waiting) => {
                div class="notice warn" role="status" {
                    p { strong { (words.waiting) } (words.colon) (waiting.approved_by.len()) " / " (waiting.needed) }
                    (difference(view, &waiting.difference))
                }
            },
            Outcome::Rejected { problems, .. } => {
                p { (words.rejected) }
                (parts::problems(view, problems))
            },
        }
    }
}
