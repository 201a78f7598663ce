//! Owns the domains syntax: one name a line. `name` is that name, `*.name` and `.name` the name and all below it, as
//! wildcard lists mean it.

use super::lines::{Reader, without_comment};
use crate::policy::Reach;

pub(super) fn parse(reader: &mut Reader<'_>, text: &[&[u8]], subdomains: bool) {
    let plain = if subdomains { Reach::Subtree } else { Reach::Exact };
    reader.each_line(text, |reader, line| {
        let line = without_comment(line, &['#', '!', ';']);
        if line.is_empty() {
            return;
        }
        match line.strip_prefix("*.").or_else(|| line.strip_prefix('.')) {
            Some(name) => reader.rule(name, Reach::Subtree, None),
            None => reader.rule(line, plain, None),
        }
    });
}
