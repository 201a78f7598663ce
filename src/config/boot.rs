//! Owns the settings that live as long as the process: sockets, workers, upstreams, cache, logs. A reload refuses a change
//! of them by name.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::record;
use super::value::{Size, Span};
use super::{egress, limits, listener, upstream};
use crate::dns::Cookies;
use crate::document::Section;
use crate::listen::{Announcement, Limits, Listener};
use crate::net::tls::Files;
use crate::{admin, cache, proxy, query, report, resolve, telemetry, zone};

/// Settings that live as long as the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Listening threads; 0 for one a core.
    pub workers: usize,
    /// Who the process becomes after its sockets are bound.
    pub user: Option<String>,
    /// Where questions are taken.
    pub listeners: Vec<Listener>,
    /// The certificate that clients are shown; `None` for none.
    pub tls: Option<Files>,
    /// How much one client may ask.
    pub limits: Limits,
    /// The secrets of cookies; none for one of this process's own.
    pub cookies: Option<Cookies>,
    /// What clients are told of the encrypted listeners.
    pub announcement: Announcement,
    /// Upstreams; without servers, the system's.
    pub upstream: resolve::Config,
    /// Kept answers.
    pub cache: cache::Config,
    /// The data plane.
    pub query: query::Config,
    /// The operators' door.
    pub admin: admin::Config,
    /// The query log.
    pub querylog: telemetry::Config,
    /// What was asked in the last day.
    pub last_day: telemetry::LastDayConfig,
    /// What is counted for reports.
    pub report: report::Config,
    /// The policy's addresses in the kernel; `None` for none.
    pub egress: Option<crate::egress::Config>,
    /// The policy as a zone; `None` for no zone.
    pub zone: Option<zone::Config>,
    /// Where connections are taken; none for none.
    pub proxies: Vec<proxy::Config>,
    /// Where generations are kept.
    pub state: Option<PathBuf>,
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            workers: 0,
            user: None,
            // A port that needs no privilege and that no other resolver holds.
            listeners: vec![Listener::do53(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 5353))],
            tls: None,
            limits: Limits::default(),
            cookies: None,
            announcement: Announcement::default(),
            upstream: resolve::Config::default(),
            cache: cache::Config::default(),
            query: query::Config::default(),
            admin: admin::Config::default(),
            querylog: telemetry::Config::default(),
            last_day: telemetry::LastDayConfig::default(),
            report: report::Config::default(),
            egress: None,
            zone: None,
            proxies: Vec::new(),
            state: None,
        }
    }
}

impl Boot {
    /// The names of the settings that differ from `other`.
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        let upstreams = |boot: &Self| resolve::Config { dns64: None, ..boot.upstream.clone() };
        [
            ("[server] workers", self.workers != other.workers),
            ("[server] user", self.user != other.user),
            ("[[listener]]", self.listeners != other.listeners),
            ("[tls]", self.tls != other.tls),
            ("[limits]", self.limits != other.limits),
            ("[cookies]", self.cookies != other.cookies),
            ("[discovery]", self.announcement != other.announcement),
            ("[dns64]", self.upstream.dns64 != other.upstream.dns64),
            ("[upstream]", upstreams(self) != upstreams(other)),
            ("[cache]", self.cache != other.cache),
            ("[admin]", self.admin != other.admin),
            ("[querylog]", self.querylog != other.querylog),
            ("[last_day]", self.last_day != other.last_day),
            ("[report]", self.report != other.report),
            ("[egress]", self.egress != other.egress),
            ("[zone]", self.zone != other.zone),
            ("[[proxy]]", self.proxies != other.proxies),
            ("[policy] state", self.state != other.state),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

pub(super) fn read(top: &mut Section<'_>) -> Boot {
    let mut boot = Boot::default();
    if let Some(version) = top.integer("version", 1..2) {
        debug_assert_eq!(version, 1, "the only version there is");
    }
    {
        let mut server = top.section("server");
        boot.workers = server.integer("workers", 0..1025).unwrap_or(0) as usize;
        boot.user = server.string("user").map(|user| user.value);
    }
    let listeners: Vec<_> = top
        .sections("listener")
        .into_iter()
        .filter_map(|mut section| listener::listener(&mut section))
        .collect();
    let mut needed = listener::encrypted(&listeners);
    boot.proxies = top
        .sections("proxy")
        .into_iter()
        .filter_map(|mut section| {
            let read = super::proxy::read(&mut section)?;
            needed = needed.take().or_else(|| read.is_encrypted.then(|| section.place()));
            Some(read)
        })
        .collect();
    boot.tls = listener::tls(&mut top.section("tls"), needed);
    boot.announcement = listener::announcement(&mut top.section("discovery"), &listeners);
    if !listeners.is_empty() {
        boot.listeners = listeners.into_iter().map(|(listener, _)| listener).collect();
    }
    boot.limits = limits::limits(&mut top.section("limits"));
    boot.cookies = limits::cookies(&mut top.section("cookies"));
    upstream::read(&mut top.section("upstream"), &mut boot.upstream);
    let prefix =
        top.section("dns64").parsed("prefix", "write a translator's prefix such as \"64:ff9b::/96\"");
    boot.upstream.dns64 = prefix.map(|prefix| prefix.value);
    {
        let mut cache = top.section("cache");
        if let Some(size) = cache.parsed::<Size>("memory", "write a size such as \"256MiB\"") {
            boot.cache.memory = size.value.0;
        }
        if let Some(span) =
            cache.parsed::<Span>("stale", "write a duration such as \"1h\", or \"0\" for never")
        {
            boot.cache.stale = span.value.0.as_secs() as u32;
        }
        if let Some(span) = cache.parsed::<Span>("stale_after", "write a duration such as \"1.8s\"") {
            boot.cache.stale_after = span.value.0;
        }
        if let Some(prefetch) = cache.boolean("prefetch") {
            boot.cache.prefetch = prefetch;
        }
        if let Some(kept) = cache.boolean("kept") {
            boot.cache.kept = kept;
        }
    }
    boot.admin = super::admin::read(&mut top.section("admin"));
    boot.querylog = super::querylog::read(&mut top.section("querylog"));
    boot.query.log_all = boot.querylog.wants_all();
    boot.query.log_replies = !boot.querylog.sinks.is_empty() || boot.admin.tail.is_some_and(|most| most > 0);
    record::last_day(&mut top.section("last_day"), &boot.querylog, &mut boot.last_day);
    boot.report = super::report::read(&mut top.section("report"), &boot.querylog);
    boot.egress = egress::read(&mut top.section("egress"));
    if let Some(egress) = &mut boot.egress {
        egress.nat64 = boot.upstream.dns64;
    }
    boot.state = state(top);
    boot
}

/// `[policy] state`, the one boot setting of a table whose other keys live as long as a generation.
fn state(top: &Section<'_>) -> Option<PathBuf> {
    top.peek("policy", "state").map(PathBuf::from)
}
