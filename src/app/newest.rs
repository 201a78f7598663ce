//! Owns who is shown the log's records beside its sinks: the reports, and the live tail of the operators' pages. Never looks into a record.

use std::sync::Arc;

use crate::admin::{Tail, TailWiring};
use crate::config::Boot;
use crate::telemetry::{Describe, Record, Tap};

/// Newest records kept where nothing is said of them.
const USUAL: usize = 1000;

/// Begins the live tail where it is asked for, or where records are made anyway. Returns it, and what the log is to show its records.
pub(super) fn newest(
    boot: &Boot,
    describe: Arc<dyn Describe>,
    tap: Option<Tap>,
) -> (Option<Arc<Tail>>, Option<Tap>) {
    let are_made = !boot.querylog.sinks.is_empty() || tap.is_some();
    let most = boot.admin.tail.unwrap_or(if are_made { USUAL } else { 0 });
    if most == 0 {
        return (None, tap);
    }
    // What the log may show, or else what is counted: nothing else was decided on.
    let clients = boot.querylog.clients().unwrap_or(boot.report.clients);
    let (tail, mut take) = Tail::begin(TailWiring { most, clients, describe });
    let Some(mut counted) = tap else { return (Some(tail), Some(Box::new(take))) };
    let both = move |record: &Record<'_>| {
        counted(record);
        take(record);
    };
    (Some(tail), Some(Box::new(both)))
}
