//! Owns response policy zones written as zone files: triggers by query name, by addresses of clients, answers and name servers, by names of
//! name servers, and every action. Never follows `$INCLUDE`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::lines::Reader;
use super::prefix;
use crate::dns::{Name, RecordType};
use crate::policy::{Action, LocalRecord, Reach, Whose};

/// What an owner says is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Address(Whose),
    NameServer,
    QueryName,
}

/// The last labels of owners that are no query names.
const TRIGGERS: &[(&str, Trigger)] = &[
    ("rpz-ip", Trigger::Address(Whose::Answer)),
    ("rpz-client-ip", Trigger::Address(Whose::Client)),
    ("rpz-nsdname", Trigger::NameServer),
    ("rpz-nsip", Trigger::Address(Whose::NameServer)),
];

pub(super) fn parse(reader: &mut Reader<'_>, text: &[&[u8]], zone: Option<&Name>) {
    if reader.carried.origin.is_none() {
        reader.carried.origin = zone.cloned();
    }
    // Words of a record that goes on over lines, while a parenthesis is open, and whether it names no owner.
    let mut open: Option<(Vec<String>, bool)> = None;
    reader.each_line(text, |reader, line| {
        let blank_owner = line.starts_with([' ', '\t']);
        let (words, depth) = match words(line) {
            Ok(words) => words,
            Err(why) => return reader.refuse(line, why, ""),
        };
        reader.stands_alone = open.is_none() && !blank_owner;
        let (mut all, blank) = open.take().unwrap_or((Vec::new(), blank_owner));
        let was_open = !all.is_empty() || depth < 0;
        all.extend(words);
        if depth > 0 || (was_open && depth == 0 && !all.is_empty() && !closes(line)) {
            open = Some((all, blank));
        } else if !all.is_empty() {
            record(reader, &all, blank, line);
        }
    });
    if let Some((all, _)) = open {
        reader.is_unfinished = true;
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

fn record(reader: &mut Reader<'_>, words: &[String], blank: bool, line: &str) {
    let mut words = words.iter().map(String::as_str);
    let mut word = words.next().unwrap_or("");
    match word {
        "$TTL" => {
            reader.carried.ttl = words.next().and_then(seconds);
            reader.zone_head().ttl = reader.carried.ttl;
            return;
        }
        "$ORIGIN" => {
            match words.next().map(str::parse) {
                Some(Ok(origin)) => reader.carried.origin = Some(origin),
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
        reader.carried.owner = Some(word.to_owned());
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
    let Some(owner) = reader.carried.owner.clone() else {
        return reader.refuse(line, "the record has no owner", "the first record of a zone needs one");
    };
    match word.to_ascii_uppercase().as_str() {
        "SOA" => {
            reader.zone_head().serial = rdata.get(2).and_then(|serial| serial.parse().ok());
            if reader.carried.origin.is_none() && owner.ends_with('.') {
                reader.carried.origin = owner.parse().ok();
            }
        }
        "NS" if owner == "@" || blank => {}
        kind => trigger(reader, &owner, kind, ttl.or(reader.carried.ttl), &rdata, line),
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

fn trigger(reader: &mut Reader<'_>, owner: &str, kind: &str, ttl: Option<u32>, rdata: &[&str], line: &str) {
    let relative = match relative(owner, reader.carried.origin.as_ref()) {
        Some(relative) => relative,
        None => {
            return reader.refuse(
                owner,
                "the owner is not inside the zone",
                "write it relative to the zone, without a final dot",
            );
        }
    };
    let (front, last) = relative.rsplit_once('.').unwrap_or(("", &relative));
    let known = TRIGGERS.iter().find(|(label, _)| last.eq_ignore_ascii_case(label));
    let met = known.map_or(Trigger::QueryName, |(_, met)| *met);
    let named = if met == Trigger::QueryName { relative.as_str() } else { front };
    let (name, reach) = match (named.strip_prefix("*."), met) {
        (_, Trigger::Address(_)) => (named, Reach::Exact),
        (None, _) if matches!(named, "" | "*") => {
            return reader.refuse(owner, "the rule would meet every name", "name a domain");
        }
        (Some(name), Trigger::QueryName) => (name, Reach::Below),
        (Some(name), Trigger::NameServer) => (name, Reach::NameServersBelow),
        (None, Trigger::QueryName) => (named, Reach::Exact),
        (None, Trigger::NameServer) => (named, Reach::NameServer),
    };
    let target = rdata.first().copied().unwrap_or("");
    let action = match kind {
        "CNAME" => match cname(target, name) {
            Ok(action) => action,
            Err((why, hint)) => return reader.refuse(line, why, hint),
        },
        _ => match local(kind, ttl, rdata) {
            Ok(Some(record)) => Action::Local(vec![record]),
            Ok(None) => return reader.skip("record type without local data support"),
            Err((why, hint)) => return reader.refuse(line, why, hint),
        },
    };
    if let Trigger::Address(whose) = met {
        let prefix = match prefix::read(name) {
            Ok(prefix) => prefix,
            Err(why) => {
                return reader.refuse(
                    owner,
                    why,
                    "write it as `24.0.2.0.192.rpz-ip` or `48.zz.db8.2001.rpz-ip`",
                );
            }
        };
        let last = reader.addresses().last_mut();
        let last = last.filter(|last| last.whose == whose && last.prefix == prefix);
        if !joined(last.map(|last| &mut last.action), &action) {
            reader.add_address(whose, prefix, action);
        }
        return;
    }
    match name.parse::<Name>() {
        Ok(name) => {
            let last = reader.rules().last_mut().filter(|last| last.name == name && last.reach == reach);
            if !joined(last.and_then(|last| last.action.as_deref_mut()), &action) {
                reader.add(name, reach, Some(action));
            }
        }
        Err(error) => reader.refuse(name, &error.to_string(), ""),
    }
}

/// Several local records of one owner are one rule: adds those of `more` to the owner's, and says whether both are such.
fn joined(records: Option<&mut Action>, more: &Action) -> bool {
    match (records, more) {
        (Some(Action::Local(records)), Action::Local(more)) => {
            records.extend(more.iter().cloned());
            true
        }
        _ => false,
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
        // The old way to write passthru.
        text if text.trim_end_matches('.') == owner.to_ascii_lowercase() => Action::Passthru,
        text => Action::Redirect(text.parse().map_err(|_| ("the target is not a domain name", ""))?),
    })
}

/// A record of the zone's own; `None` for a type that is not kept.
fn local(
    kind: &str,
    ttl: Option<u32>,
    rdata: &[&str],
) -> Result<Option<LocalRecord>, (&'static str, &'static str)> {
    let Ok(record_type) = kind.parse::<RecordType>() else {
        return Err(("not a zone file record", "a record is `name CNAME .`"));
    };
    let wire = match (record_type, rdata) {
        // RFC 3597 section 5: any type's RDATA as bytes.
        (_, [r"\#", length, bytes @ ..]) => unknown(length, bytes),
        (RecordType::A, [address, ..]) => address.parse::<Ipv4Addr>().ok().map(|a| a.octets().to_vec()),
        (RecordType::AAAA, [address, ..]) => address.parse::<Ipv6Addr>().ok().map(|a| a.octets().to_vec()),
        (RecordType::MX, [preference, name, ..]) => numbers_and_name(&[preference], name),
        (RecordType::PTR, [name, ..]) => numbers_and_name(&[], name),
        (RecordType::SRV, [priority, weight, port, name, ..]) => {
            numbers_and_name(&[priority, weight, port], name)
        }
        (RecordType::TXT, texts @ [_, ..]) => text(texts),
        (
            RecordType::A
            | RecordType::AAAA
            | RecordType::MX
            | RecordType::PTR
            | RecordType::SRV
            | RecordType::TXT,
            _,
        ) => None,
        _ => return Ok(None),
    };
    let rdata = wire.ok_or(("the record's value does not parse", ""))?.into();
    Ok(Some(LocalRecord { record_type, ttl, rdata }))
}

fn numbers_and_name(numbers: &[&str], name: &str) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    for number in numbers {
        wire.extend(number.parse::<u16>().ok()?.to_be_bytes());
    }
    wire.extend_from_slice(name.parse::<Name>().ok()?.as_wire());
    Some(wire)
}

fn text(texts: &[&str]) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    for text in texts {
        wire.push(u8::try_from(text.len()).ok()?);
        wire.extend_from_slice(text.as_bytes());
    }
    Some(wire)
}

fn unknown(length: &str, words: &[&str]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = words.iter().flat_map(|word| word.bytes()).collect();
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let pairs = digits.as_chunks::<2>().0.iter();
    let wire: Vec<u8> =
        pairs.map(|[high, low]| Some((digit(high)? << 4 | digit(low)?) as u8)).collect::<Option<_>>()?;
    (length.parse() == Ok(wire.len()) && digits.len() == 2 * wire.len()).then_some(wire)
}
