//! Owns days: which one a moment belongs to in the operator's time zone, and the days a report is about. Never reads a clock.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::problem::{Place, Problem};

/// Says to which day a moment belongs; quick for moments of one day after the other.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    zone: TimeZone,
    day: Date,
    /// Milliseconds since 1970 at which that day begins and ends.
    from_ms: i64,
    until_ms: i64,
}

/// Days in a row, the last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The first.
    pub from: Date,
    /// The last.
    pub to: Date,
}

/// The days somebody asks for, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// One day: `2026-11-27`.
    pub day: Option<String>,
    /// One month: `2026-11`.
    pub month: Option<String>,
    /// From this day.
    pub from: Option<String>,
    /// Up to this day, itself included.
    pub to: Option<String>,
}

/// No report covers more: ten years.
const LONGEST: i32 = 3660;

impl Calendar {
    /// The calendar of a zone.
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, day: Date::ZERO, from_ms: 0, until_ms: 0 }
    }

    /// The zone's name, as the database of zones has it.
    pub(super) fn name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The day of a moment, and its hour there.
    pub(super) fn day_and_hour(&mut self, ms: i64) -> (Date, u8) {
        if ms < self.from_ms || ms >= self.until_ms {
            let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
            self.day = moment.to_zoned_datetime(self.zone.clone()).date();
            (self.from_ms, self.until_ms) = self.bounds(Period { from: self.day, to: self.day });
        }
        // An autumn's long day has its last hour twice.
        (self.day, ((ms - self.from_ms).div_euclid(3_600_000)).clamp(0, 23) as u8)
    }

    /// The day of a moment.
    pub(super) fn day(&self, moment: Timestamp) -> Date {
        moment.to_zoned_datetime(self.zone.clone()).date()
    }

    /// When a period begins and when it is over, in milliseconds since 1970.
    pub(super) fn bounds(&self, period: Period) -> (i64, i64) {
        let begin = |day: Date| {
            day.to_zoned_datetime(self.zone.clone()).map_or(i64::MAX, |at| at.timestamp().as_millisecond())
        };
        (begin(period.from), period.to.tomorrow().map_or(i64::MAX, begin))
    }
}

impl Period {
    /// Days in it.
    pub fn days(self) -> i32 {
        (self.to - self.from).get_days() + 1
    }

    /// True when it is a whole month of the calendar.
    pub fn is_month(self) -> bool {
        self.from == self.from.first_of_month() && self.to == self.from.last_of_month()
    }

    /// What it is compared with: the month before a month, otherwise as many days before it.
    pub fn before(self) -> Self {
        let to = self.from.yesterday().unwrap_or(self.from);
        let from = match self.is_month() {
            true => to.first_of_month(),
            false => to.saturating_sub((self.days() - 1).days()),
        };
        Self { from, to }
    }

    /// The last `days` days up to `today`.
    pub fn last(days: i32, today: Date) -> Self {
        Self { from: today.saturating_sub((days - 1).days()), to: today }
    }
}

impl Asked {
    /// True when nothing was asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The days that are meant; the month of `today` when nothing was asked. Fails with what is wrong and where.
    pub fn period(&self, today: Date) -> Result<Period, Problem> {
        let wrong =
            |key: &str, what: &str, hint: &str| Problem::error(Place::file(format!("?{key}=")), what, hint);
        let date = |key: &str, text: &str| match text.parse::<Date>() {
            Ok(date) if text.len() == 10 => Ok(date),
            _ => Err(wrong(key, "not a day", "write a day such as 2026-11-27")),
        };
        let period = match (&self.day, &self.month, &self.from, &self.to) {
            (None, None, None, None) => Period { from: today.first_of_month(), to: today.last_of_month() },
            (Some(day), None, None, None) => {
                let day = date("day", day)?;
                Period { from: day, to: day }
            }
            (None, Some(month), None, None) => {
                let first = format!("{month}-01").parse::<Date>().ok().filter(|_| month.len() == 7);
                let first =
                    first.ok_or_else(|| wrong("month", "not a month", "write a month such as 2026-11"))?;
                Period { from: first, to: first.last_of_month() }
            }
            (None, None, Some(from), to) => {
                let to = to.as_ref().map_or(Ok(today), |to| date("to", to))?;
                Period { from: date("from", from)?, to }
            }
            (None, None, None, Some(_)) => return Err(wrong("from", "missing", "say from which day on")),
            _ => {
                let hint = "ask for one of day, month, or from and to";
                return Err(wrong("day", "more than one period is asked for", hint));
            }
        };
        if period.to < period.from {
            return Err(wrong("to", "it ends before it begins", "the first day comes first"));
        }
        if period.days() > LONGEST {
            return Err(wrong("from", "more than ten years", "ask for less"));
        }
        Ok(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn asked(parts: [&str; 4]) -> Result<(String, String), String> {
        let [day, month, from, to] = parts.map(|part| Some(part.to_owned()).filter(|part| !part.is_empty()));
        let period = Asked { day, month, from, to }.period(date("2026-11-28"));
        period.map(|p| (p.from.to_string(), p.to.to_string())).map_err(|problem| problem.what)
    }

    #[test]
    fn a_period_is_a_day_a_month_or_days_in_a_row() {
        let days = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(asked(["", "", "", ""]), days("2026-11-01", "2026-11-30"));
        assert_eq!(asked(["2026-11-27", "", "", ""]), days("2026-11-27", "2026-11-27"));
        assert_eq!(asked(["", "2024-02", "", ""]), days("2024-02-01", "2024-02-29"));
        assert_eq!(asked(["", "", "2026-11-01", ""]), days("2026-11-01", "2026-11-28"));
        assert_eq!(asked(["", "", "2026-01-01", "2026-01-31"]), days("2026-01-01", "2026-01-31"));
        for wrong in [
            ["2026-02-30", "", "", ""],
            ["", "2026-13", "", ""],
            ["", "2026-1", "", ""],
            ["", "", "", "2026-01-01"],
            ["2026-01-01", "2026-01", "", ""],
            ["", "", "2026-02-01", "2026-01-01"],
            ["", "", "1990-01-01", "2026-01-01"],
        ] {
            assert!(asked(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_month_is_compared_with_the_month_before_and_days_with_as_many() {
        let before = |from: &str, to: &str| {
            let before = Period { from: date(from), to: date(to) }.before();
            (before.from.to_string(), before.to.to_string())
        };
        assert_eq!(before("2026-03-01", "2026-03-31"), ("2026-02-01".to_owned(), "2026-02-28".to_owned()));
        assert_eq!(before("2026-03-08", "2026-03-14"), ("2026-03-01".to_owned(), "2026-03-07".to_owned()));
    }

    #[test]
    fn a_day_begins_at_the_operators_midnight() {
        let mut calendar = Calendar::new(TimeZone::get("America/Toronto").unwrap());
        let mut at = |text: &str| {
            let (day, hour) = calendar.day_and_hour(text.parse::<Timestamp>().unwrap().as_millisecond());
            format!("{day} {hour}")
        };
        assert_eq!(at("2026-12-01T04:59:59Z"), "2026-11-30 23");
        assert_eq!(at("2026-12-01T05:00:00Z"), "2026-12-01 0");
        assert_eq!(at("2026-11-30T12:00:00Z"), "2026-11-30 7", "and back");
        assert_eq!(at("2026-11-01T23:30:00-05:00"), "2026-11-01 23", "a day of 25 hours");
    }
}
