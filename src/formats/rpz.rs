//! Owns response policy zones written as zone files: query-name triggers and every action. Other triggers are counted and
//! left alone. Never follows `$INCLUDE`.

use super::lines::Reader;
use crate::dns::{Name, RecordType};
use crate::policy::{Action, LocalRecord, Reach};

/// Owners of triggers other than the query name, by their last label.
const OTHER_TRIGGERS: &[(&str, &str)] = &[
    ("rpz-ip", "trigger not supported: response address"),
    ("rpz-client-ip", "trigger not supported: client address"),
    ("rpz-nsdname", "trigger not supported: name server name"),
    ("rpz-nsip", "trigger not supported: name server address"),
];

/// What carries over from line to line.
struct Zone {
    origin: Option<Name>,
    owner: Option<String>,
    /// TTL of records that have none of their own: `$TTL` (RFC 2308 section 4).
    ttl: Option<u32>,
    /// Words of a record that goes on over lines, while a parenthesis is open.
    open: Option<(Vec<String>, bool)>,
}

pub(super) fn parse(reader: &mut Reader<'_>, text: &[u8], zone: Option<&Name>) {
    let mut zone = Zone { origin: zone.cloned(), owner: None, ttl: None, open: None };
    reader.each_line(text, |reader, line| {
        let blank_owner = line.starts_with([' ', '\t']);
        let (words, depth) = match words(line) {
            Ok(words) => words,
            Err(why) => return reader.refuse(line, why, ""),
        };
        let (mut all, blank) = zone.open.take().unwrap_or((Vec::new(), blank_owner));
        let was_open = !all.is_empty() || depth < 0;
        all.extend(words);
        if depth > 0 || (was_open && depth == 0 && !all.is_empty() && !closes(line)) {
            zone.open = Some((all, blank));
        } else if !all.is_empty() {
            record(reader, &mut zone, &all, blank, line);
        }
    });
    if let Some((all, _)) = zone.open {
        reader.refuse(&all.join(" "), "a parenthesis is not closed", "the file may be cut off");
    }
}

fn closes(line: &str) -> bool {
    line.contains(')')
}

/// The words of a line without comment, quotes and parentheses, and how many more parentheses open than close.
fn words(line: &str) -> Result<(Vec<String>, i32), &'static str> {
    let (mut words, mut word, mut depth) = (Vec::new(), None::<String>, 0);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ';' => break,
            '(' => depth += 1,
            ')' => depth -= 1,
            '"' => {
                let text = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        None => return Err("a quotation mark is not closed"),
                        Some('"') => break,
                        Some('\\') => text.extend(characters.next()),
                        Some(other) => text.push(other),
                    }
                }
            }
            blank if blank.is_whitespace() => words.extend(word.take()),
            '\\' => {
                let text = word.get_or_insert_default();
                text.push('\\');
                text.extend(characters.next());
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok((words, depth))
}

fn record(reader: &mut Reader<'_>, zone: &mut Zone, words: &[String], blank: bool, line: &str) {
    let mut words = words.iter().map(String::as_str);
    let mut word = words.next().unwrap_or("");
    match word {
        "$TTL" => {
            zone.ttl = words.next().and_then(seconds);
            reader.zone_head().ttl = zone.ttl;
            return;
        }
        "$ORIGIN" => {
            match words.next().map(str::parse) {
                Some(Ok(origin)) => zone.origin = Some(origin),
                _ => reader.refuse(line, "$ORIGIN needs a name", "write `$ORIGIN zone.`"),
            }
            return;
        }
        _ if word.starts_with('$') => {
            return reader.refuse(line, "this directive is not supported", "write the zone into one file");
        }
        _ => {}
    }
    if !blank {
        zone.owner = Some(word.to_owned());
        word = words.next().unwrap_or("");
    }
    // TTL and class come in either order, both optional.
    let mut ttl = None;
    for _ in 0..2 {
        if let Some(seconds) = seconds(word) {
            ttl = Some(seconds);
        } else if !matches!(word, "IN" | "in") {
            break;
        }
        word = words.next().unwrap_or("");
    }
    let rdata: Vec<&str> = words.collect();
    let Some(owner) = zone.owner.clone() else {
        return reader.refuse(line, "the record has no owner", "the first record of a zone needs one");
    };
    match word.to_ascii_uppercase().as_str() {
        "SOA" => {
            reader.zone_head().serial = rdata.get(2).and_then(|serial| serial.parse().ok());
            if zone.origin.is_none() && owner.ends_with('.') {
                zone.origin = owner.parse().ok();
            }
        }
        "NS" if owner == "@" || blank => {}
        kind => trigger(reader, zone, &owner, kind, ttl.or(zone.ttl), &rdata, line),
    }
}

/// A TTL: digits, or digits with units such as `1h30m`.
fn seconds(word: &str) -> Option<u32> {
    if !word.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (mut total, mut number) = (0u32, 0u32);
    for character in word.chars() {
        match (character.to_digit(10), character.to_ascii_lowercase()) {
            (Some(digit), _) => number = number.checked_mul(10)?.checked_add(digit)?,
            (None, unit) => {
                let unit = match unit {
                    's' => 1,
                    'm' => 60,
                    'h' => 3600,
                    'd' => 86_400,
                    'w' => 604_800,
                    _ => return None,
                };
                total = total.checked_add(number.checked_mul(unit)?)?;
                number = 0;
            }
        }
    }
    total.checked_add(number)
}

fn trigger(
    reader: &mut Reader<'_>,
    zone: &Zone,
    owner: &str,
    kind: &str,
    ttl: Option<u32>,
    rdata: &[&str],
    line: &str,
) {
    let relative = match relative(owner, zone.origin.as_ref()) {
        Some(relative) => relative,
        None => {
            return reader.refuse(
                owner,
                "the owner is not inside the zone",
                "write it relative to the zone, without a final dot",
            );
        }
    };
    let (name, reach) = match relative.strip_prefix("*.") {
        Some(name) => (name, Reach::Below),
        None if relative == "*" => {
            return reader.refuse(owner, "the rule would meet every name", "name a domain");
        }
        None => (relative.as_str(), Reach::Exact),
    };
    if let Some((_, reason)) =
        OTHER_TRIGGERS.iter().find(|(label, _)| name.rsplit('.').next() == Some(*label))
    {
        return reader.skip(reason);
    }
    let target = rdata.first().copied().unwrap_or("");
    let action = match kind {
        "CNAME" => match cname(target, name) {
            Ok(action) => action,
            Err((why, hint)) => return reader.refuse(line, why, hint),
        },
        "A" | "AAAA" | "TXT" | "MX" => match local(kind, ttl, rdata) {
            Some(record) => Action::Local(vec![record]),
            None => return reader.refuse(line, "the record's value does not parse", ""),
        },
        _ if kind.parse::<RecordType>().is_ok() => {
            return reader.skip("record type without local data support");
        }
        _ => return reader.refuse(line, "not a zone file record", "a record is `name CNAME .`"),
    };
    let parsed = name.parse::<Name>();
    // Several local records of one owner are one rule.
    if let (Action::Local(new), Ok(parsed), Some(last)) = (&action, &parsed, reader.rules().last_mut())
        && last.name == *parsed
        && last.reach == reach
        && let Some(Action::Local(records)) = &mut last.action
    {
        records.extend(new.iter().cloned());
        return;
    }
    match parsed {
        Ok(name) => reader.add(name, reach, Some(action)),
        Err(error) => reader.refuse(name, &error.to_string(), ""),
    }
}

/// The owner relative to the origin, as text. `None` when it is absolute and elsewhere.
fn relative(owner: &str, origin: Option<&Name>) -> Option<String> {
    let Some(absolute) = owner.strip_suffix('.') else { return Some(owner.to_owned()) };
    let Some(origin) = origin.filter(|origin| origin.label_count() > 0) else {
        return Some(absolute.to_owned());
    };
    let lower = absolute.to_ascii_lowercase();
    lower.strip_suffix(&origin.to_string()).and_then(|rest| rest.strip_suffix('.')).map(str::to_owned)
}

fn cname(target: &str, owner: &str) -> Result<Action, (&'static str, &'static str)> {
    Ok(match target.to_ascii_lowercase().as_str() {
        "" => return Err(("CNAME needs a target", "write `name CNAME .`")),
        "." => Action::Nxdomain,
        "*." => Action::Nodata,
        "rpz-passthru." => Action::Passthru,
        "rpz-drop." => Action::Drop,
        "rpz-tcp-only." => Action::TcpOnly,
        text if text.starts_with("rpz-") => {
            return Err((
                "not an action",
                "actions are rpz-passthru., rpz-drop. and rpz-tcp-only., with the final dot",
            ));
        }
        text if text.starts_with("*.") => {
            return Err(("a wildcard target is not supported", "name one target"));
        }
        // The old way to write passthru.
        text if text.trim_end_matches('.') == owner.to_ascii_lowercase() => Action::Passthru,
        text => Action::Redirect(text.parse().map_err(|_| ("the target is not a domain name", ""))?),
    })
}

fn local(kind: &str, ttl: Option<u32>, rdata: &[&str]) -> Option<LocalRecord> {
    let first = *rdata.first()?;
    Some(match kind {
        "A" => LocalRecord::ipv4(first.parse().ok()?, ttl),
        "AAAA" => LocalRecord::ipv6(first.parse().ok()?, ttl),
        "MX" => {
            let mut wire = first.parse::<u16>().ok()?.to_be_bytes().to_vec();
            wire.extend_from_slice(rdata.get(1)?.parse::<Name>().ok()?.as_wire());
            LocalRecord { record_type: RecordType::MX, ttl, rdata: wire.into() }
        }
        _ => {
            let mut wire = Vec::new();
            for text in rdata {
                wire.push(u8::try_from(text.len()).ok()?);
                wire.extend_from_slice(text.as_bytes());
            }
            LocalRecord { record_type: RecordType::TXT, ttl, rdata: wire.into() }
        }
    })
}
