//! Owns what another policy would have meant for questions that were asked: which would have been blocked that were not, and
//! the reverse. Judges names that were asked, not what answers led to. Never reads a log.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::snapshot::Snapshot;
use super::verdict::{Cause, Verdict};
use crate::dns::{CanonicalName, Name, RecordType};

/// One question as a log tells it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name, in lower case.
    pub name: Name,
    /// The type.
    pub record_type: RecordType,
    /// Who the client was to the policy before, and is to the one after.
    pub clients: (Client, Client),
    /// The client as the log shows it: an address, a network, or nothing.
    pub client: Option<String>,
}

/// What a change would have meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Impact {
    /// Questions that were judged.
    pub queries: u64,
    /// What would have been blocked and was not.
    pub newly_blocked: Turned,
    /// What would not have been blocked and was.
    pub unblocked: Turned,
}

/// Questions whose fate turned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turned {
    /// Questions.
    pub queries: u64,
    /// Different names; the most that are told apart is a hundred thousand.
    pub names: usize,
    /// Different clients as the log shows them; 0 when it shows none.
    pub clients: usize,
    /// The same by what blocks or blocked them.
    pub by: Vec<Part>,
}

/// Questions turned by one cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// App id, or `none`.
    pub app: String,
    /// Instrument id, or `none`.
    pub instrument: String,
    /// The group.
    pub group: String,
    /// The list: `catalog` or the source's name.
    pub source: String,
    /// Questions.
    pub queries: u64,
    /// Different names.
    pub names: usize,
    /// Different clients.
    pub clients: usize,
    /// Some of the names: of a log the first in canonical order, of a summary the most asked.
    pub name_examples: Vec<String>,
    /// Some of the clients.
    pub client_examples: Vec<String>,
}

/// Judges questions by two policies.
#[derive(Debug)]
pub struct Replay<'s> {
    before: &'s Snapshot,
    after: &'s Snapshot,
    queries: u64,
    known: HashMap<(Name, bool, (Client, Client)), Option<Turn>>,
    blocked: Side,
    unblocked: Side,
}

/// How a question's fate turns from one policy to another, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The later one blocks it, by a rule of its own.
    Blocked(Cause),
    /// The earlier one blocked it, by a rule of its own.
    Unblocked(Cause),
}

type Key = (String, String, String, String);

#[derive(Debug, Default)]
struct Side {
    queries: u64,
    names: HashSet<Name>,
    clients: HashSet<String>,
    parts: BTreeMap<Key, Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    queries: u64,
    names: HashSet<Name>,
    clients: HashSet<String>,
}

/// Names, clients and judgements told apart: bounds the memory of a long log.
const DISTINCT: usize = 100_000;
/// Enough to recognise what it is about.
const EXAMPLES: usize = 20;

impl<'s> Replay<'s> {
    /// Begins with nothing asked.
    pub fn new(before: &'s Snapshot, after: &'s Snapshot) -> Self {
        let (blocked, unblocked) = Default::default();
        Self { before, after, queries: 0, known: HashMap::new(), blocked, unblocked }
    }

    /// Judges one question.
    pub fn ask(&mut self, asked: &Asked) {
        self.queries += 1;
        let key = (asked.name.clone(), asked.record_type == RecordType::DS, asked.clients);
        let turn = match self.known.get(&key) {
            Some(turn) => *turn,
            None => {
                let turn = self.judge(asked);
                if self.known.len() < DISTINCT {
                    self.known.insert(key, turn);
                }
                turn
            }
        };
        let (side, snapshot, cause) = match turn {
            None => return,
            Some(Turn::Blocked(cause)) => (&mut self.blocked, self.after, cause),
            Some(Turn::Unblocked(cause)) => (&mut self.unblocked, self.before, cause),
        };
        let words = snapshot.describe(&cause);
        let part = side.parts.entry((words.app, words.instrument, words.group, words.source)).or_default();
        side.queries += 1;
        part.queries += 1;
        for names in [&mut side.names, &mut part.names] {
            if names.len() < DISTINCT {
                names.insert(asked.name.clone());
            }
        }
        for clients in [&mut side.clients, &mut part.clients] {
            if clients.len() < DISTINCT {
                clients.extend(asked.client.clone());
            }
        }
    }

    fn judge(&self, asked: &Asked) -> Option<Turn> {
        let name = CanonicalName::from(&asked.name);
        Turn::of((self.before, self.after), asked.clients, &name, asked.record_type)
    }

    /// What it all came to.
    pub fn finish(self) -> Impact {
        Impact { queries: self.queries, newly_blocked: self.blocked.sum(), unblocked: self.unblocked.sum() }
    }
}

impl Turn {
    /// How the fate of a client's question turns between two policies, to each of which the client is somebody.
    pub fn of(
        policies: (&Snapshot, &Snapshot),
        clients: (Client, Client),
        name: &CanonicalName,
        record_type: RecordType,
    ) -> Option<Self> {
        let decide = |snapshot: &Snapshot, client| {
            match snapshot.decide_question(client, name, record_type) {
                Verdict::Deny(cause) => Some(cause),
                // Answered negatively whatever the policy: no change makes a difference.
                Verdict::Allow | Verdict::Canary { .. } | Verdict::Permit(_) | Verdict::Shadow(_) => None,
            }
        };
        match (decide(policies.0, clients.0), decide(policies.1, clients.1)) {
            (None, Some(cause)) => Some(Self::Blocked(cause)),
            (Some(cause), None) => Some(Self::Unblocked(cause)),
            _ => None,
        }
    }
}

impl Side {
    fn sum(self) -> Turned {
        let mut by: Vec<Part> = self.parts.into_iter().map(part).collect();
        by.sort_by_key(|part| std::cmp::Reverse(part.queries));
        Turned { queries: self.queries, names: self.names.len(), clients: self.clients.len(), by }
    }
}

fn part(((app, instrument, group, source), gathered): (Key, Gathered)) -> Part {
    let Gathered { queries, names, clients } = gathered;
    let (distinct, told) = (names.len(), clients.len());
    let names: BTreeSet<String> = names.into_iter().map(|name| name.to_string()).collect();
    let clients: BTreeSet<String> = clients.into_iter().collect();
    Part {
        app,
        instrument,
        group,
        source,
        queries,
        names: distinct,
        clients: told,
        name_examples: names.into_iter().take(EXAMPLES).collect(),
        client_examples: clients.into_iter().take(EXAMPLES).collect(),
    }
}
