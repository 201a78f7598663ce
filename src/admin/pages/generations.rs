//! Owns the page of generations: what came into force when, what changed, what a reload would change and mean, and the forms to approve, roll back and
//! pin for those who may. Never changes anything.

use axum::response::Response;
use maud::{Markup, html};

use super::super::link::link;
use super::difference::{difference, impact};
use super::frame::{Place, whole};
use super::now::standing;
use super::parts;
use super::view::View;
use crate::admin::api::between;
use crate::admin::person::Role;
use crate::admin::records::{Page, generations, read};
use crate::problem::Problem;
use crate::reload::Recalled;
use crate::reload::{Generation, Preview, Status, Waiting};

/// Rows of the list at a time.
const ROWS: u64 = 25;

/// What somebody asks to be computed beside the list.
enum Extra {
    Between(u64, u64, Preview),
    Impact(Box<Recalled>),
    Preview(Preview),
}

pub(super) async fn page(view: View) -> Response {
    let words = view.words;
    let offset = view.parameters.get("offset").and_then(|text| text.parse().ok()).unwrap_or(0);
    let list =
        read(&view.parts, move |parts| Ok((generations(parts, offset, ROWS), parts.pipeline.status()))).await;
    let Some(Ok((list, status))) = list else { return crate::admin::api::failed() };
    let extra = extra(&view).await;
    let content = html! {
        (standing(&view, status.as_ref()))
        (waiting(&view, status.as_ref().and_then(|status| status.waiting.as_ref())))
        @if let Some(held) = status.as_ref().and_then(|status| status.held_back.as_ref()) {
            div class="notice warn" {
                h2 { (words.held_back) }
                p { (words.held_back_what) " +" (held.added) " −" (held.removed) " " (words.rules) ", " (view.moment(held.since)) }
            }
        }
        (asking(&view, &list.rows))
        @match &extra {
            None => {},
            Some(Err(problems)) => (parts::problems(&view, problems)),
            Some(Ok(extra)) => (shown(&view, extra)),
        }
        (changes(&view, status.as_ref()))
        section aria-labelledby="list" {
            h2 id="list" { (words.generations) }
            (rows(&view, &list, offset))
        }
    };
    whole(&view, Place::Generations, words.generations, &content)
}

/// What is asked for beside the list: a difference, a preview, an impact.
async fn extra(view: &View) -> Option<Result<Extra, Vec<Problem>>> {
    let wants = |key: &str| view.parameters.get(key).is_some();
    if wants("preview") {
        read(&view.parts, |parts| parts.pipeline.preview().map(Extra::Preview)).await
    } else if wants("impact") && view.visitor.is_known() {
        read(&view.parts, |parts| parts.pipeline.impact(None).map(|impact| Extra::Impact(Box::new(impact))))
            .await
    } else if wants("from") && wants("to") {
        let left =
            ["lang", "offset"].into_iter().fold(view.parameters.clone(), |left, key| left.without(key));
        match between(&view.parts, &left.filled()) {
            Err(problem) => Some(Err(vec![problem])),
            Ok(None) => None,
            Ok(Some((from, to))) => {
                read(&view.parts, move |parts| {
                    let difference = parts.pipeline.compare(from, to)?;
                    Ok(Extra::Between(from, to, Preview { difference, warnings: Vec::new() }))
                })
                .await
            }
        }
    } else {
        None
    }
}

fn shown(view: &View, extra: &Extra) -> Markup {
    let words = view.words;
    html! {
        section class="notice" aria-labelledby="extra" {
            @match extra {
                Extra::Between(from, to, preview) => {
                    h2 id="extra" { (words.difference) (words.colon) (from) " → " (to) }
                    (difference(view, &preview.difference))
                },
                Extra::Preview(preview) => {
                    h2 id="extra" { (words.preview) }
                    (difference(view, &preview.difference))
                    @if !preview.warnings.is_empty() {
                        h3 { (words.warnings) }
                        ul class="plain" { @for one in &preview.warnings { li { (one.place.to_string()) ": " (one.what) } } }
                    }
                },
                Extra::Impact(found) => {
                    h2 id="extra" { (words.impact) }
                    p { (words.impact_what) }
                    (impact(view, &found.impact))
                },
            }
        }
    }
}

/// The forms that only ask.
fn asking(view: &View, rows: &[Generation]) -> Markup {
    let words = view.words;
    html! {
        div class="columns" {
            section {
                h2 { (words.preview) }
                p { (words.preview_what) }
                form class="bar" method="get" action="/generations" {
                    input type="hidden" name="preview" value="1";
                    button class="main" { (words.preview) }
                }
                @if view.visitor.is_known() {
                    form class="bar" method="get" action="/generations" {
                        input type="hidden" name="impact" value="1";
                        button { (words.impact) }
                    }
                } @else { p { a href="/login" { (words.log_in_first) } } }
            }
            @if rows.len() > 1 {
                section {
                    h2 { (words.difference_between) }
                    form class="bar" method="get" action="/generations" {
                        (parts::field(view, "from", words.from, "number", false))
                        (parts::field(view, "to", words.to, "number", false))
                        button { (words.show) }
                    }
                }
            }
        }
    }
}

/// What waits, and where a signature goes.
fn waiting(view: &View, waiting: Option<&Waiting>) -> Markup {
    let Some(waiting) = waiting else { return html! {} };
    let words = view.words;
    html! {
        section id="waiting" class="notice warn" aria-labelledby="waiting-title" {
            h2 id="waiting-title" { (words.waiting) }
            dl class="facts" {
                dt { (words.digest) } dd { code { (waiting.law) } }
                dt { (words.who) } dd { (waiting.who) @if !waiting.why.is_empty() { ": " (waiting.why) } }
                dt { (words.approval_missing) }
                dd { (waiting.approved_by.len()) " / " (waiting.needed) " " (waiting.approved_by.join(", ")) }
                dt { (words.until) } dd { (view.moment(waiting.until)) }
            }
            (difference(view, &waiting.difference))
            @if let Some(token) = view.visitor.form_token(&view.parts).filter(|_| view.visitor.holds(Role::Approver)) {
                h3 { (words.approve) }
                p { (words.approve_how) }
                form method="post" action="/act" {
                    input type="hidden" name="token" value=(token);
                    input type="hidden" name="what" value="approve";
                    input type="hidden" name="candidate" value=(waiting.law);
                    div class="field" {
                        label for="signature" { (words.signature) }
                        textarea id="signature" name="signature" required maxlength="4096" spellcheck="false" {}
                    }
                    p { button class="main" { (words.approve) } }
                }
            }
        }
    }
}

/// The forms that change something.
fn changes(view: &View, status: Option<&Status>) -> Markup {
    let words = view.words;
    let Some(token) = view.visitor.form_token(&view.parts).filter(|_| view.visitor.holds(Role::Operator))
    else {
        return html! {};
    };
    html! {
        section {
            h2 { (words.reload) }
            p { (words.reload_what) }
            form class="bar" method="post" action="/act" {
                input type="hidden" name="token" value=(token);
                input type="hidden" name="what" value="reload";
                (reason(view, "reload"))
                div class="field" {
                    label { input type="checkbox" name="accept_shrink" value="true"; " " (words.accept_shrink) }
                }
                button class="main" { (words.reload) }
            }
            @if status.is_some_and(|status| status.hold.is_some()) {
                form class="bar" method="post" action="/act" {
                    input type="hidden" name="token" value=(token);
                    input type="hidden" name="what" value="unpin";
                    (reason(view, "unpin"))
                    button { (words.unpin) }
                }
            }
        }
    }
}

fn reason(view: &View, id: &str) -> Markup {
    let id = format!("reason-{id}");
    html! {
        div class="field" {
            label for=(id) { (view.words.reason) }
            input id=(id) name="reason" maxlength="500" autocomplete="off";
        }
    }
}

fn rows(view: &View, list: &Page<Generation>, offset: u64) -> Markup {
    let words = view.words;
    if list.rows.is_empty() {
        return html! { p { (words.generations_none) } };
    }
    let token = view.visitor.form_token(&view.parts).filter(|_| view.visitor.holds(Role::Operator));
    let rows: Vec<Vec<Markup>> = list.rows.iter().map(|row| one(view, row, token.as_deref())).collect();
    let header = [words.generation, words.begins, words.by, words.what_changed, words.reason, words.action];
    let page = |offset: u64| link("/generations", &[("offset", &offset.to_string())]);
    html! {
        (parts::table("generation-list", words.generations, &header, &rows))
        nav aria-label=(words.pages_of) {
            p {
                @if offset > 0 { a href=(page(offset.saturating_sub(ROWS))) { (words.newer) } " " }
                @if let Some(next) = list.next { a href=(page(next)) { (words.older) } }
            }
        }
    }
}

fn one(view: &View, row: &Generation, token: Option<&str>) -> Vec<Markup> {
    let words = view.words;
    let number = row.generation.to_string();
    let act = |what: &str, word: &str| {
        let label = format!("{word} {number}");
        html! {
            form method="post" action="/act" {
                input type="hidden" name="token" value=(token.unwrap_or(""));
                input type="hidden" name="what" value=(what);
                input type="hidden" name="to" value=(number);
                button aria-label=(label) { (word) }
            }
        }
    };
    let changed = format!("+{} −{}", row.change.added_count(), row.change.removed_count());
    let before = row.replaced.map(|before| before.to_string());
    vec![
        html! {
            (number) " "
            @if row.in_force { (parts::badge("good", words.in_force)) }
            @if row.held { " " (parts::badge("warn", words.pinned)) }
            br; code class="hint" { (row.digest.get(..12).unwrap_or("")) }
        },
        view.moment(row.from),
        html! {
            (row.who) br; span class="hint" { (row.what) }
            @if !row.approvals.is_empty() { br; span class="hint" { (row.approvals.join(", ")) } }
        },
        html! {
            @match &before {
                Some(before) => { a href=(link("/generations", &[("from", before), ("to", &number)])) { (changed) } },
                None => (changed),
            }
        },
        html! { span class="wide" { (row.why) } },
        html! {
            @if token.is_some() {
                @if row.in_force && !row.held { (act("pin", words.pin)) }
                @if !row.in_force { (act("rollback", words.roll_back)) }
            }
        },
    ]
}
