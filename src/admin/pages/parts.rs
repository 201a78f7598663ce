//! Owns the parts that pages are made of: tables that a screen reader can name and a narrow screen can move, fields with their labels, notices. Never what
//! stands in them.

use maud::{Markup, html};

use super::super::link::link;
use super::view::{NOTHING, View};
use crate::admin::live;
use crate::problem::Problem;
use crate::report::render::{Cell, Table};

/// A table below a heading; its caption is heard and not seen, as the heading says the same. `id` names it in the page.
pub(super) fn table(id: &str, caption: &str, header: &[&str], rows: &[Vec<Markup>]) -> Markup {
    let label = format!("{id}-caption");
    html! {
        div class="scroll" role="region" aria-labelledby=(label) tabindex="0" {
            table {
                caption id=(label) { (caption) }
                thead { tr { @for title in header { th scope="col" { (title) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (place, cell) in row.iter().enumerate() {
                                @if place == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A table of a report.
pub(super) fn report_table(id: &str, caption: &str, table: &Table, otherwise: &str) -> Markup {
    if table.rows.is_empty() {
        return html! { h3 { (caption) } p { (otherwise) } };
    }
    let heading = html! { h3 { (caption) } };
    let rows: Vec<Vec<Markup>> = table
        .rows
        .iter()
        .map(|row| {
            let cell = |cell: &Cell| match cell {
                Cell::Number(text) => number(text),
                Cell::Text(text) => html! { (text) },
            };
            row.iter().map(cell).collect()
        })
        .collect();
    html! { (heading) (self::table(id, caption, &table.header, &rows)) }
}

/// A number in a table.
pub(super) fn number(text: &str) -> Markup {
    html! { span class="n" { (text) } }
}

/// A field of a form with its label.
pub(super) fn field(view: &View, name: &str, label: &str, kind: &str, is_optional: bool) -> Markup {
    let id = format!("field-{name}");
    html! {
        div class="field" {
            label for=(id) {
                (label)
                @if is_optional { span class="hint" { " (" (view.words.optional) ")" } }
            }
            input id=(id) name=(name) type=(kind) value=(view.parameters.get(name).unwrap_or(""))
                required[!is_optional] autocomplete="off" spellcheck="false";
        }
    }
}

/// A choice of one word.
pub(super) fn choice(view: &View, name: &str, label: &str, options: &[(&str, &str)]) -> Markup {
    let id = format!("field-{name}");
    let chosen = view.parameters.get(name).unwrap_or("");
    html! {
        div class="field" {
            label for=(id) { (label) }
            select id=(id) name=(name) {
                @for (value, text) in options {
                    option value=(value) selected[*value == chosen] { (text) }
                }
            }
        }
    }
}

/// Everything that is wrong.
pub(super) fn problems(view: &View, problems: &[Problem]) -> Markup {
    html! {
        @if !problems.is_empty() {
            div class="notice bad" role="alert" {
                h2 { (view.words.problems) }
                ul {
                    @for problem in problems {
                        li {
                            (problem.place.to_string()) (view.words.colon) (problem.what)
                            @if !problem.hint.is_empty() { br; span class="hint" { (problem.hint) } }
                        }
                    }
                }
            }
        }
    }
}

/// A word that says how something stands, in a colour and in letters.
pub(super) fn badge(kind: &str, text: &str) -> Markup {
    html! { span class={ "badge " (kind) } { (text) } }
}

/// A name that was asked for, which leads to what it gets and why.
pub(super) fn asked(name: &str, record_type: Option<&str>) -> Markup {
    let pairs = [("name", Some(name)), ("type", record_type)];
    let pairs: Vec<_> = pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    html! { a class="wide" href=(link("/explain", &pairs)) { (name) } }
}

/// The choice of what the policy said.
pub(super) fn verdicts(view: &View) -> Markup {
    let words = view.words;
    let each = live::verdicts().map(|one| (one, words.said(one)));
    choice(view, "verdict", words.verdict, &[("", words.all)].into_iter().chain(each).collect::<Vec<_>>())
}

/// What the policy said, in its colour.
pub(super) fn verdict(view: &View, verdict: &str) -> Markup {
    let kind = match verdict {
        "blocked" | "refused" => "bad",
        "shadow" => "warn",
        "permitted" => "good",
        _ => "",
    };
    badge(kind, view.words.said(verdict))
}

/// Who answered, or where the answer is from.
pub(super) fn answerer<'s>(view: &View, upstream: Option<&'s str>, origin: Option<&'s str>) -> &'s str {
    upstream.unwrap_or_else(|| origin.map_or(NOTHING, |origin| view.words.origin(origin)))
}
