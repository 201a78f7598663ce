//! Owns what can be wrong with a bundle, in words for people. Never decides what follows from it.

use super::super::matcher::Damage;
use super::frame::VERSION;
use crate::problem::{Place, Problem};

/// Why bytes are no bundle, or none that this program can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    /// The catalog in it has an error.
    #[error("its catalog has an error: {0}")]
    Catalog(String),
    /// Fewer bytes than it says.
    #[error("the bundle is cut off")]
    Cut,
    /// Not the bytes it was made with.
    #[error("the bundle is damaged: its SHA-256 is not that of its bytes")]
    Digest,
    /// Not written as bundles are.
    #[error("the bundle is malformed: {0} is not what it must be")]
    Layout(&'static str),
    /// Something else.
    #[error("the file is not a bundle")]
    NoBundle,
    /// A table that cannot be searched.
    #[error("the bundle is malformed: {0}")]
    Table(Damage),
    /// Of another version.
    #[error("the bundle is in form {0}, and this version of interdict reads form {VERSION}")]
    Version(u32),
    /// Words that are not those of a bundle.
    #[error("the bundle is malformed: {0}")]
    Words(String),
}

impl Flaw {
    /// The complaint about `file`.
    pub(super) fn problem(&self, file: &str) -> Problem {
        let hint = match self {
            Self::Cut | Self::Digest => "copy it again; write it aside and rename it into place",
            Self::NoBundle => "name a file that `interdict compile` wrote",
            Self::Catalog(_) | Self::Layout(_) | Self::Table(_) | Self::Version(_) | Self::Words(_) => {
                "make it anew with this version: interdict compile"
            }
        };
        Problem::error(Place::file(file), self.to_string(), hint)
    }
}
