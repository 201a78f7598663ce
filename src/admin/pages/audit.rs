//! Owns the page of the audit log: every change, every refused one, and every stranger, the newest first. Never writes it.

use axum::response::Response;
use maud::{Markup, html};

use super::super::link::link;
use super::frame::{Place, whole};
use super::parts;
use super::view::View;
use crate::admin::records::{entries, read};

/// Entries of a page.
const ROWS: u64 = 50;

pub(super) async fn page(view: View) -> Response {
    let words = view.words;
    let before = view.parameters.get("before").and_then(|text| text.parse().ok());
    let found = read(&view.parts, move |parts| entries(parts, ROWS, before)).await;
    let content = match found {
        None => return crate::admin::api::failed(),
        Some(Err(problems)) => parts::problems(&view, &problems),
        Some(Ok(list)) if list.rows.is_empty() => html! { p { (words.none) } },
        Some(Ok(list)) => {
            let rows: Vec<Vec<Markup>> = list
                .rows
                .iter()
                .rev()
                .map(|entry| {
                    let event = &entry.event;
                    let kind = match event.outcome.as_str() {
                        "published" | "signed" => "good",
                        "rejected" | "forbidden" | "unauthorised" => "bad",
                        "waiting" | "held" => "warn",
                        _ => "",
                    };
                    vec![
                        html! { (entry.sequence) },
                        view.moment(event.time),
                        html! { (event.who) },
                        html! { (event.what) },
                        html! {
                            (parts::badge(kind, &event.outcome))
                            @if event.count > 1 { " × " (view.count(event.count)) }
                        },
                        html! { @if let Some(generation) = event.generation { (generation) } },
                        html! {
                            span class="wide" {
                                @if !event.why.is_empty() { (event.why) br; }
                                @for line in &event.detail { span class="hint" { (line) } br; }
                            }
                        },
                    ]
                })
                .collect();
            let header = [
                words.sequence,
                words.time,
                words.who,
                words.what,
                words.outcome,
                words.generation,
                words.detail,
            ];
            html! {
                (parts::table("audit-list", words.audit, &header, &rows))
                nav aria-label=(words.pages_of) {
                    p {
                        @if before.is_some() { a href="/audit" { (words.newer) } " " }
                        @if let Some(next) = list.next {
                            a href=(link("/audit", &[("before", &next.to_string())])) { (words.older) }
                        }
                    }
                }
            }
        }
    };
    whole(&view, Place::Audit, words.audit, &content)
}
