//! Owns the way from a record of the log to the tally: which part of the policy, whose device, which day, which sign. Runs on the log's thread and
//! never waits for the store.

use std::sync::Arc;

use super::config::Config;
use super::ledger::Shared;
use super::period::Calendar;
use super::summary::Part;
use super::tally::{AppNumber, Client, HashMap, PartNumber, Reason, Tally, Words};
use crate::policy::{Cause, Live, Sign, Snapshot};
use crate::telemetry::{Clients, Decision, Describe, Pseudonyms, Record};

/// Counts records.
pub(super) struct Taker {
    shared: Arc<Shared>,
    describe: Arc<dyn Describe>,
    live: Live,
    clients: Clients,
    devices: bool,
    pseudonyms: Pseudonyms,
    /// What is in force, as far as it matters here.
    generation: u64,
    calendar: Calendar,
    signs: HashMap<String, Vec<Sign>>,
    /// Parts by what tells them apart in one generation.
    known: HashMap<Key, Known>,
    /// When a device last began to ask for an app's signs, in milliseconds since 1970.
    woke: HashMap<(AppNumber, Client), i64>,
}

/// Generation, kind of rule, enforcement, group, and whether it was let pass: what decides the words of a cause.
type Key = (u64, u32, u16, u16, Decision);

/// A part, and its app where it has signs.
#[derive(Clone, Copy)]
struct Known {
    part: PartNumber,
    app: Option<AppNumber>,
}

/// Causes whose parts are remembered: far more than a policy has. Beyond it they are looked up again.
const CAUSES: usize = 1 << 16;
/// Devices whose last awakening is remembered, some 5 MiB.
const AWAKE: usize = 1 << 16;
/// An awakening longer ago says nothing about a rhythm.
const STALE_MS: i64 = 6 * 3_600_000;

impl Taker {
    pub(super) fn new(shared: Arc<Shared>, config: &Config, describe: Arc<dyn Describe>, live: Live) -> Self {
        let snapshot = live.load();
        let mut taker = Self {
            shared,
            describe,
            live,
            clients: config.clients,
            devices: config.devices,
            pseudonyms: Pseudonyms::default(),
            generation: 0,
            calendar: Calendar::new(snapshot.config().time_zone.clone()),
            signs: HashMap::default(),
            known: HashMap::default(),
            woke: HashMap::default(),
        };
        taker.turn_to(&snapshot);
        taker
    }

    /// Counts a record, when it met a rule, or reached for an address that its client was not answered.
    pub(super) fn take(&mut self, record: &Record<'_>) {
        let cause = match (&record.cause, record.decision) {
            (Some(cause), Decision::Blocked | Decision::Shadow | Decision::Permitted) => Some(*cause),
            (None, Decision::Blocked | Decision::Shadow) if record.transport == Record::EGRESS => None,
            _ => return,
        };
        if record.generation != self.generation {
            let snapshot = self.live.load();
            if snapshot.generation() != self.generation {
                self.turn_to(&snapshot);
            }
        }
        let shared = Arc::clone(&self.shared);
        let mut pending = shared.pending();
        let (tally, words) = &mut *pending;
        let (day, hour) = self.calendar.day_and_hour(record.time_ms);
        if shared.is_failing() && !tally.has_room() {
            return tally.lose(day, Reason::Disk, 1);
        }
        let known = self.known(record, cause.as_ref(), words);
        let client = self.client(record, day);
        tally.count(day, known.part, client, record.time_ms);
        if let (Some(app), Some(client)) = (known.app, client)
            && record.decision != Decision::Permitted
            // Whoever reaches for an address asked for no name; which one led there is not known.
            && record.transport != Record::EGRESS
        {
            self.note_sign(record, day, hour, (app, client), tally, words);
        }
    }

    fn turn_to(&mut self, snapshot: &Snapshot) {
        self.generation = snapshot.generation();
        self.calendar = Calendar::new(snapshot.config().time_zone.clone());
        self.signs.clear();
        if self.devices {
            let apps = snapshot.catalog().apps.iter().filter(|app| !app.signs.is_empty());
            self.signs.extend(apps.map(|app| (app.id.clone(), app.signs.clone())));
        }
    }

    fn known(&mut self, record: &Record<'_>, cause: Option<&Cause>, words: &mut Words) -> Known {
        let key = cause
            .map(|cause| (record.generation, cause.kind, cause.enforcement, cause.group, record.decision));
        if let Some(known) = key.as_ref().and_then(|key| self.known.get(key)) {
            return *known;
        }
        let described = self.describe.describe(record);
        let is_known = !described.words.app.is_empty();
        let mode = match record.decision {
            Decision::Permitted => "permit",
            Decision::Shadow => "shadow",
            _ => "enforce",
        };
        let app = match self.signs.contains_key(&described.words.app) {
            true => words.app(&described.words.app),
            false => None,
        };
        let part = words.part(Part {
            app: described.words.app,
            app_title: described.words.app_title,
            instrument: described.words.instrument,
            authority: described.words.authority,
            citation: described.words.citation,
            in_force_from: described.words.in_force_day,
            date_verified: described.words.date_verified,
            source: described.words.source,
            group: described.group,
            mode: mode.to_owned(),
            exception: described.words.exception.unwrap_or_default(),
        });
        let known = Known { part, app };
        // The words of a generation that is gone may be known the next time, from a record that came before.
        if let Some(key) = key.filter(|_| is_known) {
            if self.known.len() >= CAUSES {
                self.known.clear();
            }
            self.known.insert(key, known);
        }
        known
    }

    fn client(&mut self, record: &Record<'_>, day: jiff::civil::Date) -> Option<Client> {
        match self.clients {
            Clients::None => None,
            Clients::Full if !record.identity.is_none() => Some(Client::Known(record.identity)),
            Clients::Full => Some(Client::Address(record.client)),
            Clients::Prefix => self.clients.kept(record.client).map(Client::Network),
            Clients::Hmac => {
                let number = i64::from(day.year()) * 366 + i64::from(day.day_of_year());
                let digest = self.pseudonyms.of_day(record.client, number)?;
                u64::from_str_radix(&digest, 16).ok().map(Client::Digest)
            }
        }
    }

    /// Notes that a device asked for a name that the app asks by itself, if it is one.
    fn note_sign(
        &mut self,
        record: &Record<'_>,
        day: jiff::civil::Date,
        hour: u8,
        whose: (AppNumber, Client),
        tally: &mut Tally,
        words: &mut Words,
    ) {
        let Some(signs) = words.of_app(whose.0).and_then(|(id, _)| self.signs.get(id)) else { return };
        let name = record.name.to_string();
        let Some(sign) = signs.iter().find(|sign| sign.meets(&name)) else { return };
        let kind = words.kind(whose.0, &sign.to_string());
        let Some(habit) = tally.habit(day, whose.0, whose.1) else { return };
        let since = self.woke.get(&whose).map(|woke| record.time_ms - woke);
        if habit.note(hour, kind, since) {
            if self.woke.len() >= AWAKE && !self.woke.contains_key(&whose) {
                self.woke.retain(|_, woke| (record.time_ms - *woke).abs() < STALE_MS);
                if self.woke.len() >= AWAKE {
                    self.woke.clear();
                }
            }
            self.woke.insert(whose, record.time_ms);
        }
    }
}
