//! Owns the naming of a rule: what it lists, and where that stands. Done for nearly each blocked query that is logged, as where lists are long each
//! meets another rule: writes over the words that were there, and reads as little of the rules as it can. Never decides.

use std::fmt::Write as _;

use super::address::Whose;
use super::explain::Description;
use super::snapshot::Snapshot;
use super::verdict::{Cause, Trigger};
use crate::dns::CanonicalName;
use crate::problem::Place;

impl Snapshot {
    /// Puts what tells a cause's rule from the others of its kind in place of what `words` say of another's: its name or prefix, and its place.
    /// `asked` is the name in the question, where that is known.
    pub fn name_rule(&self, cause: &Cause, asked: Option<&CanonicalName>, words: &mut Description) {
        words.listed.clear();
        let line = self.name_listed(cause, asked, &mut words.listed).unwrap_or_default();
        words.rule.clear();
        if let Some(kind) = self.kinds.get(cause.kind as usize) {
            // Writing to memory does not fail.
            _ = write!(words.rule, "{}", self.rule_place(kind.set, line)).is_ok();
        }
    }

    /// Names what a cause's rule lists. Returns its line.
    fn name_listed(&self, cause: &Cause, asked: Option<&CanonicalName>, out: &mut String) -> Option<u32> {
        let whose = match (cause.trigger, asked) {
            // Listed is what was asked, or a name above it.
            (Trigger::QueryName, Some(name)) => {
                name.write_suffix(cause.depth.into(), out).ok()?;
                return self.line_of(cause.rule, cause.kind);
            }
            (Trigger::NameServerName | Trigger::QueryName | Trigger::ResponseName, _) => {
                let (wire, line) = self.rule(cause.rule)?;
                CanonicalName::read(&wire)?.write_text(out).ok()?;
                return Some(line);
            }
            (Trigger::ClientAddress, _) => Whose::Client,
            (Trigger::NameServerAddress, _) => Whose::NameServer,
            (Trigger::ResponseAddress, _) => Whose::Answer,
            // Held as a part of an app or a list, and not by one of its rules.
            (Trigger::Egress, _) => {
                let set = self.kinds.get(cause.kind as usize)?.set;
                out.push_str(&self.set_title(set));
                return Some(0);
            }
        };
        let rule = self.addresses_of(whose).rule(cause.rule)?;
        write!(out, "{}", rule.prefix).ok()?;
        Some(self.line(rule.kind, rule.line))
    }

    pub(super) fn rule_place(&self, set: u16, line: u32) -> Place {
        Place::line(self.set(set).map(|set| set.file.clone()).unwrap_or_default(), line)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dns::Name;
    use crate::policy::{
        Catalog, Config, Draft, Exception, Labels, Reach, Rule, Rulebook, SourceRules, Verdict, When, compile,
    };

    #[test]
    fn a_rule_is_named_by_what_was_asked_as_it_is_listed() {
        let listed = [
            ("tiktok.example", Reach::Subtree),
            ("wechat.example", Reach::Below),
            ("exact.kaspersky.example", Reach::Exact),
            ("a\\046b\\000.example", Reach::Subtree),
        ];
        let rules = (7..).zip(listed).map(|(line, (name, reach))| Rule {
            name: name.parse().unwrap(),
            reach,
            action: None,
            line,
        });
        let source = SourceRules {
            name: "own".to_owned(),
            app: None,
            instrument: None,
            file: "own.txt".to_owned(),
            rules: rules.collect(),
            addresses: Vec::new(),
            disabled: false,
        };
        let exception = Exception {
            id: "press".to_owned(),
            group: None,
            apps: Vec::new(),
            names: vec!["news.tiktok.example".parse().unwrap()],
            from: None,
            until: "2030-01-01".parse::<When>().unwrap(),
            break_glass: false,
            approved_by: "the board".to_owned(),
            reason: "press".to_owned(),
            place: Place::line("interdict.toml".to_owned(), 3),
        };
        let draft = Draft {
            book: Arc::new(Rulebook::new(Catalog::default(), vec![source])),
            config: Config { exceptions: vec![exception], ..Config::default() },
            places: vec![Place::default()],
        };
        let compiled = compile(draft, "2026-01-01T00:00:00Z".parse().unwrap(), 1, &Labels::default());
        let snapshot = compiled.unwrap().snapshot;
        for (asked, listed, place) in [
            ("tiktok.example", "tiktok.example", "own.txt:7"),
            ("a.b.c.tiktok.example", "tiktok.example", "own.txt:7"),
            ("www.wechat.example", "wechat.example", "own.txt:8"),
            ("exact.kaspersky.example", "exact.kaspersky.example", "own.txt:9"),
            ("x.a\\046b\\000.example", "a\\.b\\000.example", "own.txt:10"),
            ("live.news.tiktok.example", "news.tiktok.example", "interdict.toml:3"),
        ] {
            let asked = CanonicalName::from(&asked.parse::<Name>().unwrap());
            let (Verdict::Deny(cause) | Verdict::Permit(cause)) = snapshot.decide_query(0, &asked) else {
                panic!("{asked} meets nothing");
            };
            let mut words = Description { listed: "other".to_owned(), ..snapshot.describe(&cause) };
            assert_eq!(words.rule, place);
            snapshot.name_rule(&cause, Some(&asked), &mut words);
            assert_eq!((&*words.listed, &*words.rule), (listed, place));
            assert_eq!(words.listed, snapshot.describe(&cause).listed);
        }
    }
}
