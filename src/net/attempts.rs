//! Owns how often somebody may fail to show a secret before others of its are not looked at: by address, bounded. Never sees a secret.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Moment;

/// Failed attempts by address.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<IpAddr, Attempted>>);

#[derive(Debug)]
struct Attempted {
    since: Moment,
    failed: u32,
}

/// Failed attempts of one address within [`WINDOW`].
const FAILURES: u32 = 10;
/// Time in which attempts are counted.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Addresses whose attempts are told apart; all others share one count.
const ADDRESSES: usize = 4096;
/// Where the attempts of all addresses are counted for which there is no room.
const OTHERS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl Attempts {
    /// Whether that address may try; otherwise how long it must wait.
    pub fn may_try(&self, address: IpAddr, now: Moment) -> Result<(), Duration> {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match attempts
            .get(&counted(address))
            .or_else(|| attempts.get(&OTHERS).filter(|_| attempts.len() >= ADDRESSES))
        {
            Some(known) if known.failed >= FAILURES && now.since(known.since) < WINDOW => {
                Err(WINDOW.saturating_sub(now.since(known.since)))
            }
            _ => Ok(()),
        }
    }

    /// Notes that that address failed.
    pub fn failed(&self, address: IpAddr, now: Moment) {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut address = counted(address);
        if attempts.len() >= ADDRESSES && !attempts.contains_key(&address) {
            attempts.retain(|_, known| now.since(known.since) < WINDOW);
            if attempts.len() >= ADDRESSES {
                address = OTHERS;
            }
        }
        let known = attempts.entry(address).or_insert(Attempted { since: now, failed: 0 });
        if now.since(known.since) >= WINDOW {
            *known = Attempted { since: now, failed: 0 };
        }
        known.failed += 1;
    }
}

/// What attempts are counted by: whoever has an IPv6 network has all its addresses.
fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_those_without_room_share_one_count() {
        let attempts = Attempts::default();
        for number in 0..2 * ADDRESSES as u32 {
            attempts.failed(IpAddr::from(number.to_be_bytes()), Moment::START);
        }
        assert!(attempts.0.lock().unwrap().len() <= ADDRESSES + 1);
        assert!(attempts.may_try(IpAddr::from([203, 0, 113, 9]), Moment::START).is_err());
    }

    #[test]
    fn an_address_that_failed_often_waits_and_its_neighbours_of_ipv6_with_it() {
        let attempts = Attempts::default();
        let [one, beside, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|address| address.parse().unwrap());
        for _ in 0..FAILURES {
            assert!(attempts.may_try(one, Moment::START).is_ok());
            attempts.failed(one, Moment::START);
        }
        assert!(attempts.may_try(beside, Moment::START).is_err());
        assert!(attempts.may_try(other, Moment::START).is_ok());
        assert!(attempts.may_try(one, Moment::START.plus(WINDOW)).is_ok());
    }
}
