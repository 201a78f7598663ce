//! Owns the way that questions take which no route has a way for: to upstreams as they are, to upstreams with what they say
//! validated, or from the root down; and, where what comes is bogus, the search for the link of the chain that does not hold.
//! Never tells anybody.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use tokio::runtime::Handle;

use super::forward::{Failure, Forwarder};
use super::recurse::Recursion;
use super::secure::{
    Anchors, Judgement, Validator, destination, doubted, is_answered, is_in_the_open, judge, of_keys,
    with_notes,
};
use super::upstream::{Dnssec, Mode};
use crate::clock::Clock;
use crate::dns::ExtendedError;

/// The way that questions take.
#[derive(Debug)]
pub(super) enum Way {
    Plain,
    Validated(Validator),
    Recursive(Box<Recursion>),
}

/// What a way is made of, beside the keys that trust starts from.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) mode: Mode,
    pub(super) dnssec: Dnssec,
    /// Addresses of the root's servers, where they are asked.
    pub(super) roots: Vec<IpAddr>,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) clock: Clock,
    pub(super) runtime: Handle,
}

impl Making {
    pub(super) fn way(&self, anchors: &Anchors) -> io::Result<Way> {
        Ok(match (self.mode, self.dnssec) {
            (Mode::Forward, Dnssec::Pass) => Way::Plain,
            (Mode::Forward, Dnssec::Validate) => {
                Way::Validated(Validator::new(Arc::clone(&self.forwarder), anchors, self.clock.clone()))
            }
            (Mode::Recurse, dnssec) => {
                let anchors = (dnssec == Dnssec::Validate).then_some(anchors);
                // Its sockets are made on the runtime.
                let _inside = self.runtime.enter();
                Way::Recursive(Box::new(Recursion::new(&self.roots, anchors).map_err(io::Error::other)?))
            }
        })
    }
}

/// When a question was asked: what libraries want to know of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) began: Instant,
    /// Seconds since 1970, modulo 2^32.
    pub(super) now: u32,
}

/// Aliases in a row that are followed: more than any honest name has.
const ALIASES: usize = 12;
/// Labels from the root down at which a link of a chain of trust is looked at to say why it does not hold: deeper than zones are cut.
const DEEPEST: usize = 8;
/// How long that may take of a client's patience; most of it is kept from the validation that failed.
const TRACING: Duration = Duration::from_millis(500);

impl Way {
    /// Resolves a question, and says why where what comes is bogus; with the upstream that answered it, if one did.
    pub(super) async fn resolve(
        &self,
        query: Query,
        asked: Asked,
    ) -> Result<(Judgement, Option<u16>), Failure> {
        match self.look(&query, asked).await? {
            (Judgement::Bogus(why, message), upstream) => {
                let traced = async { self.trace(&doubted(&message)?, asked).await };
                let traced = tokio::time::timeout(TRACING, traced).await.ok().flatten();
                Ok((Judgement::Bogus(traced.unwrap_or(why), message), upstream))
            }
            judged => Ok(judged),
        }
    }

    async fn look(&self, query: &Query, asked: Asked) -> Result<(Judgement, Option<u16>), Failure> {
        match with_notes(self.follow(query, asked)).await {
            // What a chain of trust lacks because nobody answered is nobody's forgery.
            (Ok(Judgement::Bogus(..)), Some(trouble), _) | (Err(_), Some(trouble @ Failure::Limit), _) => {
                Err(trouble)
            }
            (judged, _, upstream) => judged.map(|judged| (judged, upstream)),
        }
    }

    /// Asks, and asks again where aliases lead if the answer ends there without saying more. What it says of the end of a chain
    /// stands under the question's name, so that a library does not look for its proof; and a recursor that comes to nothing forgets the
    /// aliases that led there.
    async fn follow(&self, query: &Query, asked: Asked) -> Result<Judgement, Failure> {
        let mut answers: Vec<Record> = Vec::new();
        let mut at = query.clone();
        for _ in 0..ALIASES {
            let (mut message, denial) = self.ask(&at, asked).await?;
            match self.further(&message, denial, &at, asked).await {
                Some((aliases, target)) => {
                    answers.extend(aliases);
                    at.name = target;
                }
                None => {
                    answers.append(&mut message.answers);
                    message.answers = answers;
                    return Ok(self.judged(message, denial, query, asked));
                }
            }
        }
        Err(Failure::Limit)
    }

    /// The aliases that lead away from a question whose answer ends with them, and where they lead.
    async fn further(
        &self,
        message: &Message,
        denial: Option<Proof>,
        at: &Query,
        asked: Asked,
    ) -> Option<(Vec<Record>, Name)> {
        if matches!(at.query_type, RecordType::CNAME | RecordType::ANY) || is_answered(message, at) {
            return None;
        }
        if matches!(self.judged(message.clone(), denial, at, asked), Judgement::Secure(_)) {
            return None;
        }
        let target = destination(message, at);
        if target != at.name {
            return (!is_in_the_open(message, at)).then(|| (message.answers.clone(), target));
        }
        let Self::Recursive(recursion) = self else { return None };
        recursion.alias(at, asked.began).await
    }

    fn judged(&self, message: Message, denial: Option<Proof>, query: &Query, asked: Asked) -> Judgement {
        match self {
            Self::Recursive(recursion) if !recursion.is_validating() => Judgement::Insecure(message),
            _ => judge(message, denial, query, asked.now),
        }
    }

    /// What comes, and what the library made of the proof that something does not exist, where it was not content.
    pub(super) async fn ask(&self, query: &Query, asked: Asked) -> Result<(Message, Option<Proof>), Failure> {
        match self {
            // Such questions do not come here.
            Self::Plain => Err(Failure::NoUpstream),
            Self::Validated(validator) => validator.ask(query).await,
            Self::Recursive(recursion) => recursion.ask(query, asked.began).await,
        }
    }

    /// Why the first link from the root down to `name` that does not hold does not; `None` where all do, or the chain ends.
    async fn trace(&self, name: &Name, asked: Asked) -> Option<ExtendedError> {
        for labels in 0..=name.iter().count().min(DEEPEST) {
            let zone = name.trim_to(labels);
            let mut delegation = None;
            if labels > 0 {
                match self.look(&Query::query(zone.clone(), RecordType::DS), asked).await {
                    Ok((Judgement::Bogus(why, _), _)) => return Some(why),
                    Ok((Judgement::Secure(message), _)) => delegation = Some(message),
                    _ => return None,
                }
                let is_cut = |message: &Message| message.answers.iter().any(|record| record.name == zone);
                if !delegation.as_ref().is_some_and(is_cut) {
                    continue;
                }
            }
            match self.look(&Query::query(zone, RecordType::DNSKEY), asked).await {
                Ok((Judgement::Bogus(why, keys), _)) => {
                    return Some(of_keys(why, &keys, delegation.as_ref()));
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
        None
    }
}
