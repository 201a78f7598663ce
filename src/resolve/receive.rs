//! Owns the thread on which upstreams' datagrams arrive, and on which what they answer is judged and sent to clients. Never
//! waits for anything else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{io, thread};

use super::asking::{ALARM, Asking, SWEEP};
use crate::net::{Ready, together};

/// Room for one datagram: what is asked for is 1232 bytes at most, and some servers send more.
const DATAGRAM: usize = 4096;

/// Starts the thread. It ends within a sweep after it was told to stop.
pub(super) fn spawn(asking: Arc<Asking>) -> io::Result<()> {
    let run = move || {
        // One question that the product chokes on must not take all others with it.
        while catch_unwind(AssertUnwindSafe(|| receive(&asking))).is_err() {
            tracing::error!("an answer could not be dealt with; going on with the next");
        }
    };
    thread::Builder::new().name("upstream".to_owned()).spawn(run).map(drop)
}

fn receive(asking: &Arc<Asking>) {
    let mut ready = Ready::default();
    let mut buffer = [0; DATAGRAM];
    let mut swept = asking.network.now();
    while !asking.stop.load(Ordering::Relaxed) {
        if let Err(error) = asking.poll.wait(&mut ready, SWEEP) {
            tracing::error!(%error, "waiting for upstreams failed");
            thread::sleep(SWEEP);
        }
        let now = asking.network.now();
        // What came at once is answered at once.
        together(|| {
            for token in ready.tokens() {
                match token {
                    ALARM => asking.hedge(now),
                    _ => asking.received(token, &mut buffer, now),
                }
            }
        });
        if now.since(swept) >= SWEEP {
            asking.sweep(now);
            swept = now;
        }
    }
}
