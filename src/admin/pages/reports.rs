//! Owns the page of reports: who was blocked in a day or a month and on which devices an app very likely is, and the files to take away. For those who
//! are known, as it shows people. Never counts.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::super::link::link;
use super::frame::{Place, whole, whole_with};
use super::parts;
use super::view::View;
use crate::admin::report::{asked, read, uncounted};
use crate::problem::Problem;
use crate::report::render::{
    csv, csv_devices, days, exceptions, html as printed, html_devices, likely, most_blocked, rule_of, speak,
    totals,
};
use crate::report::{Asked, Devices, Ledger, Report};

/// Devices shown on the page; the files have all.
const SHOWN: usize = 50;

pub(super) async fn page(view: View) -> Response {
    let words = view.words;
    if !view.visitor.is_known() {
        let content = html! { p { a href="/login" { (words.log_in_first) } } };
        return whole(&view, Place::Reports, words.reports, &content);
    }
    if view.parts.ledger.is_none() {
        return whole(&view, Place::Reports, words.reports, &parts::problems(&view, &[uncounted()]));
    }
    let wanted = wanted(&view);
    let report = read(&view.parts, wanted.clone(), |ledger, asked| ledger.report(asked, false)).await;
    let devices = read(&view.parts, wanted.clone(), Ledger::devices).await;
    let content = html! {
        form class="bar" method="get" action="/reports" {
            (parts::field(&view, "month", words.month, "month", true))
            (parts::field(&view, "day", words.this_day, "date", true))
            button class="main" { (words.show) }
        }
        @match &report {
            Err(problem) => (parts::problems(&view, std::slice::from_ref(problem))),
            Ok(report) => (of_report(&view, report)),
        }
        @match &devices {
            Err(problem) => (parts::problems(&view, std::slice::from_ref(problem))),
            Ok(devices) => (of_devices(&view, devices)),
        }
    };
    whole(&view, Place::Reports, words.reports, &content)
}

/// The days that are asked for; a day goes before a month, as both fields of the form are always sent.
fn wanted(view: &View) -> Asked {
    let asked = asked(&view.parameters);
    if asked.day.is_some() { Asked { month: None, ..asked } } else { asked }
}

fn of_report(view: &View, report: &Report) -> Markup {
    let (words, said, language) = (view.words, speak(view.language), view.language);
    let by = |mode: &str| -> Vec<Vec<Markup>> {
        let rows = report.parts.iter().filter(|row| row.part.mode == mode);
        rows.map(|row| {
            let part = &row.part;
            let title = if part.app_title.is_empty() { &part.app } else { &part.app_title };
            vec![
                html! { (title) },
                html! { (part.instrument) },
                html! { (part.group) },
                parts::number(&view.count(row.queries)),
                parts::number(&view.count(row.devices)),
                parts::number(&language.change(row.queries, row.before)),
                view.moment(row.first),
                view.moment(row.last),
            ]
        })
        .collect()
    };
    let header = [
        said.app,
        said.instrument,
        said.group,
        said.queries,
        said.devices,
        said.change,
        said.first,
        said.last,
    ];
    html! {
        h2 { (language.period(report.period)) }
        (downloads(view, "report", &format!("{} {}", words.printable, language.period(report.period))))
        div class="columns" {
            section { (parts::report_table("totals", said.summary, &totals(report, language), said.none)) }
            section { (parts::report_table("most", said.most_blocked, &most_blocked(report, language, &view.zone, SHOWN, ", "), said.none)) }
        }
        @for (id, mode, title) in [("enforced", "enforce", said.by_part), ("rehearsed", "shadow", said.by_shadow)] {
            @let rows = by(mode);
            h3 { (title) }
            @if rows.is_empty() { p { (said.none) } } @else { (parts::table(id, title, &header, &rows)) }
        }
        details {
            summary { (said.by_day) }
            (parts::report_table("by-day", said.by_day, &days(report, language), said.none))
        }
        (parts::report_table("used", said.exceptions, &exceptions(report, language, &view.zone), said.none))
    }
}

fn of_devices(view: &View, devices: &Devices) -> Markup {
    let said = speak(view.language);
    html! {
        h2 { (view.words.devices) }
        p { (rule_of(view.language, devices.rule)) }
        p { (said.caution) }
        @if !devices.noted { p { strong { (said.not_noted) } } }
        (downloads(view, "devices", view.words.devices))
        (parts::report_table("likely", view.words.devices, &likely(devices, view.language, ", "), said.none))
    }
}

fn downloads(view: &View, what: &str, of: &str) -> Markup {
    let asked = wanted(view);
    let days = [("day", asked.day), ("month", asked.month), ("from", asked.from), ("to", asked.to)];
    html! {
        p {
            (view.words.download) (view.words.colon)
            @for (place, form) in ["html", "csv", "json"].into_iter().enumerate() {
                @if place > 0 { ", " }
                @let pairs = [("what", what), ("form", form), ("lang", view.language.tag())];
                @let days = days.iter().filter_map(|(key, day)| Some((*key, day.as_deref()?)));
                @let pairs = pairs.into_iter().chain(days).collect::<Vec<_>>();
                a href=(link("/reports/file", &pairs)) aria-label={ (form.to_uppercase()) ", " (of) } { (form.to_uppercase()) }
            }
        }
    }
}

/// A report as a file: a page that prints, a table, or values.
pub(super) async fn file(view: View) -> Response {
    if !view.visitor.is_known() {
        return Redirect::to("/login").into_response();
    }
    let language = view.language;
    let form = view.parameters.get("form").unwrap_or("html").to_owned();
    let asked = wanted(&view);
    let name = if view.parameters.get("what") == Some("devices") { "devices" } else { "report" };
    let text = if name == "devices" {
        let devices = read(&view.parts, asked, Ledger::devices).await;
        devices.and_then(|devices| match form.as_str() {
            "csv" => Ok(csv_devices(&devices)),
            "json" => written(&devices),
            _ => Ok(html_devices(&devices, language)),
        })
    } else {
        let report = read(&view.parts, asked, |ledger, asked| ledger.report(asked, true)).await;
        report.and_then(|report| match form.as_str() {
            "csv" => Ok(csv(&report)),
            "json" => written(&report),
            _ => Ok(printed(&report, language)),
        })
    };
    let text = match text {
        Ok(text) => text,
        Err(problem) => {
            let content = parts::problems(&view, &[problem]);
            return whole_with(
                StatusCode::BAD_REQUEST,
                &view,
                Place::Elsewhere,
                view.words.problems,
                &content,
            );
        }
    };
    let (kind, end) = match form.as_str() {
        "csv" => ("text/csv; charset=utf-8", "csv"),
        "json" => ("application/json", "json"),
        _ => ("text/html; charset=utf-8", "html"),
    };
    let disposition = match end {
        "html" => "inline".to_owned(),
        end => format!("attachment; filename=\"interdict-{name}.{end}\""),
    };
    ([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], text)
        .into_response()
}

fn written(value: &impl serde::Serialize) -> Result<String, Problem> {
    let failed = |error: serde_json::Error| {
        Problem::error(crate::problem::Place::file("[report]"), error.to_string(), "")
    };
    serde_json::to_string_pretty(value).map_err(failed)
}
