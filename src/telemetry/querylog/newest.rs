//! Owns the search of a kept log from its newest line back: an excerpt at a time, the newest first, with no more of clients than may be seen, and no longer
//! than it may take. Never opens a log by itself.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;

use super::kept::{DOUBT, EARLIEST, KeptLog, Order, Reading, later};
use super::search::{Line, Search};

/// Which of the lines that are found are wanted, counted from the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// So many are passed over.
    pub offset: usize,
    /// So many at most.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The lines by their times, the newest first; those of one time in the order in which they stand in the log.
    pub lines: Vec<Value>,
    /// Up to which time the next excerpt goes, and how many of that time were shown; `None` when there is none. Where there was no time for more it begins
    /// with what was not looked at.
    pub next: Option<(Timestamp, usize)>,
    /// Lines that were looked at.
    pub read: u64,
    /// Those that are none of this product's own form.
    pub refused: u64,
    /// What became of the files.
    pub reading: Reading,
    /// What was not looked at in time.
    pub unread: Option<Unread>,
}

/// What of a log was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Everything that is later than this was looked at; `None` where that is not known.
    pub before: Option<Timestamp>,
}

/// A line where it stands: by its time, its file, and its place there. Of one time the first that was written is the newest: what is written late comes
/// behind what was shown before.
type Placed = (Timestamp, usize, Reverse<u64>, Vec<u8>);

/// The newest of a number of lines.
#[derive(Debug, Default)]
struct Newest {
    most: usize,
    /// The oldest of them on top.
    kept: BinaryHeap<Reverse<Placed>>,
}

/// Why a file is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// What is left of it is older than what is wanted.
    Enough,
    /// There is no more time.
    Over,
}

/// Lines between two looks at the clock.
const PACE: u64 = 1024;
/// So many lines in a row that are older than what is wanted end a file: a few are of a clock that was wrong for a moment.
const RUN: u64 = 4096;
/// By how much a line may be later than those behind it, or than the name of its file, which is of a whole second: threads hand theirs over in turns. Where a clock was
/// set back meanwhile, lines from before may be missing among the newest.
const DISORDER: Duration = Duration::from_secs(2);

impl Search {
    /// Looks for an excerpt of the lines that are wanted, until `is_over` says that there is no more time.
    pub fn newest(&self, log: KeptLog, excerpt: Excerpt, is_over: impl Fn() -> bool) -> Found {
        // One more tells whether there are more.
        let most = excerpt.offset.saturating_add(excerpt.limit).saturating_add(1);
        let (from, to) = self.between();
        let (earliest, latest) = (earlier(from, DOUBT), later(to, DOUBT));
        let is_later =
            |bytes: &[u8]| serde_json::from_slice::<Line<'_>>(bytes).is_ok_and(|line| line.time > latest);
        let mut log = log.within(self.between());
        let mut found = Found::default();
        let mut all = Newest { most, ..Newest::default() };
        for file in 0.. {
            let Some(piece) = log.pop_newest() else { break };
            let until = piece.until();
            // One whose name is not to be relied on may be older than those before it, and newer.
            if until.is_some_and(|until| all.are_later(until)) {
                continue;
            }
            let stop = is_over().then_some(Stop::Over);
            let mut progress = Progress { stop, reached: until, newest: None, run: 0 };
            let mut here = Newest { most, ..Newest::default() };
            if progress.stop.is_none() {
                let ended = found.reading.add_newest_first(piece, is_later, &mut |order, place, bytes| {
                    found.read += 1;
                    let is_time = found.read.is_multiple_of(PACE);
                    match serde_json::from_slice::<Line<'_>>(bytes) {
                        Ok(mut line) => {
                            let is_back = order == Order::NewestFirst;
                            if is_back {
                                progress.count(line.time, line.time < earliest || all.are_later(line.time));
                            }
                            line.narrow(self.clients());
                            if self.wants(&line) {
                                let among = if is_back { &mut all } else { &mut here };
                                among.add((line.time, file, Reverse(place)), bytes);
                            }
                        }
                        Err(_) => found.refused += 1,
                    }
                    if is_time {
                        progress.reached = progress.newest.take().or(progress.reached);
                        progress.stop = if is_over() { Some(Stop::Over) } else { progress.stop };
                    }
                    if progress.stop.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                // Of a file that is read from its beginning on, the newest are missing where it was not read to its end.
                if ended.is_continue() {
                    all.merge(here);
                }
            }
            if progress.stop == Some(Stop::Over) {
                let before =
                    progress.reached.filter(|_| log.is_sure()).map(|reached| later(reached, DISORDER));
                // The next search is to come further than this one.
                let before = before.filter(|before| *before < to);
                found.unread = Some(Unread { before });
                break;
            }
        }
        self.cut(all, excerpt, &mut found);
        found
    }

    /// Hands over the excerpt, and says where the next one is.
    fn cut(&self, all: Newest, excerpt: Excerpt, found: &mut Found) {
        let mut lines = all.kept.into_sorted_vec();
        let unread = found.unread.and_then(|unread| unread.before);
        lines.retain(|Reverse((time, ..))| unread.is_none_or(|before| *time > before));
        let end = excerpt.offset.saturating_add(excerpt.limit);
        found.next = unread.map(|before| (before, 0));
        if lines.len() > end {
            lines.truncate(end);
            let last = lines.last().map(|Reverse((time, ..))| *time);
            found.next =
                last.map(|last| (last, lines.iter().filter(|Reverse((time, ..))| *time == last).count()));
        }
        let wanted = lines.into_iter().skip(excerpt.offset);
        found.lines = wanted.filter_map(|Reverse((.., bytes))| self.shown(&bytes)).collect();
    }

    /// A line with no more of its client than is seen.
    fn shown(&self, bytes: &[u8]) -> Option<Value> {
        let mut shown: Value = serde_json::from_slice(bytes).ok()?;
        let mut line = Line::deserialize(&shown).ok()?;
        line.narrow(self.clients());
        let (client, identity) = (line.client.map(String::from), line.identity.map(String::from));
        let members = shown.as_object_mut()?;
        for (name, seen) in [("client", client), ("identity", identity)] {
            if let Some(member) = members.get_mut(name) {
                *member = seen.map_or(Value::Null, Value::String);
            }
        }
        Some(shown)
    }
}

/// How far a file was looked into.
struct Progress {
    stop: Option<Stop>,
    /// All that is later than this was looked at.
    reached: Option<Timestamp>,
    /// The newest line since the clock was looked at.
    newest: Option<Timestamp>,
    /// Lines in a row that are older than what is wanted.
    run: u64,
}

impl Progress {
    /// Counts another line, which is older than what is wanted or not.
    fn count(&mut self, time: Timestamp, is_older: bool) {
        if time < EARLIEST {
            // Of a clock that was not set yet, for however long: that says nothing.
            return;
        }
        self.newest = self.newest.max(Some(time));
        self.run = if is_older { self.run + 1 } else { 0 };
        if self.run >= RUN {
            self.stop = Some(Stop::Enough);
        }
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

impl Newest {
    fn add(&mut self, (time, file, place): (Timestamp, usize, Reverse<u64>), bytes: &[u8]) {
        if self.kept.len() >= self.most {
            let is_older =
                |Reverse(oldest): &Reverse<Placed>| (time, file, place) < (oldest.0, oldest.1, oldest.2);
            if self.kept.peek().is_some_and(is_older) {
                return;
            }
            self.kept.pop();
        }
        self.kept.push(Reverse((time, file, place, bytes.to_vec())));
    }

    fn merge(&mut self, other: Self) {
        self.kept.extend(other.kept);
        while self.kept.len() > self.most {
            self.kept.pop();
        }
    }

    /// True when there are enough, and nothing that stands before a line of that time belongs among them.
    fn are_later(&self, time: Timestamp) -> bool {
        let is_later = |Reverse(oldest): &Reverse<Placed>| time < earlier(oldest.0, DISORDER);
        self.kept.len() >= self.most && self.kept.peek().is_some_and(is_later)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::path::Path;
    use std::time::SystemTime;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use jiff::tz::TimeZone;

    use super::super::clients::Clients;
    use super::super::search::Sought;
    use super::*;

    /// A day in the life of the log: seconds of it.
    fn time(second: u64) -> Timestamp {
        Timestamp::from_second(1_798_700_000 + second as i64).unwrap()
    }

    fn line(second: u64, number: usize) -> String {
        let time = time(second);
        format!(
            "{{\"time\":\"{time:.3}\",\"name\":\"n{number}.example\",\"type\":\"A\",\"verdict\":\"allowed\",\"group\":\"default\"}}\n"
        )
    }

    /// Writes lines of these seconds into a file that was put aside at `aside`, or is written to.
    fn write(folder: &Path, aside: Option<u64>, lines: &[(u64, usize)]) {
        let behind =
            aside.map_or_else(String::new, |second| time(second).strftime(".%Y%m%dT%H%M%SZ").to_string());
        let path = folder.join(format!("q.jsonl{behind}"));
        fs::write(&path, lines.iter().map(|(second, number)| line(*second, *number)).collect::<String>())
            .unwrap();
        if let Some(second) = aside {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(time(second).as_second() as u64);
            fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
        }
    }

    /// Compresses what was put aside then.
    fn pack(folder: &Path, aside: u64) {
        let plain = folder.join(time(aside).strftime("q.jsonl.%Y%m%dT%H%M%SZ").to_string());
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::copy(&mut fs::File::open(&plain).unwrap(), &mut packer).unwrap();
        let packed = plain.with_extension(format!("{}.gz", plain.extension().unwrap().display()));
        fs::write(&packed, packer.finish().unwrap()).unwrap();
        fs::remove_file(plain).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(time(aside).as_second() as u64);
        fs::File::options().write(true).open(packed).unwrap().set_modified(at).unwrap();
    }

    fn search(to: Option<Timestamp>) -> Search {
        let to = to.map(crate::policy::When::Moment);
        Search::new(Sought { to, ..Sought::default() }, &TimeZone::UTC).unwrap()
    }

    fn look(folder: &Path, to: Option<Timestamp>, excerpt: Excerpt, is_over: impl Fn() -> bool) -> Found {
        let log = KeptLog::open(&folder.join("q.jsonl"), time(80_000)).unwrap();
        search(to).newest(log, excerpt, is_over)
    }

    fn numbers(found: &Found) -> Vec<usize> {
        let number = |line: &Value| {
            let name = line["name"].as_str().unwrap();
            name.trim_start_matches('n').trim_end_matches(".example").parse().unwrap()
        };
        found.lines.iter().map(number).collect()
    }

    /// All parts, one after the other, by where each says that the next is.
    fn parts(folder: &Path, limit: usize) -> Vec<usize> {
        let (mut all, mut next) = (Vec::new(), Some((None, 0)));
        while let Some((to, offset)) = next {
            let found = look(folder, to, Excerpt { offset, limit }, || false);
            all.extend(numbers(&found));
            assert!(all.len() <= 1000, "it ends");
            next = found.next.map(|(to, offset)| (Some(to), offset));
        }
        all
    }

    #[test]
    fn every_line_comes_once_the_newest_first_however_the_parts_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), Some(100), &[(10, 1), (11, 2), (11, 3)]);
        // Many of one moment, over the end of a file, and one of a thread that was late.
        write(folder.path(), Some(200), &[(150, 4), (199, 6), (200, 8), (200, 9), (200, 10)]);
        write(folder.path(), None, &[(200, 11), (199, 7), (198, 5), (200, 12), (205, 13)]);
        let newest_first = [13, 8, 9, 10, 11, 12, 6, 7, 5, 4, 2, 3, 1];
        for limit in 1..15 {
            assert_eq!(parts(folder.path(), limit), newest_first, "{limit}");
        }
        let found = look(folder.path(), None, Excerpt { offset: 5, limit: 3 }, || false);
        assert_eq!(numbers(&found), [12, 6, 7]);
        pack(folder.path(), 200);
        assert_eq!(parts(folder.path(), 2), newest_first, "compressed, and read from its beginning");
    }

    #[test]
    fn what_is_written_late_comes_behind_what_was_shown_of_its_moment() {
        let folder = tempfile::tempdir().unwrap();
        let first = Excerpt { offset: 0, limit: 2 };
        write(folder.path(), None, &[(199, 1), (200, 2), (200, 3), (200, 4)]);
        let found = look(folder.path(), None, first, || false);
        assert_eq!((numbers(&found), found.next), (vec![2, 3], Some((time(200), 2))));
        write(folder.path(), None, &[(199, 1), (200, 2), (200, 3), (200, 4), (201, 5), (200, 6)]);
        let found = look(folder.path(), Some(time(200)), Excerpt { offset: 2, limit: 9 }, || false);
        assert_eq!(numbers(&found), [4, 6, 1]);
    }

    #[test]
    fn no_more_files_are_read_than_are_needed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), Some(100), &[(10, 1)]);
        write(folder.path(), Some(200), &[(150, 2), (151, 3)]);
        write(folder.path(), None, &[(300, 4)]);
        let files = |limit| look(folder.path(), None, Excerpt { offset: 0, limit }, || false).reading.files;
        assert_eq!((files(1), files(2), files(3)), (2, 2, 3));
        let found = look(folder.path(), Some(time(160)), Excerpt { offset: 0, limit: 1 }, || false);
        assert_eq!((numbers(&found), found.read), (vec![3], 3));
        // Read from the end back, no more lines either.
        let many: Vec<_> = (0..5000).map(|number| (300 + number as u64, number)).collect();
        write(folder.path(), None, &many);
        let found = look(folder.path(), None, Excerpt { offset: 0, limit: 1 }, || false);
        assert_eq!((numbers(&found), found.read), (vec![4999], 4 + RUN));
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_moment_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.jsonl");
        let day = time(0).strftime("%Y-%m-%d").to_string();
        let unset: String =
            (0..2 * RUN).map(|number| line(0, number as usize + 10).replace(&day, "1970-01-01")).collect();
        let behind: String = (0..100).map(|number| line(10, number + 9000)).collect();
        let log = [line(7200, 1), unset, line(7300, 2), behind, line(7400, 3)].concat();
        fs::write(path, log).unwrap();
        let found = look(folder.path(), None, Excerpt { offset: 0, limit: 2 }, || false);
        assert_eq!(numbers(&found), [3, 2]);
        let found = look(folder.path(), None, Excerpt { offset: 0, limit: 3 }, || false);
        assert_eq!(numbers(&found), [3, 2, 1]);
    }

    #[test]
    fn what_took_too_long_is_said_and_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), Some(100), &[(10, 1)]);
        let many: Vec<_> = (0..3000).map(|number| (120 + number as u64 / 100, number)).collect();
        write(folder.path(), Some(200), &many);
        write(folder.path(), None, &[(300, 3001), (301, 3002)]);
        let excerpt = Excerpt { offset: 0, limit: 5000 };
        let looks = Cell::new(0);
        let after = |most: usize| {
            looks.set(0);
            let looks = &looks;
            move || looks.replace(looks.get() + 1) >= most
        };
        // Before each of two files, and twice after so many lines.
        let found = look(folder.path(), None, excerpt, after(3));
        assert_eq!(found.read, 2 * PACE);
        // The newest of the lines that were looked at last is of the second 139, and some of the next may be still to come.
        assert_eq!(found.unread, Some(Unread { before: Some(time(141)) }));
        assert_eq!(found.next, Some((time(141), 0)));
        let shown = numbers(&found);
        assert_eq!((shown.first(), shown.len()), (Some(&3002), 2 + 800), "only what is later than that");
        let rest = look(folder.path(), Some(time(141)), excerpt, || false);
        assert_eq!((numbers(&rest).len(), rest.unread, rest.next), (2201, None, None), "each once");

        // What is compressed is read from its beginning on: its newest lines would be missing.
        pack(folder.path(), 200);
        let found = look(folder.path(), None, excerpt, after(3));
        assert_eq!(
            (numbers(&found), found.unread),
            (vec![3002, 3001], Some(Unread { before: Some(time(202)) }))
        );
        let again = look(folder.path(), Some(time(202)), excerpt, after(3));
        assert_eq!(
            (again.unread, again.next),
            (Some(Unread { before: None }), None),
            "which comes no further"
        );
        let found = look(folder.path(), None, excerpt, || true);
        assert_eq!(
            (found.unread, found.read),
            (Some(Unread { before: None }), 0),
            "nobody waits for it any more"
        );
    }

    #[test]
    fn many_small_files_take_no_longer_than_one_may() {
        let folder = tempfile::tempdir().unwrap();
        for file in 0..50 {
            write(folder.path(), Some(100 + file), &[(100 + file, file as usize)]);
        }
        let looks = Cell::new(0);
        let excerpt = Excerpt { offset: 0, limit: 100 };
        let found = look(folder.path(), None, excerpt, || looks.replace(looks.get() + 1) >= 10);
        assert_eq!((found.reading.files, found.read), (10, 10));
        assert!(found.unread.is_some());
    }

    #[test]
    fn no_more_is_seen_of_a_client_than_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let whole = line(10, 1).replace("{", r#"{"client":"10.20.0.7","identity":"certificate:laptop-7","#);
        fs::write(folder.path().join("q.jsonl"), whole).unwrap();
        for (clients, seen) in [
            (Clients::Full, "\"10.20.0.7\""),
            (Clients::Prefix, "\"10.20.0.0/24\""),
            (Clients::Hmac, "null"),
            (Clients::None, "null"),
        ] {
            let log = KeptLog::open(&folder.path().join("q.jsonl"), time(80_000)).unwrap();
            let found =
                search(None).by_who_sees(clients).newest(log, Excerpt { offset: 0, limit: 1 }, || false);
            assert_eq!(found.lines[0]["client"].to_string(), seen);
            assert_eq!(found.lines[0]["identity"].is_null(), clients != Clients::Full);
        }
    }
}
