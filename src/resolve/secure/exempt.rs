//! Owns the zones whose failures are borne with for a while: negative trust anchors (RFC 7646). Each has an end. Never validates.

use jiff::Timestamp;

use crate::dns::{CanonicalName, Name};

/// A zone whose answers are passed on unvalidated, because its operator broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exempt {
    /// The zone; it and everything below it.
    pub zone: Name,
    /// When it is validated again.
    pub until: Timestamp,
    /// Why, for people.
    pub reason: String,
}

impl Exempt {
    /// True when it counts for `name` at that moment.
    pub(in crate::resolve) fn covers(&self, name: &CanonicalName, now: Timestamp) -> bool {
        now < self.until && name.is_at_or_below(&self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_exempt_with_all_below_it_until_its_end() {
        let until: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let exempt = Exempt { zone: "broken.example".parse().unwrap(), until, reason: String::new() };
        let name = |name: &str| CanonicalName::from(&name.parse::<Name>().unwrap());
        let before = "2026-11-30T23:59:59Z".parse().unwrap();
        assert!(
            exempt.covers(&name("broken.example"), before)
                && exempt.covers(&name("a.b.broken.example"), before)
        );
        assert!(
            !exempt.covers(&name("unbroken.example"), before) && !exempt.covers(&name("example"), before)
        );
        assert!(!exempt.covers(&name("broken.example"), until));
    }
}
