//! Owns who asks over a connection on which every query has a stream to itself, and the handling of one query of theirs. Never knows how
//! the stream carries it.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::stream::{Completion, Workers};
use crate::dns::{MAX_MESSAGE, Requested};
use crate::policy::Credentials;
use crate::query::{Asker, Outcome};

/// Who asks over a connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) from: Asker,
    pub(super) credentials: Arc<Credentials>,
}

/// What is said to a query, in the form that its stream has for it.
#[derive(Debug)]
pub(super) enum Reply<T> {
    /// This, at once.
    Now(T),
    /// A reply that comes later, or never.
    Later(oneshot::Receiver<T>),
    /// Nothing, ever.
    Nothing,
}

impl Client {
    /// Has a query answered that asks its connection for `requested`, and came at `path`, where queries have one. `form` makes of a
    /// message what its stream carries.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        query: &[u8],
        requested: Requested,
        path: Option<&str>,
        workers: &Workers,
        form: fn(Cow<'_, [u8]>) -> T,
    ) -> Reply<T> {
        // Such a connection keeps itself: nothing is said of how long (RFC 7828 section 3.1 is about TCP and TLS).
        let completion = Completion { requested, idle: None, encrypted: true };
        workers.with(|equipped| {
            let Some(room) = equipped.replies.get_mut(..MAX_MESSAGE) else { return Reply::Nothing };
            equipped.worker.begin_batch();
            let identity = equipped.worker.identify(&self.credentials, path);
            let from = Asker { identity, ..self.from };
            let mut later = None;
            let outcome = equipped.worker.handle(query, from, room, || {
                let (sender, receiver) = oneshot::channel();
                later = Some(receiver);
                Box::new(move |reply: &[u8]| {
                    // Fails when the stream was given up.
                    let _late = sender.send(form(completion.whole(reply))).is_err();
                })
            });
            equipped.worker.end_batch();
            match (outcome, later) {
                (Outcome::Reply(length), _) => {
                    let length = completion.apply(room, length);
                    Reply::Now(form(room.get(..length).unwrap_or(&[]).into()))
                }
                (Outcome::Later, Some(receiver)) => Reply::Later(receiver),
                (Outcome::Later | Outcome::Drop, _) => Reply::Nothing,
            }
        })
    }
}
