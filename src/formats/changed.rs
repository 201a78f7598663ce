//! Owns reading again what changed in a list: the parts whose text is what it was are recognised, and only the lines between
//! them are read, once as they were and once as they are. Never decides what follows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::lines::{Reader, Reading};
use super::part::{Carried, Part};
use super::{Format, Options, Parsed, Text, read};
use crate::policy::{AddressRule, Edit, Rule};

/// A list of which only some lines were read again.
#[derive(Debug)]
pub struct Reread {
    /// All of its parts, read again or not.
    pub parts: Vec<Part>,
    /// What changed, in order.
    pub edits: Vec<Edit>,
    /// What is found in the whole list now, its rules left out.
    pub found: Parsed,
    /// How many rules it has now.
    pub rules: usize,
}

/// A list as it was read before.
#[derive(Clone, Copy)]
struct Before<'t> {
    text: &'t Text,
    parts: &'t [Part],
}

/// Parts of the old text, from one to before another, and where the text is now that stands in their place.
struct Stretch {
    parts: (usize, usize),
    text: (usize, usize),
}

/// Reads what differs between `text` and the `before` that had those `parts`. `None` when it is too much, or not lines: the
/// whole is to be read then.
pub fn reread(
    format: Format,
    file: &str,
    options: &Options,
    (before, parts): (&Text, &[Part]),
    text: &Text,
) -> Option<Reread> {
    let before = Before { text: before, parts };
    let is_something_else = |text: &Text| Reader::new(file, format).is_something_else(text.rest(0));
    if is_something_else(text) || is_something_else(before.text) {
        return None;
    }
    let lines = |text: &[u8], at: usize, before: u32, carried: &Carried| {
        let mut reader = Reader::within(file, format, at, before, carried.clone());
        read(&mut reader, format, &[text], options);
        reader.finish()
    };
    let mut now: Vec<Part> = Vec::new();
    let mut edits = Vec::new();
    // The part of the old text, and the byte of the new one, that is come to.
    let (mut old, mut at) = (0, 0);
    while let Some(part) = parts.get(old) {
        let known = before.place_of(old);
        let is_last = old + 1 == parts.len();
        if text.matches(at, before.text, known.clone()) && (!is_last || at + known.len() == text.len()) {
            now.push(part.moved(at, lines_before(&now)));
            (old, at) = (old + 1, at + known.len());
            continue;
        }
        let mut stretch = before.stretch(text, old, at)?;
        let first = lines_before(&now);
        let Reading { parsed, .. } = loop {
            let (from, until) = stretch.text;
            let reading = lines(&text.range(from..until)?, from, first, &part.carried);
            match parts.get(stretch.parts.1) {
                Some(next) if !(reading.is_whole && reading.carried.agrees(&next.carried)) => {
                    stretch.parts.1 += 1;
                    stretch.text.1 += before.place_of(stretch.parts.1 - 1).len();
                    if stretch.parts.1 == parts.len() {
                        stretch.text.1 = text.len();
                    }
                    before.check_size(text, &stretch)?;
                }
                _ => break reading,
            }
        };
        let until = parts.get(stretch.parts.1).map(|part| part.before);
        let gone = lines(&before.text_between(stretch.parts), part.at, part.before, &part.carried).parsed;
        if before.may_join(&parsed.rules, stretch.parts, lines) {
            return None;
        }
        now.extend(parsed.parts);
        edits.push(Edit {
            from: part.before + 1,
            until: until.map_or(u32::MAX, |before| before + 1),
            until_now: lines_before(&now) + 1,
            addresses: same_addresses(&gone.addresses, &parsed.addresses)?,
            gone: gone.rules,
            come: parsed.rules,
        });
        (old, at) = (stretch.parts.1, stretch.text.1);
    }
    let mut found = Parsed { parts: now, ..Parsed::default() };
    found.sum_up();
    let parts = std::mem::take(&mut found.parts);
    Some(Reread { rules: parts.iter().map(|part| part.rules).sum(), parts, edits, found })
}

fn lines_before(parts: &[Part]) -> u32 {
    parts.last().map_or(0, |last| last.before + last.lines)
}

/// The line of each rule before and now, when they are the same rules.
fn same_addresses(gone: &[AddressRule], come: &[AddressRule]) -> Option<Vec<(u32, u32)>> {
    let same = |one: &AddressRule, other: &AddressRule| {
        (one.whose, one.prefix, &one.action) == (other.whose, other.prefix, &other.action)
    };
    let pairs = || gone.iter().zip(come);
    (gone.len() == come.len() && pairs().all(|(one, other)| same(one, other)))
        .then(|| pairs().map(|(one, other)| (one.line, other.line)).collect())
}

impl<'t> Before<'t> {
    /// Where a part is.
    fn place_of(&self, part: usize) -> Range<usize> {
        self.place_between((part, part + 1))
    }

    fn place_between(&self, (from, until): (usize, usize)) -> Range<usize> {
        let at = |part: usize| self.parts.get(part).map_or(self.text.len(), |part| part.at);
        at(from)..at(until)
    }

    fn text_between(&self, parts: (usize, usize)) -> Cow<'t, [u8]> {
        self.text.range(self.place_between(parts)).unwrap_or_default()
    }

    /// A rule may be made of several lines; whether one of the rules that stand now between two parts may be one with the last
    /// of the part before, or the first of that behind.
    fn may_join(
        &self,
        rules: &[Rule],
        (from, until): (usize, usize),
        lines: impl Fn(&[u8], usize, u32, &Carried) -> Reading,
    ) -> bool {
        match rules {
            [] => from > 0 && until < self.parts.len(),
            // The last of the part before ends a run, and so would the first here if it were of the same name.
            [first, ..] if from > 0 && first.ends_run() => true,
            [.., last] => self.first_rule(until, lines).is_some_and(|next| next.name == last.name),
        }
    }

    fn first_rule(
        &self,
        part: usize,
        lines: impl Fn(&[u8], usize, u32, &Carried) -> Reading,
    ) -> Option<Rule> {
        let found = self.parts.get(part)?;
        let text = self.text_between((part, part + 1));
        let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        let first = lines(text.get(..end)?, found.at, found.before, &found.carried);
        first.parsed.rules.into_iter().next()
    }

    /// Where the old text from that part on, and the new one from that byte on, agree again.
    fn stretch(&self, text: &Text, old: usize, at: usize) -> Option<Stretch> {
        /// Parts that are looked for: a change of more is a change of much.
        const PARTS: usize = 64;
        /// Bytes of a part by which it is looked for; then all of them are compared.
        const HEAD: usize = 24;
        let end = (old + 1 + PARTS).min(self.parts.len());
        let mut heads: HashMap<[u8; HEAD], usize> = HashMap::new();
        for part in (old + 1..end).rev() {
            let place = self.place_of(part);
            heads.insert(self.text.chunk::<HEAD>(place.start).filter(|_| place.len() >= HEAD)?, part);
        }
        let whole = Stretch { parts: (old, self.parts.len()), text: (at, text.len()) };
        let limit = if end == self.parts.len() { text.len() } else { at + self.most() };
        let mut from = at;
        while let Some(head) = text.chunk::<HEAD>(from).filter(|_| from < limit) {
            if let Some(part) = heads.get(&head).copied()
                && let place = self.place_of(part)
                && text.matches(from, self.text, place.clone())
                && (part + 1 < self.parts.len() || from + place.len() == text.len())
            {
                let stretch = Stretch { parts: (old, part), text: (at, from) };
                return self.check_size(text, &stretch).map(|()| stretch);
            }
            // A line is in one piece.
            let end = text.rest(from).iter().position(|byte| *byte == b'\n');
            from = from.saturating_add(end.map_or(usize::MAX, |end| end + 1));
        }
        self.check_size(text, &whole).map(|()| whole)
    }

    /// Bytes that may differ: with more, nothing is won.
    fn most(&self) -> usize {
        /// A few parts, of however short a list.
        const LEAST: usize = 256 << 10;
        LEAST.max(self.text.len() / 8)
    }

    fn check_size(&self, text: &Text, stretch: &Stretch) -> Option<()> {
        let (from, until) = stretch.text;
        let now = until.checked_sub(from).filter(|_| until <= text.len())?;
        let old = self.place_between(stretch.parts).len();
        (now <= self.most() && old <= self.most()).then_some(())
    }
}
