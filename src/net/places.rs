//! Owns who may have a connection: so many in all, so many from one client, so many that have not said yet who they are. Never
//! waits; who finds no place is turned away.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The places of one listener.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_of_client: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    greeting: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// One connection's place.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    client: Option<IpAddr>,
    greeting: bool,
}

/// Of all places, those that may be taken by connections whose handshake is not done: a quarter, so that those who only
/// begin never keep out those who ask.
const GREETING: usize = 4;

impl Places {
    /// Places for so many, and for so many of one client.
    pub fn new(most: usize, most_of_client: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_client, taken: Mutex::default() })
    }

    /// A place for one more connection; `greets` when a handshake comes first.
    pub fn enter(self: &Arc<Self>, greets: bool) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.most || greets && taken.greeting >= (self.most / GREETING).max(1) {
            return None;
        }
        taken.all += 1;
        taken.greeting += usize::from(greets);
        drop(taken);
        Some(Place { places: Arc::clone(self), client: None, greeting: greets })
    }

    /// True while more than a quarter of those that may begin do: then strangers are asked to show that their address is theirs.
    pub fn is_crowded(&self) -> bool {
        let greeting = self.taken.lock().unwrap_or_else(PoisonError::into_inner).greeting;
        greeting * GREETING * GREETING > self.most
    }

    /// True when no place is taken.
    pub fn is_empty(&self) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).all == 0
    }
}

impl Place {
    /// Gives the place to the client at `address`, once; false when that client has as many as it may.
    pub fn is_given_to(&mut self, address: IpAddr) -> bool {
        let client = client(address);
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = taken.by_client.entry(client).or_insert(0);
        if self.client.is_some() || *of_client >= self.places.most_of_client {
            return false;
        }
        *of_client += 1;
        self.client = Some(client);
        true
    }

    /// Notes that the handshake is done.
    pub fn greeted(&mut self) {
        if std::mem::take(&mut self.greeting) {
            self.places.taken.lock().unwrap_or_else(PoisonError::into_inner).greeting -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        taken.greeting -= usize::from(self.greeting);
        if let Some(client) = self.client
            && let Entry::Occupied(mut of_client) = taken.by_client.entry(client)
        {
            *of_client.get_mut() -= 1;
            if *of_client.get() == 0 {
                of_client.remove();
            }
        }
    }
}

/// Whom an address stands for: a site gets a /64 of IPv6, and picks addresses in it as it likes.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_by_client_and_come_back() {
        let places = Places::new(8, 3);
        let enter = |address: &str| {
            let mut place = places.enter(false)?;
            place.is_given_to(address.parse().unwrap()).then_some(place)
        };
        let first: Vec<_> = (1..=3).filter_map(|host| enter(&format!("2001:db8::{host}"))).collect();
        assert_eq!(first.len(), 3);
        assert!(enter("2001:db8::ffff:1").is_none(), "one site is one client");
        let others: Vec<_> = (1..=5).filter_map(|host| enter(&format!("192.0.2.{host}"))).collect();
        assert_eq!(others.len(), 5);
        assert!(enter("192.0.2.9").is_none(), "all are taken");
        drop(first);
        assert!(enter("2001:db8::4").is_some());
        drop(others);
        assert!(places.is_empty());
        assert!(places.taken.lock().unwrap().by_client.is_empty());
    }

    #[test]
    fn those_who_only_begin_do_not_keep_out_the_others() {
        let places = Places::new(8, 8);
        let mut greeting: Vec<_> = std::iter::from_fn(|| places.enter(true)).collect();
        assert_eq!(greeting.len(), 2);
        assert!(places.enter(false).is_some());
        greeting[0].greeted();
        greeting[0].greeted();
        assert!(places.enter(true).is_some());
        drop(greeting);
        assert!(places.is_empty());
    }
}
