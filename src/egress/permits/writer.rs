//! Owns the thread that tells the kernel what clients were answered: all that waits in one transaction, then the replies, in their order. Also
//! sees that nobody emptied the sets, and puts back what was in them. Never decides what a client may be answered.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::counts::Reason;
use super::message::{Element, find, guards, transaction};
use super::pairs::Pair;
use super::permits::Permits;
use super::socket::{Kernel, Refusal};
use crate::clock::Moment;
use crate::egress::config::Without;

/// The thread's own.
#[derive(Debug)]
pub(in crate::egress) struct Writer {
    permits: Arc<Permits>,
    stop: watch::Receiver<bool>,
    kernel: Option<Kernel>,
    /// Whether the sets are there and were not emptied, as far as is known.
    is_whole: bool,
    next_look: Moment,
    next_sweep: Moment,
}

/// What becomes of one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its client may reach all of it.
    Permitted,
    /// There was no room.
    NoRoom,
    /// The kernel did not take it.
    Failed,
}

/// Pairs of one transaction: larger ones save nothing more, and their replies would wait for each other.
const OF_TRANSACTION: usize = 1024;
/// How often the sets are looked at, and old pairs forgotten.
const LOOK: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(5);
/// How soon the stop is noticed.
const TICK: Duration = Duration::from_millis(250);
/// How long a reply waits at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long every way is open once there was no room; longer while there still is none.
const OPEN: Duration = Duration::from_secs(30);
/// One client has at most one pair in this many, so that it leaves room for the others, and at least this many.
const OF_CLIENT: usize = 4;
const LEAST_OF_CLIENT: usize = 1024;

impl Writer {
    pub(in crate::egress) fn new(permits: Arc<Permits>, stop: watch::Receiver<bool>) -> Self {
        let now = permits.clock.now();
        Self { permits, stop, kernel: None, is_whole: true, next_look: now, next_sweep: now }
    }

    /// Works until the stop. For a thread of its own.
    pub(in crate::egress) fn run(mut self) {
        while !*self.stop.borrow() {
            let asked = self.permits.queue.begin(OF_TRANSACTION, TICK);
            if !asked.is_empty() {
                self.settle(&asked);
            }
            let now = self.permits.clock.now();
            if now >= self.next_look {
                self.look();
                self.permits.calm(now);
                self.next_look = now + LOOK;
            }
            if now >= self.next_sweep {
                self.permits.pairs.sweep(now);
                self.next_sweep = now + SWEEP;
            }
        }
        self.leave();
    }

    /// Nobody waits for ever: what is left at the stop goes out.
    fn leave(&self) {
        self.permits.queue.close();
        for held in self.permits.queue.overdue(self.permits.clock.now() + PATIENCE) {
            held.without(Without::Open);
        }
    }

    /// Answers those who waited too long, until the stop.
    pub(in crate::egress) async fn mind(permits: Arc<Permits>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let now = permits.clock.now();
            for held in permits.queue.overdue(Moment::START + now.since(Moment::START + PATIENCE)) {
                permits.counts.fail(Reason::Timeout);
                permits.complain(format!(
                    "the kernel took more than {PATIENCE:?} to permit what a client was answered"
                ));
                held.without(permits.on_failure);
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Permits what the replies of one transaction lead to, and lets them go.
    fn settle(&mut self, asked: &[Vec<(Pair, u32)>]) {
        let permits = Arc::clone(&self.permits);
        let turn = permits.turn.blocking_lock();
        // Read before the kernel is told: its own pairs hold a little longer than is known here.
        let begun = permits.clock.now();
        let mut fates = Vec::with_capacity(asked.len());
        let mut batch = Batch::default();
        let mut is_full = false;
        for pairs in asked {
            let before = batch.elements.len();
            batch.add(&permits, pairs, begun);
            let room = self.has_room(&batch, before, begun);
            fates.push(if room.is_ok() { Fate::Permitted } else { Fate::NoRoom });
            if let Err(reason) = room {
                batch.cut(before);
                permits.counts.fail(reason);
                is_full |= reason == Reason::Full;
            }
        }
        let elements = batch.elements;
        let opens = is_full && permits.when_full == Without::Open;
        let open = Some(OPEN).filter(|_| opens && !permits.is_open(begun + OPEN / 2));
        match self.tell(&elements, open) {
            Ok(()) => {
                for element in &elements {
                    permits.pairs.put(element.pair, begun + element.life.unwrap_or_default());
                }
                if open.is_some() {
                    permits.open_until.store((begun + OPEN).nanoseconds(), Ordering::Relaxed);
                }
                permits.counts.told(&elements, permits.clock.now().since(begun));
            }
            // Without a table nobody is held; it will be made of what is known.
            Err(Refusal::Absent) => {
                for element in &elements {
                    permits.pairs.put(element.pair, begun + element.life.unwrap_or_default());
                }
                permits.absent.notify_one();
            }
            Err(refusal) => {
                let is_full = refusal == Refusal::Full;
                permits.counts.fail(if is_full { Reason::Full } else { Reason::Refused });
                permits.complain(format!("the kernel does not permit what clients are answered: {refusal}"));
                for fate in fates.iter_mut().filter(|fate| **fate == Fate::Permitted) {
                    *fate = if is_full { Fate::NoRoom } else { Fate::Failed };
                }
            }
        }
        drop(turn);
        if is_full {
            let what = if opens { "every way is open to their clients" } else { "those answers fail" };
            permits.complain(format!(
                "no room for what more clients are answered ({} pairs): {what}",
                permits.most
            ));
        }
        for (held, fate) in permits.queue.end().into_iter().zip(fates) {
            let Some(held) = held else { continue };
            match fate {
                Fate::Permitted => held.go(),
                Fate::NoRoom => held.without(permits.when_full),
                Fate::Failed => held.without(permits.on_failure),
            }
        }
    }

    /// Whether there is room for the elements from the number `before` on.
    fn has_room(&mut self, batch: &Batch, before: usize, now: Moment) -> Result<(), Reason> {
        let permits = &self.permits;
        let mine = batch.elements.get(before..).unwrap_or(&[]);
        if mine.iter().all(|element| element.is_known) {
            return Ok(());
        }
        if permits.pairs.count() + batch.new > permits.most {
            if now < self.next_sweep {
                // What ended makes room.
                self.next_sweep = now + SWEEP;
                permits.pairs.sweep(now);
            }
            if permits.pairs.count() + batch.new > permits.most {
                return Err(Reason::Full);
            }
        }
        let share = (permits.most / OF_CLIENT).max(LEAST_OF_CLIENT);
        let Some(client) =
            mine.iter().map(|element| element.pair.client).find(|client| !client.is_unspecified())
        else {
            return Ok(());
        };
        let known = permits.pairs.count_of(client);
        // Counted only where it may matter.
        if known + batch.new <= share {
            return Ok(());
        }
        let told = batch.elements.iter().filter(|element| element.pair.client == client && !element.is_known);
        if known + told.count() > share { Err(Reason::Client) } else { Ok(()) }
    }

    fn tell(&mut self, elements: &[Element], open: Option<Duration>) -> Result<(), Refusal> {
        if elements.is_empty() && open.is_none() {
            return Ok(());
        }
        self.say(&transaction(elements, open))
    }

    fn say(&mut self, message: &[u8]) -> Result<(), Refusal> {
        let open = || {
            Kernel::open().map_err(|error: io::Error| {
                error.raw_os_error().map_or(Refusal::Denied, |code| nix::errno::Errno::from_raw(code).into())
            })
        };
        let kernel = match self.kernel.take() {
            Some(kernel) => kernel,
            None => open()?,
        };
        let told = kernel.tell(message);
        // After anything but a plain answer, a new socket knows nothing of the old one's trouble.
        self.kernel = Some(kernel).filter(|_| !matches!(told, Err(Refusal::Other(_))));
        told
    }

    /// Sees whether somebody emptied the sets, and fills them again.
    fn look(&mut self) {
        let permits = Arc::clone(&self.permits);
        if permits.pairs.count() == 0 {
            return;
        }
        let turn = permits.turn.blocking_lock();
        let emptied: Vec<Pair> =
            guards().into_iter().filter(|guard| self.say(&find(*guard)) == Err(Refusal::Absent)).collect();
        let was_whole = std::mem::replace(&mut self.is_whole, emptied.is_empty());
        if emptied.is_empty() {
            return;
        }
        let now = permits.clock.now();
        let guard = emptied.iter().map(|guard| Element { pair: *guard, life: None, is_known: false });
        let pairs = permits.pairs.all(now).into_iter();
        let pairs = pairs.map(|(pair, left)| Element { pair, life: Some(left), is_known: true });
        let elements: Vec<Element> = guard.chain(pairs).collect();
        let told = elements.chunks(OF_TRANSACTION).try_for_each(|elements| self.tell(elements, None));
        drop(turn);
        match told {
            Ok(()) => {
                permits.counts.restored.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    pairs = elements.len(),
                    "the kernel's pairs were taken out: they are put back"
                );
                self.is_whole = true;
            }
            // All of the table is gone: it is made anew of what is known.
            Err(Refusal::Absent) => permits.absent.notify_one(),
            Err(refusal) if was_whole => {
                permits.complain(format!("what was taken out of the kernel cannot be put back: {refusal}"));
            }
            Err(_) => {}
        }
    }
}

/// What the kernel is told in one transaction.
#[derive(Debug, Default)]
struct Batch {
    elements: Vec<Element>,
    /// The longest life of each pair in it.
    lives: HashMap<Pair, Duration>,
    /// How many of them the kernel does not have yet.
    new: usize,
}

impl Batch {
    /// Adds what one reply leads to, as far as the kernel does not permit it.
    fn add(&mut self, permits: &Permits, pairs: &[(Pair, u32)], now: Moment) {
        for (pair, ttl) in pairs {
            let life = permits.life(*ttl);
            let told = self.lives.get(pair).copied();
            if told.is_some_and(|told| told >= life) || permits.is_permitted(*pair, *ttl, now) {
                continue;
            }
            let is_known = told.is_some() || permits.pairs.until(*pair).is_some();
            self.lives.insert(*pair, life);
            self.new += usize::from(!is_known);
            self.elements.push(Element { pair: *pair, life: Some(life), is_known });
        }
    }

    /// Leaves out the elements from that number on.
    fn cut(&mut self, length: usize) {
        for element in self.elements.drain(length..) {
            self.new -= usize::from(!element.is_known);
            // One of the same pair before it is told twice, at worst.
            self.lives.remove(&element.pair);
        }
    }
}
