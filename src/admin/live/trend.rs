//! Owns the numbers of the last day, minute by minute and by app, and those of the last minute: read off what a scrape sums, by a task of its own.
//! Bounded in minutes and in apps; gone with the process. Never counts a query.

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use super::numbers::Numbers;
use crate::clock::{Clock, Moment};
use crate::telemetry::Collect;

/// The trend of a running resolver.
pub struct Trend {
    clock: Clock,
    collectors: Vec<Arc<dyn Collect>>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// Whole minutes, oldest first.
    minutes: VecDeque<Minute>,
    /// The numbers when the present minute began, and when that was.
    begun: (i64, Numbers),
    /// The numbers of the last looks, oldest first.
    looks: VecDeque<(Moment, Numbers)>,
}

/// What a minute came to.
#[derive(Clone, Debug, Default)]
struct Minute {
    /// Its number since 1970.
    number: i64,
    queries: u64,
    shadow: u64,
    /// Cache lookups that found something, and all.
    found: u64,
    lookups: u64,
    blocked: BTreeMap<Arc<str>, u64>,
}

/// Which stretch of time a trend shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Span {
    /// The last day, by quarters of an hour.
    #[default]
    Day,
    /// The last hour, by minutes.
    Hour,
}

/// A stretch of a trend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Bucket {
    /// When it began.
    pub(crate) from: Timestamp,
    /// Queries.
    pub(crate) queries: u64,
    /// Queries blocked.
    pub(crate) blocked: u64,
    /// The same by app.
    pub(crate) by_app: BTreeMap<String, u64>,
    /// Queries that would have been blocked.
    pub(crate) shadow: u64,
    /// Cache lookups that found something.
    pub(crate) cache_found: u64,
    /// Cache lookups.
    pub(crate) cache_lookups: u64,
}

/// Minutes kept.
const MINUTES: i64 = 24 * 60;
/// Apps told apart in a minute; what the others came to is one row.
const APPS: usize = 32;
/// The name of that row: no app's id, as it holds a blank.
const OTHERS: &str = "other apps";
/// Time between two looks.
const LOOK: Duration = Duration::from_secs(10);
/// Looks kept: those of a minute.
const LOOKS: usize = 6;

impl std::fmt::Debug for Trend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trend").finish_non_exhaustive()
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "day" => Ok(Self::Day),
            "hour" => Ok(Self::Hour),
            _ => Err("use one of hour, day"),
        }
    }
}

impl Span {
    /// The word in a request.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }

    /// Minutes of a bucket, and how many buckets.
    fn shape(self) -> (i64, i64) {
        match self {
            Self::Day => (15, 96),
            Self::Hour => (1, 60),
        }
    }
}

impl Trend {
    /// Begins with what `collectors` show now.
    pub fn new(clock: Clock, collectors: Vec<Arc<dyn Collect>>) -> Arc<Self> {
        let numbers = Numbers::read(&collectors);
        let begun = (minute(&clock), numbers.clone());
        let looks = VecDeque::from([(clock.now(), numbers)]);
        let kept = Mutex::new(Kept { minutes: VecDeque::new(), begun, looks });
        Arc::new(Self { clock, collectors, kept })
    }

    /// Looks every ten seconds until `stop` changes.
    pub async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.changed() => return,
            }
            let this = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || this.look()).await.is_err() {
                tracing::error!("reading the numbers for the trend failed");
            }
        }
    }

    /// Notes the numbers of now.
    pub(super) fn look(&self) {
        let numbers = Numbers::read(&self.collectors);
        let (now, number) = (self.clock.now(), minute(&self.clock));
        let mut kept = self.kept();
        if number != kept.begun.0 {
            let came = Minute::of(kept.begun.0, &numbers.since(&kept.begun.1));
            kept.begun = (number, numbers.clone());
            // A clock that was set back leaves what it had seen as it is.
            if kept.minutes.back().is_none_or(|last| last.number < came.number) {
                kept.minutes.push_back(came);
            }
            while kept.minutes.front().is_some_and(|first| first.number <= number - MINUTES)
                || kept.minutes.len() > MINUTES as usize
            {
                kept.minutes.pop_front();
            }
        }
        kept.looks.push_back((now, numbers));
        while kept.looks.len() > LOOKS {
            kept.looks.pop_front();
        }
    }

    /// The numbers of now, and what came in about the last minute with how many seconds that is.
    pub(super) fn lately(&self) -> (Numbers, Numbers, f64) {
        let (now, at) = (Numbers::read(&self.collectors), self.clock.now());
        let kept = self.kept();
        let Some((since, before)) = kept.looks.front() else { return (now.clone(), now, 1.0) };
        let came = now.since(before);
        (now, came, at.since(*since).as_secs_f64().max(0.001))
    }

    /// The stretches of a span, oldest first, the present one included.
    pub(crate) fn buckets(&self, span: Span) -> Vec<Bucket> {
        let numbers = Numbers::read(&self.collectors);
        let (length, count) = span.shape();
        let kept = self.kept();
        let last = minute(&self.clock).max(kept.begun.0).div_euclid(length);
        let first = last - count + 1;
        let from = |place: i64| Timestamp::from_second(place * length * 60).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut buckets: Vec<Bucket> =
            (first..=last).map(|place| Bucket { from: from(place), ..Bucket::default() }).collect();
        let present = Minute::of(kept.begun.0, &numbers.since(&kept.begun.1));
        for minute in kept.minutes.iter().chain([&present]) {
            let place = usize::try_from(minute.number.div_euclid(length) - first);
            if let Some(bucket) = place.ok().and_then(|place| buckets.get_mut(place)) {
                bucket.add(minute);
            }
        }
        buckets
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn minute(clock: &Clock) -> i64 {
    clock.wall().as_second().div_euclid(60)
}

impl Minute {
    fn of(number: i64, came: &Numbers) -> Self {
        let mut apps: Vec<(&String, u64)> = came.blocked.iter().map(|(app, count)| (app, *count)).collect();
        apps.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
        let mut blocked: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for (place, (app, count)) in apps.into_iter().enumerate() {
            let app = if place < APPS { app.as_str() } else { OTHERS };
            *blocked.entry(app.into()).or_default() += count;
        }
        let found = came.hits + came.stale;
        Self {
            number,
            queries: came.queries,
            shadow: came.shadow,
            found,
            lookups: found + came.misses,
            blocked,
        }
    }
}

impl Bucket {
    fn add(&mut self, minute: &Minute) {
        self.queries += minute.queries;
        self.shadow += minute.shadow;
        self.cache_found += minute.found;
        self.cache_lookups += minute.lookups;
        for (app, count) in &minute.blocked {
            self.blocked += count;
            *self.by_app.entry(app.to_string()).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Kind, Metric, Sample};

    static QUERIES: Metric =
        Metric { name: "interdict_queries_total", help: "", kind: Kind::Counter, labels: &["protocol"] };
    static BLOCKED: Metric = Metric {
        name: "interdict_blocked_queries_total",
        help: "",
        kind: Kind::Counter,
        labels: &["app", "instrument", "group", "action", "mode"],
    };

    #[derive(Default)]
    struct Counted(Mutex<(u64, BTreeMap<String, u64>)>);

    impl Collect for Counted {
        fn collect(&self, samples: &mut Vec<Sample>) {
            let counted = self.0.lock().unwrap();
            let labels = vec!["udp".to_owned()];
            samples.push(Sample { metric: &QUERIES, labels, value: counted.0 as f64 });
            for (app, count) in &counted.1 {
                let labels = [app, "none", "default", "nxdomain", "enforce"].map(str::to_owned).to_vec();
                samples.push(Sample { metric: &BLOCKED, labels, value: *count as f64 });
            }
        }
    }

    fn begin() -> (Clock, Arc<Counted>, Arc<Trend>) {
        let clock = Clock::manual("2026-11-20T12:00:05Z".parse().unwrap());
        let counted = Arc::new(Counted::default());
        let trend = Trend::new(clock.clone(), vec![Arc::clone(&counted) as _]);
        (clock, counted, trend)
    }

    #[test]
    fn what_was_blocked_stands_in_the_minute_it_came_in() {
        let (clock, counted, trend) = begin();
        for minute in 0..3u64 {
            counted.0.lock().unwrap().0 += 10;
            *counted.0.lock().unwrap().1.entry("wechat".to_owned()).or_default() += minute + 1;
            clock.advance(Duration::from_secs(60));
            trend.look();
        }
        *counted.0.lock().unwrap().1.entry("tiktok".to_owned()).or_default() += 7;
        let hour = trend.buckets(Span::Hour);
        assert_eq!(hour.len(), 60);
        let blocked: Vec<u64> = hour.iter().rev().take(5).map(|bucket| bucket.blocked).collect();
        assert_eq!(blocked, [7, 3, 2, 1, 0], "the newest first");
        let day = trend.buckets(Span::Day);
        assert_eq!(day.len(), 96);
        let last = day.last().unwrap();
        assert_eq!((last.queries, last.blocked, last.by_app["tiktok"]), (30, 13, 7));
        let (_, came, seconds) = trend.lately();
        assert_eq!((came.queries, seconds), (30, 180.0));
    }

    #[test]
    fn memory_is_bounded_in_minutes_and_in_apps() {
        let (clock, counted, trend) = begin();
        for app in 0..100 {
            counted.0.lock().unwrap().1.insert(format!("app-{app:03}"), 1);
        }
        for _ in 0..MINUTES + 100 {
            clock.advance(Duration::from_secs(60));
            trend.look();
        }
        assert!(trend.kept().minutes.len() <= MINUTES as usize);
        assert!(trend.kept().looks.len() <= LOOKS);
        counted.0.lock().unwrap().1.values_mut().for_each(|count| *count += 1);
        let last = trend.buckets(Span::Hour).pop().unwrap();
        assert_eq!((last.by_app.len(), last.blocked, last.by_app[OTHERS]), (APPS + 1, 100, 68));
    }
}
