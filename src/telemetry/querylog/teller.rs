//! Owns the putting of records into words: what many records of one moment have in common is put into words once. Never knows who is told.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::answered::Said;
use super::line::{Described, decided};
use super::log::Describe;
use super::sink::Told;
use crate::policy::{Cause, IdentityNumber};
use crate::telemetry::record::{Decision, Record};

/// Puts records into words.
pub(super) struct Teller {
    describe: Arc<dyn Describe>,
    known: Vec<Known>,
    /// Where the words of such records stand in [`Teller::known`].
    places: HashMap<Common, usize, RandomState>,
    /// The last record's, which are the next one's as often as not.
    last: Option<(Common, usize)>,
    time_ms: i64,
    time: String,
}

/// Words, and what a line makes of them.
struct Known {
    described: Described,
    decided: Vec<u8>,
    /// The rule that is named in them.
    rule: u32,
}

/// What the words of a record depend on, but for those that name its rule: generations and identities do not change.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Common {
    generation: u64,
    cause: Option<Cause>,
    client: IpAddr,
    identity: IdentityNumber,
    transport: &'static str,
    decision: Decision,
}

/// Descriptions that are kept at most, of up to a kilobyte each, one for each client, and for each list, group and way to meet a rule; beyond, all are
/// forgotten.
const MOST: usize = 1 << 14;

impl Teller {
    pub(super) fn new(describe: Arc<dyn Describe>) -> Self {
        let (known, places, time) = (Vec::new(), HashMap::default(), String::new());
        Self { describe, known, places, last: None, time_ms: i64::MIN, time }
    }

    /// Tells `who` of a record.
    pub(super) fn tell(&mut self, record: &Record<'_>, who: impl FnOnce(&Told<'_>)) {
        if self.time_ms != record.time_ms {
            self.time_ms = record.time_ms;
            self.time.clear();
            if let Ok(time) = Timestamp::from_millisecond(record.time_ms) {
                // Writing to memory does not fail.
                let _written = write!(self.time, "{time:.3}").is_ok();
            }
        }
        let Record { generation, cause, client, identity, transport, decision, .. } = *record;
        // A cause knows its group, whoever the client is.
        let client = if cause.is_some() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { client };
        let rule = cause.map_or(0, |cause| cause.rule);
        let cause = cause.map(|cause| Cause { rule: 0, depth: 0, exact: false, ..cause });
        let common = Common { generation, cause, client, identity, transport, decision };
        let place = match self.last {
            Some((last, place)) if last == common => place,
            _ => {
                let place = self.place(common, record, rule);
                self.last = Some((common, place));
                place
            }
        };
        let Some(known) = self.known.get_mut(place) else { return };
        if known.rule != rule {
            known.rule = rule;
            self.describe.name_rule(record, &mut known.described.words);
        }
        let Known { described, decided, .. } = &*known;
        let upstream = self.describe.answerer(record);
        who(&Told { time: &self.time, described, decided, said: &Said::of(record.reply), upstream });
    }

    /// Where the words of such records stand, from now on at the latest.
    fn place(&mut self, common: Common, record: &Record<'_>, rule: u32) -> usize {
        if self.known.len() >= MOST {
            self.known.clear();
            self.places.clear();
        }
        *self.places.entry(common).or_insert_with(|| {
            let described = self.describe.describe(record);
            self.known.push(Known { decided: decided(record, &described), described, rule });
            self.known.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::policy::Description;

    /// Words that say how often they were made.
    struct Counted {
        described: AtomicUsize,
        named: AtomicUsize,
    }

    impl Describe for Counted {
        fn describe(&self, record: &Record<'_>) -> Described {
            self.described.fetch_add(1, Ordering::Relaxed);
            let cause = record.cause.unwrap();
            let mut words = Description { source: format!("list {}", cause.kind), ..Description::default() };
            (words.rule, words.listed) = words_of(cause);
            Described { words, ..Described::default() }
        }

        fn name_rule(&self, record: &Record<'_>, words: &mut Description) {
            self.named.fetch_add(1, Ordering::Relaxed);
            (words.rule, words.listed) = words_of(record.cause.unwrap());
        }

        fn upstream(&self, _number: u16) -> Option<&str> {
            None
        }
    }

    fn words_of(cause: Cause) -> (String, String) {
        (format!("list:{}", cause.rule), format!("{}.example", cause.rule))
    }

    #[test]
    fn what_rules_of_one_list_have_in_common_is_described_once_and_each_is_named() {
        let counted = Arc::new(Counted { described: AtomicUsize::new(0), named: AtomicUsize::new(0) });
        let mut teller = Teller::new(Arc::clone(&counted) as Arc<dyn Describe>);
        for (kind, rule, depth) in
            [(1, 7, 0), (1, 7, 2), (1, 8, 0), (2, 8, 0), (1, 7, 0), (2, 9, 0), (2, 9, 1)]
        {
            let trigger = crate::policy::Trigger::QueryName;
            let cause = Cause { rule, kind, group: 0, enforcement: 0, trigger, depth, exact: depth == 0 };
            teller.tell(&record([192, 0, 2, 1], Some(cause), 1, 0), |told| {
                let words = &told.described.words;
                assert_eq!(words.source, format!("list {kind}"));
                assert_eq!((words.rule.clone(), words.listed.clone()), words_of(cause));
                assert!(String::from_utf8_lossy(told.decided).contains(&format!("list {kind}")));
            });
        }
        assert_eq!(counted.described.load(Ordering::Relaxed), 2);
        assert_eq!(counted.named.load(Ordering::Relaxed), 3);
    }

    fn record(client: [u8; 4], cause: Option<Cause>, generation: u64, time_ms: i64) -> Record<'static> {
        let client = client.into();
        Record { client, cause, generation, time_ms, decision: Decision::Allowed, ..Record::example() }
    }

    #[test]
    fn records_of_one_client_are_described_once_and_those_of_others_apart() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let describe: Arc<dyn Describe> = Arc::new(move |record: &Record<'_>| {
            count.fetch_add(1, Ordering::Relaxed);
            Described {
                group: format!("of {} in {}", record.client, record.generation),
                ..Described::default()
            }
        });
        let mut teller = Teller::new(describe);
        let (one, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        for _ in 0..3 {
            for (client, generation, time_ms) in [(one, 1, 0), (one, 1, 1), (other, 1, 1), (one, 2, 1)] {
                teller.tell(&record(client, None, generation, time_ms), |told| {
                    assert_eq!(told.time, format!("1970-01-01T00:00:00.00{time_ms}Z"));
                    let group = format!("of {} in {generation}", IpAddr::from(client));
                    assert_eq!(told.described.group, group);
                    assert!(String::from_utf8_lossy(told.decided).contains(&group));
                });
            }
        }
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        for number in 0..2 * MOST as u64 {
            teller.tell(&record(one, None, number, 0), |told| {
                assert!(told.described.group.ends_with(&number.to_string()))
            });
        }
        assert!(teller.known.len() <= MOST);
    }
}
