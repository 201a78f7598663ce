//! Owns the numbers of one moment, as a scrape would show them, and the difference of two such moments. Never counts.

use std::collections::BTreeMap;

use crate::telemetry::{Collect, Sample};

/// The numbers of a moment, since the process began; or of the time between two.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    pub(super) queries: u64,
    /// Blocked queries by app.
    pub(super) blocked: BTreeMap<String, u64>,
    /// Queries that would have been blocked.
    pub(super) shadow: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) stale: u64,
    /// By path, cumulative counts by upper bound in seconds.
    pub(super) answers: BTreeMap<String, Vec<(f64, u64)>>,
    pub(super) upstreams: BTreeMap<String, Upstream>,
}

/// The numbers of one upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct Upstream {
    pub(super) queries: u64,
    pub(super) answers: u64,
    pub(super) failures: u64,
    pub(super) seconds: f64,
    pub(super) healthy: bool,
}

impl Numbers {
    /// Sums what `collectors` show.
    pub(super) fn read(collectors: &[std::sync::Arc<dyn Collect>]) -> Self {
        let mut samples = Vec::new();
        for collector in collectors {
            collector.collect(&mut samples);
        }
        let mut numbers = Self::default();
        samples.iter().for_each(|sample| numbers.take(sample));
        numbers
    }

    fn take(&mut self, sample: &Sample) {
        let label = |place: usize| sample.labels.get(place).map_or("", String::as_str);
        let count = sample.value as u64;
        match sample.metric.name {
            "interdict_queries_total" => self.queries += count,
            "interdict_blocked_queries_total" => match label(4) {
                "enforce" => *self.blocked.entry(label(0).to_owned()).or_default() += count,
                _ => self.shadow += count,
            },
            "interdict_cache_lookups_total" => match label(0) {
                "hit" => self.hits += count,
                "stale" => self.stale += count,
                _ => self.misses += count,
            },
            "interdict_answer_seconds" if label(1) != "sum" => {
                let bound = label(1).parse().unwrap_or(f64::INFINITY);
                self.answers.entry(label(0).to_owned()).or_default().push((bound, count));
            }
            name => {
                let Some(what) = name.strip_prefix("interdict_upstream_") else { return };
                let upstream = self.upstreams.entry(label(0).to_owned()).or_default();
                match what {
                    "queries_total" => upstream.queries += count,
                    "answers_total" => upstream.answers += count,
                    "failures_total" => upstream.failures += count,
                    "seconds_total" => upstream.seconds += sample.value,
                    "healthy" => upstream.healthy = sample.value > 0.0,
                    _ => {}
                }
            }
        }
    }

    /// What came since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let less = |now: u64, then: u64| now.saturating_sub(then);
        let map = |now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>| {
            let rows = now
                .iter()
                .map(|(key, count)| (key.clone(), less(*count, then.get(key).copied().unwrap_or(0))));
            rows.filter(|(_, count)| *count > 0).collect()
        };
        let answers = self.answers.iter().map(|(path, now)| {
            let then = before.answers.get(path);
            let then = |place: usize| then.and_then(|then| then.get(place)).map_or(0, |(_, count)| *count);
            let rows =
                now.iter().enumerate().map(|(place, (bound, count))| (*bound, less(*count, then(place))));
            (path.clone(), rows.collect())
        });
        let upstreams = self.upstreams.iter().map(|(name, now)| {
            let then = before.upstreams.get(name).cloned().unwrap_or_default();
            let came = Upstream {
                queries: less(now.queries, then.queries),
                answers: less(now.answers, then.answers),
                failures: less(now.failures, then.failures),
                seconds: (now.seconds - then.seconds).max(0.0),
                healthy: now.healthy,
            };
            (name.clone(), came)
        });
        Self {
            queries: less(self.queries, before.queries),
            blocked: map(&self.blocked, &before.blocked),
            shadow: less(self.shadow, before.shadow),
            hits: less(self.hits, before.hits),
            misses: less(self.misses, before.misses),
            stale: less(self.stale, before.stale),
            answers: answers.collect(),
            upstreams: upstreams.collect(),
        }
    }

    /// Blocked queries of all apps.
    pub(super) fn blocked_of_all(&self) -> u64 {
        self.blocked.values().sum()
    }

    /// The share of cache lookups that found something to show; `None` without any.
    pub(super) fn hit_share(&self) -> Option<f64> {
        let found = self.hits + self.stale;
        let all = found + self.misses;
        (all > 0).then(|| found as f64 / all as f64)
    }

    /// The bound in seconds within which that share of a path's answers came; `None` without any.
    pub(super) fn within(&self, path: &str, share: f64) -> Option<f64> {
        let rows = self.answers.get(path)?;
        let all = rows.last().filter(|(_, count)| *count > 0)?.1;
        let wanted = (all as f64 * share).ceil() as u64;
        let (bound, _) = rows.iter().find(|(_, count)| *count >= wanted)?;
        // Beyond the last bound nothing is known but that it was longer.
        Some(if bound.is_finite() { *bound } else { rows.iter().rev().nth(1)?.0 })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::telemetry::{Counter, Counters, Path};

    #[test]
    fn what_came_between_two_moments_is_told_from_what_came_before() {
        let counters = Arc::new(Counters::new(1));
        let cell = counters.shared();
        cell.bump(Counter::QueryUdp);
        cell.observe(Path::Hit, 4_000, 1);
        let collectors: Vec<Arc<dyn Collect>> = vec![counters];
        let before = Numbers::read(&collectors);
        for _ in 0..3 {
            cell.bump(Counter::QueryTcp);
            cell.bump(Counter::CacheHit);
        }
        cell.bump(Counter::CacheMiss);
        cell.observe(Path::Hit, 80_000, 9);
        let came = Numbers::read(&collectors).since(&before);
        assert_eq!((came.queries, came.hits, came.misses), (3, 3, 1));
        assert_eq!(came.hit_share(), Some(0.75));
        assert_eq!(came.within("hit", 0.5), Some(0.0001));
        assert_eq!(came.within("miss", 0.5), None);
    }
}
