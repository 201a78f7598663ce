//! Owns the verb `log`: the lines of the query log that somebody looks for, in the file and in all that was put aside of it. Needs no running resolver, and
//! shows no more of a client than the log does.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use comfy_table::{Table, presets};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{Exit, complain, out, plain};
use crate::app;
use crate::clock::Clock;
use crate::dns::{CanonicalName, Name};
use crate::policy::When;
use crate::problem::{Place, Problem};
use crate::telemetry::{Clients, Decision, Form, KeptLog, Reading, Reference, Sink, Target};

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

/// What is read of a line.
#[derive(Deserialize)]
struct Line<'l> {
    time: Timestamp,
    #[serde(borrow, default)]
    client: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    identity: Option<Cow<'l, str>>,
    #[serde(borrow)]
    name: Cow<'l, str>,
    #[serde(borrow)]
    r#type: Cow<'l, str>,
    #[serde(borrow)]
    verdict: Cow<'l, str>,
    #[serde(borrow)]
    group: Cow<'l, str>,
    #[serde(borrow, default)]
    app: Cow<'l, str>,
    #[serde(borrow, default)]
    instrument: Cow<'l, str>,
    #[serde(borrow, default)]
    rule: Cow<'l, str>,
    #[serde(borrow, default)]
    rcode: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    answered_from: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    upstream: Option<Cow<'l, str>>,
}

/// Which lines are wanted.
#[derive(Debug)]
struct Wanted<'o> {
    options: &'o Arguments,
    name: Option<String>,
    client: Option<Who<'o>>,
    from: Timestamp,
    to: Timestamp,
}

/// A client that is looked for.
#[derive(Debug)]
enum Who<'o> {
    /// By its address, and the network that may be shown in its place.
    Address(IpAddr, Option<String>),
    /// By how it begins.
    Begins(&'o str),
}

/// How long a client may have kept a block before it showed its page: as long as `[policy] ttl` may be.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);
/// By how much the line of a denial may be later than its page.
const AFTER: SignedDuration = SignedDuration::from_secs(2);
/// Rows of one table, where all lines are shown.
const ROWS: usize = 1000;

pub(super) fn run(config: Option<&Path>, options: &Arguments, json: bool) -> Exit {
    let found = Wanted::of(options).and_then(|wanted| {
        let logs = logs(config, &wanted)?;
        Ok((wanted, logs))
    });
    let (wanted, logs) = match found {
        Ok(found) => found,
        Err(problems) => {
            complain(&problems);
            return Exit::Failed;
        }
    };
    let mut shown = Shown { json, last: options.last, ..Shown::default() };
    let (mut lines, mut refused, mut all) = (0u64, 0u64, Reading::default());
    for log in logs {
        let reading = log.each_line((wanted.from, wanted.to), |bytes| {
            lines += 1;
            match serde_json::from_slice::<Line<'_>>(bytes) {
                Ok(line) if wanted.wants(&line) => shown.add(bytes),
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
fn logs(config: Option<&Path>, wanted: &Wanted<'_>) -> Result<Vec<KeptLog>, Vec<Problem>> {
    let options = wanted.options;
    if !options.files.is_empty() {
        return Ok(options.files.iter().map(|path| KeptLog::file(path)).collect());
    }
    let sinks = app::boot(config)?.querylog.sinks;
    let (sink, path) = chosen(&sinks, options.sink.as_deref()).map_err(|problem| vec![problem])?;
    let wants_address = matches!(wanted.client, Some(Who::Address(..)));
    if wants_address && matches!(sink.clients, Clients::Hmac | Clients::None) {
        return Err(vec![Problem::error(
            Place::file("--client"),
            format!("the sink `{}` shows no addresses", sink.name),
            "its lines have a digest of the day, or nothing: look by name and time",
        )]);
    }
    let log = KeptLog::open(path, Clock::system().wall()).map_err(|error| vec![unreadable(path, &error)])?;
    Ok(vec![log])
}

/// A sink that writes lines of this product's own form into a file.
fn chosen<'s>(sinks: &'s [Sink], name: Option<&str>) -> Result<(&'s Sink, &'s Path), Problem> {
    let file = |sink: &'s Sink| match &sink.to {
        Target::File(path) if sink.form == Form::Json => Some((sink, path.as_path())),
        _ => None,
    };
    let files: Vec<_> = sinks.iter().filter_map(file).collect();
    let named = |(sink, _): &&(&Sink, &Path)| name.is_none_or(|name| sink.name == name);
    let all = files.iter().filter(named).find(|(sink, _)| sink.all);
    if let Some(found) = all.or_else(|| files.iter().find(named)) {
        return Ok(*found);
    }
    let names: Vec<&str> = files.iter().map(|(sink, _)| sink.name.as_str()).collect();
    Err(match name {
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

impl<'o> Wanted<'o> {
    fn of(options: &'o Arguments) -> Result<Self, Vec<Problem>> {
        let page = options.reference.map(|reference| reference.time());
        let from = match (options.from, page) {
            (Some(when), _) => when.in_zone(&TimeZone::UTC),
            (None, Some(page)) => page.saturating_sub(BEFORE).unwrap_or(Timestamp::MIN),
            (None, None) => Timestamp::MIN,
        };
        let to = match (options.to, page) {
            // To its last moment, and not to its last whole second.
            (Some(when @ When::Day(_)), _) => {
                let end = when.end_of_day(&TimeZone::UTC);
                end.saturating_add(SignedDuration::from_millis(999)).unwrap_or(end)
            }
            (Some(When::Moment(moment)), _) => moment,
            (None, Some(page)) => page.saturating_add(AFTER).unwrap_or(Timestamp::MAX),
            (None, None) => Timestamp::MAX,
        };
        if from > to {
            let what = format!("{from} is after {to}");
            return Err(vec![Problem::error(Place::file("--from"), what, "nothing is between them")]);
        }
        let client = options.client.as_ref().map(|client| match client.parse() {
            Ok(address) => Who::Address(address, Clients::Prefix.show(address)),
            Err(_) => Who::Begins(client),
        });
        Ok(Self { options, name: options.name.as_deref().map(part), client, from, to })
    }

    fn wants(&self, line: &Line<'_>) -> bool {
        let options = self.options;
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        (self.from..=self.to).contains(&line.time)
            && self.name.as_ref().is_none_or(|part| line.name.contains(&**part))
            && self.client.as_ref().is_none_or(|who| who.is(line))
            && is(&options.app, &line.app)
            && is(&options.instrument, &line.instrument)
            && is(&options.group, &line.group)
            && is(&options.verdict, &line.verdict)
            && options.rcode.as_ref().is_none_or(|wanted| {
                line.rcode.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(wanted))
            })
            && options.reference.is_none_or(|reference| is_denial_of(line, &reference))
    }
}

impl Who<'_> {
    fn is(&self, line: &Line<'_>) -> bool {
        let mut known = [&line.client, &line.identity].into_iter().flatten();
        match self {
            // A whole address is not meant to find those that it begins; its network stands for it where that is all that is shown.
            Self::Address(address, network) => known.any(|found| {
                found.parse::<IpAddr>().is_ok_and(|found| found == *address)
                    || network.as_ref().is_some_and(|network| found == network)
            }),
            Self::Begins(beginning) => known.any(|found| found.starts_with(beginning)),
        }
    }
}

/// A part of a name as the log writes names: in lower case, without a final dot, and in A-labels (RFC 5890).
fn part(text: &str) -> String {
    let text = text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(text);
    let labels = Some(text).filter(|text| !text.is_ascii()).and_then(|text| text.parse::<Name>().ok());
    labels.map_or_else(|| text.to_ascii_lowercase(), |name| name.to_string())
}

fn is_denial_of(line: &Line<'_>, reference: &Reference) -> bool {
    matches!(&*line.verdict, "blocked" | "refused")
        && line.name.parse::<Name>().is_ok_and(|name| reference.may_be_of(&CanonicalName::from(&name)))
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        options: Arguments,
    }

    fn typed(arguments: &[&str]) -> Arguments {
        Typed::try_parse_from(["log"].iter().chain(arguments)).unwrap().options
    }

    /// Whether what was typed finds a line with these members beside the usual ones.
    fn finds(arguments: &[&str], members: &str) -> bool {
        let options = typed(arguments);
        let line = format!(
            "{{\"name\":\"www.tiktok.com\",\"type\":\"A\",\"verdict\":\"blocked\",\"group\":\"default\",{members}}}"
        );
        Wanted::of(&options).unwrap().wants(&serde_json::from_str(&line).unwrap())
    }

    #[test]
    fn days_are_whole_and_of_utc_and_times_are_exact() {
        let finds = |arguments: &[&str], time: &str| finds(arguments, &format!("\"time\":\"{time}\""));
        let day = &["--from", "2026-11-30", "--to", "2026-11-30"];
        assert!(finds(day, "2026-11-30T00:00:00.000Z") && finds(day, "2026-11-30T23:59:59.999Z"));
        assert!(!finds(day, "2026-11-29T23:59:59.999Z") && !finds(day, "2026-12-01T00:00:00.000Z"));
        let hour = &["--from", "2026-11-30T09:00:00-05:00", "--to", "2026-11-30T15:00:00Z"];
        assert!(finds(hour, "2026-11-30T14:00:00.000Z") && finds(hour, "2026-11-30T15:00:00.000Z"));
        assert!(!finds(hour, "2026-11-30T13:59:59.999Z") && !finds(hour, "2026-11-30T15:00:00.001Z"));
        let backwards = typed(&["--from", "2026-11-30", "--to", "2026-11-29"]);
        assert!(Wanted::of(&backwards).unwrap_err()[0].what.contains("is after"));
    }

    #[test]
    fn a_reference_is_of_a_name_and_of_the_day_before_it_was_shown() {
        let name = |text: &str| CanonicalName::from(&text.parse::<Name>().unwrap());
        let at: Timestamp = "2026-11-30T20:15:00.123Z".parse().unwrap();
        let shown = Reference::of(7, at, &name("www.tiktok.com")).to_string();
        let finds = |arguments: &[&str], time: &str| finds(arguments, &format!("\"time\":\"{time}\""));
        let page = &["--reference", &shown];
        assert!(finds(page, "2026-11-30T20:15:00.100Z") && finds(page, "2026-11-30T20:15:02.000Z"));
        assert!(finds(page, "2026-11-29T20:16:00.000Z"), "blocks may hold for a day");
        assert!(!finds(page, "2026-11-30T20:15:03.000Z") && !finds(page, "2026-11-29T20:14:00.000Z"));
        assert!(finds(&["--reference", &shown, "--from", "2026-11-01"], "2026-11-02T00:00:00.000Z"));
        let other = Reference::of(7, at, &name("www.wechat.com")).to_string();
        assert!(!finds(&["--reference", &other], "2026-11-30T20:15:00.100Z"));
    }

    #[test]
    fn a_client_is_found_however_it_is_written_and_however_it_is_shown() {
        let finds = |client: &str, shown: &str| {
            finds(&["--client", client], &format!("\"time\":\"2026-11-30T00:00:00Z\",{shown}"))
        };
        let whole = r#""client":"2001:db8::17""#;
        assert!(finds("2001:DB8:0::17", whole) && finds("2001:db8:", whole) && !finds("2001:db8::1", whole));
        assert!(
            finds("10.20.0.7", r#""client":"10.20.0.0/24""#)
                && !finds("10.20.1.7", r#""client":"10.20.0.0/24""#)
        );
        assert!(
            finds("10.20.", r#""client":"10.20.0.7""#) && !finds("10.20.0.7", r#""client":"10.20.0.71""#)
        );
        assert!(finds("certificate:lab", r#""client":"10.0.0.1","identity":"certificate:lab-7""#));
        assert!(!finds("10.20.0.7", r#""client":null"#));
    }

    #[test]
    fn a_part_of_a_name_is_found_as_people_write_it() {
        for (text, written) in [
            ("WWW.TikTok.com.", "www.tiktok.com"),
            ("tik", "tik"),
            (".", "."),
            ("m\u{fc}nchen", "xn--mnchen-3ya"),
        ] {
            assert_eq!(part(text), written);
        }
    }
}
