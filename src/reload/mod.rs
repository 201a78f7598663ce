//! CONTROL PLANE: trigger, pipeline (start, enact), guard, approvals, holds, store (generations, last-known-good), audit,
//! outcome. Owns the way from operators' inputs to the policy in force, and the record of it. Never imports `query`; a query
//! never waits for it.

mod approval;
mod audit;
mod bundle;
mod collect;
mod consent;
mod enact;
mod fold;
mod guard;
mod history;
mod hold;
mod inputs;
mod inspect;
mod lists;
mod manifest;
mod metrics;
mod outcome;
mod pipeline;
mod reading;
mod ready;
mod recall;
mod recorder;
mod replay;
mod start;
mod store;
mod trigger;

pub use approval::{Approval, Approver, Config as ApprovalConfig, Waiting, text as approval_text};
pub use audit::{
    Anchor, Entry, Event, Fault, Head, Verified, newest as newest_entries, verify as verify_audit,
};
pub use bundle::Bundled;
pub use guard::{Config as GuardConfig, Limits};
pub use history::{Generation, Then};
pub use inputs::{CatalogOrigin, Interpret, Plan, SourceReport};
pub use inspect::Checked;
pub use manifest::{Input, Role};
pub use metrics::METRICS;
pub use outcome::{
    BundleStatus, By, ExceptionStatus, HeldBack, Hold, HoldKind, Outcome, Preview, Stage, Status, Step,
};
pub use pipeline::{Beside, OnStep, Parts, Pipeline};
pub use recall::Recalled;
pub use recorder::FILE as AUDIT_FILE;
pub use replay::{LoggedRehearsal, Replayed, rehearsed, replay};
pub use start::Started;
pub use store::{Config as HistoryConfig, kept_anchors};
pub use trigger::{Request, RequestKind, Trigger, watch};
