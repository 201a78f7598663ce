//! Owns the way of a bundle into the process: the operator's file, its signature, and the private copy of it that is mapped.
//! Never reads what a bundle says.
//!
//! The operator's file is never mapped: `cp` and `rsync --inplace` cut a file short and write it anew, and a map over it would
//! kill the resolver. It is copied once, under the name of its digest, into a directory of this user's own. Copies are
//! read-only, made whole by a rename and dropped by unlinking, so that nothing under a map ever changes; processes that use
//! the same directory map the same file and share its memory, as do the generations of one process. Where no copy can be made
//! the bytes are read into memory instead: dearer, and as good.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::condition::SignedBy;
use super::config::SIGNATURE_SUFFIX;
use super::fetch::date;
use super::file::{Digest, FetchError, Raw, read_file};
use super::map::map;
use super::signature::{Key, SIGNATURE_FILE, Seal};
use super::written::write_whole;
use crate::policy::Image;
use crate::problem::{Place, Problem};

/// Where the rules of a policy come from when a bundle has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleConfig {
    /// The operator's file; its signature stands beside it, with [`SIGNATURE_SUFFIX`].
    pub path: PathBuf,
    /// Whose signature it needs; without one, any bundle is taken.
    pub key: Option<Key>,
    /// Where private copies lie. Default below the state directory; servers of one host that name the same one share memory.
    pub copies: Option<PathBuf>,
}

/// A bundle's bytes, and what they are.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Path, for complaints.
    pub name: String,
    /// The bytes, mapped where that could be.
    pub image: Image,
    /// Their digest.
    pub digest: Digest,
    /// Its signature, as minisign wrote it.
    pub signature: Option<Raw>,
    /// Who has verified the signature, and what it says.
    seal: Option<(Key, Seal)>,
    /// The private copy; `None` when the bytes are in this process's memory alone.
    copy: Option<PathBuf>,
}

/// Cap for a bundle: the table of a hundred million names.
pub const BUNDLE_FILE: u64 = 4 << 30;
/// Nobody writes a copy.
const MODE: u32 = 0o444;

/// Reads the configured bundle and verifies its signature. `copies` is where to keep a private copy unless the configuration
/// says otherwise, `None` for nowhere; `known` is the bundle in force. The second value says why the bytes had to be read
/// into memory.
pub fn read_bundle(
    config: &BundleConfig,
    copies: Option<&Path>,
    known: Option<&Bundle>,
) -> Result<(Bundle, Option<Problem>), Problem> {
    let path = &config.path;
    let name = path.display().to_string();
    let unreadable = |error: FetchError| error.problem(path);
    let digest = digest_of(path).map_err(unreadable)?;
    let signature = config.key.as_ref().map(|_| signature(path)).transpose()?;
    let mut unshared = None;
    let shared = config.copies.as_deref().filter(|_| copies.is_some());
    let directory = shared.or(copies);
    let mut bundle = match (known.filter(|known| known.digest == digest), directory) {
        (Some(known), _) => Bundle { name, signature, seal: None, ..known.clone() },
        (None, None) => in_memory(path, digest, signature)?,
        (None, Some(directory)) => match copied(path, digest, directory, shared.is_some()) {
            Ok((image, copy)) => {
                if shared.is_some() {
                    tidy(directory, &copy);
                }
                Bundle { name, image, digest, signature, seal: None, copy: Some(copy) }
            }
            Err(error) => {
                let what =
                    format!("no private copy of the bundle can be made in {}: {error}", directory.display());
                let hint = "it is in force from memory, which other processes do not share";
                unshared = Some(Problem::warning(Place::file(&name), what, hint));
                in_memory(path, digest, signature)?
            }
        },
    };
    if let Some(key) = &config.key {
        bundle.verify(key, known)?;
    }
    Ok((bundle, unshared))
}

impl Bundle {
    /// Maps a copy that was kept. Fails unless its bytes are those that the digest names.
    pub fn kept(copy: &Path, digest: &str, name: String) -> io::Result<Self> {
        let image = map(&File::open(copy)?)?;
        let found = Digest::of(&image);
        if found.to_string() != digest {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the stored bytes of {name} are damaged"),
            ));
        }
        Ok(Self { name, image, digest: found, signature: None, seal: None, copy: Some(copy.to_owned()) })
    }

    /// Keeps the bytes as the file `blob`: the same file as the private copy where one file system has both.
    pub fn keep(&self, blob: &Path) -> io::Result<()> {
        if blob.exists() {
            return Ok(());
        }
        let linked = self.copy.as_ref().is_some_and(|copy| fs::hard_link(copy, blob).is_ok());
        if !linked {
            return write_whole(blob, &self.image, MODE);
        }
        blob.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    /// Whether its bytes lie in a file that is mapped, rather than on this process's heap.
    pub fn is_mapped(&self) -> bool {
        self.copy.is_some()
    }

    /// Who signed it, where that was verified.
    pub fn signed(&self) -> Option<SignedBy> {
        let (key, seal) = self.seal.as_ref()?;
        let at = seal.signed_at.map(date);
        Some(SignedBy { key: key.to_string(), comment: seal.comment.clone(), at })
    }

    /// Verifies the signature, and that it is not older than that of the bundle in force: an old one sent again, by mistake or
    /// to lift a ban.
    fn verify(&mut self, key: &Key, known: Option<&Self>) -> Result<(), Problem> {
        let text =
            |bundle: &Self| bundle.signature.as_ref().map(|raw| raw.bytes().into_owned()).unwrap_or_default();
        let seen = |bundle: &Self| match &bundle.seal {
            Some((by, seal)) if by == key => Some(seal.clone()),
            _ => key.verify(&bundle.image, &text(bundle)).ok(),
        };
        let same = known.is_some_and(|known| known.digest == self.digest && text(known) == text(self));
        let seal = match known.filter(|_| same).and_then(seen) {
            Some(seal) => seal,
            None => key.verify(&self.image, &text(self)).map_err(|refusal| {
                let what = format!("the bundle's signature ({}): {}", refusal.reason.as_str(), refusal.what);
                let hint = "sign it with: minisign -Sm FILE; and name the key that does in `bundle_key`";
                Problem::error(Place::file(&self.name), what, hint)
            })?,
        };
        let before = known.filter(|known| !same && known.signature.is_some()).and_then(seen);
        if let (Some(before), Some(now)) = (before.and_then(|seal| seal.signed_at), seal.signed_at)
            && now < before
        {
            let what = format!(
                "the bundle (replayed): it was signed at {}, before the one in use, signed at {}",
                date(now),
                date(before)
            );
            let hint = "to go back: interdict rollback; or sign the old bundle anew";
            return Err(Problem::error(Place::file(&self.name), what, hint));
        }
        self.seal = Some((key.clone(), seal));
        Ok(())
    }
}

fn signature(path: &Path) -> Result<Raw, Problem> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(SIGNATURE_SUFFIX);
    let beside = PathBuf::from(beside);
    read_file(&beside, SIGNATURE_FILE).map_err(|error| {
        let what = format!(
            "the bundle's signature (signature_missing): {} cannot be read: {error}",
            beside.display()
        );
        Problem::error(
            Place::file(path.display().to_string()),
            what,
            "sign the bundle with: minisign -Sm FILE",
        )
    })
}

/// Reads a file through, a piece at a time: it may be larger than memory has room for twice.
fn digest_of(path: &Path) -> Result<Digest, FetchError> {
    let (digest, length) = through(&mut File::open(path)?.take(BUNDLE_FILE + 1), |_| Ok(()))?;
    if length > BUNDLE_FILE { Err(FetchError::TooLarge(BUNDLE_FILE)) } else { Ok(digest) }
}

fn through(
    from: &mut impl Read,
    mut piece: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(Digest, u64)> {
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut length = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok((Digest::finish(hash), length)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        hash.update(bytes);
        piece(bytes)?;
        length += read as u64;
    }
}

fn in_memory(path: &Path, digest: Digest, signature: Option<Raw>) -> Result<Bundle, Problem> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BUNDLE_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| FetchError::Io(error).problem(path))?;
    if Digest::of(&bytes) != digest {
        return Err(changed(&name));
    }
    bytes.shrink_to_fit();
    Ok(Bundle { name, image: bytes.into(), digest, signature, seal: None, copy: None })
}

fn changed(name: &str) -> Problem {
    let hint = "write it aside and rename it into place";
    Problem::error(Place::file(name), "the bundle changed while it was read", hint)
}

/// The private copy of a file of that digest, made now unless there is one.
fn copied(path: &Path, digest: Digest, directory: &Path, shared: bool) -> io::Result<(Image, PathBuf)> {
    fs::create_dir_all(directory)?;
    let owned = fs::metadata(directory)?;
    let safe = owned.uid() == nix::unistd::Uid::effective().as_raw() && owned.mode() & 0o022 == 0;
    if shared && !safe {
        return Err(io::Error::other("it must be this user's own directory, where nobody else may write"));
    }
    let copy = directory.join(digest.to_string());
    if let Ok(image) = File::open(&copy).and_then(|file| map(&file)) {
        if Digest::of(&image) == digest {
            return Ok((image, copy));
        }
        // Whatever it is, it is not what its name says.
        fs::remove_file(&copy)?;
    }
    let aside = directory.join(format!("{digest}.{}", std::process::id()));
    let written = write_copy(path, &aside, digest).and_then(|()| fs::rename(&aside, &copy));
    if written.is_err() {
        let _gone = fs::remove_file(&aside).is_ok();
    }
    written?;
    let image = map(&File::open(&copy)?)?;
    if Digest::of(&image) == digest {
        Ok((image, copy))
    } else {
        Err(io::Error::other("the copy is damaged"))
    }
}

fn write_copy(path: &Path, aside: &Path, digest: Digest) -> io::Result<()> {
    let _left_by_another = fs::remove_file(aside).is_ok();
    let mut file = OpenOptions::new().create_new(true).write(true).mode(MODE).open(aside)?;
    let mut from = File::open(path)?.take(BUNDLE_FILE + 1);
    let (written, _) = through(&mut from, |bytes| file.write_all(bytes))?;
    if written != digest {
        return Err(io::Error::other("the bundle changed while it was copied"));
    }
    file.sync_all()
}

/// Drops the copies in a shared directory that no state directory holds: those of bundles that were replaced, and what a
/// cut-off run left. Another server that has just made one keeps its map and makes its own file. Trouble here harms nothing.
fn tidy(directory: &Path, copy: &Path) {
    let Ok(entries) = directory.read_dir() else { return };
    let is_digest =
        |name: &str| name.len() >= 64 && name.bytes().take(64).all(|byte| byte.is_ascii_hexdigit());
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path != copy) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let held = fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file() || found.nlink() > 1);
        if is_digest(name) && !held {
            let _gone = fs::remove_file(&path).is_ok();
        }
    }
}
