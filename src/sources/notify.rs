//! Owns what a primary says of new versions of its zones (NOTIFY, RFC 1996): whether it counts, what it is answered, and the
//! look that follows. Never answers by itself, and never fetches.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::collection::Collection;
use super::config::{Config, Origin};
use super::entry::Entry;
use super::metrics::NOTIFIES;
use super::transfer::Transfer;
use crate::dns::tsig::{Key, Rejected, Verified, verify_request};
use crate::dns::{Class, Flags, Message, Name, OPCODE_NOTIFY, Rcode, RecordType};
use crate::telemetry::Sample;

/// Counts, and who waits for one that counts.
#[derive(Debug, Default)]
pub(super) struct Notifies {
    counts: [AtomicU64; Verdict::ALL.len()],
    accepted: Notify,
}

/// What becomes of one. Also the label of the metric that counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The zone is looked at at once.
    Accepted,
    /// From somewhere else than the zone's primary.
    Address,
    /// Not a message of this kind as it should be.
    Malformed,
    /// Not signed as it must be.
    Signature,
    /// Of a zone that is not transferred here.
    Zone,
}

/// How a response is signed.
enum Signed {
    Not,
    Rejected(Rejected),
    Verified(Verified),
}

impl Verdict {
    const ALL: [Self; 5] = [Self::Accepted, Self::Address, Self::Malformed, Self::Signature, Self::Zone];

    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Address => "address",
            Self::Malformed => "malformed",
            Self::Signature => "signature",
            Self::Zone => "zone",
        }
    }

    fn rcode(self) -> Rcode {
        match self {
            Self::Accepted => Rcode::NOERROR,
            Self::Malformed => Rcode::FORMERR,
            Self::Address | Self::Signature => Rcode::REFUSED,
            Self::Zone => Rcode::NOTAUTH,
        }
    }
}

impl Notifies {
    pub(super) fn collect(&self, samples: &mut Vec<Sample>) {
        for (verdict, count) in Verdict::ALL.into_iter().zip(&self.counts) {
            let labels = vec![verdict.as_str().to_owned()];
            samples.push(Sample { metric: &NOTIFIES, labels, value: count.load(Ordering::Relaxed) as f64 });
        }
    }
}

impl Collection {
    /// Takes a NOTIFY that came from that address, and returns the response; `None` when it must not be answered. One that
    /// counts makes its zone due. May read a secret's file: never call it where queries are answered.
    pub fn take_notify(&self, message: &[u8], from: IpAddr) -> Option<Vec<u8>> {
        let whole = Message::new(message).filter(|whole| whole.is_notify())?;
        let now = u64::try_from(self.clock.wall().as_second()).unwrap_or(0);
        let (verdict, signed) = match zone_of(whole) {
            Some(zone) => self.judge_notify(message, &zone, from, now),
            None => (Verdict::Malformed, Signed::Not),
        };
        if let Some(count) = self.notifies.counts.get(verdict as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if verdict != Verdict::Accepted {
            tracing::debug!(%from, verdict = verdict.as_str(), "a NOTIFY that does not count");
        }
        let rcode = match &signed {
            Signed::Rejected(rejected) => rejected.rcode(),
            Signed::Not | Signed::Verified(_) => verdict.rcode(),
        };
        let mut response = respond(whole, rcode);
        match signed {
            Signed::Not => {}
            Signed::Rejected(rejected) => rejected.sign(&mut response, now),
            Signed::Verified(verified) => verified.sign(&mut response, now),
        }
        Some(response)
    }

    /// Returns once a NOTIFY made something due, also one that came before the call.
    pub async fn notified(&self) {
        self.notifies.accepted.notified().await;
    }

    fn judge_notify(&self, message: &[u8], zone: &Name, from: IpAddr, now: u64) -> (Verdict, Signed) {
        let of_zone = self.copies(zone);
        if of_zone.is_empty() {
            return (Verdict::Zone, Signed::Not);
        }
        let from_primary: Vec<&(Config, Transfer, Vec<IpAddr>)> =
            of_zone.iter().filter(|(_, _, primaries)| primaries.contains(&from)).collect();
        if from_primary.is_empty() {
            return (Verdict::Address, Signed::Not);
        }
        // A secret that cannot be read makes no key: its source then fails by itself, and says so.
        let load = |transfer: &Transfer| transfer.key.as_ref().and_then(|key| key.load().ok());
        let keys: Vec<Key> = from_primary.iter().filter_map(|(_, transfer, _)| load(transfer)).collect();
        let find = |name: &Name| keys.iter().find(|key| key.name() == name).cloned();
        let verified = match verify_request(message, find, now) {
            Ok(verified) => verified,
            Err(rejected) => return (Verdict::Signature, Signed::Rejected(rejected)),
        };
        let signed_with = verified.as_ref().map(|verified| verified.key.name());
        let meant = from_primary
            .iter()
            .filter(|(_, transfer, _)| transfer.key.as_ref().map(|key| &key.name) == signed_with);
        let mut taken = false;
        for (source, _, _) in meant {
            taken = true;
            self.hasten(source);
        }
        let signed = verified.map_or(Signed::Not, Signed::Verified);
        if !taken {
            return (Verdict::Signature, signed);
        }
        self.notifies.accepted.notify_one();
        (Verdict::Accepted, signed)
    }

    /// The sources in force that copy `zone`, and where their primaries are.
    fn copies(&self, zone: &Name) -> Vec<(Config, Transfer, Vec<IpAddr>)> {
        let state = self.state();
        let copies = state.adopted.iter().filter_map(|source| match &source.origin {
            Origin::Zone(transfer) if transfer.address.zone == *zone => {
                let known = |entry: &Entry| entry.primaries.clone();
                let primaries = match transfer.address.ip() {
                    Some(address) => vec![address.to_canonical()],
                    None => state.entries.get(&source.name).map(known).unwrap_or_default(),
                };
                Some((source.clone(), transfer.clone(), primaries))
            }
            _ => None,
        });
        copies.collect()
    }

    fn hasten(&self, source: &Config) {
        let now = self.clock.now();
        let mut state = self.state();
        let entries: &mut BTreeMap<String, Entry> = &mut state.entries;
        if let Some(entry) = entries.get_mut(&source.name) {
            entry.notify(now);
        }
    }
}

/// The zone that a NOTIFY is of (RFC 1996 section 3.7: one question, for its SOA record).
fn zone_of(message: Message<'_>) -> Option<Name> {
    let (name, question) = message.question()?;
    let tail = [RecordType::SOA.0.to_be_bytes(), Class::IN.0.to_be_bytes()].concat();
    question.ends_with(&tail).then(|| Name::from_wire(name.as_wire()).ok())?
}

/// The response: header and question.
fn respond(message: Message<'_>, rcode: Rcode) -> Vec<u8> {
    let question = message.question().map(|(_, question)| question);
    let mut out = message.id().to_be_bytes().to_vec();
    let flags = Flags::QR | OPCODE_NOTIFY | Flags::AA | (rcode.0 & Flags::RCODE);
    out.extend(flags.to_be_bytes());
    out.extend([0, u8::from(question.is_some()), 0, 0, 0, 0, 0, 0]);
    out.extend(question.unwrap_or(&[]));
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::dns::HEADER;
    use crate::dns::tsig::{Algorithm, Fault, sign_request};
    use crate::formats::Format;
    use crate::problem::Place;
    use crate::sources::{Secret, TsigKey};

    const SECRET: &[u8] = b"interdict test secret 0123456789";

    fn key(name: &str) -> Key {
        Key::new(name.parse().unwrap(), Algorithm::HmacSha256, SECRET)
    }

    fn source(name: &str, from: &str, signed: Option<&str>) -> Config {
        let key = signed.map(|name| TsigKey {
            name: name.parse().unwrap(),
            algorithm: Algorithm::HmacSha256,
            secret: Secret::Given(key(name)),
        });
        let transfer = Transfer {
            address: from.parse().unwrap(),
            key,
            refresh: None,
            timeout: Duration::from_secs(1),
            ca: None,
        };
        let mut config = Config::file(name, "", Format::Rpz, Place::default());
        config.origin = Origin::Zone(transfer);
        config
    }

    fn notify(zone: &str, record_type: RecordType) -> Vec<u8> {
        let mut out = b"\x12\x34\x24\0\0\x01\0\0\0\0\0\0".to_vec();
        out.extend(zone.parse::<Name>().unwrap().as_wire());
        out.extend(record_type.0.to_be_bytes());
        out.extend(b"\0\x01");
        out
    }

    fn collection(sources: &[Config]) -> (Collection, Clock) {
        let clock = Clock::manual("2026-11-25T00:00:00Z".parse().unwrap());
        let collection = Collection::new(None, clock.clone());
        collection.adopt(sources);
        clock.advance(Duration::from_secs(10));
        (collection, clock)
    }

    fn rcode(response: &[u8]) -> u16 {
        let message = Message::new(response).unwrap();
        assert_eq!(message.id(), 0x1234);
        assert!(message.flags().has(Flags::QR | OPCODE_NOTIFY | Flags::AA));
        message.flags().rcode().0
    }

    #[test]
    fn only_the_primary_of_a_zone_hastens_it() {
        let sources = [
            source("a", "axfr://192.0.2.1/rpz.example", None),
            source("b", "axfr://192.0.2.2/rpz.example", None),
            source("c", "axfr://192.0.2.1/other.example", None),
        ];
        let (collection, clock) = collection(&sources);
        let due = |name: &str| collection.state().entries[name].due.is_some_and(|due| due <= clock.now());
        let answer = |message: &[u8], from: &str| {
            rcode(&collection.take_notify(message, from.parse().unwrap()).unwrap())
        };
        let good = notify("RPZ.example", RecordType::SOA);
        assert_eq!(answer(&good, "192.0.2.3"), 5, "a stranger");
        assert_eq!(answer(&notify("none.example", RecordType::SOA), "192.0.2.1"), 9, "no zone of ours");
        assert_eq!(answer(&notify("rpz.example", RecordType::A), "192.0.2.1"), 1, "not of a version");
        assert_eq!(answer(&good[..20], "192.0.2.1"), 1, "cut");
        let pointer = [&good[..HEADER], b"\xC0\x0C\0\x06\0\x01"].concat();
        assert_eq!(answer(&pointer, "192.0.2.1"), 1, "a name that points nowhere");
        let response = collection.take_notify(&pointer, "192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(response.len(), HEADER, "is not echoed");
        assert!(!due("a") && !due("b") && !due("c"));
        assert_eq!(answer(&good, "192.0.2.1"), 0);
        assert!(due("a") && !due("b") && !due("c"));
        let mut response = good;
        response[2] |= 0x80;
        assert_eq!(collection.take_notify(&response, "192.0.2.1".parse().unwrap()), None);
        let counts: Vec<u64> =
            collection.notifies.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(counts, [1, 1, 4, 0, 1]);
    }

    #[test]
    fn where_there_is_a_key_only_it_counts_and_its_holder_can_verify_the_answer() {
        let sources = [source("a", "axfr://192.0.2.1/rpz.example", Some("xfer.example"))];
        let (collection, clock) = collection(&sources);
        let now = clock.wall().as_second() as u64;
        let from = "192.0.2.1".parse().unwrap();
        let due = || collection.state().entries["a"].due.is_some_and(|due| due <= clock.now());
        assert_eq!(rcode(&collection.take_notify(&notify("rpz.example", RecordType::SOA), from).unwrap()), 5);
        for (key, at, code) in [
            (key("other.example"), now, 17),
            (Key::new("xfer.example".parse().unwrap(), Algorithm::HmacSha256, b"wrong"), now, 16),
            (key("xfer.example"), now - 400, 18),
        ] {
            let mut message = notify("rpz.example", RecordType::SOA);
            let mut verifier = sign_request(&mut message, &key, at);
            let response = collection.take_notify(&message, from).unwrap();
            assert_eq!(rcode(&response), 9);
            assert_eq!(verifier.verify(&response, at), Err(Fault::Peer(code)));
            assert!(!due());
        }
        let mut message = notify("rpz.example", RecordType::SOA);
        let mut verifier = sign_request(&mut message, &key("xfer.example"), now);
        let response = collection.take_notify(&message, from).unwrap();
        assert_eq!(rcode(&response), 0);
        assert!(verifier.verify(&response, now).is_ok() && verifier.finish().is_ok() && due());
    }

    #[test]
    fn a_flood_costs_a_look_a_second_and_what_comes_during_a_look_is_not_lost() {
        let sources = [source("a", "axfr://192.0.2.1/rpz.example", None)];
        let (collection, clock) = collection(&sources);
        let from = "192.0.2.1".parse().unwrap();
        let say = || collection.take_notify(&notify("rpz.example", RecordType::SOA), from).unwrap();
        let due = || collection.state().entries["a"].due.unwrap();
        let began = clock.now();
        collection.state().entries.get_mut("a").unwrap().begin(&sources[0], began);
        assert!(due() > began.plus(Duration::from_secs(60)));
        drop(say());
        clock.advance(Duration::from_millis(300));
        drop(say());
        collection.state().entries.get_mut("a").unwrap().reschedule(&sources[0], clock.now());
        assert_eq!(due(), began.plus(Duration::from_secs(1)));
    }
}
