//! Owns the sockets to one upstream and the draw among them. Never chooses an upstream, and never judges an answer.
//!
//! A forger from afar must guess id, port and moment (RFC 5452). A question goes out from a place drawn at random among
//! [`MOST`], under an id drawn at random. The socket in a place sits on a port that the kernel drew at random, and makes
//! room for another after 128 questions or 5 s, or at once after 8 datagrams that answer nothing. While questions are
//! rare, each finds an empty place and so a fresh port. Who knows nothing must guess 16 bits of id and some 15 of port;
//! who has found out every open port within its life, still 16 bits of id and 7 of port, with 8 guesses a port.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::place::{Place, Received, Try};
use super::random::unpredictable;
use crate::clock::Moment;
use crate::net::{Poll, connect_udp};

/// Sockets to one upstream at most: seven bits for whoever has found out every port.
const MOST: usize = 128;
/// Sockets to all upstreams together: half of the 1024 descriptors that a process has by default.
const ALL: usize = 512;
/// However many upstreams there are, each gets this many, lest its ports be few enough to guess.
const FEWEST: usize = 16;

/// Time between two complaints about the same.
const PAUSE: Duration = Duration::from_secs(60);

/// The sockets to one upstream.
#[derive(Debug)]
pub(super) struct Ports {
    upstream: SocketAddr,
    /// The upstream's number, in the upper half of its sockets' tokens.
    number: usize,
    places: Box<[Mutex<Place>]>,
    /// When it was last complained that no socket could be opened, in nanoseconds of the clock; 0 for never.
    complained: AtomicU64,
}

impl Ports {
    /// No socket yet. `upstreams` is how many upstreams have sockets.
    pub(super) fn new(upstream: SocketAddr, number: usize, upstreams: usize) -> Self {
        let most = (ALL / upstreams.max(1)).clamp(FEWEST, MOST);
        let places = (0..most).map(|_| Mutex::default()).collect();
        Self { upstream, number, places, complained: AtomicU64::new(0) }
    }

    /// Sends a question's query from a random socket under a random id. Waits for nothing but, rarely, another thread
    /// that sends.
    pub(super) fn send(&self, poll: &Poll, tried: Try) -> io::Result<()> {
        /// Places to look at before taking whatever there is.
        const LOOKS: usize = 8;
        let mut failed = None;
        for _ in 0..LOOKS {
            let index = self.draw()?;
            let mut place = match self.places.get(index).map(Mutex::try_lock) {
                Some(Ok(place)) => place,
                Some(Err(TryLockError::Poisoned(poisoned))) => poisoned.into_inner(),
                _ => continue,
            };
            if place.is_empty(tried.sent)
                && let Err(error) = self.open(&mut place, poll, index, tried.sent)
            {
                failed = Some(error);
            } else if place.is_fresh() {
                return place.send(tried);
            }
        }
        // Out of descriptors, or so much unanswered that every socket has had its share: any socket will do.
        let (before, after) = self.places.split_at(self.draw()?);
        for place in after.iter().chain(before) {
            let mut place = lock(place);
            if place.can_send() {
                return place.send(tried);
            }
        }
        Err(failed.unwrap_or_else(|| io::Error::other("no free socket")))
    }

    /// Reads one datagram of the socket in place `index`.
    pub(super) fn receive(&self, index: usize, buffer: &mut [u8]) -> Received {
        self.places.get(index).map_or(Received::Nothing, |place| lock(place).receive(buffer))
    }

    /// Finds the tries whose patience ended since the last sweep, and those whose network failed; closes sockets that are
    /// done.
    pub(super) fn sweep(&self, now: Moment, overdue: &mut Vec<Try>, refused: &mut Vec<Try>) {
        for place in &self.places {
            lock(place).sweep(now, overdue, refused);
        }
    }

    /// Sockets open at `now`.
    pub(super) fn count(&self, now: Moment) -> usize {
        self.places.iter().filter(|place| !lock(place).is_empty(now)).count()
    }

    fn draw(&self) -> io::Result<usize> {
        Ok((usize::from(unpredictable()?) * self.places.len()) >> 16)
    }

    fn open(&self, place: &mut Place, poll: &Poll, index: usize, now: Moment) -> io::Result<()> {
        let token = (self.number as u64) << 32 | index as u64;
        let opened = connect_udp(self.upstream).and_then(|udp| poll.add(&udp, token).map(|()| udp));
        if let Err(error) = &opened {
            self.complain(error, now);
        }
        place.fill(opened?, now);
        Ok(())
    }

    /// Says that there is no new socket, once a minute.
    fn complain(&self, error: &io::Error, now: Moment) {
        let (last, now) = (self.complained.load(Ordering::Relaxed), now.nanoseconds());
        if last == 0 || now.saturating_sub(last) > PAUSE.as_nanos() as u64 {
            self.complained.store(now, Ordering::Relaxed);
            tracing::warn!(upstream = %self.upstream, %error, "no new socket; going on with those there are");
        }
    }
}

fn lock(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
