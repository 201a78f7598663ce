//! Owns the terms under which datagrams are taken: whose word counts, who proves its address by a cookie, who asks too much. Never looks at
//! a name.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::limit::{Admission, Limiter};
use super::metrics::Statistics;
use crate::dns::{COOKIE, Cookies, Message, Rcode, ReplyWriter, Shown, append_option};
use crate::net::read_proxied;
use crate::policy::{Credentials, Prefix};
use crate::query::{Asker, Worker};

/// The terms of one listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// Balancers, each of which says whose a datagram is.
    pub(super) proxies: Arc<[Prefix]>,
    /// Cookies; `None` for none.
    pub(super) cookies: Option<Arc<Cookies>>,
    /// How much one client may ask; `None` for as much as it likes.
    pub(super) limiter: Option<Arc<Limiter>>,
}

/// What becomes of a datagram.
pub(super) enum Taken<'p> {
    /// It is a query of this asker's.
    Query(&'p [u8], Asker, Option<Given>),
    /// It is answered already, with so many bytes.
    Answered(usize),
    /// It is not answered.
    Dropped,
}

/// The cookie that goes with a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    value: [u8; 24],
    /// The largest reply that the client takes.
    payload: u16,
}

impl Terms {
    /// Looks at a datagram of `from`'s; an answer goes into `reply`.
    #[inline]
    pub(super) fn take<'p>(
        &self,
        packet: &'p [u8],
        from: Asker,
        worker: &Worker,
        statistics: &Statistics,
        reply: &mut [u8],
    ) -> Taken<'p> {
        let (mut packet, mut from) = (packet, from);
        if !self.proxies.is_empty() && self.proxies.iter().any(|prefix| prefix.holds(from.address)) {
            let Some(attributed) = attributed(packet, from, worker) else {
                statistics.unattributed.fetch_add(1, Ordering::Relaxed);
                return Taken::Dropped;
            };
            (packet, from) = attributed;
        }
        let shown = if self.cookies.is_some() { Shown::of(packet) } else { None };
        if shown.is_none() && self.limiter.is_none() {
            return Taken::Query(packet, from, None);
        }
        self.consider(packet, from, shown, worker, statistics, reply)
    }

    #[cold]
    fn consider<'p>(
        &self,
        packet: &'p [u8],
        from: Asker,
        shown: Option<Shown>,
        worker: &Worker,
        statistics: &Statistics,
        reply: &mut [u8],
    ) -> Taken<'p> {
        let shown = self.cookies.as_deref().zip(shown);
        // Seconds of Unix time as an unsigned number of 32 bits, as cookies write it.
        let wall = if shown.is_some() { worker.wall().as_second() as u32 } else { 0 };
        if let Some(limiter) = &self.limiter {
            let proved =
                shown.is_some_and(|(cookies, shown)| cookies.are_from_here(&shown, from.address, wall));
            match limiter.admit(from.address, proved, worker.now()) {
                Admission::Admitted => {}
                Admission::Dropped => {
                    statistics.limited.fetch_add(1, Ordering::Relaxed);
                    return Taken::Dropped;
                }
                Admission::Slipped => {
                    statistics.slipped.fetch_add(1, Ordering::Relaxed);
                    return truncated(packet, reply).map_or(Taken::Dropped, Taken::Answered);
                }
            }
        }
        Taken::Query(packet, from, shown.map(|(cookies, shown)| given(cookies, &shown, from.address, wall)))
    }
}

fn given(cookies: &Cookies, shown: &Shown, client: IpAddr, wall: u32) -> Given {
    Given { value: cookies.value(shown, client, wall), payload: shown.payload }
}

impl Given {
    /// Adds the cookie to the reply in the first `length` bytes of `buffer`, where it fits what the client takes; returns its new length.
    pub(super) fn add(&self, buffer: &mut [u8], length: usize) -> usize {
        let room = buffer.len().min(usize::from(self.payload));
        append_option(buffer.split_at_mut(room).0, length, COOKIE, &self.value)
    }

    /// The reply with the cookie.
    pub(super) fn added(&self, reply: &[u8]) -> Vec<u8> {
        let mut whole = reply.to_vec();
        whole.resize(reply.len() + 4 + self.value.len(), 0);
        let length = self.add(&mut whole, reply.len());
        whole.truncate(length);
        whole
    }
}

/// Whom a balancer speaks for, and the query behind what it says.
#[cold]
fn attributed<'p>(packet: &'p [u8], balancer: Asker, worker: &Worker) -> Option<(&'p [u8], Asker)> {
    let proxied = read_proxied(packet).ok()?;
    let query = packet.get(proxied.length..)?;
    let credentials = Credentials { server_name: proxied.server_name, ..Credentials::default() };
    let address = proxied.client.unwrap_or(balancer.address);
    Some((query, Asker { address, identity: worker.identify(&credentials, None), ..balancer }))
}

/// The question alone with TC set: the client asks again over TCP. `None` for what is no query.
fn truncated(packet: &[u8], reply: &mut [u8]) -> Option<usize> {
    let message = Message::new(packet).filter(|message| !message.flags().has(crate::dns::Flags::QR))?;
    let mut writer = ReplyWriter::refusal(reply, packet, message.question_end()?, Rcode::NOERROR).ok()?;
    writer.truncated();
    Some(writer.finish())
}
