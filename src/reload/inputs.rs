//! Owns one reading of all inputs: configuration, catalog, sources, each read once and kept as bytes, and their meaning.
//! Never compiles and never publishes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::approval;
use super::guard;
use super::lists::Lists;
use super::outcome::Stage;
use super::store;
use crate::formats::ZoneHead;
use crate::policy::{self, Draft};
use crate::problem::{Place, Problem, Severity};
use crate::sources::{
    self, Arrival, Bundle, BundleConfig, CONFIG_FILE, Condition, FetchError, Holding, Origin, Raw, Reason,
    Refusal, read_bundle, read_catalog, read_file, read_list,
};

/// What a configuration asks for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Groups, exceptions, answers.
    pub policy: policy::Config,
    /// Where the catalog is.
    pub catalog: CatalogOrigin,
    /// The operator's lists.
    pub sources: Vec<sources::Config>,
    /// The bundle that catalog and lists come from, instead of all those.
    pub bundle: Option<BundleConfig>,
    /// What must not happen.
    pub guard: guard::Config,
    /// Who must agree to a change.
    pub approval: approval::Config,
    /// How much of the past is kept.
    pub history: store::Config,
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// Its file, or where it comes from.
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
    /// True when nothing newer can be used than its last good bytes.
    pub last_good: bool,
    /// What a response policy zone says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneHead>,
    /// How its fetches go, when it comes from a server or is signed.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub condition: Option<Condition>,
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
    /// Catalog and lists, when they come from a bundle.
    pub(super) bundle: Option<Bundle>,
    /// Files whose last good bytes stand in.
    pub(super) stale: Vec<String>,
}

/// What was gathered.
pub(super) struct Gathered {
    pub(super) inputs: Inputs,
    pub(super) fresh: Fresh,
    pub(super) warnings: Vec<Problem>,
}

/// What is new among some inputs, and what else there is of collected sources.
#[derive(Clone, Debug, Default)]
pub(super) struct Fresh {
    /// New content of collected sources, not taken as good yet.
    pub(super) arrivals: Vec<Arrival>,
    pub(super) holdings: Holdings,
}

/// What there is of every collected source, by name.
pub(super) type Holdings = BTreeMap<String, Holding>;

/// Inputs and what they mean.
pub(super) struct Understood {
    pub(super) draft: Draft,
    pub(super) lists: Arc<Lists>,
    pub(super) guard: guard::Config,
    pub(super) approval: approval::Config,
    pub(super) history: store::Config,
    pub(super) sources: Vec<sources::Config>,
    pub(super) reports: Vec<SourceReport>,
    pub(super) warnings: Vec<Problem>,
}

pub(super) type Failed = (Stage, Vec<Problem>);

/// Reads the configuration, once.
pub(super) fn configured(
    config_file: Option<&Path>,
    interpret: &Interpret,
) -> Result<(Option<Raw>, Plan), Failed> {
    let read = |path| read_file(path, CONFIG_FILE).map_err(|error| (Stage::Fetch, vec![error.problem(path)]));
    let config = config_file.map(read).transpose()?;
    let plan = plan(config.as_ref(), interpret)?.0;
    Ok((config, plan))
}

/// Reads the catalog and every plain file, or the bundle, once, and takes what there is of collected sources. A source that
/// has nothing new is replaced by its last good bytes, with a warning. A bundle's private copy is made in `copies`.
pub(super) fn gather(
    config: Option<Raw>,
    plan: &Plan,
    holdings: Holdings,
    last_good: Option<&Inputs>,
    copies: Option<&Path>,
) -> Result<Gathered, Failed> {
    let mut inputs = Inputs { config, ..Inputs::default() };
    let mut arrivals = Vec::new();
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    if let Some(bundle) = &plan.bundle {
        match read_bundle(bundle, copies, last_good.and_then(|good| good.bundle.as_ref())) {
            Ok((read, unshared)) => {
                warnings.extend(unshared);
                inputs.bundle = Some(read);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if let CatalogOrigin::Directory(directory) = &plan.catalog {
        match read_catalog(directory) {
            Ok(files) => inputs.catalog = Some(files),
            Err(problem) => problems.push(problem),
        }
    }
    for source in &plan.sources {
        let good = last_good.and_then(|good| good.sources.get(&source.name));
        let found = match (&source.origin, holdings.get(&source.name)) {
            (Origin::File { path, .. }, None) => plain(source, path, good),
            (_, holding) => collected(source, holding, good, &mut arrivals, &mut warnings),
        };
        match (found, good) {
            (Ok(Some(raw)), good) => {
                // The same bytes need not be held twice.
                let same = good.filter(|good| good.digest == raw.digest && good.name == raw.name);
                inputs.sources.insert(source.name.clone(), same.cloned().unwrap_or(raw));
            }
            // A collected source of which there is nothing yet.
            (Ok(None), _) => {}
            (Err(problem), Some(raw)) if !source.is_collected() => {
                warnings.push(Problem::warning(
                    problem.place,
                    format!("source `{}`: {}; its last good content is used", source.name, problem.what),
                    problem.hint,
                ));
                inputs.sources.insert(source.name.clone(), raw.clone());
                inputs.stale.push(source.name.clone());
            }
            (Err(problem), _) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(Gathered { inputs, fresh: Fresh { arrivals, holdings }, warnings })
    } else {
        Err((Stage::Fetch, problems))
    }
}

/// A plain file, read now.
fn plain(source: &sources::Config, path: &Path, good: Option<&Raw>) -> Result<Option<Raw>, Problem> {
    match read_list(path, source.max_bytes, good.map(|good| &good.content)) {
        Ok(raw) if raw.content.is_empty() => Err(Problem::error(
            Place::file(path.display().to_string()),
            "the file is empty",
            "it may be half written; write a new file and rename it into place",
        )),
        Ok(raw) => Ok(Some(raw)),
        Err(error @ FetchError::TooLarge(_)) => {
            Err(Problem { hint: "if that is meant, raise `max_bytes`".to_owned(), ..error.problem(path) })
        }
        Err(error) => Err(error.problem(path)),
    }
}

/// What there is of a collected source; `None` when there is nothing of it yet and that was known before.
fn collected(
    source: &sources::Config,
    holding: Option<&Holding>,
    good: Option<&Raw>,
    arrivals: &mut Vec<Arrival>,
    warnings: &mut Vec<Problem>,
) -> Result<Option<Raw>, Problem> {
    let unread = || Refusal::new(Reason::Io, "it is not fetched yet", "interdict reload");
    let problem = |holding: &Holding| holding.refusal.clone().unwrap_or_else(unread).problem(source);
    let Some(holding) = holding else { return Err(unread().problem(source)) };
    let mut warn = |mut problem: Problem, standing: &str| {
        problem.severity = Severity::Warning;
        if !standing.is_empty() {
            problem.what = format!("{}; {standing}", problem.what);
        }
        warnings.push(problem);
    };
    arrivals.extend(holding.arrival.clone());
    if let Some(raw) = &holding.raw {
        if let Some(refusal) = holding.refusal.as_ref().filter(|_| holding.arrival.is_none()) {
            warn(refusal.problem(source), &holding.standing);
        }
        return Ok(Some(raw.clone()));
    }
    // Kept bytes may be lost while a generation still holds them; unsigned, they are as good as any.
    if let (Some(raw), None) = (good, &source.key) {
        warn(problem(holding), "its content in the last good generation is used");
        return Ok(Some(raw.clone()));
    }
    if holding.adopted {
        warn(problem(holding), &holding.standing);
        return Ok(None);
    }
    Err(problem(holding))
}

fn plan(config: Option<&Raw>, interpret: &Interpret) -> Result<(Plan, Vec<Problem>), Failed> {
    let failed = |problems| (Stage::Parse, problems);
    match config {
        None => interpret("built-in defaults", "").map_err(failed),
        Some(raw) => {
            let text = raw.text().map_err(|problem| failed(vec![problem]))?;
            interpret(&raw.name, &text).map_err(failed)
        }
    }
}

/// Parses everything, and reports every problem of every input. What `known` says already is not read again.
pub(super) fn understand(
    inputs: &Inputs,
    interpret: &Interpret,
    known: &[&Arc<Lists>],
) -> Result<Understood, Failed> {
    let (plan, mut problems) = plan(inputs.config.as_ref(), interpret)?;
    let lists = Lists::of(inputs, &plan.sources, known);
    problems.extend(lists.problems.iter().cloned());
    problems.sort();
    if problems.iter().any(Problem::is_error) {
        return Err((Stage::Parse, problems));
    }
    let mut reports = lists.reports.clone();
    for report in &mut reports {
        report.last_good = inputs.stale.contains(&report.name);
    }
    let Plan { policy, guard, approval, history, sources, .. } = plan;
    let places = match &inputs.bundle {
        Some(bundle) => vec![Place::file(&bundle.name); lists.book.list_count()],
        None => sources.iter().map(|source| source.place.clone()).collect(),
    };
    let draft = Draft { book: Arc::clone(&lists.book), config: policy, places };
    Ok(Understood { draft, lists, guard, approval, history, sources, reports, warnings: problems })
}
