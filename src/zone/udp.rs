//! Owns the zone's UDP sockets: small questions and their small answers, one after another. Never decides an answer.

use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use super::server::{Answer, Server, Transport};

/// Larger than any request: a question, an SOA, OPT and TSIG with the longest names.
const REQUEST: usize = 2048;

/// Answers until `stop` changes.
pub(super) async fn serve(socket: UdpSocket, server: Arc<Server>, mut stop: watch::Receiver<bool>) {
    let mut request = vec![0; REQUEST];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut request) => received,
            _ = stop.changed() => return,
        };
        let (length, peer) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "receiving failed");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let request = request.get(..length).unwrap_or(&[]);
        let answer = server.answer(request, peer.ip().to_canonical(), Transport::Udp);
        if let Answer::Message(message) = answer
            && let Err(error) = socket.send_to(&message, peer).await
        {
            tracing::debug!(%error, %peer, "sending failed");
        }
    }
}
