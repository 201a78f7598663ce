//! Owns the scrape page: samples in, the text exposition format out. The only door of the `prometheus` crate.
//! Never counts, and never changes a label.

use std::collections::BTreeMap;

use ::prometheus::proto;
use ::prometheus::{Encoder, TextEncoder};

use super::metric::{Collect, Kind, Sample};

/// MIME type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders everything that `collectors` show of themselves, sorted by name.
pub fn render(collectors: &[&dyn Collect]) -> String {
    let mut samples = Vec::new();
    for collector in collectors {
        collector.collect(&mut samples);
    }
    let mut families: BTreeMap<&str, proto::MetricFamily> = BTreeMap::new();
    let mut histograms: BTreeMap<(&str, Vec<String>), proto::Histogram> = BTreeMap::new();
    for sample in &samples {
        let family = families.entry(sample.metric.name).or_insert_with(|| {
            let mut family = proto::MetricFamily::default();
            family.set_name(sample.metric.name.to_owned());
            family.set_help(sample.metric.help.to_owned());
            family.set_field_type(match sample.metric.kind {
                Kind::Counter => proto::MetricType::COUNTER,
                Kind::Gauge => proto::MetricType::GAUGE,
                Kind::Histogram => proto::MetricType::HISTOGRAM,
            });
            family
        });
        let mut metric = labelled(sample);
        match sample.metric.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(sample.value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(sample.value);
                metric.set_gauge(gauge);
            }
            Kind::Histogram => {
                add_to_histogram(&mut histograms, sample);
                continue;
            }
        }
        family.mut_metric().push(metric);
    }
    for ((name, labels), histogram) in histograms {
        let Some(family) = families.get_mut(name) else { continue };
        let Some(sample) =
            samples.iter().find(|sample| sample.metric.name == name && sample.labels.starts_with(&labels))
        else {
            continue;
        };
        let mut metric = labelled(sample);
        metric.set_histogram(histogram);
        family.mut_metric().push(metric);
    }
    let families: Vec<proto::MetricFamily> = families.into_values().collect();
    let mut page = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&families, &mut page) {
        tracing::error!(%error, "the metrics page could not be rendered");
    }
    String::from_utf8(page).unwrap_or_default()
}

fn labelled(sample: &Sample) -> proto::Metric {
    let mut metric = proto::Metric::default();
    let pairs = sample.metric.labels.iter().zip(&sample.labels).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    metric.set_label(pairs.collect());
    metric
}

/// The last label of a histogram's sample is the bucket's bound, or `sum`.
fn add_to_histogram(all: &mut BTreeMap<(&str, Vec<String>), proto::Histogram>, sample: &Sample) {
    let Some((part, labels)) = sample.labels.split_last() else { return };
    let histogram = all.entry((sample.metric.name, labels.to_vec())).or_default();
    if part == "sum" {
        histogram.set_sample_sum(sample.value);
        return;
    }
    histogram.set_sample_count(sample.value as u64);
    if part != "+Inf" {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(part.parse().unwrap_or(f64::INFINITY));
        bucket.set_cumulative_count(sample.value as u64);
        let mut buckets = histogram.get_bucket().to_vec();
        buckets.push(bucket);
        histogram.set_bucket(buckets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Counter, Counters, Path};

    #[test]
    fn the_page_holds_counters_and_histograms() {
        let counters = Counters::new(1);
        let cell = counters.single_writer();
        cell.bump(Counter::QueryUdp);
        cell.observe(Path::Block, 7_000, 3);
        let page = render(&[&counters]);
        assert!(page.contains("# TYPE interdict_queries_total counter"), "{page}");
        assert!(page.contains("interdict_queries_total{protocol=\"udp\"} 1"), "{page}");
        assert!(page.contains("interdict_answer_seconds_bucket{path=\"block\",le=\"0.00001\"} 3"), "{page}");
        assert!(page.contains("interdict_answer_seconds_bucket{path=\"block\",le=\"+Inf\"} 3"), "{page}");
        assert!(page.contains("interdict_answer_seconds_count{path=\"block\"} 3"), "{page}");
    }
}
