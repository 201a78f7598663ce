//! Owns how durations, sizes and shares are written in a configuration.

use std::str::FromStr;
use std::time::Duration;

/// `500ms`, `1.8s`, `60s`, `15m`, `1h`, `2d`, or `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// `64KiB`, `256MiB`, `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// `10%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Percent(pub(super) u8);

/// `200%`: a share that may be more than all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth(pub(super) u32);

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim()))
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, rest) = split(text).ok_or("not a duration")?;
        let (thousandths, unit) = match rest.strip_prefix('.') {
            Some(rest) => thousandths(rest).filter(|(_, unit)| *unit == "s").ok_or("not a duration")?,
            None => (0, rest),
        };
        let milliseconds = match unit {
            "" if number == 0 => 0,
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err("not a duration"),
        };
        let whole = number.checked_mul(milliseconds).and_then(|ms| ms.checked_add(thousandths));
        whole.map(|ms| Self(Duration::from_millis(ms))).ok_or("too long")
    }
}

/// The decimals that `text` begins with, in thousandths, and what follows them.
fn thousandths(text: &str) -> Option<(u64, &str)> {
    let (number, unit) = split(text)?;
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    Some((number * 10_u64.pow(3_u32.checked_sub(digits as u32)?), unit))
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = split(text).ok_or("not a size")?;
        let shift = match unit {
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err("not a size"),
        };
        number.checked_mul(1 << shift).map(Self).ok_or("too large")
    }
}

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
        number.filter(|number| *number <= 100).map(Self).ok_or("not a share")
    }
}

impl FromStr for Growth {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
        number.filter(|number| *number <= 1_000_000).map(Self).ok_or("not a share")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_need_their_units() {
        assert_eq!("15m".parse(), Ok(Span(Duration::from_secs(900))));
        assert_eq!("0".parse(), Ok(Span(Duration::ZERO)));
        assert_eq!("1.8s".parse(), Ok(Span(Duration::from_millis(1800))));
        assert_eq!("0.025s".parse(), Ok(Span(Duration::from_millis(25))));
        for wrong in ["1.s", ".5s", "1.8", "1.8m", "1.8765s", "1.8.1s"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
        assert!("15".parse::<Span>().is_err() && "99999999999999999d".parse::<Span>().is_err());
        assert_eq!("256MiB".parse(), Ok(Size(256 << 20)));
        assert!("256MB".parse::<Size>().is_err());
        assert_eq!("10%".parse(), Ok(Percent(10)));
        assert!("101%".parse::<Percent>().is_err());
        assert_eq!("250%".parse(), Ok(Growth(250)));
        assert!("250".parse::<Growth>().is_err() && "-1%".parse::<Growth>().is_err());
    }
}
