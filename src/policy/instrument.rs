//! Owns the instrument: one legal act, what it covers and from when until when it is in force.
//! Never decides a query; the compiler resolves its dates once, for the moment it compiles for.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::dns::ExtendedError;
use crate::document::Section;
use crate::problem::Place;

/// One legal act, as `instruments/<id>.toml` states it.
#[derive(Clone, Debug)]
pub struct Instrument {
    /// Unique id, as groups, metrics and logs name it.
    pub id: String,
    /// Short title.
    pub title: String,
    /// Whether it binds or advises.
    pub kind: Kind,
    /// Who issued it.
    pub authority: String,
    /// ISO 3166 code of the country, with its subdivision where one issued it.
    pub jurisdiction: String,
    /// Where the text is to be found.
    pub citation: String,
    /// Ids of the apps it covers.
    pub apps: Vec<String>,
    /// What it binds.
    pub covers: Covers,
    /// Whether third-party products that embed the code are covered.
    pub embedded: Embedded,
    /// The day it was made public.
    pub announced: Option<LegalDate>,
    /// The first moment it is in force.
    pub in_force_from: LegalDate,
    /// The first moment it is no longer in force.
    pub until: Option<LegalDate>,
    /// The extended error its blocks carry.
    pub extended_error: ExtendedError,
    /// What a reader should know.
    pub notes: String,
    /// Where these facts come from.
    pub origin: Vec<String>,
    /// Where it is written.
    pub place: Place,
}

/// A date of law: its moment and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegalDate {
    /// Midnight of the day in the instrument's time zone, or the exact moment where one is given.
    pub moment: Timestamp,
    /// Whether the day was checked against a published source.
    pub verified: bool,
    /// The day in the instrument's time zone, as its text has it.
    pub day: Date,
}

/// A moment as operators write it: a day (`2023-10-30`, midnight in a zone yet to be named) or an exact time with its
/// offset (`2023-10-30T12:00:00-04:00`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A day.
    Day(Date),
    /// An exact moment.
    Moment(Timestamp),
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The word used in files, labels and logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!("use one of {}", [$($word),*].join(", "))),
                }
            }
        }
    };
}
pub(super) use words;

words! {
    /// Whether an instrument binds or advises.
    Kind {
        /// Guidance or a warning: never enforced unless a group asks for it by id.
        Advice = "advice",
        /// Binding.
        Ban = "ban",
    }
}

words! {
    /// What an instrument binds.
    Covers {
        /// Devices and the network.
        Both = "both",
        /// The use on devices.
        Devices = "devices",
        /// Traffic on the network.
        Network = "network",
    }
}

words! {
    /// Whether products of others that embed a banned app's code are covered.
    Embedded {
        /// They are not.
        Excluded = "excluded",
        /// They are.
        Included = "included",
        /// The text does not say.
        Unstated = "unstated",
    }
}

/// Where an instrument or exception stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No longer in force, since this moment.
    Ended(Timestamp),
    /// In force.
    InForce,
    /// Not yet in force, until this moment.
    NotYet(Timestamp),
}

impl Standing {
    /// Where something in force from `from` until `until` stands at `on`.
    pub fn at(on: Timestamp, from: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        match (from, until) {
            (Some(from), _) if on < from => Self::NotYet(from),
            (_, Some(until)) if on >= until => Self::Ended(until),
            _ => Self::InForce,
        }
    }
}

impl When {
    /// The moment it means in `zone`.
    pub fn in_zone(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Day(day) => {
                day.to_zoned_datetime(zone.clone()).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
            }
            Self::Moment(moment) => moment,
        }
    }
}

impl When {
    /// The last moment it means in `zone`: a whole day is asked about as it ends, when every ban of that day is in force
    /// in the zone of whoever asks.
    pub fn end_of_day(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Day(day) => {
                let next = day.tomorrow().map_or(Timestamp::MAX, |next| Self::Day(next).in_zone(zone));
                next.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap_or(next)
            }
            Self::Moment(moment) => moment,
        }
    }
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(moment) = text.parse() {
            return Ok(Self::Moment(moment));
        }
        // A civil datetime without an offset would parse as a date and silently lose its time.
        if text.len() > "2023-10-30".len() {
            return Err("not a date, nor a time with its offset");
        }
        text.parse().map(Self::Day).map_err(|_| "not a date")
    }
}

impl Instrument {
    /// Reads one instrument; every problem found is reported to the section. `None` when its id or dates are missing.
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let place = section.place();
        let id = section.required("id");
        let zone_hint = "name an IANA zone such as \"America/Toronto\"";
        let zone = match section.required("time_zone") {
            Some(found) => match TimeZone::get(&found.value) {
                Ok(zone) => Some(zone),
                Err(_) => {
                    section.problem(found.place, format!("`{}` is not a time zone", found.value), zone_hint);
                    None
                }
            },
            None => None,
        };
        let zone = zone.unwrap_or(TimeZone::UTC);
        let title = section.required("title");
        let authority = section.required("authority");
        let jurisdiction = section.required("jurisdiction");
        let citation = section.required("citation");
        let kind = section.parsed("kind", "").map(|found| found.value);
        let covers = section.parsed("covers", "").map(|found| found.value);
        let embedded = section.parsed("embedded", "").map(|found| found.value);
        let announced = read_date(section, "announced", &zone);
        let in_force_from = read_date(section, "in_force_from", &zone);
        if in_force_from.is_none() {
            section.problem(
                section.place(),
                "the instrument does not say when it comes into force",
                "add `in_force_from = { date = \"2023-10-30\", verified = true }`",
            );
        }
        let until = read_date(section, "until", &zone);
        if let (Some(from), Some(until)) = (in_force_from, until)
            && until.moment <= from.moment
        {
            section.problem(section.place(), "`until` is not after `in_force_from`", "check both dates");
        }
        let extended_error = read_extended_error(section);
        let notes = section.string("notes").map(|found| found.value).unwrap_or_default();
        let apps = read_words(section, "apps", "an instrument must say which apps it covers");
        let origin = read_words(section, "origin", "every fact must say where it comes from");
        Some(Self {
            id: id?.value,
            title: title.map(|found| found.value).unwrap_or_default(),
            kind: kind.unwrap_or(Kind::Advice),
            authority: authority.map(|found| found.value).unwrap_or_default(),
            jurisdiction: jurisdiction.map(|found| found.value).unwrap_or_default(),
            citation: citation.map(|found| found.value).unwrap_or_default(),
            apps,
            covers: covers.unwrap_or(Covers::Devices),
            embedded: embedded.unwrap_or(Embedded::Unstated),
            announced,
            in_force_from: in_force_from?,
            until,
            extended_error,
            notes,
            origin,
            place,
        })
    }

    /// Where it stands at `on`.
    pub fn standing(&self, on: Timestamp) -> Standing {
        Standing::at(on, Some(self.in_force_from.moment), self.until.map(|until| until.moment))
    }
}

/// An array of strings that must not be empty; `why` is the hint.
pub(super) fn read_words(section: &mut Section<'_>, key: &'static str, why: &str) -> Vec<String> {
    let words: Vec<String> =
        section.strings(key).unwrap_or_default().into_iter().map(|found| found.value).collect();
    if words.is_empty() || words.iter().any(|word| word.trim().is_empty()) {
        section.problem(section.place(), format!("`{key}` is missing or empty"), why);
    }
    words
}

fn read_date(section: &mut Section<'_>, key: &'static str, zone: &TimeZone) -> Option<LegalDate> {
    let mut table = section.section(key);
    if !table.is_present() {
        return None;
    }
    let when = table.parsed::<When>("date", "write `date = \"2023-10-30\"`");
    let verified = table.boolean("verified");
    if verified.is_none() {
        table.problem(
            table.place(),
            format!("`{key}` does not say whether the date is verified"),
            "add `verified = true`",
        );
    }
    let moment = when?.value.in_zone(zone);
    Some(LegalDate { moment, verified: verified?, day: moment.to_zoned_datetime(zone.clone()).date() })
}

fn read_extended_error(section: &mut Section<'_>) -> ExtendedError {
    let Some(found) = section.string("ede") else { return ExtendedError::Blocked };
    match found.value.as_str() {
        "blocked" => ExtendedError::Blocked,
        "censored" => ExtendedError::Censored,
        "filtered" => ExtendedError::Filtered,
        other => {
            section.problem(
                found.place,
                format!("`ede` is \"{other}\""),
                "use one of blocked, censored, filtered",
            );
            ExtendedError::Blocked
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    const BAN: &str = r#"
id = "ca-tbs-2023-10-30-wechat-kaspersky"
title = "Ban"
kind = "ban"
authority = "Treasury Board"
jurisdiction = "CA"
citation = "News release"
time_zone = "America/Toronto"
apps = ["wechat", "kaspersky"]
covers = "devices"
embedded = "excluded"
in_force_from = { date = "2023-10-30", verified = true }
origin = ["newswire.ca"]
"#;

    #[test]
    fn a_day_is_midnight_in_the_instruments_own_zone() {
        let (instrument, problems) = document::read("i.toml", BAN, Instrument::read);
        assert_eq!(problems, []);
        let instrument = instrument.unwrap();
        assert_eq!(instrument.in_force_from.moment.to_string(), "2023-10-30T04:00:00Z");
        let before: Timestamp = "2023-10-30T03:59:59Z".parse().unwrap();
        assert!(matches!(instrument.standing(before), Standing::NotYet(_)));
        assert_eq!(instrument.standing(instrument.in_force_from.moment), Standing::InForce);
    }

    #[test]
    fn an_instrument_without_citation_or_origin_is_refused() {
        let text = BAN
            .replace("citation = \"News release\"", "")
            .replace("origin = [\"newswire.ca\"]", "origin = []");
        let (_, problems) = document::read("i.toml", &text, Instrument::read);
        let whats: Vec<&str> = problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(whats, ["`origin` is missing or empty", "the file has no `citation`"]);
    }

    #[test]
    fn a_time_without_its_offset_is_refused() {
        assert!("2023-10-30T12:00:00".parse::<When>().is_err());
        assert!("2023-10-30T12:00:00-04:00".parse::<When>().is_ok());
        assert!("2023-02-30".parse::<When>().is_err());
    }
}
