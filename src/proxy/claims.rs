//! Owns whether a name leads to an address: what this resolver answers for it now, or answered lately. Bounded. Never decides what follows.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::judge::Caller;
use crate::clock::{Clock, Moment};
use crate::dns::CanonicalName;

/// Asks this resolver, as a client, for the addresses of a name, of IPv6 or IPv4. None when there are none, or the policy denies them.
pub type Resolve = Arc<dyn Fn(Caller, &CanonicalName, bool) -> Resolving + Send + Sync>;
/// An answer on its way.
pub type Resolving = Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>>;

/// The names seen lately, and where they led.
pub(super) struct Claims {
    resolve: Resolve,
    clock: Clock,
    seen: Mutex<Seen>,
}

/// Addresses by a name's wire form, each with when it was answered last.
type Seen = HashMap<Box<[u8]>, Vec<(IpAddr, Moment)>>;

/// How long an address counts as a name's after it was answered: clients hold on to an address beyond its TTL while it works.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Names that are remembered. Beyond it, all are forgotten, and asked for again: the cache has them.
const NAMES: usize = 10_000;
/// Addresses of one name that are remembered.
const ADDRESSES: usize = 64;

impl Claims {
    pub(super) fn new(resolve: Resolve, clock: Clock) -> Self {
        Self { resolve, clock, seen: Mutex::default() }
    }

    /// The addresses of a name, those of IPv6 first.
    pub(super) async fn addresses(&self, caller: Caller, name: &CanonicalName) -> Vec<IpAddr> {
        let (six, four) =
            tokio::join!((self.resolve)(caller, name, true), (self.resolve)(caller, name, false));
        let found = [six, four].concat();
        self.remember(name, &found);
        found
    }

    /// True when the name leads to the address.
    pub(super) async fn hold(&self, caller: Caller, name: &CanonicalName, address: IpAddr) -> bool {
        if self.remembers(name, address) {
            return true;
        }
        let found = (self.resolve)(caller, name, address.is_ipv6()).await;
        self.remember(name, &found);
        found.contains(&address)
    }

    fn remembers(&self, name: &CanonicalName, address: IpAddr) -> bool {
        let now = self.clock.now();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get(name.as_wire()).into_iter().flatten();
        known.into_iter().any(|(known, at)| *known == address && now.since(*at) < REMEMBERED)
    }

    fn remember(&self, name: &CanonicalName, addresses: &[IpAddr]) {
        if addresses.is_empty() {
            return;
        }
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= NAMES {
            seen.clear();
        }
        let known = seen.entry(name.as_wire().into()).or_default();
        known.retain(|(known, at)| !addresses.contains(known) && now.since(*at) < REMEMBERED);
        known.extend(addresses.iter().map(|address| (*address, now)));
        let surplus = known.len().saturating_sub(ADDRESSES);
        known.drain(..surplus);
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_was_answered_lately_still_counts() {
        let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        // Another address each time.
        let resolve: Resolve = Arc::new(move |_, _, _| {
            let number = count.fetch_add(1, Ordering::Relaxed) as u8;
            Box::pin(async move { vec![IpAddr::from([192, 0, 2, number])] })
        });
        let claims = Claims::new(resolve, clock.clone());
        let name = CanonicalName::read(b"\x01a\0").unwrap();
        let caller = Caller::at(IpAddr::from([127, 0, 0, 1]));
        let holds = |number: u8| claims.hold(caller, &name, IpAddr::from([192, 0, 2, number]));
        assert!(holds(0).await && holds(1).await, "each is what the resolver says now");
        assert!(holds(0).await && holds(1).await);
        assert_eq!(asked.load(Ordering::Relaxed), 2, "known ones are not asked for again");
        assert!(!holds(9).await);
        clock.advance(REMEMBERED);
        assert!(!holds(0).await, "that was too long ago");
    }
}
