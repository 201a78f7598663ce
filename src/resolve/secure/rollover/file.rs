//! Owns the text of the file that keys are kept in between runs: lines of a zone file, which may themselves be configured as trust
//! anchors, each with its state in a comment. Never touches a disk.

use std::time::Duration;

use jiff::Timestamp;

use super::key::Key;
use super::states::{Anchor, State, Trust};

const HEAD: &str = "; The root's keys and how far each is trusted (RFC 5011). interdict writes this file; without it, trust starts at\n\
                    ; what is configured.\n";
/// Where the last check stands.
const CHECKED: &str = "; checked=";
/// Behind the last key, so that a file that was cut is noticed.
const END: &str = "; end\n";

pub(super) fn write(trust: &Trust) -> String {
    let mut out = HEAD.to_owned();
    if let Some(checked) = trust.checked {
        out += &format!("{CHECKED}{checked}\n");
    }
    for Anchor { key, state, since, seen, aged, is_configured } in &trust.anchors {
        let seen = seen.map_or(String::new(), |seen| format!(" seen={seen}"));
        let from = if *is_configured { "configuration" } else { "root" };
        let (line, state, aged) = (key.line(), state.word(), aged.as_secs());
        out += &format!("{line} ; state={state} since={since}{seen} aged={aged} from={from}\n");
    }
    out + END
}

/// The keys in such a text; `None` where it is not whole, or something else.
pub(super) fn read(text: &str) -> Option<Trust> {
    let body = text.strip_suffix(END)?;
    let mut trust = Trust::default();
    for line in body.lines() {
        if let Some(checked) = line.strip_prefix(CHECKED) {
            trust.checked = Some(checked.parse().ok()?);
        } else if !line.starts_with(';') && !line.trim().is_empty() {
            trust.anchors.push(anchor(line)?);
        }
    }
    (!trust.anchors.is_empty()).then_some(trust)
}

/// Such a text as it is written again once it was read; `None` where it is not one.
pub fn rewritten(text: &str) -> Option<String> {
    read(text).map(|trust| write(&trust))
}

fn anchor(line: &str) -> Option<Anchor> {
    let (record, words) = line.split_once(';')?;
    let word =
        |key: &str| words.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let state = word("state")?;
    Some(Anchor {
        key: Key::read(record)?,
        state: State::ALL.into_iter().find(|known| known.word() == state)?,
        since: word("since")?.parse().ok()?,
        seen: word("seen").map(str::parse::<Timestamp>).transpose().ok()?,
        aged: Duration::from_secs(word("aged")?.parse().ok()?),
        is_configured: match word("from")? {
            "configuration" => true,
            "root" => false,
            _ => return None,
        },
    })
}
