//! Owns what is said of now: rates of about the last minute, blocked queries by app, cache, answer times, upstreams. Never keeps anything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::trend::{Span, Trend};

/// What happens now.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Now {
    /// When it was read.
    pub(crate) at: Timestamp,
    /// Seconds that rates are of.
    pub(crate) seconds: f64,
    /// Queries a second.
    pub(crate) queries_per_second: f64,
    /// Blocked queries a second.
    pub(crate) blocked_per_second: f64,
    /// Queries since the process began.
    pub(crate) queries: u64,
    /// Blocked queries since the process began.
    pub(crate) blocked: u64,
    /// Share of cache lookups that found something; of the last minute, else since the process began.
    pub(crate) cache_hit_share: Option<f64>,
    /// Blocked queries by app, the most first.
    pub(crate) apps: Vec<AppNow>,
    /// Answer times by path, in seconds.
    pub(crate) answers: BTreeMap<&'static str, Times>,
    /// The upstreams.
    pub(crate) upstreams: Vec<UpstreamNow>,
}

/// One app.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AppNow {
    /// Its id, or `none` for rules without one.
    pub(crate) app: String,
    /// Blocked in about the last minute.
    pub(crate) last_minute: u64,
    /// Blocked in the last hour.
    pub(crate) last_hour: u64,
    /// Blocked in the last day.
    pub(crate) last_day: u64,
}

/// Within which time answers came; `None` without any.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Times {
    /// Half of them.
    pub(crate) half: Option<f64>,
    /// Ninety-nine of a hundred.
    pub(crate) most: Option<f64>,
}

/// One upstream.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UpstreamNow {
    /// As configured.
    pub(crate) upstream: String,
    /// Whether it answers.
    pub(crate) healthy: bool,
    /// Questions a second.
    pub(crate) queries_per_second: f64,
    /// Mean seconds to an answer; of the last minute, else since the process began.
    pub(crate) seconds: Option<f64>,
    /// Questions without a good answer in about the last minute.
    pub(crate) failures: u64,
}

impl Now {
    /// Reads it.
    pub(crate) fn read(trend: &Trend, at: Timestamp) -> Self {
        let (now, came, seconds) = trend.lately();
        let (hour, day) = (trend.buckets(Span::Hour), trend.buckets(Span::Day));
        let mut apps: BTreeMap<String, AppNow> = BTreeMap::new();
        for (id, count) in &came.blocked {
            row(&mut apps, id).last_minute += count;
        }
        for (id, count) in hour.iter().flat_map(|bucket| &bucket.by_app) {
            row(&mut apps, id).last_hour += count;
        }
        for (id, count) in day.iter().flat_map(|bucket| &bucket.by_app) {
            row(&mut apps, id).last_day += count;
        }
        let mut apps: Vec<AppNow> = apps.into_values().collect();
        apps.sort_by(|one, other| other.last_day.cmp(&one.last_day).then_with(|| one.app.cmp(&other.app)));
        let times = |path| Times {
            half: came.within(path, 0.5).or_else(|| now.within(path, 0.5)),
            most: came.within(path, 0.99).or_else(|| now.within(path, 0.99)),
        };
        let upstreams = now.upstreams.iter().map(|(name, whole)| {
            let lately = came.upstreams.get(name).cloned().unwrap_or_default();
            let mean = |seconds: f64, answers: u64| (answers > 0).then(|| seconds / answers as f64);
            UpstreamNow {
                upstream: name.clone(),
                healthy: whole.healthy,
                queries_per_second: lately.queries as f64 / seconds,
                seconds: mean(lately.seconds, lately.answers).or_else(|| mean(whole.seconds, whole.answers)),
                failures: lately.failures,
            }
        });
        Self {
            at,
            seconds,
            queries_per_second: came.queries as f64 / seconds,
            blocked_per_second: came.blocked_of_all() as f64 / seconds,
            queries: now.queries,
            blocked: now.blocked_of_all(),
            cache_hit_share: came.hit_share().or_else(|| now.hit_share()),
            apps,
            answers: ["block", "hit", "miss"].map(|path| (path, times(path))).into(),
            upstreams: upstreams.collect(),
        }
    }
}

fn row<'a>(apps: &'a mut BTreeMap<String, AppNow>, id: &str) -> &'a mut AppNow {
    let new = || AppNow { app: id.to_owned(), last_minute: 0, last_hour: 0, last_day: 0 };
    apps.entry(id.to_owned()).or_insert_with(new)
}
