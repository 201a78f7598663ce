//! CONTROL PLANE: trigger, pipeline, guard, store (generations, last-known-good), outcome. Owns the way from operators'
//! inputs to the policy in force. Never imports `query`; a query never waits for it.

mod collect;
mod guard;
mod inputs;
mod metrics;
mod outcome;
mod pipeline;
mod store;
mod trigger;

pub use guard::{Config as GuardConfig, Limits};
pub use inputs::{CatalogOrigin, Interpret, Plan, SourceReport};
pub use metrics::METRICS;
pub use outcome::{Outcome, Preview, Stage, Status};
pub use pipeline::{Checked, Pipeline, Started};
pub use trigger::{Request, RequestKind, Trigger, watch};
