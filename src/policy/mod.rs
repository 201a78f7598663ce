//! Law → decision; pure. Owns rules, instruments, the catalog, groups and exceptions, their compilation into a
//! snapshot, and the verdict. Never reads a clock, a file or a socket: dates and bytes are passed in.

mod address;
mod address_verdict;
mod bundle;
mod catalog;
mod client;
mod compile;
mod diff;
mod digest;
mod enforce;
mod explain;
mod gathering;
mod group;
mod impact;
mod instrument;
mod labels;
mod law;
mod live;
mod matcher;
mod rule;
mod rulebook;
mod ruling;
mod snapshot;
mod verdict;

pub use address::{AddressRule, Whose};
pub use bundle::{Bundle, Provenance, seal_bundle};
pub use catalog::{App, Catalog, Certainty, ENCRYPTED_DNS, ListedName, Tier};
pub use client::{Client, Prefix};
pub use compile::{Compiled, compile};
pub use diff::{Change, Difference};
pub use explain::{Considered, Description, Explanation, Inquiry};
pub use group::{Config, Draft, Enforce, Exception, Group, Mode, Otherwise, SourceRules};
pub use impact::{Asked, Impact, Part, Replay, Turn, Turned};
pub use instrument::{Covers, Instrument, Kind, LegalDate, Standing, When};
pub use labels::{LabelSet, Labels};
pub use law::{Amendment, Law};
pub use live::{Live, Reader};
pub use matcher::Image;
pub use rule::{Action, ActionKind, LocalRecord, Override, Reach, Rule};
pub use rulebook::Rulebook;
pub use ruling::Ruling;
pub use snapshot::Snapshot;
pub use verdict::{Cause, Trigger, Verdict};
