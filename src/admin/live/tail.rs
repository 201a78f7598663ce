//! Owns the newest records in memory, in words, with as much of the client as the query log may show. Bounded in number, and in how many it takes a
//! second; gone with the process. Never makes a query wait: the log's thread hands records over.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::dns::Message;
use crate::telemetry::{Clients, Describe, Pseudonyms, Record};

/// The newest records.
#[derive(Debug)]
pub struct Tail {
    most: usize,
    kept: Mutex<VecDeque<Arc<Seen>>>,
}

/// What a tail is made with.
pub struct Wiring {
    /// Records kept.
    pub most: usize,
    /// What is kept of clients.
    pub clients: Clients,
    /// Puts records into words.
    pub describe: Arc<dyn Describe>,
}

/// One record in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    /// Rises by one from record to record; a gap is what came faster than it is shown.
    pub(crate) number: u64,
    /// When.
    pub(crate) time: Timestamp,
    /// Who, as far as the settings show it.
    pub(crate) client: Option<String>,
    /// Who that is beside the address, where addresses are shown.
    pub(crate) identity: Option<String>,
    /// How it came.
    pub(crate) transport: &'static str,
    /// What was asked.
    pub(crate) name: String,
    /// The record type.
    pub(crate) r#type: String,
    /// What the policy said.
    pub(crate) verdict: &'static str,
    /// App id; empty without a rule.
    pub(crate) app: String,
    /// Instrument id.
    pub(crate) instrument: String,
    /// The client's group.
    pub(crate) group: String,
    /// The reply's code; none where there was no reply, and where replies are not kept for a log.
    pub(crate) rcode: Option<String>,
    /// Where the answer is from; none where there is no code.
    pub(crate) answered_from: Option<&'static str>,
    /// The upstream that answered, if one did.
    pub(crate) upstream: Option<String>,
    /// Microseconds until the reply, where that was not at once.
    pub(crate) took_us: Option<NonZero<u32>>,
}

/// Which records somebody wants to see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Part of the name, in lower case.
    pub(crate) name: String,
    /// How the client begins.
    pub(crate) client: String,
    /// The app's id.
    pub(crate) app: String,
    /// What the policy said.
    pub(crate) verdict: String,
    /// The group.
    pub(crate) group: String,
    /// Only numbers above this one.
    pub(crate) after: u64,
    /// So many, the newest.
    pub(crate) most: usize,
}

/// Records put into words in one second: more than anybody reads, few enough to cost the log's thread a hundredth of its time.
const A_SECOND: u32 = 500;

impl Tail {
    /// An empty tail, and what hands it records.
    pub fn begin(wiring: Wiring) -> (Arc<Self>, impl FnMut(&Record<'_>) + Send + 'static) {
        let Wiring { most, clients, describe } = wiring;
        let tail = Arc::new(Self { most, kept: Mutex::default() });
        let taker = Arc::clone(&tail);
        let (mut number, mut second, mut taken) = (0, i64::MIN, 0);
        let mut pseudonyms = Pseudonyms::default();
        let take = move |record: &Record<'_>| {
            number += 1;
            if record.time_ms.div_euclid(1000) != second {
                (second, taken) = (record.time_ms.div_euclid(1000), 0);
            }
            taken += 1;
            if taken > A_SECOND {
                return;
            }
            let described = describe.describe(record);
            let shown = match clients {
                Clients::Hmac => pseudonyms.of_day(record.client, record.time_ms.div_euclid(86_400_000)),
                _ => clients.show(record.client),
            };
            let upstream = describe.answerer(record);
            let message = record.reply.as_ref().and_then(|reply| Message::new(reply.bytes()));
            let rcode = message.map(|message| message.rcode_and_error(message.records()).0);
            taker.push(Seen {
                number,
                time: Timestamp::from_millisecond(record.time_ms).unwrap_or(Timestamp::UNIX_EPOCH),
                client: shown,
                identity: described.identity.filter(|_| clients == Clients::Full),
                transport: record.transport,
                name: record.name.to_string(),
                r#type: record.record_type.to_string(),
                verdict: record.decision.as_str(),
                app: described.words.app,
                instrument: described.words.instrument,
                group: described.group,
                rcode: rcode.map(|rcode| rcode.to_string()),
                answered_from: record.reply.map(|reply| reply.origin().as_str()),
                upstream: upstream.map(str::to_owned),
                took_us: record.took_us,
            });
        };
        (tail, take)
    }

    fn push(&self, seen: Seen) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.most {
            kept.pop_front();
        }
        kept.push_back(Arc::new(seen));
    }

    /// The newest that `filter` wants, the newest first.
    pub(crate) fn newest(&self, filter: &Filter) -> Vec<Arc<Seen>> {
        // The log's thread waits for no more than the copy of some pointers.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = kept.into_iter().rev().take_while(|seen| seen.number > filter.after);
        wanted.filter(|seen| filter.wants(seen)).take(filter.most).collect()
    }
}

impl Filter {
    fn wants(&self, seen: &Seen) -> bool {
        let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        let client = || match (self.client.parse::<IpAddr>(), seen.client.as_deref()) {
            // A whole address is not meant to find those that it begins.
            (Ok(_), Some(client)) => client == self.client,
            (Err(_), Some(client)) => client.starts_with(&self.client),
            (_, None) => false,
        };
        is(&self.app, &seen.app)
            && is(&self.verdict, seen.verdict)
            && is(&self.group, &seen.group)
            && (self.client.is_empty() || client())
            && (self.name.is_empty() || seen.name.contains(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Description;
    use crate::telemetry::Described;

    fn record(second: i64, client: &str) -> Record<'static> {
        let time_ms = 1_698_638_400_000 + second * 1000;
        Record { time_ms, client: client.parse().unwrap(), ..Record::example() }
    }

    fn tail(clients: Clients) -> (Arc<Tail>, impl FnMut(&Record<'_>)) {
        let describe: Arc<dyn Describe> = Arc::new(|_: &Record<'_>| Described {
            words: Description { app: "wechat".to_owned(), ..Description::default() },
            group: "default".to_owned(),
            identity: Some("certificate:laptop-7".to_owned()),
        });
        Tail::begin(Wiring { most: 3, clients, describe })
    }

    const ALL: Filter = Filter {
        name: String::new(),
        client: String::new(),
        app: String::new(),
        verdict: String::new(),
        group: String::new(),
        after: 0,
        most: 100,
    };

    #[test]
    fn the_newest_stay_and_filters_choose_among_them() {
        let (tail, mut take) = tail(Clients::Full);
        for second in 0..5 {
            take(&record(second, &format!("10.0.0.{second}")));
        }
        let numbers =
            |filter: &Filter| tail.newest(filter).iter().map(|seen| seen.number).collect::<Vec<_>>();
        assert_eq!(numbers(&ALL), [5, 4, 3]);
        assert_eq!(numbers(&Filter { after: 4, ..ALL }), [5]);
        assert_eq!(numbers(&Filter { client: "10.0.0.3".to_owned(), ..ALL }), [4]);
        assert_eq!(numbers(&Filter { name: "chat.c".to_owned(), most: 1, ..ALL }), [5]);
        assert!(numbers(&Filter { app: "tiktok".to_owned(), ..ALL }).is_empty());
    }

    #[test]
    fn a_client_is_shown_as_the_log_may_show_it() {
        for (clients, shown) in
            [(Clients::Full, Some("10.0.0.7")), (Clients::Prefix, Some("10.0.0.0/24")), (Clients::None, None)]
        {
            let (tail, mut take) = tail(clients);
            take(&record(0, "10.0.0.7"));
            let seen = tail.newest(&ALL).pop().unwrap();
            assert_eq!(seen.client.as_deref(), shown);
            assert_eq!(seen.identity.is_some(), clients == Clients::Full);
        }
        let (tail, mut take) = tail(Clients::Hmac);
        take(&record(0, "10.0.0.7"));
        let client = tail.newest(&ALL).pop().unwrap().client.clone().unwrap();
        assert!(client.len() == 16 && !client.contains("10.0"), "{client}");
    }

    #[test]
    fn a_flood_costs_no_more_than_so_many_a_second() {
        let (tail, mut take) = tail(Clients::Full);
        for _ in 0..10 * A_SECOND {
            take(&record(0, "10.0.0.7"));
        }
        take(&record(1, "10.0.0.7"));
        let newest: Vec<u64> = tail.newest(&ALL).iter().map(|seen| seen.number).collect();
        assert_eq!(newest, [u64::from(10 * A_SECOND) + 1, u64::from(A_SECOND), u64::from(A_SECOND) - 1]);
    }
}
