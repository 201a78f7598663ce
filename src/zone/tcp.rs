//! Owns the zone's TCP connections: framing, one request after another, and every limit that keeps one client from hurting
//! others. Never decides an answer.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::metrics::Sent;
use super::server::{Answer, Server, Transport};
use super::transfer::{Transfer, What};
use crate::dns::framed;
use crate::net::{accept, read_message};

/// Connections of those who may ask. Two hundred secondaries that are notified at once come within a second or two of each
/// other; the next one waits for a place. Each may hold three messages of 32 KiB.
const CONNECTIONS: usize = 64;
/// Connections of everybody else, who are told no; more are closed unheard.
const STRANGERS: usize = 8;
/// Time within which the next request must come whole.
const IDLE: Duration = Duration::from_secs(10);
/// The same for a stranger's only request.
const STRANGER_IDLE: Duration = Duration::from_secs(2);
/// Time within which a client must take a message.
const WRITE: Duration = Duration::from_secs(10);
/// Time after which a connection is closed whatever it does: a zone of ten million names at 1 MB a second.
const LIFETIME: Duration = Duration::from_secs(900);
/// Messages that are made before they can be sent.
const AHEAD: usize = 2;
/// Whole zones that are made at once; others wait. Each takes a thread, and the processor's time for seconds when the zone is
/// long: questions go first.
pub(super) const WHOLE_AT_ONCE: usize = 4;

/// Accepts connections until `stop` changes. Those that are open end with the runtime.
pub(super) async fn serve(listener: TcpListener, server: Arc<Server>, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    loop {
        let failed = |error: io::Error| tracing::debug!(%error, "accepting failed");
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener, failed) => accepted,
            _ = stop.changed() => return,
        };
        let client = peer.ip().to_canonical();
        let is_admitted = server.config.admits(client);
        let place = if is_admitted {
            tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place.ok(),
                _ = stop.changed() => return,
            }
        } else {
            Arc::clone(&strangers).try_acquire_owned().ok()
        };
        let Some(place) = place else { continue };
        let (server, stop) = (Arc::clone(&server), stop.clone());
        tokio::spawn(async move {
            let idle = if is_admitted { IDLE } else { STRANGER_IDLE };
            // What becomes of a connection that broke off concerns nobody but its client.
            let _ended =
                timeout(LIFETIME, connection(stream, client, is_admitted, idle, &server, stop)).await;
            drop(place);
        });
    }
}

async fn connection(
    mut stream: TcpStream,
    client: IpAddr,
    goes_on: bool,
    idle: Duration,
    server: &Server,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    loop {
        tokio::select! {
            read = timeout(idle, read_message(&mut stream, &mut request)) => read??,
            _ = stop.changed() => return Ok(()),
        }
        match server.answer(&request, client, Transport::Tcp) {
            Answer::Message(message) => write(&mut stream, &message).await?,
            Answer::Nothing => return Ok(()),
            Answer::Transfer(transfer) => {
                let sent = match transfer.what {
                    What::Differences(_) => Sent::Difference,
                    What::Whole => Sent::Whole,
                };
                let serial = transfer.version.head.serial;
                let ended = send(&mut stream, *transfer, server).await;
                server.statistics.sent(if ended.is_ok() { sent } else { Sent::Broken });
                match &ended {
                    Ok(()) => tracing::debug!(%client, serial, ?sent, "zone sent"),
                    Err(error) => tracing::info!(%client, serial, %error, "a zone transfer broke off"),
                }
                ended?;
            }
        }
        if !goes_on {
            return stream.shutdown().await;
        }
    }
}

async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    timeout(WRITE, stream.write_all(&framed(message))).await?
}

/// Sends all messages of a transfer, which are made on a thread of their own: they take the processor for seconds when the
/// zone is long.
async fn send(stream: &mut TcpStream, transfer: Transfer, server: &Server) -> io::Result<()> {
    let _place = match transfer.what {
        What::Differences(_) => None,
        What::Whole => server.whole.acquire().await.ok(),
    };
    let (made, mut messages) = mpsc::channel(AHEAD);
    let making =
        tokio::task::spawn_blocking(move || transfer.run(|message| made.blocking_send(message).is_ok()));
    while let Some(message) = messages.recv().await {
        // Whoever makes them ends when this one gives up.
        write(stream, &message).await?;
    }
    match making.await {
        Ok(true) => Ok(()),
        _ => Err(io::Error::other("not all messages were made")),
    }
}
