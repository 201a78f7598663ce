//! Owns the last good bytes of collected sources on disk, each with what is known of it. A crash between any two steps
//! leaves the version before. Never decides what is good.
//!
//! Layout below the state directory: `sources/<sha256>` holds bytes as published, or pieces of them and what tells the
//! pieces; `sources/<name>.json` says which of them a source has. Bytes are written first, and dropped once no source names them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::fetch::{Content, Signature};
use super::file::{Digest, LIST_FILE, read_file};
use super::http::Validators;
use super::pieces::{keep_text, pieces_of, read_text};
use super::signature::SIGNATURE_FILE;
use super::written::write_whole;

/// The last good content of a source.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) content: Content,
    /// Where it came from, as shown.
    pub(super) from: String,
    /// Its rules, as counted when it was judged.
    pub(super) rules: u64,
    /// When these bytes came first.
    pub(super) changed_at: Timestamp,
}

/// A `<name>.json`. Version 1.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    source: String,
    from: String,
    digest: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_pieces: bool,
    rules: u64,
    changed_at: Timestamp,
    confirmed_at: Timestamp,
    #[serde(flatten)]
    validators: Validators,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    /// Held by whoever writes or drops: what one writes aside, another would drop.
    writing: Mutex<()>,
}

impl Kept {
    /// True when it may be used by that configuration: unsigned, or verified by the configured key.
    pub(super) fn is_good_for(&self, source: &Config) -> bool {
        let verified_by = self.content.signature.as_ref().map(|signature| &signature.key);
        source.key.is_none() || source.key.as_ref() == verified_by
    }

    /// The same content verified by the key of that configuration; `None` when it is not that key's.
    pub(super) fn verified_for(&self, source: &Config) -> Option<Self> {
        let key = source.key.as_ref()?;
        let before = self.content.signature.as_ref()?;
        let seal = key.verify(&self.content.published.bytes(), before.text.as_bytes()).ok()?;
        let mut renewed = self.clone();
        renewed.content.signature = Some(Signature { text: before.text.clone(), key: key.clone(), seal });
        Some(renewed)
    }
}

const VERSION: u32 = 1;
/// Cap for a record: a signature and a few lines.
const RECORD_FILE: u64 = 4 * SIGNATURE_FILE;
/// Permission bits: lists hold no secrets; the umask may still narrow them.
const MODE: u32 = 0o666;
/// Longest file name made of a source's name as it is.
const LONGEST_NAME: usize = 120;

impl Shelf {
    /// The shelf below a state directory, which need not exist yet.
    pub(super) fn new(state: &Path) -> Self {
        Self { folder: state.join("sources"), writing: Mutex::default() }
    }

    /// Writes a source's last good content, bytes first; drops what it replaces.
    pub(super) fn keep(&self, source: &str, kept: &Kept, confirmed_at: Timestamp) -> io::Result<()> {
        let _writing = self.writing();
        fs::create_dir_all(&self.folder)?;
        keep_text(&self.folder, &kept.content.published, MODE)?;
        self.write_record(source, kept, confirmed_at)?;
        self.sweep();
        Ok(())
    }

    /// Writes down that content which is kept was confirmed.
    pub(super) fn confirm(&self, source: &str, kept: &Kept, confirmed_at: Timestamp) -> io::Result<()> {
        let _writing = self.writing();
        self.write_record(source, kept, confirmed_at)
    }

    fn write_record(&self, source: &str, kept: &Kept, confirmed_at: Timestamp) -> io::Result<()> {
        let published = &kept.content.published;
        let record = Record {
            version: VERSION,
            source: source.to_owned(),
            from: kept.from.clone(),
            digest: Digest::from(published.digest()).to_string(),
            in_pieces: published.is_in_pieces(),
            rules: kept.rules,
            changed_at: kept.changed_at,
            confirmed_at,
            validators: kept.content.validators.clone(),
            signature: kept.content.signature.as_ref().map(|signature| signature.text.clone()),
        };
        let text = serde_json::to_vec_pretty(&record).map_err(io::Error::other)?;
        write_whole(&self.record(source), &text, MODE)
    }

    /// Reads a source's last good content, and when it was last confirmed. `None` when there is none; fails when it is
    /// damaged, or not good by the present configuration.
    pub(super) fn load(&self, source: &Config) -> io::Result<Option<(Kept, Timestamp)>> {
        let damaged = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let path = self.record(&source.name);
        if !path.exists() {
            return Ok(None);
        }
        let raw = read_file(&path, RECORD_FILE).map_err(|error| damaged(error.to_string()))?;
        let record: Record = serde_json::from_slice(&raw.bytes())?;
        if record.version != VERSION || record.source != source.name {
            return Err(damaged(format!("{} is not a record of `{}`", path.display(), source.name)));
        }
        let published = read_text(&self.folder, &record.digest, record.in_pieces, LIST_FILE)
            .map_err(|error| damaged(format!("its bytes: {error}")))?;
        let signature = record.signature.map(String::into_bytes);
        if source.key.is_some() && signature.is_none() {
            return Err(damaged("it was kept unsigned, and must be signed now".to_owned()));
        }
        let mut content = Content::new(source, published, record.validators, signature)
            .map_err(|refusal| damaged(refusal.what))?;
        content.raw.name.clone_from(&record.from);
        let kept = Kept { content, from: record.from, rules: record.rules, changed_at: record.changed_at };
        Ok(Some((kept, record.confirmed_at)))
    }

    /// Drops the records of sources that are configured no longer, then their bytes.
    pub(super) fn retain(&self, configured: &BTreeSet<&str>) {
        let _writing = self.writing();
        let wanted: BTreeSet<PathBuf> = configured.iter().map(|name| self.record(name)).collect();
        for path in self.files() {
            if path.extension().is_some_and(|end| end == "json") && !wanted.contains(&path) {
                let _gone = fs::remove_file(&path).is_ok();
            }
        }
        self.sweep();
    }

    /// Drops bytes that no record names, and what a cut-off run left aside. Trouble here harms nothing.
    fn sweep(&self) {
        let mut named = BTreeSet::new();
        let (records, others): (Vec<PathBuf>, Vec<PathBuf>) =
            self.files().into_iter().partition(|path| path.extension().is_some_and(|end| end == "json"));
        for path in records {
            let record = read_file(&path, RECORD_FILE).ok();
            let Some(record) = record.and_then(|raw| serde_json::from_slice::<Record>(&raw.bytes()).ok())
            else {
                // One that cannot be read may name any bytes: drop none.
                return;
            };
            if record.in_pieces {
                let Ok(pieces) = pieces_of(&self.folder, &record.digest) else { return };
                named.extend(pieces.into_iter().map(|piece| self.folder.join(piece.digest)));
            }
            named.insert(self.folder.join(record.digest));
        }
        for path in others {
            if !named.contains(&path) {
                let _gone = fs::remove_file(path).is_ok();
            }
        }
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = self.folder.read_dir() else { return Vec::new() };
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// A file name for any source's name: what may not stand in one is written as `%` and two digits.
    fn record(&self, source: &str) -> PathBuf {
        let mut name = String::new();
        for byte in source.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
                _ => name.push_str(&format!("%{byte:02x}")),
            }
        }
        if name.len() > LONGEST_NAME {
            name = Digest::of(source.as_bytes()).to_string();
        }
        self.folder.join(name + ".json")
    }
}
