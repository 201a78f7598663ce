//! Owns the reading of what was logged: a file and what was put aside of it, the oldest first, line by line. Never understands a line.

use std::fs::{self, File};
use std::io::{self, BufRead, Read as _};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::aside;
use super::backwards::{end_of_wanted, lines_back};

/// A log on disk.
#[derive(Debug)]
pub struct KeptLog(Vec<KeptFile>);

/// One of its files.
#[derive(Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    part: Part,
}

/// What of a log a file is.
#[derive(Debug)]
enum Part {
    /// Put aside; until when its lines are, as far as that is sure.
    Aside(Option<Timestamp>),
    /// Lines are still written to it. It is open, as another may stand in its place by the time it is read, and has so many bytes.
    Current(File, u64),
    /// The whole.
    Whole,
}

/// How the lines of a file come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// From the last one back.
    NewestFirst,
    /// As they were written.
    OldestFirst,
}

/// What became of a reading.
#[derive(Debug, Default)]
pub struct Reading {
    /// Files that were looked into.
    pub files: usize,
    /// Those that were taken away before they could be, as too old or too much.
    pub gone: usize,
    /// Those that could not be read to their end, and why.
    pub broken: Vec<(PathBuf, io::Error)>,
}

/// Longest line that is read as one, in bytes: answers are cut at 4 KiB of text, of which each letter may be written as six.
const LINE: u64 = 64 << 10;
/// Looks at a folder in which files are put aside meanwhile.
const LOOKS: usize = 10;
/// By how much a line's time may be off the time in the name of its file, and that off the file's own: a clock that was set meanwhile.
pub(super) const DOUBT: Duration = Duration::from_secs(3600);
/// No log of this product is older: a clock said so that was not set yet. 1 January 2025.
pub(super) const EARLIEST: Timestamp = Timestamp::constant(1_735_689_600, 0);

impl KeptLog {
    /// The log at `path` with what was put aside of it, as it is `now`: what comes later, or is put aside later, changes nothing. Fails when there is none, or it
    /// cannot be opened, or is no file: what somebody else reads from is not to be read here.
    pub fn open(path: &Path, now: Timestamp) -> io::Result<Self> {
        for _ in 0..LOOKS {
            // A file that is put aside between the two would be missing, or be there twice.
            let before = put_aside(path)?;
            let current = match current(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                opened => Some(opened?),
            };
            let whens = |all: &[(String, PathBuf)]| -> Vec<String> {
                all.iter().map(|(when, _)| when.clone()).collect()
            };
            if whens(&before) != whens(&put_aside(path)?) {
                continue;
            }
            if before.is_empty() && current.is_none() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let pieces = before.into_iter().map(|(when, path)| {
                let until = aside::time(&when).filter(|until| is_sure(*until, &path, now));
                KeptFile { path, part: Part::Aside(until) }
            });
            let path = path.to_owned();
            let current = current.map(|(file, length)| KeptFile { path, part: Part::Current(file, length) });
            return Ok(Self(pieces.chain(current).collect()));
        }
        Err(io::Error::other("its files are put aside faster than they can be looked at"))
    }

    /// That file alone, compressed or not.
    pub fn file(path: &Path) -> Self {
        Self(vec![KeptFile { path: path.to_owned(), part: Part::Whole }])
    }

    /// Without the files in which all lines are of before `from` or of after `to`.
    pub fn within(self, (from, to): (Timestamp, Timestamp)) -> Self {
        let mut before = None;
        let is_wanted = |piece: &KeptFile| {
            let until = piece.until();
            let is_in_order = until.is_some() || matches!(piece.part, Part::Current(..));
            let begun: Option<Timestamp> = std::mem::replace(&mut before, until);
            let is_too_old = until.is_some_and(|until| later(until, DOUBT) < from);
            let is_too_new = is_in_order && begun.is_some_and(|begun| later(to, DOUBT) < begun);
            !is_too_old && !is_too_new
        };
        let mut pieces = self.0;
        pieces.retain(is_wanted);
        Self(pieces)
    }

    /// Calls `take` for each line, with its end, until it breaks off.
    pub fn each_line(self, mut take: impl FnMut(&[u8]) -> ControlFlow<()>) -> Reading {
        let mut reading = Reading::default();
        for piece in self.0 {
            if reading.add(piece, &mut take).is_break() {
                break;
            }
        }
        reading
    }

    /// Takes the newest of its files away; `None` when none is left.
    pub(super) fn pop_newest(&mut self) -> Option<KeptFile> {
        self.0.pop()
    }

    /// True when it is known of each file until when its lines are.
    pub(super) fn is_sure(&self) -> bool {
        self.0.iter().all(|file| file.until().is_some())
    }
}

impl KeptFile {
    /// Until when its lines are, as far as that is sure.
    pub(super) fn until(&self) -> Option<Timestamp> {
        match self.part {
            Part::Aside(until) => until,
            Part::Current(..) | Part::Whole => None,
        }
    }
}

impl Reading {
    /// Reads another file, until `take` breaks off.
    pub(super) fn add(
        &mut self,
        file: KeptFile,
        take: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.look_into(file, |opened, length| match length {
            Some(length) => whole_lines(&opened, length, take),
            None => lines(aside::unpacked(opened)?, take),
        })
    }

    /// Reads another file from its last line back, or from its first on where it is compressed, until `take` breaks off, which is told of each line which of the
    /// two it is, and where it stands among the others. Lines behind the last that is not later may be left out.
    pub(super) fn add_newest_first(
        &mut self,
        file: KeptFile,
        is_later: impl Fn(&[u8]) -> bool,
        take: &mut impl FnMut(Order, u64, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.look_into(file, |opened, length| {
            if length.is_none() && aside::is_packed(&opened)? {
                let mut number = 0;
                return lines(aside::unpacked(opened)?, &mut |line| {
                    number += 1;
                    take(Order::OldestFirst, number, line)
                });
            }
            let length = length.map_or_else(|| Ok(opened.metadata()?.len()), Ok::<_, io::Error>)?;
            let end = end_of_wanted(&opened, length, LINE as usize, is_later)?;
            lines_back(&opened, end, LINE as usize, &mut |at, line| take(Order::NewestFirst, at, line))
        })
    }

    fn look_into(
        &mut self,
        KeptFile { path, part }: KeptFile,
        read: impl FnOnce(File, Option<u64>) -> io::Result<ControlFlow<()>>,
    ) -> ControlFlow<()> {
        let read = match part {
            Part::Current(file, length) => read(file, Some(length)),
            Part::Whole => File::open(&path).and_then(|file| read(file, None)),
            Part::Aside(_) => match aside::reopen(&path) {
                Ok(Some(file)) => read(file, None),
                Ok(None) => {
                    self.gone += 1;
                    return ControlFlow::Continue(());
                }
                Err(error) => Err(error),
            },
        };
        self.files += 1;
        read.unwrap_or_else(|error| {
            self.broken.push((path, error));
            ControlFlow::Continue(())
        })
    }
}

/// A time as much later.
pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// The file that lines are written to, and its length.
fn current(path: &Path) -> io::Result<(File, u64)> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is no file, and whoever reads from it needs what is in it",
        ));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// What was put aside. While a file is being compressed it is there in both forms, and one of them is whole.
fn put_aside(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut all = aside::put_aside(path)?;
    all.dedup_by(|one, other| one.0 == other.0);
    Ok(all)
}

/// True unless a clock was wrong when the name was given: a file that is left out by its name is not looked into at all.
fn is_sure(named: Timestamp, path: &Path, now: Timestamp) -> bool {
    let changed = fs::metadata(path).map(|about| about.mtime());
    let is_near = |changed: i64| changed.abs_diff(named.as_second()) <= DOUBT.as_secs();
    named >= EARLIEST && named <= now && changed.is_ok_and(is_near)
}

/// Its lines, but for the one that is being written.
fn whole_lines(
    file: &File,
    length: u64,
    take: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    lines(io::BufReader::new(file.take(length)), &mut |line| match line {
        [.., b'\n'] => take(line),
        _ => ControlFlow::Continue(()),
    })
}

fn lines(
    mut from: impl BufRead,
    take: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut line = Vec::new();
    while from.by_ref().take(LINE).read_until(b'\n', &mut line)? > 0 {
        if take(&line).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        line.clear();
    }
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::time::SystemTime;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const ALL: (Timestamp, Timestamp) = (Timestamp::MIN, Timestamp::MAX);

    fn packed(text: &str) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    /// The lines of a log, and how it was read.
    fn read(log: KeptLog, between: (Timestamp, Timestamp)) -> (Vec<String>, Reading) {
        let mut lines = Vec::new();
        let reading = log.within(between).each_line(|line| {
            lines.push(String::from_utf8(line.to_vec()).unwrap().trim().to_owned());
            ControlFlow::Continue(())
        });
        (lines, reading)
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn changed_at(time: Timestamp) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_second() as u64)
    }

    /// A log in a folder of its own, as it is looked at in February 2026.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, behind: &str) -> PathBuf {
            self.0.path().join(format!("q.jsonl{behind}"))
        }

        /// Writes the file, as if it were changed when its name says.
        fn put(&self, behind: &str, bytes: &[u8]) {
            let path = self.path(behind);
            fs::write(&path, bytes).unwrap();
            let named =
                behind.strip_prefix('.').and_then(|when| aside::time(when.split('.').next().unwrap()));
            if let Some(named) = named {
                File::options().write(true).open(path).unwrap().set_modified(changed_at(named)).unwrap();
            }
        }

        fn open(&self) -> io::Result<KeptLog> {
            KeptLog::open(&self.path(""), time("2026-02-01T00:00:00Z"))
        }
    }

    #[test]
    fn what_was_put_aside_comes_first_and_each_line_once() {
        let folder = Folder::new();
        assert_eq!(folder.open().unwrap_err().kind(), io::ErrorKind::NotFound);
        folder.put(".20260102T000000Z.gz", &packed("b\n"));
        folder.put(".20260101T000000Z.gz", &[packed("a1\n"), packed("a2\n")].concat());
        assert_eq!(read(folder.open().unwrap(), ALL).0, ["a1", "a2", "b"], "nothing since");
        folder.put(".20260102T000000Z-10", b"d\n");
        folder.put(".20260102T000000Z-2", b"c\n");
        // Being compressed: the old form goes once the new one is whole.
        folder.put(".20260102T000000Z-2.gz", &packed("c\n"));
        folder.put(".20260102T000000Z-2.gz.new", &packed("c\n"));
        folder.put(".old", b"none of it\n");
        folder.put("", b"e\nbeing writ");
        let (lines, reading) = read(folder.open().unwrap(), ALL);
        assert_eq!(lines, ["a1", "a2", "b", "c", "d", "e"]);
        assert_eq!((reading.files, reading.broken.len()), (5, 0));
        let alone = |behind| read(KeptLog::file(&folder.path(behind)), ALL).0;
        assert_eq!(alone(".20260101T000000Z.gz"), ["a1", "a2"]);
        assert_eq!(alone(""), ["e", "being writ"], "whatever it is");
        let (_, reading) = read(KeptLog::file(&folder.path(".nowhere")), ALL);
        assert_eq!(reading.broken[0].1.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_written_put_aside_compressed_or_taken_away_meanwhile_changes_nothing() {
        let folder = Folder::new();
        folder.put(".20260101T000000Z.gz", &packed("gone\n"));
        folder.put(".20260102T000000Z", b"a\n");
        folder.put("", b"b\n");
        let log = folder.open().unwrap();
        fs::remove_file(folder.path(".20260101T000000Z.gz")).unwrap();
        fs::remove_file(folder.path(".20260102T000000Z")).unwrap();
        folder.put(".20260102T000000Z.gz", &packed("a\n"));
        File::options().append(true).open(folder.path("")).unwrap().write_all(b"later\n").unwrap();
        fs::rename(folder.path(""), folder.path(".20260103T000000Z")).unwrap();
        folder.put("", b"later still\n");
        let (lines, reading) = read(log, ALL);
        assert_eq!((lines, reading.broken.len()), (vec!["a".to_owned(), "b".to_owned()], 0));
        assert_eq!((reading.files, reading.gone), (2, 1));
    }

    #[test]
    fn files_of_other_times_are_left_alone_where_their_names_are_sure() {
        let folder = Folder::new();
        // Read, it would be an error.
        folder.put(".20260101T000000Z.gz", b"\x1F\x8Bnonsense");
        folder.put(".20260102T000000Z.gz", &packed("b\n"));
        folder.put(".20260103T000000Z.gz", &packed("c\n"));
        folder.put("", b"d\n");
        let found = |from: &str, to: &str| {
            let (lines, reading) = read(folder.open().unwrap(), (time(from), time(to)));
            assert_eq!((reading.files, reading.broken.len()), (lines.len(), 0));
            lines
        };
        assert_eq!(found("2026-01-01T02:00:00Z", "2026-01-01T22:00:00Z"), ["b"]);
        // A clock that was set by less than an hour leaves lines in a file of another time.
        assert_eq!(found("2026-01-02T00:30:00Z", "2026-01-02T23:30:00Z"), ["b", "c", "d"]);
        // Put aside by a clock that was ahead, and by one that was not set: whatever is in them.
        folder.put(".20300101T000000Z.gz", &packed("ahead\n"));
        folder.put(".19700101T000012Z.gz", &packed("not set\n"));
        folder.put(".20269999T000000Z.gz", &packed("no time\n"));
        let all = ["not set", "b", "no time", "ahead", "d"];
        assert_eq!(found("2026-01-01T02:00:00Z", "2026-01-01T22:00:00Z"), all);
        // One that was copied here later.
        folder.put(".20260103T000000Z.gz", &packed("c\n"));
        let copied = File::options().write(true).open(folder.path(".20260103T000000Z.gz")).unwrap();
        copied.set_modified(changed_at(time("2026-01-20T00:00:00Z"))).unwrap();
        assert!(found("2026-01-01T02:00:00Z", "2026-01-01T22:00:00Z").contains(&"c".to_owned()));
    }

    #[test]
    fn a_broken_file_keeps_nobody_from_the_rest_and_who_has_enough_reads_no_more() {
        let folder = Folder::new();
        folder.put(".20260101T000000Z.gz", b"\x1F\x8Bnonsense");
        let whole = packed(&"line\n".repeat(10_000));
        folder.put(".20260102T000000Z.gz", &whole[..whole.len() / 2]);
        folder.put(".20260103T000000Z.gz", &packed("c\n"));
        folder.put("", b"d\n");
        let (lines, reading) = read(folder.open().unwrap(), ALL);
        assert!(lines.ends_with(&["c".to_owned(), "d".to_owned()]), "{lines:?}");
        assert_eq!((reading.broken.len(), reading.files), (2, 4));
        let mut seen = 0;
        folder.open().unwrap().each_line(|line| {
            seen += 1;
            if line == b"c\n" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(seen, lines.len() - 1);
    }

    #[test]
    fn a_line_without_end_takes_no_memory_without_end() {
        let folder = Folder::new();
        folder.put("", &vec![b'x'; 3 * LINE as usize]);
        let mut longest = 0;
        KeptLog::file(&folder.path("")).each_line(|line| {
            longest = longest.max(line.len());
            ControlFlow::Continue(())
        });
        assert_eq!(longest, LINE as usize);
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let error = KeptLog::open(Path::new("/dev/null"), time("2026-02-01T00:00:00Z")).unwrap_err();
        assert!(error.to_string().contains("no file"), "{error}");
    }
}
