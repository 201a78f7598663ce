//! Owns NOTIFY (RFC 1996): every configured secondary is told of each new serial until it answers, or for some minutes.
//! Never serves a transfer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::metrics::Notified;
use super::server::Server;
use super::version::{Head, Version};
use crate::dns::tsig::sign_request;
use crate::dns::{Class, Flags, Message, OPCODE_NOTIFY, Rcode, RecordType};

/// What is known of a secondary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Secondary {
    /// Where it is told.
    pub address: SocketAddr,
    /// The last serial that it said it heard of.
    pub serial: Option<u32>,
    /// What became of the last try.
    pub last: &'static str,
}

/// Secondaries in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct Secondaries(Mutex<Vec<Secondary>>);

/// Tries for one serial. With waits of 1, 2, 4 … 60 s that is five minutes, in which the secondary's own refresh is due.
const TRIES: u32 = 10;
/// Wait for the first answer, doubled with each try.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait (RFC 1996 3.6).
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Larger than any response to a NOTIFY.
const RESPONSE: usize = 2048;

impl Secondaries {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        let of = |address: &SocketAddr| Secondary { address: *address, serial: None, last: "not told yet" };
        Self(Mutex::new(addresses.iter().map(of).collect()))
    }

    pub(super) fn all(&self) -> Vec<Secondary> {
        self.lock().clone()
    }

    fn note(&self, address: SocketAddr, serial: Option<u32>, last: &'static str) {
        if let Some(known) = self.lock().iter_mut().find(|known| known.address == address) {
            known.serial = serial.or(known.serial);
            known.last = last;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Secondary>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells one secondary of every new serial until `stop` changes.
pub(super) async fn tell(
    secondary: SocketAddr,
    server: Arc<Server>,
    secondaries: Arc<Secondaries>,
    mut stop: watch::Receiver<bool>,
) {
    let mut versions = server.versions.clone();
    let mut told = None;
    loop {
        let head = versions.borrow_and_update().as_ref().map(|version: &Arc<Version>| version.head);
        let news = head.filter(|head| told != Some(head.serial));
        let work = async {
            match news {
                Some(head) => until_answered(secondary, head, &server, &secondaries).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = work => told = news.map(|head| head.serial),
            // A newer serial makes the one before no news.
            changed = versions.changed() => if changed.is_err() { return },
            _ = stop.changed() => return,
        }
    }
}

async fn until_answered(secondary: SocketAddr, head: Head, server: &Server, secondaries: &Secondaries) {
    let mut wait = FIRST_WAIT;
    for number in 1..=TRIES {
        let asked = timeout(wait, ask(secondary, head, server)).await;
        let error = match asked {
            Ok(Ok(Rcode::NOERROR)) => {
                server.statistics.notified(Notified::Answered);
                return secondaries.note(secondary, Some(head.serial), "answered");
            }
            Ok(Ok(rcode)) => {
                server.statistics.notified(Notified::Refused);
                tracing::warn!(%secondary, serial = head.serial, rcode = rcode.0, "a secondary refuses NOTIFY");
                return secondaries.note(secondary, None, "refused");
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        server.statistics.notified(Notified::Unanswered);
        secondaries.note(secondary, None, "unanswered");
        if number == 1 {
            tracing::info!(%secondary, serial = head.serial, %error, "a secondary does not answer NOTIFY; tried again");
        }
        if error.kind() != io::ErrorKind::TimedOut {
            sleep(wait).await;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    tracing::warn!(%secondary, serial = head.serial, "a secondary did not answer NOTIFY; it is told of the next serial");
}

/// Sends one NOTIFY and waits for its response; the code it has.
async fn ask(secondary: SocketAddr, head: Head, server: &Server) -> io::Result<Rcode> {
    // Secondaries know their primary by its address.
    let own = server.config.listen.iter().map(SocketAddr::ip).find(|ip| ip.is_ipv4() == secondary.is_ipv4());
    let any: IpAddr =
        if secondary.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((own.unwrap_or(any), 0)).await?;
    socket.connect(secondary).await?;
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    let id = u16::from_ne_bytes(id);
    let mut message = notify(id, server.config.name.as_wire(), head);
    let now = || server.clock.wall().as_second().unsigned_abs();
    let mut verifier = server.key.as_ref().map(|key| sign_request(&mut message, key, now()));
    socket.send(&message).await?;
    let mut buffer = vec![0; RESPONSE];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let packet = buffer.get(..length).unwrap_or(&[]);
        let Some(response) = Message::new(packet).filter(|response| {
            let flags = response.flags();
            response.id() == id && flags.has(Flags::QR) && flags.0 & Flags::OPCODE == OPCODE_NOTIFY
        }) else {
            // Somebody else's, or a guess.
            continue;
        };
        if let Some(mut verifier) = verifier.take() {
            let verified = verifier.verify(packet, now()).and_then(|_| verifier.finish());
            verified.map_err(|fault| io::Error::new(io::ErrorKind::PermissionDenied, fault))?;
        }
        return Ok(response.flags().rcode());
    }
}

/// A NOTIFY for the zone, with the SOA as its hint (RFC 1996 3.7).
fn notify(id: u16, zone: &[u8], head: Head) -> Vec<u8> {
    let mut message = Vec::with_capacity(256);
    for word in [id, OPCODE_NOTIFY | Flags::AA, 1, 1, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend_from_slice(zone);
    let (soa, class, rdata) = (RecordType::SOA.0.to_be_bytes(), Class::IN.0.to_be_bytes(), head.rdata());
    message.extend([soa, class].concat());
    message.extend_from_slice(&[0xC0, 0x0C]);
    message.extend([soa, class].concat());
    message.extend_from_slice(&head.ttl.to_be_bytes());
    message.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    message.extend(rdata);
    message
}
