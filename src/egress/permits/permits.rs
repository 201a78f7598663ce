//! Owns what the query path asks: what a reply leads its client to that the kernel does not let it reach yet, and the waiting of such a reply.
//! Never talks to the kernel, and costs a client that is held to nothing not a step.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::counts::{Counts, Reason};
use super::pairs::{Pair, Pairs};
use super::queue::{Held, Queue};
use crate::clock::{Clock, Moment};
use crate::dns::Message;
use crate::egress::config::{Config, Without};

/// Who may reach what it was answered.
#[derive(Debug)]
pub struct Permits {
    pub(super) clock: Clock,
    pub(super) grace: Duration,
    pub(super) most: usize,
    pub(super) when_full: Without,
    pub(super) on_failure: Without,
    dual_stack: bool,
    pub(super) pairs: Pairs,
    pub(super) queue: Queue,
    pub(super) counts: Counts,
    /// Held while the table is made anew, and while pairs are added to it: none may be lost in between.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Told when the kernel has no table.
    pub(in crate::egress) absent: tokio::sync::Notify,
    /// Until when every way is open, in nanoseconds of the clock; 0 for not.
    pub(super) open_until: AtomicU64,
    trouble: Mutex<Option<(Moment, String)>>,
}

/// What the client of a reply may not reach yet: each pair with the seconds that its answer holds.
#[derive(Debug)]
pub struct Lacking(pub(super) Vec<(Pair, u32)>);

/// What one pair comes to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Standing {
    /// Whether it is permitted.
    pub permitted: bool,
    /// Seconds for which it still is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Addresses of one reply that are looked at: more are no service but an attempt to fill the table.
const MOST_OF_REPLY: usize = 256;
/// How long what went wrong is shown.
const SHOWN: Duration = Duration::from_secs(60);

impl Permits {
    pub(in crate::egress) fn new(config: &Config, clock: Clock) -> Self {
        Self {
            clock,
            grace: config.grace,
            most: config.pairs,
            when_full: config.when_full,
            on_failure: config.on_failure,
            dual_stack: config.dual_stack,
            pairs: Pairs::default(),
            queue: Queue::default(),
            counts: Counts::default(),
            turn: tokio::sync::Mutex::default(),
            absent: tokio::sync::Notify::new(),
            open_until: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }

    /// What `reply` leads `client` to that it may not reach for as long as the answer holds and the grace after it; `None` when the reply can
    /// go out. A few tenths of a microsecond.
    pub fn lacking(&self, client: IpAddr, reply: &[u8], now: Moment) -> Option<Lacking> {
        let mut lacking = Vec::new();
        let destinations = Message::new(reply).into_iter().flat_map(Message::destinations);
        for (address, ttl) in destinations.take(MOST_OF_REPLY) {
            let address = address.to_canonical();
            let of_client = client.is_ipv4() == address.is_ipv4();
            if !is_elsewhere(address) || !(of_client || self.dual_stack) {
                continue;
            }
            let client = if of_client { client } else { Pair::anybody(address.is_ipv4()) };
            let pair = Pair { client, address };
            if !self.is_permitted(pair, ttl, now) {
                lacking.push((pair, ttl));
            }
        }
        (!lacking.is_empty()).then_some(Lacking(lacking))
    }

    /// True when the kernel permits the pair for long enough.
    pub(super) fn is_permitted(&self, pair: Pair, ttl: u32, now: Moment) -> bool {
        let needed = now + Duration::from_secs(u64::from(ttl)) + self.grace;
        self.pairs.until(pair).is_some_and(|until| until >= needed)
    }

    /// How long a pair is permitted whose answer holds for `ttl` seconds. A little longer than promised, so that a name which is asked for
    /// every second is no change of the kernel's table every second.
    pub(super) fn life(&self, ttl: u32) -> Duration {
        Duration::from_secs(u64::from(ttl) + 1) + self.grace + self.grace / 4
    }

    /// Has the reply wait until its client may reach all that it leads to.
    pub fn hold(&self, lacking: Lacking, held: Held) {
        self.counts.held.fetch_add(1, Ordering::Relaxed);
        if let Err(held) = self.queue.push(lacking, held) {
            self.counts.fail(Reason::Overload);
            held.without(self.on_failure);
        }
    }

    /// Whether an answer may have to fail, so that a reply which says so must be at hand.
    pub fn may_fail(&self) -> bool {
        self.when_full == Without::Closed || self.on_failure == Without::Closed
    }

    /// What one pair comes to.
    pub fn standing(&self, client: IpAddr, address: IpAddr) -> Standing {
        let now = self.clock.now();
        let anybody = Pair::anybody(address.is_ipv4());
        let until = [client, anybody].map(|client| self.pairs.until(Pair { client, address }));
        let until = until.into_iter().flatten().max().filter(|until| *until > now);
        Standing { permitted: until.is_some(), seconds: until.map(|until| until.since(now).as_secs()) }
    }

    /// True while every way is open for want of room.
    pub(super) fn is_open(&self, now: Moment) -> bool {
        self.open_until.load(Ordering::Relaxed) > now.nanoseconds()
    }

    /// Notes what goes wrong; says so in the log when it begins.
    pub(super) fn complain(&self, what: String) {
        let now = self.clock.now();
        let mut trouble = self.trouble_of();
        if trouble.as_ref().is_none_or(|(_, known)| *known != what) {
            tracing::error!("{what}");
        }
        *trouble = Some((now + SHOWN, what));
    }

    /// Ends a complaint whose cause has not been seen for a while.
    pub(super) fn calm(&self, now: Moment) {
        let mut trouble = self.trouble_of();
        if trouble.as_ref().is_some_and(|(until, _)| *until <= now) {
            *trouble = None;
            tracing::info!("the kernel takes all that clients are answered again");
        }
    }

    /// What does not work as it should, in words.
    pub(in crate::egress) fn trouble(&self) -> Option<String> {
        self.trouble_of().as_ref().map(|(_, what)| format!("egress: {what}"))
    }

    fn trouble_of(&self) -> MutexGuard<'_, Option<(Moment, String)>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True for addresses that a client reaches over a gateway.
fn is_elsewhere(address: IpAddr) -> bool {
    let is_link_local =
        |address: Ipv6Addr| address.segments().first().is_some_and(|first| first & 0xFFC0 == 0xFE80);
    let is_near = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => is_link_local(address),
    };
    !(is_near || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}
