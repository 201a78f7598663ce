//! Owns the canonical text of a zone: made of the records of a whole transfer, changed by the differences of an incremental
//! one, and asked for its SOA record. Never reads a message.

use std::collections::BTreeMap;
use std::iter;

use super::soa::Soa;
use crate::dns::Name;
use crate::formats::{Piece, Text};
use crate::sources::cut::{Cutter, first_line};

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
    pub(super) fn into_text(self, zone: &Name, soa: &[u8]) -> Text {
        let mut start = 0;
        let mut lines: Vec<&[u8]> = Vec::with_capacity(self.ends.len());
        for end in self.ends {
            lines.push(self.text.get(start..end as usize).unwrap_or(&[]));
            start = end as usize;
        }
        lines.sort_unstable();
        lines.dedup();
        let mut text = Cutter::new(beginning(zone, soa));
        lines.into_iter().for_each(|line| text.line(line));
        text.finish(None)
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

    /// The text of the zone after the changes to `text`; shares with it the pieces in which nothing changes.
    pub(super) fn apply(self, text: &Text, zone: &Name, soa: &[u8]) -> Result<Text, Mismatch> {
        let cut = cut(text).ok_or(Mismatch)?;
        let pieces: Vec<&Piece> = cut.pieces().skip(1).collect();
        let mut out = Cutter::new(beginning(zone, soa));
        let mut changes = self.lines.into_iter().peekable();
        // A line belongs to the last piece that does not begin behind it; where there is none, to one without lines.
        let mut nexts = pieces.iter().skip(1).map(|next| first_line(next.bytes()));
        for piece in pieces.iter().copied().map(Some).chain(pieces.is_empty().then_some(None)) {
            let next = nexts.next();
            let here = |change: &(Box<[u8]>, Change)| next.is_none_or(|next| &*change.0 < next);
            let mut mine = iter::from_fn(|| changes.next_if(here)).peekable();
            match piece {
                Some(piece) if mine.peek().is_none() => out.piece(piece),
                piece => change(piece.map_or(&[], Piece::bytes), mine, &mut out)?,
            }
        }
        Ok(out.finish(Some(text)))
    }
}

/// Writes the lines of a piece as the changes to it leave them.
fn change(
    piece: &[u8],
    changes: impl Iterator<Item = (Box<[u8]>, Change)>,
    out: &mut Cutter,
) -> Result<(), Mismatch> {
    let mut at = 0;
    let stay = |out: &mut Cutter, from: usize, until: usize| {
        let lines = piece.get(from..until).unwrap_or(&[]);
        match from {
            0 if !lines.is_empty() => out.beginning(lines),
            _ => out.inner(lines),
        }
    };
    for (line, Change { was_there, stays }) in changes {
        let found = lower_bound(piece, at, &line);
        stay(out, at, found);
        let is_there = line_at(piece, found) == Some(&*line);
        if is_there != was_there {
            return Err(Mismatch);
        }
        at = if is_there { found + line.len() + 1 } else { found };
        if stays {
            out.line(&line);
        }
    }
    stay(out, at, piece.len());
    Ok(())
}

/// The text in pieces, the first of which is its beginning; as it was kept by earlier versions of this program it is in one.
fn cut(text: &Text) -> Option<Text> {
    let is_cut = text.pieces().next().is_some_and(|first| body(first.bytes()) == Some(&[]));
    if is_cut {
        return Some(text.clone());
    }
    let bytes = text.bytes();
    let lines = body(&bytes)?;
    let head = bytes.get(..bytes.len() - lines.len())?;
    let mut cut = Cutter::new(head.to_vec());
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| cut.line(line));
    Some(cut.finish(None))
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

    fn text(lines: &[&str], soa: &[u8]) -> Text {
        let mut all = Lines::default();
        lines.iter().for_each(|line| all.push(line.as_bytes()));
        all.into_text(&zone(), soa)
    }

    #[test]
    fn a_text_is_sorted_and_says_what_its_soa_says() {
        let text = text(&["b", "a", "b", "@ 60 NS ns."], SOA);
        let text = text.bytes();
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

    /// Line by line at random, lines at which the text is cut among them: what is shared is what did not change, and a
    /// version is the same whichever way it came.
    #[test]
    fn a_long_zone_shares_the_pieces_in_which_nothing_changed() {
        let mut random = fastrand::Rng::with_seed(7);
        let record = |number: u32| format!("n{number:06}.example 60 CNAME .");
        let mut present: std::collections::BTreeSet<u32> = (0..60_000).collect();
        let whole = |present: &std::collections::BTreeSet<u32>| {
            let records: Vec<String> = present.iter().map(|number| record(*number)).collect();
            text(&records.iter().map(String::as_str).collect::<Vec<_>>(), SOA)
        };
        let begins = |number: &u32| crate::sources::cut::begins_piece(record(*number).as_bytes());
        let cuts: Vec<u32> = (0..60_000).filter(begins).collect();
        let mut held = whole(&present);
        assert_eq!((held.pieces().len(), cuts.len() > 3), (cuts.len() + 2, true));
        for round in 0..40 {
            let mut changes = Changes::default();
            let mut change = |number: u32| {
                let line = record(number);
                match present.remove(&number) {
                    true => changes.delete(line.as_bytes()).unwrap(),
                    false => {
                        present.insert(number);
                        changes.add(line.as_bytes()).unwrap();
                    }
                }
            };
            let chosen: std::collections::BTreeSet<u32> = (0..random.usize(0..4))
                .map(|_| if random.bool() { cuts[random.usize(..cuts.len())] } else { random.u32(..70_000) })
                .collect();
            chosen.iter().copied().for_each(&mut change);
            let next = changes.apply(&held, &zone(), SOA).unwrap();
            let came_whole = whole(&present);
            assert_eq!(next, came_whole, "{round}: {chosen:?}");
            assert_eq!(next.bytes(), came_whole.bytes());
            // No more than the pieces around each change.
            let (next, came_whole) = (next.sharing(&held), came_whole.sharing(&held));
            let is_own =
                |piece: &&Piece| held.pieces().all(|known| !std::ptr::eq(known.bytes(), piece.bytes()));
            assert!(next.pieces().filter(is_own).count() <= 2 * chosen.len(), "{round}: {chosen:?}");
            assert_eq!(came_whole.own_bytes(Some(&held)), next.own_bytes(Some(&held)));
            held = next;
        }
    }

    #[test]
    fn a_text_that_was_kept_in_one_piece_is_cut_when_it_changes() {
        let before = text(&["a", "c"], SOA);
        let kept = Text::whole(before.bytes().into_owned());
        let mut changes = Changes::default();
        changes.add(b"b").unwrap();
        assert_eq!(changes.apply(&kept, &zone(), SOA), Ok(text(&["a", "b", "c"], SOA)));
        assert_eq!(
            Changes::default().apply(&Text::whole(b"$ORIGIN x.".to_vec()), &zone(), SOA),
            Err(Mismatch)
        );
        let empty = text(&[], SOA);
        let mut changes = Changes::default();
        changes.add(b"b").unwrap();
        assert_eq!(changes.apply(&empty, &zone(), SOA), Ok(text(&["b"], SOA)));
    }
}
