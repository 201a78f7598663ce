//! Owns the policy in force as operators look at it: instruments in the order of their dates, apps, groups and what each enforces. Never decides.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Router, routing::get};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::answer::{Parameters, unavailable, wrong};
use super::api::{Parts, compute};
use crate::policy::{Snapshot, Standing, Tier};

pub(super) fn routes() -> Router<Parts> {
    Router::new().route("/api/v1/policy", get(policy))
}

/// The policy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    /// The generation in force.
    pub(super) generation: u64,
    /// Digest of what it decides.
    pub(super) digest: String,
    /// Zone in which a day of an exception begins.
    pub(super) time_zone: String,
    /// Legal acts, those in force last first.
    pub(super) instruments: Vec<Act>,
    /// Apps in the order of their ids.
    pub(super) apps: Vec<App>,
    /// Groups.
    pub(super) groups: Vec<Group>,
}

/// A legal act.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Act {
    pub(super) id: String,
    pub(super) title: String,
    /// `ban` or `advice`.
    pub(super) kind: &'static str,
    pub(super) authority: String,
    pub(super) jurisdiction: String,
    pub(super) citation: String,
    pub(super) apps: Vec<String>,
    /// `coming`, `in-force` or `ended`.
    pub(super) standing: &'static str,
    /// The first day it is in force, where it was issued.
    pub(super) from: Date,
    /// The first moment.
    pub(super) from_moment: Timestamp,
    /// Whether that day was checked against a published source.
    pub(super) from_verified: bool,
    /// The first day it is no longer in force.
    pub(super) until: Option<Date>,
    /// Groups that enforce it.
    pub(super) enforced_for: Vec<String>,
}

/// An app.
#[derive(Clone, Debug, Serialize)]
pub(super) struct App {
    pub(super) id: String,
    pub(super) title: String,
    /// Names that a ban alone enforces.
    pub(super) core_names: usize,
    /// Names enforced only where a group asks for them.
    pub(super) shared_names: usize,
    /// Networks, for firewalls.
    pub(super) networks: usize,
}

/// A group.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Group {
    pub(super) name: String,
    /// Prefixes; none for the group of all others.
    pub(super) clients: Vec<String>,
    /// Who belongs to it wherever it is.
    pub(super) identities: Vec<String>,
    /// What it enforces, in order.
    pub(super) enforces: Vec<Duty>,
}

/// One entry of what a group enforces.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Duty {
    /// An instrument, an app or a source.
    pub(super) id: String,
    /// `enforce`, `shadow` or `off`.
    pub(super) mode: String,
}

impl Shown {
    /// What `snapshot` holds, as it stands at `now`.
    pub(super) fn of(snapshot: &Snapshot, now: Timestamp) -> Self {
        let (catalog, config, duties) = (snapshot.catalog(), snapshot.config(), snapshot.duties());
        let act = |act: &crate::policy::Instrument| {
            let standing =
                Standing::at(now, Some(act.in_force_from.moment), act.until.map(|until| until.moment));
            let enforced = duties.iter().filter(|(_, duties)| duties.iter().any(|(id, _)| *id == act.id));
            Act {
                id: act.id.clone(),
                title: act.title.clone(),
                kind: act.kind.as_str(),
                authority: act.authority.clone(),
                jurisdiction: act.jurisdiction.clone(),
                citation: act.citation.clone(),
                apps: act.apps.clone(),
                standing: match standing {
                    Standing::NotYet(_) => "coming",
                    Standing::InForce => "in-force",
                    Standing::Ended(_) => "ended",
                },
                from: act.in_force_from.day,
                from_moment: act.in_force_from.moment,
                from_verified: act.in_force_from.verified,
                until: act.until.map(|until| until.day),
                enforced_for: enforced.map(|(group, _)| group.clone()).collect(),
            }
        };
        let mut instruments: Vec<Act> = catalog.instruments.iter().map(act).collect();
        instruments.sort_by(|one, other| {
            other.from_moment.cmp(&one.from_moment).then_with(|| one.id.cmp(&other.id))
        });
        let app = |app: &crate::policy::App| {
            let core = app.names.iter().filter(|name| name.tier == Tier::Core).count();
            App {
                id: app.id.clone(),
                title: app.title.clone(),
                core_names: core,
                shared_names: app.names.len() - core,
                networks: app.networks.len(),
            }
        };
        let group = |(name, duties): &(String, Vec<(String, crate::policy::Mode)>)| {
            let written = config.groups.iter().find(|group| group.name == *name);
            let duty =
                |(id, mode): &(String, crate::policy::Mode)| Duty { id: id.clone(), mode: mode.to_string() };
            Group {
                name: name.clone(),
                clients: written.iter().flat_map(|group| &group.clients).map(ToString::to_string).collect(),
                identities: written
                    .iter()
                    .flat_map(|group| &group.identities)
                    .map(ToString::to_string)
                    .collect(),
                enforces: duties.iter().map(duty).collect(),
            }
        };
        Self {
            generation: snapshot.generation(),
            digest: snapshot.digest(),
            time_zone: config.time_zone.iana_name().unwrap_or("UTC").to_owned(),
            instruments,
            apps: catalog.apps.iter().map(app).collect(),
            groups: duties.iter().map(group).collect(),
        }
    }
}

async fn policy(State(parts): State<Parts>, parameters: Parameters) -> Response {
    if let Err(problem) = parameters.only(&[]) {
        return wrong(&problem);
    }
    let Some(snapshot) = parts.pipeline.in_force() else { return unavailable("no policy is in force") };
    let now = parts.clock.wall();
    let snapshot: Arc<Snapshot> = snapshot;
    compute(None, move || Ok(Shown::of(&snapshot, now))).await
}
