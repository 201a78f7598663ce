//! Owns the fields of a request that strangers write and that are believed only so far: which server it was meant for, which page sent it, its cookies, the
//! languages it asks for. Never looks anything up. Each is read from a head that the listener bounds.

use std::net::IpAddr;

use crate::report::render::Language;

/// Name of the cookie that holds a session's secret.
pub const SESSION: &str = "interdict-session";
/// Name of the cookie that remembers the language.
pub const LANGUAGE: &str = "interdict-language";

/// Which page sent a request (RFC 6454 section 7): browsers say so of all that may change something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Another server's, or one that hides.
    Foreign,
    /// One of this server.
    Own,
    /// Nothing is said.
    #[default]
    Unsaid,
}

/// What the fields of a request say, for whoever tries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whether it was meant for a server without names of its own.
    pub is_ours: bool,
    /// The secret of a session.
    pub session: Option<String>,
    /// The tag of the language it is answered in.
    pub language: &'static str,
}

/// Reads the fields Host, and Cookie and Accept-Language with the same value.
pub fn read(host: &str, value: &str) -> Read {
    Read {
        is_ours: is_ours(host, &[]),
        session: cookie(value, SESSION).map(str::to_owned),
        language: preferred(value, value).tag(),
    }
}

/// Whether the value of Host names this server. A page of somebody else's whose name was made to lead here (DNS rebinding) sends that name; addresses,
/// and names of one label, nobody outside can make lead here.
pub(super) fn is_ours(host: &str, names: &[String]) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    let bare = bare.trim_end_matches('.');
    bare.parse::<IpAddr>().is_ok()
        || !bare.contains('.')
        || names.iter().any(|name| name.eq_ignore_ascii_case(bare))
}

/// Whether the value of Origin is a page of the server that Host names. Whether TLS ends here or at a proxy in front does not matter.
pub(super) fn origin(origin: &str, host: Option<&str>) -> Origin {
    match origin.split_once("://") {
        Some((_, named)) if host.is_some_and(|host| host.eq_ignore_ascii_case(named)) => Origin::Own,
        _ => Origin::Foreign,
    }
}

/// A cookie's value in a field's value (RFC 6265 section 4.2.1).
pub(super) fn cookie<'h>(line: &'h str, name: &str) -> Option<&'h str> {
    line.split(';').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// The language that was chosen before, or the one that is liked most (RFC 9110 section 12.5.4).
pub(super) fn preferred(cookies: &str, asked: &str) -> Language {
    if let Some(chosen) = cookie(cookies, LANGUAGE).and_then(|tag| tag.parse().ok()) {
        return chosen;
    }
    let mut best = (Language::En, 0.0);
    for part in asked.split(',') {
        let mut fields = part.split(';').map(str::trim);
        let tag = fields.next().unwrap_or("").to_ascii_lowercase();
        let weight =
            fields.find_map(|field| field.strip_prefix("q=")).map_or(1.0, |text| text.parse().unwrap_or(0.0));
        let Ok(language) = tag.split('-').next().unwrap_or("").parse::<Language>() else { continue };
        if weight > best.1 {
            best = (language, weight);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_somebody_else_owns_is_not_ours() {
        let names = ["dns.example.gc.ca".to_owned()];
        for (host, ours) in [
            ("127.0.0.1:9153", true),
            ("[::1]:9153", true),
            ("localhost:9153", true),
            ("DNS.example.gc.ca", true),
            ("evil.example:9153", false),
            ("127.0.0.1.evil.example", false),
            ("", true),
        ] {
            assert_eq!(is_ours(host, &names), ours, "{host}");
        }
    }

    #[test]
    fn an_origin_is_own_only_with_the_same_host_and_port() {
        let of = |value: &str| origin(value, Some("127.0.0.1:9153"));
        assert_eq!(of("http://127.0.0.1:9153"), Origin::Own);
        assert_eq!(of("http://127.0.0.1:8080"), Origin::Foreign);
        assert_eq!(of("null"), Origin::Foreign);
        assert_eq!(origin("http://127.0.0.1", None), Origin::Foreign);
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let line = "x-interdict-session=1; interdict-session=2; a=b";
        assert_eq!(cookie(line, SESSION), Some("2"));
        assert_eq!(cookie(line, "interdict"), None);
    }

    #[test]
    fn the_language_is_the_one_chosen_or_the_one_liked_most() {
        for (asked, language) in [
            ("fr-CA,fr;q=0.9,en;q=0.8", Language::Fr),
            ("en;q=0.5,fr;q=0.7", Language::Fr),
            ("de,en;q=0.3", Language::En),
            ("", Language::En),
            ("fr;q=x", Language::En),
        ] {
            assert_eq!(preferred("", asked), language, "{asked}");
        }
        assert_eq!(preferred("interdict-language=fr", "en"), Language::Fr);
    }
}
