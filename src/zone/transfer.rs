//! Owns the messages of a zone transfer: the whole zone (RFC 5936), or the differences since a serial (RFC 1995), each signed
//! in its turn. Reads the snapshot while it goes, so that no zone is held as messages. Never waits for a socket.

use std::sync::Arc;

use super::record::{Record, records};
use super::response::{Echo, Response};
use super::version::{Head, Step, Version, name_server};
use crate::clock::Clock;
use crate::dns::tsig::Signer;
use crate::dns::{Rcode, RecordType};

/// A transfer that was asked for and is granted.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) version: Arc<Version>,
    pub(super) what: What,
    pub(super) echo: Echo,
    pub(super) signer: Option<Signer>,
    pub(super) clock: Clock,
}

/// What is transferred.
#[derive(Debug)]
pub(super) enum What {
    /// Step by step, the oldest first.
    Differences(Vec<Arc<Step>>),
    /// Every record.
    Whole,
}

/// Nobody takes messages any more.
struct Gone;

/// Fills messages and hands them on.
struct Messages<F> {
    echo: Echo,
    signer: Option<Signer>,
    clock: Clock,
    open: Response,
    is_first: bool,
    send: F,
}

impl Transfer {
    /// Makes all messages and hands each to `send` until that returns false. True when all were taken.
    pub(super) fn run(self, send: impl FnMut(Vec<u8>) -> bool) -> bool {
        let Self { version, what, echo, signer, clock } = self;
        let open = Response::new(&echo, Rcode::NOERROR);
        let mut messages = Messages { echo, signer, clock, open, is_first: true, send };
        let head = version.head;
        let all = match what {
            What::Differences(steps) => messages.differences(head, &steps),
            What::Whole => messages.whole(&version),
        };
        all.and_then(|()| messages.soa(head)).and_then(|()| messages.flush()).is_ok()
    }
}

impl<F: FnMut(Vec<u8>) -> bool> Messages<F> {
    fn whole(&mut self, version: &Version) -> Result<(), Gone> {
        self.soa(version.head)?;
        let ttl = version.head.ttl;
        self.record(&Record { owner: b"", record_type: RecordType::NS, ttl, rdata: name_server() })?;
        let mut run = Vec::new();
        for name in version.content.names() {
            run.clear();
            version.content.write(&name, &mut run);
            self.run(&run)?;
        }
        Ok(())
    }

    fn differences(&mut self, head: Head, steps: &[Arc<Step>]) -> Result<(), Gone> {
        self.soa(head)?;
        for step in steps {
            self.soa(step.from)?;
            self.server_if_changed(step, step.from)?;
            self.run(&step.difference.removed)?;
            self.soa(step.to)?;
            self.server_if_changed(step, step.to)?;
            self.run(&step.difference.added)?;
        }
        Ok(())
    }

    /// The NS record has the zone's TTL: it goes and comes with it.
    fn server_if_changed(&mut self, step: &Step, Head { ttl, .. }: Head) -> Result<(), Gone> {
        if step.from.ttl == step.to.ttl {
            return Ok(());
        }
        self.record(&Record { owner: b"", record_type: RecordType::NS, ttl, rdata: name_server() })
    }

    fn run(&mut self, run: &[u8]) -> Result<(), Gone> {
        records(run).try_for_each(|record| self.record(&record))
    }

    fn soa(&mut self, head: Head) -> Result<(), Gone> {
        if self.open.add_soa(head) {
            return Ok(());
        }
        self.flush()?;
        self.open.add_soa(head);
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), Gone> {
        if self.open.add(record) {
            return Ok(());
        }
        self.flush()?;
        self.open.add(record);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Gone> {
        let full = std::mem::replace(&mut self.open, Response::new(&self.echo, Rcode::NOERROR));
        // OPT belongs to the first message (RFC 5936 2.2.5).
        let mut message = full.finish(self.echo.edns && std::mem::take(&mut self.is_first));
        if let Some(signer) = &mut self.signer {
            signer.sign(&mut message, self.clock.wall().as_second().unsigned_abs());
        }
        if (self.send)(message) { Ok(()) } else { Err(Gone) }
    }
}
