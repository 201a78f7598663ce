//! Owns one sink: which records it takes, their bytes, the queue in front of it, and the thread that writes to it. A slow or dead sink loses its own
//! records, counted, and nobody else's. Never puts ids into words.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::answered::Said;
use super::clients::{Clients, Pseudonyms};
use super::config::Sink as Config;
use super::dnstap::{self, Frames, Reader};
use super::encrypted::Encrypted;
use super::fault::{Reason, hint};
use super::file::LineFile;
use super::journal::{self, Journal};
use super::line::{self, Described, Event, Shown};
use super::output::{Batch, Output, Written};
use super::syslog::{Connection, Datagrams, Header};
use super::target::Target;
use crate::clock::{Clock, Moment};
use crate::net::tls::{CertificateError, Peer};
use crate::telemetry::record::{Decision, Record};

/// A sink, as the log sees it.
#[derive(Debug)]
pub(super) struct Sink {
    config: Config,
    pseudonyms: Pseudonyms,
    /// What stands for the client of the record that is told, and which that is, as far as its address says all of that.
    client: String,
    shown_for: Option<IpAddr>,
    header: Header,
    /// Records that came since the sample's last.
    skipped: u32,
    batch: Batch,
    queue: SyncSender<Batch>,
    /// Room of batches that were written.
    spare: Receiver<Batch>,
    counts: Arc<Counts>,
}

/// What is told of a record, whoever it is told to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) time: &'a str,
    pub(super) described: &'a Described,
    /// What a line says of the decision, in this product's own form.
    pub(super) decided: &'a [u8],
    pub(super) said: &'a Said<'a>,
    /// The upstream that answered, if one did.
    pub(super) upstream: Option<&'a str>,
}

/// What became of a sink's records.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) name: String,
    pub(super) written: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Times it could not be written to, by reason.
    pub(super) failures: [AtomicU64; Reason::ALL.len()],
    /// Bytes that wait for it.
    waiting: AtomicUsize,
    /// Nothing more will come.
    ending: AtomicBool,
}

/// Why a sink cannot be opened at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A certificate or a key cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The system refuses.
    #[error("cannot be opened: {0}")]
    Io(#[from] io::Error),
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Certificate(error) => error.hint(),
            Self::Io(_) => "check the path and its owner",
        }
    }
}

/// Batches that may wait for a sink, and bytes: some ten seconds of a busy resolver, within which a collector is restarted.
const BATCHES: usize = 512;
const BYTES: usize = 16 << 20;
/// Bytes from which a batch is handed over at once: little enough to be in the processor's own memory still when it is written, and enough that waking
/// the thread which writes, and its looking after the file, are nothing beside it.
const BATCH: usize = 256 << 10;
/// Batches whose room is used again, and the most that one may keep: memory that grows anew for each batch costs half of what a line does.
const SPARE: usize = 4;
const KEPT: usize = 2 * BATCH;
/// How long a sink that failed is left alone, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Time without records after which a sink looks after itself.
const QUIET: Duration = Duration::from_secs(60);
/// Time between two complaints about a sink.
const COMPLAINT: Duration = Duration::from_secs(60);

impl Sink {
    /// Opens a sink and starts its thread.
    pub(super) fn open(config: &Config, clock: &Clock) -> Result<(Self, JoinHandle<()>), OpenError> {
        let output = output(config, clock)?;
        let counts = Arc::new(Counts {
            name: config.name.clone(),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            failures: std::array::from_fn(|_| AtomicU64::new(0)),
            waiting: AtomicUsize::new(0),
            ending: AtomicBool::new(false),
        });
        let (queue, waiting) = sync_channel(BATCHES);
        let (written, spare) = sync_channel(SPARE);
        let writer = Writer {
            output,
            written,
            counts: Arc::clone(&counts),
            complained: None,
            network: Clock::system(),
        };
        let thread = thread::Builder::new()
            .name(format!("querylog-{}", config.to.kind()))
            .spawn(move || writer.run(&waiting))?;
        let header = Header::of_this_host();
        let sink = Self {
            config: config.clone(),
            pseudonyms: Pseudonyms::default(),
            client: String::new(),
            shown_for: None,
            header,
            skipped: 0,
            batch: Batch::default(),
            queue,
            spare,
            counts,
        };
        Ok((sink, thread))
    }

    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Whether it takes records like this at all.
    pub(super) fn wants(&self, record: &Record<'_>) -> bool {
        // A stream of questions has no place for a connection.
        let is_dnstap = matches!(self.config.to, Target::DnstapUnix(_) | Target::DnstapTcp(_));
        let fits = !(is_dnstap && record.transport == Record::EGRESS);
        fits && (self.config.all || record.decision != Decision::Allowed)
    }

    /// Takes a record, unless it is none of its apps, its groups or its sample.
    pub(super) fn take(&mut self, record: &Record<'_>, told: &Told<'_>) {
        let Told { time, described, decided, said, upstream } = *told;
        let is_of = |all: &[String], one: &str| all.is_empty() || all.iter().any(|known| known == one);
        if !is_of(&self.config.apps, &described.words.app) || !is_of(&self.config.groups, &described.group) {
            return;
        }
        self.skipped += 1;
        if self.skipped < self.config.sample {
            return;
        }
        self.skipped = 0;
        let clients = self.config.clients;
        let is_shown = self.show_client(record);
        let shown = Shown {
            client: is_shown.then_some(&*self.client),
            identity: described.identity.as_deref().filter(|_| clients == Clients::Full),
            is_address: clients == Clients::Full,
        };
        let tells_answers = self.config.answers;
        let event = Event { record, time, described, decided, shown, said, upstream, tells_answers };
        let (form, header, batch) = (self.config.form, &self.header, &mut self.batch);
        match &self.config.to {
            Target::File(_) => batch.draft(|draft| {
                line::put(form, event, draft);
                draft.put_fixed(b"\n");
            }),
            Target::SyslogUdp(_) | Target::SyslogTcp(_) | Target::SyslogTls { .. } => batch.draft(|draft| {
                header.put(record, draft);
                // The message's end is where it ends.
                line::put(form, event, draft);
            }),
            Target::Journald(_) => batch.put(&journal::entry(event)),
            Target::DnstapUnix(_) | Target::DnstapTcp(_) => {
                batch.put(&dnstap::message(event, clients.kept(record.client), header.host()));
            }
        }
        batch.end_record();
        if batch.bytes().len() >= BATCH {
            self.hand_over();
        }
    }

    /// Puts what stands for the client into its place; false when nothing does.
    fn show_client(&mut self, record: &Record<'_>) -> bool {
        if self.shown_for == Some(record.client) {
            return true;
        }
        self.client.clear();
        match self.config.clients {
            Clients::Hmac => {
                let digest = self.pseudonyms.of(record.client, record.time_ms);
                self.client.push_str(digest.as_deref().unwrap_or_default());
                digest.is_some()
            }
            clients => {
                let is_shown = clients.write(record.client, &mut self.client);
                self.shown_for = is_shown.then_some(record.client);
                is_shown
            }
        }
    }

    /// Hands what was taken to the thread that writes, or loses it when too much waits there.
    pub(super) fn hand_over(&mut self) {
        if self.batch.len() == 0 {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, self.spare.try_recv().unwrap_or_default());
        let (records, bytes) = (batch.len() as u64, batch.bytes().len());
        let waiting = self.counts.waiting.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > BYTES || self.queue.try_send(batch).is_err() {
            self.counts.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.lost.fetch_add(records, Ordering::Relaxed);
        }
    }
}

/// What a sink's thread writes to.
fn output(config: &Config, clock: &Clock) -> Result<Box<dyn Output>, OpenError> {
    Ok(match &config.to {
        Target::File(path) => Box::new(LineFile::open(path.clone(), config.rotation, clock.clone())?),
        Target::SyslogUdp(to) => Box::new(Datagrams::new(*to)),
        Target::SyslogTcp(to) => Box::new(Connection::new(*to)),
        Target::SyslogTls { address, name } => {
            let name = name.clone().unwrap_or_else(|| address.ip().to_string());
            let peer = Peer::named(&name).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
            Box::new(Encrypted::new(*address, peer, config.tls.clone())?)
        }
        Target::Journald(path) => Box::new(Journal::new(path.clone())),
        Target::DnstapUnix(path) => Box::new(Frames::new(Reader::Unix(path.clone()))),
        Target::DnstapTcp(to) => Box::new(Frames::new(Reader::Tcp(*to))),
    })
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.counts.ending.store(true, Ordering::Release);
    }
}

/// The thread of a sink.
struct Writer {
    output: Box<dyn Output>,
    written: SyncSender<Batch>,
    counts: Arc<Counts>,
    complained: Option<Moment>,
    /// The machine's clock: networks do not stand still when a test's clock does.
    network: Clock,
}

impl Writer {
    /// Writes what comes until nobody hands over any more. What is worth another try waits, and with it what comes behind.
    fn run(mut self, queue: &Receiver<Batch>) {
        let mut is_gone = false;
        loop {
            let batch = match queue.recv_timeout(QUIET) {
                Ok(batch) => batch,
                Err(RecvTimeoutError::Timeout) => {
                    self.output.idle();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let (bytes, records) = (batch.bytes().len(), batch.len());
            // At the end nobody waits once for each batch for what is not there.
            if is_gone && self.is_ending() {
                self.counts.lost.fetch_add(records as u64, Ordering::Relaxed);
            } else {
                let (is_lost, batch) = self.write(batch);
                is_gone = is_lost;
                if batch.capacity() <= KEPT {
                    let _enough = self.written.try_send(batch.cleared()).is_err();
                }
            }
            self.counts.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.output.end();
    }

    /// Writes a batch, however long that takes. True when some of it is lost for want of a reader; and what was written last.
    fn write(&mut self, mut batch: Batch) -> (bool, Batch) {
        let mut pause = FIRST_PAUSE;
        loop {
            let Written { records, dropped, error } = self.output.write(&batch);
            self.counts.written.fetch_add(records as u64, Ordering::Relaxed);
            let Some(error) = error else { return (false, batch) };
            if let Some(count) = self.counts.failures.get(Reason::of(&error) as usize) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            self.complain(&error);
            batch = batch.without_first(records + dropped);
            self.counts.lost.fetch_add(dropped as u64, Ordering::Relaxed);
            if dropped > 0 {
                continue;
            }
            if !self.output.tries_again() || self.is_ending() {
                self.counts.lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
                return (true, batch);
            }
            self.wait(pause);
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Waits, unless the log ends meanwhile.
    fn wait(&self, pause: Duration) {
        const LOOK: Duration = Duration::from_millis(20);
        let until = self.network.now().plus(pause);
        while self.network.now() < until && !self.is_ending() {
            thread::sleep(LOOK);
        }
    }

    fn is_ending(&self) -> bool {
        self.counts.ending.load(Ordering::Acquire)
    }

    /// Says at most once a minute that records are being lost, or wait; the counter says how many.
    fn complain(&mut self, error: &io::Error) {
        let now = self.network.now();
        if self.complained.is_none_or(|last| now.since(last) >= COMPLAINT) {
            self.complained = Some(now);
            tracing::warn!(%error, hint = hint(error), sink = %self.counts.name, "the query log cannot be written there");
        }
    }
}
