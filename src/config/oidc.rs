//! Owns the reading of `[admin.oidc]`: the provider that people may sign in at, and which of its claims give which roles. Never asks it and never reads a
//! secret's file.

use std::net::IpAddr;
use std::time::Duration;

use super::source::proxy;
use super::value::Span;
use crate::admin::oidc::{BACK, ClientSecret, Config, Granted};
use crate::document::{Located, Section};

const SPAN: &str = "write a duration such as \"5s\" or \"1h\"";

pub(super) fn read(section: &mut Section<'_>) -> Option<Config> {
    if !section.is_present() {
        return None;
    }
    let issuer = section.required("issuer");
    let client = section.required("client_id");
    let redirect = section.required("redirect");
    let secret = secret(section);
    let scopes = section.strings("scopes");
    let claim = section.string("claim");
    let mut list = |key| {
        let values = section.strings(key).unwrap_or_default().into_iter();
        values.map(|value| value.value).filter(|value| !value.is_empty()).collect::<Vec<_>>()
    };
    let granted = Granted { viewer: list("viewer"), operator: list("operator"), approver: list("approver") };
    let ca = section.string("ca");
    let proxy = proxy(section);
    let timeout = within(section, "timeout", Duration::from_millis(100)..=Duration::from_secs(30));
    let session = within(section, "session", Duration::from_secs(300)..=Duration::from_secs(12 * 3600));
    if granted == Granted::default() {
        let hint = "add `viewer`, `operator` or `approver` with the values of the claim, such as viewer = [\"dns-readers\"]";
        section.problem(section.place(), "[admin.oidc] gives nobody a role", hint);
    }
    let issuer = issuer.filter(|issuer| is_issuer(section, issuer));
    let redirect = redirect.filter(|redirect| is_redirect(section, redirect));
    if let Some(scopes) = scopes.as_ref().filter(|all| !all.iter().any(|scope| scope.value == "openid")) {
        let place = scopes.first().map_or_else(|| section.place(), |scope| scope.place.clone());
        section.problem(place, "`scopes` has no `openid`", "add it: without it providers send no ID token");
    }
    let mut config = Config::new(issuer?.value, client?.value, redirect?.value, granted);
    if let Some(scopes) = scopes {
        config.scopes = scopes.into_iter().map(|scope| scope.value).collect();
    }
    config.claim = claim.map_or(config.claim, |claim| claim.value);
    config.secret = secret;
    config.ca = ca.map(|ca| ca.value.into());
    config.proxy = proxy;
    config.timeout = timeout.unwrap_or(config.timeout);
    config.session = session.unwrap_or(config.session);
    Some(config)
}

/// The host of an address.
pub(super) fn host(address: &str) -> &str {
    let bare = address.split_once("://").map_or(address, |(_, rest)| rest);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or(bare);
    match bare.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => bare.split(':').next().unwrap_or(bare),
    }
}

fn secret(section: &mut Section<'_>) -> Option<ClientSecret> {
    match (section.string("client_secret"), section.string("client_secret_file")) {
        (Some(_), Some(file)) => {
            let what = "`client_secret` and `client_secret_file` are both set";
            section.problem(file.place, what, "take one of them out");
            None
        }
        (Some(secret), None) => Some(ClientSecret::Given(secret.value)),
        (None, Some(file)) => Some(ClientSecret::File(file.value.into())),
        (None, None) => None,
    }
}

fn within(
    section: &mut Section<'_>,
    key: &'static str,
    bounds: std::ops::RangeInclusive<Duration>,
) -> Option<Duration> {
    let span = section.parsed::<Span>(key, SPAN)?;
    if !bounds.contains(&span.value.0) {
        let hint = format!("write at least \"{:?}\" and at most \"{:?}\"", bounds.start(), bounds.end());
        section.problem(span.place, format!("`{key}` is out of bounds"), hint);
        return None;
    }
    Some(span.value.0)
}

/// In encryption, or on this machine.
fn is_private(address: &str) -> bool {
    let is_here = || {
        let host = host(address);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    address.starts_with("https://") || address.starts_with("http://") && is_here()
}

fn is_issuer(section: &Section<'_>, issuer: &Located<String>) -> bool {
    let text = &issuer.value;
    let is_plain = !text.contains(['?', '#', '@', ' ']) && !host(text).is_empty();
    let is_one = is_private(text) && is_plain;
    if !is_one {
        let hint = "write it as the provider does, such as \"https://sso.example.gc.ca/realms/dns\"";
        section.problem(issuer.place.clone(), "`issuer` is no https:// address of a provider", hint);
    }
    is_one
}

fn is_redirect(section: &Section<'_>, redirect: &Located<String>) -> bool {
    let path =
        redirect.value.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
    let is_one = is_private(&redirect.value) && path == Some(BACK) && !host(&redirect.value).is_empty();
    if !is_one {
        let hint =
            format!("write \"https://\", the name by which people reach [admin] listen, and \"{BACK}\"");
        section.problem(
            redirect.place.clone(),
            format!("`redirect` is no https:// address with the path {BACK}"),
            hint,
        );
    }
    is_one
}
