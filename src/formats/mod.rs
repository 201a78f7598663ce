//! One list syntax a file: hosts, domains, adblock, dnsmasq, rpz (text → rules with line numbers). Owns what each
//! syntax means to a resolver, the pieces a list's text may be in, and which parts of it read differently than before. Never reads a file and never enforces
//! anything.

mod adblock;
mod changed;
mod dnsmasq;
mod domains;
mod hosts;
mod lines;
mod part;
mod prefix;
mod rpz;
mod text;

use std::fmt;
use std::str::FromStr;

pub use self::changed::{Reread, reread};
pub use self::part::{Parsed, Part, ZoneHead};
pub use self::text::{PIECES, Piece, Text};
use crate::dns::Name;

/// A list syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `||name^`, exceptions `@@||name^`.
    Adblock,
    /// `address=/name/`, `local=/name/`, `server=/name/`.
    Dnsmasq,
    /// One name a line; `*.name` for a subtree.
    Domains,
    /// `0.0.0.0 name`.
    Hosts,
    /// A response policy zone as a zone file.
    Rpz,
}

/// What the text alone does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether a plain name of `hosts` or `domains` covers everything below it too. Default no, as all other users of
    /// these syntaxes read them.
    pub subdomains: bool,
    /// Origin of a response policy zone that does not name its own.
    pub zone: Option<Name>,
}

/// Enough complaints to see what is wrong with a list.
pub const MOST_PROBLEMS: usize = 1000;

/// Reads a list, whose text is in these pieces, each of which but the last ends with a line. `file` is its name in complaints. Never
/// fails: what is wrong is in the result.
pub fn parse(format: Format, file: &str, text: &[&[u8]], options: &Options) -> Parsed {
    let mut reader = lines::Reader::new(file, format);
    if !reader.is_something_else(text.first().unwrap_or(&&[][..])) {
        // Mostly a rule a line, and some room for what joins them later: memory that is reserved and not written to is none, growing would
        // need it twice.
        let lines = text.iter().flat_map(|piece| piece.iter()).filter(|byte| **byte == b'\n').count();
        reader.rules().reserve(lines + lines / 64 + 64);
        read(&mut reader, format, text, options);
    }
    let mut parsed = reader.finish().parsed;
    parsed.sum_up();
    parsed
}

/// Reads lines, with the reader where it stands.
fn read(reader: &mut lines::Reader<'_>, format: Format, text: &[&[u8]], options: &Options) {
    match format {
        Format::Adblock => adblock::parse(reader, text),
        Format::Dnsmasq => dnsmasq::parse(reader, text),
        Format::Domains => domains::parse(reader, text, options.subdomains),
        Format::Hosts => hosts::parse(reader, text, options.subdomains),
        Format::Rpz => rpz::parse(reader, text, options.zone.as_ref()),
    }
}

/// True when the bytes begin as a web page does, and no list in any syntax.
pub fn is_web_page(text: &[u8]) -> bool {
    lines::is_web_page(text)
}

impl Format {
    /// The word used in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adblock => "adblock",
            Self::Dnsmasq => "dnsmasq",
            Self::Domains => "domains",
            Self::Hosts => "hosts",
            Self::Rpz => "rpz",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Adblock, Self::Dnsmasq, Self::Domains, Self::Hosts, Self::Rpz]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or("not a list syntax")
    }
}
