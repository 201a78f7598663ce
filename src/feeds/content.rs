//! Owns what a group's policy comes to for other programs: the names and networks of a selection, each once, in one order on every host, and
//! what had to be left out. Never renders.

use std::collections::{BTreeMap, HashSet};

use super::entry::{Entry, Reversed};
use super::selection::Selection;
use crate::policy::{Attribution, Fate, Prefix, Reach, Snapshot};
use crate::problem::Problem;

/// A selection of a policy.
#[derive(Debug)]
pub(super) struct Content {
    /// Every listed name, by what is said of it and of what is below it.
    names: BTreeMap<Reversed, (Said, Said)>,
    /// Networks, none inside of another.
    pub(super) networks: Vec<Prefix>,
    /// What no format says.
    pub(super) unsaid: Unsaid,
}

/// What of a policy is in no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unsaid {
    /// Names whose answer must have no address.
    pub(super) canaries: u64,
    /// Names with other bytes than hosts' names have.
    pub(super) odd: u64,
    /// Names that are rehearsed only.
    pub(super) rehearsed: u64,
    /// Names that are answered otherwise and not blocked.
    pub(super) rewritten: u64,
    /// Networks without a prefix, or with an exception inside.
    pub(super) networks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Blocked,
    /// For another app or act than is asked for: nobody need say it, and nobody may say the opposite.
    BlockedBeside,
    Nothing,
    Passed,
}

/// Whether names are listed by which devices learn whether to stay with their resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Canaries {
    /// Where what loads the list answers with an address: that sends devices past it, to resolvers of their own.
    LeftOut,
    /// Where it answers negatively, or not at all.
    Listed,
}

/// What a format can say of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// That a name is blocked; nothing of what is below.
    Names,
    /// That a name is blocked, or what is below it.
    Trees,
    /// And what is let pass inside of that.
    Passes,
    /// The same, where a name in between hides what is said above it (RFC 4592).
    Wildcards,
}

impl Content {
    /// The content of a selection, with or without canaries; the complaint names what there is not.
    pub(super) fn new(
        snapshot: &Snapshot,
        selection: &Selection,
        canaries: Canaries,
    ) -> Result<Self, Problem> {
        let group = selection.find(snapshot)?;
        let mut unsaid = Unsaid::default();
        let mut names = BTreeMap::new();
        let holds = |attribution: Attribution<'_>| selection.part.holds(attribution);
        let said = |fate| match fate {
            Fate::Blocked => Said::Blocked,
            Fate::Canary if canaries == Canaries::Listed && holds(Attribution::default()) => Said::Blocked,
            Fate::BlockedBeside | Fate::Canary => Said::BlockedBeside,
            Fate::Passed => Said::Passed,
            _ => Said::Nothing,
        };
        for name in snapshot.listed_names() {
            let fate = snapshot.fate(group, &name, holds);
            unsaid.canaries += u64::from(fate == Fate::Canary && canaries == Canaries::LeftOut);
            unsaid.rehearsed += u64::from(fate == Fate::Rehearsed);
            unsaid.rewritten += u64::from(fate == Fate::Rewritten);
            let parts = (said(fate), said(snapshot.fate_below(group, &name, holds)));
            match Reversed::of(&name) {
                Some(reversed) => drop(names.insert(reversed, parts)),
                None => unsaid.odd += u64::from(parts.0 == Said::Blocked || parts.1 == Said::Blocked),
            }
        }
        let mut networks = Vec::new();
        for prefix in snapshot.blocked_networks(group, holds) {
            networks.extend(prefix);
            unsaid.networks += u64::from(prefix.is_none());
        }
        Ok(Self { names, networks: Prefix::outermost(networks), unsaid })
    }

    /// Calls `found` for every line that a format with such words has; returns of how many names it says less than is blocked.
    pub(super) fn entries(&self, words: Words, mut found: impl FnMut(Entry<'_>)) -> u64 {
        match words {
            Words::Names => self.each_name(&mut found),
            Words::Trees => self.each_tree(&mut found),
            Words::Passes => self.each_change(false, &mut found),
            Words::Wildcards => self.each_change(true, &mut found),
        }
    }

    fn each_name(&self, found: &mut dyn FnMut(Entry<'_>)) -> u64 {
        let mut less = 0;
        for (name, (own, below)) in &self.names {
            if *own == Said::Blocked {
                found(Entry { name: &name.text(), reach: Reach::Exact, passes: false });
            }
            less += u64::from(*below == Said::Blocked);
        }
        less
    }

    fn each_tree(&self, found: &mut dyn FnMut(Entry<'_>)) -> u64 {
        let mut less = 0;
        let mut covered: Option<&Reversed> = None;
        for (name, (own, below)) in &self.names {
            if covered.is_some_and(|above| name.is_at_or_below(above)) {
                continue;
            }
            let (own, below) = (*own == Said::Blocked, *below == Said::Blocked);
            // Who says that a tree is blocked says it of what is let pass inside.
            let inside = self.names.range(name..).skip(1).take_while(|(other, _)| other.is_at_or_below(name));
            let is_hole = |said| matches!(said, Said::Nothing | Said::Passed);
            let has_holes =
                below && inside.into_iter().any(|(_, (own, below))| is_hole(*own) || is_hole(*below));
            less += u64::from(has_holes);
            let reach = match (own, below && !has_holes) {
                (true, true) => Reach::Subtree,
                (true, false) => Reach::Exact,
                (false, true) => Reach::Below,
                (false, false) => continue,
            };
            if reach != Reach::Exact {
                covered = Some(name);
            }
            found(Entry { name: &name.text(), reach, passes: false });
        }
        less
    }

    /// Each name where something else is said than above it; and where a name that is there hides what is said above it, those in between.
    fn each_change(&self, hides: bool, found: &mut dyn FnMut(Entry<'_>)) -> u64 {
        /// What is above a name: what is said below it, and whether it has a line itself.
        type Above<'n> = Vec<(&'n Reversed, Said, bool)>;
        let mut above: Above<'_> = Vec::new();
        let mut filled: HashSet<Reversed> = HashSet::new();
        for (name, (own, below)) in &self.names {
            while above.last().is_some_and(|(other, ..)| !name.is_at_or_below(other)) {
                above.pop();
            }
            let around = above.last().map_or(Said::Nothing, |(_, below, _)| *below);
            // Inside of what is blocked, what is not blocked passes; elsewhere that need not be said.
            let of = |said| match (said, around) {
                (Said::Blocked, _) => Said::Blocked,
                (Said::Nothing | Said::Passed, Said::Blocked) => Said::Passed,
                (Said::BlockedBeside | Said::Nothing | Said::Passed, _) => around,
            };
            let (own, below) = (of(*own), of(*below));
            let has_line = own != around || below != around;
            let mut say = |name: &Reversed, said, reach| {
                found(Entry { name: &name.text(), reach, passes: said != Said::Blocked });
            };
            if hides && has_line && around != Said::Nothing {
                let nearest = above.iter().rev().find(|(.., has_line)| *has_line);
                let between = nearest.into_iter().flat_map(|(other, ..)| name.between(other));
                for between in between.filter(|between| filled.insert(between.clone())).collect::<Vec<_>>() {
                    say(&between, around, Reach::Subtree);
                }
            }
            if own == below && has_line {
                say(name, own, Reach::Subtree);
            } else if has_line {
                // Where nothing is said above, what passes need not be said; where a wildcard would be hidden, all is.
                let must = |said| said != around || (hides && around != Said::Nothing);
                if must(own) {
                    say(name, own, Reach::Exact);
                }
                if must(below) {
                    say(name, below, Reach::Below);
                }
            }
            above.push((name, below, has_line));
        }
        0
    }
}
