//! Owns the step from a rulebook to a bundle and back: what is written of one, and what must hold before bytes are believed
//! to be one. Never looks at a date, a group or an exception.

use super::super::address::ListedPrefix;
use super::super::catalog::Catalog;
use super::super::digest::{Sum, hexadecimal};
use super::super::gathering::{Indexed, sets};
use super::super::group::SourceRules;
use super::super::matcher::{HashKey, Image, NameTable, StoredTable};
use super::super::rulebook::{Actions, Base, Rulebook, Source};
use super::flaw::Flaw;
use super::frame;
use super::words::{ActionWords, SourceWords, Words, digest};
use crate::problem::Problem;
use jiff::Timestamp;

/// A bundle that was read: every part of it is what it must be.
#[derive(Debug)]
pub struct Bundle {
    /// The rules; the large parts of their table lie in the bundle still.
    pub book: Rulebook,
    /// Version of the program that wrote it.
    pub made_by: String,
    /// When it was made, where whoever made it says so.
    pub stamp: Option<Timestamp>,
    /// What the control plane that wrote it found in each list.
    pub reports: serde_json::Value,
}

/// What a bundle says of where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// The files of the catalog that the rulebook was made from: path below its directory, and text.
    pub catalog: Vec<(String, String)>,
    /// What was found in each list.
    pub reports: serde_json::Value,
    /// When it is made. Without one, the same inputs make the same bytes on every host and every day.
    pub stamp: Option<Timestamp>,
}

/// Cap for the words: the largest catalog thinkable, a few times over.
const MOST_WORDS: usize = 64 << 20;
/// Most apps, instruments and lists together: their numbers fit 16 bits.
const MOST_SETS: usize = 30_000;

impl Bundle {
    /// The form that this program writes and reads.
    pub const FORM: u32 = frame::VERSION;

    /// Writes a rulebook and where it comes from: one that was just read, whose rules are all in its table.
    pub fn write(book: &Rulebook, provenance: Provenance) -> Vec<u8> {
        let table = &book.base.table;
        let StoredTable { groups, entries, code, labels } = table.store();
        let files = book.sets.iter().rev().take(book.sources.len()).rev().map(|set| set.file.clone());
        let words = Words {
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            stamp: provenance.stamp,
            rules: table.len(),
            names: book.names,
            labels,
            digest: hexadecimal(&book.base.digest),
            catalog: provenance.catalog,
            sources: book
                .sources
                .iter()
                .zip(files)
                .map(|(source, file)| source_words(source, file))
                .collect(),
            actions: book.actions.list.iter().map(ActionWords::from).collect(),
            kinds: book
                .kinds
                .iter()
                .map(|kind| {
                    let own = usize::from(kind.action) < book.actions.list.len();
                    (kind.set, kind.reach.into(), own.then_some(kind.action))
                })
                .collect(),
            addresses: addresses(book),
            name_servers: book.name_servers.rules().iter().map(prefix).collect(),
            reports: provenance.reports,
        };
        // Strings and numbers alone: there is nothing in them that could not be written.
        let words = serde_json::to_vec(&words).unwrap_or_default();
        frame::write([&words, &code, &groups, &entries])
    }

    /// Reads and checks a bundle; `file` is its name in the complaint. Looks at every byte once, and at every rule.
    pub fn read(image: &Image, file: &str) -> Result<Self, Problem> {
        read(image).map_err(|flaw| flaw.problem(file))
    }

    /// Checks what reading takes a bundle's word for: that each rule is found where it lies, and that together they are what
    /// their digest says. Takes a second for a million rules.
    pub fn verify(&self, file: &str) -> Result<(), Problem> {
        let flaw = |what: &str| Err(Flaw::Words(what.to_owned()).problem(file));
        let (book, base) = (&self.book, &self.book.base);
        if !base.table.is_searchable() {
            return flaw("a rule lies where no search finds it");
        }
        let mut all: Vec<(Vec<u8>, _, u32)> = base
            .table
            .rules()
            .filter_map(|(_, name, kind, line)| Some((name, *book.kinds.get(kind as usize)?, line)))
            .collect();
        all.sort_unstable();
        let names = all.chunk_by(|one, other| one.0 == other.0).count();
        let mut hash = Sum::default();
        for (name, kind, line) in &all {
            kind.add_to(&mut hash, name, *line);
        }
        if names != book.names || hash.finalize() != base.digest {
            return flaw("its rules are not those that its digest names");
        }
        Ok(())
    }
}

/// Writes into the head of a bundle what its bytes hash to: what a damaged one lacks. For tests.
pub fn seal_bundle(bytes: &mut [u8]) {
    frame::seal(bytes);
}

/// The rules about addresses, as they are written.
fn addresses(book: &Rulebook) -> Vec<(bool, String, u32, u32)> {
    let of = |client: bool, rule: &ListedPrefix| {
        let (prefix, kind, line) = prefix(rule);
        (client, prefix, kind, line)
    };
    let clients = book.clients.rules().iter().map(|rule| of(true, rule));
    clients.chain(book.answers.rules().iter().map(|rule| of(false, rule))).collect()
}

fn prefix(rule: &ListedPrefix) -> (String, u32, u32) {
    (rule.prefix.to_string(), rule.kind, rule.line)
}

fn source_words(source: &Source, file: String) -> SourceWords {
    SourceWords {
        name: source.name.clone(),
        app: source.app.clone(),
        instrument: source.instrument.clone(),
        file,
        disabled: source.disabled,
        written: hexadecimal(&source.written),
        placed: hexadecimal(&source.placed),
    }
}

fn read(image: &Image) -> Result<Bundle, Flaw> {
    let ([words, code, groups, entries], of_file) = frame::read(image)?;
    if words.len() > MOST_WORDS {
        return Err(Flaw::Words("its words are longer than any could be".to_owned()));
    }
    let words = Words::read(&words)?;
    let (catalog, problems) =
        Catalog::read(words.catalog.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    if let Some(problem) = problems.iter().find(|problem| problem.is_error()) {
        return Err(Flaw::Catalog(format!("{}: {}", problem.place, problem.what)));
    }
    if catalog.apps.len() + catalog.instruments.len() + words.sources.len() > MOST_SETS {
        return Err(Flaw::Words("it has more apps and lists than can be told apart".to_owned()));
    }
    let (mut sets, mut sources, catalog_digest) = sets(&catalog, words.sources.iter().map(without_rules));
    for (source, said) in sources.iter_mut().zip(&words.sources) {
        (source.written, source.placed) = (digest(&said.written)?, digest(&said.placed)?);
    }
    let kinds = words.kinds(sets.len())?;
    let actions: Vec<_> = words.actions.iter().map(ActionWords::read).collect::<Result<_, _>>()?;
    let actions = Actions::of(actions).ok_or_else(|| Flaw::Words("an action stands twice".to_owned()))?;
    let base_digest = digest(&words.digest)?;
    let stored = StoredTable { groups, entries, code: code.to_vec(), labels: words.labels };
    let mut counts = vec![0u32; kinds.len()];
    let table = NameTable::restore(HashKey::of(&base_digest), stored, kinds.len(), |kind| {
        if let Some(count) = counts.get_mut(kind as usize) {
            *count += 1;
        }
    })
    .map_err(Flaw::Table)?;
    if table.len() != words.rules || words.names > words.rules || (words.names == 0 && words.rules > 0) {
        return Err(Flaw::Words("the number of its rules or names is another".to_owned()));
    }
    let addresses = words.addresses(kinds.len())?;
    for (_, rule) in &addresses {
        if let Some(count) = counts.get_mut(rule.kind as usize) {
            *count += 1;
        }
    }
    for (kind, count) in kinds.iter().zip(counts) {
        if let Some(set) = sets.get_mut(usize::from(kind.set)) {
            set.rules += count;
        }
    }
    let base = Base { table, digest: base_digest, repeated: Box::default() };
    let indexed = Indexed { base, names: words.names, kinds, sets, actions, addresses, catalog_digest };
    let book = Rulebook::of(catalog, sources, indexed, Some(of_file), problems);
    Ok(Bundle { book, made_by: words.made_by, stamp: words.stamp, reports: words.reports })
}

fn without_rules(source: &SourceWords) -> SourceRules {
    SourceRules {
        name: source.name.clone(),
        app: source.app.clone(),
        instrument: source.instrument.clone(),
        file: source.file.clone(),
        rules: Vec::new(),
        addresses: Vec::new(),
        disabled: source.disabled,
    }
}
