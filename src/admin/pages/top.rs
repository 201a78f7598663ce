//! Owns the part of the first page that says what was asked most in the last day, and by whom. Never counts.

use maud::{Markup, html};

use super::super::link::link;
use super::now::titled;
use super::parts;
use super::view::View;
use crate::admin::api::Parts;
use crate::admin::lately::{clients_asking, names_asked};
use crate::admin::live::{TopClient, TopName};
use crate::policy::Snapshot;

/// Rows of each table.
const ROWS: usize = 10;

/// What is shown.
pub(super) struct Top {
    asked: Vec<TopName>,
    blocked: Vec<TopName>,
    /// `None` where nothing is kept of clients.
    clients: Option<Vec<TopClient>>,
}

impl Top {
    /// Reads it; `None` where nothing is kept. Takes milliseconds: not for a thread that must not wait.
    pub(super) fn read(parts: &Parts) -> Option<Self> {
        let first = |verdict: &str| {
            let mut names = names_asked(parts, verdict).ok()?;
            names.truncate(ROWS);
            Some(names)
        };
        let clients = clients_asking(parts).ok().map(|mut clients| {
            clients.truncate(ROWS);
            clients
        });
        Some(Self { asked: first("")?, blocked: first("blocked")?, clients })
    }
}

/// For those who may see what people ask.
pub(super) fn section(view: &View, top: Option<&Top>, snapshot: Option<&Snapshot>) -> Markup {
    let words = view.words;
    html! {
        section aria-labelledby="top" {
            h2 id="top" { (words.top) }
            @if !view.visitor.is_known() { p { a href="/login" { (words.log_in_first) } } }
            @else if let Some(top) = top {
                div class="columns" {
                    (names(view, "top-asked", words.top_names, &top.asked, snapshot))
                    (names(view, "top-blocked", words.top_blocked, &top.blocked, snapshot))
                    (clients(view, top.clients.as_deref()))
                }
            } @else { p { (words.top_none) } }
        }
    }
}

fn names(view: &View, id: &str, title: &str, names: &[TopName], snapshot: Option<&Snapshot>) -> Markup {
    let words = view.words;
    let rows: Vec<Vec<Markup>> = names
        .iter()
        .map(|row| {
            let app = if row.app.is_empty() { String::new() } else { titled(view, snapshot, &row.app) };
            vec![
                parts::asked(&row.name, None),
                parts::number(&view.count(row.questions)),
                html! { (parts::verdict(view, row.verdict)) " " (app) },
            ]
        })
        .collect();
    html! {
        section {
            h3 { (title) }
            @if rows.is_empty() { p { (words.nothing_asked) } } @else {
                (parts::table(id, title, &[words.name, words.queries, words.verdict], &rows))
            }
        }
    }
}

fn clients(view: &View, clients: Option<&[TopClient]>) -> Markup {
    let words = view.words;
    let rows: Option<Vec<Vec<Markup>>> = clients.map(|clients| {
        let row = |row: &TopClient| {
            let client = row.client.to_string();
            let to = link("/", &[("client", &client)]) + "#recent";
            vec![html! { a href=(to) { (client) } }, parts::number(&view.count(row.questions))]
        };
        clients.iter().map(row).collect()
    });
    html! {
        section {
            h3 { (words.top_clients) }
            @match rows {
                None => p { (words.top_clients_none) },
                Some(rows) if rows.is_empty() => p { (words.nothing_asked) },
                Some(rows) => (parts::table("top-clients", words.top_clients, &[words.client, words.queries], &rows)),
            }
        }
    }
}
