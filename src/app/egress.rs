//! Owns what egress is wired to: how it resolves, what it may look at, and whose packets are this process's own. Never decides what is held.

use std::sync::Arc;
use std::thread::JoinHandle;

use nix::unistd::Uid;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Boot;
use crate::dns::{Name, RecordType};
use crate::egress::{Egress, Lately, Permits, Resolve, Then, Told, Waiting, Wiring};
use crate::policy::{Live, Prefix};
use crate::problem::{Place, Problem};
use crate::reload::Beside;
use crate::resolve::{Ask, Resolver};
use crate::telemetry::Inbox;
use crate::{cache, resolve};

/// Egress and its thread, which waits; `None` where it is off.
#[derive(Debug)]
pub(super) struct Prepared(Option<(Arc<Egress>, Waiting)>);

/// What its thread needs of the rest.
#[derive(Debug)]
pub(super) struct Surroundings<'s> {
    pub(super) live: &'s Live,
    pub(super) clock: &'s Clock,
    pub(super) resolver: &'s Arc<Resolver>,
    pub(super) store: &'s Arc<cache::Store>,
    pub(super) upstreams: &'s resolve::Config,
    /// Where packets that the kernel tells of are logged.
    pub(super) log: Option<Inbox>,
    pub(super) stop: &'s watch::Receiver<bool>,
}

impl Prepared {
    /// Begins its thread. Must come before the process becomes another user.
    pub(super) fn new(boot: &Boot, clock: &Clock) -> Result<Self, Vec<Problem>> {
        let Some(config) = boot.egress.clone() else { return Ok(Self(None)) };
        let egress = Egress::new(config, clock.clone());
        let waiting = egress.prepare().map_err(|error| {
            vec![Problem::error(Place::file("[egress]"), format!("cannot start: {error}"), "")]
        })?;
        Ok(Self(Some((egress, waiting))))
    }

    /// Who may reach what it was answered.
    pub(super) fn permits(&self) -> Option<Arc<Permits>> {
        self.0.as_ref().map(|(egress, _)| Arc::clone(egress.permits()))
    }

    /// Tells what does not work as it should.
    pub(super) fn beside(&self) -> Beside {
        let egress = self.0.as_ref().map(|(egress, _)| Arc::clone(egress));
        Arc::new(move || egress.as_ref()?.trouble())
    }

    /// Lets it work.
    pub(super) fn begin(self, of: &Surroundings<'_>) -> (Option<Arc<Egress>>, Option<JoinHandle<()>>) {
        let Some((egress, waiting)) = self.0 else { return (None, None) };
        let user = Uid::effective();
        let wiring = Wiring {
            live: of.live.clone(),
            clock: of.clock.clone(),
            resolve: resolve(of.resolver),
            lately: lately(of.store, of.clock),
            own: own(of.upstreams),
            log: of.log.clone(),
            user: (!user.is_root()).then(|| user.as_raw()),
            stop: of.stop.clone(),
        };
        (Some(egress), Some(waiting.begin(wiring)))
    }
}

/// Past the clients' cache: what is banned has no place there.
fn resolve(resolver: &Arc<Resolver>) -> Resolve {
    let resolver = Arc::clone(resolver);
    Arc::new(move |name, record_type: RecordType, then: Then| {
        let ask = Ask { name, record_type, dnssec_ok: false, checking_disabled: false };
        resolver.ask(ask, Box::new(move |answer| then(answer.ok().map(|response| response.message))));
    })
}

/// The answers that hold: those that clients asked for, and those that were fetched anew because they did.
fn lately(store: &Arc<cache::Store>, clock: &Clock) -> Lately {
    let (store, clock) = (Arc::clone(store), clock.clone());
    Arc::new(move |visit| {
        for entry in store.fresh(clock.now()) {
            let told: &Told<'_> = &|| {
                let name = Name::from_wire(entry.name()?.as_wire()).ok()?;
                let targets = entry.targets().filter_map(|target| Name::from_wire(target.as_wire()).ok());
                Some((name, targets.collect()))
            };
            visit(&mut entry.addresses(), told);
        }
    })
}

fn own(upstreams: &resolve::Config) -> Vec<Prefix> {
    let routed = upstreams.routes.iter().flat_map(|route| &route.servers);
    let servers = upstreams.servers.iter().chain(routed);
    servers.map(|server| Prefix::of(server.address.ip().to_canonical())).collect()
}
