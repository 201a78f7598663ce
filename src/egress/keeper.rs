//! Owns the loop that keeps the kernel in step with the policy: with each generation, with what is learned, and whenever somebody changed or
//! removed the table. On a thread of its own, which alone may change the packet filter. Never makes a query wait.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::applied::Applied;
use super::config::AtStop;
use super::held::elements;
use super::learned::Terms;
use super::nflog::Report;
use super::nftables::{
    Counted, Elements, Failure, Listing, Nft, TABLE, changes, counters, read_listing, remove,
    remove_resolved, unresolved_counters, whole,
};
use super::permits::{Table, Writer};
use super::plan::Plan;
use super::questions::{Answer, Resolve, ask_all};
use super::shown::Egress;
use super::spared::{Lately, Reason, Seen};
use crate::clock::{Clock, Moment};
use crate::dns::Name;
use crate::policy::{Live, Prefix, Snapshot};
use crate::telemetry::Inbox;

/// What egress works with.
pub struct Wiring {
    /// The policy in force.
    pub live: Live,
    /// The time.
    pub clock: Clock,
    /// Resolves the banned names.
    pub resolve: Resolve,
    /// What clients were answered lately.
    pub lately: Lately,
    /// The upstreams.
    pub own: Vec<Prefix>,
    /// Where packets that the kernel tells of are logged.
    pub log: Option<Inbox>,
    /// Whose packets are this process's own; `None` for a user whom others share.
    pub user: Option<u32>,
    /// Changes at the stop.
    pub stop: watch::Receiver<bool>,
}

/// How often the table is looked at, and clients' answers: as often, or so seldom that it takes a twentieth of one processor.
const CHECK: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(5);
const SHARE: u32 = 20;
/// Shortest time between two changes of what was learned.
const PAUSE: Duration = Duration::from_secs(1);
/// Shortest and longest pause after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// Longest that the table's removal at a stop may take.
const LAST: Duration = Duration::from_secs(2);

struct Keeper {
    wiring: Wiring,
    shown: Arc<Egress>,
    nft: Nft,
    terms: Terms,
    seen: Seen,
    snapshot: Arc<Snapshot>,
    plan: Arc<Plan>,
    counters: Vec<(String, Counted)>,
    applied: Option<Applied>,
    /// The table of what clients were answered.
    table: Table,
    /// Whether it is told what clients are answered.
    is_permitting: bool,
    /// Whether the kernel is to be told of what was learned or spared since.
    is_behind: bool,
    /// Spared addresses that were counted.
    counted: HashSet<(usize, IpAddr, Reason)>,
    round: Option<JoinHandle<()>>,
    asked: Vec<(String, Name)>,
    failures: u32,
    next_attempt: Moment,
    next_change: Moment,
    next_check: Moment,
    next_look: Moment,
    /// Whether something was learned that clients' answers were not yet compared with, and from when on they may be.
    must_look: bool,
    earliest_look: Moment,
    next_round: Moment,
}

/// Keeps the kernel in step until the stop.
pub(super) async fn keep(shown: Arc<Egress>, wiring: Wiring) {
    let snapshot = wiring.live.load();
    let plan = Arc::new(Plan::of(&snapshot, &shown.config));
    let now = wiring.clock.now();
    let mut keeper = Keeper {
        nft: Nft::new(&shown.config.program),
        terms: Terms::new(&shown.config, &wiring.own),
        seen: Seen::default(),
        counters: counters(&plan),
        snapshot,
        plan,
        applied: None,
        table: Table::default(),
        is_permitting: false,
        is_behind: false,
        counted: HashSet::new(),
        round: None,
        asked: Vec::new(),
        failures: 0,
        next_attempt: now,
        next_change: now,
        next_check: now,
        next_look: now,
        must_look: false,
        earliest_look: now,
        next_round: now,
        wiring,
        shown,
    };
    keeper.report();
    keeper.permit();
    keeper.take_over().await;
    keeper.run().await;
    if keeper.shown.config.at_stop == AtStop::Remove {
        let script = remove() + &remove_resolved();
        match tokio::time::timeout(LAST, keeper.nft.apply(&script)).await {
            Ok(Ok(())) => tracing::info!("the kernel's table is removed"),
            Ok(Err(failure)) => tracing::error!(%failure, "the kernel's table could not be removed"),
            Err(_) => tracing::error!("the kernel's table could not be removed in time"),
        }
    }
}

impl Keeper {
    async fn run(&mut self) {
        let mut changes = self.wiring.live.changes();
        let mut stop = self.wiring.stop.clone();
        let (tell, mut answers) = mpsc::channel(256);
        let permits = Arc::clone(self.shown.permits());
        self.show(self.plan.clone());
        while !*stop.borrow() {
            changes.mark_unchanged();
            self.follow();
            self.ask(&tell);
            self.look();
            // Stopped in the middle, the kernel's transaction is either done or not begun.
            tokio::select! {
                () = self.settle() => {}
                _ = stop.changed() => return,
            }
            let wake = self.next_wake();
            tokio::select! {
                _ = changes.changed() => {}
                Some(answer) = answers.recv() => {
                    self.learn(&answer);
                    while let Ok(answer) = answers.try_recv() {
                        self.learn(&answer);
                    }
                }
                () = self.wiring.clock.passed(wake) => {}
                () = permits.absent.notified() => self.next_check = self.now(),
                _ = stop.changed() => return,
            }
        }
    }

    /// Has held packets written to the query log, if that is asked for.
    fn report(&self) {
        let Wiring { live, clock, log, stop, .. } = &self.wiring;
        let (Some(group), Some(inbox)) = (self.shown.config.nflog_group, log.clone()) else { return };
        let (live, clock, stop) = (live.clone(), clock.clone(), stop.clone());
        let report = Report { shown: Arc::clone(&self.shown), live, clock, inbox, stop };
        // It ends by itself within a second of the stop.
        let thread = std::thread::Builder::new().name("egress-log".to_owned());
        if let Err(error) = thread.spawn(move || report.run(group)) {
            tracing::error!(%error, "held packets are not logged");
        }
    }

    /// Lets the kernel be told what clients are answered, once some are held to that: until then no other thread has the right to.
    fn permit(&mut self) {
        if self.plan.guarded.is_empty() || std::mem::replace(&mut self.is_permitting, true) {
            return;
        }
        let (permits, stop) = (self.shown.permits(), &self.wiring.stop);
        tokio::spawn(Writer::mind(Arc::clone(permits), stop.clone()));
        let writer = Writer::new(Arc::clone(permits), stop.clone());
        let thread = std::thread::Builder::new().name("egress-permits".to_owned());
        if let Err(error) = thread.spawn(move || writer.run()) {
            tracing::error!(%error, "clients cannot be permitted what they are answered");
        }
    }

    fn next_wake(&self) -> Moment {
        let mut wake = self.next_look.min(self.next_check);
        if self.shown.config.resolve.is_some() {
            wake = wake.min(self.next_round);
        }
        if self.must_look {
            wake = wake.min(self.earliest_look);
        } else if self.is_behind {
            wake = wake.min(self.next_change);
        }
        wake.max(if self.failures > 0 { self.next_attempt.min(self.next_look) } else { self.now() })
    }

    fn now(&self) -> Moment {
        self.wiring.clock.now()
    }

    fn show(&self, plan: Arc<Plan>) {
        let mut state = self.shown.state();
        state.tally.begin(&counters(&plan));
        state.unresolved.begin(&unresolved_counters(&plan));
        state.plan = Some(plan);
    }

    /// Makes a plan of the policy in force, if it is another.
    fn follow(&mut self) {
        let snapshot = self.wiring.live.load();
        if snapshot.generation() == self.snapshot.generation() {
            return;
        }
        self.plan = Arc::new(Plan::of(&snapshot, &self.shown.config));
        self.snapshot = snapshot;
        self.permit();
        self.next_look = self.now();
        let mut state = self.shown.state();
        state.plan = Some(Arc::clone(&self.plan));
        state.learned.keep(&self.plan, &self.terms, self.wiring.clock.now());
    }

    /// Begins a round of questions when one is due, or when there are others to be asked.
    fn ask(&mut self, tell: &mpsc::Sender<Answer>) {
        let Some(every) = self.shown.config.resolve else { return };
        let names: Vec<(String, Name)> = self
            .plan
            .parts
            .iter()
            .flat_map(|part| part.names.iter().map(|name| (part.title.clone(), name.clone())))
            .collect();
        let is_other = names != self.asked;
        let is_idle = self.round.as_ref().is_none_or(JoinHandle::is_finished);
        let is_due = is_idle && self.now() >= self.next_round;
        if !(is_other || is_due) {
            return;
        }
        if is_other && self.plan.unasked > 0 {
            tracing::warn!(names = self.plan.unasked, "too many banned names to resolve; these are left out");
        }
        if let Some(round) = self.round.take() {
            round.abort();
        }
        self.round =
            Some(tokio::spawn(ask_all(Arc::clone(&self.wiring.resolve), names.clone(), tell.clone())));
        self.asked = names;
        self.next_round = self.now() + every;
        // What was learned in the last round holds longer now.
        self.is_behind = true;
    }

    fn learn(&mut self, answer: &Answer) {
        let now = self.now();
        let mut state = self.shown.state();
        let of = (answer.title.as_str(), &answer.name);
        let is_new = state.learned.take(of, &answer.found, (&self.plan, &self.terms), now);
        if is_new {
            for (title, address, entry) in state.learned.all() {
                if let Some(reason) = entry.spared.filter(|_| title == answer.title)
                    && answer.found.iter().any(|(found, _)| *found == address)
                    && self.counted.insert((usize::MAX, address, reason))
                {
                    self.shown.counts.spare(reason);
                }
            }
            drop(state);
            self.is_behind = true;
            // Before it is held it must be known whether somebody else needs it.
            self.must_look = true;
        }
    }

    /// Looks at what clients were answered lately, when it is time.
    fn look(&mut self) {
        let begun = self.now();
        if begun >= self.next_look || (self.must_look && begun >= self.earliest_look) {
            self.look_at_all(begun);
        }
    }

    fn look_at_all(&mut self, begun: Moment) {
        let mut state = self.shown.state();
        state.learned.keep(&self.plan, &self.terms, begun);
        let learned: HashSet<IpAddr> = state.learned.all().map(|(_, address, _)| address).collect();
        let (plan, terms, seen) = (&self.plan, &self.terms, &mut self.seen);
        (self.wiring.lately)(&mut |addresses, told| {
            let of_interest = |address: &IpAddr| learned.contains(address) || plan.lists(*address);
            let held: Vec<IpAddr> = terms.with_twins(addresses).filter(of_interest).collect();
            if let Some((name, targets)) = Some(told).filter(|_| !held.is_empty()).and_then(|told| told()) {
                for address in held {
                    seen.note(address, &name, &targets, begun);
                }
            }
        });
        self.seen.forget(begun);
        let spared = self.seen.spare(&self.plan, &state.learned, &self.snapshot);
        for (group, free) in spared.iter().enumerate() {
            let is_held = |address: &IpAddr| learned.contains(address) || self.plan.lists(*address);
            for (address, (reason, _)) in free.iter().filter(|(address, _)| is_held(address)) {
                if self.counted.insert((group, *address, *reason)) {
                    self.shown.counts.spare(*reason);
                }
            }
        }
        /// More would be remembered for nothing: they are counted again.
        const MOST: usize = 200_000;
        if self.counted.len() > MOST {
            self.counted.clear();
        }
        self.is_behind |= spared != state.spared;
        state.spared = spared;
        drop(state);
        let now = self.now();
        let took = now.since(begun);
        self.must_look = false;
        self.next_look = now + LOOK.max(SHARE * took);
        self.earliest_look = now + PAUSE.max(SHARE * took);
    }

    /// Tells the kernel what it does not know yet, or sees whether it still knows.
    async fn settle(&mut self) {
        let now = self.now();
        if self.failures > 0 && now < self.next_attempt {
            return;
        }
        let is_current = |applied: &Applied| Arc::ptr_eq(&applied.plan, &self.plan);
        let done = match &self.applied {
            Some(applied)
                if is_current(applied) && self.is_behind && !self.must_look && now >= self.next_change =>
            {
                self.change().await
            }
            Some(applied) if is_current(applied) && now < self.next_check => return,
            Some(applied) if is_current(applied) => self.check().await,
            _ => self.apply().await,
        };
        match done {
            Ok(()) if self.failures > 0 => {
                tracing::info!("the kernel holds the policy's addresses again");
                self.failures = 0;
                self.shown.state().trouble = None;
            }
            Ok(()) => {}
            Err(failure) => self.fail(&failure),
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.shown.counts.failed(failure.reason());
        let trouble = format!("egress: the kernel is not told what to hold: {failure}");
        let is_new = self.shown.state().trouble.replace(trouble.clone()) != Some(trouble);
        if is_new {
            tracing::error!(hint = failure.hint(), "the kernel is not told what to hold: {failure}");
        }
        let pause = FIRST_RETRY * 2u32.saturating_pow(self.failures.min(10));
        self.failures += 1;
        self.next_attempt = self.now() + pause.min(LAST_RETRY);
    }

    fn elements(&self) -> Elements {
        let state = self.shown.state();
        elements(&self.plan, &state.learned, &state.spared, self.now())
    }

    /// Puts the whole plan in force.
    async fn apply(&mut self) -> Result<(), Failure> {
        if self.applied.is_some()
            && let Some(listing) = self.list().await?
        {
            self.count(&listing);
        }
        if self.must_look {
            self.look_at_all(self.now());
        }
        let elements = self.elements();
        let Wiring { own, user, .. } = &self.wiring;
        let script = whole(&self.plan, &self.shown.config, own, *user, &elements);
        self.applied = None;
        self.nft.apply(&script).await?;
        self.count_unresolved().await?;
        self.table.apply(&self.nft, &self.shown, &self.plan, self.wiring.user).await?;
        self.shown.state().unresolved.begin(&unresolved_counters(&self.plan));
        self.counters = counters(&self.plan);
        self.shown.state().tally.begin(&self.counters);
        let listing = self.list().await?;
        let Some(listing) = listing else {
            return Err(Failure::Refused("what was put in force is not there".to_owned()));
        };
        self.count(&listing);
        let (now, generation) = (self.now(), self.plan.generation);
        self.applied = Some(Applied {
            plan: Arc::clone(&self.plan),
            fingerprint: listing.fingerprint,
            elements,
            at: now,
        });
        self.is_behind = false;
        self.next_change = now + PAUSE;
        self.next_check = now + CHECK;
        self.shown.state().applied = Some((generation, self.wiring.clock.wall()));
        tracing::info!(
            generation,
            parts = self.plan.parts.len(),
            groups = self.plan.groups.len(),
            "the kernel holds the policy's addresses"
        );
        Ok(())
    }

    /// Tells of what was learned and spared.
    async fn change(&mut self) -> Result<(), Failure> {
        let begun = self.now();
        let elements = self.elements();
        let told = self.nft.apply(&changes(&self.plan, &elements)).await;
        let now = self.now();
        self.next_change = now + PAUSE.max(SHARE * now.since(begun));
        if let Err(Failure::Refused(_)) = told {
            // Most likely somebody took the table away: the check sees to that, or says what is wrong.
            self.next_check = now;
            return self.check().await;
        }
        told?;
        self.is_behind = false;
        if let Some(applied) = &mut self.applied {
            (applied.elements, applied.at) = (elements, now);
        }
        Ok(())
    }

    /// Sees whether the kernel still holds what it was told, and tells it again if not.
    async fn check(&mut self) -> Result<(), Failure> {
        let begun = self.now();
        let listing = self.list().await?;
        if let Some(listing) = &listing {
            self.count(listing);
        }
        let now = self.now();
        let holds =
            |applied: &Applied| listing.as_ref().is_some_and(|listing| applied.is_shown_by(listing, now));
        if !self.applied.as_ref().is_some_and(holds) {
            let what = if listing.is_some() { "was changed" } else { "is gone" };
            tracing::warn!("the kernel's table {what}: it is put back");
            self.applied = None;
            self.apply().await?;
            self.shown.counts.restored.fetch_add(1, Ordering::Relaxed);
        }
        self.count_unresolved().await?;
        let now = self.now();
        self.next_check = now + CHECK.max(SHARE * now.since(begun));
        Ok(())
    }

    /// Sees to the other table, and counts what it held.
    async fn count_unresolved(&mut self) -> Result<(), Failure> {
        let counters = self.table.check(&self.nft, &self.shown, &self.plan, self.wiring.user).await?;
        self.shown.state().unresolved.read(&counters, &unresolved_counters(&self.plan));
        Ok(())
    }

    async fn list(&self) -> Result<Option<Listing>, Failure> {
        let Some(text) = self.nft.list(TABLE).await? else { return Ok(None) };
        read_listing(&text).map(Some).ok_or_else(|| Failure::Refused("its list cannot be read".to_owned()))
    }

    fn count(&self, listing: &Listing) {
        self.shown.state().tally.read(&listing.counters, &self.counters);
    }

    /// Keeps what a process before learned and permitted, so that a restart opens no gap.
    async fn take_over(&self) {
        Table::take_over(&self.nft, &self.shown).await;
        let Ok(Some(listing)) = self.list().await else { return };
        let now = self.now();
        let mut state = self.shown.state();
        for part in &self.plan.parts {
            for suffix in ["v4", "v6"] {
                let set = format!("set.{}.learned.{suffix}", part.ident);
                for address in listing.elements.get(&set).into_iter().flatten() {
                    state.learned.take_over(&part.title, *address, (&self.plan, &self.terms), now);
                }
            }
        }
    }
}
