//! Owns the query log while it runs: a thread takes what query threads left, puts it into words once, and hands each sink what it asked for.
//! Never waits for a sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::config::Config;
use super::fault::Reason;
use super::line::Described;
use super::sink::{OpenError, Sink};
use super::teller::Teller;
use crate::clock::Clock;
use crate::policy::Description;
use crate::telemetry::inbox::Inboxes;
use crate::telemetry::metric::{Collect, Kind, Metric, Sample};
use crate::telemetry::record::Record;
use crate::telemetry::reply::Reply;

/// Turns the ids of a record into words; called on the log's thread.
pub trait Describe: Send + Sync {
    /// All that is known.
    fn describe(&self, record: &Record<'_>) -> Described;

    /// Names the rule that was met, in words of a record that differs from this one by its rule and by when it came: where lists are long, nearly each
    /// blocked query meets another rule of the same few lists.
    fn name_rule(&self, record: &Record<'_>, words: &mut Description);

    /// The upstream of that number, as it is written in the configuration and in metrics.
    fn upstream(&self, number: u16) -> Option<&str>;

    /// The upstream that answered, if one did.
    fn answerer(&self, record: &Record<'_>) -> Option<&str> {
        record.reply.and_then(Reply::upstream).and_then(|number| self.upstream(number))
    }
}

impl<F: Fn(&Record<'_>) -> Described + Send + Sync> Describe for F {
    fn describe(&self, record: &Record<'_>) -> Described {
        self(record)
    }

    fn name_rule(&self, record: &Record<'_>, words: &mut Description) {
        *words = self(record).words;
    }

    fn upstream(&self, _number: u16) -> Option<&str> {
        None
    }
}

/// Somebody beside the sinks who is shown every record, on the log's thread: whoever waits there has query threads' queues run over.
pub type Tap = Box<dyn FnMut(&Record<'_>) + Send>;

/// A running query log.
#[derive(Debug)]
pub struct QueryLog {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    inboxes: Arc<Inboxes>,
    stop: AtomicBool,
    counts: Vec<Arc<super::sink::Counts>>,
}

/// How often waiting records are written, at least. Short enough for a person watching the file.
const EVERY: Duration = Duration::from_millis(20);
/// The same, at most: a thread that is woken more often costs more than that saves.
const EVERY_BUSY: Duration = Duration::from_micros(500);
/// Records that are to wait by then, if so many come: few enough that they, what is made of them and what queries need at the same time are in the
/// processor's own memory together.
const ROUND: u32 = 800;

impl QueryLog {
    /// Opens the sinks and starts the threads. Fails with the sink's name when a file cannot be opened, or a certificate read; what is
    /// elsewhere may come later.
    pub fn start(
        config: &Config,
        inboxes: Arc<Inboxes>,
        describe: Arc<dyn Describe>,
        mut tap: Option<Tap>,
        clock: &Clock,
    ) -> Result<Self, (String, OpenError)> {
        let (mut sinks, mut threads) = (Vec::new(), Vec::new());
        for config in &config.sinks {
            let (sink, thread) = Sink::open(config, clock).map_err(|error| (config.name.clone(), error))?;
            sinks.push(sink);
            threads.push(thread);
        }
        let counts = sinks.iter().map(Sink::counts).collect();
        let state = Arc::new(State { inboxes, stop: AtomicBool::new(false), counts });
        if sinks.is_empty() && tap.is_none() {
            return Ok(Self { state, threads });
        }
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new().name("querylog".to_owned()).spawn(move || {
            let mut teller = Teller::new(describe);
            let (mut pause, mut since) = (EVERY, EVERY);
            loop {
                // Read before the last drain, so that what was pushed before the stop is written.
                let stopping = shared.stop.load(Ordering::Acquire);
                let records = shared.pass(&mut sinks, tap.as_mut(), &mut teller);
                // Not each time, as that wakes the threads which write.
                if stopping || since >= EVERY {
                    sinks.iter_mut().for_each(Sink::hand_over);
                    since = Duration::ZERO;
                }
                if stopping {
                    // Without the ends that they read from, the sinks' threads end too.
                    return;
                }
                pause = (pause * ROUND / records.max(1)).clamp(EVERY_BUSY, EVERY);
                thread::sleep(pause);
                since += pause;
            }
        });
        threads.push(thread.map_err(|error| ("querylog".to_owned(), error.into()))?);
        Ok(Self { state, threads })
    }

    /// Writes what waits and ends the threads, within `patience`: a reader that hangs must not keep the process. Returns
    /// false when a thread did not end, and is left behind. Waits; not for a runtime's thread.
    pub fn stop(&mut self, patience: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(5);
        self.state.stop.store(true, Ordering::Release);
        let is_over = |threads: &[JoinHandle<()>]| threads.iter().all(JoinHandle::is_finished);
        for _ in 0..patience.as_millis() / LOOK.as_millis() {
            if is_over(&self.threads) {
                break;
            }
            thread::sleep(LOOK);
        }
        is_over(&self.threads) && self.threads.drain(..).all(|thread| thread.join().is_ok())
    }

    /// A view for the scrape page.
    pub fn collector(&self) -> Arc<dyn Collect> {
        Arc::clone(&self.state) as Arc<dyn Collect>
    }
}

impl State {
    /// Shows everything that waits to the sinks. Returns how many records that were.
    fn pass(&self, sinks: &mut [Sink], mut tap: Option<&mut Tap>, teller: &mut Teller) -> u32 {
        let mut records = 0;
        self.inboxes.drain(|record| {
            records += 1;
            if let Some(tap) = &mut tap {
                tap(record);
            }
            let mut wanted = sinks.iter_mut().filter(|sink| sink.wants(record)).peekable();
            if wanted.peek().is_some() {
                teller.tell(record, |told| wanted.for_each(|sink| sink.take(record, told)));
            }
        });
        records
    }
}

/// The rows of this room.
pub(in crate::telemetry) static METRICS: &[&Metric] = &[&RECORDS, &LOST, &FAILURES];

static RECORDS: Metric = Metric {
    name: "interdict_querylog_records_total",
    help: "Records that a sink of the query log took.",
    kind: Kind::Counter,
    labels: &["sink"],
};
static LOST: Metric = Metric {
    name: "interdict_querylog_lost_total",
    help: "Records lost because the log could not keep up, or a sink could not be written to.",
    kind: Kind::Counter,
    labels: &["sink"],
};

static FAILURES: Metric = Metric {
    name: "interdict_querylog_failures_total",
    help: "Times a sink of the query log could not be written to, by reason; what waits is tried again.",
    kind: Kind::Counter,
    labels: &["sink", "reason"],
};

impl Collect for State {
    fn collect(&self, samples: &mut Vec<Sample>) {
        for counts in &self.counts {
            // What the queues of query threads lost, every sink lost.
            let lost = self.inboxes.lost() + counts.lost.load(Ordering::Relaxed);
            for (metric, value) in [(&RECORDS, counts.written.load(Ordering::Relaxed)), (&LOST, lost)] {
                samples.push(Sample { metric, labels: vec![counts.name.clone()], value: value as f64 });
            }
        }
        for counts in &self.counts {
            for (reason, count) in Reason::ALL.into_iter().zip(&counts.failures) {
                samples.push(Sample {
                    metric: &FAILURES,
                    labels: vec![counts.name.clone(), reason.as_str().to_owned()],
                    value: count.load(Ordering::Relaxed) as f64,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    use super::super::{Clients, Rotation, Sink, Target};
    use super::*;
    use crate::telemetry::Decision;
    use crate::telemetry::inbox::Inbox;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn start(sinks: Vec<Sink>) -> (QueryLog, Inbox) {
        let inboxes = Arc::new(Inboxes::default());
        let inbox = inboxes.add();
        let describe = |_: &Record<'_>| Described { group: "default".to_owned(), ..Described::default() };
        (
            QueryLog::start(&Config { sinks }, inboxes, Arc::new(describe), None, &Clock::system()).unwrap(),
            inbox,
        )
    }

    fn log(path: &Path, clients: Clients) -> (QueryLog, Inbox) {
        start(vec![Sink { clients, ..Sink::to(Target::File(path.to_owned())) }])
    }

    /// Waits until the first sink took so many records.
    fn took(log: &QueryLog, records: f64) {
        for _ in 0..500 {
            let mut samples = Vec::new();
            log.state.collect(&mut samples);
            if samples[0].value >= records {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("not written");
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
        let (mut log, inbox) = log(&path, Clients::Prefix);
        inbox.push(Record::example());
        took(&log, 1.0);
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        inbox.push(Record::example());
        assert!(log.stop(PATIENCE));
        for file in ["old", "queries.jsonl"] {
            let text = read(&folder.path().join(file));
            let line: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(line["name"], "www.wechat.com");
            assert_eq!(line["client"], "10.20.0.0/24");
            assert_eq!(line["time"], "2023-10-30T04:00:00.123Z");
        }
    }

    #[test]
    fn a_full_disk_loses_lines_and_counts_them() {
        let (mut log, inbox) = log(Path::new("/dev/full"), Clients::Full);
        (0..5).for_each(|_| inbox.push(Record::example()));
        assert!(log.stop(PATIENCE));
        assert_eq!(lost(&log), 5.0);
    }

    #[test]
    fn a_line_cut_off_is_ended_before_the_next_one_and_only_whole_ones_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.jsonl");
        std::fs::write(&path, "{\"name\":\"cut o").unwrap();
        let (mut log, inbox) = log(&path, Clients::Full);
        inbox.push(Record::example());
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
        let (mut log, inbox) = log(&path, Clients::Full);
        (0..4000).for_each(|_| inbox.push(Record::example()));
        thread::sleep(EVERY * 3);
        assert!(!log.stop(Duration::from_millis(100)));
    }

    #[test]
    fn a_sink_that_hangs_or_is_full_loses_its_own_records_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, path) = (folder.path().join("pipe"), folder.path().join("queries.jsonl"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let file = |path: &Path| Sink::to(Target::File(path.to_owned()));
        let (mut log, inbox) = start(vec![file(&path), file(&pipe), file(Path::new("/dev/full"))]);
        for round in 1..=100 {
            (0..50).for_each(|_| inbox.push(Record::example()));
            took(&log, f64::from(round * 50));
        }
        let counts = || {
            let mut samples = Vec::new();
            log.state.collect(&mut samples);
            samples
        };
        assert_eq!((counts()[0].value, counts()[1].value), (5000.0, 0.0));
        for _ in 0..500 {
            if counts()[5].value >= 5000.0 {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(counts()[5].value, 5000.0, "a full disk");
        assert!(!log.stop(Duration::from_millis(100)), "the pipe hangs");
        assert_eq!(String::from_utf8(read(&path)).unwrap().lines().count(), 5000);
    }

    #[test]
    fn a_sink_takes_what_it_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let file = |name: &str| Sink::to(Target::File(path(name)));
        let sinks = vec![
            Sink { all: true, clients: Clients::Hmac, ..file("all") },
            Sink { sample: 10, ..file("sample") },
            Sink { groups: vec!["other".to_owned()], ..file("group") },
            Sink { apps: vec!["wechat".to_owned()], ..file("app") },
            file("blocked"),
        ];
        let (mut log, inbox) = start(sinks);
        (0..40).for_each(|_| inbox.push(Record::example()));
        (0..10).for_each(|_| inbox.push(Record { decision: Decision::Allowed, ..Record::example() }));
        assert!(log.stop(PATIENCE));
        let count = |name: &str| String::from_utf8(read(&path(name))).unwrap().lines().count();
        let found = ["all", "sample", "group", "app", "blocked"].map(count);
        assert_eq!(found, [50, 4, 0, 0, 40]);
        let all = String::from_utf8(read(&path("all"))).unwrap();
        assert!(!all.contains("10.20.0.7"), "{all}");
    }

    #[test]
    fn a_large_file_is_put_aside_whole_and_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.jsonl");
        let rotation = Rotation { size: Some(10_000), ..Rotation::default() };
        let (mut log, inbox) = start(vec![Sink { rotation, ..Sink::to(Target::File(path.clone())) }]);
        for round in 1..=10 {
            (0..100).for_each(|_| inbox.push(Record::example()));
            took(&log, f64::from(round * 100));
        }
        assert!(log.stop(PATIENCE));
        let mut lines = 0;
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(20));
            let mut files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
            if files.all(|file| file == path || file.extension().is_some_and(|end| end == "gz")) {
                break;
            }
        }
        for file in std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()) {
            let mut text = String::new();
            match file.extension().is_some_and(|end| end == "gz") {
                true => {
                    let mut unpacked = flate2::read::GzDecoder::new(File::open(&file).unwrap());
                    io::Read::read_to_string(&mut unpacked, &mut text).unwrap();
                }
                false => text = String::from_utf8(read(&file)).unwrap(),
            }
            assert!(text.is_empty() || text.ends_with('\n'));
            lines += text.lines().count();
        }
        assert_eq!(lines, 1000);
        assert!(std::fs::read_dir(folder.path()).unwrap().count() > 5);
    }
}
