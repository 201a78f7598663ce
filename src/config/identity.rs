//! Owns the keys by which a group's clients are known beside their addresses. Never looks at a certificate.

use crate::dns::Name;
use crate::document::{Located, Section};
use crate::policy::Identity;

/// `certificates`, `users`, `paths` and `server_names` of a group.
pub(super) fn identities(section: &mut Section<'_>) -> Vec<Identity> {
    let mut identities = Vec::new();
    for Located { value, place } in section.strings("certificates").unwrap_or_default() {
        if value.is_empty() || value.strip_prefix('*').is_some_and(|rest| !rest.starts_with('.')) {
            let hint = "write a name as on the certificate, such as \"laptop-7.example\", or \"*.example\"";
            section.problem(place, format!("`{value}` names no certificate"), hint);
        } else {
            identities.push(Identity::certificate(value));
        }
    }
    for Located { value, place } in section.strings("users").unwrap_or_default() {
        if value.is_empty() || value.contains(':') || value.chars().any(char::is_control) {
            let hint = "write a name as in the file that `users` of a [[proxy]] names, such as \"ada\"";
            section.problem(place, format!("`{value}` is not the name of a user"), hint);
        } else {
            identities.push(Identity::user(value));
        }
    }
    for Located { value, place } in section.strings("paths").unwrap_or_default() {
        if value.starts_with('/') && !value.contains(['?', '#', ' ', '{']) {
            identities.push(Identity::path(value));
        } else {
            let hint = "write a path such as \"/dns-query/mobile\", without its template";
            section.problem(place, format!("`{value}` is not the path of a URI"), hint);
        }
    }
    for Located { value, place } in section.strings("server_names").unwrap_or_default() {
        let (star, name) = value.strip_prefix("*.").map_or(("", value.as_str()), |name| ("*.", name));
        match name.parse::<Name>() {
            Ok(name) => {
                let name = name.to_string().to_ascii_lowercase();
                identities.push(Identity::server_name(format!("{star}{}", name.trim_end_matches('.'))));
            }
            Err(_) => {
                let hint = "write a name such as \"mobile.dns.example\", or \"*.dns.example\"";
                section.problem(place, format!("`{value}` is not a server's name"), hint);
            }
        }
    }
    identities
}
