//! Owns the drawing of blocked queries by app over time: stacked bars made here, with every number in a table beside them. Never counts.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::parts;
use super::view::View;
use crate::admin::live::{Bucket, Span};

/// Apps drawn in a colour of their own; what the others came to has one.
const COLOURS: usize = 5;
/// The drawing's size, in its own units.
const WIDTH: usize = 960;
const HEIGHT: u64 = 200;
/// Room for what stands below and above.
const FOOT: u64 = 24;
const HEAD: u64 = 16;

/// The drawing, its legend and the table.
pub(super) fn chart(view: &View, span: Span, buckets: &[Bucket], title: &dyn Fn(&str) -> String) -> Markup {
    let words = view.words;
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (app, count) in buckets.iter().flat_map(|bucket| &bucket.by_app) {
        *sums.entry(app).or_default() += count;
    }
    let mut apps: Vec<(&str, u64)> = sums.into_iter().collect();
    apps.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
    let own: Vec<&str> = apps.iter().take(COLOURS).map(|(app, _)| *app).collect();
    let has_others = apps.len() > COLOURS;
    let most = buckets.iter().map(|bucket| bucket.blocked).max().unwrap_or(0);
    if most == 0 {
        return html! { p { (words.nothing_asked) } };
    }
    let of = |bucket: &Bucket| -> Vec<u64> {
        let mut counts: Vec<u64> =
            own.iter().map(|app| bucket.by_app.get(*app).copied().unwrap_or(0)).collect();
        let known: u64 = counts.iter().sum();
        counts.push(bucket.blocked.saturating_sub(known));
        counts
    };
    let pattern = "%H:%M";
    let clock =
        |bucket: &Bucket| bucket.from.to_zoned_datetime(view.zone.clone()).strftime(pattern).to_string();
    let step = WIDTH / buckets.len().max(1);
    let names: Vec<String> =
        own.iter().map(|app| title(app)).chain(has_others.then(|| words.other.to_owned())).collect();
    let label = format!("{}, {}", words.blocked_by_app, span_word(view, span));
    // Some eight marks on the axis, each at a full place.
    let every = buckets.len().div_ceil(8);
    html! {
        p class="hint" { (words.highest) " " (view.count(most)) }
        svg class="chart" role="img" aria-label=(label)
            viewBox={ "0 0 " (WIDTH) " " (HEAD + HEIGHT + FOOT) } preserveAspectRatio="none" {
            line class="axis" x1="0" x2=(WIDTH) y1=(HEAD) y2=(HEAD) {}
            line class="axis" x1="0" x2=(WIDTH) y1=(HEAD + HEIGHT / 2) y2=(HEAD + HEIGHT / 2) {}
            line class="axis" x1="0" x2=(WIDTH) y1=(HEAD + HEIGHT) y2=(HEAD + HEIGHT) {}
            @for (place, bucket) in buckets.iter().enumerate() {
                @for (colour, y, height) in bars(&of(bucket), most) {
                    rect class={ "s" (colour) } x=(place * step + 1) y=(y) width=(step.saturating_sub(2).max(1)) height=(height) {}
                }
            }
        }
        div class="axis-words" aria-hidden="true" {
            @for bucket in buckets.iter().step_by(every) { span { (clock(bucket)) } }
            span { (words.now) }
        }
        ul class="legend" {
            @for (colour, name) in names.iter().enumerate() {
                li {
                    svg viewBox="0 0 10 10" width="12" height="12" aria-hidden="true" focusable="false" {
                        rect class={ "s" (colour) } width="10" height="10" {}
                    }
                    " " (name) (words.colon) (view.count(buckets.iter().map(|bucket| of(bucket).get(colour).copied().unwrap_or(0)).sum()))
                }
            }
        }
        details {
            summary { (words.chart_table) }
            (as_table(view, &label, buckets, &names, &of, &clock))
        }
    }
}

fn as_table(
    view: &View,
    label: &str,
    buckets: &[Bucket],
    names: &[String],
    of: &dyn Fn(&Bucket) -> Vec<u64>,
    clock: &dyn Fn(&Bucket) -> String,
) -> Markup {
    let header: Vec<&str> = [view.words.time].into_iter().chain(names.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<Markup>> = buckets
        .iter()
        .rev()
        .filter(|bucket| bucket.blocked > 0)
        .map(|bucket| {
            let time = html! { time datetime=(bucket.from.to_string()) { (clock(bucket)) } };
            let counts =
                of(bucket).into_iter().take(names.len()).map(|count| parts::number(&view.count(count)));
            [time].into_iter().chain(counts).collect()
        })
        .collect();
    parts::table("chart", label, &header, &rows)
}

/// The word for a span.
pub(super) fn span_word(view: &View, span: Span) -> &'static str {
    match span {
        Span::Day => view.words.day,
        Span::Hour => view.words.hour,
    }
}

/// Colour, top and height of each bar of a stack.
fn bars(counts: &[u64], most: u64) -> Vec<(usize, u64, u64)> {
    let scaled = |count: u64| (u128::from(count) * u128::from(HEIGHT) / u128::from(most.max(1))) as u64;
    let mut below = 0;
    let mut bars = Vec::new();
    for (colour, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (bottom, top) = (scaled(below), scaled(below + count));
        below += count;
        // What was blocked is seen, however little it is.
        bars.push((colour, HEAD + HEIGHT - top.max(bottom + 1), (top - bottom).max(1)));
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_the_highest_reaches_the_top() {
        assert_eq!(bars(&[50, 0, 50], 100), [(0, HEAD + 100, 100), (2, HEAD, 100)]);
        assert_eq!(bars(&[1], 1_000_000), [(0, HEAD + HEIGHT - 1, 1)]);
        assert!(bars(&[0, 0], 10).is_empty());
    }
}
