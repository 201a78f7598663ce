//! Owns how much one client may ask over UDP: a bucket of tokens for each address or network, in memory of fixed size. Never waits, and never
//! keeps an address.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;

use crate::clock::Moment;
use crate::policy::Prefix;
use crate::query::network;

/// How much one client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Queries a second over UDP from one address, or one /56 of IPv6; 0 for as many as come. Default 0: what is much depends on what
    /// stands behind an address, which only the operator knows.
    pub queries: u32,
    /// Queries that may come at once, whatever the second before saw. Default twice `queries`.
    pub burst: u32,
    /// Of those over the limit, one in so many is told to come over TCP, so that a client in whose name others flood is still served; 0 for
    /// none. Default 2, as response rate limiting has it.
    pub slip: u32,
    /// Who may ask as much as they like: forwarders with a network behind them.
    pub exempt: Vec<Prefix>,
}

/// The buckets of all clients.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    /// Nanoseconds that a query takes from a bucket, and that a bucket holds.
    each: u64,
    most: u64,
    table: Box<[AtomicU64]>,
    state: RandomState,
    over: AtomicU64,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is answered.
    Admitted,
    /// It is not.
    Dropped,
    /// Its client is told to come over TCP.
    Slipped,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queries: 0, burst: 0, slip: 2, exempt: Vec::new() }
    }
}

/// Buckets: half a megabyte. Clients beyond that share them by chance, the busiest keep theirs.
const BUCKETS: usize = 1 << 16;
/// A bucket holds a mark of its client's in its upper bits, and the moment until which it is used up in the lower ones, in units of 1024 ns: nine
/// days, after which a moment that seems far ahead is one that was long ago.
const TIME: u32 = 40;
const MASK: u64 = (1 << TIME) - 1;

impl Limiter {
    /// For these limits; `None` when there are none.
    pub fn new(limits: Limits) -> Option<Self> {
        let queries = u64::from(limits.queries);
        let each = 1_000_000_000_u64.checked_div(queries)? >> 10;
        let burst = if limits.burst == 0 { 2 * queries } else { u64::from(limits.burst) };
        let table = std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect();
        let (each, state) = (each.max(1), RandomState::default());
        Some(Self { most: each * burst, limits, each, table, state, over: AtomicU64::new(0) })
    }

    /// Takes a query's token from its client's bucket. `proved` queries, which show a cookie, have a bucket of their own: nobody else can empty it.
    pub(super) fn admit(&self, client: IpAddr, proved: bool, now: Moment) -> Admission {
        if self.limits.exempt.iter().any(|prefix| prefix.holds(client)) || self.take(client, proved, now) {
            return Admission::Admitted;
        }
        let over = self.over.fetch_add(1, Ordering::Relaxed);
        let slips = self.limits.slip != 0 && over.is_multiple_of(u64::from(self.limits.slip));
        if slips { Admission::Slipped } else { Admission::Dropped }
    }

    fn take(&self, client: IpAddr, proved: bool, now: Moment) -> bool {
        let now = (now.since(Moment::START).as_nanos() as u64 >> 10) & MASK;
        let hash = self.state.hash_one((network(client), proved));
        let mark = (hash >> TIME).max(1);
        let place = hash as usize % (BUCKETS / 2) * 2;
        let Some([one, other]) = self.table.get(place..place + 2).and_then(<[_]>::first_chunk) else {
            return true;
        };
        // How far ahead of now a bucket is used up; what seems further than a full one is from long ago.
        let ahead =
            |word: u64| Some((word & MASK).wrapping_sub(now) & MASK).filter(|ahead| *ahead <= self.most);
        let (first, second) = (one.load(Ordering::Relaxed), other.load(Ordering::Relaxed));
        let (bucket, found) = match (first >> TIME == mark, second >> TIME == mark) {
            (true, _) => (one, ahead(first).unwrap_or(0)),
            (_, true) => (other, ahead(second).unwrap_or(0)),
            // Nobody's yet, or taken from who uses it less.
            _ if ahead(first).unwrap_or(0) <= ahead(second).unwrap_or(0) => (one, 0),
            _ => (other, 0),
        };
        let used = found + self.each;
        if used > self.most {
            return false;
        }
        // Two threads may take one token for two queries: a limit is no bill.
        bucket.store(mark << TIME | (now.wrapping_add(used) & MASK), Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn limiter(queries: u32, burst: u32, slip: u32) -> Limiter {
        Limiter::new(Limits { queries, burst, slip, exempt: vec!["192.0.2.53".parse().unwrap()] }).unwrap()
    }

    fn admitted(limiter: &Limiter, client: &str, at: Duration, queries: u32) -> u32 {
        let (client, now) = (client.parse().unwrap(), Moment::START + at);
        (0..queries).map(|_| u32::from(limiter.admit(client, false, now) == Admission::Admitted)).sum()
    }

    #[test]
    fn a_client_gets_its_burst_and_then_its_rate_and_takes_nothing_of_others() {
        let limiter = limiter(100, 50, 0);
        let second = Duration::from_secs(5);
        assert_eq!(admitted(&limiter, "10.0.0.1", second, 1000), 50);
        assert_eq!(admitted(&limiter, "10.0.0.2", second, 1000), 50);
        let got = admitted(&limiter, "10.0.0.1", second + Duration::from_millis(100), 1000);
        assert!((9..=11).contains(&got), "{got}");
        assert_eq!(admitted(&limiter, "10.0.0.1", second * 2, 1000), 50, "a full bucket is full");
        assert_eq!(admitted(&limiter, "192.0.2.53", second, 1000), 1000, "exempt");
        assert_eq!(admitted(&limiter, "2001:db8::1", second, 40), 40);
        assert_eq!(admitted(&limiter, "2001:db8:0:ff::1", second, 40), 10, "one network");
        assert_eq!(admitted(&limiter, "2001:db8:0:100::1", second, 40), 40, "another");
    }

    #[test]
    fn who_proves_its_address_has_a_bucket_of_its_own() {
        let limiter = limiter(10, 10, 0);
        assert_eq!(admitted(&limiter, "10.0.0.1", Duration::ZERO, 1000), 10);
        let client = "10.0.0.1".parse().unwrap();
        assert_eq!(limiter.admit(client, true, Moment::START), Admission::Admitted);
    }

    #[test]
    fn one_in_so_many_over_the_limit_is_told_to_come_over_tcp() {
        let limiter = limiter(1, 1, 4);
        let client = "10.0.0.1".parse().unwrap();
        let seen: Vec<_> = (0..9).map(|_| limiter.admit(client, false, Moment::START)).collect();
        assert_eq!(seen.iter().filter(|one| **one == Admission::Slipped).count(), 2, "{seen:?}");
        assert_eq!(seen[0], Admission::Admitted);
    }

    #[test]
    fn more_clients_than_buckets_are_all_served_and_a_flooder_stays_limited() {
        let limiter = limiter(100, 100, 0);
        assert_eq!(admitted(&limiter, "10.0.0.1", Duration::from_secs(1), 1000), 100);
        for number in 0..200_000u32 {
            let client = IpAddr::from((0x0B00_0000 + number).to_be_bytes());
            assert_eq!(
                limiter.admit(client, false, Moment::START + Duration::from_secs(1)),
                Admission::Admitted
            );
        }
        assert!(admitted(&limiter, "10.0.0.1", Duration::from_secs(1), 1000) <= 100);
    }

    #[test]
    fn days_later_a_bucket_is_full_again() {
        let limiter = limiter(100, 50, 0);
        for days in [0, 5, 9, 13, 14, 30, 400] {
            assert_eq!(
                admitted(&limiter, "10.0.0.1", Duration::from_secs(86_400 * days), 60),
                50,
                "day {days}"
            );
        }
    }
}
