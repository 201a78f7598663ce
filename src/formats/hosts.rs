//! Owns the hosts syntax: an address, then names. The address is not used: the policy's action answers.

use std::net::IpAddr;

use super::lines::{Reader, without_comment};
use crate::policy::Reach;

/// Names a machine gives itself; every hosts file has them.
const OWN: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
    "localhost4",
    "localhost6",
];

pub(super) fn parse(reader: &mut Reader<'_>, text: &[&[u8]], subdomains: bool) {
    let reach = if subdomains { Reach::Subtree } else { Reach::Exact };
    reader.each_line(text, |reader, line| {
        // A comment begins anywhere in this syntax.
        let line = line.split('#').next().unwrap_or("").trim();
        if !line.is_empty() {
            entry(reader, line, reach);
        }
    });
}

/// One line; also used for lines of this form in other syntaxes.
pub(super) fn entry(reader: &mut Reader<'_>, line: &str, reach: Reach) {
    let mut words = line.split_whitespace();
    let address = words.next().unwrap_or("");
    // `fe80::1%lo0 localhost` carries a zone.
    let bare = address.split('%').next().unwrap_or(address);
    if bare.parse::<IpAddr>().is_err() {
        reader.refuse(
            line,
            "the line does not begin with an address",
            "a line is `0.0.0.0 name`; for bare names set format = \"domains\"",
        );
        return;
    }
    let mut any = false;
    for name in words {
        any = true;
        if OWN.contains(&name.to_ascii_lowercase().as_str()) {
            reader.skip("the machine's own name");
        } else {
            reader.rule(name, reach, None);
        }
    }
    if !any {
        reader.refuse(line, "no name follows the address", "a line is `0.0.0.0 name`");
    }
}

/// True for a line that begins with an address and a blank.
pub(super) fn looks_like(line: &str) -> bool {
    without_comment(line, &['#']).split_whitespace().next().is_some_and(|word| word.parse::<IpAddr>().is_ok())
}
