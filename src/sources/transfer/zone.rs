//! Owns the canonical text of a zone: made of the records of a whole transfer, changed by the differences of an incremental
//! one, and asked for its SOA record. Never reads a message.

use std::collections::BTreeMap;

use super::soa::Soa;
use crate::dns::Name;

/// Records of a whole transfer, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: Vec<u8>,
    /// Where each line ends.
    ends: Vec<u32>,
}

/// Differences between two versions: what came first and what came last of each record.
#[derive(Debug, Default)]
pub(super) struct Changes {
    lines: BTreeMap<Box<[u8]>, Change>,
    /// Bytes of the lines.
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    /// Whether the record must be there before.
    was_there: bool,
    /// Whether it is there afterwards.
    stays: bool,
}

/// Why differences cannot be those of a zone: a record is taken out that is not there, or put in that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

impl Lines {
    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        // Texts are capped at 256 MiB.
        self.ends.push(self.text.len() as u32);
    }

    /// The zone's text; records that came twice stand in it once.
    pub(super) fn into_text(self, zone: &Name, soa: &[u8]) -> Vec<u8> {
        let mut start = 0;
        let mut lines: Vec<&[u8]> = Vec::with_capacity(self.ends.len());
        for end in self.ends {
            lines.push(self.text.get(start..end as usize).unwrap_or(&[]));
            start = end as usize;
        }
        lines.sort_unstable();
        lines.dedup();
        let mut text = beginning(zone, soa);
        text.reserve(self.text.len() + lines.len());
        for line in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text
    }
}

impl Changes {
    /// Records that change.
    pub(super) fn count(&self) -> usize {
        self.lines.len()
    }

    /// Takes a record out. Fails when it was put in twice or taken out twice.
    pub(super) fn delete(&mut self, line: &[u8]) -> Result<(), Mismatch> {
        self.change(line, false)
    }

    /// Puts a record in.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), Mismatch> {
        self.change(line, true)
    }

    fn change(&mut self, line: &[u8], stays: bool) -> Result<(), Mismatch> {
        match self.lines.get_mut(line) {
            Some(change) if change.stays == stays => return Err(Mismatch),
            Some(change) => change.stays = stays,
            None => {
                self.bytes += line.len() as u64;
                self.lines.insert(line.into(), Change { was_there: !stays, stays });
            }
        }
        Ok(())
    }

    /// The text of the zone after the changes to `text`.
    pub(super) fn apply(self, text: &[u8], zone: &Name, soa: &[u8]) -> Result<Vec<u8>, Mismatch> {
        let body = body(text).ok_or(Mismatch)?;
        let mut out = beginning(zone, soa);
        out.reserve(body.len() + self.bytes as usize + self.lines.len());
        let mut at = 0;
        for (line, Change { was_there, stays }) in self.lines {
            let found = lower_bound(body, at, &line);
            out.extend_from_slice(body.get(at..found).unwrap_or(&[]));
            let is_there = line_at(body, found) == Some(&*line);
            if is_there != was_there {
                return Err(Mismatch);
            }
            at = if is_there { found + line.len() + 1 } else { found };
            if stays {
                out.extend_from_slice(&line);
                out.push(b'\n');
            }
        }
        out.extend_from_slice(body.get(at..).unwrap_or(&[]));
        Ok(out)
    }
}

/// What the SOA record of a zone's text says, if it is the text of `zone`.
pub(in crate::sources) fn head(text: &[u8], zone: &Name) -> Option<Soa> {
    let mut lines = text.splitn(3, |byte| *byte == b'\n');
    if lines.next()? != origin(zone).as_bytes() {
        return None;
    }
    let words: Vec<&str> = std::str::from_utf8(lines.next()?).ok()?.split(' ').collect();
    let ["@", _, "SOA", _, _, serial, refresh, retry, expire, _] = words.as_slice() else { return None };
    let mut fields = [0; 4];
    for (field, word) in fields.iter_mut().zip([serial, refresh, retry, expire]) {
        *field = word.parse().ok()?;
    }
    lines.next()?;
    Some(Soa::of_fields(fields))
}

fn origin(zone: &Name) -> String {
    format!("$ORIGIN {zone}.")
}

fn beginning(zone: &Name, soa: &[u8]) -> Vec<u8> {
    [origin(zone).as_bytes(), b"\n", soa, b"\n"].concat()
}

/// The lines behind the SOA record.
fn body(text: &[u8]) -> Option<&[u8]> {
    let mut ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let second = ends.nth(1)?;
    text.get(second + 1..)
}

/// Where the first line stands that is not before `line`; `from` is the beginning of a line.
fn lower_bound(body: &[u8], from: usize, line: &[u8]) -> usize {
    let (mut low, mut high) = (from, body.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let before = body.get(low..middle).unwrap_or(&[]);
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(low, |at| low + at + 1);
        match line_at(body, start) {
            Some(found) if found < line => low = (start + found.len() + 1).min(high),
            _ => high = start,
        }
    }
    low
}

fn line_at(body: &[u8], at: usize) -> Option<&[u8]> {
    body.get(at..)?.split(|byte| *byte == b'\n').next().filter(|_| at < body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOA: &[u8] = b"@ 60 SOA ns. contact. 7 3600 600 86400 60";

    fn zone() -> Name {
        "rpz.example".parse().unwrap()
    }

    fn text(lines: &[&str], soa: &[u8]) -> Vec<u8> {
        let mut all = Lines::default();
        lines.iter().for_each(|line| all.push(line.as_bytes()));
        all.into_text(&zone(), soa)
    }

    #[test]
    fn a_text_is_sorted_and_says_what_its_soa_says() {
        let text = text(&["b", "a", "b", "@ 60 NS ns."], SOA);
        let expected = format!("$ORIGIN rpz.example.\n{}\n@ 60 NS ns.\na\nb\n", String::from_utf8_lossy(SOA));
        assert_eq!(String::from_utf8_lossy(&text), expected);
        let soa = head(&text, &zone()).unwrap();
        assert_eq!(
            (soa.serial, soa.refresh.as_secs(), soa.retry.as_secs(), soa.expire.as_secs()),
            (7, 3600, 600, 86_400)
        );
        assert_eq!(head(&text, &"other.example".parse().unwrap()), None);
        for end in 0..20 + SOA.len() {
            assert_eq!(head(&text[..end], &zone()), None);
        }
    }

    /// Every subset of a few records changed into every other: the text is that of the new records, and one record too many
    /// or too few is noticed.
    #[test]
    fn changes_lead_to_the_text_that_a_whole_transfer_gives() {
        const NEW: &[u8] = b"@ 60 SOA ns. contact. 8 3600 600 86400 60";
        let records = ["@ 60 NS ns.", "a", "a.b", "aa", "z"];
        let has = |bits: usize, at: usize| (bits >> at) & 1 == 1;
        let subset = |bits: usize| -> Vec<&str> {
            records.iter().enumerate().filter(|(at, _)| has(bits, *at)).map(|(_, record)| *record).collect()
        };
        for (old, new) in (0..32).flat_map(|old| (0..32).map(move |new| (old, new))) {
            let mut changes = Changes::default();
            for (at, record) in records.iter().enumerate() {
                match (has(old, at), has(new, at)) {
                    (true, false) => changes.delete(record.as_bytes()).unwrap(),
                    (false, true) => changes.add(record.as_bytes()).unwrap(),
                    _ => {}
                }
            }
            let before = text(&subset(old), SOA);
            assert_eq!(changes.apply(&before, &zone(), NEW), Ok(text(&subset(new), NEW)), "{old} {new}");
            for (wrong, record) in records.iter().enumerate() {
                let (mut changes, record) = (Changes::default(), record.as_bytes());
                let changed = if has(old, wrong) { changes.add(record) } else { changes.delete(record) };
                changed.unwrap();
                assert_eq!(changes.apply(&before, &zone(), NEW), Err(Mismatch), "{old} {wrong}");
            }
        }
    }

    #[test]
    fn what_comes_and_goes_between_is_forgotten() {
        let mut changes = Changes::default();
        changes.delete(b"a").unwrap();
        assert_eq!(changes.delete(b"a"), Err(Mismatch));
        changes.add(b"a").unwrap();
        assert_eq!(changes.add(b"a"), Err(Mismatch));
        changes.add(b"b").unwrap();
        changes.delete(b"b").unwrap();
        let before = text(&["a", "c"], SOA);
        assert_eq!(changes.apply(&before, &zone(), SOA), Ok(before));
    }
}
