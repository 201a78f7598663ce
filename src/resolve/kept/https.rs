//! Owns the talk with one server inside of HTTP/2 (RFC 8484): each question a request of its own over one connection. Beside `listen`, the door
//! of `h2`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use http::header::{ACCEPT, AGE, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use super::open::{Ended, Multiplexed};
use super::{LOOK, QUIET};
use crate::dns::{MAX_MESSAGE, aged};
use crate::net::tls::{Client, Stream};
use crate::resolve::answer;
use crate::resolve::question::Question;
use crate::resolve::upstream::Upstream;

/// One server.
#[derive(Debug)]
pub(in crate::resolve) struct Https {
    upstream: Upstream,
    client: Client,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub(in crate::resolve) struct Requests {
    send: SendRequest<Bytes>,
    /// Set by each request, taken back by who looks.
    used: Arc<AtomicBool>,
}

const MESSAGE: HeaderValue = HeaderValue::from_static("application/dns-message");
/// Bytes of answers that a server may send before they are read: that of any length, and many of them.
const STREAM_WINDOW: u32 = 128 << 10;
const WINDOW: u32 = 1 << 20;
/// Bytes of an answer's header fields.
const HEADERS: u32 = 16 << 10;

impl Https {
    pub(super) fn new(upstream: Upstream, client: Client) -> Self {
        Self { upstream, client }
    }

    fn uri(&self) -> Result<Uri, http::Error> {
        let host = self.upstream.host();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let authority = match self.upstream.address.port() {
            443 => host,
            port => format!("{host}:{port}"),
        };
        Uri::builder()
            .scheme("https")
            .authority(authority)
            .path_and_query(self.upstream.path.as_str())
            .build()
    }
}

impl Multiplexed for Https {
    type Connection = Requests;

    async fn connect(&self) -> io::Result<Requests> {
        let tcp = TcpStream::connect(self.upstream.address).await?;
        tcp.set_nodelay(true)?;
        let peer = self.upstream.peer().ok_or(io::ErrorKind::InvalidInput)?;
        let session = self.client.session(&peer).map_err(io::Error::other)?;
        let stream = Stream::meet(tcp, session).await?;
        if !stream.session().speaks(b"h2") {
            return Err(io::Error::other("the server does not speak HTTP/2"));
        }
        let (send, connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEADERS)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let used = Arc::new(AtomicBool::new(true));
        drop(tokio::spawn(run(connection, Arc::clone(&used))));
        Ok(Requests { send, used })
    }

    async fn ask(&self, requests: Requests, question: &Question, edns: bool) -> Result<Vec<u8>, Ended> {
        requests.used.store(true, Ordering::Relaxed);
        // A zero id, by which equal questions are equal to whatever keeps their answers (RFC 8484 section 4.1).
        let body = Bytes::from(question.padded(0, edns));
        let uri = self.uri().map_err(|_| Ended::Answer("its path is none"))?;
        let request = Request::post(uri)
            .header(CONTENT_TYPE, MESSAGE)
            .header(ACCEPT, MESSAGE)
            .header(CONTENT_LENGTH, body.len())
            .body(())
            .map_err(|_| Ended::Answer("its path is none"))?;
        let mut send = requests.send.ready().await.map_err(lost)?;
        let (response, mut stream) = send.send_request(request, false).map_err(lost)?;
        stream.send_data(body, true).map_err(lost)?;
        read(response.await.map_err(lost)?, question).await
    }

    /// It ends when nobody can ask over it any more.
    fn close(_requests: Requests) {}
}

fn lost(error: h2::Error) -> Ended {
    Ended::Connection(io::Error::other(error))
}

/// The answer in a response, for the rest of its life.
async fn read(response: Response<h2::RecvStream>, question: &Question) -> Result<Vec<u8>, Ended> {
    let wrong = |what| Err(Ended::Answer(what));
    if response.status() != StatusCode::OK {
        return wrong("the server answers with another status than 200");
    }
    if response.headers().get(CONTENT_TYPE) != Some(&MESSAGE) {
        return wrong("the server answers with something else");
    }
    let age = response.headers().get(AGE).and_then(|age| age.to_str().ok()?.parse::<u32>().ok());
    let mut body = response.into_body();
    let mut received = Vec::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(lost)?;
        if received.len() + part.len() > MAX_MESSAGE {
            return wrong("the answer is longer than a message may be");
        }
        received.extend_from_slice(&part);
        body.flow_control().release_capacity(part.len()).map_err(lost)?;
    }
    if !answer::take(&mut received, 0, question.wire()) {
        return wrong("not the answer to the question");
    }
    // What something on the way kept has got older there (RFC 8484 section 5.1).
    aged(&mut received, age.unwrap_or(0));
    Ok(received)
}

/// Runs one connection until it ends, does not answer any more, or nobody asks.
async fn run(mut connection: Connection<Stream, Bytes>, used: Arc<AtomicBool>) {
    let pings = connection.ping_pong();
    tokio::select! {
        _ = connection => {}
        () = look(pings, used) => {}
    }
}

async fn look(mut pings: Option<PingPong>, used: Arc<AtomicBool>) {
    let mut looks = interval(LOOK);
    let mut quiet = 0;
    while quiet <= QUIET {
        looks.tick().await;
        quiet = if used.swap(false, Ordering::Relaxed) { 0 } else { quiet + 1 };
        if let Some(pings) = &mut pings
            && !matches!(timeout(LOOK, pings.ping(Ping::opaque())).await, Ok(Ok(_)))
        {
            return;
        }
    }
}
