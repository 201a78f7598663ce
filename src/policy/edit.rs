//! Owns the edit of a list: some of its lines as they were and as they are, and which of their rules came, went or stayed.
//! Never applies it; the rulebook does.

use std::collections::{HashMap, VecDeque};

use super::rule::{Action, Reach, Rule};

/// Lines of a list that read differently now. They begin and end where runs of rules do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// The first of the lines.
    pub from: u32,
    /// The first line behind them, as lines were counted before; [`u32::MAX`] at the end of the list.
    pub until: u32,
    /// The same line, as lines are counted now.
    pub until_now: u32,
    /// Their rules before, in order.
    pub gone: Vec<Rule>,
    /// Their rules now, in order.
    pub come: Vec<Rule>,
    /// The lines of their rules about addresses, before and now; those rules are the same.
    pub addresses: Vec<(u32, u32)>,
}

/// What an edit comes to.
#[derive(Debug, Default)]
pub(super) struct Sorted<'e> {
    pub(super) removed: Vec<&'e Rule>,
    pub(super) added: Vec<&'e Rule>,
    /// The lines of rules that stayed, before and now, in order.
    pub(super) kept: Vec<(u32, u32)>,
}

type Key<'e> = (&'e [u8], Reach, Option<&'e Action>);

fn key(rule: &Rule) -> Key<'_> {
    (rule.name.as_wire(), rule.reach, rule.action.as_deref())
}

impl Edit {
    /// Tells rules that stayed, in the same order, from those that came and went.
    pub(super) fn sorted(&self) -> Sorted<'_> {
        let (gone, come) = (self.gone.as_slice(), self.come.as_slice());
        let mut sorted = Sorted { kept: self.addresses.clone(), ..Sorted::default() };
        let alike = |pair: &(&Rule, &Rule)| key(pair.0) == key(pair.1);
        let first = gone.iter().zip(come).take_while(alike).count();
        let rest = gone.len().min(come.len()) - first;
        let last = gone.iter().rev().zip(come.iter().rev()).take(rest).take_while(alike).count();
        let mut keep = |gone: &[Rule], come: &[Rule]| {
            sorted.kept.extend(gone.iter().zip(come).map(|(gone, come)| (gone.line, come.line)));
        };
        let (head, gone) = gone.split_at_checked(first).unwrap_or_default();
        let (head_now, come) = come.split_at_checked(first).unwrap_or_default();
        keep(head, head_now);
        let (gone, tail) = gone.split_at_checked(gone.len() - last).unwrap_or_default();
        let (come, tail_now) = come.split_at_checked(come.len() - last).unwrap_or_default();
        keep(tail, tail_now);

        // What is between: the first of each that keeps the order.
        let mut places: HashMap<Key<'_>, VecDeque<usize>> = HashMap::new();
        for (at, rule) in come.iter().enumerate() {
            places.entry(key(rule)).or_default().push_back(at);
        }
        let mut next = 0;
        for rule in gone {
            let mut place = None;
            if let Some(places) = places.get_mut(&key(rule)) {
                while places.pop_front_if(|at| *at < next).is_some() {}
                place = places.pop_front();
            }
            let Some(at) = place else {
                sorted.removed.push(rule);
                continue;
            };
            sorted.added.extend(come.get(next..at).unwrap_or(&[]));
            sorted.kept.extend(come.get(at).map(|now| (rule.line, now.line)));
            next = at + 1;
        }
        sorted.added.extend(come.get(next..).unwrap_or(&[]));
        sorted.kept.sort_unstable();
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<Rule> {
        let rule = |(line, name): (u32, &str)| Rule {
            name: name.parse().unwrap(),
            reach: Reach::Exact,
            action: None,
            line,
        };
        (1..).zip(text.split(' ').filter(|name| !name.is_empty())).map(rule).collect()
    }

    fn sorted(gone: &str, come: &str) -> (String, String, Vec<(u32, u32)>) {
        let edit = Edit { gone: rules(gone), come: rules(come), ..Edit::default() };
        let sorted = edit.sorted();
        let names =
            |rules: &[&Rule]| rules.iter().map(|rule| rule.name.to_string()).collect::<Vec<_>>().join(" ");
        (names(&sorted.removed), names(&sorted.added), sorted.kept)
    }

    #[test]
    fn what_stayed_is_told_from_what_came_and_went() {
        for (gone, come, removed, added, kept) in [
            ("a b c", "a x c", "b", "x", vec![(1, 1), (3, 3)]),
            ("a b c", "a b c d", "", "d", vec![(1, 1), (2, 2), (3, 3)]),
            ("a b c", "z a b c", "", "z", vec![(1, 2), (2, 3), (3, 4)]),
            ("a b c d e", "a x c y e", "b d", "x y", vec![(1, 1), (3, 3), (5, 5)]),
            ("a b", "", "a b", "", vec![]),
            ("", "a", "", "a", vec![]),
            ("a b", "b a", "b", "b", vec![(1, 2)]),
            ("a a b", "a b", "a", "", vec![(1, 1), (3, 2)]),
        ] {
            let expected = (removed.to_owned(), added.to_owned(), kept);
            assert_eq!(sorted(gone, come), expected, "{gone} → {come}");
        }
    }
}
