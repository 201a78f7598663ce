//! Owns the writing of the audit log: one line at a time, on disk before the call returns where the disk allows. Keeps what
//! could not be written and tries again; seals a line that a crash cut off. Never takes a line out.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::audit::{Anchor, Entry, Event, Head, SEAL, verify};

/// Writes the audit log.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    path: Option<PathBuf>,
    writer: Mutex<Writer>,
    strangers: Mutex<Strangers>,
    /// What status and metrics show; apart from the writer, which may wait for a disk.
    shown: Mutex<Shown>,
}

/// The end of the log, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) head: Head,
    pub(super) trouble: Option<String>,
    /// Requests without a valid token.
    pub(super) strangers: u64,
}

#[derive(Debug, Default)]
struct Writer {
    /// The newest entry this process wrote or found.
    head: Option<Head>,
    /// Size of the file after it; `None` when what the file holds is not known.
    length: Option<u64>,
    queue: VecDeque<Event>,
    lost: u64,
    /// Faults that were there when the file was read.
    faults: usize,
}

/// Requests without a valid token since the last entry about them.
#[derive(Debug, Default)]
struct Strangers {
    recorded: Option<Timestamp>,
    count: u64,
    last: Option<Event>,
}

/// Name of the log below the state directory.
pub const FILE: &str = "audit.jsonl";
/// Permission bits: what it says is also to be read over the operators' interface; the umask may narrow them.
const MODE: u32 = 0o644;
/// Events that wait for a disk; a full disk is noticed long before so many changes.
const WAITING: usize = 1000;
/// A stranger's requests make one entry in this time: six an hour are evidence, and fill no disk.
const STRANGERS: SignedDuration = SignedDuration::from_mins(10);

impl Recorder {
    /// A log in that directory, which is neither read nor made before the first entry; `None` writes nothing.
    pub(super) fn new(directory: Option<&Path>) -> Self {
        Self { path: directory.map(|directory| directory.join(FILE)), ..Self::default() }
    }

    /// Finds the end of the log that the process before left, which must hold `anchor`; `None` when there is none or it
    /// cannot be read.
    pub(super) fn open(&self, now: Timestamp, anchor: Option<Anchor>) -> Option<Head> {
        let path = self.path.as_deref().filter(|path| path.exists())?;
        let mut writer = lock(&self.writer);
        let opened = OpenOptions::new().append(true).open(path);
        if let Err(error) = opened.and_then(|mut file| writer.read(path, &mut file, now, anchor.as_slice())) {
            tracing::error!(%error, path = %path.display(), "the audit log cannot be read");
        }
        let head = writer.head.clone();
        lock(&self.shown).head = head.clone()?;
        head
    }

    /// Writes an entry, after those that still wait.
    pub(super) fn append(&self, event: Event) {
        let Some(path) = &self.path else { return };
        let mut writer = lock(&self.writer);
        if writer.queue.len() >= WAITING {
            writer.lost += 1;
        } else {
            writer.queue.push_back(event);
        }
        self.flush(&mut writer, path);
    }

    /// Tries again what could not be written, and says how often strangers came since they were last written of; at the end
    /// of the process, however long ago that was.
    pub(super) fn tend(&self, now: Timestamp, ending: bool) {
        let due = {
            let mut strangers = lock(&self.strangers);
            strangers.recorded.take_if(|_| ending);
            strangers.due(now)
        };
        if let Some(event) = due {
            self.append(event);
        }
        let Some(path) = &self.path else { return };
        let mut writer = lock(&self.writer);
        if !writer.queue.is_empty() {
            self.flush(&mut writer, path);
        }
    }

    /// Counts a request without a valid token, and writes of it unless one was written of lately.
    pub(super) fn stranger(&self, from: Option<IpAddr>, what: &str, now: Timestamp) {
        lock(&self.shown).strangers += 1;
        let due = {
            let mut strangers = lock(&self.strangers);
            strangers.count += 1;
            strangers.last = Some(Event {
                who: "stranger".to_owned(),
                what: what.to_owned(),
                outcome: "unauthorised".to_owned(),
                detail: from.map(|from| format!("from {from}")).into_iter().collect(),
                ..Event::default()
            });
            strangers.due(now)
        };
        if let Some(event) = due {
            // Once for many, as in the log itself.
            tracing::warn!(?from, what, "a change was asked for without a valid token");
            self.append(event);
        }
    }

    pub(super) fn shown(&self) -> Shown {
        lock(&self.shown).clone()
    }

    fn flush(&self, writer: &mut Writer, path: &Path) {
        let written = writer.flush(path);
        let mut shown = lock(&self.shown);
        shown.head = writer.head.clone().unwrap_or_default();
        shown.trouble = match written {
            Err(error) => {
                let waiting = writer.queue.len();
                let text = format!("the audit log cannot be written ({error}): {waiting} entries wait");
                if shown.trouble.as_ref() != Some(&text) {
                    tracing::error!(path = %path.display(), "{text}");
                }
                Some(text)
            }
            Ok(()) if writer.lost > 0 => Some(format!("{} audit entries were lost", writer.lost)),
            Ok(()) if writer.faults > 0 => {
                Some("the audit log was changed by somebody else; see: interdict audit verify".to_owned())
            }
            Ok(()) => None,
        };
    }
}

impl Strangers {
    /// The entry that is due, if one is.
    fn due(&mut self, now: Timestamp) -> Option<Event> {
        let quiet = self.recorded.is_some_and(|last| now.duration_since(last).abs() < STRANGERS);
        let event = self.last.take_if(|_| !quiet)?;
        self.recorded = Some(now);
        Some(Event { time: now, count: std::mem::take(&mut self.count), ..event })
    }
}

impl Writer {
    fn flush(&mut self, path: &Path) -> io::Result<()> {
        if self.queue.is_empty() {
            return Ok(());
        }
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            std::fs::create_dir_all(directory)?;
        }
        let new = !path.exists();
        let mut file = OpenOptions::new().create(true).append(true).mode(MODE).open(path)?;
        if new && let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        if self.length != Some(file.metadata()?.len()) {
            let now = self.queue.front().map(|event| event.time).unwrap_or_default();
            self.read(path, &mut file, now, &[])?;
        }
        while let Some(event) = self.queue.front() {
            let head = self.head.clone().unwrap_or_default();
            let entry = Entry { sequence: head.sequence + 1, previous: head.hash, event: event.clone() };
            let (mut line, head) = entry.line()?;
            line.push(b'\n');
            // Should this fail half way, the file is read again and the half line sealed.
            let length = self.length.take();
            file.write_all(&line)?;
            file.sync_data()?;
            self.length = length.map(|length| length + line.len() as u64);
            self.head = Some(head);
            self.queue.pop_front();
        }
        Ok(())
    }

    /// Finds the end of a log that this process did not write, or no longer knows. Ends a line that was cut off, and puts an
    /// entry about whatever is odd in front of those that wait.
    fn read(&mut self, path: &Path, file: &mut File, time: Timestamp, anchors: &[Anchor]) -> io::Result<()> {
        let found = verify(BufReader::new(File::open(path)?), anchors)?;
        let about = |what: &str, outcome: &str, detail: Vec<String>| Event {
            time,
            who: "interdict".to_owned(),
            what: what.to_owned(),
            outcome: outcome.to_owned(),
            detail,
            ..Event::default()
        };
        let already = |queue: &VecDeque<Event>, what: &str| queue.iter().any(|event| event.what == what);
        if let Some(known) = self.head.as_ref().filter(|known| **known != found.head)
            && !already(&self.queue, "verify")
        {
            let detail = format!("entry {} with the hash {} is gone", known.sequence, known.hash);
            self.queue.push_front(about("verify", "broken", vec![detail]));
            self.faults += 1;
        }
        if let Some(end) = file.metadata()?.len().checked_sub(1) {
            let mut last = [0];
            File::open(path)?.read_exact_at(&mut last, end)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        if let Some(digest) = found.torn {
            self.queue.retain(|event| event.what != SEAL);
            let detail = vec![digest, "a line was cut off; its digest is above".to_owned()];
            self.queue.push_front(about(SEAL, "sealed", detail));
        }
        self.faults = self.faults.max(found.faults.len());
        self.head = Some(found.head);
        self.length = Some(file.metadata()?.len());
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::audit::{Verified, newest};

    fn event(what: &str) -> Event {
        Event { who: "ops".to_owned(), what: what.to_owned(), ..Event::default() }
    }

    fn check(path: &Path) -> Verified {
        verify(BufReader::new(File::open(path).unwrap()), &[]).unwrap()
    }

    #[test]
    fn a_log_goes_on_where_the_process_before_left_it() {
        let folder = tempfile::tempdir().unwrap();
        for round in 1..=3 {
            let recorder = Recorder::new(Some(folder.path()));
            recorder.append(event("start"));
            recorder.append(event("reload"));
            assert_eq!(recorder.shown().head.sequence, 2 * round);
        }
        let found = check(&folder.path().join(FILE));
        assert_eq!((found.entries, found.faults.len()), (6, 0));
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for cut in [1, 5, 40] {
            Recorder::new(Some(folder.path())).append(event("reload"));
            let length = std::fs::metadata(&path).unwrap().len();
            OpenOptions::new().write(true).open(&path).unwrap().set_len(length - cut).unwrap();
            assert_eq!(check(&path).torn.is_some(), cut > 1);
            Recorder::new(Some(folder.path())).append(event("start"));
            assert_eq!(check(&path).faults, []);
        }
        let found = check(&path);
        assert_eq!((found.sealed, found.torn), (2, None));
        assert!(newest(&path, 2).unwrap()[0].event.what == SEAL);
    }

    #[test]
    fn what_somebody_took_out_while_it_ran_is_written_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let recorder = Recorder::new(Some(folder.path()));
        recorder.append(event("start"));
        let short = std::fs::metadata(&path).unwrap().len();
        recorder.append(event("rollback"));
        OpenOptions::new().write(true).open(&path).unwrap().set_len(short).unwrap();
        recorder.append(event("reload"));
        let entries = newest(&path, 10).unwrap();
        assert_eq!(entries[1].event.outcome, "broken");
        assert!(recorder.shown().trouble.unwrap().contains("changed by somebody else"));
    }

    #[test]
    fn a_disk_that_cannot_be_written_keeps_entries_waiting_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::create_dir(&path).unwrap();
        let recorder = Recorder::new(Some(folder.path()));
        recorder.append(event("start"));
        recorder.append(event("reload"));
        assert!(recorder.shown().trouble.unwrap().contains("2 entries wait"));
        std::fs::remove_dir(&path).unwrap();
        recorder.tend(Timestamp::UNIX_EPOCH, false);
        assert_eq!(recorder.shown().trouble, None);
        let whats: Vec<String> =
            newest(&path, 10).unwrap().into_iter().map(|entry| entry.event.what).collect();
        assert_eq!(whats, ["start", "reload"]);
    }

    #[test]
    fn strangers_fill_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::new(Some(folder.path()));
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        for second in 0..1000 {
            recorder.stranger(Some("192.0.2.1".parse().unwrap()), "reload", at(second));
        }
        recorder.tend(at(1001), true);
        let entries = newest(&folder.path().join(FILE), 10).unwrap();
        let counts: Vec<u64> = entries.iter().map(|entry| entry.event.count).collect();
        assert_eq!(counts, [1, 600, 399]);
        assert_eq!(recorder.shown().strangers, 1000);
    }
}
