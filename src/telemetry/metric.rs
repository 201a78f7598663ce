//! Owns the shape of a metric and of one sample of it. Never counts and never renders.

/// One row of the list of metrics: everything a scrape and the documentation say about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Full name, `interdict_` first, base unit and `_total` where they belong.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Label names, in the order of [`Sample::labels`].
    pub labels: &'static [&'static str],
}

impl Metric {
    /// A number that only ever grows.
    pub const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, help, kind: Kind::Counter, labels }
    }

    /// A number that goes up and down.
    pub const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, help, kind: Kind::Gauge, labels }
    }
}

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets of observations.
    Histogram,
}

/// One number of one metric at the moment of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which metric.
    pub metric: &'static Metric,
    /// Label values, in the order of the metric's label names.
    pub labels: Vec<String>,
    /// The number, in the metric's base unit.
    pub value: f64,
}

/// What a room shows of itself at a scrape. Called on the control plane, never while a query waits.
pub trait Collect: Send + Sync {
    /// Appends the room's samples.
    fn collect(&self, samples: &mut Vec<Sample>);
}
