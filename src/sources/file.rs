//! Owns files as inputs: one read, a size cap, a digest. The only door to operators' files.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::Utf8Error;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::formats::Text;
use crate::problem::{Place, Problem};

/// SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Bytes as read, and what they are.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Path or name, for complaints.
    pub name: String,
    /// The bytes; cheap to share, and never copied on the way here: a list may be most of what the process holds.
    pub content: Text,
    /// Their digest, however the text is cut.
    pub digest: Digest,
}

/// Why an input could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Over its size cap, in bytes.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
}

/// Cap for a list: 256 MiB hold ten million names.
pub const LIST_FILE: u64 = 256 << 20;
/// Cap for a file of the catalog: the largest shipped one is below 100 KiB.
pub const CATALOG_FILE: u64 = 1 << 20;
/// Cap for the configuration: the largest one thinkable is far below it.
pub const CONFIG_FILE: u64 = 4 << 20;

impl Raw {
    /// Bytes that are already in memory.
    pub fn new(name: impl Into<String>, bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        Self::of(name, Text::whole(bytes))
    }

    /// A text that is already in memory.
    pub fn of(name: impl Into<String>, content: Text) -> Self {
        Self { name: name.into(), digest: Digest(content.sha256()), content }
    }

    /// All bytes, for those who need them in a row; copied when they are in several pieces.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        self.content.bytes()
    }

    /// The bytes as text; the complaint names the first byte that is none.
    pub fn text(&self) -> Result<Cow<'_, str>, Problem> {
        let complain = |error: Utf8Error, bytes: &[u8]| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or(&[]);
            let line = before.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
            Problem::error(Place::line(&self.name, line), "the file is not UTF-8 text", "save it as UTF-8")
        };
        match self.bytes() {
            Cow::Borrowed(bytes) => {
                std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| complain(error, bytes))
            }
            Cow::Owned(bytes) => String::from_utf8(bytes)
                .map(Cow::Owned)
                .map_err(|error| complain(error.utf8_error(), error.as_bytes())),
        }
    }
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of what was hashed piece by piece.
    pub(super) fn finish(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }
}

impl From<[u8; 32]> for Digest {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FetchError {
    /// The same of `path`, where it is a file that this process itself keeps.
    pub fn of_kept(self, path: &Path) -> io::Error {
        match self {
            Self::Io(cause) => io::Error::new(cause.kind(), format!("{}: {cause}", path.display())),
            Self::TooLarge(_) => {
                io::Error::new(io::ErrorKind::InvalidData, format!("{}: {self}", path.display()))
            }
        }
    }

    /// The complaint about `path`.
    pub fn problem(&self, path: &Path) -> Problem {
        let hint = match self {
            Self::Io(error) => match error.kind() {
                io::ErrorKind::NotFound => "check the path; it is relative to the working directory",
                io::ErrorKind::PermissionDenied => "the service's user must be able to read it",
                io::ErrorKind::IsADirectory => "name a file",
                _ => "",
            },
            Self::TooLarge(_) => "is it the right file? split it if it is",
        };
        Problem::error(Place::file(path.display().to_string()), format!("cannot be read: {self}"), hint)
    }
}

/// Reads a file of at most `cap` bytes.
pub fn read_file(path: &Path, cap: u64) -> Result<Raw, FetchError> {
    let file = File::open(path)?;
    // Room at once, as far as the size is known: a long list is not copied while it grows.
    let room = file.metadata()?.len().min(cap) as usize + 1;
    let mut bytes = Vec::with_capacity(room);
    file.take(cap + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap {
        return Err(FetchError::TooLarge(cap));
    }
    Ok(Raw::new(path.display().to_string(), bytes))
}

/// Reads the TOML files of a catalog directory: paths below it, sorted.
pub fn read_catalog(directory: &Path) -> Result<Vec<Raw>, Problem> {
    let mut files = Vec::new();
    for folder in ["", "apps", "instruments"] {
        let folder = directory.join(folder);
        let entries = match folder.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder != directory => continue,
            Err(error) => return Err(FetchError::Io(error).problem(&folder)),
        };
        for entry in entries {
            let path = entry.map_err(|error| FetchError::Io(error).problem(&folder))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let mut raw = read_file(&path, CATALOG_FILE).map_err(|error| error.problem(&path))?;
                raw.name = path.strip_prefix(directory).unwrap_or(&path).display().to_string();
                files.push(raw);
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("x");
        let problem = read_file(&missing, 10).unwrap_err().problem(&missing);
        assert!(problem.what.starts_with("cannot be read: No such file"), "{problem}");
        std::fs::write(&missing, "12345678901").unwrap();
        assert!(matches!(read_file(&missing, 10), Err(FetchError::TooLarge(10))));
        assert_eq!(read_file(&missing, 11).unwrap().content.len(), 11);
        assert!(read_file(folder.path(), 10).is_err());
    }
}
