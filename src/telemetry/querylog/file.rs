//! Owns a file of lines: opened anew when it was moved away or could not be written, put aside and compressed when it is large, and what was put
//! aside taken away in time. Never makes a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::aside;
use super::config::Rotation;
use super::output::{Batch, Output, Written, write_most};
use crate::clock::{Clock, Moment};

/// A file that lines are appended to.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    file: Option<File>,
    rotation: Rotation,
    clock: Clock,
    /// When what was put aside is looked at again.
    look_at: Moment,
}

/// How often what was put aside is looked at: days are what people count in.
const LOOK: Duration = Duration::from_secs(600);
/// How soon again when the disk is full.
const SOON: Duration = Duration::from_secs(10);

impl LineFile {
    /// Opens it. Fails when it cannot be opened.
    pub(super) fn open(path: PathBuf, rotation: Rotation, clock: Clock) -> io::Result<Self> {
        let file = open(&path)?;
        // A disk that is full now is no reason not to start: the first write tries again.
        let file = end_last_line(&path, file).ok();
        Ok(Self { path, file, rotation, look_at: clock.now(), clock })
    }

    fn rotate(&mut self, file: File) -> Option<File> {
        let size = file.metadata().map_or(0, |about| about.len());
        let is_due = self.rotation.size.is_some_and(|most| size >= most);
        if is_due && let Err(error) = aside::put(&self.path, self.clock.wall()) {
            tracing::warn!(%error, path = %self.path.display(), "the query log cannot be put aside, and grows on");
            return Some(file);
        }
        if is_due || self.clock.now() >= self.look_at {
            self.tidy();
        }
        (!is_due).then_some(file)
    }

    fn tidy(&mut self) {
        self.look_at = self.clock.now().plus(LOOK);
        aside::tidy(&self.path, self.rotation, self.clock.wall());
    }
}

impl Output for LineFile {
    fn write(&mut self, batch: &Batch) -> Written {
        let kept = self.file.take().filter(|file| !was_moved(&self.path, file));
        let opened =
            kept.map_or_else(|| open(&self.path).and_then(|file| end_last_line(&self.path, file)), Ok);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => return Written::none(error),
        };
        match write_most(&mut file, batch.bytes()) {
            Ok(()) => {
                self.file = self.rotate(file);
                Written::all(batch)
            }
            Err((length, error)) => {
                // Old ones may make room; not looked for at every write.
                if self.clock.now().plus(LOOK.saturating_sub(SOON)) >= self.look_at {
                    self.tidy();
                }
                Written::first(batch.records_within(length), error)
            }
        }
    }

    fn idle(&mut self) {
        if self.clock.now() >= self.look_at {
            self.tidy();
        }
    }

    /// What a full disk did not take is gone: more comes than could be kept until there is room.
    fn tries_again(&self) -> bool {
        false
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

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
