//! Owns the verb `report`: who was blocked, by which act, as the running resolver counted it or its store's file tells; on which devices an app very likely is; and
//! what shadow mode would have blocked.

use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;

use super::ask::{answer, ask, print_problems, with};
use super::{Exit, complain, out, print_json, seconds};
use crate::clock::Clock;
use crate::problem::{Place, Problem};
use crate::reload::rehearsed;
use crate::report::render::{
    Cell, Language, Table as Columns, acts, csv, csv_devices, days, exceptions, html, html_devices, in_force,
    likely, most_blocked, named, rule_of, sentences_of_loss, speak, totals, unsure_of,
};
use crate::report::{Asked, Devices, PartRow, ReadError, Report, read_file, read_file_devices};
use crate::telemetry::Rehearsed;

/// Options of `report`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Of one day
    #[arg(long, value_name = "DAY", conflicts_with_all = ["month", "from", "to"])]
    day: Option<String>,
    /// Of one month [default: this one]
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["from", "to"])]
    month: Option<String>,
    /// From a day on
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Up to a day, itself included [default: today]
    #[arg(long, value_name = "DAY", requires = "from")]
    to: Option<String>,
    /// On which devices an app is very likely installed [default: by the last 30 days]
    #[arg(long)]
    devices: bool,
    /// As a page that prints well
    #[arg(long, conflicts_with = "csv")]
    html: bool,
    /// As comma-separated values
    #[arg(long)]
    csv: bool,
    /// `en` or `fr`
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = language)]
    language: Language,
    /// Read a store's file instead of asking the running resolver
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// What would have been blocked by what is in shadow mode, since counting began
    #[arg(long, conflicts_with_all = ["day", "month", "from", "to", "devices", "html", "csv", "store"])]
    shadow: bool,
    /// Read a query log instead of asking the running resolver
    #[arg(long, value_name = "FILE", requires = "shadow")]
    log: Option<PathBuf>,
}

fn language(text: &str) -> Result<Language, &'static str> {
    text.parse()
}

/// A report in one of its forms.
trait Shown: DeserializeOwned + serde::Serialize {
    fn csv(&self) -> String;
    fn html(&self, language: Language) -> String;
    fn print(&self, language: Language);
}

pub(super) fn run(config: Option<&Path>, options: &Arguments, json: bool) -> Exit {
    if options.shadow {
        return shadow(config, options.log.as_deref(), json);
    }
    let Arguments { day, month, from, to, .. } = options;
    let asked = Asked { day: day.clone(), month: month.clone(), from: from.clone(), to: to.clone() };
    let detail = options.csv.then_some("day");
    let parameters = [("day", day), ("month", month), ("from", from), ("to", to)]
        .map(|(key, value)| (key, value.as_deref()));
    let whole = |path: &str| {
        let mut parameters = parameters.to_vec();
        parameters.push(("detail", detail));
        with(path, &parameters)
    };
    match (options.devices, &options.store) {
        (true, None) => remote::<Devices>(config, &whole("/api/v1/report/devices"), options, json),
        (false, None) => remote::<Report>(config, &whole("/api/v1/report"), options, json),
        (true, Some(file)) => local(file, options, json, |now| read_file_devices(file, &asked, now)),
        (false, Some(file)) => local(file, options, json, |now| read_file(file, &asked, now, options.csv)),
    }
}

fn remote<T: Shown>(config: Option<&Path>, path: &str, options: &Arguments, json: bool) -> Exit {
    let (status, value) = match answer(config, |client| client.read(path)) {
        Ok(answer) => answer,
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    if status != 200 {
        print_problems(&value);
        return Exit::Negative;
    }
    match serde_json::from_value::<T>(value) {
        Ok(found) => show(&found, options, json),
        Err(error) => {
            eprintln!("interdict: {error}");
            Exit::Failed
        }
    }
}

fn local<T: Shown>(
    file: &Path,
    options: &Arguments,
    json: bool,
    read: impl FnOnce(Timestamp) -> Result<T, ReadError>,
) -> Exit {
    match read(Clock::system().wall()) {
        Ok(found) => show(&found, options, json),
        Err(ReadError::Asked(problem)) => {
            complain(&[problem]);
            Exit::Negative
        }
        Err(error @ ReadError::Unreadable(_)) => {
            let hint = "name the file that [report] store says, or report.db in the state directory";
            complain(&[Problem::error(
                Place::file(file.display().to_string()),
                format!("cannot be read: {error}"),
                hint,
            )]);
            Exit::Failed
        }
    }
}

fn show(found: &impl Shown, options: &Arguments, json: bool) -> Exit {
    if json {
        print_json(found);
    } else if options.csv {
        out::write(format_args!("{}", found.csv()));
    } else if options.html {
        out::write(format_args!("{}", found.html(options.language)));
    } else {
        found.print(options.language);
    }
    Exit::Done
}

impl Shown for Report {
    fn csv(&self) -> String {
        csv(self)
    }

    fn html(&self, language: Language) -> String {
        html(self, language)
    }

    fn print(&self, language: Language) {
        let words = speak(language);
        let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
        let minute = |at| language.minute(at, &zone);
        say!("{}: {}", words.title, language.period(self.period));
        say!("{} {} ({} {})\n", words.made, minute(self.made), words.zone, self.time_zone);

        draw(totals(self, language));

        for (heading, mode) in [(words.by_part, "enforce"), (words.by_shadow, "shadow")] {
            let rows: Vec<&PartRow> = self.parts.iter().filter(|row| row.part.mode == mode).collect();
            say!("\n{heading}");
            parts(language, &rows, &zone);
        }

        say!("\n{}", words.by_day);
        draw(days(self, language));

        say!("\n{}", words.most_blocked);
        draw(most_blocked(self, language, &zone, 20, " "));

        say!("\n{}", words.exceptions);
        draw(exceptions(self, language, &zone));

        say!("\n{}", words.generations);
        let rows: Vec<_> = self
            .generations
            .iter()
            .map(|one| {
                let digest = one.digest.chars().take(12).collect();
                vec![one.generation.to_string(), digest, minute(one.since), minute(one.until)]
            })
            .collect();
        table(&[words.generation, words.digest, words.since, words.until], &rows, &[0]);

        losses(language, &sentences_of_loss(language, &self.lost, &self.events, &zone));
        privacy(language, &self.clients);
    }
}

impl Shown for Devices {
    fn csv(&self) -> String {
        csv_devices(self)
    }

    fn html(&self, language: Language) -> String {
        html_devices(self, language)
    }

    fn print(&self, language: Language) {
        let words = speak(language);
        say!("{}: {}\n", words.title_devices, language.period(self.period));
        say!("{}\n{}\n{}\n", words.rule, rule_of(language, self.rule), words.caution);
        if !self.noted {
            say!("{}\n", words.not_noted);
        }
        draw(likely(self, language, " "));
        say!("\n{}", unsure_of(language, self.unsure));
        let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
        losses(language, &sentences_of_loss(language, &self.lost, &[], &zone));
        privacy(language, &self.clients);
    }
}

fn parts(language: Language, rows: &[&PartRow], zone: &TimeZone) {
    let words = speak(language);
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let part = &row.part;
            let act = if part.instrument == "none" { part.source.clone() } else { part.instrument.clone() };
            vec![
                named(language, &part.app_title, &part.app).to_owned(),
                act,
                part.group.clone(),
                language.number(row.queries),
                language.number(row.devices),
                language.change(row.queries, row.before),
                language.minute(row.last, zone),
            ]
        })
        .collect();
    let header =
        [words.app, words.instrument, words.group, words.queries, words.devices, words.change, words.last];
    table(&header, &cells, &[3, 4, 5]);
    for part in acts(rows) {
        let since = in_force(language, part.in_force_from, part.date_verified);
        say!(
            "  {}: {}; {}; {} {since}",
            part.instrument,
            part.authority,
            part.citation,
            words.in_force.to_lowercase()
        );
    }
}

/// A report's table.
fn draw(Columns { header, rows }: Columns) {
    let first = rows.first().into_iter().flatten().enumerate();
    let numbers: Vec<usize> =
        first.filter(|(_, cell)| matches!(cell, Cell::Number(_))).map(|(place, _)| place).collect();
    let written = |cell: Cell| match cell {
        Cell::Number(text) | Cell::Text(text) => text,
    };
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().map(written).collect()).collect();
    table(&header, &rows, &numbers);
}

/// A table whose columns of these places are numbers.
fn table(header: &[&str], rows: &[Vec<String>], numbers: &[usize]) {
    if rows.is_empty() {
        return say!("-");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for place in numbers {
        if let Some(column) = table.column_mut(*place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    say!("{}", table.trim_fmt());
}

fn losses(language: Language, sentences: &[String]) {
    let words = speak(language);
    say!("\n{}", words.completeness);
    if sentences.is_empty() {
        say!("{}", words.complete);
    }
    for sentence in sentences {
        say!("- {sentence}");
    }
}

fn privacy(language: Language, clients: &[String]) {
    let words = speak(language);
    say!("\n{}", words.privacy);
    for kept in clients {
        say!("{}", words.clients(kept));
    }
    if clients.is_empty() {
        say!("{}", words.clients_none);
    }
}

/// What shadow mode would have blocked.
fn shadow(config: Option<&Path>, log: Option<&Path>, json: bool) -> Exit {
    let Some(log) = log else {
        return ask(
            config,
            json,
            |client| client.read("/api/v1/report/shadow"),
            |value| match serde_json::from_value(value.clone()) {
                Ok(found) => print_rehearsed(&found),
                Err(error) => eprintln!("interdict: {error}"),
            },
        );
    };
    match rehearsed(log) {
        Ok(found) if json => print_json(&found),
        Ok(found) => {
            print_rehearsed(&found.rehearsed);
            if found.refused > 0 {
                say!("{} lines are not of a query log", found.refused);
            }
        }
        Err(error) => {
            let place = Place::file(log.display().to_string());
            let hint = "name a file that [querylog] to wrote";
            complain(&[Problem::error(place, format!("cannot be read: {error}"), hint)]);
            return Exit::Failed;
        }
    }
    Exit::Done
}

fn print_rehearsed(found: &Rehearsed) {
    let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| seconds(&time.to_string()));
    say!(
        "{} queries would have been blocked from {} to {}",
        found.queries,
        time(found.since),
        time(found.until)
    );
    if found.by.is_empty() {
        return;
    }
    let rows: Vec<_> = found
        .by
        .iter()
        .map(|part| {
            let words = [&part.app, &part.instrument, &part.source, &part.group].map(Clone::clone);
            let counts =
                vec![part.queries.to_string(), time(part.first), time(part.last), part.names.join(" ")];
            [words.to_vec(), counts].concat()
        })
        .collect();
    table(&["app", "instrument", "source", "group", "queries", "first", "last", "names"], &rows, &[]);
}
