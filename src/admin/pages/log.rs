//! Owns the page that looks into the kept query log: what was asked, by whom, and what was said, the newest first. For those who are known. Never opens a
//! file by itself.

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize as _;

use super::frame::{Place, whole};
use super::parts;
use super::view::{NOTHING, View};
use crate::admin::answer::Parameters;
use crate::admin::log::{Looked, Question, look, next_of};
use crate::problem::Problem;
use crate::telemetry::{Clients, Found, Line};

pub(super) async fn page(view: View) -> Response {
    let words = view.words;
    let content = if view.visitor.is_known() {
        let asked = view.parameters.clone().without("lang").filled();
        // Whoever comes without a question is shown the form and nothing of anybody's.
        let found = match asked.all().next() {
            None => None,
            Some(_) => Some(answer(&view, &asked).await),
        };
        html! {
            p { (words.log_what) }
            (form(&view))
            @match &found {
                None => {},
                Some(Ok(looked)) => (lines(&view, &asked, looked)),
                Some(Err(problem)) => (parts::problems(&view, std::slice::from_ref(problem))),
            }
        }
    } else {
        html! { p { a href="/login" { (words.log_in_first) } } }
    };
    whole(&view, Place::Log, words.log, &content)
}

async fn answer(view: &View, asked: &Parameters) -> Result<Looked, Problem> {
    let question = Question::read(asked, &view.zone)?;
    look(&view.parts, &view.visitor, question).await.map_err(|(_, problem)| problem)
}

fn form(view: &View) -> Markup {
    let words = view.words;
    html! {
        form class="bar" method="get" action="/log" {
            (parts::field(view, "name", words.name, "text", true))
            (parts::field(view, "client", words.client, "text", true))
            (parts::field(view, "app", words.app, "text", true))
            (parts::field(view, "instrument", words.instrument, "text", true))
            (parts::field(view, "group", words.group, "text", true))
            (parts::verdicts(view))
            (parts::field(view, "rcode", words.reply, "text", true))
            (parts::field(view, "from", words.from_day, "date", true))
            (parts::field(view, "to", words.to_day, "date", true))
            (parts::field(view, "reference", words.reference, "text", true))
            input type="hidden" name="limit" value="100";
            @if let Some(sink) = view.parameters.get("sink") { input type="hidden" name="sink" value=(sink); }
            button class="main" { (words.look) }
        }
    }
}

fn lines(view: &View, asked: &Parameters, Looked { clients, found, .. }: &Looked) -> Markup {
    let words = view.words;
    let lines = found.lines.iter().filter_map(|line| Line::deserialize(line).ok());
    let rows: Vec<Vec<Markup>> = lines.map(|line| row(view, &line)).collect();
    let header = [
        words.time,
        words.verdict,
        words.name,
        words.client,
        words.app,
        words.instrument,
        words.group,
        words.type_of_record,
        words.reply,
        words.answered_by,
        words.rule,
    ];
    html! {
        (warnings(view, found))
        @if *clients == Clients::Prefix { p class="hint" { (words.log_networks) } }
        @if rows.is_empty() { p { (words.recent_none) } } @else {
            (parts::table("log-lines", words.log, &header, &rows))
        }
        @if let Some(next) = found.next {
            nav aria-label=(words.pages_of) { p { a href=(next_of("/log", asked, next)) { (words.older) } } }
        }
    }
}

fn row(view: &View, line: &Line<'_>) -> Vec<Markup> {
    let client = line.identity.as_deref().or(line.client.as_deref()).unwrap_or(NOTHING);
    vec![
        view.instant(line.time),
        parts::verdict(view, &line.verdict),
        parts::asked(&line.name, Some(&line.r#type)),
        html! { (client) },
        html! { (line.app) },
        html! { (line.instrument) },
        html! { (line.group) },
        html! { (line.r#type) },
        html! { (line.rcode.as_deref().unwrap_or(NOTHING)) },
        html! { (parts::answerer(view, line.upstream.as_deref(), line.answered_from.as_deref())) },
        html! { @if !line.rule.is_empty() { code { (line.rule) } } },
    ]
}

/// What of the log was not looked at.
fn warnings(view: &View, found: &Found) -> Markup {
    let words = view.words;
    let broken = &found.reading.broken;
    html! {
        @if let Some(unread) = found.unread {
            div class="notice warn" role="status" {
                p {
                    strong {
                        @if let Some(before) = unread.before { (words.log_cut) (words.colon) (view.instant(before)) }
                        @else { (words.log_unread) }
                    }
                    br; (words.log_cut_hint)
                }
            }
        }
        @if !broken.is_empty() {
            div class="notice warn" role="status" {
                p { strong { (words.log_broken) } }
                ul { @for (path, error) in broken { li { (path.display()) (words.colon) (error) } } }
            }
        }
        p class="hint" {
            (words.log_looked) (words.colon) (view.count(found.read))
            @if found.refused > 0 { ". " (words.log_refused) (words.colon) (view.count(found.refused)) }
            @if found.reading.gone > 0 { ". " (words.log_gone) (words.colon) (view.count(found.reading.gone as u64)) }
        }
    }
}
