//! Owns `Name`: a domain name kept in wire form, lower case, uncompressed; read from and shown as text.
//! Never compares text: two names are the same when their wire forms are.

use std::fmt;
use std::str::FromStr;

use super::MAX_NAME;

/// A domain name in wire form: length-prefixed labels, lower case, ending in the root's zero byte. 1 to 255 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// Why a text or a run of bytes is not a domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An escape that is not `\` and a character or three digits up to 255 (RFC 1035 5.1).
    #[error("bad escape after a backslash")]
    BadEscape,
    /// Two dots in a row, or a leading dot.
    #[error("empty label")]
    EmptyLabel,
    /// A character that no host name or DNS label in a list may hold.
    #[error("`{0}` cannot stand in a domain name")]
    ForbiddenCharacter(char),
    /// An international name that IDNA 2008 (UTS 46) does not allow.
    #[error("not a valid international domain name")]
    InvalidIdn,
    /// A label over 63 bytes.
    #[error("a label is longer than 63 bytes")]
    LabelTooLong,
    /// Over 255 bytes in wire form.
    #[error("longer than 255 bytes")]
    NameTooLong,
    /// The bytes end before the name does.
    #[error("truncated")]
    Truncated,
}

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Takes an uncompressed wire name, lower-casing it. Fails on pointers, over-long names and missing ends.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut rest = wire;
        let mut length = 0;
        loop {
            let (&label, after) = rest.split_first().ok_or(NameError::Truncated)?;
            length += 1 + usize::from(label);
            if length > MAX_NAME {
                return Err(NameError::NameTooLong);
            }
            match label {
                0 => break,
                1..=63 => rest = after.get(usize::from(label)..).ok_or(NameError::Truncated)?,
                _ => return Err(NameError::LabelTooLong),
            }
        }
        // Length bytes are below `A`, so lower-casing the whole wire leaves them alone.
        Ok(Self(wire.get(..length).ok_or(NameError::Truncated)?.to_ascii_lowercase().into()))
    }

    /// The wire form.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Number of labels, the root not counted.
    pub fn label_count(&self) -> usize {
        self.suffixes().count()
    }

    /// The name and its ancestors in wire form, longest first, the root left out.
    pub fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let current = rest;
            let (&label, after) = current.split_first()?;
            if label == 0 {
                return None;
            }
            rest = after.get(usize::from(label)..)?;
            Some(current)
        })
    }

    /// True when this name is `ancestor` or lies below it; compared on label boundaries.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        ancestor.0.len() == 1 || self.suffixes().any(|suffix| suffix == ancestor.as_wire())
    }
}

impl FromStr for Name {
    type Err = NameError;

    /// Reads presentation form: dots between labels, an optional final dot, `\.` and `\DDD` escapes (RFC 1035 5.1),
    /// U-labels converted to A-labels. `.` is the root.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        if text.is_ascii() {
            return parse_ascii(text.as_bytes());
        }
        let ascii = idna::domain_to_ascii(text).map_err(|_| NameError::InvalidIdn)?;
        parse_ascii(ascii.as_bytes())
    }
}

fn parse_ascii(text: &[u8]) -> Result<Name, NameError> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    let mut label = 0;
    wire.push(0);
    let mut bytes = text.iter().copied();
    let mut ended = false;
    while let Some(byte) = bytes.next() {
        if ended {
            return Err(NameError::EmptyLabel);
        }
        match byte {
            b'.' => {
                let length = close_label(&mut wire, label)?;
                if length == 0 {
                    return Err(NameError::EmptyLabel);
                }
                label = wire.len();
                wire.push(0);
                ended = bytes.len() == 0;
            }
            b'\\' => wire.push(escaped(&mut bytes)?.to_ascii_lowercase()),
            b'!'..=b'~' => wire.push(byte.to_ascii_lowercase()),
            other => return Err(NameError::ForbiddenCharacter(char::from(other))),
        }
    }
    if close_label(&mut wire, label)? > 0 {
        wire.push(0);
    } else if !ended {
        return Err(NameError::EmptyLabel);
    }
    if wire.len() > MAX_NAME {
        return Err(NameError::NameTooLong);
    }
    Ok(Name(wire.into()))
}

/// Writes the length of the label that began at `start`; returns it.
fn close_label(wire: &mut [u8], start: usize) -> Result<usize, NameError> {
    let length = wire.len() - start - 1;
    if length > 63 {
        return Err(NameError::LabelTooLong);
    }
    if let Some(slot) = wire.get_mut(start) {
        *slot = length as u8;
    }
    Ok(length)
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, NameError> {
    let first = bytes.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut number = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(NameError::BadEscape)?;
        number = number * 10 + u16::from(digit - b'0');
    }
    u8::try_from(number).map_err(|_| NameError::BadEscape)
}

/// Presentation form without a final dot; the root is `.`.
pub(super) fn write_text(wire: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    if wire.first().is_none_or(|&label| label == 0) {
        return out.write_char('.');
    }
    let mut rest = wire;
    let mut first = true;
    while let Some((&label, after)) = rest.split_first() {
        if label == 0 {
            break;
        }
        if !first {
            out.write_char('.')?;
        }
        first = false;
        let Some((text, next)) = after.split_at_checked(usize::from(label)) else { break };
        write_label(text, out)?;
        rest = next;
    }
    Ok(())
}

/// Most labels are written as they are, and in one piece.
fn write_label(label: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_');
    if label.iter().all(is_plain)
        && let Ok(text) = std::str::from_utf8(label)
    {
        return out.write_str(text);
    }
    for &byte in label {
        match byte {
            b'.' | b'\\' | b'"' | b';' | b'@' | b'$' | b'(' | b')' => write!(out, "\\{}", char::from(byte))?,
            b'!'..=b'~' => out.write_char(char::from(byte))?,
            _ => write!(out, "\\{byte:03}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn text_becomes_lower_case_wire() {
        assert_eq!(name("WeChat.COM").as_wire(), b"\x06wechat\x03com\0");
        assert_eq!(name("wechat.com."), name("wechat.com"));
        assert_eq!(name(".").as_wire(), b"\0");
        assert_eq!(name("weixin.qq.com").label_count(), 3);
    }

    #[test]
    fn international_names_are_compared_as_a_labels() {
        assert_eq!(name("微信.中国"), name("xn--vuqz89a.xn--fiqs8s"));
    }

    #[test]
    fn ancestry_stops_at_label_boundaries() {
        assert!(name("a.tiktok.com").is_at_or_below(&name("tiktok.com")));
        assert!(!name("xtiktok.com").is_at_or_below(&name("tiktok.com")));
        assert!(name("x").is_at_or_below(&Name::root()));
    }

    #[test]
    fn escapes_survive_a_round_trip() {
        let odd = name(r"a\.b\032c.example");
        assert_eq!(odd.as_wire(), b"\x05a.b c\x07example\0");
        assert_eq!(odd.to_string(), r"a\.b\032c.example");
        assert_eq!(name(&odd.to_string()), odd);
    }

    #[test]
    fn what_is_not_a_name_is_refused_with_its_reason() {
        for (text, error) in [
            ("", NameError::EmptyLabel),
            ("a..b", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            ("a..", NameError::EmptyLabel),
            ("a b", NameError::ForbiddenCharacter(' ')),
            (r"a\25", NameError::BadEscape),
            (r"a\999", NameError::BadEscape),
        ] {
            assert_eq!(text.parse::<Name>(), Err(error), "{text}");
        }
        assert_eq!("a".repeat(64).parse::<Name>(), Err(NameError::LabelTooLong));
        assert_eq!("abcdefg.".repeat(32).parse::<Name>(), Err(NameError::NameTooLong));
        assert_eq!("abcdefg.".repeat(31).parse::<Name>().unwrap().as_wire().len(), 249);
    }

    #[test]
    fn foreign_wire_is_checked() {
        assert_eq!(Name::from_wire(b"\x03WWW\0rest").unwrap(), name("www"));
        assert_eq!(Name::from_wire(b"\x03ww"), Err(NameError::Truncated));
        assert_eq!(
            Name::from_wire(b"\xC0\x0C"),
            Err(NameError::NameTooLong).or(Err(NameError::LabelTooLong))
        );
        assert_eq!(Name::from_wire(b""), Err(NameError::Truncated));
    }
}
