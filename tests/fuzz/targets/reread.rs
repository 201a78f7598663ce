//! A list that changed, in every syntax: what is read where it changed comes to what one reading of all of it finds. The first
//! byte chooses the syntax and whether the texts are in pieces; the rest are lines before and after the change, between lines that stay.
#![no_main]

use std::collections::BTreeMap;

use interdict::formats::{Format, Options, Parsed, Piece, Reread, Text, parse, reread};
use interdict::policy::Rule;
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 5] = [Format::Adblock, Format::Dnsmasq, Format::Domains, Format::Hosts, Format::Rpz];
/// Lines of one part of a list, more or less: enough that there is something which is not read again.
const BETWEEN: usize = 1500;

/// Lines that stay, which begin with one that is nobody else's.
fn between(format: Format, number: usize, out: &mut Vec<u8>) {
    for line in 0..BETWEEN {
        let name = format!("n{line}.stays{number}.example");
        let line = match format {
            Format::Adblock => format!("||{name}^\n"),
            Format::Dnsmasq => format!("address=/{name}/\n"),
            Format::Domains => format!("{name}\n"),
            Format::Hosts => format!("0.0.0.0 {name}\n"),
            Format::Rpz => format!("{name} CNAME .\n"),
        };
        out.extend(line.bytes());
    }
}

fn list<'p>(format: Format, pieces: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, piece) in pieces.enumerate() {
        out.extend(piece);
        out.push(b'\n');
        between(format, number, &mut out);
    }
    out
}

/// A list's text: in one piece, or cut before some of its lines.
fn in_pieces(list: Vec<u8>, is_cut: bool) -> Text {
    let mut pieces = vec![Vec::new()];
    for line in list.split_inclusive(|byte| *byte == b'\n') {
        if is_cut && line.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 61 == 0 {
            pieces.push(Vec::new());
        }
        pieces.last_mut().expect("there is one").extend_from_slice(line);
    }
    Text::of(pieces.into_iter().map(Piece::new).collect())
}

/// How often each rule stands there, its line included.
fn counted<'r>(rules: impl Iterator<Item = &'r Rule>) -> BTreeMap<String, i64> {
    let mut all = BTreeMap::new();
    rules.for_each(|rule| {
        *all.entry(format!("{:?} {:?} {:?}", rule.name, rule.reach, rule.action)).or_default() += 1
    });
    all
}

fn compare(before: &Parsed, whole: &Parsed, Reread { parts, edits, found, rules }: &Reread) {
    assert_eq!(format!("{parts:?}"), format!("{:?}", whole.parts), "parts");
    assert_eq!(*rules, whole.rule_count(), "rules");
    assert_eq!(found.problems, whole.problems, "problems");
    assert_eq!((&found.skipped, found.refused, found.lines), (&whole.skipped, whole.refused, whole.lines));
    assert_eq!(found.zone, whole.zone);
    let mut all = counted(before.rules.iter());
    for (rule, count) in counted(edits.iter().flat_map(|edit| &edit.gone)) {
        *all.entry(rule).or_default() -= count;
    }
    for (rule, count) in counted(edits.iter().flat_map(|edit| &edit.come)) {
        *all.entry(rule).or_default() += count;
    }
    all.retain(|_, count| *count != 0);
    assert_eq!(all, counted(whole.rules.iter()), "what came and went");
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, text)) = bytes.split_first() else { return };
    let format = FORMATS[usize::from(*choice) % FORMATS.len()];
    let options = Options { subdomains: choice & 0x80 != 0, zone: None };
    // Pieces in pairs: before the change, after it.
    let pieces: Vec<&[u8]> = text.split(|byte| *byte == 0xFF).take(6).collect();
    let [old, new] = [0, 1].map(|side| list(format, pieces.iter().skip(side).step_by(2).copied()));
    let whole = parse(format, "list", &[&new], &options);
    let old = in_pieces(old, choice & 0x40 != 0);
    let pieces: Vec<&[u8]> = old.pieces().map(Piece::bytes).collect();
    let before = parse(format, "list", &pieces, &options);
    let at_once = parse(format, "list", &[&old.bytes()], &options);
    assert_eq!(format!("{before:?}"), format!("{at_once:?}"), "a text reads alike wherever it is cut");
    let new = in_pieces(new, choice & 0x20 != 0).sharing(&old);
    if let Some(read) = reread(format, "list", &options, (&old, &before.parts), &new) {
        compare(&before, &whole, &read);
    }
});
