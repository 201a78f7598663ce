//! Owns `[limits]` and `[cookies]`: what one client may ask, and how it proves its address. Never counts anything.

use crate::dns::Cookies;
use crate::document::Section;
use crate::listen::Limits;
use crate::policy::Prefix;

pub(super) fn limits(section: &mut Section<'_>) -> Limits {
    let mut limits = Limits::default();
    if let Some(queries) = section.integer("queries", 0..10_000_000) {
        limits.queries = queries as u32;
    }
    if let Some(burst) = section.integer("burst", 1..100_000_000) {
        limits.burst = burst as u32;
    }
    if let Some(slip) = section.integer("slip", 0..11) {
        limits.slip = slip as u32;
    }
    let exempt = section.parsed_list::<Prefix>("exempt", "write addresses or prefixes such as \"10.0.0.53\"");
    limits.exempt = exempt.into_iter().flatten().map(|prefix| prefix.value).collect();
    limits
}

/// `secrets`, which all servers of one address share; `None` without.
pub(super) fn cookies(section: &mut Section<'_>) -> Option<Cookies> {
    let mut secrets = Vec::new();
    for secret in section.strings("secrets")? {
        let bytes: Vec<u8> = (0..secret.value.len() / 2)
            .filter_map(|i| u8::from_str_radix(secret.value.get(2 * i..2 * i + 2)?, 16).ok())
            .collect();
        match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) if secret.value.len() == 32 => secrets.push(bytes),
            _ => section.problem(
                secret.place,
                "a secret of cookies has 32 hexadecimal digits",
                "make one with: openssl rand -hex 16",
            ),
        }
    }
    Cookies::new(secrets)
}
