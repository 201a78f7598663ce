//! Connections that carry messages behind their lengths (RFC 7766, RFC 7858): over TCP as they are, or inside of TLS. Owns what a
//! connection does (connection, inbox, completion), and what handles its queries (workers).

mod completion;
mod connection;
mod inbox;
mod workers;

use std::sync::Arc;

use tokio::time::timeout;

use super::accept::{Arrived, DRAIN, Entrance, accept_all};
use super::metrics::Closed;
use crate::net::tls::{Server, Session};

pub use workers::Workers;

pub(super) use completion::Completion;

/// Serves connections until the stop. With `tls` everything is inside of it.
pub async fn serve(entrance: Entrance, tls: Option<Arc<Server>>, workers: Arc<Workers>) {
    let (statistics, config, stop) =
        (Arc::clone(&entrance.statistics), entrance.limits, entrance.stop.clone());
    let serve = move |arrived: Arrived| {
        let (tls, workers, statistics) = (tls.clone(), Arc::clone(&workers), Arc::clone(&statistics));
        let mut stop = stop.clone();
        async move {
            let session = match tls.map(|tls| Session::new(tls.config())).transpose() {
                Ok(session) => session,
                Err(error) => {
                    tracing::error!(%error, "no session can be begun");
                    return Closed::Handshake;
                }
            };
            let mut connection = connection::Connection::new(arrived, session, config, workers, statistics);
            tokio::select! {
                reason = &mut connection => reason,
                _ = stop.changed() => {
                    connection.drain();
                    timeout(DRAIN, &mut connection).await.unwrap_or(Closed::Client)
                }
            }
        }
    };
    accept_all(entrance, serve).await;
}
