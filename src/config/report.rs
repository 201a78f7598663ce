//! Owns the reading of `[report]`: where what is counted is kept, for how long, in how many bytes, and how much of clients. Never opens the store.

use std::path::PathBuf;

use super::value::Size;
use crate::document::Section;
use crate::report::Config;
use crate::telemetry::{self, Clients};

/// What a store needs at least: the words of a policy and a day or two.
const LEAST: u64 = 4 << 20;

/// `[report]`. What is kept of clients is by default what the query log keeps, if there is one.
pub(super) fn read(section: &mut Section<'_>, log: &telemetry::Config) -> Config {
    let mut config = Config::default();
    config.clients = log.clients().unwrap_or(config.clients);
    if let Some(store) = section.string("store") {
        if store.value.trim().is_empty() {
            section.problem(store.place, "`store` is empty", "name a file; `days = 0` keeps nothing");
        } else {
            config.store = Some(PathBuf::from(store.value));
        }
    }
    // Ten years: no law asks for more.
    if let Some(days) = section.integer("days", 0..3661) {
        config.days = days as u32;
    }
    const SIZE: &str = "write a size such as \"512MiB\"";
    if let Some(size) = section.parsed::<Size>("size", SIZE) {
        if size.value.0 < LEAST {
            section.problem(size.place, "`size` is less than 4MiB: no month would fit", SIZE);
        } else {
            config.size = size.value.0;
        }
    }
    if let Some(clients) = section.parsed::<Clients>("clients", "use one of full, prefix, hmac, none") {
        config.clients = clients.value;
    }
    let can_tell_devices = config.clients == Clients::Full;
    config.devices = can_tell_devices;
    let place = section.place();
    match section.boolean("devices") {
        Some(true) if !can_tell_devices => section.problem(
            place,
            format!(
                "`devices` is true, and `clients` is \"{}\": no device can be told over days",
                config.clients.as_str()
            ),
            "set `clients = \"full\"`, or leave `devices` out",
        ),
        Some(devices) => config.devices = devices,
        None => {}
    }
    config
}
