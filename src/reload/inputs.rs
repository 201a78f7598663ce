//! Owns one reading of all inputs: configuration, catalog, sources, each read once and kept as bytes, and their meaning.
//! Never compiles and never publishes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::guard;
use super::outcome::Stage;
use crate::formats::{self, Options};
use crate::policy::{self, Catalog, Draft, SourceRules};
use crate::problem::{Place, Problem};
use crate::sources::{self, CONFIG_FILE, LIST_FILE, Raw, read_catalog, read_file};

/// What a configuration asks for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Groups, exceptions, answers.
    pub policy: policy::Config,
    /// Where the catalog is.
    pub catalog: CatalogOrigin,
    /// The operator's lists.
    pub sources: Vec<sources::Config>,
    /// What must not happen.
    pub guard: guard::Config,
}

/// Where the catalog is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CatalogOrigin {
    /// In the binary.
    #[default]
    BuiltIn,
    /// In a directory.
    Directory(PathBuf),
}

/// Reads a configuration: its name and text in, what it asks for and warnings out, or all its problems. Given by the
/// composition root, as configurations know more than policy; refuses changed boot settings by name.
pub type Interpret = Arc<dyn Fn(&str, &str) -> Result<(Plan, Vec<Problem>), Vec<Problem>> + Send + Sync>;

/// What was found in one source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// SHA-256 of its bytes.
    pub digest: String,
    /// Size in bytes.
    pub bytes: usize,
    /// Lines.
    pub lines: u64,
    /// Rules.
    pub rules: usize,
    /// Lines that mean nothing to a resolver, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Malformed lines.
    pub refused: u64,
    /// True when the file could not be read and its last good bytes are used.
    pub last_good: bool,
}

/// All inputs of a generation as bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Inputs {
    /// `None`: no configuration file, built-in defaults.
    pub(super) config: Option<Raw>,
    /// `None`: the built-in catalog.
    pub(super) catalog: Option<Vec<Raw>>,
    /// By source name.
    pub(super) sources: BTreeMap<String, Raw>,
    /// Sources whose last good bytes stand in.
    pub(super) stale: Vec<String>,
}

/// Inputs and what they mean.
pub(super) struct Understood {
    pub(super) draft: Draft,
    pub(super) guard: guard::Config,
    pub(super) reports: Vec<SourceReport>,
    pub(super) warnings: Vec<Problem>,
}

pub(super) type Failed = (Stage, Vec<Problem>);

/// Reads the configuration, the catalog and every source once. A source that cannot be read is replaced by its bytes in
/// `last_good`, with a warning.
pub(super) fn fetch(
    config_file: Option<&Path>,
    interpret: &Interpret,
    last_good: Option<&Inputs>,
) -> Result<(Inputs, Vec<Problem>), Failed> {
    let config = match config_file {
        None => None,
        Some(path) => {
            Some(read_file(path, CONFIG_FILE).map_err(|error| (Stage::Fetch, vec![error.problem(path)]))?)
        }
    };
    let plan = plan(config.as_ref(), interpret)?.0;
    let mut inputs = Inputs { config, ..Inputs::default() };
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    if let CatalogOrigin::Directory(directory) = &plan.catalog {
        match read_catalog(directory) {
            Ok(files) => inputs.catalog = Some(files),
            Err(problem) => problems.push(problem),
        }
    }
    for source in &plan.sources {
        let problem = match read_file(&source.path, LIST_FILE) {
            Ok(raw) if !raw.bytes.is_empty() => {
                inputs.sources.insert(source.name.clone(), raw);
                continue;
            }
            Ok(_) => Problem::error(
                Place::file(source.path.display().to_string()),
                "the file is empty",
                "it may be half written; write a new file and rename it into place",
            ),
            Err(error) => error.problem(&source.path),
        };
        match last_good.and_then(|good| good.sources.get(&source.name)) {
            Some(raw) => {
                warnings.push(Problem::warning(
                    problem.place,
                    format!("source `{}`: {}; its last good content is used", source.name, problem.what),
                    problem.hint,
                ));
                inputs.sources.insert(source.name.clone(), raw.clone());
                inputs.stale.push(source.name.clone());
            }
            None => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok((inputs, warnings)) } else { Err((Stage::Fetch, problems)) }
}

fn plan(config: Option<&Raw>, interpret: &Interpret) -> Result<(Plan, Vec<Problem>), Failed> {
    let failed = |problems| (Stage::Parse, problems);
    match config {
        None => interpret("built-in defaults", "").map_err(failed),
        Some(raw) => {
            let text = raw.text().map_err(|problem| failed(vec![problem]))?;
            interpret(&raw.name, text).map_err(failed)
        }
    }
}

/// Parses everything, and reports every problem of every input.
pub(super) fn understand(inputs: &Inputs, interpret: &Interpret) -> Result<Understood, Failed> {
    let (plan, mut problems) = plan(inputs.config.as_ref(), interpret)?;
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
    let mut draft = Draft { catalog, config: plan.policy, sources: Vec::new() };
    let mut reports = Vec::new();
    for source in &plan.sources {
        let Some(raw) = inputs.sources.get(&source.name) else {
            let what = format!("source `{}` has no stored content", source.name);
            problems.push(Problem::error(source.place.clone(), what, "reload once its file can be read"));
            continue;
        };
        let options = Options { subdomains: source.subdomains, zone: source.zone.clone() };
        let parsed = formats::parse(source.format, &raw.name, &raw.bytes, &options);
        reports.push(SourceReport {
            name: source.name.clone(),
            file: raw.name.clone(),
            digest: raw.digest.to_string(),
            bytes: raw.bytes.len(),
            lines: parsed.lines,
            rules: parsed.rules.len(),
            skipped: parsed.skipped.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            refused: parsed.refused,
            last_good: inputs.stale.contains(&source.name),
        });
        if parsed.rules.is_empty() && parsed.refused == 0 {
            problems.push(Problem::warning(
                Place::file(&raw.name),
                format!("source `{}`: none of its {} lines is a rule", source.name, parsed.lines),
                format!("is `{}` its syntax?", source.format),
            ));
        }
        let tolerated = parsed.refused <= source.tolerate;
        problems.extend(parsed.problems.into_iter().map(|mut problem| {
            if tolerated {
                problem.severity = crate::problem::Severity::Warning;
            }
            problem
        }));
        draft.sources.push(SourceRules {
            name: source.name.clone(),
            app: source.app.clone(),
            instrument: source.instrument.clone(),
            file: raw.name.clone(),
            rules: parsed.rules,
            place: source.place.clone(),
        });
    }
    problems.sort();
    if problems.iter().any(Problem::is_error) {
        return Err((Stage::Parse, problems));
    }
    Ok(Understood { draft, guard: plan.guard, reports, warnings: problems })
}
