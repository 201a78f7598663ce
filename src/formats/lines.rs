//! Owns what all list syntaxes share: lines, names in them, parts, counting, complaints. Never knows a syntax.

use std::net::IpAddr;

use super::part::{Carried, Part};
use super::{Format, MOST_PROBLEMS, Parsed, ZoneHead};
use crate::dns::Name;
use crate::policy::{Action, AddressRule, Prefix, Reach, Rule, Whose};
use crate::problem::{Place, Problem};

/// A list being read.
pub(super) struct Reader<'f> {
    file: &'f str,
    format: Format,
    parsed: Parsed,
    /// The part being read.
    part: Part,
    /// Complaints in the parts before it.
    problems: usize,
    line: u32,
    /// Where that line begins.
    at: usize,
    /// What carries over from the lines before to the next.
    pub(super) carried: Carried,
    /// Whether the line needs no other to be understood, so that a part may begin there.
    pub(super) stands_alone: bool,
    /// Whether the last line is the beginning of something.
    pub(super) is_unfinished: bool,
    /// Whether something besides rules was found in the line.
    noted: bool,
}

/// What was read of some lines.
pub(super) struct Reading {
    pub(super) parsed: Parsed,
    /// What carries over to the line behind.
    pub(super) carried: Carried,
    /// Whether a run of rules and the last line are at their ends, so that what follows can stay as it is.
    pub(super) is_whole: bool,
}

/// Longest line in bytes; the longest meaningful one is a few hundred.
const LONGEST_LINE: usize = 4096;
/// Most of an offending text that a complaint quotes.
const QUOTED: usize = 80;

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f str, format: Format) -> Self {
        Self::within(file, format, 0, 0, Carried::default())
    }

    /// A reader of the lines from byte `at` on, before which there are `lines` others.
    pub(super) fn within(file: &'f str, format: Format, at: usize, lines: u32, carried: Carried) -> Self {
        let part = Part { at, before: lines, carried: carried.clone(), ..Part::default() };
        let parsed = Parsed::default();
        Self {
            file,
            format,
            parsed,
            part,
            problems: 0,
            line: lines,
            at,
            carried,
            stands_alone: true,
            is_unfinished: false,
            noted: false,
        }
    }

    /// True, with a complaint, when the bytes are not a list at all: a web page or compressed bytes.
    pub(super) fn is_something_else(&mut self, text: &[u8]) -> bool {
        let found = if is_web_page(text) {
            Some(("a web page", "check the address; a login page or a proxy may have answered instead"))
        } else if text.starts_with(&[0x1F, 0x8B])
            || text.starts_with(b"PK\x03\x04")
            || text.starts_with(&[0x28, 0xB5, 0x2F, 0xFD])
        {
            Some(("compressed", "unpack it first"))
        } else {
            None
        };
        if let Some((what, hint)) = found {
            self.part.refused = 1;
            let what = format!("this is {what}, not a list in the syntax `{}`", self.format);
            self.part.problems.push(Problem::error(Place::file(self.file), what, hint));
        }
        found.is_some()
    }

    /// Calls `read` for each line that is text, without line ends and surrounding blanks.
    pub(super) fn each_line<'t>(&mut self, text: &[&'t [u8]], mut read: impl FnMut(&mut Self, &str)) {
        let mut next = self.at;
        let pieces = text.iter().copied().filter(|piece| !piece.is_empty());
        let lines = |piece: &'t [u8]| piece.strip_suffix(b"\n").unwrap_or(piece).split(|byte| *byte == b'\n');
        for bytes in pieces.flat_map(lines) {
            self.at = next;
            next += bytes.len() + 1;
            let bytes =
                if self.at == 0 { bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes) } else { bytes };
            self.line += 1;
            self.part.lines += 1;
            self.noted = false;
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if bytes.len() > LONGEST_LINE {
                self.refuse(
                    &String::from_utf8_lossy(bytes.get(..QUOTED).unwrap_or(bytes)),
                    "the line is longer than 4096 bytes",
                    "",
                );
                continue;
            }
            match std::str::from_utf8(bytes) {
                Ok(line) if line.contains('\0') => {
                    self.refuse("", "the line holds a zero byte", "the file may be damaged")
                }
                Ok(line) => read(self, line),
                Err(_) => self.refuse("", "the line is not UTF-8 text", "save the list as UTF-8"),
            }
        }
    }

    /// Adds a rule for `name`, or complains, or skips an address.
    pub(super) fn rule(&mut self, name: &str, reach: Reach, action: Option<Action>) {
        if name.parse::<IpAddr>().is_ok() || is_ipv4_shaped(name) {
            self.skip("an address, not a name");
            return;
        }
        // DNS itself allows more, but in a list anything else is a line of another syntax.
        let odd = |c: &char| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.');
        if let Some(character) = name.chars().find(odd) {
            let hint = self.other_syntax(name);
            return self.refuse(name, &format!("`{character}` cannot stand in a domain name"), hint);
        }
        match name.parse::<Name>() {
            Ok(name) => self.add(name, reach, action),
            Err(error) => {
                let hint = self.other_syntax(name);
                self.refuse(name, &error.to_string(), hint);
            }
        }
    }

    /// Adds a rule; refuses one that would meet every name.
    pub(super) fn add(&mut self, name: Name, reach: Reach, action: Option<Action>) {
        let labels = name.label_count();
        if labels == 0 {
            return self.refuse(".", "the rule would meet every name", "name a domain");
        }
        if let Some(last) = self.parsed.rules.last()
            && last.ends_run()
            && last.line < self.line
            && self.stands_alone
            && !self.noted
        {
            self.begin_part();
        }
        if labels == 1 && matches!(reach, Reach::Below | Reach::Subtree) {
            let what = format!("`{name}` is a whole top-level domain");
            let place = Place::line(self.file, self.line);
            self.problem(Problem::warning(place, what, "make sure that is meant"));
        }
        self.part.rules += 1;
        self.parsed.rules.push(Rule { name, reach, action: action.map(Box::new), line: self.line });
    }

    /// A part ends before this line, and the next one begins with it.
    fn begin_part(&mut self) {
        self.problems += self.part.problems.len();
        self.part.lines -= 1;
        let (at, before, carried) = (self.at, self.line - 1, self.carried.clone());
        let next = Part { at, before, lines: 1, carried, ..Part::default() };
        self.parsed.parts.push(std::mem::replace(&mut self.part, next));
    }

    /// Adds a rule about addresses.
    pub(super) fn add_address(&mut self, whose: Whose, prefix: Prefix, action: Action) {
        self.part.rules += 1;
        self.parsed.addresses.push(AddressRule { whose, prefix, action, line: self.line });
    }

    /// The rule about addresses added last, to be completed.
    pub(super) fn addresses(&mut self) -> &mut Vec<AddressRule> {
        &mut self.parsed.addresses
    }

    /// The rule added last, to be completed.
    pub(super) fn rules(&mut self) -> &mut Vec<Rule> {
        &mut self.parsed.rules
    }

    /// What the list says of itself as a zone.
    pub(super) fn zone_head(&mut self) -> &mut ZoneHead {
        self.part.zone.get_or_insert_default()
    }

    /// Counts a line that means nothing to a resolver.
    pub(super) fn skip(&mut self, reason: &'static str) {
        self.noted = true;
        *self.part.skipped.entry(reason).or_default() += 1;
    }

    /// Counts a malformed line and complains about it.
    pub(super) fn refuse(&mut self, text: &str, why: &str, hint: &str) {
        self.noted = true;
        self.part.refused += 1;
        let quoted: String = text.chars().take(QUOTED).collect();
        let what = if quoted.is_empty() { why.to_owned() } else { format!("`{quoted}`: {why}") };
        self.problem(Problem::error(Place::line(self.file, self.line), what, hint));
    }

    pub(super) fn finish(mut self) -> Reading {
        let is_whole = !self.is_unfinished && self.parsed.rules.last().is_none_or(Rule::ends_run);
        self.parsed.parts.push(self.part);
        Reading { parsed: self.parsed, carried: self.carried, is_whole }
    }

    fn problem(&mut self, problem: Problem) {
        if self.problems + self.part.problems.len() < MOST_PROBLEMS {
            self.part.problems.push(problem);
        }
    }

    /// A hint when the text looks like another syntax than the configured one.
    fn other_syntax(&self, text: &str) -> &'static str {
        let looks = [
            (Format::Adblock, text.starts_with("||") || text.ends_with('^') || text.starts_with("@@")),
            (
                Format::Dnsmasq,
                text.starts_with("address=") || text.starts_with("local=") || text.starts_with("server="),
            ),
            (Format::Rpz, text.contains("CNAME")),
        ];
        match looks.iter().find(|(format, looks)| *looks && *format != self.format) {
            Some((Format::Adblock, _)) => "this looks like `adblock`; set format = \"adblock\"",
            Some((Format::Dnsmasq, _)) => "this looks like `dnsmasq`; set format = \"dnsmasq\"",
            Some(_) => "this looks like `rpz`; set format = \"rpz\"",
            None => "a name has letters, digits and hyphens between dots",
        }
    }
}

/// True when the bytes begin as HTML or XML does.
pub(super) fn is_web_page(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let head: Vec<u8> = text.trim_ascii_start().iter().take(16).map(u8::to_ascii_lowercase).collect();
    [&b"<!doctype"[..], b"<html", b"<?xml"].iter().any(|start| head.starts_with(start))
}

/// True for what is written like an IPv4 address but is none, such as `256.1.1.1`.
fn is_ipv4_shaped(text: &str) -> bool {
    text.split('.').count() == 4
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// The line without a comment that `marks` begin, at its start or behind a blank.
pub(super) fn without_comment<'l>(line: &'l str, marks: &[char]) -> &'l str {
    let mut after_blank = true;
    for (at, character) in line.char_indices() {
        if after_blank && marks.contains(&character) {
            return line.get(..at).unwrap_or(line).trim();
        }
        after_blank = character.is_whitespace();
    }
    line.trim()
}
