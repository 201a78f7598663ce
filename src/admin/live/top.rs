//! Owns who was most asked for, and who asked most, in the last day: read from the bounded summary that is kept of it, with as much of clients as that keeps. Every number is
//! what is known at least. Never keeps anything.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::dns::{CanonicalName, Name};
use crate::policy::{Snapshot, Verdict};
use crate::telemetry::{Crowd, Day};

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TopName {
    /// What was asked.
    pub(crate) name: String,
    /// How often in the last day, at least.
    pub(crate) questions: u64,
    /// By how many clients, about; 0 where nothing is kept of them.
    pub(crate) clients: u64,
    /// The group that asked most.
    pub(crate) group: String,
    /// What the policy in force says of it to that group.
    pub(crate) verdict: &'static str,
    /// The app that it belongs to; empty for none.
    pub(crate) app: String,
}

/// One client, as the summary keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TopClient {
    /// Its address, or its network.
    pub(crate) client: IpAddr,
    /// How often it asked in the last day, at least.
    pub(crate) questions: u64,
}

/// What a rule without an app is said to belong to.
const NO_APP: &str = "none";

struct Asked<'d> {
    questions: u64,
    crowd: Crowd,
    /// The group that asked most, and how often.
    group: (&'d str, u64),
}

/// The names most asked, the first first; of those the policy says `verdict` to, where one is wanted.
pub(crate) fn names(day: &Day, snapshot: &Snapshot, verdict: &str) -> Vec<TopName> {
    let mut found: HashMap<&Name, Asked<'_>> = HashMap::new();
    for party in &day.parties {
        let none = || Asked { questions: 0, crowd: Crowd::default(), group: ("", 0) };
        let asked = found.entry(&party.name).or_insert_with(none);
        asked.questions += party.questions;
        asked.crowd.join(&party.crowd);
        if party.questions > asked.group.1 {
            asked.group = (&party.group, party.questions);
        }
    }
    let mut rows: Vec<TopName> = found
        .into_iter()
        .map(|(name, asked)| {
            let (verdict, app) = said(snapshot, asked.group.0, name);
            let (questions, clients) = (asked.questions, asked.crowd.size());
            TopName {
                name: name.to_string(),
                questions,
                clients,
                group: asked.group.0.to_owned(),
                verdict,
                app,
            }
        })
        .filter(|row| row.questions > 0 && (verdict.is_empty() || row.verdict == verdict))
        .collect();
    rows.sort_unstable_by(|a, b| b.questions.cmp(&a.questions).then_with(|| a.name.cmp(&b.name)));
    rows
}

/// The clients that asked most, the first first.
pub(crate) fn clients(day: &Day) -> Vec<TopClient> {
    let known = day.askers.iter().filter(|(_, questions)| *questions > 0);
    let mut rows: Vec<TopClient> =
        known.map(|(client, questions)| TopClient { client: *client, questions: *questions }).collect();
    rows.sort_unstable_by(|a, b| b.questions.cmp(&a.questions).then_with(|| a.client.cmp(&b.client)));
    rows
}

/// What the policy says of a name, and whose it is.
fn said(snapshot: &Snapshot, group: &str, name: &Name) -> (&'static str, String) {
    let group = snapshot.group_named(group).or_else(|| snapshot.group_named("default")).unwrap_or_default();
    let (word, cause) = match snapshot.decide_query(group, &CanonicalName::from(name)) {
        Verdict::Allow => return ("allowed", String::new()),
        Verdict::Canary { .. } => return ("blocked", String::new()),
        Verdict::Deny(cause) => ("blocked", cause),
        Verdict::Permit(cause) => ("permitted", cause),
        Verdict::Shadow(cause) => ("shadow", cause),
    };
    let app = snapshot.describe(&cause).app;
    (word, if app == NO_APP { String::new() } else { app })
}
