//! Owns the loop of one UDP thread: a batch in, each query handled, the replies out. Never waits for anything but the
//! next datagram.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::metrics::Statistics;
use super::mmsg::{BATCH, Batch, Datagram, is_crowded};
use super::outbox;
use super::room::Room;
use super::terms::{Taken, Terms};
use crate::net::narrow_room;
use crate::query::{Asker, Backlog, Outcome, Transport, Worker};

/// Starts a thread that serves `socket` until `stop` is set; it ends within the socket's read timeout.
pub(super) fn spawn(
    number: usize,
    (socket, terms): (UdpSocket, Terms),
    worker: Worker,
    stop: Arc<AtomicBool>,
    statistics: Arc<Statistics>,
) -> io::Result<JoinHandle<()>> {
    let run = move || serve(Arc::new(socket), &terms, worker, &stop, &statistics);
    thread::Builder::new().name(format!("udp-{number}")).spawn(run)
}

fn serve(
    socket: Arc<UdpSocket>,
    terms: &Terms,
    mut worker: Worker,
    stop: &AtomicBool,
    statistics: &Arc<Statistics>,
) {
    let mut batch = Batch::new();
    let mut room = Room::default();
    while !stop.load(Ordering::Relaxed) {
        let received = match batch.receive(&socket) {
            Ok(received) => received,
            Err(error) => {
                // An ICMP error of an earlier reply, or the machine out of memory: neither ends the service.
                tracing::debug!(%error, "receiving failed");
                statistics.send_failed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        worker.begin_batch();
        let backlog = match received {
            BATCH if is_crowded(&socket) => Backlog::Full,
            BATCH => Backlog::Some,
            _ => Backlog::Empty,
        };
        worker.note_backlog(backlog);
        if let Some(is_narrow) = room.note(backlog, worker.now())
            && let Err(error) = narrow_room(&socket, is_narrow)
        {
            tracing::debug!(%error, "as much waits as before");
        }
        worker.look_ahead((0..received).filter_map(|index| batch.query(index)));
        for index in 0..received {
            let Some(Datagram { bytes, peer, reply, local }) = batch.datagram(index) else { continue };
            let Some(packet) = bytes else {
                statistics.oversized.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let from = Asker::at(peer.ip().to_canonical(), Transport::Udp);
            let (packet, from, cookie) = match terms.take(packet, from, &worker, statistics, reply) {
                Taken::Query(packet, from, cookie) => (packet, from, cookie),
                Taken::Answered(length) => {
                    batch.reply(index, length);
                    continue;
                }
                Taken::Dropped => continue,
            };
            let outcome = worker.handle(packet, from, reply, || {
                let (socket, statistics) = (Arc::clone(&socket), Arc::clone(statistics));
                Box::new(move |reply: &[u8]| {
                    let with_cookie = cookie.map(|cookie| cookie.added(reply));
                    outbox::send(&socket, &statistics, with_cookie.as_deref().unwrap_or(reply), peer, &local);
                })
            });
            if let Outcome::Reply(length) = outcome {
                let length = cookie.map_or(length, |cookie| cookie.add(reply, length));
                batch.reply(index, length);
            }
        }
        if received > 0 {
            let failed = batch.send(&socket);
            if failed > 0 {
                statistics.send_failed.fetch_add(failed, Ordering::Relaxed);
            }
            worker.end_batch();
        }
    }
}
