//! Owns replies that come later than their queries: from whichever thread they come, to the connection that waits for them. Bounded by
//! the places that a connection gives its queries.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use super::completion::Completion;

/// What waits for one connection.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Replies behind their lengths.
    replies: Vec<u8>,
    /// Queries that have no reply yet.
    waiting: usize,
    /// Whether something was put in, or a query was given up, since the connection last looked.
    news: bool,
    waker: Option<Waker>,
}

/// The place of one query whose reply comes later; given up when dropped.
#[derive(Debug)]
pub(super) struct Awaited(Arc<Inbox>);

impl Inbox {
    /// A place for one more query.
    pub(super) fn expect(self: &Arc<Self>) -> Awaited {
        self.lock().waiting += 1;
        Awaited(Arc::clone(self))
    }

    /// The replies that came since the last look, if there is news, and how many queries still wait. Without news the task is
    /// woken when there is.
    pub(super) fn look(&self, context: &Context<'_>) -> (Option<Vec<u8>>, usize) {
        let mut inner = self.lock();
        let waiting = inner.waiting;
        if std::mem::take(&mut inner.news) {
            return (Some(std::mem::take(&mut inner.replies)), waiting);
        }
        if waiting > 0 {
            match &mut inner.waker {
                Some(waker) => waker.clone_from(context.waker()),
                waker => *waker = Some(context.waker().clone()),
            }
        }
        (None, waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Awaited {
    /// Puts the reply in.
    pub(super) fn reply(self, reply: &[u8], completion: Completion) {
        let whole = completion.whole(reply);
        let mut inner = self.0.lock();
        inner.replies.extend_from_slice(&(whole.len() as u16).to_be_bytes());
        inner.replies.extend_from_slice(&whole);
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let waker = {
            let mut inner = self.0.lock();
            inner.waiting -= 1;
            inner.news = true;
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
