//! Owns the trying of servers that are named in clear for whether they are to be had inside of TLS too (RFC 9539): tried beside the questions,
//! which do not wait for it; used while it holds; given up at the first failure, and not tried again for a while. Whose the key is, is not
//! checked: who can only listen is kept out, who can stand in between is not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::kept::Kept;
use super::question::Question;
use super::upstream::{Protocol, Upstream};
use crate::clock::Moment;
use crate::net::tls::Client;

/// The way to one server inside of TLS.
#[derive(Debug)]
pub(super) struct Private {
    kept: Kept,
    is_open: AtomicBool,
    is_tried: AtomicBool,
    /// When it may be tried, in nanoseconds of the clock.
    next: AtomicU64,
}

/// How long a server that is not to be had inside of TLS is left alone (RFC 9539 section 4.3, `damping`).
const DAMPING: Duration = Duration::from_secs(86_400);
/// How long one is that was: it may have been started anew.
const AGAIN: Duration = Duration::from_secs(300);
/// Longest wait for an answer inside of TLS before the question is asked in clear (likewise, `timeout`).
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

impl Private {
    /// Nothing is known yet of `upstream`, which is named in clear.
    pub(super) fn new(upstream: &Upstream, client: &Client) -> Self {
        let address = SocketAddr::new(upstream.address.ip(), 853);
        // Without a name none is sent (section 4.6.3.4).
        let inside =
            Upstream { protocol: Protocol::Tls, address, name: None, path: String::new(), pins: Vec::new() };
        Self {
            kept: Kept::new(&inside, Some(client)),
            is_open: AtomicBool::new(false),
            is_tried: AtomicBool::new(false),
            next: AtomicU64::new(0),
        }
    }

    /// True while questions go inside of TLS.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// True for the one caller who is to try it now.
    pub(super) fn claim(&self, now: Moment) -> bool {
        now.nanoseconds() >= self.next.load(Ordering::Relaxed) && !self.is_tried.swap(true, Ordering::Relaxed)
    }

    /// Tries it with `question`, of which nobody waits for the answer.
    pub(super) async fn attempt(&self, question: &Arc<Question>, upstream: &Upstream, now: Moment) {
        let answered = tokio::time::timeout(PATIENCE, self.kept.exchange(question, true)).await;
        if matches!(answered, Ok(Ok(_))) {
            tracing::info!(%upstream, "asked inside of TLS from now on");
            self.is_open.store(true, Ordering::Relaxed);
        } else {
            self.leave_alone(now, DAMPING);
        }
        self.is_tried.store(false, Ordering::Relaxed);
    }

    /// The answer to `question`, with a zero id and without OPT record.
    pub(super) async fn exchange(&self, question: &Arc<Question>, edns: bool) -> io::Result<Vec<u8>> {
        self.kept.exchange(question, edns).await
    }

    /// Notes that it failed: questions go in clear.
    pub(super) fn failed(&self, upstream: &Upstream, now: Moment) {
        self.leave_alone(now, AGAIN);
        if self.is_open.swap(false, Ordering::Relaxed) {
            tracing::warn!(%upstream, "no longer to be had inside of TLS; asked in clear");
        }
    }

    fn leave_alone(&self, now: Moment, by: Duration) {
        self.next.store((now + by).nanoseconds(), Ordering::Relaxed);
    }
}
