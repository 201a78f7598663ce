//! Owns the digest of a draft as written: everything that decides a query at whatever date, so that people can agree on a
//! change before it counts. Never looks at the moment; the snapshot's own digest does.

use std::collections::BTreeSet;

use super::catalog::Catalog;
use super::digest::{Written, hexadecimal};
use super::group::{Config, Draft, Exception};
use super::instrument::Instrument;
use crate::problem::Place;

/// What a draft says, as digests: equal on every host that reads the same inputs, on every day. Comments, line numbers and
/// the place of a file count for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Law {
    whole: [u8; 32],
    ordinary: [u8; 32],
    break_glass: BTreeSet<[u8; 32]>,
}

/// What one law changes of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amendment {
    /// Break-glass exceptions came; nothing else differs.
    BreakGlass,
    /// Break-glass exceptions went; nothing else differs.
    Lapse,
    /// Nothing differs.
    None,
    /// Something else differs.
    Ordinary,
}

impl Law {
    /// The law that `draft` states; `terms` is what else belongs to it in the operator's eyes.
    pub fn of(draft: &Draft, terms: &str) -> Self {
        let mut hash = Written::new();
        hash.text(terms);
        if let Some(bundle) = &draft.book.bundle {
            // A bundle says of itself what it was made from; what it is, its bytes say.
            hash.text("bundle");
            hash.update(bundle);
        }
        catalog(&mut hash, draft.book.catalog());
        settings(&mut hash, &draft.config);
        for source in &draft.book.sources {
            hash.text(&format!("source {:?} {:?} {:?}", source.name, source.app, source.instrument));
            hash.update(source.written);
            if source.disabled {
                hash.text("disabled");
            }
        }
        let mut ordinary = hash.clone();
        let mut break_glass = BTreeSet::new();
        for exception in &draft.config.exceptions {
            let digest = of_exception(exception);
            hash.update(digest);
            if exception.break_glass {
                break_glass.insert(digest);
            } else {
                ordinary.update(digest);
            }
        }
        Self { whole: hash.finalize(), ordinary: ordinary.finalize(), break_glass }
    }

    /// SHA-256 in hexadecimal.
    pub fn digest(&self) -> String {
        hexadecimal(&self.whole)
    }

    /// What this law changes of the one `before`.
    pub fn amends(&self, before: &Self) -> Amendment {
        if self.whole == before.whole {
            Amendment::None
        } else if self.ordinary != before.ordinary {
            Amendment::Ordinary
        } else if self.break_glass.is_subset(&before.break_glass) {
            Amendment::Lapse
        } else {
            Amendment::BreakGlass
        }
    }
}

fn catalog(hash: &mut Written, catalog: &Catalog) {
    for app in &catalog.apps {
        hash.text(&format!("app {:?} {:?}", app.id, app.title));
        for network in &app.networks {
            hash.text(&format!("{} {}", network.written, network.tier));
        }
        for listed in &app.names {
            hash.text(&format!("{} {:?} {}", listed.name, listed.reach, listed.tier));
        }
    }
    for act in &catalog.instruments {
        hash.text(&format!("{:?}", Instrument { place: Place::default(), ..act.clone() }));
    }
    for (kind, names) in [("canary", &catalog.canaries), ("never", &catalog.never)] {
        for listed in names {
            hash.text(&format!("{kind} {} {:?}", listed.name, listed.reach));
        }
    }
    for id in &catalog.default {
        hash.text(&format!("default {:?}", id.value));
    }
}

fn settings(hash: &mut Written, config: &Config) {
    let Config {
        action,
        ttl,
        sinkhole_ipv4,
        sinkhole_ipv6,
        contact,
        time_zone,
        block_ds,
        allow,
        otherwise,
        groups,
        exceptions: _,
        local,
        rebinding,
    } = config;
    hash.text(&format!("{rebinding:?}"));
    hash.text(local.written());
    hash.text(&format!("{action:?} {ttl} {sinkhole_ipv4} {sinkhole_ipv6} {contact:?} {block_ds}"));
    hash.text(&format!("{:?} {otherwise} {allow:?}", time_zone.iana_name()));
    for group in groups {
        let name = &group.name;
        hash.text(&format!("group {name:?} {:?} {} {:?}", group.clients, group.mode, group.action));
        hash.text(&format!("{} {}", group.extended, group.enforce.is_some()));
        for entry in group.enforce.iter().flatten() {
            hash.text(&format!("{:?} {} {}", entry.id, entry.mode, entry.extended));
        }
    }
}

fn of_exception(exception: &Exception) -> [u8; 32] {
    let Exception { id, group, apps, names, from, until, break_glass, approved_by, reason, place: _ } =
        exception;
    let mut hash = Written::new();
    hash.text(&format!("{id:?} {group:?} {apps:?} {names:?} {from:?} {until:?} {break_glass}"));
    hash.text(&format!("{approved_by:?} {reason:?}"));
    hash.finalize()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Reach, Rule, Rulebook, SourceRules, When};

    fn draft(ids: &[(&str, bool)], line: u32) -> Draft {
        let mut draft = Draft::default();
        for (id, break_glass) in ids {
            draft.config.exceptions.push(Exception {
                id: (*id).to_owned(),
                group: None,
                apps: vec!["tiktok".to_owned()],
                names: Vec::new(),
                from: None,
                until: "2027-03-31".parse::<When>().unwrap(),
                break_glass: *break_glass,
                approved_by: "CIO".to_owned(),
                reason: "analysis".to_owned(),
                place: Place::line("interdict.toml", line),
            });
        }
        let own = SourceRules {
            name: "own".to_owned(),
            app: None,
            instrument: None,
            file: format!("own{line}.txt"),
            rules: vec![Rule {
                name: "one.example".parse().unwrap(),
                reach: Reach::Exact,
                action: None,
                line,
            }],
            addresses: Vec::new(),
            disabled: false,
        };
        draft.book = Arc::new(Rulebook::new(Catalog::default(), vec![own]));
        draft.places = vec![Place::line("interdict.toml", line)];
        draft
    }

    #[test]
    fn where_a_law_is_written_counts_for_nothing() {
        assert_eq!(Law::of(&draft(&[("a", false)], 1), ""), Law::of(&draft(&[("a", false)], 9), ""));
        assert_ne!(Law::of(&draft(&[], 1), ""), Law::of(&draft(&[], 1), "max_shrink 20"));
    }

    #[test]
    fn a_date_far_ahead_is_another_law() {
        let mut later = draft(&[("a", false)], 1);
        later.config.exceptions[0].until = "2099-01-01".parse().unwrap();
        let (now, later) = (Law::of(&draft(&[("a", false)], 1), ""), Law::of(&later, ""));
        assert_eq!(later.amends(&now), Amendment::Ordinary);
        assert_ne!(later.digest(), now.digest());
    }

    #[test]
    fn only_break_glass_alone_is_break_glass() {
        let law = |ids: &[(&str, bool)]| Law::of(&draft(ids, 1), "");
        let before = law(&[("a", false)]);
        let open = law(&[("a", false), ("fire", true)]);
        assert_eq!(open.amends(&before), Amendment::BreakGlass);
        assert_eq!(before.amends(&open), Amendment::Lapse);
        assert_eq!(law(&[("b", false), ("fire", true)]).amends(&before), Amendment::Ordinary);
        assert_eq!(law(&[("a", true)]).amends(&before), Amendment::Ordinary);
        assert_eq!(open.amends(&open), Amendment::None);
    }
}
