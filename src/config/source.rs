//! Owns the keys of one list: where it comes from, whose signature it needs, how it is read. Never reads the list.

use std::time::Duration;

use super::transfer;
use super::value::{Size, Span};
use crate::dns::Name;
use crate::document::{Located, Section};
use crate::formats::Format;
use crate::policy::{Mode, Override};
use crate::sources::{
    Address, AddressError, BundleConfig, Config, Key, LIST_FILE, LONGEST_TIMEOUT, Network, Origin, Proxy,
    REFRESH, SHORTEST_REFRESH, SIGNATURE_SUFFIX, TIMEOUT, TsigKey, ZoneAddress,
};

/// A connection takes longer than that on any real way.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
const OVERRIDES: &str =
    "use one of given, disabled, passthru, drop, nxdomain, nodata, tcp-only, or \"cname walled.example\"";
const MODES: &str =
    "enforce leaves it to the groups, shadow only counts, whoever enforces it; to switch it off take it out";
const PLACE: &str = "write the path of a file, or an address such as \"https://lists.example/extra.rpz\"";

pub(super) fn read(section: &mut Section<'_>, keys: &[TsigKey]) -> Option<Config> {
    let place = section.place();
    let name = section.required("name");
    let from = section.required("from");
    section.required("format");
    let format = section.parsed::<Format>("format", "use one of hosts, domains, adblock, dnsmasq, rpz");
    let key =
        section.parsed::<Key>("key", "paste the line that begins with RWQ from the publisher's minisign.pub");
    let signature = section.string("signature");
    let way = Way::read(section, keys);
    let max_bytes = section.parsed::<Size>("max_bytes", "write a size such as \"64MiB\"");
    let subdomains = section.boolean("subdomains").unwrap_or(false);
    let zone = section.parsed::<Name>("zone", "write the zone's name").map(|zone| zone.value);
    let overriding = section.parsed::<Override>("override", OVERRIDES);
    let mode = section.parsed::<Mode>("mode", MODES);
    let tolerate = section.integer("tolerate", 0..u64::from(u32::MAX)).unwrap_or(0);
    let app = section.string("app").map(|app| app.value);
    let instrument = section.string("instrument").map(|instrument| instrument.value);

    if let (Some(signature), false) = (&signature, section.has("key")) {
        let hint = "set `key` to the publisher's key, or take `signature` out";
        section.problem(signature.place.clone(), "`signature` without a `key` is never looked at", hint);
    }
    if let (Some(overriding), Some(Format::Adblock | Format::Dnsmasq | Format::Domains | Format::Hosts)) =
        (&overriding, format.as_ref().map(|format| format.value))
    {
        let hint = "take it out; what a group's lists do is its `action`";
        section.problem(overriding.place.clone(), "`override` is for response policy zones", hint);
    }
    if let Some(mode) = mode.as_ref().filter(|mode| mode.value == Mode::Off) {
        section.problem(mode.place.clone(), "a list whose `mode` is \"off\" is not needed", MODES);
    }
    if let Some(size) = &max_bytes
        && !(1..=LIST_FILE).contains(&size.value.0)
    {
        let hint = format!("use a size up to {}MiB", LIST_FILE >> 20);
        section.problem(size.place.clone(), "`max_bytes` is out of bounds", hint);
    }
    let from = from?;
    let origin = match from.value.contains("://") {
        true if ZoneAddress::is_meant(&from.value) => {
            transfer::origin(way, section, &from, format.as_ref().map(|format| format.value))
        }
        true => way.server(section, &from, signature.as_ref()),
        false => Some(way.file(section, &from, signature.as_ref())),
    };
    let mut config = Config::file(name?.value, from.value, format?.value, place);
    config.origin = origin?;
    config.key = key.map(|key| key.value);
    config.max_bytes = max_bytes.map_or(config.max_bytes, |size| size.value.0);
    let overriding = overriding.map_or(Override::Given, |found| found.value);
    let rehearsed = mode.is_some_and(|mode| mode.value == Mode::Shadow);
    Some(Config { subdomains, zone, overriding, rehearsed, tolerate, app, instrument, ..config })
}

/// The keys of `[policy]` that say where a bundle is; with one, nothing else may state rules.
pub(super) fn bundle(policy: &mut Section<'_>) -> Option<BundleConfig> {
    let path = policy.string("bundle");
    let key = policy
        .parsed::<Key>("bundle_key", "paste the line that begins with RWQ from the publisher's minisign.pub");
    let copies = policy.string("bundle_copies");
    let Some(path) = path else {
        for other in ["bundle_key", "bundle_copies"].into_iter().filter(|key| policy.has(key)) {
            let what = format!("`{other}` without a `bundle` is never looked at");
            policy.problem(policy.place(), what, format!("set `bundle`, or take `{other}` out"));
        }
        return None;
    };
    if path.value.contains("://") {
        let hint = "write the path of a file; let a timer fetch it, and rename it into place";
        policy.problem(path.place.clone(), "a bundle is read from a file", hint);
    }
    for other in ["blocklists", "source"].into_iter().filter(|key| policy.has(key)) {
        let what = format!("`{other}` beside a `bundle`: the rules would come from two places");
        let hint = "compile it into the bundle, or take it out; exceptions and groups stay here";
        policy.problem(path.place.clone(), what, hint);
    }
    Some(BundleConfig {
        path: path.value.into(),
        key: key.map(|key| key.value),
        copies: copies.map(|directory| directory.value.into()),
    })
}

/// The keys that only a list on a server has.
pub(super) struct Way {
    pub(super) refresh: Option<Located<Span>>,
    pub(super) timeout: Option<Located<Span>>,
    pub(super) ca: Option<Located<String>>,
    proxy: Option<Proxy>,
    pub(super) tsig: Option<TsigKey>,
}

impl Way {
    fn read(section: &mut Section<'_>, keys: &[TsigKey]) -> Self {
        const SPAN: &str = "write a duration such as \"15m\"";
        Self {
            refresh: section.parsed("refresh", SPAN),
            timeout: section.parsed("timeout", SPAN),
            ca: section.string("ca"),
            proxy: proxy(section),
            tsig: transfer::named(section, keys),
        }
    }

    /// A file; its signature is beside it, or where `signature` says. One that begins with a dot is added to the path.
    fn file(
        self,
        section: &Section<'_>,
        from: &Located<String>,
        signature: Option<&Located<String>>,
    ) -> Origin {
        for key in ["refresh", "timeout", "ca", "proxy", "tsig"].into_iter().filter(|key| section.has(key)) {
            let what = format!("`{key}` says nothing about a file");
            section.problem(section.place(), what, "take it out; a changed file is noticed by itself");
        }
        let signature = match signature.map(|signature| signature.value.as_str()) {
            None => format!("{}{SIGNATURE_SUFFIX}", from.value),
            Some(suffix) if is_suffix(suffix) => format!("{}{suffix}", from.value),
            Some(path) => path.to_owned(),
        };
        Origin::File { path: from.value.clone().into(), signature: signature.into() }
    }

    /// Complains of times that are out of bounds.
    pub(super) fn check_spans(&self, section: &Section<'_>) {
        if let Some(span) = &self.refresh
            && !span.value.0.is_zero()
            && span.value.0 < SHORTEST_REFRESH
        {
            let shortest = SHORTEST_REFRESH.as_secs();
            let hint = format!("write at least \"{shortest}s\", or \"0\" for only when an operator reloads");
            section.problem(span.place.clone(), "`refresh` is too short", hint);
        }
        if let Some(span) = &self.timeout
            && !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&span.value.0)
        {
            let hint = format!("write at most \"{}s\"", LONGEST_TIMEOUT.as_secs());
            section.problem(span.place.clone(), "`timeout` is out of bounds", hint);
        }
    }

    fn server(
        self,
        section: &Section<'_>,
        from: &Located<String>,
        signature: Option<&Located<String>>,
    ) -> Option<Origin> {
        self.check_spans(section);
        if section.has("tsig") {
            let hint = "take it out; `key` names the minisign key of a list's publisher";
            section.problem(section.place(), "`tsig` is for zone transfers only", hint);
        }
        let address = address(section, from)?;
        if !address.is_secure() && !section.has("key") {
            section.problem(
                from.place.clone(),
                format!("`{address}` is neither encrypted nor signed: anybody on the way could change it"),
                "write https://, or set `key` to its publisher's minisign key",
            );
        }
        let signature = match signature {
            None => address.with_suffix(SIGNATURE_SUFFIX).ok()?,
            Some(suffix) if is_suffix(&suffix.value) => address.with_suffix(&suffix.value).ok()?,
            Some(text) => self::address(section, text)?,
        };
        Some(Origin::Network(Network {
            address,
            signature,
            refresh: self.refresh.map_or(REFRESH, |span| span.value.0),
            timeout: self.timeout.map_or(TIMEOUT, |span| span.value.0),
            ca: self.ca.map(|ca| ca.value.into()),
            proxy: self.proxy,
        }))
    }
}

/// The proxy; what is wrong with it is said without repeating it, as a password may stand in it.
pub(super) fn proxy(section: &mut Section<'_>) -> Option<Proxy> {
    let text = section.string("proxy")?;
    let parsed = text.value.parse().map_err(|why: &str| {
        let hint =
            "write an address such as \"http://proxy.example:3128\"; let it admit this host by its address";
        section.problem(text.place, format!("`proxy` is no proxy: {why}"), hint);
    });
    parsed.ok()
}

fn address(section: &Section<'_>, text: &Located<String>) -> Option<Address> {
    let error = match text.value.parse::<Address>() {
        Ok(address) => return Some(address),
        Err(error) => error,
    };
    let (what, hint) = match error {
        AddressError::Credentials => (
            "a name or password stands in the address".to_owned(),
            "take it out: addresses are shown in status and log; let the server admit this host by its address",
        ),
        AddressError::Malformed => ("this is not an address".to_owned(), PLACE),
        AddressError::Scheme => {
            let scheme = text.value.split("://").next().unwrap_or("");
            (format!("`{scheme}://` is not supported yet"), PLACE)
        }
    };
    section.problem(text.place.clone(), what, hint);
    None
}

fn is_suffix(text: &str) -> bool {
    text.starts_with('.') && !text.contains('/')
}
