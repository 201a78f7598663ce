//! Owns the pairs that the kernel holds, as this process knows them: by client, with the moment until which each is permitted. Never older than
//! the kernel's own, and a pair that has just ended is kept a little longer, as the kernel may have it yet.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::clock::Moment;

/// A client, and an address that it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    /// Who may connect; unspecified for all of that family.
    pub(super) client: IpAddr,
    /// Where.
    pub(super) address: IpAddr,
}

/// All pairs. In shards, so that threads rarely meet at a lock; each is held for one look.
#[derive(Debug)]
pub(super) struct Pairs {
    shards: [Mutex<Shard>; SHARDS],
    state: RandomState,
    count: AtomicUsize,
}

type Shard = HashMap<IpAddr, HashMap<IpAddr, Moment, RandomState>, RandomState>;

/// A power of two.
const SHARDS: usize = 32;
/// How long a pair is kept after its end: the kernel's began a moment later.
pub(super) const LINGER: Duration = Duration::from_secs(10);

impl Pair {
    /// The client that stands for all of its family.
    pub(super) fn anybody(is_ipv4: bool) -> IpAddr {
        if is_ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    }
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            state: RandomState::default(),
            count: AtomicUsize::new(0),
        }
    }
}

impl Pairs {
    /// Until when a pair is permitted, or was.
    pub(super) fn until(&self, pair: Pair) -> Option<Moment> {
        self.shard(pair.client).get(&pair.client)?.get(&pair.address).copied()
    }

    /// Notes that the kernel permits a pair until then.
    pub(super) fn put(&self, pair: Pair, until: Moment) {
        let mut shard = self.shard(pair.client);
        let of = shard.entry(pair.client).or_default();
        if of.insert(pair.address, until).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets what has ended.
    pub(super) fn sweep(&self, now: Moment) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, of| {
                let before = of.len();
                of.retain(|_, until| *until + LINGER > now);
                self.count.fetch_sub(before - of.len(), Ordering::Relaxed);
                !of.is_empty()
            });
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many there are of one client.
    pub(super) fn count_of(&self, client: IpAddr) -> usize {
        self.shard(client).get(&client).map_or(0, HashMap::len)
    }

    /// Those that are permitted, with the time that is left of each.
    pub(super) fn all(&self, now: Moment) -> Vec<(Pair, Duration)> {
        let mut all = Vec::with_capacity(self.count());
        for shard in &self.shards {
            for (client, of) in lock(shard).iter() {
                let left = of.iter().map(|(address, until)| (*address, until.since(now)));
                let left = left.filter(|(_, left)| !left.is_zero());
                all.extend(left.map(|(address, left)| (Pair { client: *client, address }, left)));
            }
        }
        all
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, Shard> {
        // The upper bits choose the shard, the lower ones the place in it.
        let shard = (self.state.hash_one(client) >> 32) as usize % SHARDS;
        let [first, ..] = &self.shards;
        lock(self.shards.get(shard).unwrap_or(first))
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(client: u8, address: u8) -> Pair {
        Pair { client: [10, 0, 0, client].into(), address: [192, 0, 2, address].into() }
    }

    #[test]
    fn pairs_end_and_are_counted() {
        let pairs = Pairs::default();
        let at = |seconds| Moment::START + Duration::from_secs(seconds);
        pairs.put(pair(1, 1), at(10));
        pairs.put(pair(1, 2), at(20));
        pairs.put(pair(2, 1), at(30));
        pairs.put(pair(2, 1), at(40));
        assert_eq!((pairs.count(), pairs.count_of(pair(1, 0).client)), (3, 2));
        assert_eq!(pairs.until(pair(2, 1)), Some(at(40)));
        assert_eq!(pairs.until(pair(2, 2)), None);
        assert_eq!(pairs.all(at(10)).len(), 2, "what has ended is not permitted");
        pairs.sweep(at(19));
        assert_eq!(pairs.count(), 3, "and not forgotten at once");
        pairs.sweep(at(20));
        assert_eq!(pairs.count(), 2);
        pairs.sweep(at(99));
        assert_eq!((pairs.count(), pairs.count_of(pair(1, 0).client)), (0, 0));
    }
}
