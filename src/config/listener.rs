//! Owns `[[listener]]` and `[tls]`: where questions are taken, over what, within which limits. Never opens a socket.

use std::net::SocketAddr;
use std::time::Duration;

use super::value::Span;
use crate::dns::Name;
use crate::document::Section;
use crate::listen::{self, Announcement, Listener, Protocol};
use crate::net::tls::{Authority, Files};
use crate::policy::Prefix;
use crate::problem::Place;

/// A listener, and where it is written.
pub(super) fn listener(section: &mut Section<'_>) -> Option<(Listener, Place)> {
    const HINT: &str = "use one of \"do53\" (UDP and TCP), \"dot\", \"doh\", \"doh3\", \"doq\"";
    let mut protocol = Protocol::Do53;
    if let Some(written) = section.string("protocol") {
        match written.value.as_str() {
            "do53" => {}
            "doh" => protocol = Protocol::Doh,
            "doh3" => protocol = Protocol::Doh3,
            "doq" => protocol = Protocol::Doq,
            "dot" => protocol = Protocol::Dot,
            other => section.problem(written.place, format!("`{other}` is not a protocol"), HINT),
        }
    }
    let mut limits = match protocol {
        Protocol::Do53 => listen::Config::default(),
        Protocol::Doh | Protocol::Doh3 | Protocol::Doq | Protocol::Dot => listen::Config::encrypted(),
    };
    if let Some(connections) = section.integer("connections", 1..1_000_000) {
        limits.connections = connections as usize;
    }
    if let Some(connections) = section.integer("connections_of_client", 1..1_000_000) {
        limits.connections_of_client = connections as usize;
    }
    if let Some(idle) = section.parsed::<Span>("idle", "write a duration such as \"30s\"") {
        let allowed = Duration::from_secs(1)..=Duration::from_secs(3600);
        if allowed.contains(&idle.value.0) {
            limits.idle = idle.value.0;
        } else {
            section.problem(idle.place, "`idle` is out of range", "write a duration from \"1s\" to \"1h\"");
        }
    }
    let mut path = String::new();
    if protocol.is_http() {
        path = "/dns-query".to_owned();
        if let Some(written) = section.string("path") {
            if written.value.starts_with('/') && !written.value.contains(['?', '#', ' ', '{']) {
                path = written.value;
            } else {
                let what = format!("`{}` is not the path of a URI", written.value);
                section.problem(
                    written.place,
                    what,
                    "write a path such as \"/dns-query\", without its template",
                );
            }
        }
    }
    let clients = if protocol.is_encrypted() { clients(section) } else { None };
    const PROXIES: &str =
        "write the balancers' addresses or prefixes, such as \"10.0.0.5\" or \"10.0.0.0/28\"";
    let proxies = section.parsed_list::<Prefix>("proxy_protocol_from", PROXIES);
    if protocol.is_quic()
        && let Some([first, ..]) = proxies.as_deref()
    {
        section.problem(
            first.place.clone(),
            "no balancer says in front of QUIC whose a connection is",
            "balance its datagrams by address, or use \"dot\" behind the balancer",
        );
    }
    let proxies = proxies.into_iter().flatten().map(|prefix| prefix.value).collect();
    section.required("address")?;
    let address =
        section.parsed::<SocketAddr>("address", "write an address and port such as \"0.0.0.0:53\"")?;
    Some((Listener { address: address.value, protocol, path, clients, proxies, limits }, section.place()))
}

/// `client_ca`, `client_crl` and `require`.
fn clients(section: &mut Section<'_>) -> Option<Authority> {
    let certificates = section.string("client_ca");
    let revoked = section.string("client_crl");
    let require = section.string("require");
    if let Some(require) = require.as_ref().filter(|require| require.value != "client-certificate") {
        let what = format!("`{}` cannot be required", require.value);
        section.problem(require.place.clone(), what, "write \"client-certificate\", or leave it out");
    }
    let Some(certificates) = certificates else {
        if let Some(alone) = revoked.or(require) {
            section.problem(
                alone.place,
                "there is no `client_ca`",
                "name the authorities whose certificates clients show",
            );
        }
        return None;
    };
    let revoked = revoked.map(|path| path.value.into());
    Some(Authority { certificates: certificates.value.into(), revoked, required: require.is_some() })
}

/// Where the first encrypted one of `listeners` is written.
pub(super) fn encrypted(listeners: &[(Listener, Place)]) -> Option<Place> {
    let needed = listeners.iter().find(|(listener, _)| listener.protocol.is_encrypted());
    needed.map(|(_, place)| place.clone())
}

/// `[tls]`, which whatever is encrypted needs; the first such is written at `needed`.
pub(super) fn tls(section: &mut Section<'_>, needed: Option<Place>) -> Option<Files> {
    let certificate = section.string("certificate");
    let key = section.string("key");
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Some(Files { certificate: certificate.value.into(), key: key.value.into() })
        }
        (None, None) if needed.is_none() => None,
        (certificate, key) => {
            let half = certificate.is_some() || key.is_some();
            let place = needed.filter(|_| !half).unwrap_or_else(|| section.place());
            section.problem(
                place,
                "an encrypted listener needs a certificate and its key",
                "set [tls] certificate and key, both PEM files",
            );
            None
        }
    }
}

/// `[discovery]`: what clients are told of the encrypted ones of `listeners`.
pub(super) fn announcement(section: &mut Section<'_>, listeners: &[(Listener, Place)]) -> Announcement {
    let ipv4 = section.parsed_list("ipv4", "write addresses such as \"192.0.2.1\"");
    let ipv6 = section.parsed_list("ipv6", "write addresses such as \"2001:db8::1\"");
    let name =
        section.parsed::<Name>("name", "write the name on the certificate, such as \"dns.example.gc.ca\"");
    if let Some(name) = &name
        && !listeners.iter().any(|(listener, _)| listener.protocol.is_encrypted())
    {
        section.problem(
            name.place.clone(),
            "there is no encrypted listener to be found",
            "add a [[listener]] with protocol \"dot\" or \"doh\"",
        );
    }
    if name.is_none() && (ipv4.is_some() || ipv6.is_some()) {
        section.problem(section.place(), "[discovery] has no `name`", "write the name on the certificate");
    }
    Announcement {
        name: name.map(|name| name.value),
        ipv4: ipv4.into_iter().flatten().map(|address| address.value).collect(),
        ipv6: ipv6.into_iter().flatten().map(|address| address.value).collect(),
    }
}
