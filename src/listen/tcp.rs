//! Owns TCP: framing, pipelining with replies in any order, and every limit that keeps one client from hurting others
//! (RFC 7766). Never reads more than a length of a message.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::metrics::{Closed, Statistics};
use crate::dns::{MAX_MESSAGE, framed};
use crate::net::{accept, read_message};
use crate::query::{Asker, Engine, Outcome, Transport, Worker};

/// Limits of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections at once. Default 1000: far above what a site's clients open, and 70 MB at the very most.
    pub connections: usize,
    /// Time without a query after which a connection is closed, and within which a message must come whole. Default 10 s
    /// (RFC 7766 6.2.3 asks for "a few seconds").
    pub idle: Duration,
    /// Time after which a connection is closed whatever it does. Default 10 minutes, so that no client holds a place for
    /// ever; it simply connects again.
    pub lifetime: Duration,
    /// Queries of one connection that may wait for their replies. Default 100; reading stops until some are answered.
    pub pipeline: usize,
    /// Time within which a client must take a reply. Default 5 s.
    pub write: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 1000,
            idle: Duration::from_secs(10),
            lifetime: Duration::from_secs(600),
            pipeline: 100,
            write: Duration::from_secs(5),
        }
    }
}

/// Accepts connections until `stop` changes, then gives the open ones one idle time to end.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    engine: Arc<Engine>,
    statistics: Arc<Statistics>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(config.connections));
    loop {
        let failed = |error: io::Error| {
            statistics.accept_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "accepting failed");
        };
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener, failed) => accepted,
            _ = stop.changed() => break,
        };
        statistics.opened.fetch_add(1, Ordering::Relaxed);
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            statistics.count_closed(Closed::Limit);
            continue;
        };
        let worker = engine.connection_worker();
        let from = Asker { address: peer.ip().to_canonical(), transport: Transport::Tcp };
        let (statistics, stop) = (Arc::clone(&statistics), stop.clone());
        tokio::spawn(async move {
            statistics.connections.fetch_add(1, Ordering::Relaxed);
            let reason = connection(stream, from, worker, config, stop).await;
            statistics.connections.fetch_sub(1, Ordering::Relaxed);
            statistics.count_closed(reason);
            drop(place);
        });
    }
    let all = u32::try_from(config.connections).unwrap_or(u32::MAX);
    if let Ok(Ok(all)) = timeout(config.idle.min(Duration::from_secs(2)), places.acquire_many(all)).await {
        drop(all);
    }
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    from: Asker,
    worker: Worker,
    config: Config,
    stop: watch::Receiver<bool>,
) -> Closed {
    if stream.set_nodelay(true).is_err() {
        return Closed::Client;
    }
    let (reader, writer) = stream.into_split();
    // Every query takes a permit that its reply gives back once written, so the queue never overflows and memory for a
    // connection stays bounded.
    let permits = Arc::new(Semaphore::new(config.pipeline));
    let (replies, queue) = mpsc::channel(config.pipeline);
    let mut writing = tokio::spawn(write(writer, queue, config.write));
    let reading = read(reader, from, worker, config, permits, replies, stop);
    tokio::pin!(reading);
    tokio::select! {
        reason = &mut reading => {
            // The client may have closed its side only: what it asked is still answered.
            match timeout(config.idle, &mut writing).await {
                Ok(Ok(Ok(()))) => reason,
                _ => { writing.abort(); Closed::SlowReader }
            }
        }
        ended = &mut writing => match ended { Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Closed::SlowReader, _ => Closed::Client },
        () = sleep(config.lifetime) => { writing.abort(); Closed::Lifetime }
    }
}

/// A framed reply and the place in the pipeline it gives back.
type Reply = (Vec<u8>, tokio::sync::OwnedSemaphorePermit);

async fn read(
    mut reader: OwnedReadHalf,
    from: Asker,
    mut worker: Worker,
    config: Config,
    permits: Arc<Semaphore>,
    replies: mpsc::Sender<Reply>,
    mut stop: watch::Receiver<bool>,
) -> Closed {
    let mut query = Vec::new();
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let message = tokio::select! {
            message = timeout(config.idle, read_message(&mut reader, &mut query)) => message,
            _ = stop.changed() => return Closed::Client,
        };
        match message {
            Err(_) => return Closed::Idle,
            Ok(Err(_)) => return Closed::Client,
            Ok(Ok(())) => {}
        }
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return Closed::Client };
        let mut permit = Some(permit);
        worker.begin_batch();
        let outcome = worker.handle(&query, from, &mut buffer, || {
            let (replies, permit) = (replies.clone(), permit.take());
            Box::new(move |reply: &[u8]| {
                if let Some(permit) = permit {
                    // Fails only when the connection is gone.
                    let _ended = replies.try_send((framed(reply), permit)).is_err();
                }
            })
        });
        worker.end_batch();
        if let (Outcome::Reply(length), Some(permit)) = (outcome, permit)
            && let Some(reply) = buffer.get(..length)
            && replies.send((framed(reply), permit)).await.is_err()
        {
            return Closed::Client;
        }
    }
}

/// Writes replies in the order they come. Ends when nobody can send any more.
async fn write(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Reply>,
    wait: Duration,
) -> io::Result<()> {
    while let Some((reply, permit)) = queue.recv().await {
        timeout(wait, writer.write_all(&reply))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        drop(permit);
    }
    writer.shutdown().await
}
