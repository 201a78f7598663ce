//! Owns what the catalog and the lists among some inputs say, read once: inputs that differ only in groups, exceptions or
//! dates share it. Never reads a file and never publishes.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::inputs::{Inputs, SourceReport, parse};
use crate::policy::{AddressRule, Catalog, Override, Rule, Rulebook, SourceRules};
use crate::problem::{Place, Problem, Severity};
use crate::sources;

/// Catalog and lists in the form in which they are searched, and what is to be said of them.
#[derive(Debug)]
pub(super) struct Lists {
    /// SHA-256 of all they were made of.
    pub(super) made_of: [u8; 32],
    pub(super) book: Arc<Rulebook>,
    pub(super) reports: Vec<SourceReport>,
    pub(super) problems: Vec<Problem>,
}

impl Lists {
    /// Reads the catalog and the lists, or takes `known` when that was made of the same. With an error among the problems the
    /// rulebook is empty.
    pub(super) fn of(inputs: &Inputs, sources: &[sources::Config], known: Option<&Arc<Self>>) -> Arc<Self> {
        let made_of = made_of(inputs, sources);
        match known.filter(|known| known.made_of == made_of) {
            Some(known) => Arc::clone(known),
            None => Arc::new(match &inputs.bundle {
                Some(bundle) => Self::bundled(bundle, made_of),
                None => Self::read(inputs, sources, made_of),
            }),
        }
    }

    fn read(inputs: &Inputs, sources: &[sources::Config], made_of: [u8; 32]) -> Self {
        let mut problems = Vec::new();
        let (catalog, found) = match &inputs.catalog {
            None => Catalog::read(Catalog::built_in().iter().copied()),
            Some(files) => {
                let mut texts = Vec::new();
                for file in files {
                    match file.text() {
                        Ok(text) => texts.push((file.name.as_str(), text)),
                        Err(problem) => problems.push(problem),
                    }
                }
                Catalog::read(texts)
            }
        };
        problems.extend(found);
        let (mut lists, mut reports) = (Vec::new(), Vec::new());
        for source in sources {
            let Some((list, report)) = read_source(inputs, source, &mut problems) else { continue };
            lists.push(list);
            reports.push(report);
        }
        let book = if problems.iter().any(Problem::is_error) {
            Rulebook::default()
        } else {
            Rulebook::new(catalog, lists)
        };
        Self { made_of, book: Arc::new(book), reports, problems }
    }
}

/// One list: its rules and what was found in it. `None`, with a complaint, when there is nothing to read.
fn read_source(
    inputs: &Inputs,
    source: &sources::Config,
    problems: &mut Vec<Problem>,
) -> Option<(SourceRules, SourceReport)> {
    let listed = |mut rules: Vec<Rule>, mut addresses: Vec<AddressRule>| {
        // What its settings impose on its rules.
        if let Override::Imposed(action) = &source.overriding {
            rules.iter_mut().for_each(|rule| rule.action = Some(action.clone()));
            addresses.iter_mut().for_each(|rule| rule.action = action.clone());
        }
        SourceRules {
            name: source.name.clone(),
            app: source.app.clone(),
            instrument: source.instrument.clone(),
            file: source.title(),
            rules,
            addresses,
            disabled: source.rehearsed || source.overriding == Override::Disabled,
        }
    };
    let Some(raw) = inputs.sources.get(&source.name) else {
        if source.is_collected() {
            // Nothing of it is enforced; whoever gathered the inputs said so. Groups may name it all the same.
            let (name, file) = (source.name.clone(), source.title());
            return Some((
                listed(Vec::new(), Vec::new()),
                SourceReport { name, file, ..SourceReport::default() },
            ));
        }
        let what = format!("source `{}` has no stored content", source.name);
        problems.push(Problem::error(source.place.clone(), what, "reload once its file can be read"));
        return None;
    };
    let parsed = parse(source, raw);
    let report = SourceReport {
        name: source.name.clone(),
        file: raw.name.clone(),
        digest: raw.digest.to_string(),
        bytes: raw.bytes.len(),
        lines: parsed.lines,
        rules: parsed.rule_count(),
        skipped: parsed.skipped.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
        refused: parsed.refused,
        last_good: false,
        zone: parsed.zone,
        condition: None,
    };
    if parsed.rule_count() == 0 && parsed.refused == 0 {
        problems.push(Problem::warning(
            Place::file(&raw.name),
            format!("source `{}`: none of its {} lines is a rule", source.name, parsed.lines),
            format!("is `{}` its syntax?", source.format),
        ));
    }
    let tolerated = parsed.refused <= source.tolerate;
    problems.extend(parsed.problems.into_iter().map(|mut problem| {
        if tolerated {
            problem.severity = Severity::Warning;
        }
        problem
    }));
    Some((listed(parsed.rules, parsed.addresses), report))
}

/// Everything that the lists depend on: bytes, and the settings they are read by.
fn made_of(inputs: &Inputs, sources: &[sources::Config]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut text = |part: String| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    text(format!("{:?}", inputs.catalog.as_ref().map(Vec::len)));
    text(format!("{:?}", inputs.bundle.as_ref().map(|bundle| (&bundle.name, bundle.digest))));
    for file in inputs.catalog.iter().flatten() {
        text(format!("{:?} {}", file.name, file.digest));
    }
    for source in sources {
        let raw = inputs.sources.get(&source.name).map(|raw| (&raw.name, raw.digest.to_string()));
        // Whatever is set for it counts, so that nothing can be forgotten here; where that is written does not.
        let settings = sources::Config { place: Place::default(), ..source.clone() };
        text(format!("{settings:?} {raw:?}"));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Format;
    use crate::sources::{Config, Raw};

    fn inputs(list: &str) -> Inputs {
        let raw = Raw::new("own.txt", list.as_bytes().to_vec());
        Inputs { sources: [("own".to_owned(), raw)].into(), ..Inputs::default() }
    }

    fn source() -> Config {
        Config::file("own", "own.txt", Format::Domains, Place::line("interdict.toml", 4))
    }

    #[test]
    fn what_did_not_change_is_not_read_again() {
        let first = Lists::of(&inputs("one.example\n"), &[source()], None);
        let moved = Config { place: Place::line("interdict.toml", 40), ..source() };
        let again = Lists::of(&inputs("one.example\n"), &[moved], Some(&first));
        assert!(Arc::ptr_eq(&first, &again));
    }

    #[test]
    fn whatever_the_lists_depend_on_has_them_read_again() {
        let first = Lists::of(&inputs("one.example\n"), &[source()], None);
        let others = [
            Config { app: Some("tiktok".to_owned()), ..source() },
            Config { instrument: Some("ban".to_owned()), ..source() },
            Config { subdomains: true, ..source() },
            Config { tolerate: 1, ..source() },
            Config { format: Format::Hosts, ..source() },
            Config { overriding: Override::Disabled, ..source() },
            Config { zone: Some("rpz.example".parse().unwrap()), ..source() },
            Config::file("own", "elsewhere.txt", Format::Domains, Place::default()),
        ];
        for other in others {
            let read = Lists::of(&inputs("one.example\n"), &[other], Some(&first));
            assert!(!Arc::ptr_eq(&first, &read));
        }
        assert!(!Arc::ptr_eq(&first, &Lists::of(&inputs("two.example\n"), &[source()], Some(&first))));
        assert!(!Arc::ptr_eq(&first, &Lists::of(&inputs("one.example\n"), &[], Some(&first))));
        let catalog = Some(Vec::new());
        let with_catalog = Inputs { catalog, ..inputs("one.example\n") };
        assert!(!Arc::ptr_eq(&first, &Lists::of(&with_catalog, &[source()], Some(&first))));
    }

    #[test]
    fn with_an_error_there_are_no_rules_to_be_used_by_mistake() {
        let lists = Lists::of(&inputs("one.example\n<html>\n"), &[source()], None);
        assert!(lists.problems.iter().any(Problem::is_error));
        assert_eq!(lists.book.memory(), Rulebook::default().memory());
    }
}
