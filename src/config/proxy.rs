//! Owns the keys of `[[proxy]]`: where connections are taken, how, and within which limits. Never opens a socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::value::Span;
use crate::document::Section;
use crate::net::tls::Authority;
use crate::proxy::{Config, Mode, Required, Verify};

/// One proxy; `None` when it cannot be made out.
pub(super) fn read(section: &mut Section<'_>) -> Option<Config> {
    const MODES: &str = "use one of \"transparent\", \"explicit\", \"page\"";
    let mode = section.required("mode");
    let mode = mode.and_then(|written| match written.value.as_str() {
        "explicit" => Some(Mode::Explicit),
        "page" => Some(Mode::Page),
        "transparent" => Some(Mode::Transparent),
        other => {
            section.problem(written.place, format!("`{other}` is not a mode of a proxy"), MODES);
            None
        }
    });
    let address = section.required("address").and_then(|written| match written.value.parse::<SocketAddr>() {
        Ok(address) => Some(address),
        Err(_) => {
            let what = format!("`address` is \"{}\"", written.value);
            section.problem(written.place, what, "write an address and port such as \"0.0.0.0:3129\"");
            None
        }
    });
    // The rest is read in any case, so that all problems are found at once.
    let mut config =
        Config::new(mode.unwrap_or(Mode::Explicit), address.unwrap_or(([127, 0, 0, 1], 0).into()));
    if mode == Some(Mode::Page) {
        for key in ["verify", "unnamed", "proxy_protocol"] {
            if section.has(key) {
                let what = format!("`{key}` is for a proxy that connects to origins");
                section.problem(section.place(), what, format!("leave `{key}` out, or change the mode"));
            }
        }
    }
    if let Some(words) = section.strings("words") {
        config.words = words.into_iter().map(|path| PathBuf::from(path.value)).collect();
    }
    if let Some(verify) = section.string("verify") {
        match verify.value.as_str() {
            "count" => config.verify = Verify::Count,
            "off" => config.verify = Verify::Off,
            "refuse" => config.verify = Verify::Refuse,
            other => {
                let what = format!("`verify` is \"{other}\"");
                section.problem(verify.place, what, "use one of \"count\", \"refuse\", \"off\"");
            }
        }
    }
    if let Some(unnamed) = section.string("unnamed") {
        match unnamed.value.as_str() {
            "pass" => config.refuse_unnamed = false,
            "refuse" => config.refuse_unnamed = true,
            other => {
                let what = format!("`unnamed` is \"{other}\"");
                section.problem(unnamed.place, what, "use one of \"pass\", \"refuse\"");
            }
        }
    }
    config.tell_origin = section.boolean("proxy_protocol").unwrap_or(false);
    only_for(section, mode, Mode::Transparent, "quic");
    config.quic = section.boolean("quic").unwrap_or(false);
    only_for(section, mode, Mode::Explicit, "ports");
    if let Some(ports) = section.parsed_list::<u16>("ports", "write ports such as \"443\"; none for all") {
        config.ports = ports.into_iter().map(|port| port.value).collect();
    }
    who(section, mode, &mut config);
    if let Some(connections) = section.integer("connections", 1..1_000_000) {
        config.connections = connections as usize;
    }
    if let Some(connections) = section.integer("connections_of_client", 1..1_000_000) {
        config.connections_of_client = connections as usize;
    }
    span(section, "head", &mut config.head, 60);
    span(section, "connect", &mut config.connect, 300);
    span(section, "idle", &mut config.idle, 86_400);
    mode.and(address).map(|_| config)
}

/// `tls`, `client_ca`, `client_crl`, `users` and `require`: who a client is beside its address.
fn who(section: &mut Section<'_>, mode: Option<Mode>, config: &mut Config) {
    for key in ["tls", "client_ca", "client_crl", "users", "require"] {
        only_for(section, mode, Mode::Explicit, key);
    }
    config.is_encrypted = section.boolean("tls").unwrap_or(false);
    config.users = section.string("users").map(|path| PathBuf::from(path.value));
    let (certificates, revoked) = (section.string("client_ca"), section.string("client_crl"));
    if let Some(found) = certificates.as_ref().or(revoked.as_ref()).filter(|_| !config.is_encrypted) {
        let hint = "set `tls = true`: certificates are shown inside of TLS";
        section.problem(found.place.clone(), "clients show no certificate in clear", hint);
    }
    if let (None, Some(revoked)) = (&certificates, &revoked) {
        let hint = "name the authorities whose certificates clients show";
        section.problem(revoked.place.clone(), "there is no `client_ca`", hint);
    }
    let require = section.string("require");
    config.require = require.as_ref().and_then(|require| match require.value.as_str() {
        "client-certificate" => Some(Required::Certificate),
        "either" => Some(Required::Either),
        "user" => Some(Required::User),
        other => {
            let hint = "use one of \"client-certificate\", \"user\", \"either\", or leave it out";
            section.problem(require.place.clone(), format!("`{other}` cannot be required"), hint);
            None
        }
    });
    let lacks = match config.require {
        Some(Required::Certificate) if certificates.is_none() => Some("client_ca"),
        Some(Required::User) if config.users.is_none() => Some("users"),
        Some(Required::Either) if certificates.is_none() || config.users.is_none() => {
            Some(if certificates.is_none() { "client_ca" } else { "users" })
        }
        _ => None,
    };
    if let (Some(lacks), Some(require)) = (lacks, require) {
        let what = format!("`{}` is required, and there is no `{lacks}`", require.value);
        section.problem(require.place, what, format!("set `{lacks}`, or leave `require` out"));
    }
    config.clients = certificates.map(|certificates| Authority {
        certificates: certificates.value.into(),
        revoked: revoked.map(|path| path.value.into()),
        required: config.require == Some(Required::Certificate),
    });
}

/// Complains about a key that means something in another mode only.
fn only_for(section: &Section<'_>, mode: Option<Mode>, only: Mode, key: &'static str) {
    if mode.is_some_and(|mode| mode != only) && section.has(key) {
        let name = if only == Mode::Explicit { "explicit" } else { "transparent" };
        section.problem(
            section.place(),
            format!("`{key}` is for a proxy with mode \"{name}\""),
            format!("leave `{key}` out, or change the mode"),
        );
    }
}

fn span(section: &mut Section<'_>, key: &'static str, place: &mut Duration, longest: u64) {
    let Some(span) = section.parsed::<Span>(key, "write a duration such as \"5s\"") else { return };
    if (Duration::from_secs(1)..=Duration::from_secs(longest)).contains(&span.value.0) {
        *place = span.value.0;
    } else {
        let hint = format!("write a duration from \"1s\" to \"{longest}s\"");
        section.problem(span.place, format!("`{key}` is out of range"), hint);
    }
}
