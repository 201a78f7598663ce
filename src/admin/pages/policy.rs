//! Owns the page of the policy in force: instruments on a time line, apps, sources, groups, exceptions. Never decides.

use axum::response::Response;
use jiff::civil::Date;
use maud::{Markup, html};

use super::frame::{Place, whole};
use super::parts;
use super::view::{NOTHING, View};
use crate::admin::api::failed;
use crate::admin::policy::{Act, Shown};
use crate::reload::Status;

pub(super) async fn page(view: View) -> Response {
    let (pipeline, now) = (view.parts.pipeline.clone(), view.parts.clock.wall());
    let read = tokio::task::spawn_blocking(move || {
        let shown = pipeline.in_force().map(|snapshot| Shown::of(&snapshot, now));
        (shown, pipeline.status())
    });
    let Ok((Some(shown), Some(status))) = read.await else { return failed() };
    let words = view.words;
    let today = now.to_zoned_datetime(view.zone.clone()).date();
    let content = html! {
        section aria-labelledby="instruments" {
            h2 id="instruments" { (words.instruments) }
            p { (words.instruments_what) }
            (time_line(&view, &shown, today))
        }
        section {
            h2 { (words.exceptions) }
            (exceptions(&view, &status))
        }
        section {
            h2 { (words.groups) }
            (groups(&view, &shown))
        }
        section {
            h2 { (words.sources) }
            (sources(&view, &status))
        }
        section {
            h2 { (words.apps) }
            (apps(&view, &shown))
        }
    };
    whole(&view, Place::Policy, words.policy, &content)
}

/// The acts that somebody enforces, from the latest to the oldest, with today between those to come and those in force; and the catalog's others.
fn time_line(view: &View, shown: &Shown, today: Date) -> Markup {
    let is_ours = |act: &&Act| !act.enforced_for.is_empty();
    let (ours, others): (Vec<&Act>, Vec<&Act>) = shown.instruments.iter().partition(is_ours);
    let line = |acts: &[&Act]| {
        html! {
            ol class="timeline" {
                @for act in acts.iter().filter(|act| act.standing == "coming") { (one_act(view, act)) }
                li class="today" { time datetime=(today.to_string()) { (view.language.day(today)) } }
                @for act in acts.iter().filter(|act| act.standing != "coming") { (one_act(view, act)) }
            }
        }
    };
    html! {
        (line(&ours))
        @if !others.is_empty() {
            details {
                summary { (view.words.others) " (" (others.len()) ")" }
                (line(&others))
            }
        }
    }
}

fn one_act(view: &View, act: &Act) -> Markup {
    let words = view.words;
    let standing = match act.standing {
        "coming" => parts::badge("warn", words.coming),
        "ended" => parts::badge("", words.ended),
        _ => parts::badge("good", words.in_force),
    };
    let kind = if act.kind == "ban" { words.ban } else { words.advice };
    html! {
        li class=(act.standing) {
            h3 {
                time datetime=(act.from.to_string()) { (view.language.day(act.from)) }
                @if let Some(until) = act.until { " – " time datetime=(until.to_string()) { (view.language.day(until)) } }
                " " (standing) " " (parts::badge("", kind))
                @if !act.from_verified { " " (parts::badge("warn", words.unverified)) }
            }
            p { (act.title) " (" (act.jurisdiction) ")" }
            p class="hint" { (act.authority) ". " (act.citation) ". " code { (act.id) } }
            p {
                (words.apps) (words.colon) (act.apps.join(", ")) ". " (words.enforced_for) (words.colon)
                @if act.enforced_for.is_empty() { (NOTHING) } @else { strong { (act.enforced_for.join(", ")) } }
            }
        }
    }
}

fn exceptions(view: &View, status: &Status) -> Markup {
    let words = view.words;
    if status.exceptions.is_empty() {
        return html! { p { (words.exceptions_none) } };
    }
    let rows: Vec<Vec<Markup>> = status
        .exceptions
        .iter()
        .map(|one| {
            let standing = match (one.in_force, one.ends_soon) {
                (_, true) => parts::badge("bad", words.ends_soon),
                (true, false) => parts::badge("good", words.in_force),
                (false, false) => parts::badge("warn", words.coming),
            };
            vec![
                html! { (one.id) },
                standing,
                view.moment(one.until),
                html! { (one.group.as_deref().unwrap_or(words.all)) },
                html! { (one.approved_by) },
                html! { span class="wide" { (one.reason) } },
            ]
        })
        .collect();
    let header = [words.exception, words.status, words.until, words.group, words.by, words.reason];
    parts::table("exceptions", words.exceptions, &header, &rows)
}

fn groups(view: &View, shown: &Shown) -> Markup {
    let words = view.words;
    let rows: Vec<Vec<Markup>> = shown
        .groups
        .iter()
        .map(|group| {
            let mut clients: Vec<&str> =
                group.clients.iter().chain(&group.identities).map(String::as_str).collect();
            if clients.is_empty() {
                clients.push(words.clients_other);
            }
            vec![
                html! { (group.name) },
                html! { (clients.join(", ")) },
                html! {
                    ol class="plain" {
                        @for duty in &group.enforces {
                            li {
                                (duty.id)
                                @match duty.mode.as_str() {
                                    "enforce" => {},
                                    "shadow" => { " " (parts::badge("warn", words.shadow)) },
                                    other => { " " (parts::badge("", other)) },
                                }
                            }
                        }
                    }
                },
            ]
        })
        .collect();
    parts::table("groups", words.groups, &[words.group, words.clients, words.enforces], &rows)
}

fn sources(view: &View, status: &Status) -> Markup {
    let words = view.words;
    if status.sources.is_empty() {
        return html! { p { (words.sources_none) } };
    }
    let rows: Vec<Vec<Markup>> = status
        .sources
        .iter()
        .map(|source| {
            let condition = source.condition.as_ref();
            let failing = condition.and_then(|condition| condition.failing.as_ref());
            let health = match (failing, source.last_good) {
                (Some(_), _) => parts::badge("bad", words.failing),
                (None, true) => parts::badge("warn", words.source_old),
                (None, false) => parts::badge("good", words.source_good),
            };
            let confirmed = condition.and_then(|condition| condition.confirmed_at);
            vec![
                html! { (source.name) },
                html! {
                    (health)
                    @if let Some(failing) = failing { br; span class="hint wide" { (failing.what) "; " (failing.standing) } }
                },
                parts::number(&view.count(source.rules as u64)),
                html! { @match confirmed { Some(at) => { (view.moment(at)) }, None => { (NOTHING) } } },
                html! { @match condition.and_then(|one| one.next_fetch) { Some(at) => { (view.moment(at)) }, None => { (NOTHING) } } },
                html! { code class="wide" { (source.file) } },
            ]
        })
        .collect();
    let header = [words.source, words.health, words.rules, words.source_age, words.source_next, words.from];
    parts::table("sources", words.sources, &header, &rows)
}

fn apps(view: &View, shown: &Shown) -> Markup {
    let words = view.words;
    let count = |number: usize| parts::number(&view.count(number as u64));
    let rows: Vec<Vec<Markup>> = shown
        .apps
        .iter()
        .map(|app| {
            vec![
                html! { (app.title) },
                html! { code { (app.id) } },
                count(app.core_names),
                count(app.shared_names),
                count(app.networks),
            ]
        })
        .collect();
    let header = [words.app, words.identifier, words.core_names, words.shared_names, words.networks];
    parts::table("app-list", words.apps, &header, &rows)
}
