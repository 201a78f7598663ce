//! Owns generations on disk: the bytes each was made of, by digest, and a manifest; and which one was last good. Every
//! file is written aside and renamed, so that a crash between any two steps leaves the generation before usable.
//!
//! Layout below the state directory: `blobs/<sha256>`, `generations/<number>.json`, `good` (the number of the last good).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::inputs::Inputs;
use crate::sources::{LIST_FILE, Raw, read_file, write_whole};

/// Generations on disk.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

/// What a generation was made of. Version 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    pub(super) generation: u64,
    pub(super) digest: String,
    pub(super) compiled_on: String,
    pub(super) rollback_of: Option<u64>,
    inputs: Vec<Input>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Input {
    role: Role,
    /// Source's name, catalog file's path, or empty.
    key: String,
    /// Name in complaints.
    name: String,
    digest: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Catalog,
    Config,
    Source,
}

const VERSION: u32 = 1;
/// Permission bits of kept files: lists and configurations hold no secrets; the umask may still narrow them.
const MODE: u32 = 0o666;
/// Generations kept: enough to go back over a bad day, few enough for a small disk.
const KEPT: usize = 10;
const MANIFEST_FILE: u64 = 16 << 20;

impl Store {
    /// A store in that directory, which need not exist yet.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Keeps the inputs of a generation and marks it good, in this order. Makes the directory if need be, each time, so that
    /// one that could not be used is used again once it can.
    pub(super) fn keep(
        &self,
        generation: u64,
        digest: &str,
        on: &str,
        rollback_of: Option<u64>,
        inputs: &Inputs,
    ) -> io::Result<()> {
        fs::create_dir_all(self.directory.join("blobs"))?;
        fs::create_dir_all(self.directory.join("generations"))?;
        let mut manifest = Manifest {
            version: VERSION,
            generation,
            digest: digest.to_owned(),
            compiled_on: on.to_owned(),
            rollback_of,
            inputs: Vec::new(),
        };
        let catalog = inputs.catalog.iter().flatten().map(|raw| (Role::Catalog, raw.name.as_str(), raw));
        let config = inputs.config.iter().map(|raw| (Role::Config, "", raw));
        let sources = inputs.sources.iter().map(|(name, raw)| (Role::Source, name.as_str(), raw));
        for (role, key, raw) in config.chain(catalog).chain(sources) {
            let blob = self.blob(&raw.digest.to_string());
            if !blob.exists() {
                write_whole(&blob, &raw.bytes, MODE)?;
            }
            manifest.inputs.push(Input {
                role,
                key: key.to_owned(),
                name: raw.name.clone(),
                digest: raw.digest.to_string(),
            });
        }
        let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other)?;
        write_whole(&self.manifest(generation), &text, MODE)?;
        write_whole(&self.directory.join("good"), generation.to_string().as_bytes(), MODE)?;
        self.forget_old();
        Ok(())
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

    /// The generation that was last marked good.
    pub(super) fn good(&self) -> Option<u64> {
        let raw = read_file(&self.directory.join("good"), 64).ok()?;
        raw.text().ok()?.trim().parse().ok()
    }

    /// The inputs of a generation. Fails when anything is missing, unreadable, or not what its digest says.
    pub(super) fn load(&self, generation: u64) -> io::Result<(Manifest, Inputs)> {
        let damaged = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let read = |path: &Path, cap| {
            read_file(path, cap).map_err(|error| damaged(format!("{}: {error}", path.display())))
        };
        let raw = read(&self.manifest(generation), MANIFEST_FILE)?;
        let manifest: Manifest = serde_json::from_slice(&raw.bytes)?;
        if manifest.version != VERSION {
            return Err(damaged(format!(
                "generation {generation} is in the unknown format {}",
                manifest.version
            )));
        }
        let mut inputs = Inputs::default();
        for input in &manifest.inputs {
            let blob = read(&self.blob(&input.digest), LIST_FILE)?;
            if blob.digest.to_string() != input.digest {
                return Err(damaged(format!("the stored bytes of {} are damaged", input.name)));
            }
            let raw = Raw { name: input.name.clone(), ..blob };
            match input.role {
                Role::Catalog => inputs.catalog.get_or_insert_default().push(raw),
                Role::Config => inputs.config = Some(raw),
                Role::Source => {
                    inputs.sources.insert(input.key.clone(), raw);
                }
            }
        }
        Ok((manifest, inputs))
    }

    /// Drops all but the newest generations, and blobs that none of them names. Trouble here harms nothing.
    fn forget_old(&self) {
        let generations = self.generations();
        let (kept, old) = generations.split_at(generations.len().min(KEPT));
        for generation in old {
            let _gone = fs::remove_file(self.manifest(*generation)).is_ok();
        }
        let mut named = BTreeSet::new();
        for generation in kept {
            let manifest = read_file(&self.manifest(*generation), MANIFEST_FILE)
                .ok()
                .and_then(|raw| serde_json::from_slice::<Manifest>(&raw.bytes).ok());
            // One that cannot be read may name any blob: drop none.
            let Some(manifest) = manifest else { return };
            named.extend(manifest.inputs.into_iter().map(|input| input.digest));
        }
        let Ok(blobs) = self.directory.join("blobs").read_dir() else { return };
        for blob in blobs.flatten() {
            if blob.file_name().to_str().is_none_or(|name| !named.contains(name)) {
                let _gone = fs::remove_file(blob.path()).is_ok();
            }
        }
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.directory.join("blobs").join(digest)
    }

    fn manifest(&self, generation: u64) -> PathBuf {
        self.directory.join("generations").join(format!("{generation}.json"))
    }
}
