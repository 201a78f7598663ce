//! Owns replies over UDP that are sent later than their query's batch. Where a thread answers many at once, because what it asked for came at once,
//! those of one socket go out in one system call. Never waits for others longer than that takes.

use std::cell::RefCell;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::metrics::Statistics;
use super::mmsg::{BATCH, Local, Outgoing, send_one};
use crate::net::put_off;

/// What goes out from one socket.
struct Waiting {
    socket: Arc<UdpSocket>,
    statistics: Arc<Statistics>,
    replies: Outgoing,
}

thread_local! {
    static OUTBOX: RefCell<Vec<Waiting>> = const { RefCell::new(Vec::new()) };
    /// Room that is used again.
    static SPARE: RefCell<Vec<Outgoing>> = const { RefCell::new(Vec::new()) };
}

/// Sends a reply from the address its query was sent to: now, or with the others of this moment.
pub(super) fn send(
    socket: &Arc<UdpSocket>,
    statistics: &Arc<Statistics>,
    reply: &[u8],
    peer: SocketAddr,
    local: &Local,
) {
    OUTBOX.with_borrow_mut(|outbox| {
        if outbox.is_empty() && !put_off(send_all) {
            if send_one(socket, reply, peer, local).is_err() {
                statistics.send_failed.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let at =
            outbox.iter().position(|waiting| Arc::ptr_eq(&waiting.socket, socket)).unwrap_or(outbox.len());
        if at == outbox.len() {
            let (socket, statistics) = (Arc::clone(socket), Arc::clone(statistics));
            let replies = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
            outbox.push(Waiting { socket, statistics, replies });
        }
        let Some(waiting) = outbox.get_mut(at) else { return };
        waiting.replies.push(reply, peer, local);
        if waiting.replies.len() >= BATCH {
            waiting.send();
        }
    });
}

fn send_all() {
    OUTBOX.with_borrow_mut(|outbox| {
        for mut waiting in outbox.drain(..) {
            waiting.send();
            SPARE.with_borrow_mut(|spare| spare.push(waiting.replies));
        }
    });
}

impl Waiting {
    fn send(&mut self) {
        let failed = self.replies.send(&self.socket);
        if failed > 0 {
            self.statistics.send_failed.fetch_add(failed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::together;

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket
    }

    fn received(socket: &UdpSocket) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
    }

    #[test]
    fn replies_of_one_moment_go_out_at_its_end_each_from_its_socket_to_its_client() {
        let servers = [socket(), socket()].map(Arc::new);
        let clients = [socket(), socket(), socket()];
        let statistics = Arc::new(Statistics::default());
        let told = |number: usize| {
            let (server, client) = (&servers[number % 2], &clients[number % 3]);
            let reply = vec![number as u8; 1 + number * 7];
            send(server, &statistics, &reply, client.local_addr().unwrap(), &Local::any());
        };
        told(0);
        assert_eq!(received(&clients[0]).unwrap(), [0], "at once, where nothing ends");
        together(|| {
            (1..=BATCH).for_each(told);
            clients[1].set_nonblocking(true).unwrap();
            assert_eq!(received(&clients[1]), None, "before the end");
            clients[1].set_nonblocking(false).unwrap();
        });
        let mut found: Vec<Vec<u8>> = clients
            .iter()
            .flat_map(|client| std::iter::from_fn(|| received(client)).collect::<Vec<_>>())
            .collect();
        found.sort();
        let expected: Vec<Vec<u8>> = (1..=BATCH).map(|number| vec![number as u8; 1 + number * 7]).collect();
        assert_eq!(found, expected);
        told(3);
        assert_eq!(received(&clients[0]).unwrap().len(), 22, "at once again");
        assert_eq!(statistics.send_failed.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn more_replies_than_one_call_takes_go_out_and_one_that_cannot_be_sent_stops_no_other() {
        let (server, client) = (Arc::new(socket()), socket());
        let statistics = Arc::new(Statistics::default());
        // Another family than the socket's.
        let nowhere: SocketAddr = "[2001:db8::1]:53".parse().unwrap();
        together(|| {
            for number in 0..BATCH + 40 {
                let to = if number % 50 == 7 { nowhere } else { client.local_addr().unwrap() };
                send(&server, &statistics, &[number as u8], to, &Local::any());
            }
        });
        let found: Vec<u8> = std::iter::from_fn(|| received(&client)).map(|reply| reply[0]).collect();
        let expected: Vec<u8> = (0..(BATCH + 40) as u8).filter(|number| number % 50 != 7).collect();
        assert_eq!(found, expected);
        assert_eq!(statistics.send_failed.load(Ordering::Relaxed), 2);
    }
}
