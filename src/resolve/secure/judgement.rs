//! Owns what an answer is, by its signatures and proofs: secure, insecure, or bogus and why. The signature of each set of records
//! was checked before; here they are followed from the question along its aliases to records, or to their denial. Never asks.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::denial::{Denial, Denied};
use super::diagnosis::diagnose;
use crate::dns::ExtendedError;

/// What an answer is (RFC 4035 section 4.3). An indeterminate one counts as bogus: trust starts at the root, so that there is
/// none to be had for a name without any.
#[derive(Clone, Debug)]
pub(in crate::resolve) enum Judgement {
    /// What its zone signed, by a chain of trust.
    Secure(Message),
    /// Of a zone that is proved to have no chain of trust.
    Insecure(Message),
    /// Neither. The answer is there for who asked not to be protected.
    Bogus(ExtendedError, Message),
}

/// What is known of a part of an answer; the whole is what its worst part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Bogus,
    Insecure,
    Secure,
}

/// Judges an answer whose records bear what came of their signatures. `denial` is what Hickory made of the proof that something
/// does not exist, where it was not content with it: its own look at proofs knows neither a wildcard whose NSEC record denies the
/// name itself, nor a proof that is about the end of a chain of aliases. `now` is in seconds since 1970, modulo 2^32.
pub(in crate::resolve) fn judge(
    message: Message,
    denial: Option<Proof>,
    query: &Query,
    now: u32,
) -> Judgement {
    let mut standing = along_aliases(&message, query, denial);
    if denial == Some(Proof::Insecure) {
        standing = standing.min(Standing::Insecure);
    }
    match standing {
        Standing::Bogus => Judgement::Bogus(diagnose(&message, now), message),
        Standing::Insecure => Judgement::Insecure(message),
        Standing::Secure => Judgement::Secure(message),
    }
}

/// The name that an answer's aliases lead to from the question's.
pub(in crate::resolve) fn destination(message: &Message, query: &Query) -> Name {
    let mut name = query.name.clone();
    for _ in &message.answers {
        match alias(message, &name) {
            Some((_, target)) if query.query_type != RecordType::CNAME => name = target.clone(),
            _ => break,
        }
    }
    name
}

/// True when an answer has records of the type that is asked for where its aliases lead.
pub(in crate::resolve) fn is_answered(message: &Message, query: &Query) -> bool {
    let name = destination(message, query);
    message.answers.iter().any(|record| record.name == name && record.record_type() == query.query_type)
}

/// True when what an answer says of the end of its aliases is said by a zone that is proved to have no chain of trust: nothing
/// more is to be had there.
pub(in crate::resolve) fn is_in_the_open(message: &Message, query: &Query) -> bool {
    let name = destination(message, query);
    message.authorities.iter().any(|record| record.proof == Proof::Insecure && record.name.zone_of(&name))
}

fn along_aliases(message: &Message, query: &Query, denial: Option<Proof>) -> Standing {
    let mut standing = Standing::Secure;
    let mut name = &query.name;
    // No chain is longer than there are records.
    for _ in 0..=message.answers.len() {
        let kind = query.query_type;
        let wanted = |record: &&Record| {
            record.name == *name
                && !is_signature(record)
                && (record.record_type() == kind || kind == RecordType::ANY)
        };
        if message.answers.iter().any(|record| wanted(&record)) {
            let records = message.answers.iter().filter(wanted);
            return records.fold(standing, |standing, record| standing.min(of_record(message, record)));
        }
        let Some((record, target)) = alias(message, name) else {
            return standing.min(of_nothing(message, name, query, denial));
        };
        standing = standing.min(of_alias(message, record, target));
        name = target;
    }
    Standing::Bogus
}

fn alias<'m>(message: &'m Message, name: &Name) -> Option<(&'m Record, &'m Name)> {
    message.answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *name => Some((record, &target.0)),
        _ => None,
    })
}

/// An alias that follows from a DNAME record bears no signature of its own (RFC 6672 section 5.3.1).
fn of_alias(message: &Message, record: &Record, target: &Name) -> Standing {
    let from = message.answers.iter().find(|from| {
        from.name.zone_of(&record.name) && from.name != record.name && follows(from, &record.name, target)
    });
    match from {
        Some(from) if signatures(message, record).next().is_none() => of_record(message, from),
        _ => of_record(message, record),
    }
}

/// True when the DNAME record `from` leads from `name` to `target` (RFC 6672 section 2.2).
fn follows(from: &Record, name: &Name, target: &Name) -> bool {
    dname_target(from).is_some_and(|to| {
        let left = name.iter().count() - from.name.iter().count();
        let labels = name.iter().take(left).chain(to.iter());
        Name::from_labels(labels).is_ok_and(|led| led == *target)
    })
}

/// The target of a DNAME record, which Hickory keeps as bytes.
fn dname_target(record: &Record) -> Option<Name> {
    use hickory_resolver::proto::serialize::binary::BinDecodable as _;
    if record.record_type() != RecordType::DNAME {
        return None;
    }
    match &record.data {
        RData::Unknown { rdata, .. } => Name::from_bytes(&rdata.anything).ok(),
        _ => None,
    }
}

/// A record that is there: its signature, and where a wildcard stands in for it that nothing is closer (RFC 4035 section 5.3.4).
fn of_record(message: &Message, record: &Record) -> Standing {
    match record.proof {
        Proof::Secure => {}
        Proof::Insecure => return Standing::Insecure,
        Proof::Bogus | Proof::Indeterminate => return Standing::Bogus,
    }
    let own = record.name.iter().count();
    // Which of several signatures was looked at may not be told: the one that claims least, then.
    let checked = || signatures(message, record).filter(|(proof, _)| *proof == Proof::Secure);
    let all = if checked().next().is_some() {
        checked().collect::<Vec<_>>()
    } else {
        signatures(message, record).collect()
    };
    let Some(signed) = all.iter().map(|(_, signature)| usize::from(signature.input().num_labels)).min()
    else {
        return Standing::Secure;
    };
    // The asterisk is not counted there (RFC 4034 section 3.1.3).
    let is_expanded = signed < own - usize::from(record.name.is_wildcard());
    if !is_expanded {
        return Standing::Secure;
    }
    denied(Denial::of(&message.authorities).no_closer(&record.name, signed))
}

/// Nothing where something was asked for.
fn of_nothing(message: &Message, name: &Name, query: &Query, denial: Option<Proof>) -> Standing {
    let proof = Denial::of(&message.authorities);
    let shown = match message.response_code {
        ResponseCode::NXDomain => proof.no_name(name),
        _ => proof.no_data(name, query.query_type),
    };
    let mut all = message.authorities.iter().filter(|record| !is_signature(record));
    match shown {
        Denied::Unproved => {
            // Nothing is proved in a zone without keys; nor need it be. That zone must be the name's: one that has nothing to do with it
            // says nothing. Where there is no record at all, Hickory looked whether the name's zone has keys.
            let is_insecure = all.clone().all(|record| record.proof == Proof::Insecure)
                && (all.clone().next().is_none() || all.any(|record| record.name.zone_of(name)))
                && denial != Some(Proof::Bogus);
            if is_insecure { Standing::Insecure } else { Standing::Bogus }
        }
        shown => denied(shown),
    }
}

fn denied(denied: Denied) -> Standing {
    match denied {
        Denied::Unproved => Standing::Bogus,
        Denied::Insecure => Standing::Insecure,
        Denied::Proved => Standing::Secure,
    }
}

/// The signatures over a record's set, with what came of each.
fn signatures<'m>(message: &'m Message, record: &Record) -> impl Iterator<Item = (Proof, &'m RRSIG)> {
    let (name, kind) = (record.name.clone(), record.record_type());
    message.answers.iter().filter(move |other| other.name == name).filter_map(move |other| {
        let signature = signature(other).filter(|signature| signature.input().type_covered == kind)?;
        Some((other.proof, signature))
    })
}

/// What a record says if it is a signature.
pub(super) fn signature(record: &Record) -> Option<&RRSIG> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature),
        _ => None,
    }
}

fn is_signature(record: &Record) -> bool {
    record.record_type() == RecordType::RRSIG
}
