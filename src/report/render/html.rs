//! Owns reports as a page: one file without script, link or outside asset, that prints well and is well-formed XML too. Everything that comes from elsewhere is
//! escaped. A door of `base64`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use super::language::Language;
use super::table::{Cell, Table, acts, days, exceptions, likely, most_blocked, totals};
use super::words::{Words, in_force, named, rule_of, sentences_of_loss, speak, unsure_of};
use crate::report::period::Period;
use crate::report::summary::{DayRow, Devices, Event, Lost, PartRow, Report};

const STYLE: &str = "\
:root{color-scheme:light}body{font:16px/1.45 system-ui,sans-serif;color:#1a1a1a;background:#fff;margin:2rem auto;padding:0 1rem;max-width:72rem}\
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:2px solid #1f4e79;padding-bottom:.2rem}\
p{margin:.25rem 0 .75rem;max-width:46rem}.about{color:#555}.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #d0d0d0;overflow-wrap:anywhere}th{border-bottom:1px solid #555}\
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;overflow-wrap:normal}ul{padding-left:1.2rem;margin:.25rem 0}\
svg{width:100%;height:auto;max-height:11rem;display:block}svg text{font:11px system-ui,sans-serif;fill:#555}rect{fill:#1f4e79}\
@media screen{th,td{overflow-wrap:break-word}}\
@media print{@page{margin:15mm}body{font-size:10pt;margin:0;max-width:none}h2{break-after:avoid}th,td{min-width:4.5rem}tr,svg{break-inside:avoid}thead{display:table-header-group}.scroll{overflow:visible}}";

/// A page of a report.
pub fn html(report: &Report, language: Language) -> String {
    let words = speak(language);
    let zone = zone_of(&report.time_zone);
    let mut page = Page::new(language, words.title, report.period);
    page.about(&report.made, &report.time_zone, &zone, Some(report.compared_with));

    page.heading(words.summary);
    page.table(totals(report, language));

    let of_mode = |mode: &str| report.parts.iter().filter(|row| row.part.mode == mode).collect::<Vec<_>>();
    for (heading, rows) in [(words.by_part, of_mode("enforce")), (words.by_shadow, of_mode("shadow"))] {
        page.heading(heading);
        page.parts(&rows, &zone);
    }

    page.heading(words.by_day);
    page.bars(&report.days);
    page.table(days(report, language));

    page.heading(words.most_blocked);
    page.table(most_blocked(report, language, &zone, usize::MAX, ", "));

    page.heading(words.exceptions);
    page.table(exceptions(report, language, &zone));

    page.heading(words.generations);
    let rows = report.generations.iter().map(|one| {
        vec![
            page.number(one.generation),
            Cell::Text(one.digest.chars().take(12).collect()),
            Cell::Text(language.minute(one.since, &zone)),
            Cell::Text(language.minute(one.until, &zone)),
        ]
    });
    let rows = rows.collect();
    page.table(Table { header: vec![words.generation, words.digest, words.since, words.until], rows });

    page.loss(&report.lost, &report.events, &zone);
    page.privacy(&report.clients);
    page.end()
}

/// A page of devices that very likely have an app.
pub fn html_devices(devices: &Devices, language: Language) -> String {
    let words = speak(language);
    let zone = zone_of(&devices.time_zone);
    let mut page = Page::new(language, words.title_devices, devices.period);
    page.about(&devices.made, &devices.time_zone, &zone, None);
    page.heading(words.rule);
    page.paragraph(&rule_of(language, devices.rule));
    page.paragraph(words.caution);
    if !devices.noted {
        page.paragraph(words.not_noted);
    }
    page.heading(words.devices);
    page.table(likely(devices, language, ", "));
    page.paragraph(&unsure_of(language, devices.unsure));
    page.loss(&devices.lost, &[], &zone);
    page.privacy(&devices.clients);
    page.end()
}

fn zone_of(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

struct Page {
    language: Language,
    words: &'static Words,
    out: String,
    /// The heading that stands above.
    section: String,
}

impl Page {
    fn new(language: Language, title: &str, period: Period) -> Self {
        let days = language.period(period);
        let digest = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        let (tag, title, days) = (language.tag(), escaped(title), escaped(&days));
        let out = format!(
            "<!DOCTYPE html>\n<html lang=\"{tag}\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"referrer\" content=\"no-referrer\"/>\n\
             <title>{title}, {days}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p><strong>{days}</strong></p>\n"
        );
        Self { language, words: speak(language), out, section: String::new() }
    }

    fn about(&mut self, made: &jiff::Timestamp, name: &str, zone: &TimeZone, compared_with: Option<Period>) {
        let Words { made: produced, zone: times, compared_with: compared, .. } = self.words;
        let mut text = format!("{produced} {} ({times} {name}).", self.language.minute(*made, zone));
        if let Some(period) = compared_with {
            let colon = self.language.choose(":", "\u{a0}:");
            let _ = write!(text, " {compared}{colon} {}.", self.language.period(period));
        }
        let _ = writeln!(self.out, "<p class=\"about\">{}</p>", escaped(&text));
    }

    fn heading(&mut self, text: &str) {
        text.clone_into(&mut self.section);
        let _ = writeln!(self.out, "<h2>{}</h2>", escaped(text));
    }

    fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.out, "<p>{}</p>", escaped(text));
    }

    fn number(&self, number: u64) -> Cell {
        Cell::Number(self.language.number(number))
    }

    fn table(&mut self, Table { header, rows }: Table) {
        let Some(first) = rows.first() else { return self.paragraph(self.words.none) };
        // On a narrow screen a table is moved by itself, with the keyboard too.
        let _ = write!(
            self.out,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table>\n<thead><tr>",
            escaped(&self.section)
        );
        for (title, cell) in header.iter().zip(first) {
            let class = if matches!(cell, Cell::Number(_)) { " class=\"n\"" } else { "" };
            let _ = write!(self.out, "<th scope=\"col\"{class}>{}</th>", escaped(title));
        }
        self.out.push_str("</tr></thead>\n<tbody>\n");
        for row in &rows {
            self.out.push_str("<tr>");
            for cell in row {
                let _ = match cell {
                    Cell::Number(text) => write!(self.out, "<td class=\"n\">{}</td>", escaped(text)),
                    Cell::Text(text) => write!(self.out, "<td>{}</td>", escaped(text)),
                };
            }
            self.out.push_str("</tr>\n");
        }
        self.out.push_str("</tbody>\n</table></div>\n");
    }

    fn parts(&mut self, rows: &[&PartRow], zone: &TimeZone) {
        let (words, language) = (self.words, self.language);
        let cells = rows.iter().map(|row| {
            let part = &row.part;
            let act = if part.instrument == "none" {
                format!("{} ({})", words.no_act, part.source)
            } else {
                part.instrument.clone()
            };
            let title = named(language, &part.app_title, &part.app);
            vec![
                Cell::Text(title.to_owned()),
                Cell::Text(act),
                Cell::Text(part.group.clone()),
                self.number(row.queries),
                self.number(row.devices),
                Cell::Number(language.change(row.queries, row.before)),
                Cell::Text(language.minute(row.first, zone)),
                Cell::Text(language.minute(row.last, zone)),
            ]
        });
        let cells = cells.collect();
        let header = vec![
            words.app,
            words.instrument,
            words.group,
            words.queries,
            words.devices,
            words.change,
            words.first,
            words.last,
        ];
        self.table(Table { header, rows: cells });
        // Each act once, in full.
        let acts = acts(rows);
        if acts.is_empty() {
            return;
        }
        let cells = acts.into_iter().map(|part| {
            vec![
                Cell::Text(part.instrument.clone()),
                Cell::Text(part.authority.clone()),
                Cell::Text(part.citation.clone()),
                Cell::Text(in_force(language, part.in_force_from, part.date_verified)),
            ]
        });
        let cells = cells.collect();
        let _ = writeln!(self.out, "<p><strong>{}</strong></p>", escaped(words.acts));
        let header = vec![words.instrument, words.authority, words.citation, words.in_force];
        self.table(Table { header, rows: cells });
    }

    /// A bar for each day.
    fn bars(&mut self, days: &[DayRow]) {
        let words = self.words;
        let most = days.iter().map(|row| row.totals.blocked).max().unwrap_or(0);
        if most > 0 && days.len() > 1 {
            const HEIGHT: u64 = 120;
            let width = days.len() * 20;
            let title = escaped(words.blocked);
            let _ = write!(
                self.out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>",
                width.max(240),
                HEIGHT + 34
            );
            let _ =
                write!(self.out, "<text x=\"0\" y=\"10\">{}</text>", escaped(&self.language.number(most)));
            for (place, row) in days.iter().enumerate() {
                let blocked = row.totals.blocked;
                let height = if blocked == 0 {
                    0
                } else {
                    (u128::from(blocked) * u128::from(HEIGHT) / u128::from(most)).max(1) as u64
                };
                let label = format!("{}: {}", self.language.day(row.day), self.language.number(blocked));
                let _ = write!(
                    self.out,
                    "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"{height}\"><title>{}</title></rect>",
                    place * 20 + 3,
                    14 + HEIGHT - height,
                    escaped(&label)
                );
            }
            for (place, row) in days.iter().enumerate().filter(|(place, _)| place % 7 == 0) {
                let _ = write!(
                    self.out,
                    "<text x=\"{}\" y=\"{}\">{}</text>",
                    place * 20 + 3,
                    HEIGHT + 30,
                    row.day.strftime("%m-%d")
                );
            }
            self.out.push_str("</svg>\n");
        }
    }

    fn loss(&mut self, lost: &Lost, events: &[Event], zone: &TimeZone) {
        self.heading(self.words.completeness);
        let sentences = sentences_of_loss(self.language, lost, events, zone);
        self.sentences(&sentences, self.words.complete);
    }

    fn privacy(&mut self, clients: &[String]) {
        self.heading(self.words.privacy);
        let sentences: Vec<String> = clients.iter().map(|kept| self.words.clients(kept).to_owned()).collect();
        self.sentences(&sentences, self.words.clients_none);
    }

    fn sentences(&mut self, sentences: &[String], otherwise: &str) {
        if sentences.is_empty() {
            return self.paragraph(otherwise);
        }
        self.out.push_str("<ul>\n");
        for sentence in sentences {
            let _ = writeln!(self.out, "<li>{}</li>", escaped(sentence));
        }
        self.out.push_str("</ul>\n");
    }

    fn end(mut self) -> String {
        self.out.push_str("</main>\n</body>\n</html>\n");
        self.out
    }
}

/// Text as it may stand between tags and in attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in XML, nor of any use.
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_becomes_markup() {
        assert_eq!(escaped("<script>\"a\" & b\u{1}"), "&lt;script&gt;&quot;a&quot; &amp; b ");
    }
}
