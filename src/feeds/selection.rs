//! Owns which part of a policy is asked for: whose, and for which app or act. Never renders.

use crate::document::nearest;
use crate::policy::{Attribution, Snapshot};
use crate::problem::{Place, Problem};

/// A part of a policy, as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The group whose policy it is; `None` for `default`.
    pub group: Option<String>,
    /// What of it.
    pub part: Part,
}

/// What of a group's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    All,
    /// What is attributed to the app with this id.
    App(String),
    /// What the instrument with this id makes count.
    Instrument(String),
}

/// The group of everybody whom no other group names.
const DEFAULT: &str = "default";

impl Part {
    /// What is attributed to an app, or what an instrument makes count; all without either. An app goes before an instrument.
    pub fn of(app: Option<&String>, instrument: Option<&String>) -> Self {
        match (app, instrument) {
            (Some(id), _) => Self::App(id.clone()),
            (None, Some(id)) => Self::Instrument(id.clone()),
            (None, None) => Self::All,
        }
    }

    /// True when what is attributed like this belongs to it.
    pub(super) fn holds(&self, attribution: Attribution<'_>) -> bool {
        match self {
            Self::All => true,
            Self::App(id) => attribution.app == Some(id),
            Self::Instrument(id) => attribution.instrument == Some(id),
        }
    }
}

impl Selection {
    /// The number of its group, if everything it names is there.
    pub(super) fn find(&self, snapshot: &Snapshot) -> Result<u16, Problem> {
        let name = self.group.as_deref().unwrap_or(DEFAULT);
        let groups: Vec<&str> = snapshot.group_names().collect();
        let group = snapshot.group_named(name).ok_or_else(|| unknown("group", name, &groups))?;
        let catalog = snapshot.catalog();
        match &self.part {
            Part::App(id) if catalog.app(id).is_none() => {
                let all: Vec<&str> = catalog.apps.iter().map(|app| app.id.as_str()).collect();
                Err(unknown("app", id, &all))
            }
            Part::Instrument(id) if catalog.instrument(id).is_none() => {
                let all: Vec<&str> = catalog.instruments.iter().map(|act| act.id.as_str()).collect();
                Err(unknown("instrument", id, &all))
            }
            _ => Ok(group),
        }
    }

    /// Complains when it names what there is not.
    pub fn check(&self, snapshot: &Snapshot) -> Result<(), Problem> {
        self.find(snapshot).map(drop)
    }

    /// In words, for whoever reads a list.
    pub(super) fn words(&self) -> String {
        let group = self.group.as_deref().unwrap_or(DEFAULT);
        let words = match &self.part {
            Part::All => format!("group {group}"),
            Part::App(id) => format!("group {group}, app {id}"),
            Part::Instrument(id) => format!("group {group}, instrument {id}"),
        };
        // A comment ends with its line, for some readers at other signs than the line feed too.
        words.replace(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'), " ")
    }
}

/// The complaint that there is no such thing.
pub(super) fn unknown(what: &str, id: &str, all: &[&str]) -> Problem {
    let hint = match nearest(id, all) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there is {}", all.join(", ")),
    };
    Problem::error(Place::file(what), format!("no {what} is called `{id}`"), hint)
}
