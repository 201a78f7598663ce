//! Owns the query log: JSON lines in a file, written by a thread of its own. A slow or full disk loses lines, counted,
//! and never a query. Never decides which queries are logged beyond its own settings.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::policy::Description;
use crate::telemetry::metric::{Collect, Kind, Metric, Sample};
use crate::telemetry::record::Record;
use crate::telemetry::ring::Rings;

/// Settings of the query log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where lines go. Default: nowhere, as a log of people's queries is a decision to be taken.
    pub to: Option<PathBuf>,
    /// Which queries. Default: blocked ones, as only they need an explanation.
    pub all: bool,
    /// How clients are shown.
    pub clients: Clients,
}

/// How a client's address is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clients {
    /// Whole. The default: a block that cannot be traced to a device cannot be followed up.
    #[default]
    Full,
    /// Not at all.
    None,
    /// Its /24 or /56.
    Prefix,
}

/// Turns the ids of a record into words; called on the log's thread.
pub type Describe = Arc<dyn Fn(&Record) -> Described + Send + Sync>;

/// A record in words.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// Which rule was met, and whose it is.
    pub words: Description,
    /// The client's group.
    pub group: String,
    /// Who the client is beside its address.
    pub identity: Option<String>,
}

/// A running query log.
#[derive(Debug)]
pub struct QueryLog {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    rings: Arc<Rings>,
    stop: AtomicBool,
    written: AtomicU64,
    failed: AtomicU64,
}

/// How often waiting records are written. Short enough for a person watching the file.
const EVERY: Duration = Duration::from_millis(20);

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    transport: &'a str,
    name: String,
    r#type: String,
    verdict: &'a str,
    action: &'a str,
    app: &'a str,
    instrument: &'a str,
    authority: &'a str,
    in_force_from: Option<Timestamp>,
    rule: &'a str,
    listed: &'a str,
    source: &'a str,
    exception: Option<&'a str>,
    trigger: &'a str,
    group: &'a str,
    generation: u64,
}

impl FromStr for Clients {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "full" => Ok(Self::Full),
            "none" => Ok(Self::None),
            "prefix" => Ok(Self::Prefix),
            "hmac" => Err("not supported yet"),
            _ => Err("use one of full, prefix, none"),
        }
    }
}

impl Clients {
    /// What is kept of an address: all of it, the first address of its network, or nothing.
    pub(in crate::telemetry) fn kept(self, client: IpAddr) -> Option<IpAddr> {
        match (self, client) {
            (Self::Full, _) => Some(client),
            (Self::None, _) => None,
            (Self::Prefix, IpAddr::V4(address)) => {
                let [a, b, c, _] = address.octets();
                Some(IpAddr::from([a, b, c, 0]))
            }
            (Self::Prefix, IpAddr::V6(address)) => {
                Some(IpAddr::from((u128::from(address) & !(u128::MAX >> 56)).to_be_bytes()))
            }
        }
    }

    /// A client as logs and reports show it; `None` when they do not.
    pub fn show(self, client: IpAddr) -> Option<String> {
        let kept = self.kept(client)?;
        Some(match (self, kept) {
            (Self::Prefix, IpAddr::V4(_)) => format!("{kept}/24"),
            (Self::Prefix, IpAddr::V6(_)) => format!("{kept}/56"),
            _ => kept.to_string(),
        })
    }

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::None => "none",
            Self::Prefix => "prefix",
        }
    }
}

impl QueryLog {
    /// Opens the file and starts the thread. Fails when the file cannot be opened.
    pub fn start(config: &Config, rings: Arc<Rings>, describe: Describe) -> io::Result<Self> {
        let state = Arc::new(State {
            rings,
            stop: AtomicBool::new(false),
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let Some(path) = config.to.clone() else {
            return Ok(Self { state, thread: None });
        };
        let mut output = Output::open(path)?;
        let (shared, clients) = (Arc::clone(&state), config.clients);
        let thread = thread::Builder::new().name("querylog".to_owned()).spawn(move || {
            loop {
                // Read before the last drain, so that what was pushed before the stop is written.
                let stopping = shared.stop.load(Ordering::Acquire);
                shared.pass(&mut output, clients, &describe);
                if stopping {
                    return;
                }
                thread::sleep(EVERY);
            }
        })?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Writes what waits and ends the thread, within `patience`: a reader that hangs must not keep the process. Returns
    /// false when the thread did not end, and is left behind. Waits; not for a runtime's thread.
    pub fn stop(&mut self, patience: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(5);
        self.state.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return true };
        for _ in 0..patience.as_millis() / LOOK.as_millis() {
            if thread.is_finished() {
                break;
            }
            thread::sleep(LOOK);
        }
        thread.is_finished() && thread.join().is_ok()
    }

    /// A view for the scrape page.
    pub fn collector(&self) -> Arc<dyn Collect> {
        Arc::clone(&self.state) as Arc<dyn Collect>
    }
}

impl State {
    /// Writes everything that waits; lines that cannot be written are counted and gone.
    fn pass(&self, output: &mut Output, clients: Clients, describe: &Describe) {
        let mut lines = Vec::new();
        let mut count = 0;
        self.rings.drain(|record| {
            let described = describe(&record);
            let line = line(&record, &described, clients);
            if serde_json::to_writer(&mut lines, &line).is_ok() {
                lines.push(b'\n');
                count += 1;
            }
        });
        if count == 0 {
            return;
        }
        let written = output.write(&lines);
        self.written.fetch_add(written.lines, Ordering::Relaxed);
        self.failed.fetch_add(count - written.lines, Ordering::Relaxed);
        if let Some(error) = written.error {
            output.complain(&error);
        }
    }
}

fn line<'a>(record: &'a Record, described: &'a Described, clients: Clients) -> Line<'a> {
    let Described { words, group, identity } = described;
    Line {
        time: Timestamp::from_millisecond(record.time_ms)
            .map(|time| format!("{time:.3}"))
            .unwrap_or_default(),
        client: clients.show(record.client),
        // It tells of one person's device: shown where addresses are.
        identity: identity.as_deref().filter(|_| clients == Clients::Full),
        transport: record.transport,
        name: record.name.to_string(),
        r#type: record.record_type.to_string(),
        verdict: record.decision.as_str(),
        action: words.action,
        app: &words.app,
        instrument: &words.instrument,
        authority: &words.authority,
        in_force_from: words.in_force_from,
        rule: &words.rule,
        listed: &words.listed,
        source: &words.source,
        exception: words.exception.as_deref(),
        trigger: words.trigger,
        group,
        generation: record.generation,
    }
}

/// The file, opened anew when it was moved away or could not be written.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: Option<File>,
    /// Passes since the last complaint.
    since_complaint: Option<u32>,
}

/// What became of some lines.
struct Written {
    lines: u64,
    error: Option<io::Error>,
}

impl Output {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = open(&path)?;
        // A disk that is full now is no reason not to start: the first write tries again.
        let file = end_last_line(&path, file).ok();
        Ok(Self { path, file, since_complaint: None })
    }

    fn write(&mut self, lines: &[u8]) -> Written {
        let kept = self.file.take().filter(|file| !was_moved(&self.path, file));
        let opened =
            kept.map_or_else(|| open(&self.path).and_then(|file| end_last_line(&self.path, file)), Ok);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => return Written { lines: 0, error: Some(error) },
        };
        let (length, error) = write_most(&mut file, lines);
        if error.is_none() {
            self.file = Some(file);
        }
        let done = lines.get(..length).unwrap_or(lines);
        Written { lines: done.iter().filter(|byte| **byte == b'\n').count() as u64, error }
    }

    /// Says at most once a minute that lines are being lost; the counter says how many.
    fn complain(&mut self, error: &io::Error) {
        const MINUTE: u32 = (Duration::from_secs(60).as_millis() / EVERY.as_millis()) as u32;
        match &mut self.since_complaint {
            Some(passes) if *passes < MINUTE => *passes += 1,
            since => {
                *since = Some(0);
                tracing::warn!(%error, path = %self.path.display(), "query log lines are being lost");
            }
        }
    }
}

/// True when the path no longer names the open file: a rotation took it away.
fn was_moved(path: &Path, file: &File) -> bool {
    let Ok(open) = file.metadata() else { return true };
    std::fs::metadata(path).map_or(true, |named| (named.dev(), named.ino()) != (open.dev(), open.ino()))
}

/// Ends the last line if a write before was cut off, by a full disk or with the process, so that the next line is not
/// glued to it.
fn end_last_line(path: &Path, mut file: File) -> io::Result<File> {
    let about = file.metadata()?;
    if let Some(last) = about.len().checked_sub(1).filter(|_| about.is_file()) {
        let mut byte = [0];
        let read = File::open(path).and_then(|reader| reader.read_exact_at(&mut byte, last));
        if read.is_ok() && byte != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Writes as much as can be written; returns how many bytes that was, and what stopped it.
fn write_most(file: &mut File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (at, Some(io::ErrorKind::WriteZero.into())),
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (at, Some(error)),
        }
    }
    (at, None)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The rows of this room.
pub(in crate::telemetry) static METRICS: &[&Metric] = &[&RECORDS, &LOST];

static RECORDS: Metric = Metric {
    name: "interdict_querylog_records_total",
    help: "Lines written to the query log.",
    kind: Kind::Counter,
    labels: &["sink"],
};
static LOST: Metric = Metric {
    name: "interdict_querylog_lost_total",
    help: "Records lost because the log could not keep up or could not be written.",
    kind: Kind::Counter,
    labels: &["sink"],
};

impl Collect for State {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let lost = self.rings.lost() + self.failed.load(Ordering::Relaxed);
        for (metric, value) in [(&RECORDS, self.written.load(Ordering::Relaxed)), (&LOST, lost)] {
            samples.push(Sample { metric, labels: vec!["file".to_owned()], value: value as f64 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{CanonicalName, RecordType};
    use crate::policy::IdentityNumber;
    use crate::telemetry::Decision;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn record() -> Record {
        Record {
            time_ms: 1_698_638_400_123,
            client: "10.20.0.7".parse().unwrap(),
            identity: IdentityNumber::default(),
            transport: "udp",
            name: CanonicalName::read(b"\x06wechat\x03com\0").unwrap(),
            record_type: RecordType::A,
            decision: Decision::Blocked,
            cause: None,
            generation: 7,
        }
    }

    fn log(path: &Path, clients: Clients) -> (QueryLog, crate::telemetry::ring::Ring) {
        let rings = Arc::new(Rings::default());
        let ring = rings.add();
        let config = Config { to: Some(path.to_owned()), all: false, clients };
        let describe: Describe =
            Arc::new(|_| Described { group: "default".to_owned(), ..Described::default() });
        (QueryLog::start(&config, rings, describe).unwrap(), ring)
    }

    fn read(path: &Path) -> Vec<u8> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut File::open(path).unwrap(), &mut bytes).unwrap();
        bytes
    }

    fn lost(log: &QueryLog) -> f64 {
        let mut samples = Vec::new();
        log.state.collect(&mut samples);
        samples[1].value
    }

    #[test]
    fn a_line_is_json_and_survives_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.jsonl");
        let (mut log, ring) = log(&path, Clients::Prefix);
        ring.push(record());
        thread::sleep(EVERY * 5);
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        ring.push(record());
        assert!(log.stop(PATIENCE));
        for file in ["old", "queries.jsonl"] {
            let text = read(&folder.path().join(file));
            let line: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(line["name"], "wechat.com");
            assert_eq!(line["client"], "10.20.0.0/24");
            assert_eq!(line["time"], "2023-10-30T04:00:00.123Z");
        }
    }

    #[test]
    fn a_full_disk_loses_lines_and_counts_them() {
        let (mut log, ring) = log(Path::new("/dev/full"), Clients::Full);
        (0..5).for_each(|_| ring.push(record()));
        assert!(log.stop(PATIENCE));
        assert_eq!(lost(&log), 5.0);
    }

    #[test]
    fn a_line_cut_off_is_ended_before_the_next_one_and_only_whole_ones_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.jsonl");
        std::fs::write(&path, "{\"name\":\"cut o").unwrap();
        let (mut log, ring) = log(&path, Clients::Full);
        ring.push(record());
        assert!(log.stop(PATIENCE));
        let text = String::from_utf8(read(&path)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(lines[1]).is_ok(), "{text}");
    }

    #[test]
    fn a_reader_that_hangs_does_not_keep_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Opened for both, so that opening for writing does not wait; never read, so that it fills up.
        let _reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let (mut log, ring) = log(&path, Clients::Full);
        (0..4000).for_each(|_| ring.push(record()));
        thread::sleep(EVERY * 3);
        assert!(!log.stop(Duration::from_millis(100)));
    }
}
