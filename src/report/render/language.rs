//! Owns how numbers, days and times are written in a language. Never a sentence.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A language that reports are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// French, as Canada's government writes it.
    Fr,
}

const MONTHS: [[&str; 12]; 2] = [
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
];

/// What stands between thousands in French, and before a percent sign: no line breaks there.
const NARROW: char = '\u{202f}';
const NO_BREAK: char = '\u{a0}';

impl FromStr for Language {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "en" => Ok(Self::En),
            "fr" => Ok(Self::Fr),
            _ => Err("use one of en, fr"),
        }
    }
}

impl Language {
    /// The tag of BCP 47.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }

    /// One of two words.
    pub fn choose<T>(self, english: T, french: T) -> T {
        match self {
            Self::En => english,
            Self::Fr => french,
        }
    }

    /// 1,234,567 or 1 234 567.
    pub fn number(self, number: u64) -> String {
        let digits = number.to_string();
        let mut out = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                out.push(self.choose(',', NARROW));
            }
            out.push(digit);
        }
        out
    }

    /// 60% or 60 %.
    pub fn percent(self, number: u64) -> String {
        match self {
            Self::En => format!("{}%", self.number(number)),
            Self::Fr => format!("{}{NO_BREAK}%", self.number(number)),
        }
    }

    /// How a number stands to the one before: +12%, −3%, or nothing to compare with.
    pub fn change(self, now: u64, before: u64) -> String {
        if before == 0 {
            return if now == 0 { "=".to_owned() } else { self.choose("new", "nouveau").to_owned() };
        }
        let sign = match now.cmp(&before) {
            std::cmp::Ordering::Less => "−",
            std::cmp::Ordering::Equal => return "=".to_owned(),
            std::cmp::Ordering::Greater => "+",
        };
        let share = (u128::from(now.abs_diff(before)) * 100 + u128::from(before) / 2) / u128::from(before);
        format!("{sign}{}", self.percent(share as u64))
    }

    /// 27 November 2026 or 27 novembre 2026.
    pub fn day(self, day: Date) -> String {
        let number = match (self, day.day()) {
            (Self::Fr, 1) => "1er".to_owned(),
            (_, number) => number.to_string(),
        };
        format!("{number}{NO_BREAK}{} {}", self.month_name(day), day.year())
    }

    /// November 2026 or novembre 2026.
    pub fn month(self, day: Date) -> String {
        format!("{} {}", self.month_name(day), day.year())
    }

    fn month_name(self, day: Date) -> &'static str {
        let names = self.choose(&MONTHS[0], &MONTHS[1]);
        names.get(usize::from(day.month().unsigned_abs()) - 1).copied().unwrap_or_default()
    }

    /// A moment to the minute: 2026-11-27 14:05, or 2026-11-27 14 h 05.
    pub fn minute(self, at: Timestamp, zone: &TimeZone) -> String {
        let at = at.to_zoned_datetime(zone.clone());
        match self {
            Self::En => at.strftime("%Y-%m-%d %H:%M").to_string(),
            Self::Fr => at.strftime(&format!("%Y-%m-%d %H{NO_BREAK}h{NO_BREAK}%M")).to_string(),
        }
    }

    /// The days of a period: a day, a month, or from when to when.
    pub fn period(self, period: crate::report::Period) -> String {
        if period.from == period.to {
            self.day(period.from)
        } else if period.is_month() {
            self.month(period.from)
        } else {
            let (from, to) = (self.day(period.from), self.day(period.to));
            self.choose(format!("{from} to {to}"), format!("du {from} au {to}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_days_and_changes_are_written_as_each_language_does() {
        let (en, fr) = (Language::En, Language::Fr);
        assert_eq!(
            (en.number(1_234_567), en.number(999), en.number(1000)),
            ("1,234,567".into(), "999".into(), "1,000".into())
        );
        assert_eq!(fr.number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((en.change(112, 100), fr.change(88, 100)), ("+12%".into(), "−12\u{a0}%".into()));
        assert_eq!(
            (en.change(5, 0), fr.change(5, 0), en.change(0, 0)),
            ("new".into(), "nouveau".into(), "=".into())
        );
        let first: Date = "2026-02-01".parse().unwrap();
        assert_eq!(
            (en.day(first), fr.day(first)),
            ("1\u{a0}February 2026".into(), "1er\u{a0}février 2026".into())
        );
        let zone = TimeZone::get("America/Toronto").unwrap();
        let at = "2026-11-28T00:05:00Z".parse().unwrap();
        assert_eq!(en.minute(at, &zone), "2026-11-27 19:05");
        assert_eq!(fr.minute(at, &zone), "2026-11-27 19\u{a0}h\u{a0}05");
    }
}
