//! Owns what happens to a question between servers: asked, answered, overdue, refused, asked elsewhere, told. One function
//! an event. Never waits: the thread of [`super::receive`] and the tasks of [`super::tcp`] bring the events.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::answer::Content;
use super::forward::Failure;
use super::hedge::{Late, Watch};
use super::place::{Received, Try};
use super::private;
use super::question::{Case, Question, Response};
use super::servers::{Server, Servers};
use super::tcp;
use super::upstream::Config;
use crate::clock::{Clock, Moment};
use crate::dns::{Message, Rcode};
use crate::net::Poll;

/// What all threads that ask and answer share.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) config: Config,
    pub(super) servers: Servers,
    pub(super) poll: Poll,
    watch: Watch,
    /// The clock that the rest of the product runs by.
    pub(super) clock: Clock,
    /// The machine's clock, for waiting: networks do not stand still when a test's clock does.
    pub(super) network: Clock,
    runtime: Handle,
    connections: Arc<Semaphore>,
    pub(super) stop: AtomicBool,
}

/// Connections to upstreams at once; more wait for a place within their time. A quarter of the 1024 descriptors that a
/// process has by default.
const CONNECTIONS: usize = 256;
/// Rounds over the servers: one lost datagram is nothing.
const ROUNDS: u8 = 2;

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the network failed: {0}")]
    Network(#[from] io::Error),
    #[error("no answer in time")]
    Timeout,
}

/// What to do next about a question.
enum Step<'s> {
    Ask { server: &'s Server, number: u16, latest: u8 },
    Fail(Failure),
    Nothing,
    PassOn(u16, Box<[u8]>),
}

impl Asking {
    pub(super) fn new(config: Config, clock: Clock, runtime: Handle) -> io::Result<Self> {
        let poll = Poll::new()?;
        Ok(Self {
            servers: Servers::new(&config)?,
            watch: Watch::new(&poll, ALARM)?,
            poll,
            config,
            clock,
            network: Clock::system(),
            runtime,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            stop: AtomicBool::new(false),
        })
    }

    /// Asks the next server after try `after` came to nothing, or says that none is left. Does nothing while another try is under way.
    fn go_on(self: &Arc<Self>, question: &Arc<Question>, after: u8, failure: Option<Failure>) {
        self.ask_next(question, self.network.now(), after, failure);
    }

    /// The same; the first server, where there was no try.
    pub(super) fn ask_next(
        self: &Arc<Self>,
        question: &Arc<Question>,
        mut now: Moment,
        mut after: u8,
        mut failure: Option<Failure>,
    ) {
        loop {
            match self.next(question, after, failure, now) {
                Step::Ask { server, number, latest } => {
                    let edns = server.health.takes_edns(&self.clock);
                    let Err(broken) = self.ask(server, number, question, latest, edns, now) else { return };
                    self.failed(server, &broken);
                    (after, failure, now) = (latest, Some(Failure::Network), self.network.now());
                }
                Step::Fail(failure) => return self.tell(question, None, Err(failure)),
                Step::Nothing => return,
                Step::PassOn(number, message) => {
                    let response = Response { message: &message, upstream: Some(number) };
                    return self.tell(question, None, Ok(response));
                }
            }
        }
    }

    fn next(&self, question: &Question, after: u8, failure: Option<Failure>, now: Moment) -> Step<'_> {
        let mut progress = question.progress();
        let Some(progress) = progress.as_mut().filter(|progress| progress.awaits(after)) else {
            return Step::Nothing;
        };
        if let Some(failure) = failure {
            progress.failure = failure;
        }
        if now >= question.deadline {
            return Step::Fail(Failure::Timeout);
        }
        if progress.leave(after) {
            return Step::Nothing;
        }
        progress.failed.extend(progress.asked.take());
        loop {
            let chosen = self.servers.choose(question.servers, &progress.failed, &self.clock);
            if let Some((number, server)) = chosen {
                progress.asked = Some(number);
                return Step::Ask { server, number, latest: progress.begin() };
            }
            // Every server said it cannot help: asking again at once would not change that.
            if let Some((number, message)) = progress.unhelpful.take() {
                return Step::PassOn(number, message);
            }
            progress.rounds += 1;
            if progress.rounds >= ROUNDS || progress.failed.is_empty() {
                return Step::Fail(progress.failure);
            }
            progress.failed.clear();
        }
    }

    /// Sends a question to a server.
    fn ask(
        self: &Arc<Self>,
        server: &Server,
        number: u16,
        question: &Arc<Question>,
        latest: u8,
        edns: bool,
        now: Moment,
    ) -> Result<(), Broken> {
        server.health.counts.queries.fetch_add(1, Ordering::Relaxed);
        let others = latest == 1 && self.servers.has_others(question.servers);
        // A connection that is not made yet takes several round trips; and patience that may help is for later tries.
        let patience = server.health.patience(self.config.timeout, others && server.ports.is_some());
        if others {
            server.health.lateness.earn();
            if let Some(wait) = server.health.lateness.late_after().filter(|wait| *wait < patience) {
                self.watch.add(question, latest, number, now, wait);
            }
        }
        let patient_until = (now + patience).min(question.deadline);
        let is_mixed = server.ports.is_some() && server.health.keeps_case(&self.clock);
        let case = if is_mixed { Case::mixed()? } else { Case::PLAIN };
        let tried =
            Try { question: Arc::clone(question), number: latest, edns, case, sent: now, patient_until };
        if let Some(private) = &server.private {
            if private.is_open() {
                self.ask_in_private(number, tried);
                return Ok(());
            }
            if private.claim(self.clock.now()) {
                self.attempt_in_private(number);
            }
        }
        self.ask_as_named(server, number, tried)
    }

    /// Asks others too what is late by the measure of who was asked (the first good answer counts, and what the other takes is noted all the
    /// same). One question in ten at most: a network that is slow throughout is not asked twice for everything.
    pub(super) fn hedge(self: &Arc<Self>, now: Moment) {
        for Late { question, number: late, server, .. } in self.watch.late(now) {
            let Some((question, asked)) = question.upgrade().zip(self.servers.all().get(usize::from(server)))
            else {
                continue;
            };
            let Some((number, other, latest)) = self.hedged(&question, late, server, asked, now) else {
                continue;
            };
            let edns = other.health.takes_edns(&self.clock);
            if let Err(broken) = self.ask(other, number, &question, latest, edns, now) {
                self.failed(other, &broken);
                self.go_on(&question, latest, Some(Failure::Network));
            }
        }
    }

    /// Whom to ask beside a server that is late with try `late`, if anybody may be asked.
    fn hedged(
        &self,
        question: &Question,
        late: u8,
        server: u16,
        asked: &Server,
        now: Moment,
    ) -> Option<(u16, &Server, u8)> {
        let mut progress = question.progress();
        let progress = progress.as_mut().filter(|progress| {
            progress.latest == late && progress.hedged.is_none() && now < question.deadline
        })?;
        let (number, other) = self.servers.choose_beside(server, question.servers, &progress.failed)?;
        if !asked.health.lateness.spend() {
            asked.health.counts.hedges_withheld.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        progress.failed.extend(progress.asked.replace(number));
        let latest = progress.begin();
        progress.beside = Some(late);
        progress.hedged = Some((server, latest));
        Some((number, other, latest))
    }

    fn ask_as_named(self: &Arc<Self>, server: &Server, number: u16, tried: Try) -> Result<(), Broken> {
        match &server.ports {
            Some(ports) => ports.send(&self.poll, tried)?,
            None => self.ask_over_tcp(number, tried),
        }
        Ok(())
    }

    /// Asks inside of TLS a server that is named in clear, and in clear when that fails.
    fn ask_in_private(self: &Arc<Self>, number: u16, tried: Try) {
        let asking = Arc::clone(self);
        self.runtime.spawn(async move {
            let Some(server) = asking.servers.all().get(usize::from(number)) else { return };
            let Some(private) = &server.private else { return };
            let wait = private::PATIENCE.min(tried.patient_until.since(asking.network.now()) / 2);
            let exchange = private.exchange(&tried.question, tried.edns);
            if let Ok(Ok(message)) = tokio::time::timeout(wait, exchange).await {
                return asking.answered(number, &tried, &message, asking.network.now());
            }
            private.failed(&server.health.upstream, asking.clock.now());
            let (question, latest) = (Arc::clone(&tried.question), tried.number);
            if let Err(broken) = asking.ask_as_named(server, number, tried) {
                asking.failed(server, &broken);
                asking.go_on(&question, latest, Some(Failure::Network));
            }
        });
    }

    /// Looks whether a server that is named in clear is to be had inside of TLS too. Nobody waits for it.
    fn attempt_in_private(self: &Arc<Self>, number: u16) {
        let asking = Arc::clone(self);
        self.runtime.spawn(async move {
            let Some(server) = asking.servers.all().get(usize::from(number)) else { return };
            let Some(private) = &server.private else { return };
            let deadline = asking.network.now() + private::PATIENCE;
            // The root's servers: every resolver knows them.
            let question = Question::new(&[0, 0, 2, 0, 1], false, false, 0, deadline, Box::new(|_| {}));
            private.attempt(&Arc::new(question), &server.health.upstream, asking.clock.now()).await;
        });
    }

    fn ask_over_tcp(self: &Arc<Self>, server: u16, tried: Try) {
        let asking = Arc::clone(self);
        self.runtime.spawn(async move {
            let Some(asked) = asking.servers.all().get(usize::from(server)) else { return };
            let wait = tried.patient_until.since(asking.network.now());
            let address = asked.health.upstream.address;
            let exchange = async {
                if let Some(kept) = &asked.kept {
                    return kept.exchange(&tried.question, tried.edns).await;
                }
                let _place = asking.connections.acquire().await.map_err(io::Error::other)?;
                tcp::exchange(address, &tried.question, tried.edns).await
            };
            match tokio::time::timeout(wait, exchange).await {
                Ok(Ok(message)) => {
                    asked.health.counts.tcp.fetch_add(1, Ordering::Relaxed);
                    asking.answered(server, &tried, &message, asking.network.now());
                }
                Ok(Err(error)) => asking.broken(server, &tried, &error.into()),
                Err(_) => asking.broken(server, &tried, &Broken::Timeout),
            }
        });
    }

    /// The same question to the same server over TCP, with a patience of its own.
    fn again_over_tcp(self: &Arc<Self>, server: u16, mut tried: Try, now: Moment) {
        let Some(asked) = self.servers.all().get(usize::from(server)) else { return };
        let patience = asked.health.patience(self.config.timeout, false);
        tried.patient_until = (now + patience).min(tried.question.deadline);
        self.ask_over_tcp(server, tried);
    }

    /// A datagram, or an error, came at one of a server's sockets.
    pub(super) fn received(self: &Arc<Self>, token: u64, buffer: &mut [u8], now: Moment) {
        let (number, place) = ((token >> 32) as u16, (token & 0xFFFF_FFFF) as usize);
        let Some(server) = self.servers.all().get(usize::from(number)) else { return };
        let Some(ports) = &server.ports else { return };
        match ports.receive(place, buffer) {
            Received::Answer(tried, Content::Truncated) => self.again_over_tcp(number, tried, now),
            // Who guessed all else has guessed; a server that keeps no case is asked again without, and for a while.
            Received::Answer(tried, Content::Folded) => {
                server.health.folded_case(self.clock.now());
                let plain = self.ask(server, number, &tried.question, tried.number, tried.edns, now);
                if let Err(broken) = plain {
                    self.broken(number, &tried, &broken);
                }
            }
            Received::Answer(tried, Content::Whole(length)) => {
                self.answered(number, &tried, buffer.get(..length).unwrap_or(&[]), now);
            }
            Received::Answer(tried, Content::Anew(message)) => self.answered(number, &tried, &message, now),
            Received::Forged(tries) => {
                server.health.counts.mismatches.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(upstream = %server.health.upstream, "answers to no question: somebody may be guessing");
                // Where a forger cannot follow (RFC 5452 section 9).
                tries.into_iter().for_each(|tried| self.again_over_tcp(number, tried, now));
            }
            Received::Nothing => {}
            Received::Refused(tries) => self.refused(number, &tries),
            Received::Stray => {
                server.health.counts.mismatches.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Looks after what no datagram tells: patience that ended, deadlines.
    pub(super) fn sweep(self: &Arc<Self>, now: Moment) {
        let (mut overdue, mut refused) = (Vec::new(), Vec::new());
        for (number, server) in self.servers.all().iter().enumerate() {
            let Some(ports) = &server.ports else { continue };
            ports.sweep(now, &mut overdue, &mut refused);
            for tried in overdue.drain(..) {
                self.broken(number as u16, &tried, &Broken::Timeout);
            }
            self.refused(number as u16, &refused);
            refused.clear();
        }
    }

    fn refused(self: &Arc<Self>, server: u16, tries: &[Try]) {
        for tried in tries {
            self.broken(server, tried, &Broken::Network(io::ErrorKind::ConnectionRefused.into()));
        }
    }

    /// A server answered with `message`.
    fn answered(self: &Arc<Self>, number: u16, tried: &Try, message: &[u8], now: Moment) {
        let Some(server) = self.servers.all().get(usize::from(number)) else { return };
        server.health.succeeded(now.since(tried.sent));
        match Message::new(message).map_or(Rcode::SERVFAIL, |message| message.flags().rcode()) {
            Rcode::NOERROR | Rcode::NXDOMAIN => {
                let response = Response { message, upstream: Some(number) };
                self.tell(&tried.question, Some(tried.number), Ok(response));
            }
            // RFC 6891 7: a server that knows no EDNS says FORMERR or NOTIMP.
            Rcode::FORMERR | Rcode::NOTIMP if tried.edns && !tried.question.is_over() => {
                server.health.refused_edns(self.clock.now());
                let plain = self.ask(server, number, &tried.question, tried.number, false, now);
                if let Err(broken) = plain {
                    self.broken(number, tried, &broken);
                }
            }
            rcode => {
                if rcode == Rcode::SERVFAIL {
                    server.health.counts.servfail.fetch_add(1, Ordering::Relaxed);
                }
                if let Some(progress) = tried.question.progress().as_mut() {
                    progress.unhelpful = Some((number, message.into()));
                }
                self.go_on(&tried.question, tried.number, None);
            }
        }
    }

    /// Tells who asked what came of the question, by which try, unless that was done before.
    fn tell(&self, question: &Question, by: Option<u8>, outcome: Result<Response<'_>, Failure>) {
        let Some(progress) = question.conclude() else { return };
        if let Some((late, other)) = progress.hedged
            && let Some(late) = self.servers.all().get(usize::from(late))
        {
            let counts = &late.health.counts;
            let count = if by == Some(other) { &counts.hedges_won } else { &counts.hedges_lost };
            count.fetch_add(1, Ordering::Relaxed);
        }
        (progress.then)(outcome);
    }

    /// A try came to nothing.
    fn broken(self: &Arc<Self>, server: u16, tried: &Try, broken: &Broken) {
        if let Some(server) = self.servers.all().get(usize::from(server)) {
            self.failed(server, broken);
        }
        let failure = match broken {
            Broken::Network(_) => Failure::Network,
            Broken::Timeout => Failure::Timeout,
        };
        self.go_on(&tried.question, tried.number, Some(failure));
    }

    fn failed(&self, server: &Server, broken: &Broken) {
        server.health.failed(self.clock.now());
        let counts = &server.health.counts;
        match broken {
            Broken::Network(_) => counts.network.fetch_add(1, Ordering::Relaxed),
            Broken::Timeout => counts.timeouts.fetch_add(1, Ordering::Relaxed),
        };
        tracing::debug!(upstream = %server.health.upstream, error = %broken, "a try failed");
    }
}

/// What a poll says when something may be late: no server has so high a number.
pub(super) const ALARM: u64 = u64::MAX;

/// Longest time until a sweep notices that a patience or a deadline ended.
pub(super) const SWEEP: Duration = Duration::from_millis(50);
