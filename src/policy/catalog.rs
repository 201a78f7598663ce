//! Owns the catalog: apps and their names, instruments, bypass names, names never to be covered. Data, reviewed like
//! law, read from `blocklists/`: the copy built into the binary or an operator's directory. Never decides who is bound.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use super::client::Prefix;
use super::instrument::{Instrument, read_words, words};
use super::rule::Reach;
use super::sign::Sign;
use crate::dns::Name;
use crate::document::{self, Located, Section};
use crate::problem::{Place, Problem};
use std::fmt;

include!(concat!(env!("OUT_DIR"), "/blocklists.rs"));

/// Everything `blocklists/` states.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Apps in the order of their ids; the last may be [`ENCRYPTED_DNS`], made from `bypass.toml`.
    pub apps: Vec<App>,
    /// Instruments in the order of their ids.
    pub instruments: Vec<Instrument>,
    /// Names that are always answered negatively, so that devices keep using this resolver.
    pub canaries: Vec<ListedName>,
    /// Infrastructure of uninvolved parties that no rule may cover.
    pub never: Vec<ListedName>,
    /// Instrument ids that a network without configured groups enforces, in order.
    pub default: Vec<Located<String>>,
}

/// One app.
#[derive(Clone, Debug)]
pub struct App {
    /// Unique id, as groups, metrics and logs name it.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// Its names.
    pub names: Vec<ListedName>,
    /// Its networks, for firewalls; no answer is judged by them.
    pub networks: Vec<Network>,
    /// Names it asks for by itself while it is installed, for reports; no rules.
    pub signs: Vec<Sign>,
}

/// One network of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its addresses; `None` for a whole autonomous system, whose prefixes come and go.
    pub prefix: Option<Prefix>,
    /// The prefix, or `AS…`.
    pub written: String,
    /// Whether a ban alone enforces it.
    pub tier: Tier,
}

/// One name of the catalog, with where the fact comes from.
#[derive(Clone, Debug)]
pub struct ListedName {
    /// The name.
    pub name: Name,
    /// Which names it meets.
    pub reach: Reach,
    /// Whether a ban alone enforces it.
    pub tier: Tier,
    /// What the app uses it for, or why it is listed.
    pub purpose: String,
    /// Where it is written.
    pub place: Place,
}

words! {
    /// Whether a ban alone enforces a name.
    Tier {
        /// Enforced by a ban.
        Core = "core",
        /// Enforced only where a group asks for `extended`: services that are not banned use it too.
        Shared = "shared",
    }
}

words! {
    /// How sure it is that a name belongs to the app.
    Certainty {
        /// Registered or documented as the app's own.
        Owned = "owned",
        /// Also used by services that are not the app.
        Shared = "shared",
        /// Seen with the app by independent sources.
        StronglyTied = "strongly-tied",
    }
}

/// The app made of `bypass.toml`: public encrypted resolvers and relays. Enforced where a group names it.
pub const ENCRYPTED_DNS: &str = "encrypted-dns";

impl Catalog {
    /// The files of the catalog built into the binary: path below `blocklists/` and text.
    pub fn built_in() -> &'static [(&'static str, &'static str)] {
        BUILT_IN
    }

    /// Reads the files of a catalog, given as path below its directory and text. Returns every problem found.
    pub fn read<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> (Self, Vec<Problem>) {
        let mut catalog = Self::default();
        let mut problems = Vec::new();
        for (path, text) in files {
            let file = format!("blocklists/{path}");
            let ((), found) = document::read(&file, text, |top| catalog.read_file(path, top));
            problems.extend(found);
        }
        catalog.apps.sort_by(|a, b| a.id.cmp(&b.id));
        catalog.instruments.sort_by(|a, b| a.id.cmp(&b.id));
        catalog.verify(&mut problems);
        problems.sort();
        (catalog, problems)
    }

    /// The app with this id.
    pub fn app(&self, id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.id == id)
    }

    /// The instrument with this id.
    pub fn instrument(&self, id: &str) -> Option<&Instrument> {
        self.instruments.iter().find(|instrument| instrument.id == id)
    }

    fn read_file(&mut self, path: &str, top: &mut Section<'_>) {
        match path.split_once('/') {
            Some(("apps", name)) => {
                if let Some(app) = read_app(top) {
                    same_as_file(top, name, &app.id);
                    self.apps.push(app);
                }
            }
            Some(("instruments", name)) => {
                if let Some(instrument) = Instrument::read(top) {
                    same_as_file(top, name, &instrument.id);
                    self.instruments.push(instrument);
                }
            }
            None if path == "bypass.toml" => self.read_bypass(top),
            None if path == "never.toml" => {
                for mut section in top.sections("name") {
                    let listed = read_listed(&mut section, "reason");
                    self.never.extend(listed);
                }
            }
            None if path == "default.toml" => {
                self.default = top.strings("enforce").unwrap_or_default();
            }
            _ => top.problem(
                top.place(),
                "no such file belongs into a catalog",
                "apps/*.toml, instruments/*.toml, bypass.toml, never.toml and default.toml do",
            ),
        }
    }

    fn read_bypass(&mut self, top: &mut Section<'_>) {
        let mut names = Vec::new();
        let mut networks = Vec::new();
        for mut section in top.sections("canary") {
            let listed = read_bypass_name(&mut section);
            self.canaries.extend(listed);
        }
        for mut section in top.sections("relay") {
            names.extend(read_bypass_name(&mut section));
        }
        for mut section in top.sections("resolver") {
            if read_words(&mut section, "protocols", "say how it is reached, for example [\"DoH\"]")
                .is_empty()
            {
                continue;
            }
            if section.has("address") {
                let address = section.parsed::<IpAddr>("address", "write an IP address");
                networks.extend(address.map(|found| Network {
                    prefix: Some(Prefix::of(found.value)),
                    written: found.value.to_string(),
                    tier: Tier::Core,
                }));
                read_provenance(&mut section);
            } else {
                names.extend(read_bypass_name(&mut section));
            }
        }
        let title = "Public encrypted resolvers and relays".to_owned();
        self.apps.push(App { id: ENCRYPTED_DNS.to_owned(), title, names, networks, signs: Vec::new() });
    }

    /// What no single file can show: duplicates, unknown apps, rules over infrastructure of uninvolved parties.
    fn verify(&self, problems: &mut Vec<Problem>) {
        let mut seen: BTreeMap<(&Name, Reach), &Place> = BTreeMap::new();
        for listed in self.apps.iter().flat_map(|app| &app.names).chain(&self.canaries) {
            if let Some(first) = seen.insert((&listed.name, listed.reach), &listed.place) {
                problems.push(Problem::error(
                    listed.place.clone(),
                    format!("`{}` is listed twice", listed.name),
                    format!("it is also at {first}; a name belongs to one app"),
                ));
            }
            for never in &self.never {
                let covered = match listed.reach {
                    Reach::Exact => never.name == listed.name,
                    _ => never.name.is_at_or_below(&listed.name),
                };
                if covered {
                    problems.push(Problem::error(
                        listed.place.clone(),
                        format!("`{}` covers `{}`, which must never be blocked", listed.name, never.name),
                        format!("{} ({})", never.purpose, never.place),
                    ));
                }
            }
        }
        for pair in self.apps.windows(2) {
            if let [first, second] = pair
                && first.id == second.id
            {
                problems.push(Problem::error(
                    Place::file(&second.id),
                    "two apps have this id",
                    "ids are unique",
                ));
            }
        }
        for instrument in &self.instruments {
            for app in instrument.apps.iter().filter(|app| self.app(app).is_none()) {
                problems.push(Problem::error(
                    instrument.place.clone(),
                    format!("`{}` covers `{app}`, which is not in the catalog", instrument.id),
                    self.nearest_app(app),
                ));
            }
        }
        for id in &self.default {
            if self.instrument(&id.value).is_none() {
                problems.push(Problem::error(
                    id.place.clone(),
                    format!("no instrument is called `{}`", id.value),
                    "name an instrument by its id",
                ));
            }
        }
    }

    fn nearest_app(&self, id: &str) -> String {
        let ids: Vec<&str> = self.apps.iter().map(|app| app.id.as_str()).collect();
        match document::nearest(id, &ids) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add apps/{id}.toml, or take it out"),
        }
    }
}

fn read_app(top: &mut Section<'_>) -> Option<App> {
    let id = top.required("id");
    let title = top.required("title");
    top.required("owner");
    top.string("notes");
    let names = top
        .sections("name")
        .into_iter()
        .filter_map(|mut section| read_listed(&mut section, "purpose"))
        .collect();
    let networks =
        top.sections("address").into_iter().filter_map(|mut section| read_network(&mut section)).collect();
    let signs = top.sections("sign").into_iter().filter_map(|mut section| read_sign(&mut section)).collect();
    Some(App { id: id?.value, title: title?.value, names, networks, signs })
}

fn read_sign(section: &mut Section<'_>) -> Option<Sign> {
    read_words(section, "origin", "every fact must say where it comes from");
    section.required("name");
    section.parsed::<Sign>("name", "write a name; its first label may hold one `*`").map(|sign| sign.value)
}

fn read_network(section: &mut Section<'_>) -> Option<Network> {
    let tier = section.parsed::<Tier>("tier", "").map_or(Tier::Core, |found| found.value);
    section.parsed::<Certainty>("certainty", "");
    section.string("note");
    read_words(section, "origin", "every fact must say where it comes from");
    match (section.parsed::<Prefix>("prefix", "write a prefix such as 192.0.2.0/24"), section.string("asn")) {
        (Some(prefix), None) => {
            Some(Network { prefix: Some(prefix.value), written: prefix.value.to_string(), tier })
        }
        (None, Some(number)) => Some(Network { prefix: None, written: number.value, tier }),
        _ => {
            section.problem(
                section.place(),
                "an address is either a `prefix` or an `asn`",
                "write exactly one of them",
            );
            None
        }
    }
}

fn read_listed(section: &mut Section<'_>, purpose: &'static str) -> Option<ListedName> {
    let reach = match section.string("match") {
        Some(found) => match found.value.as_str() {
            "subtree" => Reach::Subtree,
            "exact" => Reach::Exact,
            other => {
                section.problem(found.place, format!("`match` is \"{other}\""), "use one of subtree, exact");
                Reach::Exact
            }
        },
        // A canary or a resolver is one host; an app's name or a never name says so itself.
        None => Reach::Exact,
    };
    let tier = section.parsed::<Tier>("tier", "").map_or(Tier::Core, |found| found.value);
    section.parsed::<Certainty>("certainty", "");
    section.string("collateral");
    let purpose = section.string(purpose).map(|found| found.value).unwrap_or_default();
    let origin = read_words(section, "origin", "every fact must say where it comes from");
    let place = section.place();
    let name = section.required("name")?;
    match Name::from_str(&name.value) {
        Ok(_) if origin.is_empty() => None,
        Ok(parsed) => Some(ListedName { name: parsed, reach, tier, purpose, place }),
        Err(error) => {
            section.problem(name.place, format!("`{}` is not a domain name: {error}", name.value), "");
            None
        }
    }
}

fn read_bypass_name(section: &mut Section<'_>) -> Option<ListedName> {
    section.required("provider");
    read_listed(section, "note")
}

fn read_provenance(section: &mut Section<'_>) {
    section.required("provider");
    section.string("note");
    read_words(section, "origin", "every fact must say where it comes from");
}

fn same_as_file(top: &Section<'_>, file: &str, id: &str) {
    if file.strip_suffix(".toml") != Some(id) {
        top.problem(
            top.place(),
            format!("`{id}` is in a file called {file}"),
            format!("call the file {id}.toml"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let (_, problems) = Catalog::read(files.iter().copied());
        problems.into_iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect()
    }

    #[test]
    fn the_built_in_catalog_has_no_problem_and_enforces_every_ban() {
        let (catalog, problems) = Catalog::read(Catalog::built_in().iter().copied());
        assert_eq!(problems, []);
        let bans =
            catalog.instruments.iter().filter(|act| act.kind == crate::policy::Kind::Ban).map(|act| &act.id);
        let mut bans: Vec<&String> = bans.collect();
        let mut default: Vec<&String> = catalog.default.iter().map(|id| &id.value).collect();
        assert_eq!(default.first().map(|id| id.as_str()), Some("ca-tbs-2023-10-30-wechat-kaspersky"));
        bans.sort();
        default.sort();
        assert_eq!(bans, default);
        for app in ["wechat", "kaspersky", "tiktok", ENCRYPTED_DNS] {
            assert!(catalog.app(app).is_some_and(|app| app.names.len() > 10), "{app}");
        }
    }

    #[test]
    fn a_catalog_that_contradicts_itself_is_refused() {
        let app = "id = \"a\"\ntitle = \"A\"\nowner = \"O\"\n[[name]]\nname = \"qq.com\"\nmatch = \"subtree\"\norigin = [\"x\"]\n";
        let twice = app.replace("\"a\"", "\"b\"");
        let never = "[[name]]\nname = \"www.qq.com\"\norigin = [\"x\"]\n";
        let found = problems(&[("apps/a.toml", app), ("apps/b.toml", &twice), ("never.toml", never)]);
        assert_eq!(
            found,
            [
                "blocklists/apps/a.toml:4:1: `qq.com` covers `www.qq.com`, which must never be blocked",
                "blocklists/apps/b.toml:4:1: `qq.com` covers `www.qq.com`, which must never be blocked",
                "blocklists/apps/b.toml:4:1: `qq.com` is listed twice",
            ]
        );
        let nameless = app.replace("origin = [\"x\"]", "origin = []");
        assert_eq!(
            problems(&[("apps/a.toml", &nameless)]),
            ["blocklists/apps/a.toml:4:1: `origin` is missing or empty"]
        );
    }
}
