//! Owns what was put aside of a log: `NAME.TIME.gz` beside it, compressed by a thread of its own, taken away when it is too old or too much, and opened again.
//! The second door of `flate2`. Never touches a file of another name.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::config::Rotation;

/// Puts the file aside and has it compressed.
pub(super) fn put(path: &Path, now: Timestamp) -> io::Result<()> {
    // Never over another of the same second.
    let free = (0..1000)
        .map(|number| named(path, now, number))
        .find(|name| !name.exists() && !compressed(name).exists());
    let aside = free.ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &aside)?;
    let compressing = thread::Builder::new().name("querylog-gzip".to_owned()).spawn(move || {
        if let Err(error) = compress(&aside) {
            tracing::warn!(%error, path = %aside.display(), "a query log that was put aside stays uncompressed");
        }
    });
    compressing.map(drop)
}

fn named(path: &Path, now: Timestamp, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", now.strftime("%Y%m%dT%H%M%SZ")));
    if number > 0 {
        name.push(format!("-{number}"));
    }
    name.into()
}

fn compressed(aside: &Path) -> PathBuf {
    let mut name = aside.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// Whole or not at all: what a stop cuts off bears another name.
fn compress(aside: &Path) -> io::Result<()> {
    let target = compressed(aside);
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".new");
    let mut packer = GzEncoder::new(File::create(&unfinished)?, Compression::default());
    io::copy(&mut File::open(aside)?, &mut packer)?;
    packer.finish()?.sync_all()?;
    fs::rename(&unfinished, target)?;
    fs::remove_file(aside)
}

/// Takes away what is too old, or too much, of what was put aside.
pub(super) fn tidy(path: &Path, rotation: Rotation, now: Timestamp) {
    // What cannot be seen cannot be taken away either.
    let all = put_aside(path).unwrap_or_default();
    let oldest = rotation.retention.and_then(|kept| now.checked_sub(kept).ok());
    let oldest = oldest.map(|oldest| oldest.strftime("%Y%m%dT%H%M%SZ").to_string());
    let mut bytes = 0u64;
    for (when, file) in all.into_iter().rev() {
        bytes = bytes.saturating_add(fs::metadata(&file).map_or(0, |about| about.len()));
        let is_old = oldest.as_ref().is_some_and(|oldest| when < *oldest);
        if (is_old || rotation.total.is_some_and(|most| bytes > most))
            && let Err(error) = fs::remove_file(&file)
        {
            tracing::warn!(%error, path = %file.display(), "a query log cannot be taken away");
        }
    }
}

/// When each was put aside, as its name says, and where it is; the oldest first.
pub(super) fn put_aside(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut all = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let Some(when) = name.strip_prefix(&prefix) else { continue };
        let when = when.strip_suffix(".gz").unwrap_or(when);
        if is_time(when) {
            all.push((when.to_owned(), file.path()));
        }
    }
    // Of one second, by the number behind; and what is not compressed yet before what it becomes.
    all.sort_by_cached_key(|(when, path)| {
        let (time, number) = when.split_once('-').unwrap_or((when, "0"));
        (time.to_owned(), number.parse().unwrap_or(u32::MAX), path.clone())
    });
    Ok(all)
}

/// When that was, of what such a name says.
pub(super) fn time(when: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", when.split('-').next()?).ok()?;
    time.to_zoned_datetime(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// Opens what was put aside, which may have been compressed since somebody looked; `None` when it was taken away.
pub(super) fn reopen(path: &Path) -> io::Result<Option<File>> {
    for path in [path, &compressed(path)] {
        match File::open(path) {
            Ok(file) => return Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The content of a file, compressed or not.
pub(super) fn unpacked(file: File) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(file);
    let is_packed = file.fill_buf()?.starts_with(&MAGIC);
    Ok(if is_packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

/// True when it is compressed.
pub(super) fn is_packed(file: &File) -> io::Result<bool> {
    let mut first = [0; MAGIC.len()];
    Ok(file.read_at(&mut first, 0)? == first.len() && first == MAGIC)
}

/// How each member of what is compressed begins (RFC 1952 section 2.3.1).
const MAGIC: [u8; 2] = [0x1F, 0x8B];

/// True for `20261125T203000Z`, and a number behind it.
fn is_time(text: &str) -> bool {
    let (time, number) = text.split_once('-').unwrap_or((text, "0"));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "00000000T000000Z" && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_too_old_or_too_much_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.jsonl");
        let file = |name: &str| folder.path().join(name);
        for name in [
            "q.jsonl",
            "q.jsonl.20260101T000000Z.gz",
            "q.jsonl.20260201T000000Z.gz",
            "q.jsonl.20260201T000000Z-1.gz",
            "q.jsonl.20260202T000000Z",
            "q.jsonl.old",
            "q.jsonl.20260101.gz",
            "other.20260101T000000Z.gz",
        ] {
            fs::write(file(name), [0; 100]).unwrap();
        }
        let now: Timestamp = "2026-02-03T00:00:00Z".parse().unwrap();
        let month = Rotation { retention: Some(Duration::from_secs(30 * 86_400)), ..Rotation::default() };
        tidy(&path, month, now);
        assert!(
            !file("q.jsonl.20260101T000000Z.gz").exists() && file("q.jsonl.20260201T000000Z.gz").exists()
        );
        tidy(&path, Rotation { total: Some(250), ..month }, now);
        assert!(!file("q.jsonl.20260201T000000Z.gz").exists() && file("q.jsonl.20260202T000000Z").exists());
        for stays in ["q.jsonl", "q.jsonl.old", "q.jsonl.20260101.gz", "other.20260101T000000Z.gz"] {
            assert!(file(stays).exists(), "{stays}");
        }
    }
}
