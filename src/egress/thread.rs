//! Owns the thread that egress runs on: begun before the process gives up its privileges, so that this thread alone keeps the one it needs.
//! Never keeps another.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::keeper::{Wiring, keep};
use super::shown::Egress;
use crate::net::{hold_capabilities, keep_network_administration};

/// A thread that waits to be told what to work with. Dropped untold, it ends.
#[derive(Debug)]
pub struct Waiting {
    wire: SyncSender<Wiring>,
    thread: JoinHandle<()>,
}

impl Egress {
    /// Begins the thread. Must come before the process becomes another user.
    pub fn prepare(self: &Arc<Self>) -> io::Result<Waiting> {
        let (wire, wired) = sync_channel(1);
        let (tell, told) = sync_channel(1);
        let shown = Arc::clone(self);
        let work = move || {
            let held = hold_capabilities();
            let _nobody = tell.send(held).is_err();
            run(shown, &wired);
        };
        let thread = std::thread::Builder::new().name("egress".to_owned()).spawn(work)?;
        told.recv().map_err(io::Error::other)??;
        Ok(Waiting { wire, thread })
    }
}

impl Waiting {
    /// Lets the thread work; returns it, to be waited for at the stop.
    pub fn begin(self, wiring: Wiring) -> JoinHandle<()> {
        if self.wire.send(wiring).is_err() {
            tracing::error!("the thread of egress is gone");
        }
        self.thread
    }
}

fn run(shown: Arc<Egress>, wired: &Receiver<Wiring>) {
    let Ok(wiring) = wired.recv() else { return };
    if let Err(error) = keep_network_administration() {
        // What comes of it is said when the kernel refuses.
        tracing::debug!(%error, "the capability to change the packet filter cannot be handed on");
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(keep(shown, wiring)),
        Err(error) => tracing::error!(%error, "egress cannot start"),
    }
}
