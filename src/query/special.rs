//! Owns the names that standards set aside for a resolver to answer by itself (RFC 6761 and its kin), and type ANY.
//! Never asks the policy, and never lets one of these names leave for an upstream.

use super::turn::{Done, Turn};
use crate::dns::{CanonicalName, Query, Rcode, RecordType, ReplyWriter};
use crate::telemetry::Counter;

/// What a special-use name gets. `depth` labels stand in front of the special name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// `health.interdict.invalid`: tells a load balancer that this resolver answers.
    Health { depth: usize },
    /// `localhost` (RFC 6761 6.3).
    Localhost { depth: usize },
    /// A zone that is served here and holds nothing at its apex but itself.
    Empty { depth: usize },
}

/// Names under which nothing exists for the rest of the world, most specific labels first.
const EMPTY: &[&[&[u8]]] = &[
    &[b"invalid"],           // RFC 6761 6.4
    &[b"test"],              // RFC 6761 6.2
    &[b"onion"],             // RFC 7686
    &[b"local"],             // RFC 6762 22.1: multicast only
    &[b"alt"],               // RFC 9476
    &[b"internal"],          // set aside by ICANN for private use
    &[b"home", b"arpa"],     // RFC 8375
    &[b"resolver", b"arpa"], // RFC 9462 6.4: forwarding would hand clients to the upstream
    &[b"service", b"arpa"],  // RFC 9665
];

/// Private and otherwise local reverse zones (RFC 6303), as their labels in front of `in-addr.arpa`.
const REVERSE: &[&[&[u8]]] = &[
    &[b"10"],
    &[b"168", b"192"],
    &[b"254", b"169"],
    &[b"0"],
    &[b"127"],
    &[b"2", b"0", b"192"],
    &[b"100", b"51", b"198"],
    &[b"113", b"0", b"203"],
    &[b"255", b"255", b"255", b"255"],
];

/// Unique local, link-local and documentation addresses, as nibbles in front of `ip6.arpa`.
const REVERSE6: &[&[&[u8]]] = &[
    &[b"d", b"f"],
    &[b"c", b"f"],
    &[b"8", b"e", b"f"],
    &[b"9", b"e", b"f"],
    &[b"a", b"e", b"f"],
    &[b"b", b"e", b"f"],
    &[b"8", b"b", b"d", b"0", b"1", b"0", b"0", b"2"],
];

/// The special-use name at or above `name`.
#[inline]
pub(super) fn find(name: &CanonicalName) -> Option<Special> {
    let labels = name.label_count();
    let last = name.label(labels.checked_sub(1)?);
    // Nearly every question ends here.
    match last {
        b"com" | b"net" | b"org" => None,
        b"localhost" => Some(Special::Localhost { depth: labels - 1 }),
        b"arpa" => arpa(name, labels),
        b"invalid" if ends_with(name, &[b"health", b"interdict", b"invalid"]) => {
            Some(Special::Health { depth: labels - 3 })
        }
        _ => zone(name, labels, EMPTY),
    }
}

fn arpa(name: &CanonicalName, labels: usize) -> Option<Special> {
    let second = name.label(labels.checked_sub(2)?);
    let under = |zones: &[&[&[u8]]]| {
        let found =
            zones.iter().find(|zone| labels >= zone.len() + 2 && labels_end(name, labels - 2, zone))?;
        Some(Special::Empty { depth: labels - 2 - found.len() })
    };
    match second {
        // 172.16.0.0/12 and 100.64.0.0/10 are ranges of one label.
        b"in-addr" if labels >= 4 => {
            let (first, next) = (name.label(labels - 3), name.label(labels - 4));
            let number = std::str::from_utf8(next).ok().and_then(|text| text.parse::<u8>().ok());
            match (first, number) {
                (b"172", Some(16..=31)) | (b"100", Some(64..=127)) => {
                    Some(Special::Empty { depth: labels - 4 })
                }
                _ => under(REVERSE),
            }
        }
        b"in-addr" => under(REVERSE),
        // The loopback and the unspecified address are single names of 32 nibbles.
        b"ip6"
            if labels == 34
                && (1..32).all(|i| name.label(i) == b"0")
                && matches!(name.label(0), b"0" | b"1") =>
        {
            Some(Special::Empty { depth: 0 })
        }
        b"ip6" => under(REVERSE6),
        _ => zone(name, labels, EMPTY),
    }
}

fn zone(name: &CanonicalName, labels: usize, zones: &[&[&[u8]]]) -> Option<Special> {
    let found = zones.iter().find(|zone| ends_with(name, zone))?;
    Some(Special::Empty { depth: labels - found.len() })
}

fn ends_with(name: &CanonicalName, zone: &[&[u8]]) -> bool {
    labels_end(name, name.label_count(), zone)
}

/// True when the labels of `name` up to `end` end with `zone`.
fn labels_end(name: &CanonicalName, end: usize, zone: &[&[u8]]) -> bool {
    end.checked_sub(zone.len())
        .is_some_and(|start| zone.iter().zip(start..).all(|(label, at)| name.label(at) == *label))
}

impl Special {
    /// True for names that no route may take away.
    pub(super) fn is_fixed(self) -> bool {
        !matches!(self, Self::Empty { .. })
    }
}

impl Turn<'_> {
    /// Answers a special-use name.
    pub(super) fn special(&self, query: &Query<'_>, special: Special, reply: &mut [u8]) -> Done {
        const DAY: u32 = 86_400;
        match (special, query.record_type) {
            (Special::Localhost { .. }, RecordType::A) => {
                self.cell.bump(Counter::SpecialUse);
                self.record(query, RecordType::A, DAY, &[127, 0, 0, 1], reply)
            }
            (Special::Localhost { .. }, RecordType::AAAA) => {
                self.cell.bump(Counter::SpecialUse);
                self.record(query, RecordType::AAAA, DAY, &std::net::Ipv6Addr::LOCALHOST.octets(), reply)
            }
            (Special::Health { depth: 0 }, RecordType::A) => {
                self.cell.bump(Counter::SpecialHealth);
                self.record(query, RecordType::A, 0, &[127, 0, 0, 1], reply)
            }
            (Special::Health { depth: 0 } | Special::Localhost { depth: 0 }, _) => {
                self.cell.bump(Counter::SpecialUse);
                self.negative(query, Rcode::NOERROR, 0, reply)
            }
            (Special::Empty { depth: 1 }, RecordType::SVCB)
                if query.name.label(0) == b"_dns" && !self.engine.parts.designated.is_empty() =>
            {
                self.cell.bump(Counter::SpecialDiscovery);
                self.designated(query, reply)
            }
            (Special::Empty { depth } | Special::Health { depth } | Special::Localhost { depth }, _) => {
                self.cell.bump(Counter::SpecialUse);
                // The apex of a zone served here exists; so does `_dns` below resolver.arpa, with nothing to offer; and what the
                // operator has names below (RFC 8020).
                let exists = depth == 0 && query.name.label_count() > 1
                    || query.name.label(0) == b"_dns"
                    || self.snapshot.local_names().is_some_and(|names| names.holds(&query.name));
                let rcode = if exists { Rcode::NOERROR } else { Rcode::NXDOMAIN };
                self.negative(query, rcode, depth, reply)
            }
        }
    }

    /// Which encrypted listeners to use instead (RFC 9462 section 4).
    fn designated(&self, query: &Query<'_>, reply: &mut [u8]) -> Done {
        const TTL: u32 = 300;
        let written = ReplyWriter::answer(reply, query, Rcode::NOERROR).and_then(|mut writer| {
            for rdata in &self.engine.parts.designated {
                writer.answer_record(RecordType::SVCB, TTL, rdata)?;
            }
            self.close(writer, query, Rcode::NOERROR, &[])
        });
        self.finish_or_truncate(written, Rcode::NOERROR, query, reply)
    }

    /// Type ANY gets one small record instead of everything (RFC 8482 4.2).
    pub(super) fn any(&self, query: &Query<'_>, reply: &mut [u8]) -> Done {
        self.cell.bump(Counter::SpecialAny);
        self.record(query, RecordType::HINFO, 3600, b"\x07RFC8482\x00", reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;

    fn depth(text: &str) -> Option<usize> {
        match find(&CanonicalName::from(&text.parse::<Name>().unwrap()))? {
            Special::Health { depth } | Special::Localhost { depth } | Special::Empty { depth } => {
                Some(depth)
            }
        }
    }

    #[test]
    fn special_names_are_found_at_their_zone() {
        for (name, expected) in [
            ("localhost", Some(0)),
            ("a.localhost", Some(1)),
            ("xlocalhost", None),
            ("a.b.invalid", Some(2)),
            ("health.interdict.invalid", Some(0)),
            ("router.home.arpa", Some(1)),
            ("_dns.resolver.arpa", Some(1)),
            ("4.3.2.10.in-addr.arpa", Some(3)),
            ("1.16.172.in-addr.arpa", Some(1)),
            ("1.32.172.in-addr.arpa", None),
            ("1.1.168.192.in-addr.arpa", Some(2)),
            ("1.1.169.192.in-addr.arpa", None),
            ("1.64.100.in-addr.arpa", Some(1)),
            ("8.8.8.8.in-addr.arpa", None),
            ("1.0.d.f.ip6.arpa", Some(2)),
            ("in-addr.arpa", None),
            ("arpa", None),
            ("test.com", None),
            ("com.test", Some(1)),
        ] {
            assert_eq!(depth(name), expected, "{name}");
        }
        let loopback = format!("1{}.ip6.arpa", ".0".repeat(31));
        assert_eq!(depth(&loopback), Some(0));
    }
}
