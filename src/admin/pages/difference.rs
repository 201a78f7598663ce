//! Owns how a difference between two policies, and its impact, is shown. Never makes one.

use maud::{Markup, html};

use super::parts;
use super::view::View;
use crate::policy::{Difference, Impact, Turned};

/// What changes.
pub(super) fn difference(view: &View, difference: &Difference) -> Markup {
    let words = view.words;
    html! {
        p {
            (view.count(difference.rules_before as u64)) " " (words.rules_before) ", "
            (view.count(difference.rules_after as u64)) " " (words.rules_after) "."
        }
        @if difference.is_empty() { p { (words.difference_none) } } @else {
            ul class="plain" {
                @for (sign, changes) in [("+", &difference.added), ("−", &difference.removed)] {
                    @for (list, change) in changes {
                        li {
                            (sign) " " (list) " (" (view.count(change.count as u64)) ")" (words.colon)
                            (change.names.join(", ")) @if change.count > change.names.len() { " …" }
                        }
                    }
                }
                @for line in &difference.groups { li { (line) } }
            }
        }
    }
}

/// Whom and what a change would mean.
pub(super) fn impact(view: &View, impact: &Impact) -> Markup {
    let words = view.words;
    html! {
        p { (view.count(impact.queries)) " " (words.times_used) }
        @for (id, title, turned) in [
            ("newly", words.newly_blocked, &impact.newly_blocked),
            ("unblocked", words.unblocked, &impact.unblocked),
        ] {
            h3 { (title) (words.colon) (view.count(turned.queries)) }
            (turned_table(view, id, title, turned))
        }
    }
}

fn turned_table(view: &View, id: &str, title: &str, turned: &Turned) -> Markup {
    let words = view.words;
    if turned.by.is_empty() {
        return html! {};
    }
    let rows: Vec<Vec<Markup>> = turned
        .by
        .iter()
        .map(|part| {
            vec![
                html! { (part.app) },
                html! { (part.instrument) },
                html! { (part.group) },
                parts::number(&view.count(part.queries)),
                parts::number(&view.count(part.clients as u64)),
                html! { span class="wide" { (part.name_examples.join(", ")) } },
            ]
        })
        .collect();
    let header = [words.app, words.instrument, words.group, words.queries, words.clients, words.names_all];
    parts::table(id, title, &header, &rows)
}
