//! Owns the settings of the reports and the reasons for their defaults. Never reads a file.

use std::path::PathBuf;

use crate::telemetry::Clients;

/// Settings of the reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file. Default: `report.db` in the state directory, and without one none, as there is nowhere to keep it.
    pub store: Option<PathBuf>,
    /// Days kept; 0 keeps nothing. Default 400: what a government reports in a year covers that year, and is written in the weeks after it.
    pub days: u32,
    /// Bytes that the file may have. Default 512 MiB: five thousand devices a day that try two apps need some 150 MiB for 400 days. Beyond it the oldest days
    /// go first.
    pub size: u64,
    /// What is kept of clients. Default what the query log keeps, where there is one: that decision was taken. Without one, digests of the day: devices can be
    /// counted, and nobody can be named.
    pub clients: Clients,
    /// Whether it is noted, of each device, at which hours it asked for names that an app asks by itself. Default where clients are kept whole: a
    /// digest of the day says nothing of the next day, and a network is no device.
    pub devices: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { store: None, days: 400, size: 512 << 20, clients: Clients::Hmac, devices: false }
    }
}
