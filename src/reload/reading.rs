//! Owns what was read in one list: its text, the parts of it, and what a person is told. A list that changed a little is read
//! again where it changed. Never compiles.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::inputs::SourceReport;
use crate::formats::{self, Format, Options, Parsed, Part, Piece, Reread};
use crate::policy::{AddressRule, Edit, Override, Rule};
use crate::problem::{Place, Problem, Severity};
use crate::sources::{self, Raw};

/// A list as it was read.
#[derive(Debug)]
pub(super) struct Reading {
    raw: Raw,
    format: Format,
    options: Options,
    parts: Vec<Part>,
}

/// What was found in a list, its rules left out.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) reading: Arc<Reading>,
    /// How many rules it has.
    pub(super) rules: usize,
    found: Parsed,
}

/// The rules of a list.
#[derive(Debug)]
pub(super) enum Content {
    /// All of them.
    Whole(Vec<Rule>, Vec<AddressRule>),
    /// What differs from the reading before.
    Edits(Vec<Edit>),
}

/// Reads a list, where that is enough only what differs from the reading `known`.
pub(super) fn read(source: &sources::Config, raw: &Raw, known: Option<&Reading>) -> (Found, Content) {
    let (found, mut content) = match known.and_then(|known| known.again(source, raw)) {
        Some(read) => read,
        None => whole(source, raw),
    };
    // What its settings impose on its rules.
    if let Override::Imposed(action) = &source.overriding {
        let impose = |rules: &mut Vec<Rule>| {
            rules.iter_mut().for_each(|rule| rule.action = Some(Box::new(action.clone())));
        };
        match &mut content {
            Content::Whole(rules, addresses) => {
                impose(rules);
                addresses.iter_mut().for_each(|rule| rule.action = action.clone());
            }
            Content::Edits(edits) => {
                for edit in edits {
                    impose(&mut edit.gone);
                    impose(&mut edit.come);
                }
            }
        }
    }
    (found, content)
}

/// Reads lists from the beginning, side by side on as many cores as there are: nearly all of a start's time with many lists. What
/// comes of each stands where its list does.
pub(super) fn read_all(lists: &[(&sources::Config, Option<&Raw>)]) -> Vec<Option<(Found, Content)>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some((source, raw)) = lists.get(number)
        {
            let found = raw.map(|raw| read(source, raw, None));
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, found));
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        for _ in 1..cores.min(lists.len()) {
            // Where there is no thread, the others have more to do.
            let _worker = std::thread::Builder::new().name("lists".to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, found)| found).collect()
}

fn options(source: &sources::Config) -> Options {
    Options { subdomains: source.subdomains, zone: source.zone.clone() }
}

fn whole(source: &sources::Config, raw: &Raw) -> (Found, Content) {
    let options = options(source);
    let text: Vec<&[u8]> = raw.content.pieces().map(Piece::bytes).collect();
    let mut found = formats::parse(source.format, &raw.name, &text, &options);
    let rules = found.rule_count();
    let content = Content::Whole(std::mem::take(&mut found.rules), std::mem::take(&mut found.addresses));
    let parts = std::mem::take(&mut found.parts);
    let reading = Arc::new(Reading { raw: raw.clone(), format: source.format, options, parts });
    (Found { reading, rules, found }, content)
}

impl Reading {
    /// Whether this is what reading that text would give.
    pub(super) fn is_of(&self, raw: &Raw) -> bool {
        self.raw.digest == raw.digest && self.raw.name == raw.name
    }

    fn again(&self, source: &sources::Config, raw: &Raw) -> Option<(Found, Content)> {
        let options = options(source);
        if (self.format, &self.options, &self.raw.name) != (source.format, &options, &raw.name) {
            return None;
        }
        let before = (&self.raw.content, self.parts.as_slice());
        let Reread { parts, edits, found, rules } =
            formats::reread(self.format, &raw.name, &options, before, &raw.content)?;
        let reading = Arc::new(Self { raw: raw.clone(), format: self.format, options, parts });
        Some((Found { reading, rules, found }, Content::Edits(edits)))
    }
}

impl Found {
    /// How many lines are malformed.
    pub(super) fn refused(&self) -> u64 {
        self.found.refused
    }

    /// How many lines it has.
    pub(super) fn lines(&self) -> u64 {
        self.found.lines
    }

    /// The first complaint that would have the list refused.
    pub(super) fn first_error(&self) -> Option<&Problem> {
        self.found.problems.iter().find(|problem| problem.is_error())
    }

    /// What the status tells of it.
    pub(super) fn report(&self, source: &sources::Config) -> SourceReport {
        let Reading { raw, .. } = &*self.reading;
        let skipped = self.found.skipped.iter().map(|(reason, count)| ((*reason).to_owned(), *count));
        SourceReport {
            name: source.name.clone(),
            file: raw.name.clone(),
            digest: raw.digest.to_string(),
            bytes: raw.content.len(),
            lines: self.found.lines,
            rules: self.rules,
            skipped: skipped.collect(),
            refused: self.found.refused,
            last_good: false,
            zone: self.found.zone,
            condition: None,
        }
    }

    /// What a person should look at.
    pub(super) fn problems(self, source: &sources::Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.rules == 0 && self.found.refused == 0 {
            problems.push(Problem::warning(
                Place::file(&self.reading.raw.name),
                format!("source `{}`: none of its {} lines is a rule", source.name, self.found.lines),
                format!("is `{}` its syntax?", source.format),
            ));
        }
        let tolerated = self.found.refused <= source.tolerate;
        problems.extend(self.found.problems.into_iter().map(|mut problem| {
            if tolerated {
                problem.severity = Severity::Warning;
            }
            problem
        }));
        problems
    }
}
