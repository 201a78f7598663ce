//! Owns the counters of the query path: one table of rows, one cell of numbers a worker, summed at a scrape. Counting
//! is a plain store into the worker's own memory. Never takes a lock on the query path, never makes a label of a name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::latency::{Latency, Path};
use super::metric::{Collect, Kind, Metric, Sample};
use crate::policy::{LabelSet, Labels};

/// The labels of what was blocked.
pub const CAUSE_LABELS: &[&str] = &["app", "instrument", "group", "action", "mode"];

/// The numbers of one worker. Aligned so that no two workers write the same cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct Cell {
    /// Several threads count here, so that an increment must be one step.
    shared: bool,
    counts: [AtomicU64; Counter::COUNT],
    causes: Box<[AtomicU64]>,
    latency: Latency,
}

/// All cells.
#[derive(Debug)]
pub struct Counters {
    cells: Mutex<Vec<Arc<Cell>>>,
    causes: usize,
}

macro_rules! counters {
    ($($metric:ident = $name:literal, $help:literal, [$($label:literal)?] {
        $($(#[$doc:meta])* $counter:ident $(= $value:literal)?,)*
    })*) => {
        $(static $metric: Metric = Metric {
            name: $name, help: $help, kind: Kind::Counter, labels: &[$($label)?],
        };)*

        /// Everything the query path counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter { $($($(#[$doc])* $counter,)*)* }

        const ROWS: &[(&Metric, Option<&str>)] = &[$($((&$metric, counters!(@value $($value)?)),)*)*];
        const METRICS: &[&Metric] = &[$(&$metric,)*];
    };
    (@value $value:literal) => { Some($value) };
    (@value) => { None };
}

counters! {
    QUERIES = "interdict_queries_total", "Well-formed queries received.", ["protocol"] {
        /// Over HTTPS.
        QueryDoh = "doh",
        /// Over QUIC.
        QueryDoq = "doq",
        /// Over TLS.
        QueryDot = "dot",
        /// Over UDP.
        QueryUdp = "udp",
        /// Over TCP.
        QueryTcp = "tcp",
    }
    REPLIES = "interdict_replies_total", "Replies made, by response code.", ["rcode"] {
        /// NOERROR.
        ReplyNoerror = "noerror",
        /// NXDOMAIN.
        ReplyNxdomain = "nxdomain",
        /// SERVFAIL.
        ReplyServfail = "servfail",
        /// REFUSED.
        ReplyRefused = "refused",
        /// FORMERR.
        ReplyFormerr = "formerr",
        /// NOTIMP.
        ReplyNotimp = "notimp",
        /// Any other.
        ReplyOther = "other",
    }
    CACHE = "interdict_cache_lookups_total", "Cache lookups, by what they found.", ["result"] {
        /// A fresh answer.
        CacheHit = "hit",
        /// Nothing of use.
        CacheMiss = "miss",
        /// An answer past its TTL, shown because upstreams failed or were slow.
        CacheStale = "stale",
    }
    COALESCED = "interdict_coalesced_queries_total", "Queries that waited for another's answer.", [] {
        /// A query joined an identical one.
        Coalesced,
    }
    PREFETCHES = "interdict_prefetches_total", "Kept answers fetched anew before their end, by how it ended.", ["result"] {
        /// A new answer is kept.
        PrefetchDone = "refreshed",
        /// Upstreams failed; the old answer stays.
        PrefetchFailed = "failed",
        /// Too many are under way.
        PrefetchSkipped = "skipped",
    }
    DROPPED = "interdict_dropped_total", "Datagrams and queries not answered, by reason.", ["reason"] {
        /// A response, which must never be answered.
        DropResponse = "response",
        /// Shorter than a header.
        DropShort = "short",
        /// The client may not ask, and the policy says to drop.
        DropNotAllowed = "not-allowed",
        /// A rule says to drop.
        DropPolicy = "policy",
        /// Its client waits for too much already, or asks for most while more is asked than can be handled.
        DropClient = "client",
        /// Too many queries wait for upstreams, or for a thread.
        DropOverload = "overload",
    }
    REFUSED = "interdict_refused_total", "Queries refused, by reason.", ["reason"] {
        /// The client may not ask.
        RefusedNotAllowed = "not-allowed",
        /// Another class than IN.
        RefusedClass = "class",
        /// A type that is no question to a resolver (AXFR and the like).
        RefusedType = "type",
        /// No recursion desired, and nothing else to say.
        RefusedNoRecursion = "no-recursion",
    }
    SPECIAL = "interdict_special_queries_total", "Queries for names this resolver answers by itself.", ["kind"] {
        /// Names whose negative answer keeps devices on this resolver.
        SpecialCanary = "canary",
        /// Names set aside by standards.
        SpecialUse = "special-use",
        /// Which encrypted listeners to use.
        SpecialDiscovery = "discovery",
        /// The health name.
        SpecialHealth = "health",
        /// Type ANY.
        SpecialAny = "any",
        /// Answered from the operator's own records.
        SpecialLocal = "local",
    }
    PERMITTED = "interdict_permitted_queries_total", "Queries let pass by an exception or a passthru rule.", [] {
        /// One query.
        Permitted,
    }
    SCREENED = "interdict_screened_answers_total", "Answers whose targets or addresses were screened.", ["result"] {
        /// Nothing was met.
        ScreenPass = "pass",
        /// A rule was met.
        ScreenDeny = "deny",
    }
    NAME_SERVERS = "interdict_name_server_questions_total", "Questions for the servers of zones, which rules are about.", [] {
        /// One question.
        NameServerQuestion,
    }
    ECH = "interdict_ech_stripped_answers_total", "Answers from which keys for an encrypted ClientHello were taken out.", [] {
        /// One answer.
        EchStripped,
    }
    REBINDING = "interdict_rebinding_answers_refused_total", "Answers to public names refused because they lead inside.", [] {
        /// One answer.
        RebindingRefused,
    }
    TRUNCATED = "interdict_truncated_replies_total", "Replies cut to the client's size.", [] {
        /// One reply.
        Truncated,
    }
}

impl Counter {
    const COUNT: usize = ROWS.len();
}

impl Cell {
    /// Adds one.
    #[inline]
    pub fn bump(&self, counter: Counter) {
        if let Some(count) = self.counts.get(counter as usize) {
            self.add(count, 1);
        }
    }

    /// Adds one to a blocked-query label set; numbers past the last count as 0.
    #[inline]
    pub fn bump_cause(&self, number: u32) {
        if let Some(count) = self.causes.get(number as usize).or_else(|| self.causes.first()) {
            self.add(count, 1);
        }
    }

    /// Notes `count` answers on `path` that each took `nanoseconds`.
    #[inline]
    pub fn observe(&self, path: Path, nanoseconds: u64, count: u64) {
        self.latency.observe(path, nanoseconds, count, |cell, by| self.add(cell, by));
    }

    #[inline]
    fn add(&self, count: &AtomicU64, by: u64) {
        if self.shared {
            count.fetch_add(by, Ordering::Relaxed);
        } else {
            // One writer: a load and a store cost a fraction of a locked addition.
            count.store(count.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        }
    }
}

impl Counters {
    /// Counters with room for `causes` label sets of blocked queries.
    pub fn new(causes: usize) -> Self {
        Self { cells: Mutex::default(), causes }
    }

    /// A cell for one thread.
    pub fn single_writer(&self) -> Arc<Cell> {
        self.cell(false)
    }

    /// A cell that several threads may count in.
    pub fn shared(&self) -> Arc<Cell> {
        self.cell(true)
    }

    /// Queries counted under a blocked-query label set.
    pub fn cause(&self, number: u32) -> u64 {
        let cells = self.cells();
        cells
            .iter()
            .filter_map(|cell| cell.causes.get(number as usize))
            .map(|n| n.load(Ordering::Relaxed))
            .sum()
    }

    /// The same by the values of [`CAUSE_LABELS`]. Lists are counted apart, and are no label.
    pub fn causes(&self, labels: &Labels) -> BTreeMap<Vec<String>, u64> {
        let mut rows = BTreeMap::new();
        for (number, set) in labels.all() {
            let LabelSet { app, instrument, source: _, group, action, mode } = set;
            let values = vec![app, instrument, group, action.to_string(), mode.to_string()];
            *rows.entry(values).or_default() += self.cause(number);
        }
        rows
    }

    /// Sum of one counter over all workers.
    pub fn total(&self, counter: Counter) -> u64 {
        self.cells()
            .iter()
            .filter_map(|cell| cell.counts.get(counter as usize))
            .map(|n| n.load(Ordering::Relaxed))
            .sum()
    }

    fn cell(&self, shared: bool) -> Arc<Cell> {
        let cell = Arc::new(Cell {
            shared,
            counts: [const { AtomicU64::new(0) }; Counter::COUNT],
            causes: (0..self.causes.max(1)).map(|_| AtomicU64::new(0)).collect(),
            latency: Latency::default(),
        });
        self.cells().push(Arc::clone(&cell));
        cell
    }

    fn cells(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Cell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of the query path.
    pub fn metrics() -> impl Iterator<Item = &'static Metric> {
        METRICS.iter().copied().chain(Latency::metrics())
    }
}

impl Collect for Counters {
    fn collect(&self, samples: &mut Vec<Sample>) {
        let cells = self.cells();
        for (index, (metric, value)) in ROWS.iter().enumerate() {
            let sum: u64 = cells
                .iter()
                .filter_map(|cell| cell.counts.get(index))
                .map(|n| n.load(Ordering::Relaxed))
                .sum();
            let labels = value.iter().map(|value| (*value).to_owned()).collect();
            samples.push(Sample { metric, labels, value: sum as f64 });
        }
        let latencies: Vec<&Latency> = cells.iter().map(|cell| &cell.latency).collect();
        Latency::collect(&latencies, samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_summed_and_share_no_cache_line() {
        let counters = Counters::new(8);
        let (one, two) = (counters.single_writer(), counters.shared());
        for _ in 0..3 {
            one.bump(Counter::CacheHit);
            two.bump(Counter::CacheHit);
            two.bump_cause(99);
        }
        assert_eq!(counters.total(Counter::CacheHit), 6);
        assert_eq!(counters.cause(0), 3, "numbers past the last count as 0");
        assert_eq!((align_of::<Cell>(), size_of::<Cell>() % 128), (128, 0));
    }

    #[test]
    fn a_reader_never_sees_a_count_go_down() {
        let counters = Arc::new(Counters::new(1));
        let cell = counters.single_writer();
        let writer = std::thread::spawn(move || (0..100_000).for_each(|_| cell.bump(Counter::QueryUdp)));
        let mut last = 0;
        while !writer.is_finished() {
            let now = counters.total(Counter::QueryUdp);
            assert!(now >= last);
            last = now;
        }
        writer.join().unwrap();
        assert_eq!(counters.total(Counter::QueryUdp), 100_000);
    }
}
