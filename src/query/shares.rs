//! Owns how much of what must be fetched one client may ask for while more is asked than can be handled: whoever asks most gives way, and the others do not
//! notice. A hit or a block costs nothing here. Never looks at names, and never waits.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::clock::Moment;
use crate::telemetry::Counter;

/// What waits in a socket behind the batch that was taken out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// Nothing: the batch was all there was.
    Empty,
    /// So many queries that the next ones may find no room.
    Full,
    /// Some queries.
    Some,
}

/// How many fetches each client has asked one thread for in the present window, in memory of fixed size, and how many it may.
///
/// The share is the same for all, so that it cuts whoever asks most and nobody else. In each window that leaves queries waiting it becomes a quarter, and it
/// grows slowly otherwise: most of the time hardly anything waits.
#[derive(Debug)]
pub(super) struct Shares {
    places: [Box<[Place]>; 2],
    state: RandomState,
    window: u32,
    ends: Moment,
    /// Whether nothing waited at some moment of the window.
    emptied: bool,
    /// The client that asked most in this window, and how often; and in the window before.
    busiest: Busiest,
    before: Busiest,
    /// Fetches of one client in one window that are let through; `u32::MAX` while nobody is cut.
    share: u32,
    /// Windows since somebody was cut.
    calm: u32,
    /// Whether the next queries may find no room, or did not since something waits.
    full: bool,
    /// Who goes on asking although it was cut: nothing of it is looked at until the window ends.
    shed: Option<u128>,
}

/// A client, and the fetches it asked for in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busiest {
    pub(super) client: IpAddr,
    pub(super) count: u32,
}

/// The count of those clients that fall on it. Another window's counts for nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    window: u32,
    count: u32,
}

/// Long enough for a few hundred fetches, short enough that a flood's first hundredths of a second are all that others see of it.
const WINDOW: Duration = Duration::from_millis(10);
/// 16 KiB. Each client falls on two, of which the lesser count is its own: in a window one pair in a million clients falls on both places of another.
const PLACES: usize = 1024;
/// Windows without a cut after which the share is forgotten: a second.
const CALM: u32 = 100;
/// The least share: a client that asks like a person, or like an office, is never cut; 1,600 a second take a fiftieth of a thread.
const LEAST: u32 = 16;
/// What is left of the share after a window in which queries waited, and the part of itself by which it grows in another: it doubles in a second.
const CUT: u32 = 4;
const GROWTH: u32 = 128;
/// Of a client that asks for this many shares in one window the rest is dropped unread: to find out that a query is to be dropped takes most of what a hit
/// takes, and in a flood that is what others wait for.
const EXCESS: u32 = 2;

impl Busiest {
    /// Tells the operator that it is cut.
    #[cold]
    pub(super) fn report(self) {
        let a_second = u64::from(self.count) * 1000 / WINDOW.as_millis() as u64;
        tracing::warn!(client = %self.client, fetches_a_second = a_second,
            "more is asked than can be handled; whoever asks for most that is not in the cache is cut to a share");
    }
}

impl Shares {
    pub(super) fn new() -> Self {
        let nobody = Busiest { client: IpAddr::from([0; 4]), count: 0 };
        Self {
            places: [(); 2].map(|()| vec![Place::default(); PLACES].into()),
            state: RandomState::default(),
            window: 1,
            ends: Moment::START,
            emptied: true,
            busiest: nobody,
            before: nobody,
            share: u32::MAX,
            calm: 0,
            full: false,
            shed: None,
        }
    }

    /// Notes what waits behind a batch. Returns whoever asked most when it is to be cut from now on.
    pub(super) fn note(&mut self, backlog: Backlog, now: Moment) -> Option<Busiest> {
        // Until nothing waits any more: what stops at a threshold keeps the queue at the threshold, and fetches all the while.
        self.full = match backlog {
            Backlog::Empty => false,
            Backlog::Full => true,
            Backlog::Some => self.full,
        };
        self.emptied |= backlog == Backlog::Empty;
        if now >= self.ends {
            self.end_window(now);
        }
        if !self.full || self.share != u32::MAX {
            return None;
        }
        let busiest = if self.busiest.count > self.before.count { self.busiest } else { self.before };
        if busiest.count == 0 {
            return None;
        }
        (self.share, self.calm, self.emptied) = ((busiest.count / CUT).max(LEAST), 0, false);
        Some(busiest)
    }

    /// True when `client` asks for so much that not even its hits are worth looking for any more.
    #[inline]
    pub(super) fn sheds(&self, client: IpAddr) -> bool {
        self.shed.is_some_and(|shed| shed == network(client))
    }

    /// Counts a fetch that `client` asks for, and says why it does not get it, if it does not.
    pub(super) fn refuse(&mut self, client: IpAddr) -> Option<Counter> {
        let hash = self.state.hash_one((network(client), self.window)) as usize;
        let mut count = u32::MAX;
        for (places, hash) in self.places.iter_mut().zip([hash, hash / PLACES]) {
            let Some(place) = places.get_mut(hash % PLACES) else { continue };
            if place.window != self.window {
                *place = Place { window: self.window, count: 0 };
            }
            place.count += 1;
            count = count.min(place.count);
        }
        if count > self.busiest.count {
            self.busiest = Busiest { client, count };
        }
        if count > self.share {
            self.calm = 0;
            if count > self.share.saturating_mul(EXCESS) {
                self.shed = Some(network(client));
            }
        }
        match count <= self.share {
            _ if self.full => Some(Counter::DropOverload),
            true => None,
            false => Some(Counter::DropClient),
        }
    }

    fn end_window(&mut self, now: Moment) {
        // Whole windows without a query count too.
        let passed = now.since(self.ends).as_millis() / WINDOW.as_millis() + 1;
        if self.share != u32::MAX {
            self.calm = self.calm.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
            self.share = match self.emptied {
                _ if self.calm > CALM => u32::MAX,
                true => self.share.saturating_add(self.share / GROWTH + 1),
                false => (self.share.min(self.busiest.count) / CUT).max(LEAST),
            };
        }
        self.window = self.window.wrapping_add(1);
        self.ends = now + WINDOW;
        (self.emptied, self.shed) = (false, None);
        (self.before, self.busiest.count) = (self.busiest, 0);
    }
}

/// Whom an address stands for where clients are counted: itself, or its /56 of IPv6, which is what a household or an office has (RFC 6177).
pub fn network(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => u128::from(address) >> 72 << 72 | 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a thread sees that can handle so many fetches in a window: what was let through of two clients' in each.
    struct Thread {
        shares: Shares,
        now: Moment,
        waiting: u32,
    }

    const FLOODER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
    const HANDLED: u32 = 600;
    const ROOM: u32 = 8000;

    impl Thread {
        fn new() -> Self {
            Self { shares: Shares::new(), now: Moment::START + Duration::from_secs(1), waiting: 0 }
        }

        /// A window in which so many fetches are asked for; how many each gets.
        fn window(&mut self, flood: u32, others: u32) -> (u32, u32) {
            self.now = self.now + WINDOW;
            let backlog = match self.waiting {
                0 => Backlog::Empty,
                ROOM.. => Backlog::Full,
                _ => Backlog::Some,
            };
            self.shares.note(backlog, self.now);
            let mut got = |client, asked| {
                (0..asked).map(|_| u32::from(self.shares.refuse(client).is_none())).sum::<u32>()
            };
            let got = (got(FLOODER, flood), got(OTHER, others));
            // Refusing costs a tenth of what fetching does.
            let cost = got.0 + got.1 + (flood - got.0) / 10;
            self.waiting = (self.waiting + cost).saturating_sub(HANDLED);
            got
        }
    }

    #[test]
    fn a_flooder_is_cut_to_what_can_be_handled_and_others_are_not() {
        let mut thread = Thread::new();
        for _ in 0..50 {
            thread.window(2000, 15);
        }
        let (mut empty, mut flood) = (0, 0);
        for window in 0..1000 {
            let got = thread.window(2000, 15);
            assert_eq!(got.1, 15, "in window {window}");
            flood += got.0;
            empty += u32::from(thread.waiting == 0);
        }
        assert!(empty > 950, "queries waited in {} of 1000 windows", 1000 - empty);
        let most = (HANDLED - 2000 / 10) * 1000;
        assert!((most / 3..most).contains(&flood), "{flood} of {most}");
    }

    #[test]
    fn nobody_is_cut_before_a_flood_nor_a_second_after_it() {
        let mut thread = Thread::new();
        for _ in 0..1000 {
            assert_eq!(thread.window(500, 15), (500, 15));
        }
        for _ in 0..50 {
            thread.window(3000, 15);
        }
        assert!(thread.shares.share < 600);
        for _ in 0..200 {
            assert_eq!(thread.window(4, 15).1, 15);
        }
        assert_eq!(thread.shares.share, u32::MAX);
        thread.shares.share = LEAST;
        thread.now = thread.now + Duration::from_secs(60);
        thread.window(0, 0);
        assert_eq!(thread.shares.share, u32::MAX, "a minute in which nothing came counts too");
    }

    #[test]
    fn while_nothing_more_finds_room_nothing_is_fetched() {
        let mut shares = Shares::new();
        let now = Moment::START;
        assert_eq!(shares.refuse(OTHER), None);
        let busiest = shares.note(Backlog::Full, now).expect("somebody asked most");
        assert_eq!(busiest, Busiest { client: OTHER, count: 1 });
        assert_eq!(shares.refuse(FLOODER), Some(Counter::DropOverload));
        assert_eq!(shares.note(Backlog::Full, now), None, "told once");
        shares.note(Backlog::Some, now);
        assert_eq!(shares.refuse(FLOODER), Some(Counter::DropOverload), "not before it is empty");
        shares.note(Backlog::Empty, now);
        let refused = (0..LEAST + 5).filter_map(|_| shares.refuse(OTHER)).collect::<Vec<_>>();
        assert_eq!(refused, [Counter::DropClient; 5], "the least share");
    }

    #[test]
    fn who_goes_on_asking_when_cut_is_not_looked_at_until_the_window_ends() {
        let mut shares = Shares::new();
        let now = Moment::START;
        assert_eq!(shares.refuse(FLOODER), None);
        shares.note(Backlog::Full, now);
        shares.note(Backlog::Empty, now);
        for _ in 0..=LEAST * EXCESS {
            assert!(!shares.sheds(FLOODER));
            shares.refuse(FLOODER);
        }
        assert!(shares.sheds(FLOODER) && !shares.sheds(OTHER));
        shares.note(Backlog::Empty, now + WINDOW);
        assert!(!shares.sheds(FLOODER));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let mut shares = Shares::new();
        assert_eq!(shares.refuse(OTHER), None);
        assert!(shares.note(Backlog::Full, Moment::START).is_some());
        shares.note(Backlog::Empty, Moment::START);
        let asks = |shares: &mut Shares, client: &str| shares.refuse(client.parse().unwrap()).is_none();
        for host in 0..LEAST {
            assert!(asks(&mut shares, &format!("2001:db8:1:{host}::9")));
        }
        assert!(!asks(&mut shares, "2001:db8:1:ff::9"));
        assert!(asks(&mut shares, "2001:db8:2::9"));
    }
}
