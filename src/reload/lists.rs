//! Owns what the catalog and the lists among some inputs say, read once: inputs that differ only in groups, exceptions or
//! dates share it. Never reads a file and never publishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::inputs::{Inputs, SourceReport};
use super::reading::{Content, Reading, read, read_all};
use crate::policy::{AddressRule, Catalog, Override, Rule, Rulebook, SourceRules};
use crate::problem::{Place, Problem};
use crate::sources;

/// Catalog and lists in the form in which they are searched, and what is to be said of them.
#[derive(Debug)]
pub(super) struct Lists {
    /// SHA-256 of all they were made of.
    pub(super) made_of: [u8; 32],
    /// The same, lists' own bytes left out.
    settings: [u8; 32],
    pub(super) book: Arc<Rulebook>,
    pub(super) reports: Vec<SourceReport>,
    pub(super) problems: Vec<Problem>,
    /// What was said of the catalog among them.
    of_catalog: Vec<Problem>,
    /// Lists as they were read, and what was said of them, by name.
    readings: BTreeMap<String, (Arc<Reading>, Vec<Problem>)>,
}

impl Lists {
    /// Reads the catalog and the lists, or takes the first of `known` that was made of the same, or of lists that differ
    /// little: of those only what differs is read. With an error among the problems the rulebook is empty.
    pub(super) fn of(inputs: &Inputs, sources: &[sources::Config], known: &[&Arc<Self>]) -> Arc<Self> {
        let settings = settings(inputs, sources);
        let made_of = made_of(&settings, inputs);
        if let Some(same) = known.iter().find(|known| known.made_of == made_of) {
            return Arc::clone(same);
        }
        let edited = known
            .iter()
            .filter(|known| known.settings == settings)
            .find_map(|known| known.edited(inputs, sources, made_of));
        Arc::new(match (edited, &inputs.bundle) {
            (Some(edited), _) => edited,
            (None, Some(bundle)) => Self::bundled(bundle, made_of),
            (None, None) => Self { made_of, settings, ..Self::read(inputs, sources) },
        })
    }

    /// Those of a rulebook that no list was read for.
    pub(super) fn unread(
        made_of: [u8; 32],
        book: Rulebook,
        reports: Vec<SourceReport>,
        problems: Vec<Problem>,
    ) -> Self {
        Self {
            made_of,
            settings: [0; 32],
            book: Arc::new(book),
            reports,
            problems,
            of_catalog: Vec::new(),
            readings: BTreeMap::new(),
        }
    }

    /// The same with all rules in one table again.
    pub(super) fn folded(&self) -> Self {
        Self {
            book: Arc::new(self.book.folded()),
            reports: self.reports.clone(),
            problems: self.problems.clone(),
            of_catalog: self.of_catalog.clone(),
            readings: self.readings.clone(),
            ..*self
        }
    }

    /// The list of that name as it was read.
    pub(super) fn reading(&self, source: &str) -> Option<&Arc<Reading>> {
        self.readings.get(source).map(|(reading, _)| reading)
    }

    /// Reads everything anew.
    pub(super) fn read(inputs: &Inputs, sources: &[sources::Config]) -> Self {
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
                Catalog::read(texts.iter().map(|(name, text)| (*name, &**text)))
            }
        };
        problems.extend(found);
        let of_catalog = problems.clone();
        let (mut lists, mut reports, mut readings) = (Vec::new(), Vec::new(), BTreeMap::new());
        let texts: Vec<_> = sources.iter().map(|source| (source, inputs.sources.get(&source.name))).collect();
        for (source, read) in sources.iter().zip(read_all(&texts)) {
            let (rules, addresses) = match (read, source.is_collected()) {
                (Some((found, content)), _) => {
                    reports.push(found.report(source));
                    let reading = Arc::clone(&found.reading);
                    let of_list = found.problems(source);
                    problems.extend(of_list.iter().cloned());
                    readings.insert(source.name.clone(), (reading, of_list));
                    match content {
                        Content::Whole(rules, addresses) => (rules, addresses),
                        Content::Edits(_) => continue,
                    }
                }
                (None, true) => {
                    // Nothing of it is enforced; whoever gathered the inputs said so. Groups may name it all the same.
                    reports.push(without_content(source));
                    (Vec::new(), Vec::new())
                }
                (None, false) => {
                    let what = format!("source `{}` has no stored content", source.name);
                    let hint = "reload once its file can be read";
                    problems.push(Problem::error(source.place.clone(), what, hint));
                    continue;
                }
            };
            lists.push(listed(source, rules, addresses));
        }
        let book = if problems.iter().any(Problem::is_error) {
            Rulebook::default()
        } else {
            Rulebook::new(catalog, lists)
        };
        let book = Arc::new(book);
        Self { made_of: [0; 32], settings: [0; 32], book, reports, problems, of_catalog, readings }
    }

    /// These, with what differs in some lists. `None` when that is too much, or not good.
    fn edited(&self, inputs: &Inputs, sources: &[sources::Config], made_of: [u8; 32]) -> Option<Self> {
        /// Rules beside the table: putting them in place takes a few milliseconds each time.
        const MOST: usize = 16_384;
        if inputs.bundle.is_some() || self.problems.iter().any(Problem::is_error) {
            return None;
        }
        let (mut edits, mut reports, mut readings) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut problems = self.of_catalog.clone();
        for (index, source) in sources.iter().enumerate() {
            match (inputs.sources.get(&source.name), self.readings.get(&source.name)) {
                (Some(raw), Some((reading, said))) if reading.is_of(raw) => {
                    let report = self.reports.iter().find(|report| report.name == source.name)?;
                    reports.push(report.clone());
                    problems.extend(said.iter().cloned());
                    readings.insert(source.name.clone(), (Arc::clone(reading), said.clone()));
                }
                (Some(raw), Some((reading, _))) => {
                    let (found, content) = read(source, raw, Some(reading));
                    let Content::Edits(of_list) = content else { return None };
                    edits.push((index, of_list));
                    reports.push(found.report(source));
                    let reading = Arc::clone(&found.reading);
                    let said = found.problems(source);
                    problems.extend(said.iter().cloned());
                    readings.insert(source.name.clone(), (reading, said));
                }
                (None, None) => reports.push(without_content(source)),
                _ => return None,
            }
        }
        if problems.iter().any(Problem::is_error) {
            return None;
        }
        let book = self.book.edited(&edits).filter(|book| book.overlay_len() <= MOST)?;
        let (settings, of_catalog) = (self.settings, self.of_catalog.clone());
        Some(Self { made_of, settings, book: Arc::new(book), reports, problems, of_catalog, readings })
    }
}

fn listed(source: &sources::Config, rules: Vec<Rule>, addresses: Vec<AddressRule>) -> SourceRules {
    SourceRules {
        name: source.name.clone(),
        app: source.app.clone(),
        instrument: source.instrument.clone(),
        file: source.title(),
        rules,
        addresses,
        disabled: source.rehearsed || source.overriding == Override::Disabled,
    }
}

fn without_content(source: &sources::Config) -> SourceReport {
    SourceReport { name: source.name.clone(), file: source.title(), ..SourceReport::default() }
}

/// What the lists depend on besides their own bytes: catalog, bundle, and the settings they are read by.
fn settings(inputs: &Inputs, sources: &[sources::Config]) -> [u8; 32] {
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
        // Whatever is set for it counts, so that nothing can be forgotten here; where that is written does not.
        let settings = sources::Config { place: Place::default(), ..source.clone() };
        text(format!("{settings:?}"));
    }
    hash.finalize().into()
}

fn made_of(settings: &[u8; 32], inputs: &Inputs) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(settings);
    for (name, raw) in &inputs.sources {
        hash.update(format!("{name:?} {:?} {}\n", raw.name, raw.digest));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Format, Piece, Text};
    use crate::sources::{Config, Raw};

    fn inputs(list: &str) -> Inputs {
        inputs_of(Text::whole(list.as_bytes().to_vec()))
    }

    fn inputs_of(list: Text) -> Inputs {
        let raw = Raw::of("own.txt", list);
        Inputs { sources: [("own".to_owned(), raw)].into(), ..Inputs::default() }
    }

    /// The list in pieces, which it shares with that before.
    fn in_pieces(list: &str, before: &Inputs) -> Text {
        let mut pieces = vec![String::new()];
        for line in list.split_inclusive('\n') {
            if line.bytes().map(u32::from).sum::<u32>() % 97 == 0 {
                pieces.push(String::new());
            }
            pieces.last_mut().unwrap().push_str(line);
        }
        let text = Text::of(pieces.into_iter().map(|piece| Piece::new(piece.into_bytes())).collect());
        text.sharing(&before.sources["own"].content)
    }

    fn source() -> Config {
        Config::file("own", "own.txt", Format::Domains, Place::line("interdict.toml", 4))
    }

    #[test]
    fn what_did_not_change_is_not_read_again() {
        let first = Lists::of(&inputs("one.example\n"), &[source()], &[]);
        let moved = Config { place: Place::line("interdict.toml", 40), ..source() };
        let again = Lists::of(&inputs("one.example\n"), &[moved], &[&first]);
        assert!(Arc::ptr_eq(&first, &again));
    }

    #[test]
    fn whatever_the_lists_depend_on_has_them_read_again() {
        let first = Lists::of(&inputs("one.example\n"), &[source()], &[]);
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
            let read = Lists::of(&inputs("one.example\n"), &[other], &[&first]);
            assert!(!Arc::ptr_eq(&first, &read));
        }
        assert!(!Arc::ptr_eq(&first, &Lists::of(&inputs("two.example\n"), &[source()], &[&first])));
        assert!(!Arc::ptr_eq(&first, &Lists::of(&inputs("one.example\n"), &[], &[&first])));
        let catalog = Some(Vec::new());
        let with_catalog = Inputs { catalog, ..inputs("one.example\n") };
        assert!(!Arc::ptr_eq(&first, &Lists::of(&with_catalog, &[source()], &[&first])));
    }

    /// Lists that are made, line by line, of names that meet each other, in every syntax.
    struct Maker {
        seed: u64,
        format: Format,
    }

    impl Maker {
        fn chance(&mut self, below: u64) -> u64 {
            self.seed =
                self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.seed >> 33) % below
        }

        fn name(&mut self) -> String {
            match self.chance(4) {
                0 => format!("n{}.example", self.chance(4000)),
                1 => format!("a{}.n{}.example", self.chance(9), self.chance(4000)),
                2 => format!("{}.test", self.chance(500)),
                _ => format!("host-{}.org", self.chance(1_000_000)),
            }
        }

        fn line(&mut self) -> String {
            let name = self.name();
            let odd = self.chance(40);
            match self.format {
                _ if odd == 0 => "".to_owned(),
                Format::Adblock => match odd {
                    1 => "! a comment".to_owned(),
                    2 => "example.com##.advert".to_owned(),
                    3 => format!("@@||{name}^"),
                    4..10 => format!("|{name}^"),
                    _ => format!("||{name}^"),
                },
                Format::Dnsmasq => match odd {
                    1 => "cache-size=10".to_owned(),
                    2..5 => format!("address=/{name}/192.0.2.1\naddress=/{name}/2001:db8::1"),
                    5 => format!("local=/{name}/{}/", self.name()),
                    _ => format!("address=/{name}/"),
                },
                Format::Domains => match odd {
                    1 => "# a comment".to_owned(),
                    2..8 => format!("*.{name}"),
                    8 => "example".to_owned() + &name.replace('.', "-"),
                    _ => name,
                },
                Format::Hosts => match odd {
                    1 => format!("0.0.0.0 {name} {} {}", self.name(), self.name()),
                    2 => "127.0.0.1 localhost".to_owned(),
                    _ => format!("0.0.0.0 {name}"),
                },
                Format::Rpz => match odd {
                    1 => format!("{name} A 192.0.2.1\n  AAAA 2001:db8::1"),
                    2 => format!("{name} TXT ( \"one\"\n \"two\" )"),
                    3 => format!("{name} CNAME rpz-passthru."),
                    21 => format!("{name} CNAME rpz-drop."),
                    22 => format!("{name} CNAME *."),
                    4..20 => format!("*.{name} CNAME ."),
                    20 => format!("{name}.rpz-nsdname CNAME ."),
                    _ => format!("{name} CNAME ."),
                },
            }
        }

        fn head(&self) -> Vec<String> {
            match self.format {
                Format::Rpz => {
                    ["$TTL 60", "@ SOA ns. contact. 1 2 3 4 5", "@ NS ns."].map(str::to_owned).into()
                }
                _ => Vec::new(),
            }
        }

        fn text(lines: &[String]) -> String {
            lines.join("\n") + "\n"
        }

        /// Changes a few lines here and there.
        fn change(&mut self, lines: &mut Vec<String>) {
            for _ in 0..1 + self.chance(3) {
                let at = 3 + self.chance(lines.len() as u64 - 3) as usize;
                match self.chance(6) {
                    0 => drop(lines.remove(at)),
                    1 => lines.insert(at, self.line()),
                    2 => lines[at] = self.line(),
                    3 => lines.push(self.line()),
                    4 => {
                        let line = lines[at].clone();
                        lines.insert(3 + self.chance(lines.len() as u64 - 3) as usize, line);
                    }
                    _ => drop(lines.drain(at..(at + 5).min(lines.len()))),
                }
            }
        }
    }

    /// Whatever a list was read from, step by step, it is what one reading of all of it gives.
    #[test]
    fn a_list_that_is_edited_is_the_list_that_is_read() {
        use crate::dns::RecordType;
        use crate::policy::{Difference, Draft, Enforce, Group, Inquiry, Labels, Mode, Snapshot, compile};

        let own =
            Enforce { id: "own".to_owned(), mode: Mode::Enforce, extended: false, place: Place::default() };
        let group = Group {
            name: "default".to_owned(),
            identities: Vec::new(),
            clients: Vec::new(),
            enforce: Some(vec![own]),
            mode: Mode::Enforce,
            extended: false,
            action: None,
            outbound: crate::policy::Outbound::Off,
            reach: Vec::new(),
            ech: crate::policy::Ech::Keep,
            place: Place::default(),
        };
        let compiled = |lists: &Lists| -> Snapshot {
            let config = crate::policy::Config { groups: vec![group.clone()], ..Default::default() };
            let draft = Draft { book: Arc::clone(&lists.book), config, places: vec![Place::default()] };
            compile(draft, "2026-01-01T00:00:00Z".parse().unwrap(), 1, &Labels::default()).unwrap().snapshot
        };
        let mut edited = 0;
        for (seed, format) in
            (1..).zip([Format::Adblock, Format::Dnsmasq, Format::Domains, Format::Hosts, Format::Rpz])
        {
            let source = Config::file("own", "own.txt", format, Place::default());
            let mut maker = Maker { seed, format };
            let mut lines: Vec<String> = maker.head();
            (0..6000).for_each(|_| lines.push(maker.line()));
            let mut held = inputs(&Maker::text(&lines));
            let mut lists = Lists::of(&held, std::slice::from_ref(&source), &[]);
            assert_eq!(lists.problems.iter().find(|problem| problem.is_error()), None);
            let mut before = compiled(&lists);
            for step in 0..25 {
                maker.change(&mut lines);
                let text = Maker::text(&lines);
                let now = if step % 4 > 1 { inputs_of(in_pieces(&text, &held)) } else { inputs(&text) };
                let sources = std::slice::from_ref(&source);
                let next = Lists::of(&now, sources, &[&lists]);
                let whole = Lists::of(&now, sources, &[]);
                edited += usize::from(next.book.shares_table(&lists.book));
                assert_eq!(next.book.digest(), whole.book.digest(), "{format}");
                assert_eq!(next.book.name_count(), whole.book.name_count(), "{format}");
                assert_eq!(next.book.rule_count(), whole.book.rule_count(), "{format}");
                assert_eq!(next.problems, whole.problems, "{format}");
                assert_eq!(format!("{:?}", next.reports), format!("{:?}", whole.reports), "{format}");
                let (after, anew) = (compiled(&next), compiled(&whole));
                assert_eq!(after.digest(), anew.digest(), "{format}");
                assert_eq!(after.rules_by_set(), anew.rules_by_set());
                let names = |snapshot: &Snapshot| {
                    let mut names: Vec<String> =
                        snapshot.listed_names().map(|name| format!("{name:?}")).collect();
                    names.sort();
                    names
                };
                assert_eq!(names(&after), names(&anew), "{format}");
                let folded = next.folded();
                assert_eq!(folded.book.overlay_len(), 0);
                assert_eq!(folded.book.digest(), whole.book.digest(), "{format}");
                let in_order = compiled(&folded);
                assert_eq!(in_order.digest(), anew.digest(), "{format}");
                assert_eq!(in_order.rules_by_set(), anew.rules_by_set());
                assert_eq!(names(&in_order), names(&anew), "{format}");
                for _ in 0..200 {
                    let inquiry = Inquiry {
                        name: Some(maker.name().parse().unwrap()),
                        record_type: RecordType::A,
                        client: [127, 0, 0, 1].into(),
                        identity: None,
                        address: None,
                        name_server: None,
                    };
                    let [one, other, third] = [&after, &anew, &in_order]
                        .map(|snapshot| format!("{:?}", snapshot.explain(&inquiry)));
                    assert_eq!((&one, &one), (&other, &third), "{format}");
                }
                let [short, long] = [&after, &anew].map(|snapshot| Difference::between(&before, snapshot));
                assert_eq!(short, long, "{format}");
                // What is in order is where later changes start from.
                lists = if step % 5 == 4 { Arc::new(folded) } else { next };
                (before, held) = (after, now);
            }
        }
        assert!(edited > 60, "only {edited} of 125 changes were edits");
    }

    #[test]
    fn many_lists_each_keep_their_place() {
        let number = |name: &str| name.trim_start_matches("list").parse::<usize>().unwrap();
        let all: Vec<String> = (1..=40).map(|number| format!("list{number}")).collect();
        let mut inputs = Inputs::default();
        for name in &all {
            let lines: String =
                (0..number(name) * 37 % 1000 + 1).map(|line| format!("n{line}.{name}.example\n")).collect();
            inputs.sources.insert(name.clone(), Raw::new(name.clone(), lines.into_bytes()));
        }
        let source = |name: &String| Config::file(name, name, Format::Domains, Place::default());
        let sources: Vec<Config> = all.iter().map(source).collect();
        let lists = Lists::of(&inputs, &sources, &[]);
        let found: Vec<_> = lists.reports.iter().map(|report| (report.name.clone(), report.rules)).collect();
        let expected: Vec<_> = all.iter().map(|name| (name.clone(), number(name) * 37 % 1000 + 1)).collect();
        assert_eq!(found, expected);
        assert_eq!(lists.book.digest(), Lists::of(&inputs, &sources, &[]).book.digest());
    }

    #[test]
    fn with_an_error_there_are_no_rules_to_be_used_by_mistake() {
        let lists = Lists::of(&inputs("one.example\n<html>\n"), &[source()], &[]);
        assert!(lists.problems.iter().any(Problem::is_error));
        assert_eq!(lists.book.memory(), Rulebook::default().memory());
    }
}
