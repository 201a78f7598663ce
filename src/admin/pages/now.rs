//! Owns the page of now: rates, blocked queries by app over time, cache, answer times, upstreams, the newest records with filters, and what is to be
//! looked at. Never counts.

use axum::response::Response;
use maud::{Markup, html};

use super::super::link::link;
use super::chart;
use super::frame::{Place, whole};
use super::parts;
use super::top::{self, Top};
use super::view::{NOTHING, View};
use crate::admin::api::Parts;
use crate::admin::live::{Bucket, Filter, Now, Span, read_filter};
use crate::policy::Snapshot;
use crate::reload::Status;

/// Newest records shown at a time.
const ROWS: usize = 50;

pub(super) async fn page(view: View) -> Response {
    let span = view.parameters.get("span").and_then(|text| text.parse().ok()).unwrap_or_default();
    let (of, is_known) = (view.parts.clone(), view.visitor.is_known());
    let read = tokio::task::spawn_blocking(move || {
        let Parts { trend, clock, pipeline, .. } = &of;
        let now = Now::read(trend, clock.wall());
        let top = is_known.then(|| Top::read(&of)).flatten();
        (now, trend.buckets(span), pipeline.status(), pipeline.in_force(), top)
    });
    let Ok((now, buckets, status, snapshot, top)) = read.await else { return crate::admin::api::failed() };
    let words = view.words;
    let content = html! {
        div id="now-status" data-live="" { (waiting(&view, status.as_ref())) (standing(&view, status.as_ref())) }
        div id="now-figures" data-live="" { (figures(&view, &now)) }
        section aria-labelledby="over-time" {
            h2 id="over-time" { (words.blocked_by_app) }
            p {
                @for (place, one) in [Span::Day, Span::Hour].into_iter().enumerate() {
                    @if place > 0 { " · " }
                    @if one == span { strong { (chart::span_word(&view, one)) } }
                    @else { a href=(link("/", &[("span", one.as_str())])) { (chart::span_word(&view, one)) } }
                }
            }
            div id="now-chart" data-live="" { (over_time(&view, span, &buckets, snapshot.as_deref())) }
        }
        div id="now-tables" data-live="" { (tables(&view, &now, snapshot.as_deref())) }
        (top::section(&view, top.as_ref(), snapshot.as_deref()))
        (recent(&view))
    };
    whole(&view, Place::Now, words.now, &content)
}

/// An app as people call it.
pub(super) fn titled(view: &View, snapshot: Option<&Snapshot>, id: &str) -> String {
    let title = snapshot.and_then(|snapshot| snapshot.catalog().app(id)).map(|app| app.title.as_str());
    match (title, id) {
        (Some(title), _) => title.to_owned(),
        (None, "none" | "") => view.words.no_app.to_owned(),
        (None, id) => id.to_owned(),
    }
}

/// What is in force, and what is to be looked at.
pub(super) fn standing(view: &View, status: Option<&Status>) -> Markup {
    let Some(status) = status else { return html! {} };
    let words = view.words;
    html! {
        p {
            (words.generation_in_force) (words.colon) a href="/generations" { strong { (status.generation) } }
            ", " (view.moment(status.published_at)) ", " (status.who)
            @if let Some(next) = status.next_transition { ". " (words.next_change) (words.colon) (view.moment(next)) }
        }
        @if let Some(hold) = &status.hold {
            div class="notice warn" { p { (words.held) " " (hold.kind.as_str()) ", " (hold.who) ", " (view.moment(hold.since)) } }
        }
        @if !status.degraded.is_empty() {
            div class="notice bad" {
                h2 { (words.degraded) }
                ul class="plain" { @for line in &status.degraded { li { (line) } } }
            }
        }
    }
}

/// That something waits, and the way to it.
fn waiting(view: &View, status: Option<&Status>) -> Markup {
    let words = view.words;
    html! {
        @if let Some(waiting) = status.and_then(|status| status.waiting.as_ref()) {
            div class="notice warn" {
                h2 { (words.waiting) }
                p {
                    a href="/generations#waiting" {
                        (words.approval_missing) (words.colon) (waiting.approved_by.len()) " / " (waiting.needed)
                    }
                    ". " (words.until) (words.colon) (view.moment(waiting.until))
                }
            }
        }
    }
}

fn figures(view: &View, now: &Now) -> Markup {
    let words = view.words;
    let day: u64 = now.apps.iter().map(|app| app.last_day).sum();
    html! {
        dl class="figures" {
            div { dt { (words.rate) } dd { (view.decimal(now.queries_per_second)) } }
            div { dt { (words.blocked_rate) } dd { (view.decimal(now.blocked_per_second)) } }
            div { dt { (words.blocked_day) } dd { (view.count(day)) } }
            div { dt { (words.cache_share) } dd { (view.share(now.cache_hit_share)) } }
            div { dt { (words.queries_total) } dd { (view.count(now.queries)) } }
        }
    }
}

fn over_time(view: &View, span: Span, buckets: &[Bucket], snapshot: Option<&Snapshot>) -> Markup {
    chart::chart(view, span, buckets, &|id| titled(view, snapshot, id))
}

fn tables(view: &View, now: &Now, snapshot: Option<&Snapshot>) -> Markup {
    let words = view.words;
    let count = |number: u64| parts::number(&view.count(number));
    let apps: Vec<Vec<Markup>> = now
        .apps
        .iter()
        .map(|app| {
            let title = titled(view, snapshot, &app.app);
            vec![html! { (title) }, count(app.last_minute), count(app.last_hour), count(app.last_day)]
        })
        .collect();
    let answers: Vec<Vec<Markup>> =
        [("block", words.answers_block), ("hit", words.answers_hit), ("miss", words.answers_miss)]
            .into_iter()
            .map(|(path, word)| {
                let times = now.answers.get(path);
                let shown = |seconds: Option<f64>| parts::number(&view.time(seconds));
                vec![
                    html! { (word) },
                    shown(times.and_then(|times| times.half)),
                    shown(times.and_then(|times| times.most)),
                ]
            })
            .collect();
    let upstreams: Vec<Vec<Markup>> = now
        .upstreams
        .iter()
        .map(|one| {
            let health = match one.healthy {
                true => parts::badge("good", words.healthy),
                false => parts::badge("bad", words.unhealthy),
            };
            vec![
                html! { code { (one.upstream) } },
                health,
                parts::number(&view.time(one.seconds)),
                parts::number(&view.decimal(one.queries_per_second)),
                count(one.failures),
            ]
        })
        .collect();
    html! {
        div class="columns" {
            section {
                h2 { (words.apps) }
                @if apps.is_empty() { p { (words.nothing_asked) } } @else {
                    (parts::table("apps", words.blocked_by_app,
                        &[words.app, words.last_minute, words.last_hour, words.last_day], &apps))
                }
            }
            section {
                h2 { (words.answers) }
                (parts::table("answers", words.answers, &[words.answers_path, words.answers_half, words.answers_most], &answers))
            }
        }
        section {
            h2 { (words.upstreams) }
            @if upstreams.is_empty() { p { (words.upstreams_none) } } @else {
                (parts::table("upstreams", words.upstreams,
                    &[words.upstream, words.health, words.latency, words.rate, words.failures], &upstreams))
            }
        }
    }
}

/// The newest records, for those who may see what people ask.
fn recent(view: &View) -> Markup {
    let words = view.words;
    html! {
        section aria-labelledby="recent" {
            h2 id="recent" { (words.recent) }
            @if !view.visitor.is_known() { p { a href="/login" { (words.log_in_first) } } }
            @else if view.parts.tail.is_none() { p { (words.kept_none) } }
            @else {
                form class="bar" method="get" action="/#recent" {
                    (parts::field(view, "name", words.name, "text", true))
                    (parts::field(view, "client", words.client, "text", true))
                    (parts::field(view, "app", words.app, "text", true))
                    (parts::verdicts(view))
                    button class="main" { (words.filter) }
                }
                div id="recent-rows" data-live="" { (rows(view)) }
                @let same = view.parameters.all().filter(|(key, _)| matches!(*key, "name" | "client" | "app" | "verdict"));
                @if view.parts.querylog.readable(None).is_ok() {
                    p { a href=(link("/log", &same.chain([("limit", "100")]).collect::<Vec<_>>())) { (words.recent_more) } }
                }
            }
        }
    }
}

fn rows(view: &View) -> Markup {
    let words = view.words;
    let without = ["span", "lang"].into_iter().fold(view.parameters.clone(), |left, key| left.without(key));
    let filter = match read_filter(&without.filled()) {
        Ok(filter) => Filter { most: ROWS, ..filter },
        Err(problem) => return parts::problems(view, &[problem]),
    };
    let found = view.parts.tail.as_ref().map(|tail| tail.newest(&filter)).unwrap_or_default();
    if found.is_empty() {
        return html! { p { (words.recent_none) } };
    }
    let rows: Vec<Vec<Markup>> = found
        .iter()
        .map(|seen| {
            let client = seen.identity.as_deref().or(seen.client.as_deref()).unwrap_or(NOTHING);
            vec![
                view.second(seen.time),
                parts::verdict(view, seen.verdict),
                parts::asked(&seen.name, Some(&seen.r#type)),
                html! { (client) },
                html! { (seen.app) },
                html! { (seen.group) },
                html! { (seen.r#type) },
                html! { (seen.rcode.as_deref().unwrap_or(NOTHING)) },
                html! { (parts::answerer(view, seen.upstream.as_deref(), seen.answered_from)) },
                html! { (view.time(seen.took_us.map(|took| f64::from(took.get()) / 1e6))) },
                html! { (seen.transport) },
            ]
        })
        .collect();
    let header = [
        words.time,
        words.verdict,
        words.name,
        words.client,
        words.app,
        words.group,
        words.type_of_record,
        words.reply,
        words.answered_by,
        words.waited,
        words.transport,
    ];
    parts::table("recent-list", words.recent, &header, &rows)
}
