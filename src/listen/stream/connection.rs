//! Owns one connection: what came is handled at once, replies go out in the order they are ready, and what takes too long ends
//! it. An idle one holds its socket, its session and little else. Never reads more than a length of a message.

use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::completion::Completion;
use super::inbox::Inbox;
use super::workers::{Equipped, Workers};
use crate::dns::{MAX_MESSAGE, Requested};
use crate::listen::accept::Arrived;
use crate::listen::config::Config;
use crate::listen::metrics::{Closed, Handshake, Statistics};
use crate::net::tls::Session;
use crate::net::{Direct, Place};
use crate::policy::Credentials;
use crate::query::{Asker, Outcome};

/// One connection; as a future, it ends with the reason.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    session: Option<Box<Session>>,
    from: Asker,
    /// What the client has shown, and the generation that made `from.identity` of it.
    credentials: Option<Box<(Credentials, Option<u64>)>>,
    config: Config,
    workers: Arc<Workers>,
    statistics: Arc<Statistics>,
    inbox: Arc<Inbox>,
    place: Place,
    /// The beginning of a message, or messages that wait for a place.
    carried: Vec<u8>,
    /// Bytes for the socket that it did not take yet; inside of TLS the session has them.
    unsent: Vec<u8>,
    /// Whether the client may still ask.
    asking: bool,
    greeting: bool,
    ticks: Interval,
    period: Duration,
    /// Periods until the next tick: one while something is to be done in time, more while nothing is.
    step: u32,
    /// Ticks since the beginning; since a query came, a reply left, or one was waited for; and since the client last took something
    /// that waits for it.
    age: u32,
    quiet: u32,
    stuck: u32,
}

/// Reads before other connections get their turn.
const ROUNDS: usize = 4;
/// Ticks in the shortest limit: a connection ends at most a quarter of it late.
const RESOLUTION: u32 = 4;

impl Connection {
    pub(super) fn new(
        arrived: Arrived,
        session: Option<Session>,
        config: Config,
        workers: Arc<Workers>,
        statistics: Arc<Statistics>,
    ) -> Self {
        let Arrived { stream, from, credentials, place } = arrived;
        let shortest = config.idle.min(config.write).min(config.handshake);
        let period = (shortest / RESOLUTION).max(Duration::from_millis(1));
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            greeting: session.is_some(),
            session: session.map(Box::new),
            inbox: Arc::default(),
            carried: Vec::new(),
            unsent: Vec::new(),
            credentials: (credentials != Credentials::default()).then(|| Box::new((credentials, None))),
            asking: true,
            age: 0,
            quiet: 0,
            stuck: 0,
            stream,
            from,
            config,
            workers,
            statistics,
            place,
            ticks,
            period,
            step: 1,
        }
    }

    /// Takes no more queries; ends when those it has are answered.
    pub(super) fn drain(&mut self) {
        self.asking = false;
        self.carried = Vec::new();
    }

    fn advance(&mut self, context: &mut Context<'_>) -> Poll<Result<Closed, Closed>> {
        while self.ticks.poll_tick(context).is_ready() {
            self.tick()?;
        }
        for _ in 0..ROUNDS {
            let blocked = self.flush(context).is_pending();
            let (came, waiting) = self.inbox.look(context);
            if let Some(replies) = came {
                self.quiet = 0;
                self.say(&replies);
                continue;
            }
            if waiting > 0 {
                self.quiet = 0;
            }
            if blocked {
                self.hurry();
                return Poll::Pending;
            }
            if waiting < self.config.pipeline && self.asking {
                ready!(self.read(context, waiting))?;
            } else if waiting == 0 && !self.has_to_send() {
                return Poll::Ready(Ok(Closed::Client));
            } else {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Counts time, and says so when one of the limits is reached.
    fn tick(&mut self) -> Result<(), Closed> {
        for count in [&mut self.age, &mut self.quiet, &mut self.stuck] {
            *count = count.saturating_add(self.step);
        }
        // Ten thousand idle connections are not to be looked at every second.
        let idle = !self.greeting && !self.has_to_send();
        self.step = if idle { self.idle_step() } else { 1 };
        if idle {
            self.ticks.reset_after(self.period * self.step);
        }
        let past = |count: u32, limit: Duration| self.period * count.saturating_sub(1) >= limit;
        if past(self.age, self.config.lifetime) {
            Err(Closed::Lifetime)
        } else if self.greeting && past(self.age, self.config.handshake) {
            Err(Closed::Handshake)
        } else if self.has_to_send() {
            if past(self.stuck, self.config.write) { Err(Closed::SlowReader) } else { Ok(()) }
        } else if past(self.quiet, self.config.idle) {
            Err(Closed::Idle)
        } else {
            Ok(())
        }
    }

    /// Periods in a part of the time that a connection may idle.
    fn idle_step(&self) -> u32 {
        let part = self.config.idle / RESOLUTION;
        u32::try_from(part.as_millis() / self.period.as_millis().max(1)).unwrap_or(1).max(1)
    }

    /// Looks at the time soon again, as something is to be done in time.
    fn hurry(&mut self) {
        if self.step > 1 {
            self.step = 1;
            self.ticks.reset_after(self.period);
        }
    }

    fn has_to_send(&self) -> bool {
        !self.unsent.is_empty() || self.session.as_ref().is_some_and(|session| session.has_to_send())
    }

    /// Sends what waits to be sent; pending while the client takes no more.
    fn flush(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.has_to_send() {
            // An error shows when the socket is read.
            if ready!(self.stream.poll_write_ready(context)).is_err() {
                return Poll::Pending;
            }
            let mut socket = Direct(&self.stream);
            let sent = match &mut self.session {
                Some(session) => session.send(&mut socket),
                None => socket.write(&self.unsent).map(|length| drop(self.unsent.drain(..length))),
            };
            match sent {
                Ok(()) => self.stuck = 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stuck = self.stuck.min(1),
                Err(_) => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// Takes framed replies to be sent, and sends what can be sent now.
    fn say(&mut self, mut replies: &[u8]) {
        if replies.is_empty() {
            return;
        }
        match &mut self.session {
            Some(session) => session.say(replies),
            None => {
                if self.unsent.is_empty()
                    && let Ok(sent) = self.stream.try_write(replies)
                {
                    replies = replies.get(sent..).unwrap_or(&[]);
                }
                self.unsent.extend_from_slice(replies);
            }
        }
    }

    /// Reads once what the socket has, and handles it. `waiting` queries have no reply yet.
    fn read(&mut self, context: &mut Context<'_>, waiting: usize) -> Poll<Result<(), Closed>> {
        let workers = Arc::clone(&self.workers);
        if message(&self.carried, 0).is_some() {
            // They waited for a place.
            workers.with(|equipped| {
                equipped.text.append(&mut self.carried);
                self.handle(equipped, waiting);
            });
            return Poll::Ready(Ok(()));
        }
        if ready!(self.stream.poll_read_ready(context)).is_err() {
            return Poll::Ready(Err(Closed::Client));
        }
        workers.with(|equipped| {
            let mut room = ReadBuf::new(&mut equipped.received);
            if ready!(Pin::new(&mut self.stream).poll_read(context, &mut room)).is_err() {
                return Poll::Ready(Err(Closed::Client));
            }
            let received = room.filled();
            if received.is_empty() {
                self.drain();
                return Poll::Ready(Ok(()));
            }
            equipped.text.append(&mut self.carried);
            match &mut self.session {
                None => equipped.text.extend_from_slice(received),
                Some(session) => match session.receive(received, &mut equipped.text) {
                    Ok(false) => {}
                    Ok(true) => self.asking = false,
                    Err(_) => return Poll::Ready(Err(self.failed())),
                },
            }
            self.greeted();
            self.handle(equipped, waiting);
            Poll::Ready(Ok(()))
        })
    }

    /// Handles the messages in the worker's text, and carries what is left of it.
    fn handle(&mut self, equipped: &mut Equipped, mut waiting: usize) {
        let Equipped { worker, text, replies, .. } = equipped;
        let encrypted = self.session.is_some();
        let idle = Some(u16::try_from(self.config.idle.as_millis() / 100).unwrap_or(u16::MAX));
        let (mut at, mut filled) = (0, 0);
        worker.begin_batch();
        if let Some((credentials, known)) = self.credentials.as_deref_mut()
            && *known != Some(worker.generation())
        {
            *known = Some(worker.generation());
            self.from.identity = worker.identify(credentials, None);
        }
        while waiting < self.config.pipeline
            && let Some(query) = message(text, at)
        {
            at += 2 + query.len();
            self.quiet = 0;
            if replies.len() - filled < 2 + MAX_MESSAGE {
                self.say(replies.get(..filled).unwrap_or(&[]));
                filled = 0;
            }
            let Some(room) = replies.get_mut(filled..filled + 2 + MAX_MESSAGE) else { break };
            let (length, room) = room.split_at_mut(2);
            let completion = Completion { requested: Requested::of(query), idle, encrypted };
            let outcome = worker.handle(query, self.from, room, || {
                let awaited = self.inbox.expect();
                Box::new(move |reply: &[u8]| awaited.reply(reply, completion))
            });
            match outcome {
                Outcome::Reply(written) => {
                    let written = completion.apply(room, written);
                    length.copy_from_slice(&(written as u16).to_be_bytes());
                    filled += 2 + written;
                }
                Outcome::Later => waiting += 1,
                Outcome::Drop => {}
            }
        }
        worker.end_batch();
        self.say(replies.get(..filled).unwrap_or(&[]));
        if self.asking {
            self.carried = text.get(at..).unwrap_or(&[]).to_vec();
        }
    }

    /// Notes when the handshake is done.
    fn greeted(&mut self) {
        if self.greeting
            && let Some(session) = &self.session
            && !session.is_handshaking()
        {
            self.greeting = false;
            self.place.greeted();
            let how = if session.is_resumed() { Handshake::Resumed } else { Handshake::Full };
            self.statistics.of(self.from.transport).handshake(how);
            let mut credentials = session.credentials();
            if let Some((told, _)) = self.credentials.take().map(|told| *told) {
                credentials.server_name = credentials.server_name.or(told.server_name);
            }
            if credentials != Credentials::default() {
                self.credentials = Some(Box::new((credentials, None)));
            }
        }
    }

    /// The session cannot go on: says why, if the socket takes it.
    fn failed(&mut self) -> Closed {
        self.part();
        if !self.greeting {
            return Closed::Client;
        }
        self.statistics.of(self.from.transport).handshake(Handshake::Failed);
        Closed::Handshake
    }

    /// Says what can be said at the end without waiting.
    pub(super) fn part(&mut self) {
        if let Some(session) = &mut self.session {
            session.close();
            // Nobody is left to be told otherwise.
            let _unsent = session.send(Direct(&self.stream)).is_err();
        }
    }
}

impl Future for Connection {
    type Output = Closed;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Closed> {
        self.advance(context).map(|ended| {
            self.part();
            match ended {
                Ok(closed) | Err(closed) => closed,
            }
        })
    }
}

/// The message whose length begins at `at`, when all of it is there.
fn message(text: &[u8], at: usize) -> Option<&[u8]> {
    let (length, rest) = text.get(at..)?.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}
