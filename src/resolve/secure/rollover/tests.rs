//! The root's keys followed over simulated days: a root that signs its keys as it rolls them, a host that is off now and then, clocks
//! that are set, files that are cut.

use std::sync::Arc;

use hickory_resolver::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG, SigInput};
use hickory_resolver::proto::dnssec::{SigningKey, TBS};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};

use super::super::super::anchors::Anchors;
use super::*;

const DAY: i64 = 86_400;
const HOLD: Duration = Duration::from_secs(30 * DAY as u64);

/// A key of the root.
struct Pair {
    signing: Ed25519SigningKey,
    is_revoked: bool,
}

impl Pair {
    fn new() -> Self {
        let der = Ed25519SigningKey::generate_pkcs8().unwrap();
        Self { signing: Ed25519SigningKey::from_pkcs8(&der).unwrap(), is_revoked: false }
    }

    fn record(&self) -> DNSKEY {
        let flags = if self.is_revoked { 257 | 128 } else { 257 };
        DNSKEY::with_flags(flags, self.signing.to_public_key().unwrap())
    }

    fn key(&self) -> Key {
        Key::of(&self.record())
    }

    fn sign(&self, records: &[Record], now: Timestamp) -> Record {
        let seconds = now.as_second() as u32;
        let input = SigInput {
            type_covered: RecordType::DNSKEY,
            algorithm: Algorithm::ED25519,
            num_labels: 0,
            original_ttl: 172_800,
            sig_expiration: SerialNumber::from(seconds + 20 * DAY as u32),
            sig_inception: SerialNumber::from(seconds - DAY as u32),
            key_tag: self.record().calculate_key_tag().unwrap(),
            signer_name: Name::root(),
        };
        let tbs = TBS::from_input(&Name::root(), DNSClass::IN, &input, records.iter()).unwrap();
        let signature = self.signing.sign(&tbs).unwrap();
        let data = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, signature)));
        Record::from_rdata(Name::root(), 172_800, data)
    }
}

/// An answer with these keys, signed by those.
fn root(keys: &[&Pair], signers: &[&Pair], now: Timestamp) -> Message {
    let record = |pair: &&Pair| {
        Record::from_rdata(Name::root(), 172_800, RData::DNSSEC(DNSSECRData::DNSKEY(pair.record())))
    };
    let records: Vec<Record> = keys.iter().map(record).collect();
    let signatures = signers.iter().map(|signer| signer.sign(&records, now)).collect::<Vec<_>>();
    let mut message = Message::query();
    message.insert_answers(records.into_iter().chain(signatures).collect());
    message
}

/// Where the keys are kept, for tests to look at and to break.
type Disk = Arc<Mutex<Option<Vec<u8>>>>;

fn storage(disk: &Disk) -> Option<Storage> {
    let (read, write) = (Arc::clone(disk), Arc::clone(disk));
    Some(Storage::new(
        move || read.lock().unwrap().clone(),
        move |bytes| {
            *write.lock().unwrap() = Some(bytes.to_vec());
            Ok(())
        },
    ))
}

fn begin(configured: &[&Pair], disk: &Disk, now: Timestamp) -> Rollover {
    let configured = Anchors::read(None).unwrap().with_root(|anchors| {
        configured.iter().for_each(|pair| pair.key().trust(anchors));
    });
    Rollover::begin(&configured, storage(disk), HOLD, now)
}

fn day(number: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + number * DAY).unwrap()
}

impl Rollover {
    fn state(&self, pair: &Pair) -> Option<State> {
        let key = pair.key();
        self.trust().anchors.iter().find(|anchor| anchor.key == key).map(|anchor| anchor.state)
    }

    fn trusts(&self, pair: &Pair) -> bool {
        self.trust().trusted().contains(&pair.key())
    }
}

#[test]
fn a_rollover_is_followed_from_the_new_key_to_the_end_of_the_old() {
    let (mut old, new, zone) = (Pair::new(), Pair::new(), Pair::new());
    let disk = Disk::default();
    let mut followed = begin(&[&old], &disk, day(0));
    for now in 0..120 {
        // Every tenth day the host is started anew.
        if now % 10 == 9 {
            followed = begin(&[&old], &disk, day(now));
        }
        let before = followed.state(&new);
        let next = match now {
            0..20 => followed.take(Some(&root(&[&old], &[&old], day(now))), day(now)),
            20..60 => followed.take(Some(&root(&[&old, &new], &[&old], day(now))), day(now)),
            60..80 => {
                old.is_revoked = true;
                followed.take(Some(&root(&[&old, &new], &[&old, &new], day(now))), day(now))
            }
            _ => followed.take(Some(&root(&[&new], &[&new], day(now))), day(now)),
        };
        let (old_is, new_is) = (followed.state(&old).unwrap(), followed.state(&new));
        match now {
            0..20 => assert_eq!((old_is, new_is), (State::Valid, None)),
            20..50 => assert_eq!((old_is, new_is), (State::Valid, Some(State::AddPend)), "day {now}"),
            50..60 => assert_eq!((old_is, new_is), (State::Valid, Some(State::Valid)), "day {now}"),
            60..90 => assert_eq!((old_is, new_is), (State::Revoked, Some(State::Valid)), "day {now}"),
            _ => assert_eq!((old_is, new_is), (State::Removed, Some(State::Valid)), "day {now}"),
        }
        let changes = before != new_is && new_is == Some(State::Valid) || now == 60;
        assert_eq!(next.is_changed, changes, "day {now}");
        // Half of the TTL, which is a day.
        assert_eq!(next.after, Duration::from_secs(DAY as u64), "day {now}");
        assert_eq!(followed.trouble(day(now)), Vec::<String>::new(), "day {now}");
        assert!(!followed.trusts(&zone));
    }
    assert!(!followed.trusts(&old) && followed.trusts(&new));
    // What was revoked does not come back, not even by a configuration that still names it.
    old.is_revoked = false;
    followed.take(Some(&root(&[&old, &new], &[&new], day(120))), day(120));
    assert_eq!(begin(&[&old], &disk, day(121)).state(&old), Some(State::Removed));
}

#[test]
fn only_what_a_trusted_key_signed_counts() {
    let (own, other, mut pending) = (Pair::new(), Pair::new(), Pair::new());
    let disk = Disk::default();
    let followed = begin(&[&own], &disk, day(0));
    // By a stranger, by nobody, with a signature of other keys, and by the right key too late.
    let set = |signer: &[&Pair], now| root(&[&own, &other], signer, now);
    let mut swapped = set(&[&own], day(1));
    swapped.answers.retain(|record| record.record_type() == RecordType::RRSIG);
    swapped.answers.extend(root(&[&own, &pending], &[], day(1)).answers);
    for wrong in
        [set(&[&other], day(1)), set(&[], day(1)), swapped, set(&[&own], day(-40)), set(&[&own], day(3))]
    {
        followed.take(Some(&wrong), day(1));
        assert_eq!((followed.state(&other), followed.checked()), (None, None));
    }
    assert!(!followed.take(None, day(1)).is_changed);
    assert_eq!(followed.checks.failed.load(Ordering::Relaxed), 6);

    // A key that goes before its time is up begins anew; one that says it is revoked never began.
    let all = |keys: &[&Pair], now| root(keys, &[&own], now);
    followed.take(Some(&all(&[&own, &other], day(1))), day(1));
    followed.take(Some(&all(&[&own, &other], day(20))), day(20));
    followed.take(Some(&all(&[&own], day(21))), day(21));
    assert_eq!(followed.state(&other), None);
    followed.take(Some(&all(&[&own, &other], day(22))), day(22));
    followed.take(Some(&all(&[&own, &other], day(40))), day(40));
    assert_eq!(followed.state(&other), Some(State::AddPend));
    followed.take(Some(&all(&[&own, &other, &pending], day(41))), day(41));
    assert_eq!(followed.state(&pending), Some(State::AddPend));
    pending.is_revoked = true;
    followed.take(Some(&root(&[&own, &other, &pending], &[&own, &pending], day(42))), day(42));
    assert_eq!(followed.state(&pending), Some(State::Revoked), "seen, never trusted, and remembered");
    assert!(!followed.trusts(&pending));

    // A revocation needs the key's own signature, and nobody else's.
    let (mut first, second) = (Pair::new(), Pair::new());
    let followed = begin(&[&first, &second], &Disk::default(), day(0));
    first.is_revoked = true;
    followed.take(Some(&root(&[&first, &second], &[&second], day(1))), day(1));
    assert_eq!(followed.state(&first), Some(State::Missing), "it does not say so itself");
    assert!(followed.trouble(day(1))[0].contains("is gone from the root's keys"));
    followed.take(Some(&root(&[&first, &second], &[&first], day(2))), day(2));
    assert_eq!(followed.state(&first), Some(State::Revoked));
    assert_eq!(followed.state(&second), Some(State::Valid));
}

#[test]
fn a_key_that_is_gone_comes_back_and_the_last_one_is_not_replaced_by_nothing() {
    let (mut one, mut two) = (Pair::new(), Pair::new());
    let disk = Disk::default();
    let followed = begin(&[&one, &two], &disk, day(0));
    followed.take(Some(&root(&[&two], &[&two], day(1))), day(1));
    assert_eq!(followed.state(&one), Some(State::Missing));
    assert!(followed.trusts(&one), "it may still sign");
    followed.take(Some(&root(&[&one, &two], &[&one], day(2))), day(2));
    assert_eq!(followed.state(&one), Some(State::Valid));
    one.is_revoked = true;
    two.is_revoked = true;
    assert!(followed.take(Some(&root(&[&one, &two], &[&one, &two], day(3))), day(3)).is_changed);
    assert!(followed.trouble(day(3)).iter().any(|line| line.contains("no key of the root is valid")));
    // Somebody is trusted who signs nothing.
    assert_eq!(followed.anchors().all.len(), 1);
    assert!(followed.trouble(day(20)).iter().any(|line| line.contains("could not be checked")));
}

#[test]
fn a_clock_that_is_set_makes_nothing_trusted() {
    let (own, new) = (Pair::new(), Pair::new());
    let followed = begin(&[&own], &Disk::default(), day(0));
    let look = |now| followed.take(Some(&root(&[&own, &new], &[&own], now)), now);
    look(day(0));
    // A year ahead counts as fifteen days, back as none.
    look(day(365));
    assert_eq!(followed.state(&new), Some(State::AddPend));
    look(day(1));
    assert_eq!(followed.state(&new), Some(State::AddPend));
    for number in 2..16 {
        look(day(number));
    }
    assert_eq!(followed.state(&new), Some(State::AddPend));
    look(day(16));
    assert_eq!(followed.state(&new), Some(State::Valid));
}

#[test]
fn the_file_is_whole_or_not_used() {
    let (own, new) = (Pair::new(), Pair::new());
    let disk = Disk::default();
    let followed = begin(&[&own], &disk, day(0));
    followed.take(Some(&root(&[&own, &new], &[&own], day(0))), day(0));
    let whole = disk.lock().unwrap().clone().unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    println!("{text}");
    assert_eq!(file::read(&text).unwrap(), *followed.trust());
    for cut in 0..whole.len() {
        let Ok(cut) = str::from_utf8(&whole[..cut]) else { continue };
        assert_eq!(file::read(cut), None, "{cut}");
    }
    for (from, to) in [
        ("state=valid", "state=trusted"),
        ("aged=0", "aged=-1"),
        ("257 3", "257 x"),
        ("from=root", "from=me"),
    ] {
        assert_eq!(file::read(&text.replace(from, to)), None, "{to}");
    }
    // What is not whole counts as nothing, and is written anew.
    *disk.lock().unwrap() = Some(whole[..whole.len() - 9].to_vec());
    let again = begin(&[&own], &disk, day(1));
    assert_eq!((again.state(&own), again.state(&new)), (Some(State::Valid), None));
    assert!(disk.lock().unwrap().clone().unwrap().ends_with(b"; end\n"));
    // The operator's word counts at once, for a key and against it.
    let vouched = begin(&[&new], &disk, day(2));
    assert_eq!((vouched.state(&own), vouched.state(&new)), (None, Some(State::Valid)));
}

/// More keys and signatures than are looked at: the work stays bounded, and what is trusted is as it was.
#[test]
fn a_flood_of_keys_is_not_taken_in() {
    let own = Pair::new();
    let many: Vec<Pair> = (0..60).map(|_| Pair::new()).collect();
    let followed = begin(&[&own], &Disk::default(), day(0));
    let keys: Vec<&Pair> = many.iter().chain([&own]).collect();
    followed.take(Some(&root(&keys, &keys, day(0))), day(0));
    assert_eq!(followed.state(&own), Some(State::Valid));
    assert_eq!(followed.checked(), None, "its signature stood behind sixteen others");
    followed.take(Some(&root(&keys, &[&own], day(0))), day(0));
    assert_eq!(followed.shown().len(), 16);
}
