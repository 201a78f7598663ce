//! Owns the states of the root's keys and what moves them (RFC 5011 section 4). Time is passed in; what was not watched counts for little,
//! so that a clock that is set makes nothing trusted.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::key::Key;
use super::seen::Seen;

/// How far a key is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A trusted key vouches for it; it is not trusted until it has been seen for the hold-down.
    AddPend,
    /// It is trusted, and gone from the root's set without having been revoked.
    Missing,
    /// It was revoked, and is remembered so that it never comes back.
    Removed,
    /// It said that it is trusted no more.
    Revoked,
    /// It is trusted.
    Valid,
}

/// A key and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) key: Key,
    pub(super) state: State,
    /// When it came into that state.
    pub(super) since: Timestamp,
    /// When it was last in the root's set.
    pub(super) seen: Option<Timestamp>,
    /// How long it has been in its state, as far as that was watched.
    pub(super) aged: Duration,
    /// Whether it was configured; else it was learned.
    pub(super) is_configured: bool,
}

/// All keys that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trust {
    pub(super) anchors: Vec<Anchor>,
    /// When the root's set was last seen, signed by a trusted key.
    pub(super) checked: Option<Timestamp>,
}

/// One key for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The number that it is called by.
    pub tag: u16,
    /// The number of its algorithm.
    pub algorithm: u8,
    /// How far it is trusted.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// When it was last in the root's set.
    pub seen: Option<Timestamp>,
    /// Of a key that is on its way in: for how many seconds it must still be seen.
    pub pending_seconds: Option<u64>,
    /// Whether it was configured; else it was learned from a trusted one.
    pub configured: bool,
}

/// Most keys that are known at once; the root has had three.
const MOST: usize = 16;

impl State {
    pub(super) const ALL: [Self; 5] =
        [Self::AddPend, Self::Missing, Self::Removed, Self::Revoked, Self::Valid];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::AddPend => "add_pend",
            Self::Missing => "missing",
            Self::Removed => "removed",
            Self::Revoked => "revoked",
            Self::Valid => "valid",
        }
    }
}

impl Anchor {
    pub(super) fn configured(key: Key, now: Timestamp) -> Self {
        Self { key, state: State::Valid, since: now, seen: None, aged: Duration::ZERO, is_configured: true }
    }

    pub(super) fn is_trusted(&self) -> bool {
        matches!(self.state, State::Valid | State::Missing)
    }

    fn becomes(&mut self, state: State, now: Timestamp) {
        tracing::warn!(
            key = self.key.tag(),
            from = self.state.word(),
            to = state.word(),
            "a root key changed its state"
        );
        (self.state, self.since, self.aged) = (state, now, Duration::ZERO);
    }
}

impl Trust {
    /// The keys that are trusted.
    pub(super) fn trusted(&self) -> Vec<Key> {
        self.anchors.iter().filter(|anchor| anchor.is_trusted()).map(|anchor| anchor.key.clone()).collect()
    }

    /// Takes configured keys in: those that are new are trusted, those that are configured no more are forgotten; what was learned, or
    /// revoked, stays as it is.
    pub(super) fn configure(&mut self, keys: Vec<Key>, now: Timestamp) {
        self.anchors
            .retain(|anchor| !anchor.is_configured || !anchor.is_trusted() || keys.contains(&anchor.key));
        for key in keys {
            match self.anchors.iter_mut().find(|anchor| anchor.key == key) {
                // Somebody vouches for it now who need not wait.
                Some(anchor) if anchor.state == State::AddPend => {
                    anchor.becomes(State::Valid, now);
                    anchor.is_configured = true;
                }
                Some(anchor) => anchor.is_configured = true,
                None => self.anchors.push(Anchor::configured(key, now)),
            }
        }
    }

    /// Takes in what was seen of the root's set. `hold_down` is how long a new key must be seen before it is trusted, and for how long
    /// a revoked one is shown as such. Returns whether other keys are trusted now.
    pub(super) fn observe(&mut self, seen: &Seen, now: Timestamp, hold_down: Duration) -> bool {
        let before = self.trusted();
        // RFC 5011 section 2.3 has the set looked at every 15 days at least: time beyond that was not watched.
        let step = self.checked.map_or(Duration::ZERO, |last| {
            Duration::try_from(now.duration_since(last)).unwrap_or_default().min(hold_down / 2)
        });
        if seen.is_proved {
            self.anchors.iter_mut().for_each(|anchor| anchor.aged += step);
        }
        for anchor in self.anchors.iter_mut().filter(|anchor| seen.revoked.contains(&anchor.key)) {
            match anchor.state {
                State::AddPend | State::Missing | State::Valid => anchor.becomes(State::Revoked, now),
                State::Removed | State::Revoked => {}
            }
        }
        if seen.is_proved {
            self.anchors.retain_mut(|anchor| {
                let is_there = seen.keys.contains(&anchor.key);
                if is_there {
                    anchor.seen = Some(now);
                }
                match (anchor.state, is_there) {
                    // Whoever put it there took it back.
                    (State::AddPend, false) => return false,
                    (State::AddPend, true) if anchor.aged >= hold_down.max(seen.ttl) => {
                        anchor.becomes(State::Valid, now);
                    }
                    (State::Valid, false) => anchor.becomes(State::Missing, now),
                    (State::Missing, true) => anchor.becomes(State::Valid, now),
                    (State::Revoked, _) if anchor.aged >= hold_down => anchor.becomes(State::Removed, now),
                    _ => {}
                }
                true
            });
            for key in &seen.keys {
                let is_new = !self.anchors.iter().any(|anchor| anchor.key == *key);
                if is_new && self.anchors.len() < MOST {
                    tracing::warn!(key = key.tag(), "a trusted root key vouches for a new one");
                    self.anchors.push(Anchor {
                        key: key.clone(),
                        state: State::AddPend,
                        since: now,
                        seen: Some(now),
                        aged: Duration::ZERO,
                        is_configured: false,
                    });
                }
            }
            self.checked = Some(now);
        }
        self.trusted() != before
    }

    pub(super) fn shown(&self, hold_down: Duration) -> Vec<Shown> {
        let show = |anchor: &Anchor| Shown {
            tag: anchor.key.tag(),
            algorithm: anchor.key.algorithm(),
            state: anchor.state,
            since: anchor.since,
            seen: anchor.seen,
            pending_seconds: (anchor.state == State::AddPend)
                .then(|| hold_down.saturating_sub(anchor.aged).as_secs()),
            configured: anchor.is_configured,
        };
        self.anchors.iter().map(show).collect()
    }

    /// What somebody should look at, if anything.
    pub(super) fn trouble(&self, now: Timestamp, began: Timestamp, hold_down: Duration) -> Vec<String> {
        let mut all = Vec::new();
        let of_state = |state| self.anchors.iter().filter(move |anchor| anchor.state == state);
        for anchor in of_state(State::Missing) {
            let tag = anchor.key.tag();
            all.push(format!(
                "root key {tag} is gone from the root's keys since {} without having been revoked",
                anchor.since
            ));
        }
        if of_state(State::Valid).next().is_none() {
            all.push(
                "no key of the root is valid any more: signed answers will fail; configure a `trust_anchor`"
                    .to_owned(),
            );
        }
        let last = self.checked.unwrap_or(began);
        let quiet = Duration::try_from(now.duration_since(last)).unwrap_or_default();
        if quiet > hold_down / 3 {
            all.push(format!(
                "the root's keys could not be checked since {last}: a change of them may be missed"
            ));
        }
        all
    }
}
