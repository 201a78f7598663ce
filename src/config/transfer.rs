//! Owns the keys of zone transfers: `[[policy.tsig]]`, and what a source says about its primary. Never reads a secret's file
//! and never connects.

use super::source::Way;
use crate::dns::Name;
use crate::dns::tsig::{Algorithm, Key};
use crate::document::{Located, Section, nearest};
use crate::formats::Format;
use crate::sources::{Origin, Secret, TIMEOUT, Transfer, TsigKey, ZoneAddress, ZoneAddressError};

const PLACE: &str = "write the primary and the zone, such as \"axfr://192.0.2.53/rpz.example\"";

/// Every `[[policy.tsig]]`.
pub(super) fn keys(policy: &mut Section<'_>) -> Vec<TsigKey> {
    let mut keys: Vec<TsigKey> = Vec::new();
    for mut section in policy.sections("tsig") {
        let place = section.place();
        let Some(key) = key(&mut section) else { continue };
        if keys.iter().any(|other| other.name == key.name) {
            let what = format!("two keys are named `{}`", key.name);
            section.problem(place, what, "give each a name of its own; both ends must use the same");
        }
        keys.push(key);
    }
    keys
}

fn key(section: &mut Section<'_>) -> Option<TsigKey> {
    const ALGORITHMS: &str = "use one of hmac-sha256, hmac-sha384, hmac-sha512";
    section.required("name");
    let name = section.parsed::<Name>("name", "write the name that both ends give it");
    let algorithm = section.parsed::<Algorithm>("algorithm", ALGORITHMS);
    let secret = section.string("secret");
    let file = section.string("secret_file");
    if section.has("algorithm") && algorithm.is_none() {
        return None;
    }
    let (name, algorithm) =
        (name?.value, algorithm.map_or(Algorithm::HmacSha256, |algorithm| algorithm.value));
    let secret = match (secret, file) {
        (Some(secret), None) => match Key::from_base64(name.clone(), algorithm, &secret.value) {
            Ok(key) => Secret::Given(key),
            Err(why) => {
                // Without repeating it.
                let hint = "paste the secret in base64, as tsig-keygen shows it";
                section.problem(secret.place, format!("`secret` is {why}"), hint);
                return None;
            }
        },
        (None, Some(file)) => Secret::File(file.value.into()),
        _ if !section.has("secret") && !section.has("secret_file") => {
            let hint = "set `secret_file` to a file that holds it, or `secret` to the secret itself";
            section.problem(section.place(), "[[policy.tsig]] has no secret", hint);
            return None;
        }
        (Some(_), Some(file)) => {
            section.problem(file.place, "`secret` and `secret_file` are both set", "take one of them out");
            return None;
        }
        // Of another type, which was complained of.
        (None, None) => return None,
    };
    Some(TsigKey { name, algorithm, secret })
}

/// The key that a source names.
pub(super) fn named(section: &mut Section<'_>, keys: &[TsigKey]) -> Option<TsigKey> {
    let named = section.parsed::<Name>("tsig", "write the `name` of a [[policy.tsig]]")?;
    let found = keys.iter().find(|key| key.name == named.value);
    if found.is_none() {
        let names: Vec<String> = keys.iter().map(|key| key.name.to_string()).collect();
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = match nearest(&named.value.to_string(), &known) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "add a [[policy.tsig]] with that name".to_owned(),
        };
        section.problem(named.place, format!("there is no TSIG key `{}`", named.value), hint);
    }
    found.cloned()
}

/// A zone on its primary.
pub(super) fn origin(
    way: Way,
    section: &Section<'_>,
    from: &Located<String>,
    format: Option<Format>,
) -> Option<Origin> {
    way.check_spans(section);
    for (key, hint) in [
        ("key", "take it out; `tsig` names the key that transfers are signed with"),
        ("signature", "take it out; `tsig` names the key that transfers are signed with"),
        ("proxy", "take it out; a zone comes over TCP or TLS, which no such proxy leads through"),
        ("zone", "take it out; the zone stands in `from`"),
    ] {
        if section.has(key) {
            let what = format!("`{key}` says nothing about a zone transfer");
            section.problem(section.place(), what, hint);
        }
    }
    if format.is_some_and(|format| format != Format::Rpz) {
        let what = "a zone that is transferred is a response policy zone";
        section.problem(section.place(), what, "set format = \"rpz\"");
    }
    let address = address(section, from)?;
    if section.has("ca") && !address.tls {
        let hint = "write axfrs:// if the primary speaks TLS, or take `ca` out";
        section.problem(section.place(), "`ca` says nothing about a way that is not encrypted", hint);
    }
    let is_local = address.ip().is_some_and(|ip| ip.is_loopback());
    if !address.tls && !section.has("tsig") && !is_local {
        section.warning(
            from.place.clone(),
            format!("`{address}` is neither encrypted nor signed: anybody on the way could change it"),
            "sign it with `tsig`, or write axfrs:// if the primary speaks TLS",
        );
    }
    Some(Origin::Zone(Transfer {
        address,
        key: way.tsig,
        refresh: way.refresh.map(|span| span.value.0),
        timeout: way.timeout.map_or(TIMEOUT, |span| span.value.0),
        ca: way.ca.map(|ca| ca.value.into()),
    }))
}

fn address(section: &Section<'_>, from: &Located<String>) -> Option<ZoneAddress> {
    let error = match from.value.parse::<ZoneAddress>() {
        Ok(address) => return Some(address),
        Err(error) => error,
    };
    let hint = match error {
        ZoneAddressError::Credentials => "take it out; `tsig` names the key that transfers are signed with",
        ZoneAddressError::Host | ZoneAddressError::Scheme | ZoneAddressError::Zone => PLACE,
    };
    section.problem(from.place.clone(), format!("this is no address of a zone: {error}"), hint);
    None
}
