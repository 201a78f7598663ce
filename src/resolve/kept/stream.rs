//! Owns the connections to one server that are kept for further questions: over TCP, or inside of TLS with the server's certificate checked.
//! Questions go out as they come and answers are matched whatever their order (RFC 7766 section 7). Never chooses a server, and never
//! waits for longer than its caller lets it.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};

use super::{CONNECT, LOOK, QUIET};
use crate::net::read_message;
use crate::net::tls::{Client, Stream};
use crate::resolve::answer;
use crate::resolve::question::{Case, PACKET, Question};
use crate::resolve::random::unpredictable;
use crate::resolve::upstream::Upstream;

/// The connections to one server.
#[derive(Debug)]
pub(in crate::resolve) struct Streams {
    upstream: Upstream,
    /// For servers inside of TLS.
    client: Option<Client>,
    /// Where the open connections take questions.
    open: Mutex<Vec<mpsc::Sender<Asked>>>,
    /// Held by who makes a connection, for which all others wait.
    connecting: tokio::sync::Mutex<()>,
}

/// A question for a connection.
#[derive(Debug)]
struct Asked {
    question: Arc<Question>,
    edns: bool,
    answer: oneshot::Sender<Vec<u8>>,
}

/// Connections to one server: the second takes what the first has no room for.
const CONNECTIONS: usize = 2;
/// Questions that may wait to be sent on a connection.
const QUEUE: usize = 256;
/// Questions on their way on one connection; more wait.
const FLIGHTS: usize = 1000;

impl Streams {
    pub(in crate::resolve) fn new(upstream: Upstream, client: Option<Client>) -> Self {
        let (open, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { upstream, client, open, connecting }
    }

    /// The answer to `question`, with a zero id and without OPT record.
    pub(in crate::resolve) async fn exchange(
        &self,
        question: &Arc<Question>,
        edns: bool,
    ) -> io::Result<Vec<u8>> {
        loop {
            let (open, is_new) = self.connection().await?;
            let (answer, answered) = oneshot::channel();
            let asked = Asked { question: Arc::clone(question), edns, answer };
            let sent = open.send(asked).await.is_ok();
            match answered.await {
                Ok(message) if sent => return Ok(message),
                // A kept connection may be closed by the server at any time, which says nothing about a new one.
                _ if !is_new => {}
                _ => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
    }

    /// An open connection, and whether it was made for this.
    async fn connection(&self) -> io::Result<(mpsc::Sender<Asked>, bool)> {
        if let Some(open) = self.any_open() {
            return Ok((open, false));
        }
        let _turn = self.connecting.lock().await;
        if let Some(open) = self.any_open() {
            return Ok((open, false));
        }
        let made = timeout(CONNECT, self.connect()).await;
        let open = made.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(open.clone());
        Ok((open, true))
    }

    /// The open connection with most room; none when another is better made.
    fn any_open(&self) -> Option<mpsc::Sender<Asked>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|one| !one.is_closed());
        let best = open.iter().max_by_key(|one| one.capacity())?;
        (best.capacity() > 0 || open.len() >= CONNECTIONS).then(|| best.clone())
    }

    async fn connect(&self) -> io::Result<mpsc::Sender<Asked>> {
        let tcp = TcpStream::connect(self.upstream.address).await?;
        tcp.set_nodelay(true)?;
        let (open, asked) = mpsc::channel(QUEUE);
        match (&self.client, self.upstream.peer()) {
            (Some(client), Some(peer)) => {
                let session = client.session(&peer).map_err(io::Error::other)?;
                let stream = Stream::meet(tcp, session).await?;
                drop(tokio::spawn(run(stream, asked, true)));
            }
            _ => drop(tokio::spawn(run(tcp, asked, false))),
        }
        Ok(open)
    }
}

/// Runs one connection until nobody asks any more, or it ends. Those who wait then are told by their channels.
async fn run(stream: impl AsyncRead + AsyncWrite, mut asked: mpsc::Receiver<Asked>, encrypted: bool) {
    let (reader, writer) = tokio::io::split(stream);
    let mut writer = pin!(BufWriter::new(writer));
    let mut flights: HashMap<u16, Asked> = HashMap::new();
    // One read after the other, each of which is waited for to its end, whatever is sent meanwhile.
    let mut reading = pin!(next(reader, Vec::new()));
    let mut looks = interval(LOOK);
    let mut quiet = 0;
    loop {
        tokio::select! {
            Some(first) = asked.recv(), if flights.len() < FLIGHTS => {
                let mut more = Some(first);
                while let Some(one) = more {
                    if send(&mut writer, &mut flights, one, encrypted).await.is_err() {
                        return;
                    }
                    more = if flights.len() < FLIGHTS { asked.try_recv().ok() } else { None };
                }
                if writer.flush().await.is_err() {
                    return;
                }
            }
            read = &mut reading => {
                let Ok((reader, mut message)) = read else { return };
                quiet = 0;
                settle(&mut flights, &mut message);
                reading.set(next(reader, message));
            }
            _ = looks.tick() => {
                // Those whose askers no longer wait.
                flights.retain(|_, flight| !flight.answer.is_closed());
                quiet += 1;
                if quiet > if flights.is_empty() { QUIET } else { 2 } {
                    return;
                }
            }
        }
    }
}

async fn next<R: AsyncRead + Unpin>(mut reader: R, mut message: Vec<u8>) -> io::Result<(R, Vec<u8>)> {
    read_message(&mut reader, &mut message).await?;
    Ok((reader, message))
}

/// Sends a question under an id that no other on its way has.
async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    flights: &mut HashMap<u16, Asked>,
    asked: Asked,
    encrypted: bool,
) -> io::Result<()> {
    let mut id = unpredictable()?;
    while flights.contains_key(&id) {
        id = id.wrapping_add(1);
    }
    let mut packet = [0; PACKET];
    let padded = encrypted.then(|| asked.question.padded(id, asked.edns));
    let query = match &padded {
        Some(padded) => padded,
        None => asked.question.write(id, asked.edns, Case::PLAIN, &mut packet),
    };
    writer.write_all(&(query.len() as u16).to_be_bytes()).await?;
    writer.write_all(query).await?;
    flights.insert(id, asked);
    Ok(())
}

/// Tells who asked for `message`. What answers nothing is as good as forged, and left alone.
fn settle(flights: &mut HashMap<u16, Asked>, message: &mut Vec<u8>) {
    let Some(id) = message.first_chunk::<2>().map(|id| u16::from_be_bytes(*id)) else { return };
    let Some(flight) = flights.get(&id) else { return };
    if !answer::take(message, id, flight.question.wire()) {
        return;
    }
    if let Some(flight) = flights.remove(&id) {
        // Fails when its asker no longer waits.
        let _late = flight.answer.send(std::mem::take(message)).is_err();
    }
}
