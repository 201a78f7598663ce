//! Owns what is written of a generation beside its bytes: what it was made of, and when, by whom and why it came into force. Never reads or writes
//! a file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit::Head;
use crate::policy::Difference;

/// What a generation is. Version 2; version 1 had no dates, reasons or changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) version: u32,
    pub(super) generation: u64,
    pub(super) digest: String,
    /// Digest of the law it was made of, whatever the date.
    #[serde(default)]
    pub(super) law: String,
    /// Digest over the digests of its inputs.
    #[serde(default)]
    pub(super) fingerprint: String,
    pub(super) compiled_on: Timestamp,
    #[serde(default)]
    pub(super) next_transition: Option<Timestamp>,
    /// The generation whose inputs it was made of anew, by a rollback or a date.
    pub(super) rollback_of: Option<u64>,
    /// The times it came into force.
    #[serde(default)]
    pub(super) spells: Vec<Spell>,
    pub(super) inputs: Vec<Input>,
}

/// One time a generation came into force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spell {
    /// Counts the publications of this state directory, whatever the clock says.
    pub(super) number: u64,
    pub(super) from: Timestamp,
    pub(super) who: String,
    pub(super) what: String,
    pub(super) why: String,
    /// The generation in force before; `None` for the first.
    pub(super) replaced: Option<u64>,
    /// Who approved it.
    #[serde(default)]
    pub(super) approvals: Vec<String>,
    /// The end of the audit log just before.
    #[serde(default)]
    pub(super) audit: Head,
    /// What it changed; nothing is known of that for a start until `settle` has looked.
    #[serde(default)]
    pub(super) change: Difference,
}

/// One input of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// What it is for.
    pub role: Role,
    /// Source's name, catalog file's path, or empty.
    pub key: String,
    /// Name in complaints.
    pub name: String,
    /// SHA-256 of its bytes, or of what tells its pieces.
    pub digest: String,
    /// Size.
    #[serde(default)]
    pub bytes: u64,
    /// Whether its bytes are kept in pieces, and what tells these under its digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_pieces: bool,
}

/// What an input is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The whole catalog that was built into the binary.
    BuiltIn,
    /// A bundle: catalog and lists.
    Bundle,
    /// The signature of a bundle.
    BundleSignature,
    /// A file of a catalog directory.
    Catalog,
    /// The configuration.
    Config,
    /// An operator's list.
    Source,
}
