//! Owns the verb `log`: the lines of the query log that somebody looks for, in the file and in all that was put aside of it. Needs no running resolver, and
//! shows no more of a client than the log does.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use comfy_table::{Table, presets};
use jiff::tz::TimeZone;

use super::{Exit, complain, out, plain};
use crate::app;
use crate::clock::Clock;
use crate::policy::When;
use crate::problem::{Place, Problem};
use crate::telemetry::{
    Config, Decision, KeptLog, Line, Reading, Reference, Search, Sink, Sought, Unsearchable,
};

/// Options of `log`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A part of the name asked for
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The client's address or network, or how it begins, as the log shows it
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// The app's id
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// The instrument's id
    #[arg(long, value_name = "ID")]
    instrument: Option<String>,
    /// The client's group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// What the policy said
    #[arg(long, value_name = "VERDICT", value_parser = Decision::ALL.map(Decision::as_str))]
    verdict: Option<String>,
    /// The reply's code, such as SERVFAIL
    #[arg(long, value_name = "CODE")]
    rcode: Option<String>,
    /// From that day (of UTC, as the lines' times are) or time with its offset
    #[arg(long, value_name = "DATE")]
    from: Option<When>,
    /// To the end of that day, or that time
    #[arg(long, value_name = "DATE")]
    to: Option<When>,
    /// What a page that was shown instead of another gives as its reference: denials of that name in the day before it
    #[arg(long, value_name = "REFERENCE", conflicts_with = "verdict")]
    reference: Option<Reference>,
    /// How many of the newest to show; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    last: usize,
    /// Which of the sinks that write files [default: the first that has all queries, else the first]
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// These files, in this order, compressed or not, instead of a sink's
    #[arg(value_name = "FILE", conflicts_with = "sink")]
    files: Vec<PathBuf>,
}

/// Rows of one table, where all lines are shown.
const ROWS: usize = 1000;

pub(super) fn run(config: Option<&Path>, options: &Arguments, json: bool) -> Exit {
    let found = options.search().and_then(|search| {
        let logs = logs(config, options, &search)?;
        Ok((search, logs))
    });
    let (search, logs) = match found {
        Ok(found) => found,
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    let mut shown = Shown { json, last: options.last, ..Shown::default() };
    let (mut lines, mut refused, mut all) = (0u64, 0u64, Reading::default());
    for log in logs {
        let reading = log.within(search.between()).each_line(|bytes| {
            lines += 1;
            match serde_json::from_slice::<Line<'_>>(bytes) {
                Ok(line) if search.wants(&line) => shown.add(bytes),
                Ok(_) => {}
                Err(_) => refused += 1,
            }
            if out::is_read() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        all.files += reading.files;
        all.gone += reading.gone;
        all.broken.extend(reading.broken);
    }
    shown.finish();
    let plural = if all.files == 1 { "" } else { "s" };
    eprintln!("{} of {lines} lines in {} file{plural}{}", shown.found, all.files, shown.omitted());
    let mut problems: Vec<Problem> = all.broken.iter().map(|(path, error)| unreadable(path, error)).collect();
    if refused > 0 {
        problems.push(Problem::warning(
            Place::file("log"),
            format!("{refused} lines are none of a query log in the form `json`"),
            "lines in other forms are for their own readers; one that a full disk cut off is lost",
        ));
    }
    if all.gone > 0 {
        problems.push(Problem::warning(
            Place::file("log"),
            format!("{} files were taken away before they were read", all.gone),
            "`retention` and `total` say how long files stay",
        ));
    }
    complain(&problems);
    match (shown.found, all.broken.is_empty()) {
        (_, false) => Exit::Failed,
        (0, true) => Exit::Negative,
        (_, true) => Exit::Done,
    }
}

/// The logs to be read, one after the other.
fn logs(config: Option<&Path>, options: &Arguments, search: &Search) -> Result<Vec<KeptLog>, Vec<Problem>> {
    if !options.files.is_empty() {
        return Ok(options.files.iter().map(|path| KeptLog::file(path)).collect());
    }
    let querylog = app::boot(config)?.querylog;
    let (sink, path) = chosen(&querylog, options.sink.as_deref()).map_err(|problem| vec![problem])?;
    if search.is_in_vain(sink.clients) {
        return Err(vec![Problem::error(
            Place::file("--client"),
            format!("the sink `{}` shows no addresses", sink.name),
            "its lines have a digest of the day, or nothing: look by name and time",
        )]);
    }
    let log = KeptLog::open(path, Clock::system().wall()).map_err(|error| vec![unreadable(path, &error)])?;
    Ok(vec![log])
}

/// A sink whose lines can be read.
fn chosen<'s>(querylog: &'s Config, name: Option<&str>) -> Result<(&'s Sink, &'s Path), Problem> {
    querylog.readable(name).map_err(|names| match name {
        Some(name) if !names.is_empty() => Problem::error(
            Place::file("--sink"),
            format!("`{name}` is no sink that writes a file in the form `json`"),
            format!("use one of {}", names.join(", ")),
        ),
        _ => Problem::error(
            Place::file("[querylog]"),
            "no sink writes a file in the form `json`",
            "name a file of lines, or log to one: to = [\"file:/var/log/interdict/queries.jsonl\"]",
        ),
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "read it as the service's own user, or as root",
        io::ErrorKind::NotFound => {
            "is --config the one that `interdict serve` runs with, and was anything logged yet?"
        }
        io::ErrorKind::Unsupported => "name a file of lines, or a sink that writes one, with --sink",
        _ => "what could be read of it was looked through",
    };
    Problem::error(Place::file(path.display().to_string()), format!("cannot be read: {error}"), hint)
}

impl Arguments {
    /// What is asked for; days are those of UTC, as the lines' times are.
    fn search(&self) -> Result<Search, Vec<Problem>> {
        let sought = Sought {
            name: self.name.clone(),
            client: self.client.clone(),
            app: self.app.clone(),
            instrument: self.instrument.clone(),
            group: self.group.clone(),
            verdict: self.verdict.clone(),
            rcode: self.rcode.clone(),
            from: self.from,
            to: self.to,
            reference: self.reference,
        };
        let complaint = |wrong: Unsearchable| {
            vec![Problem::error(Place::file(format!("--{}", wrong.key)), wrong.what, wrong.hint)]
        };
        Search::new(sought, &TimeZone::UTC).map_err(complaint)
    }
}

/// What is shown, and how.
#[derive(Default)]
struct Shown {
    json: bool,
    /// So many of the newest; 0 for all.
    last: usize,
    found: u64,
    waiting: VecDeque<Vec<u8>>,
    /// Whether a table was printed.
    has_header: bool,
}

impl Shown {
    fn add(&mut self, line: &[u8]) {
        self.found += 1;
        self.waiting.push_back(line.trim_ascii_end().to_vec());
        if self.last == 0 && self.waiting.len() >= ROWS {
            self.finish();
        } else if self.last > 0 && self.waiting.len() > self.last {
            self.waiting.pop_front();
        }
    }

    /// Prints what waits.
    fn finish(&mut self) {
        let lines = std::mem::take(&mut self.waiting);
        if self.json {
            return lines.iter().for_each(|line| say!("{}", String::from_utf8_lossy(line)));
        }
        let read: Vec<Line<'_>> = lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
        if read.is_empty() {
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if !std::mem::replace(&mut self.has_header, true) {
            table.set_header([
                "time",
                "verdict",
                "client",
                "name",
                "type",
                "reply",
                "answered by",
                "app",
                "instrument",
                "rule",
            ]);
        }
        table.add_rows(read.iter().map(row));
        say!("{}", table.trim_fmt());
    }

    fn omitted(&self) -> String {
        if self.last == 0 || self.found <= self.last as u64 {
            return String::new();
        }
        format!("; the newest {} are shown, --last 0 shows all", self.last)
    }
}

fn row(line: &Line<'_>) -> [String; 10] {
    let text = |found: Option<&str>| plain(found.filter(|text| !text.is_empty()).unwrap_or("-"));
    [
        format!("{:.3}", line.time),
        text(Some(&line.verdict)),
        text(line.identity.as_deref().or(line.client.as_deref())),
        text(Some(&line.name)),
        text(Some(&line.r#type)),
        text(line.rcode.as_deref()),
        text(line.upstream.as_deref().or(line.answered_from.as_deref())),
        text(Some(&line.app)),
        text(Some(&line.instrument)),
        text(Some(&line.rule)),
    ]
}
