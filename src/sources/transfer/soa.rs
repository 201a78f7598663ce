//! Owns what a zone's SOA record says to those who copy the zone (RFC 1035 section 3.3.13). Never acts upon it.

use std::time::Duration;

/// Version and times of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soa {
    /// Its version.
    pub serial: u32,
    /// Time between two looks.
    pub refresh: Duration,
    /// Time between two looks while the primary does not answer.
    pub retry: Duration,
    /// Time without a look after which its owner no longer stands for it.
    pub expire: Duration,
}

impl Soa {
    /// SERIAL, REFRESH, RETRY and EXPIRE, in this order.
    pub(super) fn of_fields(fields: [u32; 4]) -> Self {
        let [serial, refresh, retry, expire] = fields;
        let seconds = |number| Duration::from_secs(u64::from(number));
        Self { serial, refresh: seconds(refresh), retry: seconds(retry), expire: seconds(expire) }
    }
}
