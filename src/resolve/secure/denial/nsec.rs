//! Owns proofs by NSEC records (RFC 4035 section 5.4): each says which name is the next one in its zone.

use hickory_resolver::proto::dnssec::rdata::NSEC;
use hickory_resolver::proto::rr::{Name, RecordType};

use super::{Denied, ancestor, denies, ends_here, labels, wildcard};

type Records<'r> = [(&'r Name, &'r NSEC)];

/// True when the record says that nothing stands at `name`, which is between its owner and the next name.
fn covers((owner, record): &(&Name, &NSEC), name: &Name) -> bool {
    let next = record.next_domain_name();
    let between = if next > *owner {
        *owner < name && name < next
    } else {
        // The last one leads back to the apex.
        *owner < name && next.zone_of(name)
    };
    between && !(owner.zone_of(name) && ends_here(record.type_set()))
}

/// How many labels of `name`, from the right, are shared with another name.
fn shared(name: &Name, other: &Name) -> usize {
    let most = labels(name).min(labels(other));
    (0..=most).rev().find(|count| ancestor(name, *count) == ancestor(other, *count)).unwrap_or(0)
}

/// The labels of the closest ancestor of `name` that is known to exist by a record that covers it.
fn encloser((owner, record): &(&Name, &NSEC), name: &Name) -> usize {
    shared(name, owner).max(shared(name, record.next_domain_name()))
}

/// True when the next name stands below `name`, which so exists, with nothing at it.
fn is_empty_non_terminal((_, record): &(&Name, &NSEC), name: &Name) -> bool {
    let next = record.next_domain_name();
    next != name && name.zone_of(next)
}

/// The labels of the closest ancestor of `name` that is known to exist by a record that covers it; `None` where none does.
pub(super) fn encloser_of(records: &Records<'_>, name: &Name) -> Option<usize> {
    let covering = records.iter().find(|record| covers(record, name) && !is_empty_non_terminal(record, name));
    covering.map(|record| encloser(record, name))
}

pub(super) fn no_name(records: &Records<'_>, name: &Name) -> Denied {
    let proved = records
        .iter()
        .filter(|record| covers(record, name) && !is_empty_non_terminal(record, name))
        .any(|record| {
            let Some(wildcard) = wildcard(name, encloser(record, name)) else { return false };
            records.iter().any(|other| covers(other, &wildcard) && !is_empty_non_terminal(other, &wildcard))
        });
    if proved { Denied::Proved } else { Denied::Unproved }
}

pub(super) fn no_data(records: &Records<'_>, name: &Name, kind: RecordType) -> Denied {
    let at = |owner: &Name| records.iter().find(|(known, _)| *known == owner);
    if let Some((_, record)) = at(name) {
        return if denies(record.type_set(), name, kind) { Denied::Proved } else { Denied::Unproved };
    }
    let proved = records.iter().filter(|record| covers(record, name)).any(|record| {
        if is_empty_non_terminal(record, name) {
            return true;
        }
        let wildcard = wildcard(name, encloser(record, name));
        let found = wildcard.as_ref().and_then(at);
        found.is_some_and(|(owner, record)| denies(record.type_set(), owner, kind))
    });
    if proved { Denied::Proved } else { Denied::Unproved }
}

pub(super) fn no_closer(records: &Records<'_>, name: &Name, labels_of_encloser: usize) -> Denied {
    let proves = |record: &(&Name, &NSEC)| {
        covers(record, name)
            && !is_empty_non_terminal(record, name)
            && encloser(record, name) <= labels_of_encloser
    };
    if records.iter().any(proves) { Denied::Proved } else { Denied::Unproved }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    /// A zone in order, as its records: owner, types.
    fn zone(owners: &[(&str, &[RecordType])]) -> Vec<(Name, NSEC)> {
        let next = |at: usize| name(owners[(at + 1) % owners.len()].0);
        let records = owners.iter().enumerate();
        records
            .map(|(at, (owner, types))| (name(owner), NSEC::new(next(at), types.iter().copied())))
            .collect()
    }

    fn chosen<'r>(all: &'r [(Name, NSEC)], owners: &[&str]) -> Vec<(&'r Name, &'r NSEC)> {
        let wanted = |known: &Name| owners.iter().any(|owner| name(owner) == *known);
        all.iter().filter(|(owner, _)| wanted(owner)).map(|(owner, record)| (owner, record)).collect()
    }

    const A: RecordType = RecordType::A;
    const NS: RecordType = RecordType::NS;
    const SOA: RecordType = RecordType::SOA;

    fn example() -> Vec<(Name, NSEC)> {
        zone(&[
            ("example.", &[SOA, NS]),
            ("a.example.", &[A]),
            ("c.d.example.", &[A]),
            ("sub.example.", &[NS]),
            ("*.wild.example.", &[A]),
            ("x.example.", &[A]),
        ])
    }

    #[test]
    fn a_name_is_denied_with_the_wildcard_in_its_stead() {
        let all = example();
        let both = chosen(&all, &["example.", "a.example."]);
        assert_eq!(no_name(&both, &name("b.example.")), Denied::Proved);
        assert_eq!(no_name(&both[1..], &name("b.example.")), Denied::Unproved, "there might be *.example.");
        assert_eq!(no_name(&both, &name("a.example.")), Denied::Unproved, "it is there");
        assert_eq!(no_name(&both, &name("d.example.")), Denied::Unproved, "something is below it");
        let last = chosen(&all, &["example.", "x.example."]);
        assert_eq!(no_name(&last, &name("z.example.")), Denied::Proved, "behind the last");
        assert_eq!(no_name(&last, &name("z.other.")), Denied::Unproved, "of another zone");
    }

    #[test]
    fn what_stands_above_a_cut_says_nothing_of_what_is_below() {
        let all = example();
        let records = chosen(&all, &["example.", "sub.example."]);
        assert_eq!(no_name(&records, &name("www.sub.example.")), Denied::Unproved);
        assert_eq!(no_data(&records, &name("sub.example."), A), Denied::Unproved);
        assert_eq!(no_data(&records, &name("sub.example."), RecordType::DS), Denied::Proved);
        let apex = chosen(&all, &["example."]);
        assert_eq!(no_data(&apex, &name("example."), RecordType::DS), Denied::Unproved, "its parent knows");
        assert_eq!(no_data(&apex, &name("example."), A), Denied::Proved);
    }

    #[test]
    fn a_type_is_denied_at_a_name_between_names_and_at_a_wildcard() {
        let all = example();
        assert_eq!(
            no_data(&chosen(&all, &["a.example."]), &name("a.example."), RecordType::TXT),
            Denied::Proved
        );
        assert_eq!(no_data(&chosen(&all, &["a.example."]), &name("a.example."), A), Denied::Unproved);
        assert_eq!(no_data(&chosen(&all, &["a.example."]), &name("d.example."), A), Denied::Proved, "empty");
        let wild = chosen(&all, &["*.wild.example."]);
        assert_eq!(no_data(&wild, &name("q.wild.example."), RecordType::TXT), Denied::Proved);
        assert_eq!(no_data(&wild, &name("q.wild.example."), A), Denied::Unproved);
    }

    #[test]
    fn a_wildcard_answers_where_nothing_is_closer() {
        let all = example();
        let wild = chosen(&all, &["*.wild.example."]);
        assert_eq!(no_closer(&wild, &name("q.wild.example."), 2), Denied::Proved);
        assert_eq!(
            no_closer(&wild, &name("q.wild.example."), 1),
            Denied::Unproved,
            "wild.example. is closer"
        );
        assert_eq!(no_closer(&chosen(&all, &["a.example."]), &name("q.wild.example."), 2), Denied::Unproved);
    }
}
