//! Owns the keys that trust starts from: those of the root that come with the program, or those in a file. Never fetches one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::serialize::txt::trust_anchor::{Entry, Parser};

/// Keys of zones, nearly always the root's alone.
#[derive(Clone)]
pub(in crate::resolve) struct Anchors {
    pub(in crate::resolve) all: Arc<TrustAnchors>,
    /// Those of other zones than the root, which nobody follows when they change.
    others: Arc<TrustAnchors>,
}

/// Why a file of trust anchors cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::resolve) enum AnchorError {
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// It holds something else.
    #[error("{0} is not a list of DNSKEY records: {1}")]
    Malformed(PathBuf, String),
    /// It holds no key of the root.
    #[error("{0} holds no DNSKEY record of the root")]
    Empty(PathBuf),
}

/// Cap for the file: a key takes half a KiB.
const LONGEST: u64 = 1 << 20;

impl Anchors {
    /// The keys in the file at `path`; without one, those of the root that came with the program, with the key tags 20326 and 38696
    /// (published as RFC 9718 tells).
    pub(in crate::resolve) fn read(path: Option<&Path>) -> Result<Self, AnchorError> {
        let Some(path) = path else {
            return Ok(Self::of_root(TrustAnchors::default(), &TrustAnchors::empty()));
        };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
            .map_err(|error| AnchorError::Unreadable(path.to_owned(), error))?;
        let anchors = TrustAnchors::from_str(&text)
            .map_err(|error| AnchorError::Malformed(path.to_owned(), error.to_string()))?;
        if anchors.is_empty() {
            return Err(AnchorError::Empty(path.to_owned()));
        }
        let mut others = TrustAnchors::empty();
        let entries = Parser::new(text.as_str()).parse().unwrap_or_default();
        for entry in &entries {
            if let Entry::DNSKEY(record) = entry
                && !record.name().is_root()
            {
                others.insert_with_name(record.data().public_key(), record.name().into());
            }
        }
        Ok(Self { all: Arc::new(anchors), others: Arc::new(others) })
    }

    /// The keys of the root in `root`, with those of other zones in `others`.
    fn of_root(root: TrustAnchors, others: &TrustAnchors) -> Self {
        Self { all: Arc::new(root), others: Arc::new(others.clone()) }
    }

    /// The same with other keys of the root, which `add` puts in.
    pub(super) fn with_root(&self, add: impl FnOnce(&mut TrustAnchors)) -> Self {
        let mut all = TrustAnchors::clone(&self.others);
        add(&mut all);
        Self::of_root(all, &self.others)
    }
}

impl AnchorError {
    /// What to do about it.
    pub(in crate::resolve) fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable(..) => "check the path; the service's user must be able to read it",
            Self::Malformed(..) | Self::Empty(_) => {
                "write lines such as `. 172800 IN DNSKEY 257 3 8 AwEAA…`, as `dig . DNSKEY +multiline` shows the root's"
            }
        }
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchors").field("of_root", &self.all.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_anchors_is_read_or_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let wrong = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Anchors::read(Some(&path)).unwrap_err().to_string()
        };
        assert!(
            Anchors::read(Some(&folder.path().join("none")))
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
        assert!(wrong("").contains("holds no DNSKEY record"));
        assert!(wrong("<html>\n").contains("is not a list of DNSKEY records"));
        let key = "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU=";
        std::fs::write(&path, format!("; the root\n. 172800 IN DNSKEY 257 3 8 {key}\n")).unwrap();
        assert_eq!(Anchors::read(Some(&path)).unwrap().all.len(), 1);
        assert_eq!(Anchors::read(None).unwrap().all.len(), 2);
    }
}
