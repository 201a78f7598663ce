//! Owns generations on disk: the bytes each was made of, once by digest, and a manifest that says what it is and when, by
//! whom and why it came into force. Every file is written aside and renamed, so that a crash between any two steps leaves
//! the generation before usable. Never compiles.
//!
//! Layout below the state directory: `blobs/<sha256>` (bytes, or what tells their pieces), `generations/<number>.json`, `good` (the number of the last good).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::audit::Anchor;
use super::inputs::Inputs;
use super::manifest::{Input, Manifest, Role, Spell};
use crate::policy::{Catalog, Difference};
use crate::sources::{
    Bundle, CONFIG_FILE, Digest, LIST_FILE, PieceFile, Raw, keep_text, pieces_of, read_file, read_text,
    write_whole,
};

/// How much of the past is kept. A generation stays while any of the first two says so, and `disk` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Generations kept however old they are. Default 20: enough to go back over the changes of a bad day.
    pub keep: usize,
    /// How long one is kept after it was last in force. Default 30 days: a complaint about a blocked name comes within weeks.
    pub keep_for: Duration,
    /// Bytes on disk; the oldest go first, never the one in force or the one before. Default 1 GiB: 25 versions of a list of
    /// two million names, and years of small ones.
    pub disk: u64,
    /// Bytes of earlier generations kept compiled, so that a rollback is a pointer swap. The one before the present is kept
    /// whatever its size, unless this is 0. Default 256 MiB: a few generations of two million names.
    pub memory: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { keep: 20, keep_for: Duration::from_secs(30 * 86_400), disk: 1 << 30, memory: 256 << 20 }
    }
}

/// Generations on disk.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    contents: Mutex<Contents>,
}

/// The pieces of the texts that are kept in pieces, by the digest of the text: they are looked for at every change.
type Contents = BTreeMap<String, Arc<Vec<PieceFile>>>;

/// Why there is no generation for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Gone {
    /// Nothing is kept that old.
    #[error("nothing that old is kept; the oldest kept generation came into force at {0}")]
    Before(Timestamp),
    /// One between two kept ones.
    #[error("generation {0} was in force then and is no longer kept")]
    Dropped(u64),
    /// Nothing is kept at all.
    #[error("no generation is kept")]
    Empty,
}

const VERSION: u32 = 2;
/// Permission bits of kept files: lists and catalogs hold no secrets; the umask may still narrow them.
const MODE: u32 = 0o666;
/// Permission bits of a kept configuration: the secret of a TSIG key may stand in it.
const SECRET: u32 = 0o600;
/// However long they are to be kept: more would make a history nobody reads and a start that reads for seconds.
const MOST: usize = 1000;
/// Times that one generation came into force; the oldest are forgotten.
const SPELLS: usize = 200;
const MANIFEST_FILE: u64 = 16 << 20;
/// Generations that stay whatever the disk says: the one in force and the one to go back to.
const ALWAYS: usize = 2;

impl Store {
    /// A store in that directory, which need not exist yet.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), contents: Mutex::default() }
    }

    /// Keeps the inputs of a generation and what it is. Makes the directory if need be, each time, so that one that could not
    /// be used is used again once it can.
    pub(super) fn stage(&self, mut manifest: Manifest, inputs: &Inputs) -> io::Result<()> {
        fs::create_dir_all(self.directory.join("blobs"))?;
        fs::create_dir_all(self.directory.join("generations"))?;
        manifest.version = VERSION;
        manifest.fingerprint = fingerprint(inputs);
        manifest.inputs.clear();
        if let Some(bundle) = &inputs.bundle {
            let digest = bundle.digest.to_string();
            bundle.keep(&self.blob(&digest))?;
            let (name, bytes) = (bundle.name.clone(), bundle.image.len() as u64);
            let (role, key, in_pieces) = (Role::Bundle, String::new(), false);
            manifest.inputs.push(Input { role, key, name, digest, bytes, in_pieces });
        }
        for (role, key, raw) in parts(inputs) {
            keep_text(&self.blobs(), &raw.content, if role == Role::Config { SECRET } else { MODE })?;
            manifest.inputs.push(Input {
                role,
                key: key.to_owned(),
                name: raw.name.clone(),
                digest: Digest::from(raw.content.digest()).to_string(),
                bytes: raw.content.len() as u64,
                in_pieces: raw.content.is_in_pieces(),
            });
        }
        self.write_manifest(&manifest)
    }

    /// Notes that a kept generation came into force once more.
    pub(super) fn note(&self, generation: u64, spell: Spell) -> io::Result<()> {
        let mut manifest = self.manifest(generation)?;
        let surplus = (manifest.spells.len() + 1).saturating_sub(SPELLS);
        manifest.spells.drain(..surplus);
        manifest.spells.push(spell);
        self.write_manifest(&manifest)
    }

    /// Notes what a generation changed when it came into force that time.
    pub(super) fn note_change(&self, generation: u64, spell: u64, change: Difference) -> io::Result<()> {
        let mut manifest = self.manifest(generation)?;
        if let Some(spell) = manifest.spells.iter_mut().find(|known| known.number == spell) {
            spell.change = change;
        }
        self.write_manifest(&manifest)
    }

    fn write_manifest(&self, manifest: &Manifest) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(manifest)?;
        write_whole(&self.manifest_path(manifest.generation), &text, MODE)
    }

    /// Marks a generation good: the one to start on when the present inputs are bad.
    pub(super) fn mark_good(&self, generation: u64) -> io::Result<()> {
        write_whole(&self.directory.join("good"), generation.to_string().as_bytes(), MODE)
    }

    /// The generation that was last marked good.
    pub(super) fn good(&self) -> Option<u64> {
        let raw = read_file(&self.directory.join("good"), 64).ok()?;
        raw.text().ok()?.trim().parse().ok()
    }

    /// Numbers of the kept generations, newest first.
    pub(super) fn generations(&self) -> Vec<u64> {
        let Ok(entries) = self.directory.join("generations").read_dir() else { return Vec::new() };
        let mut numbers: Vec<u64> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok())
            .collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers
    }

    /// What a generation is. Fails when that cannot be read.
    pub(super) fn manifest(&self, generation: u64) -> io::Result<Manifest> {
        let path = self.manifest_path(generation);
        let raw = read_file(&path, MANIFEST_FILE).map_err(|error| error.of_kept(&path))?;
        let mut manifest: Manifest = serde_json::from_slice(&raw.bytes())?;
        if !(1..=VERSION).contains(&manifest.version) {
            let what = format!("generation {generation} is in the unknown format {}", manifest.version);
            return Err(damaged(what));
        }
        if manifest.spells.is_empty() {
            let (from, number) = (manifest.compiled_on, 0);
            let [who, what] = ["-", "reload"].map(str::to_owned);
            manifest.spells.push(Spell { number, from, who, what, ..Spell::default() });
        }
        Ok(manifest)
    }

    /// The inputs of a generation. Fails when anything is missing, unreadable, or not what its digest says.
    pub(super) fn load(&self, generation: u64) -> io::Result<(Manifest, Inputs)> {
        let manifest = self.manifest(generation)?;
        let mut inputs = Inputs::default();
        for input in &manifest.inputs {
            if input.role == Role::BuiltIn && input.digest == built_in().digest.to_string() {
                continue;
            }
            if input.role == Role::Bundle {
                let copy = self.blob(&input.digest);
                let bundle = Bundle::kept(&copy, &input.digest, input.name.clone())?;
                // The signature, if there is one, comes after it.
                inputs.bundle = Some(bundle);
                continue;
            }
            let content = read_text(&self.blobs(), &input.digest, input.in_pieces, LIST_FILE);
            let raw = Raw::of(input.name.clone(), content.map_err(|error| of_input(input, &error))?);
            match input.role {
                Role::BuiltIn => inputs.catalog = Some(unpack(&raw)?),
                Role::Bundle => {}
                Role::BundleSignature => {
                    if let Some(bundle) = &mut inputs.bundle {
                        bundle.signature = Some(raw);
                    }
                }
                Role::Catalog => inputs.catalog.get_or_insert_default().push(raw),
                Role::Config => inputs.config = Some(raw),
                Role::Source => {
                    inputs.sources.insert(input.key.clone(), raw);
                }
            }
        }
        Ok((manifest, inputs))
    }

    /// Every time any kept generation came into force, oldest first. What cannot be read is left out.
    pub(super) fn timeline(&self) -> Vec<(Spell, Manifest)> {
        let mut all = Vec::new();
        for manifest in self.generations().into_iter().filter_map(|number| self.manifest(number).ok()) {
            all.extend(manifest.spells.iter().map(|spell| (spell.clone(), manifest.clone())));
        }
        all.sort_by_key(|(spell, manifest)| (spell.number, spell.from, manifest.generation));
        all
    }

    /// The generation that was in force at a moment.
    pub(super) fn in_force_at(&self, moment: Timestamp) -> Result<u64, Gone> {
        let all = self.timeline();
        let Some((oldest, _)) = all.first() else { return Err(Gone::Empty) };
        let Some(at) = all.iter().rposition(|(spell, _)| spell.from <= moment) else {
            return Err(oldest.replaced.map_or(Gone::Before(oldest.from), Gone::Dropped));
        };
        let Some((_, found)) = all.get(at) else { return Err(Gone::Empty) };
        match all.get(at + 1).and_then(|(next, _)| next.replaced) {
            // Another one was in force in between, of which nothing is left.
            Some(other) if other != found.generation => Err(Gone::Dropped(other)),
            _ => Ok(found.generation),
        }
    }

    /// Drops what need not be kept, and blobs that no kept generation names. Trouble here harms nothing.
    pub(super) fn forget(&self, config: &Config, in_force: u64, now: Timestamp) {
        let mut manifests = BTreeMap::new();
        for number in self.generations() {
            match self.manifest(number) {
                Ok(manifest) => {
                    manifests.insert(number, manifest);
                }
                // Damaged for good: it names nothing that could be used.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                // A passing fault: it may name any blob, so drop none.
                Err(_) => return,
            }
        }
        let timeline = self.timeline();
        let last_in_force = |number: u64| {
            let last = timeline.iter().rposition(|(_, manifest)| manifest.generation == number);
            let next = last.and_then(|at| timeline.get(at + 1));
            (last, next.map_or(now, |(next, _)| next.from))
        };
        let mut order: Vec<(Option<usize>, Timestamp, u64)> = manifests
            .keys()
            .map(|number| {
                let (last, until) = last_in_force(*number);
                (last, until, *number)
            })
            .collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let mut named: BTreeSet<PieceFile> = BTreeSet::new();
        let (mut bytes, mut full) = (0, false);
        for (position, (_, until, number)) in order.into_iter().enumerate() {
            let Some(manifest) = manifests.get(&number) else { continue };
            let mut own = Vec::new();
            for input in &manifest.inputs {
                match self.files(input) {
                    Ok(files) => own.extend(files.into_iter().filter(|file| !named.contains(file))),
                    // It is in pieces, and nobody knows any more which: it cannot be used.
                    Err(error) if is_lost(&error) => {}
                    Err(_) => return,
                }
            }
            bytes += own.iter().map(|file| file.bytes).sum::<u64>();
            full |= bytes > config.disk || position >= MOST;
            let recent = now.duration_since(until).unsigned_abs() < config.keep_for;
            let kept = position < ALWAYS
                || number == in_force
                || (!full && (position < config.keep.max(ALWAYS) || recent));
            if kept {
                named.extend(own);
            } else {
                let _gone = fs::remove_file(self.manifest_path(number)).is_ok();
            }
        }
        let named: BTreeSet<String> = named.into_iter().map(|file| file.digest).collect();
        self.contents().retain(|digest, _| named.contains(digest));
        let Ok(blobs) = self.directory.join("blobs").read_dir() else { return };
        for blob in blobs.flatten() {
            if blob.file_name().to_str().is_none_or(|name| !named.contains(name)) {
                let _gone = fs::remove_file(blob.path()).is_ok();
            }
        }
    }

    /// The files in which an input is kept.
    fn files(&self, input: &Input) -> io::Result<Vec<PieceFile>> {
        let own = PieceFile { digest: input.digest.clone(), bytes: input.bytes };
        if !input.in_pieces {
            return Ok(vec![own]);
        }
        let known = self.contents().get(&input.digest).cloned();
        let pieces = match known {
            Some(known) => known,
            None => {
                let told = Arc::new(pieces_of(&self.blobs(), &input.digest)?);
                self.contents().insert(input.digest.clone(), Arc::clone(&told));
                told
            }
        };
        // What tells them is small beside them.
        Ok(pieces.iter().cloned().chain([PieceFile { bytes: 0, ..own }]).collect())
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A small value kept beside the generations; `None` when there is none or it cannot be read.
    pub(super) fn recall<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let raw = read_file(&self.directory.join(name), CONFIG_FILE).ok()?;
        let value = serde_json::from_slice(&raw.bytes());
        value.inspect_err(|error| tracing::error!(%error, file = name, "cannot be read")).ok()
    }

    /// Keeps a small value.
    pub(super) fn remember(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        write_whole(&self.directory.join(name), &serde_json::to_vec_pretty(value)?, MODE)
    }

    /// Takes a small value out.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Where the bytes of inputs are kept, each under its digest.
    pub(super) fn blobs(&self) -> PathBuf {
        self.directory.join("blobs")
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.directory.join("blobs").join(digest)
    }

    fn manifest_path(&self, generation: u64) -> PathBuf {
        self.directory.join("generations").join(format!("{generation}.json"))
    }
}

/// Hashes of the audit log that the generations kept in a state directory name.
pub fn kept_anchors(directory: &Path) -> Vec<Anchor> {
    let timeline = Store::new(directory).timeline();
    let named = timeline.into_iter().filter(|(spell, _)| spell.audit.sequence > 0);
    named
        .map(|(spell, manifest)| Anchor {
            hash: spell.audit.hash,
            origin: format!("generation {}", manifest.generation),
        })
        .collect()
}

/// What tells two sets of inputs apart.
pub(super) fn fingerprint(inputs: &Inputs) -> String {
    let mut text = String::new();
    let mut add = |kind: &str, key: &str, digest: Digest| text.push_str(&format!("{kind} {key} {digest}\n"));
    if let Some(raw) = &inputs.config {
        add("config", "", raw.digest);
    }
    if let Some(bundle) = &inputs.bundle {
        add("bundle", "", bundle.digest);
    }
    match &inputs.catalog {
        _ if inputs.bundle.is_some() => {}
        Some(files) => files.iter().for_each(|raw| add("catalog", &raw.name, raw.digest)),
        None => Catalog::built_in()
            .iter()
            .for_each(|(path, content)| add("catalog", path, Digest::of(content.as_bytes()))),
    }
    for (name, raw) in &inputs.sources {
        add("source", name, raw.digest);
    }
    Digest::of(text.as_bytes()).to_string()
}

/// Everything a generation is made of besides a bundle, to be kept.
fn parts(inputs: &Inputs) -> impl Iterator<Item = (Role, &str, &Raw)> {
    let config = inputs.config.iter().map(|raw| (Role::Config, "", raw));
    let own = inputs.catalog.iter().flatten().map(|raw| (Role::Catalog, raw.name.as_str(), raw));
    let is_built_in = inputs.catalog.is_none() && inputs.bundle.is_none();
    let built_in = is_built_in.then(|| (Role::BuiltIn, "", built_in()));
    let signature = inputs.bundle.iter().filter_map(|bundle| bundle.signature.as_ref());
    let signature = signature.map(|raw| (Role::BundleSignature, "", raw));
    let sources = inputs.sources.iter().map(|(name, raw)| (Role::Source, name.as_str(), raw));
    config.chain(own).chain(built_in).chain(signature).chain(sources)
}

/// The catalog in the binary as one file: the next version of the program has another one.
fn built_in() -> &'static Raw {
    static PACKED: OnceLock<Raw> = OnceLock::new();
    PACKED.get_or_init(|| {
        let packed = serde_json::to_vec(Catalog::built_in()).unwrap_or_default();
        Raw::new("built-in catalog", packed)
    })
}

fn unpack(raw: &Raw) -> io::Result<Vec<Raw>> {
    let files: Vec<(String, String)> = serde_json::from_slice(&raw.bytes())?;
    Ok(files.into_iter().map(|(path, text)| Raw::new(path, text.into_bytes())).collect())
}

fn of_input(input: &Input, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the stored bytes of {}: {error}", input.name))
}

/// True when trying again will not help.
fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound)
}

fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    /// Publishes `generation` as the `number`th publication at `second`.
    fn publish(store: &Store, generation: u64, number: u64, second: i64, replaced: Option<u64>) {
        let spell = Spell { number, from: at(second), replaced, ..Spell::default() };
        if store.manifest(generation).is_ok() {
            return store.note(generation, spell).unwrap();
        }
        let manifest = Manifest { generation, spells: vec![spell], ..Manifest::default() };
        let list = Raw::new("own.txt", generation.to_string().into_bytes());
        let sources = [("own".to_owned(), list)].into();
        store.stage(manifest, &Inputs { catalog: Some(Vec::new()), sources, ..Inputs::default() }).unwrap();
    }

    #[test]
    fn what_was_in_force_is_told_or_that_it_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(store.in_force_at(at(0)), Err(Gone::Empty));
        publish(&store, 1, 1, 10, None);
        publish(&store, 2, 2, 20, Some(1));
        publish(&store, 3, 3, 30, Some(2));
        publish(&store, 1, 4, 40, Some(3));
        let told = |second| store.in_force_at(at(second));
        assert_eq!([15, 25, 35, 45].map(told), [Ok(1), Ok(2), Ok(3), Ok(1)]);
        assert_eq!(told(5), Err(Gone::Before(at(10))));
        fs::remove_file(store.manifest_path(2)).unwrap();
        assert_eq!([15, 35, 45].map(told), [Err(Gone::Dropped(2)), Ok(3), Ok(1)]);
    }

    #[test]
    fn age_number_and_disk_bound_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        for number in 1..=9 {
            publish(&store, number, number, 100 * number as i64, number.checked_sub(1).filter(|n| *n > 0));
        }
        let config =
            |keep, seconds, disk| Config { keep, keep_for: Duration::from_secs(seconds), disk, memory: 0 };
        // Six ended at 700, seven at 800; 150 seconds back from 900 is 750.
        store.forget(&config(2, 150, u64::MAX), 9, at(900));
        assert_eq!(store.generations(), [9, 8, 7]);
        // One that came back into force is as young as that.
        publish(&store, 7, 10, 1000, Some(9));
        store.forget(&config(2, 0, u64::MAX), 7, at(1000));
        assert_eq!(store.generations(), [9, 7]);
        assert_eq!(folder.path().join("blobs").read_dir().unwrap().count(), 2);
        // The disk's bound leaves what one could go back to.
        publish(&store, 10, 11, 1100, Some(7));
        store.forget(&config(20, 1000, 0), 10, at(1100));
        assert_eq!(store.generations(), [10, 7]);
    }
}
