//! Owns the audit log as a format: JSON lines, each with its number and the hash of the line before, and the check that
//! finds an edit, a removal or a reordering. Never writes; `recorder` does.
//!
//! The hash of an entry is the SHA-256 of its line without the line end. What a chain cannot show by itself is that its
//! end was cut off or written anew by somebody who may write the file: for that, `verify` takes hashes that were noted
//! elsewhere (status, metrics, a generation's manifest), each of which an untouched log must hold.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::sources::Digest;

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// Who asked: the name of a token, `oidc:` and a name of the provider's, `signal`, `file`, `date`, `start`, or `stranger` without a valid token.
    pub who: String,
    /// What was asked: `start`, `stop`, `reload`, `date`, `rollback`, `pin`, `unpin`, `approve`, `login`, `seal`.
    pub what: String,
    /// How it ended: `published`, `rejected`, `waiting`, `held` and so on.
    pub outcome: String,
    /// The generation in force afterwards, or the one to come into force by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The digest of what that generation decides.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The digest of the law it was made of, whatever the date; what approvers sign.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub law: String,
    /// SHA-256 of the configuration file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub configuration: String,
    /// The reason given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What changed, or what was wrong; one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<String>,
    /// How many like events this one stands for; 0 reads as 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub count: u64,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub sequence: u64,
    /// The hash of the entry before; zeros for the first.
    pub previous: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The end of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the newest entry; 0 when there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: String,
}

/// Something a log must hold if nobody touched it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The hash of one of its entries, or how it begins.
    pub hash: String,
    /// Who says so, for the complaint.
    pub origin: String,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The line, from 1; 0 for the log as a whole.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

/// What a check of a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Entries.
    pub entries: u64,
    /// When the first was written.
    pub first: Option<Timestamp>,
    /// When the last was written.
    pub last: Option<Timestamp>,
    /// The end.
    pub head: Head,
    /// Lines that were cut off by a crash and sealed by the entry after.
    pub sealed: u64,
    /// Digest of a last line that is no entry: cut off by a crash, and not sealed yet.
    pub torn: Option<String>,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
}

/// A sealing entry's `what`. Its first detail is the digest of the line that was cut off.
pub(super) const SEAL: &str = "seal";
/// No line is longer: texts from outside are cut before they are written.
pub(super) const LINE: u64 = 64 << 10;
/// A check names so many faults; an edited log needs no more to be called one.
const FAULTS: usize = 100;

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Default for Head {
    fn default() -> Self {
        Self { sequence: 0, hash: "0".repeat(64) }
    }
}

impl Head {
    /// The first 48 bits of the hash as a number: a gauge holds it exactly.
    pub fn number(&self) -> u64 {
        self.hash.get(..12).and_then(|first| u64::from_str_radix(first, 16).ok()).unwrap_or(0)
    }
}

impl Entry {
    /// The line, without its end, and the head it makes.
    pub(super) fn line(&self) -> io::Result<(Vec<u8>, Head)> {
        let line = serde_json::to_vec(self)?;
        let hash = Digest::of(&line).to_string();
        Ok((line, Head { sequence: self.sequence, hash }))
    }
}

/// Checks a whole log. Fails only when it cannot be read.
pub fn verify(log: impl BufRead, anchors: &[Anchor]) -> io::Result<Verified> {
    let mut check = Check::default();
    let mut unseen: Vec<&Anchor> = anchors.iter().collect();
    let none = Head::default().hash;
    unseen.retain(|anchor| !none.starts_with(&anchor.hash));
    each_line(log, |line| {
        check.line(line);
        unseen.retain(|anchor| !check.found.head.hash.starts_with(&anchor.hash));
    })?;
    check.end();
    for Anchor { hash, origin } in unseen {
        check.fault(0, format!("no entry has the hash {hash}, which {origin} names: the end of the log was cut off or written anew"));
    }
    Ok(check.found)
}

/// The newest entries of a log, at most `most`, oldest first. Lines that are no entries are left out.
pub fn newest(path: &Path, most: usize) -> io::Result<Vec<Entry>> {
    newest_before(path, most, u64::MAX)
}

/// The same of the entries whose number is smaller than `before`.
pub(super) fn newest_before(path: &Path, most: usize, before: u64) -> io::Result<Vec<Entry>> {
    let mut entries = VecDeque::new();
    each_line(BufReader::new(File::open(path)?), |line| {
        if let Some(entry) = serde_json::from_slice::<Entry>(line).ok().filter(|one| one.sequence < before) {
            entries.push_back(entry);
            if entries.len() > most {
                entries.pop_front();
            }
        }
    })?;
    Ok(entries.into())
}

/// Calls `take` with each line, without its end. A line over the cap is handed over in pieces, none of which is an
/// entry.
fn each_line(mut log: impl BufRead, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if log.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        line.pop_if(|last| *last == b'\n');
        take(&line);
    }
}

#[derive(Default)]
struct Check {
    found: Verified,
    line: u64,
    /// A line that is no entry, and its digest: the next entry must seal it.
    odd: Option<(u64, String)>,
}

impl Check {
    fn line(&mut self, line: &[u8]) {
        self.line += 1;
        // A last line that only lacks its end says all it has to say.
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else { return self.odd(line) };
        if let Some((at, digest)) = self.odd.take() {
            if entry.event.what == SEAL && entry.event.detail.first() == Some(&digest) {
                self.found.sealed += 1;
            } else {
                self.fault(at, "not an entry".to_owned());
            }
        }
        let before = self.found.head.clone();
        if entry.sequence != before.sequence + 1 {
            self.fault(
                self.line,
                format!(
                    "entry {} follows entry {}: entries were removed, added or put in another order",
                    entry.sequence, before.sequence
                ),
            );
        } else if entry.previous != before.hash {
            self.fault(
                self.line,
                format!("entry {} does not follow from the line before, which was changed", entry.sequence),
            );
        }
        self.found.entries += 1;
        self.found.first = self.found.first.or(Some(entry.event.time));
        self.found.last = Some(entry.event.time);
        self.found.head = Head { sequence: entry.sequence, hash: Digest::of(line).to_string() };
    }

    fn odd(&mut self, line: &[u8]) {
        if let Some((at, _)) = self.odd.take() {
            self.fault(at, "not an entry".to_owned());
        }
        self.odd = Some((self.line, Digest::of(line).to_string()));
    }

    fn end(&mut self) {
        self.found.torn = self.odd.take().map(|(_, digest)| digest);
    }

    fn fault(&mut self, line: u64, what: String) {
        if self.found.faults.len() < FAULTS {
            self.found.faults.push(Fault { line, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(count: u64) -> Vec<String> {
        let mut head = Head::default();
        (1..=count)
            .map(|number| {
                let event =
                    Event { who: format!("p{number}"), what: "reload".to_owned(), ..Event::default() };
                let entry = Entry { sequence: number, previous: head.hash.clone(), event };
                let (line, next) = entry.line().unwrap();
                head = next;
                String::from_utf8(line).unwrap()
            })
            .collect()
    }

    fn check(lines: &[String], anchors: &[Anchor]) -> Verified {
        verify((lines.join("\n") + "\n").as_bytes(), anchors).unwrap()
    }

    #[test]
    fn every_edit_removal_and_reordering_is_found() {
        let whole = log(6);
        assert_eq!((check(&whole, &[]).entries, check(&whole, &[]).faults), (6, Vec::new()));
        for at in 0..5 {
            let mut edited = whole.clone();
            edited[at] = edited[at].replace(&format!("p{}", at + 1), "nobody");
            assert_eq!(check(&edited, &[]).faults.len(), 1, "edit of line {}", at + 1);
            let mut shorter = whole.clone();
            shorter.remove(at);
            assert!(!check(&shorter, &[]).faults.is_empty(), "removal of line {}", at + 1);
            let mut swapped = whole.clone();
            swapped.swap(at, at + 1);
            assert!(!check(&swapped, &[]).faults.is_empty(), "swap of line {}", at + 1);
            let mut doubled = whole.clone();
            doubled.insert(at, whole[at].clone());
            assert!(!check(&doubled, &[]).faults.is_empty(), "repetition of line {}", at + 1);
            let mut garbage = whole.clone();
            garbage.insert(at, "garbage".to_owned());
            assert!(!check(&garbage, &[]).faults.is_empty(), "garbage before line {}", at + 1);
        }
    }

    #[test]
    fn a_cut_or_rewritten_end_is_found_by_a_hash_noted_elsewhere() {
        let whole = log(6);
        let head = check(&whole, &[]).head;
        let anchor = Anchor { hash: head.hash.get(..12).unwrap().to_owned(), origin: "--head".to_owned() };
        assert!(check(&whole, std::slice::from_ref(&anchor)).faults.is_empty());
        let longer = log(9);
        assert!(check(&longer, std::slice::from_ref(&anchor)).faults.is_empty(), "an older hash stands too");
        assert!(check(&whole[..5], &[]).faults.is_empty(), "by itself the chain cannot tell");
        assert_eq!(check(&whole[..5], std::slice::from_ref(&anchor)).faults.len(), 1);
        let mut edited = whole;
        edited[5] = edited[5].replace("p6", "nobody");
        assert_eq!(check(&edited, &[anchor]).faults.len(), 1);
        assert_eq!(head.number(), u64::from_str_radix(head.hash.get(..12).unwrap(), 16).unwrap());
    }
}
