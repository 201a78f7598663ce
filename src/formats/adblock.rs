//! Owns the part of the adblock syntax that names hosts: `||name^`, `@@||name^`, `|name^`, `name`. What needs a browser
//! (paths, elements, wildcards, most modifiers) is counted and left alone.

use super::hosts;
use super::lines::Reader;
use crate::policy::{Action, Reach};

pub(super) fn parse(reader: &mut Reader<'_>, text: &[&[u8]]) {
    reader.each_line(text, |reader, line| {
        let line = line.trim();
        let comment = line.starts_with('!') || line.starts_with('[') || line.starts_with("# ") || line == "#";
        if !line.is_empty() && !comment {
            rule(reader, line);
        }
    });
}

fn rule(reader: &mut Reader<'_>, line: &str) {
    if ["##", "#@#", "#?#", "#$#", "#%#", "$$", "$@$"].iter().any(|mark| line.contains(mark)) {
        return reader.skip("hides parts of a page");
    }
    if line.starts_with('#') {
        return;
    }
    if hosts::looks_like(line) {
        let line = line.split('#').next().unwrap_or("").trim();
        return hosts::entry(reader, line, Reach::Exact);
    }
    let (body, action) = match line.strip_prefix("@@") {
        Some(body) => (body, Some(Action::Passthru)),
        None => (line, None),
    };
    if body.starts_with('/') {
        return reader.skip("a regular expression");
    }
    let (pattern, modifiers) = match body.split_once('$') {
        Some((pattern, modifiers)) => (pattern, modifiers),
        None => (body, ""),
    };
    if modifiers.split(',').any(|modifier| !matches!(modifier, "" | "important" | "all" | "document" | "doc"))
    {
        return reader.skip("a modifier that needs a browser or a client filter");
    }
    let (name, anchored) = match pattern.strip_prefix("||") {
        Some(rest) => (rest, Reach::Subtree),
        None => (pattern.strip_prefix('|').unwrap_or(pattern), Reach::Exact),
    };
    let name = name.strip_suffix('|').unwrap_or(name);
    let name = name.strip_suffix('^').unwrap_or(name);
    if name.contains('/') || name.contains(':') {
        return reader.skip("a path or an address, not a name");
    }
    match name.strip_prefix("*.") {
        Some(rest) if !rest.contains('*') => reader.rule(rest, Reach::Below, action),
        _ if name.contains('*') => reader.skip("a wildcard inside a name"),
        _ => reader.rule(name, anchored, action),
    }
}
