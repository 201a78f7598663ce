//! Owns the reading of `[[local]]`: the operator's own records. Never answers a question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::value::Span;
use crate::dns::{Name, RecordType};
use crate::document::{Located, Section};
use crate::policy::{LocalName, LocalNames, LocalRecord, reverse_name};

/// Five minutes: a change reaches everybody while somebody waits for it, and a name that is asked for all day is asked for seldom.
const TTL: u32 = 300;
/// A week, as for any record (RFC 8767 section 4 says why not more).
const LONGEST_TTL: u32 = 604_800;

/// RDATA as it is written in the configuration.
struct Service(Vec<u8>);
struct Exchange(Vec<u8>);

impl FromStr for Service {
    type Err = String;

    /// `priority weight port target` (RFC 2782).
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [priority, weight, port, target] = words.as_slice() else {
            return Err("not four words".to_owned());
        };
        let mut rdata = Vec::new();
        for number in [priority, weight, port] {
            rdata.extend(
                number
                    .parse::<u16>()
                    .map_err(|_| format!("`{number}` is not a number up to 65535"))?
                    .to_be_bytes(),
            );
        }
        rdata.extend(target.parse::<Name>().map_err(|error| error.to_string())?.as_wire());
        Ok(Self(rdata))
    }
}

impl FromStr for Exchange {
    type Err = String;

    /// `preference exchange` (RFC 1035 section 3.3.9).
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((preference, exchange)) = text.trim().split_once(char::is_whitespace) else {
            return Err("not two words".to_owned());
        };
        let preference: u16 =
            preference.parse().map_err(|_| format!("`{preference}` is not a number up to 65535"))?;
        let exchange: Name =
            exchange.trim().parse().map_err(|error: crate::dns::NameError| error.to_string())?;
        Ok(Self([&preference.to_be_bytes()[..], exchange.as_wire()].concat()))
    }
}

/// RDATA of TXT: strings of at most 255 bytes (RFC 1035 section 3.3.14).
fn text(text: &str) -> Vec<u8> {
    let mut rdata = Vec::new();
    for piece in text.as_bytes().chunks(255) {
        rdata.push(piece.len() as u8);
        rdata.extend_from_slice(piece);
    }
    if rdata.is_empty() { vec![0] } else { rdata }
}

/// All of `[[local]]`.
pub(super) fn read(top: &mut Section<'_>) -> LocalNames {
    let mut written = Vec::new();
    let mut sections = top.sections("local");
    for section in &mut sections {
        one(section, &mut written);
    }
    LocalNames::new(written).unwrap_or_else(|problems| {
        for problem in problems {
            top.problem(problem.place, problem.what, problem.hint);
        }
        LocalNames::default()
    })
}

fn one(section: &mut Section<'_>, written: &mut Vec<LocalName>) {
    const NAME: &str = "write a domain name such as \"printer.corp.example\", or \"*.apps.corp.example\"";
    let place = section.place();
    section.required("name");
    let name = section.parsed::<Name>("name", NAME);
    let ttl = section.parsed::<Span>("ttl", "write a duration such as \"5m\"");
    let ttl = ttl.map_or(TTL, |ttl| ttl.value.0.as_secs().min(LONGEST_TTL.into()) as u32);
    let reverse = section.boolean("reverse").unwrap_or(true);
    let mut records = Vec::new();
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut add = |record_type, rdata: Vec<u8>| {
        records.push(LocalRecord { record_type, ttl: Some(ttl), rdata: rdata.into() });
    };
    for address in all::<Ipv4Addr>(section, "a", "write IPv4 addresses") {
        addresses.push(address.into());
        add(RecordType::A, address.octets().to_vec());
    }
    for address in all::<Ipv6Addr>(section, "aaaa", "write IPv6 addresses") {
        addresses.push(address.into());
        add(RecordType::AAAA, address.octets().to_vec());
    }
    for string in section.strings("txt").unwrap_or_default() {
        add(RecordType::TXT, text(&string.value));
    }
    for Service(rdata) in
        all(section, "srv", "write \"priority weight port target\", such as \"0 5 443 www.corp.example\"")
    {
        add(RecordType(33), rdata);
    }
    for Exchange(rdata) in all(section, "mx", "write \"preference server\", such as \"10 mail.corp.example\"")
    {
        add(RecordType::MX, rdata);
    }
    if let Some(target) = section.parsed::<Name>("ptr", "write a domain name") {
        add(RecordType::PTR, target.value.as_wire().to_vec());
    }
    let alias = section.parsed::<Name>("cname", "write a domain name").map(|target| (target.value, ttl));
    let Some(Located { value: name, .. }) = name else { return };
    if alias.is_some() && !records.is_empty() {
        let what = format!("`{name}` is an alias and has other records");
        return section.problem(place, what, "an alias has no other records (RFC 1034 section 3.6.2)");
    }
    let has_any = ["a", "aaaa", "txt", "srv", "mx", "ptr", "cname"].iter().any(|key| section.has(key));
    if alias.is_none() && records.is_empty() {
        // What is there was complained of already.
        if has_any {
            return;
        }
        let what = format!("`{name}` has no records");
        return section.problem(place, what, "write at least one of a, aaaa, txt, srv, mx, ptr, cname");
    }
    if reverse && !name.as_wire().starts_with(b"\x01*") {
        for owner in addresses.into_iter().filter_map(reverse_name) {
            let records = vec![LocalRecord::pointer(&name, ttl)];
            written.push(LocalName {
                name: owner,
                records,
                alias: None,
                follows: true,
                place: place.clone(),
            });
        }
    }
    written.push(LocalName { name, records, alias, follows: false, place });
}

fn all<T: FromStr<Err: std::fmt::Display>>(
    section: &mut Section<'_>,
    key: &'static str,
    hint: &str,
) -> Vec<T> {
    section.parsed_list::<T>(key, hint).unwrap_or_default().into_iter().map(|found| found.value).collect()
}
