//! Owns the threads that connections over TCP live on. Each thread takes its own and keeps them to their end: handing one to another costs what waking a
//! thread costs, a sixth of all that a short connection does. Never looks into a connection.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;

use super::door::Door;
use crate::net::Places;

/// Where one thread takes connections.
pub(super) struct Entrance {
    pub(super) door: Arc<Door>,
    pub(super) places: Arc<Places>,
    pub(super) listener: TcpListener,
}

/// Threads of one such thread for work that waits, as reading a file of users does.
const WAITING: usize = 4;
/// Time that connections get to tell both sides of the end, in steps of a hundredth.
const END: Duration = Duration::from_millis(200);

/// Begins a thread that takes connections until `stop` changes.
pub(super) fn begin(
    number: usize,
    entrances: Vec<Entrance>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(WAITING).build()?;
    let entered = runtime.enter();
    for Entrance { door, places, listener } in entrances {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let _ends_at_the_stop = runtime.spawn(super::start::accept_all(listener, door, places));
    }
    drop(entered);
    let work = move || {
        runtime.block_on(async {
            let _stopped = stop.changed().await.is_err();
            let under_way = tokio::runtime::Handle::current().metrics();
            for _ in 0..100 {
                if under_way.num_alive_tasks() == 0 {
                    return;
                }
                tokio::time::sleep(END / 100).await;
            }
        });
    };
    Builder::new().name(format!("proxy-{number}")).spawn(work)
}
