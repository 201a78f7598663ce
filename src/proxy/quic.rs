//! Owns QUIC that the kernel brings here although it was meant for others (TPROXY): the first datagrams of a flow are held until they say whom it
//! wants, then all are passed on, or none. Never answers, so that a denied client falls back to TCP, where it is told.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::door::Door;
use super::judge::Caller;
use super::metrics::{Outcome, Way};
use super::peek::{Host, Initials, Look};
use crate::net::{Place, Places, connect_as, connect_udp, receive_transparent};

/// Datagrams of one flow that wait to be looked at.
const WAITING: usize = 16;
/// Time without a datagram after which a flow is forgotten: browsers end an idle connection of QUIC after 30 s.
const IDLE: Duration = Duration::from_secs(60);
/// How long a refused flow's datagrams are swallowed unread: as long as a client goes on trying.
const SWALLOWED: Duration = Duration::from_secs(10);
/// Longest datagram.
const LONGEST: usize = 1 << 16;
/// Datagrams taken before others have their turn.
const TURNS: u32 = 64;

/// A client, and whom it sends to.
type Flow = (SocketAddr, SocketAddr);

/// Takes datagrams until the stop.
pub(super) async fn serve(socket: UdpSocket, door: Arc<Door>, places: Arc<Places>) {
    let mut stop = door.stop.clone();
    let mut flows: HashMap<Flow, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        tokio::select! {
            ready = socket.readable() => if ready.is_err() { return },
            _ = stop.changed() => return,
        }
        for _ in 0..TURNS {
            match socket.try_io(Interest::READABLE, || receive_transparent(&socket, &mut buffer)) {
                Ok((length, from, to)) => {
                    let datagram = buffer.get(..length).unwrap_or(&[]);
                    take(&mut flows, (from, to), datagram, &door, &places);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        // Those that have ended make room before the table grows.
        if flows.len() == flows.capacity() {
            flows.retain(|_, flow| !flow.is_closed());
        }
        tokio::task::yield_now().await;
    }
}

/// Gives a datagram to its flow, which begins with it if there is none.
fn take(
    flows: &mut HashMap<Flow, mpsc::Sender<Vec<u8>>>,
    flow: Flow,
    datagram: &[u8],
    door: &Arc<Door>,
    places: &Arc<Places>,
) {
    let entry = match flows.entry(flow) {
        // One that is full loses the datagram, as networks do.
        Entry::Occupied(found) if !found.get().is_closed() => {
            let _lost = found.get().try_send(datagram.to_vec()).is_err();
            return;
        }
        entry => entry,
    };
    let place = places.enter(false).and_then(|mut place| place.is_given_to(flow.0.ip()).then_some(place));
    let Some(place) = place else { return door.statistics.ended(Way::Quic, Outcome::Limit) };
    let (sender, receiver) = mpsc::channel(WAITING);
    let _first = sender.try_send(datagram.to_vec()).is_err();
    entry.insert_entry(sender);
    let door = Arc::clone(door);
    tokio::spawn(async move { begin(flow, receiver, &door, place).await });
}

/// Serves a flow to its end.
async fn begin(flow: Flow, mut receiver: mpsc::Receiver<Vec<u8>>, door: &Door, place: Place) {
    let _held_to_the_end = place;
    let mut outcome = Outcome::Gone;
    door.statistics
        .during(Way::Quic, async {
            outcome = Box::pin(pass(flow, &mut receiver, door)).await;
            outcome
        })
        .await;
    if outcome != Outcome::Passed {
        let swallow = async { while receiver.recv().await.is_some() {} };
        let _silent = timeout(SWALLOWED, swallow).await.is_err();
    }
}

async fn pass((client, destination): Flow, receiver: &mut mpsc::Receiver<Vec<u8>>, door: &Door) -> Outcome {
    if door.is_inside(destination) || door.is_round(client) {
        return Outcome::Inside;
    }
    let mut held = Vec::new();
    let reading = timeout(door.config.head, read(receiver, &mut held));
    let host = match reading.await.unwrap_or(Err(Outcome::HeadTime)) {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    if let Err(refusal) = door.admit(Caller::at(client.ip()), host.as_ref(), destination.ip()).await {
        return refusal.outcome();
    }
    let open = || -> io::Result<(UdpSocket, UdpSocket)> {
        Ok((
            UdpSocket::from_std(connect_udp(destination)?)?,
            UdpSocket::from_std(connect_as(destination, client)?)?,
        ))
    };
    let Ok((origin, back)) = open() else { return Outcome::Unreachable };
    for datagram in held {
        let _lost = origin.send(&datagram).await.is_err();
        door.statistics.up.fetch_add(datagram.len() as u64, Ordering::Relaxed);
    }
    let mut stop = door.stop.clone();
    let mut late = true;
    loop {
        // What came by the common socket before the flow had one of its own.
        let more = async {
            match receiver.recv().await {
                Some(datagram) => datagram,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            datagram = more, if late => {
                let _lost = origin.send(&datagram).await.is_err();
                late = !receiver.is_closed();
            }
            ready = back.readable() => if ready.is_err() { break } else { forward(&back, &origin, &door.statistics.up) },
            ready = origin.readable() => if ready.is_err() { break } else { forward(&origin, &back, &door.statistics.down) },
            () = sleep(IDLE) => {
                door.statistics.idle.fetch_add(1, Ordering::Relaxed);
                break;
            }
            _ = stop.changed() => break,
        }
    }
    Outcome::Passed
}

/// Reads whom a flow wants out of its first datagrams; of what is not QUIC, nobody is known.
async fn read(
    receiver: &mut mpsc::Receiver<Vec<u8>>,
    held: &mut Vec<Vec<u8>>,
) -> Result<Option<Host>, Outcome> {
    let mut initials = Initials::default();
    while let Some(datagram) = receiver.recv().await {
        let found = initials.push(&datagram);
        held.push(datagram);
        match found {
            Look::Found(hello) => return Ok(hello.server_name),
            Look::Other => return Ok(None),
            Look::Malformed(_) => return Err(Outcome::Malformed),
            Look::TooBig => return Err(Outcome::HeadBytes),
            Look::More(_) => {}
        }
    }
    Err(Outcome::Gone)
}

/// Passes on what has come, up to a bound; what is not taken at once is lost, as networks do.
fn forward(from: &UdpSocket, to: &UdpSocket, count: &std::sync::atomic::AtomicU64) {
    thread_local! {
        /// Room for one datagram, shared by all flows of a thread.
        static ROOM: std::cell::RefCell<Box<[u8]>> = std::cell::RefCell::new(vec![0; LONGEST].into());
    }
    ROOM.with_borrow_mut(|room| {
        for _ in 0..TURNS {
            // An error is the other side's port that is closed: nothing to be passed on.
            let Ok(length) = from.try_recv(room) else { return };
            let _lost = to.try_send(room.get(..length).unwrap_or(&[])).is_err();
            count.fetch_add(length as u64, Ordering::Relaxed);
        }
    });
}
