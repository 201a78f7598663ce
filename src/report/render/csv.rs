//! Owns reports as comma-separated values (RFC 4180), one table a report, for spreadsheets. Never a sentence.

use jiff::tz::TimeZone;

use crate::report::summary::{Detail, Devices, Lost, Part, Report};

const LINE_END: &str = "\r\n";

/// A row for each day and part, then what was lost.
pub fn csv(report: &Report) -> String {
    let zone = TimeZone::get(&report.time_zone).unwrap_or(TimeZone::UTC);
    let mut out = String::new();
    line(
        &mut out,
        &[
            "kind",
            "day",
            "app",
            "instrument",
            "authority",
            "citation",
            "in_force_from",
            "source",
            "group",
            "exception",
            "queries",
            "devices",
            "first",
            "last",
        ],
    );
    for Detail { day, part, queries, devices, first, last } in &report.detail {
        let Some(Part {
            app,
            instrument,
            authority,
            citation,
            in_force_from,
            source,
            group,
            mode,
            exception,
            ..
        }) = report.parts.get(*part).map(|row| &row.part)
        else {
            continue;
        };
        let kind = match mode.as_str() {
            "enforce" => "blocked",
            "shadow" => "shadow",
            _ => "permitted",
        };
        let time = |at: &jiff::Timestamp| {
            at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
        };
        line(
            &mut out,
            &[
                kind,
                &day.to_string(),
                app,
                instrument,
                authority,
                citation,
                &in_force_from.map(|from| from.to_string()).unwrap_or_default(),
                source,
                group,
                exception,
                &queries.to_string(),
                &devices.to_string(),
                &time(first),
                &time(last),
            ],
        );
    }
    for (reason, records) in losses(&report.lost) {
        let mut fields = [""; 14];
        let (day, records) = (report.period.from.to_string(), records.to_string());
        (fields[0], fields[1], fields[7], fields[10]) = ("lost", &day, reason, &records);
        line(&mut out, &fields);
    }
    for gap in &report.lost.gaps {
        let (from, until) = (gap.from.to_string(), gap.until.to_string());
        let mut fields = [""; 14];
        (fields[0], fields[7], fields[12], fields[13]) = ("lost", "gap", &from, &until);
        line(&mut out, &fields);
    }
    out
}

/// A row for each device that very likely has an app.
pub fn csv_devices(devices: &Devices) -> String {
    let mut out = String::new();
    line(
        &mut out,
        &[
            "app",
            "client",
            "days",
            "hours_a_day",
            "hours_at_night",
            "queries",
            "wakes",
            "pause_from_minutes",
            "pause_to_minutes",
            "regular_percent",
            "first",
            "last",
            "names",
        ],
    );
    for suspect in &devices.likely {
        let minutes = |minutes: Option<u32>| minutes.map(|minutes| minutes.to_string()).unwrap_or_default();
        line(
            &mut out,
            &[
                &suspect.app,
                &suspect.client,
                &suspect.days.to_string(),
                &suspect.hours_a_day.to_string(),
                &suspect.at_night.to_string(),
                &suspect.queries.to_string(),
                &suspect.wakes.to_string(),
                &minutes(suspect.pause.map(|pause| pause.0)),
                &minutes(suspect.pause.and_then(|pause| pause.1)),
                &suspect.regular.to_string(),
                &suspect.first.to_string(),
                &suspect.last.to_string(),
                &suspect.signs.join(" "),
            ],
        );
    }
    out
}

/// Stated even when they are none.
fn losses(lost: &Lost) -> [(&'static str, u64); 3] {
    [("queue", lost.queue), ("disk", lost.disk), ("room", lost.room)]
}

fn line(out: &mut String, fields: &[&str]) {
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        // A spreadsheet takes what begins so for a formula; what names an operator's list holds must not be run.
        let guard = if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        if field.contains([',', '"', '\n', '\r']) || !guard.is_empty() {
            out.push_str(&format!("\"{guard}{}\"", field.replace('"', "\"\"")));
        } else {
            out.push_str(field);
        }
    }
    out.push_str(LINE_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be_and_is_never_a_formula() {
        let mut out = String::new();
        line(&mut out, &["plain", "a,b", "say \"x\"", "=1+1", "@x", "two\nlines", "é"]);
        assert_eq!(out, "plain,\"a,b\",\"say \"\"x\"\"\",\"'=1+1\",\"'@x\",\"two\nlines\",é\r\n");
    }
}
