//! Owns the page that explains what a name or an address gets, for whom and when. Never decides.

use axum::response::Response;
use maud::{Markup, html};

use super::frame::{Place, whole};
use super::parts;
use super::spoken::spoken;
use super::view::View;
use crate::admin::explain::{KEYS, Question};
use crate::admin::records::read;
use crate::policy::Explanation;

pub(super) async fn page(view: View) -> Response {
    let words = view.words;
    let is_asked = KEYS.iter().any(|key| view.parameters.get(key).is_some_and(|text| !text.is_empty()));
    let answered = match is_asked {
        false => None,
        true => Some(answer(&view).await),
    };
    let content = html! {
        p { (words.explain_what) }
        form class="bar" method="get" action="/explain" {
            (parts::field(&view, "name", words.name, "text", true))
            (parts::field(&view, "address", words.address, "text", true))
            (parts::field(&view, "name_server", words.name_server, "text", true))
            (parts::field(&view, "type", words.type_of_record, "text", true))
            (parts::field(&view, "client", words.client_address, "text", true))
            (parts::field(&view, "on", words.on_day, "date", true))
            button class="main" { (words.explain) }
        }
        @match &answered {
            None => {},
            Some(Err(problems)) => (parts::problems(&view, problems)),
            Some(Ok(explanation)) => (trace(&view, explanation)),
        }
    };
    whole(&view, Place::Explain, words.explain, &content)
}

async fn answer(view: &View) -> Result<Explanation, Vec<crate::problem::Problem>> {
    let question = Question::read(&view.parameters.clone().without("lang"))?;
    if question.must_compile() {
        return read(&view.parts, move |parts| question.answer(parts))
            .await
            .unwrap_or_else(|| Err(Vec::new()));
    }
    let parts = view.parts.clone();
    tokio::task::spawn_blocking(move || question.answer(&parts)).await.unwrap_or_else(|_| Err(Vec::new()))
}

fn trace(view: &View, found: &Explanation) -> Markup {
    let words = view.words;
    let kind = match found.verdict {
        "block" => "bad",
        "shadow" => "warn",
        _ => "good",
    };
    let asked = match (&found.address, found.name.is_empty()) {
        (Some(address), true) => address.to_string(),
        (Some(address), false) => format!("{} → {address}", found.name),
        (None, false) => found.name.clone(),
        (None, true) => view.parameters.get("name_server").unwrap_or("").to_owned(),
    };
    let considered: Vec<Vec<Markup>> = found
        .considered
        .iter()
        .map(|one| {
            vec![
                html! { (one.listed) },
                html! { (spoken(view.language, one.reach)) },
                html! { (one.list) },
                html! { (spoken(view.language, &one.standing)) },
                html! { code class="wide" { (one.rule) } },
            ]
        })
        .collect();
    html! {
        section aria-labelledby="verdict" {
            h2 id="verdict" { (asked) " " (found.r#type) (words.colon) (parts::badge(kind, words.said(found.verdict))) }
            dl class="facts" {
                dt { (words.reply) } dd { (found.reply) " (" (found.action) ")" }
                dt { (words.client) } dd { (found.client) }
                dt { (words.group) } dd { (found.group) }
                dt { (words.generation) } dd { (found.generation) }
                dt { (words.time) } dd { (view.moment(found.on)) }
            }
            @if let Some(cause) = &found.cause {
                h3 { (words.cause) }
                dl class="facts" {
                    dt { (words.listed) } dd { (cause.listed) " (" (spoken(view.language, cause.reach)) ")" }
                    dt { (words.app) } dd { @if cause.app_title.is_empty() { (cause.app) } @else { (cause.app_title) } }
                    dt { (words.instrument) } dd { (cause.instrument) }
                    @if !cause.authority.is_empty() { dt { (words.authority) } dd { (cause.authority) } }
                    @if !cause.citation.is_empty() { dt { (words.citation) } dd { (cause.citation) } }
                    @if let Some(day) = cause.in_force_day { dt { (words.in_force_since) } dd { (view.language.day(day)) } }
                    dt { (words.list) } dd { (spoken(view.language, &cause.source)) }
                    dt { (words.rule) } dd { code { (cause.rule) } }
                    dt { (words.mode) } dd { (spoken(view.language, cause.mode)) }
                    @if let Some(exception) = &cause.exception {
                        dt { (words.exception) }
                        dd { (exception) @if let Some(granted) = &cause.granted { ": " (granted) } }
                    }
                }
            }
            h3 { (words.considered) }
            @if considered.is_empty() { p { (words.none) } } @else {
                (parts::table("considered", words.considered,
                    &[words.listed, words.reach, words.list, words.standing, words.rule], &considered))
            }
        }
    }
}
