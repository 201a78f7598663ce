//! Owns the reading of `[admin]`: where operators are served, who may read, by which names, with which certificate,
//! and where people may sign in. Never opens a file.

use std::net::SocketAddr;

use super::oidc;
use crate::admin::{Config, Reading};
use crate::document::Section;
use crate::net::tls::Files;

/// Records of the live tail at most: 30 MiB.
const TAIL: u64 = 100_001;

pub(super) fn read(section: &mut Section<'_>) -> Config {
    let mut config = Config::default();
    if let Some(address) =
        section.parsed::<SocketAddr>("listen", "write an address and port such as \"127.0.0.1:9153\"")
    {
        config.listen = address.value;
    }
    config.tokens = section.string("tokens").map(|path| path.value.into());
    if let Some(read) = section.parsed::<Reading>("read", "use one of open, viewer") {
        config.read = read.value;
    }
    for name in section.strings("names").unwrap_or_default() {
        let is_name = !name.value.is_empty() && !name.value.contains(['/', ':', ' ', '*']);
        if !is_name {
            let what = format!("`names` holds \"{}\": not the name of a host", name.value);
            section.problem(
                name.place,
                what,
                "write one such as \"dns.example.gc.ca\", without scheme and port",
            );
            continue;
        }
        config.names.push(name.value.trim_end_matches('.').to_owned());
    }
    let mut path = |key| section.string(key).map(|path| (path.value.into(), path.place));
    let (certificate, key, client_ca) = (path("certificate"), path("key"), path("client_ca"));
    match (certificate, key) {
        (Some((certificate, _)), Some((key, _))) => config.tls = Some(Files { certificate, key }),
        (None, None) => {}
        (Some((_, place)), None) => {
            section.problem(place, "`certificate` without `key`", "name both, in PEM form")
        }
        (None, Some((_, place))) => {
            section.problem(place, "`key` without `certificate`", "name both, in PEM form")
        }
    }
    if let Some((path, place)) = client_ca {
        if config.tls.is_none() {
            section.problem(place, "`client_ca` without a certificate", "set `certificate` and `key` too");
        }
        config.client_ca = Some(path);
    }
    if let Some(oidc) = oidc::read(&mut section.section("oidc")) {
        // Where the provider sends browsers back to is a name of this server.
        config.names.push(oidc::host(&oidc.redirect).to_owned());
        config.oidc = Some(oidc);
    }
    config.tail = section.integer("tail", 0..TAIL).map(|records| records as usize);
    config
}
