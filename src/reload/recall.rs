//! Owns the judging of a change by what was asked in the last day: what the guard refuses for it, and what a preview shows. Shows
//! of a client no more than the summary keeps. Never asks a query thread.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::guard;
use super::pipeline::Pipeline;
use crate::dns::{CanonicalName, Name, RecordType};
use crate::policy::{Client, Impact, Part, Snapshot, Turn, Turned};
use crate::problem::{Place, Problem};
use crate::telemetry::{Crowd, Day, Party};

/// What the last day's questions say of a change. Numbers of questions and clients are estimates.
#[derive(Clone, Debug, Serialize)]
pub struct Recalled {
    /// The first moment that counts.
    pub since: Option<Timestamp>,
    /// The moment of asking.
    pub until: Timestamp,
    /// Questions in that time.
    pub asked: u64,
    /// How many of them were of names too little asked to be known: the change is not judged by those.
    pub beyond: u64,
    /// Samples that were lost: of more questions than these nothing is known.
    pub lost: u64,
    /// Different names that are known.
    pub names: usize,
    /// What is kept of clients: `full`, `prefix` or `none`.
    pub clients_kept: &'static str,
    /// What would have changed.
    #[serde(flatten)]
    pub impact: Impact,
}

/// Names that a refusal or a part of an impact shows.
const SHOWN: usize = 20;

impl Pipeline {
    /// What a reload, or going from one generation to another, would have meant for what was asked in the last day.
    pub fn impact(&self, between: Option<(u64, u64)>) -> Result<Recalled, Vec<Problem>> {
        let day = self.last_day.as_ref().and_then(|last_day| last_day.day()).ok_or_else(|| {
            let what = "what was asked in the last day is not kept";
            let hint = "set `names` under [last_day], or name a query log";
            vec![Problem::error(Place::file("[last_day]"), what, hint)]
        })?;
        let now = self.parts.clock.wall();
        match between {
            Some((from, to)) => Ok(judge(&day, now, &*self.generation(from)?, &*self.generation(to)?)),
            None => {
                let force = self.force().ok_or_else(Vec::new)?;
                let (next, ..) = self.prospect(&force)?;
                Ok(judge(&day, now, &force.snapshot, &next))
            }
        }
    }

    /// The refusals of a change that would newly block names that are asked most.
    pub(super) fn blocks_most_asked(
        &self,
        guard: &guard::Config,
        live: &Snapshot,
        next: &Snapshot,
    ) -> Vec<Problem> {
        let last_day = self.last_day.as_ref().filter(|_| guard.most_asked > 0);
        let day = last_day.and_then(|last_day| last_day.day());
        day.map_or_else(Vec::new, |day| newly_blocked(guard, &day, live, next))
    }
}

/// The names most asked, by all groups together, the first first.
fn most_asked<'d>(guard: &guard::Config, day: &'d Day) -> Vec<(&'d Name, u64)> {
    let mut names: HashMap<&Name, u64> = HashMap::new();
    for party in &day.parties {
        *names.entry(&party.name).or_default() += party.questions;
    }
    let mut names: Vec<(&Name, u64)> =
        names.into_iter().filter(|(_, questions)| *questions >= guard.most_asked_at_least).collect();
    names.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    names.truncate(guard.most_asked);
    names
}

fn newly_blocked(guard: &guard::Config, day: &Day, live: &Snapshot, next: &Snapshot) -> Vec<Problem> {
    let names = most_asked(guard, day);
    let ranks: HashMap<&Name, usize> = names.iter().zip(0..).map(|((name, _), rank)| (*name, rank)).collect();
    // For each name the groups that would lose it, each with its rule, and who they are.
    let mut found: BTreeMap<usize, (BTreeMap<String, String>, Crowd)> = BTreeMap::new();
    for party in &day.parties {
        let Some(&rank) = ranks.get(&party.name) else { continue };
        for share in shares(party, live, next) {
            let Some(Turn::Blocked(cause)) = share.turn else { continue };
            let words = next.describe(&cause);
            let (groups, crowd) = found.entry(rank).or_default();
            groups.entry(words.group).or_insert(format!("{} of the list `{}`", words.rule, words.source));
            crowd.join(&share.crowd);
        }
    }
    let more = found.len().saturating_sub(SHOWN);
    let mut problems: Vec<Problem> = Vec::new();
    for (rank, (groups, crowd)) in found.into_iter().take(SHOWN) {
        let Some((name, questions)) = names.get(rank) else { continue };
        let clients = match crowd.size() {
            0 => String::new(),
            1 => ", one client".to_owned(),
            size => format!(", about {size} clients"),
        };
        let groups: Vec<String> =
            groups.into_iter().map(|(group, rule)| format!("for the group `{group}` by {rule}")).collect();
        let what = format!(
            "`{name}`, number {} of the names most asked in the last day (about {questions} questions{clients}), would be \
             blocked {}",
            rank + 1,
            groups.join("; ")
        );
        problems.push(refusal(what));
    }
    if more > 0 {
        problems
            .push(refusal(format!("{more} more of the names most asked in the last day would be blocked")));
    }
    problems
}

fn refusal(what: String) -> Problem {
    let hint = "if that is meant: interdict reload --accept-most-asked; `interdict diff --impact` shows all";
    Problem::error(Place::file("[guard] most_asked"), what, hint)
}

/// Those of a party for whom a change means the same.
struct Share {
    questions: u64,
    turn: Option<Turn>,
    crowd: Crowd,
}

/// A party by what a change means for each of its clients. Those that are not known one by one are taken to be as those that
/// are; where none is, its group stands for them.
fn shares(party: &Party, before: &Snapshot, after: &Snapshot) -> Vec<Share> {
    let name = CanonicalName::from(&party.name);
    let turn = |clients| Turn::of((before, after), clients, &name, RecordType::A);
    let somebody = |snapshot: &Snapshot| {
        let group = snapshot
            .group_named(&party.group)
            .or_else(|| snapshot.group_named("default"))
            .unwrap_or_default();
        Client::in_group(group)
    };
    let examples = party.crowd.examples();
    let mut kinds: Vec<((Client, Client), Vec<IpAddr>)> = Vec::new();
    for client in &examples {
        let pair = (before.client(*client), after.client(*client));
        match kinds.iter_mut().find(|(known, _)| *known == pair) {
            Some((_, clients)) => clients.push(*client),
            None => kinds.push((pair, vec![*client])),
        }
    }
    match kinds.as_slice() {
        [] => {
            let turn = turn((somebody(before), somebody(after)));
            vec![Share { questions: party.questions, turn, crowd: Crowd::default() }]
        }
        [(clients, _)] => {
            vec![Share { questions: party.questions, turn: turn(*clients), crowd: party.crowd.clone() }]
        }
        kinds => kinds
            .iter()
            .map(|(pair, clients)| Share {
                questions: party.questions * clients.len() as u64 / examples.len() as u64,
                turn: turn(*pair),
                crowd: party.crowd.only(|client| clients.contains(&client)),
            })
            .collect(),
    }
}

/// Questions whose fate turns one way.
#[derive(Default)]
struct Side<'d> {
    all: Gathered<'d>,
    parts: BTreeMap<[String; 4], Gathered<'d>>,
}

#[derive(Default)]
struct Gathered<'d> {
    questions: u64,
    names: HashSet<&'d Name>,
    most: Vec<&'d Name>,
    crowd: Crowd,
}

fn judge(day: &Day, now: Timestamp, before: &Snapshot, after: &Snapshot) -> Recalled {
    let (mut blocked, mut unblocked) = (Side::default(), Side::default());
    let mut known = 0;
    for party in &day.parties {
        known += party.questions;
        for share in shares(party, before, after) {
            let (side, words) = match share.turn {
                None => continue,
                Some(Turn::Blocked(cause)) => (&mut blocked, after.describe(&cause)),
                Some(Turn::Unblocked(cause)) => (&mut unblocked, before.describe(&cause)),
            };
            let part =
                side.parts.entry([words.app, words.instrument, words.group, words.source]).or_default();
            for gathered in [&mut side.all, part] {
                gathered.add(&party.name, &share);
            }
        }
    }
    let names: HashSet<&Name> = day.parties.iter().map(|party| &party.name).collect();
    Recalled {
        since: day.since,
        until: now,
        asked: day.questions,
        beyond: day.questions.saturating_sub(known),
        lost: day.lost,
        names: names.len(),
        clients_kept: day.clients.as_str(),
        impact: Impact { queries: known, newly_blocked: blocked.sum(day), unblocked: unblocked.sum(day) },
    }
}

impl<'d> Gathered<'d> {
    fn add(&mut self, name: &'d Name, share: &Share) {
        self.questions += share.questions;
        if self.names.insert(name) && self.most.len() < SHOWN {
            self.most.push(name);
        }
        self.crowd.join(&share.crowd);
    }
}

impl Side<'_> {
    fn sum(self, day: &Day) -> Turned {
        let mut by: Vec<Part> = self
            .parts
            .into_iter()
            .map(|([app, instrument, group, source], gathered)| Part {
                app,
                instrument,
                group,
                source,
                queries: gathered.questions,
                names: gathered.names.len(),
                clients: gathered.crowd.size() as usize,
                name_examples: gathered.most.iter().map(ToString::to_string).collect(),
                client_examples: shown(day, &gathered.crowd),
            })
            .collect();
        by.sort_by_key(|part| std::cmp::Reverse(part.queries));
        let Gathered { questions, names, crowd, .. } = self.all;
        Turned { queries: questions, names: names.len(), clients: crowd.size() as usize, by }
    }
}

fn shown(day: &Day, crowd: &Crowd) -> Vec<String> {
    crowd.examples().into_iter().filter_map(|client| day.clients.show(client)).collect()
}
