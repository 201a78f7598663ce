//! Owns the asking of upstreams for a validator: each question with DO and CD set, so that what comes is what the zone signed. Keys
//! and delegations are kept while they hold. Never judges.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::once;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::DnsHandle;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, Message, Query, ResponseCode};
use hickory_resolver::proto::rr;
use hickory_resolver::proto::serialize::binary::BinEncodable;
use tokio::sync::oneshot;

use super::super::forward::{Ask, Failure, Forwarder};
use super::super::question::Response;
use super::bounded::bound;
use crate::clock::{Clock, Moment};
use crate::dns::{CanonicalName, RecordType};

tokio::task_local! {
    static NOTES: Notes;
}

/// What a task notes of its questions.
struct Notes {
    /// What kept them from being answered, if anything did: what a validator makes of it is no better than a signature that is missing.
    trouble: Cell<Option<Failure>>,
    /// How many may still be asked.
    left: Cell<u16>,
    /// Whether one was asked: the first is the client's own, the others are about whether to believe what it is told.
    is_begun: Cell<bool>,
    /// Which upstream answered that one.
    upstream: Cell<Option<u16>>,
}

/// Questions that validating one answer may take, those of recursion included: a cold chain of trust takes some forty.
const QUESTIONS: u16 = 200;

/// What comes of `asking`, what kept one of its questions from being answered, and which upstream answered the first.
pub(in crate::resolve) async fn with_notes<T>(
    asking: impl Future<Output = T>,
) -> (T, Option<Failure>, Option<u16>) {
    let notes = Notes {
        trouble: Cell::default(),
        left: Cell::new(QUESTIONS),
        is_begun: Cell::default(),
        upstream: Cell::default(),
    };
    let noting = async {
        let outcome = asking.await;
        (outcome, trouble(), NOTES.with(|notes| notes.upstream.get()))
    };
    NOTES.scope(notes, noting).await
}

/// Counts one question of this task; false when it has asked too many.
pub(super) fn may_ask() -> bool {
    let left = NOTES.try_with(|notes| notes.left.replace(notes.left.get().saturating_sub(1)));
    // Outside of a question nobody counts.
    let may = left.is_ok_and(|left| left > 0) || left.is_err();
    if !may {
        note(Failure::Limit);
    }
    may
}

/// What kept this task's questions from being answered so far.
pub(super) fn trouble() -> Option<Failure> {
    NOTES.try_with(|notes| notes.trouble.get()).ok().flatten()
}

/// The upstreams, as a validator asks them.
#[derive(Clone)]
pub(super) struct Asked(Arc<Shared>);

struct Shared {
    forwarder: Arc<Forwarder>,
    clock: Clock,
    /// Answers about keys and delegations, and until when each holds.
    kept: Mutex<HashMap<Query, (Moment, Message)>>,
}

/// Answers that are kept: the delegations of as many zones as a large network asks about in an hour, in some 20 MiB.
const MOST: usize = 8192;
/// However long a zone says that its keys hold: as long as an answer to a client.
const LONGEST: u32 = 3600;

impl Asked {
    pub(super) fn new(forwarder: Arc<Forwarder>, clock: Clock) -> Self {
        Self(Arc::new(Shared { forwarder, clock, kept: Mutex::default() }))
    }

    async fn ask(self, request: DnsRequest) -> Result<DnsResponse, NetError> {
        let query = request.queries.first().ok_or(NetError::Message("no question"))?.clone();
        let is_first = NOTES.try_with(|notes| !notes.is_begun.replace(true)).unwrap_or(false);
        let keeps =
            matches!(query.query_type, rr::RecordType::DNSKEY | rr::RecordType::DS | rr::RecordType::NS);
        if keeps && let Some(known) = self.known(&query) {
            return Ok(DnsResponse::from_message(known)?);
        }
        if !may_ask() {
            return Err(NetError::Message("too many questions"));
        }
        let name = canonical(&query.name).ok_or(NetError::Message("not a name"))?;
        let record_type = RecordType(query.query_type.into());
        let ask = Ask { name: &name, record_type, dnssec_ok: true, checking_disabled: true };
        let (sender, receiver) = oneshot::channel();
        let then = move |outcome: Result<Response<'_>, Failure>| {
            // Whoever waited may have given up.
            let _gone = sender.send(outcome.map(|response| (response.message.to_vec(), response.upstream)));
        };
        self.0.forwarder.ask(ask, Box::new(then));
        let (answer, upstream) = receiver.await.unwrap_or(Err(Failure::Timeout)).map_err(|failure| {
            note(failure);
            NetError::Timeout
        })?;
        if is_first {
            // It was begun inside of a question.
            let _noted = NOTES.try_with(|notes| notes.upstream.set(upstream));
        }
        let mut message = DnsResponse::from_buffer(answer)?.into_message();
        bound(&mut message);
        let response = DnsResponse::from_message(message)?;
        match response.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => {
                note(Failure::Refused);
                return Err(NetError::Dns(DnsError::ResponseCode(code)));
            }
        }
        if keeps {
            self.keep(query, &response);
        }
        Ok(response)
    }

    fn known(&self, query: &Query) -> Option<Message> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, message) = kept.get(query)?;
        (*until > self.0.clock.now()).then(|| message.clone())
    }

    fn keep(&self, query: Query, message: &Message) {
        let holds = message.all_sections().map(|record| record.ttl).min().unwrap_or(0).min(LONGEST);
        let now = self.0.clock.now();
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.retain(|_, (until, _)| *until > now);
        }
        // Full of what still holds: any other makes room.
        if kept.len() >= MOST
            && let Some(other) = kept.keys().next().cloned()
        {
            kept.remove(&other);
        }
        kept.insert(query, (now + Duration::from_secs(u64::from(holds)), message.clone()));
    }
}

fn note(failure: Failure) {
    // Outside of a question there is nobody to tell.
    let _outside = NOTES.try_with(|notes| notes.trouble.set(Some(failure)));
}

/// A name as Hickory has it, as this product has it.
fn canonical(name: &rr::Name) -> Option<CanonicalName> {
    CanonicalName::read(&name.to_lowercase().to_bytes().ok()?)
}

impl DnsHandle for Asked {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        Box::pin(once(self.clone().ask(request)))
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}
