//! Owns one connection of HTTP/2: a request whose answer is known is answered where it is read, without a task; the others wait in
//! tasks of their own. Beside `resolve`, the door of `h2`.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::accept::{Place, Shared};
use super::request::{Asked, answer, asked, is_known, refusal};
use crate::dns::MAX_MESSAGE;
use crate::listen::client::{Client, Reply};
use crate::listen::metrics::Closed;
use crate::net::tls::Stream;

/// Bytes of a request's header fields: a query of 4 KiB in a URI, and what browsers add.
const HEADERS: u32 = 16 << 10;
/// How many times an idle connection looks at the time before it ends.
const RESOLUTION: u32 = 4;

/// Serves to the end.
pub(super) async fn serve(mut stream: Stream, client: Client, mut shared: Shared) -> Closed {
    let config = shared.config;
    stream.gather();
    let greeting = Builder::new()
        .max_concurrent_streams(u32::try_from(config.pipeline).unwrap_or(u32::MAX))
        .max_header_list_size(HEADERS)
        .max_send_buffer_size(MAX_MESSAGE + 1)
        .handshake::<_, Bytes>(stream);
    let Ok(Ok(mut connection)) = timeout(config.handshake, greeting).await else { return Closed::Handshake };
    let (mut waiting, mut requests) = (JoinSet::new(), Vec::new());
    let mut ticks = interval((config.idle / RESOLUTION).max(Duration::from_millis(1)));
    let (mut quiet, mut ending) = (0, None);
    loop {
        tokio::select! {
            biased;
            came = poll_fn(|context| accept(&mut connection, &mut requests, context)) => {
                for (request, respond) in requests.drain(..) {
                    quiet = 0;
                    if waiting.len() < config.pipeline {
                        take(request, Respond { inner: respond, at: shared.at.clone() }, &client, &shared, &mut waiting);
                    } else {
                        // Streams that were reset make room for others, while what they asked for is still waited for.
                        refuse(respond);
                    }
                }
                // It ended, or broke the protocol: both concern nobody else.
                if came.is_break() {
                    return ending.unwrap_or(Closed::Client);
                }
            }
            Some(_) = waiting.join_next() => quiet = 0,
            _ = ticks.tick() => {
                quiet += 1;
                // The client was told, and has not gone.
                if let Some(reason) = ending.filter(|_| quiet > RESOLUTION) {
                    return reason;
                }
                if waiting.is_empty() && quiet > RESOLUTION && ending.is_none() {
                    (quiet, ending) = (0, Some(Closed::Idle));
                    connection.graceful_shutdown();
                }
            }
            _ = shared.stop.changed(), if ending.is_none() => {
                (quiet, ending) = (0, Some(Closed::Client));
                connection.graceful_shutdown();
            }
        }
    }
}

/// A request, and what answers it.
type Incoming = (Request<RecvStream>, SendResponse<Bytes>);

/// What answers a request, and says where else it might be asked.
struct Respond {
    inner: SendResponse<Bytes>,
    at: Place,
}

/// Puts all requests that came into `requests`, so that they are answered together, and what is said to them leaves together; breaks
/// when no more will come.
fn accept(
    connection: &mut Connection<Stream, Bytes>,
    requests: &mut Vec<Incoming>,
    context: &mut Context<'_>,
) -> Poll<ControlFlow<()>> {
    loop {
        match connection.poll_accept(context) {
            Poll::Ready(Some(Ok(incoming))) => requests.push(incoming),
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(ControlFlow::Break(())),
            Poll::Pending if requests.is_empty() => return Poll::Pending,
            Poll::Pending => return Poll::Ready(ControlFlow::Continue(())),
        }
    }
}

/// Answers a request at once where that is possible, and else in a task.
fn take(
    request: Request<RecvStream>,
    mut respond: Respond,
    client: &Client,
    shared: &Shared,
    waiting: &mut JoinSet<()>,
) {
    // Its head is let go of before its body is read.
    let uri = request.uri().clone();
    let path = uri.path();
    match asked(&request, &shared.at.path, |path| is_known(path, &shared.workers)) {
        Asked::Query(query) => say(answer(&query, client, path, &shared.workers), respond, waiting),
        Asked::Refused(status) if request.body().is_end_stream() => send(&mut respond, refusal(status)),
        refused_or_body => {
            let refused = if let Asked::Refused(status) = refused_or_body { Some(status) } else { None };
            let mut body =
                Body { stream: request.into_body(), bytes: BytesMut::new(), refused, discarded: 0 };
            // It nearly always came together with the head.
            match body.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => {
                    say(answer(&body.bytes, client, path, &shared.workers), respond, waiting)
                }
                Poll::Ready(Err(status)) => send(&mut respond, refusal(status)),
                Poll::Pending => {
                    let path = path.to_owned();
                    let (client, workers, limit) =
                        (client.clone(), Arc::clone(&shared.workers), shared.config.idle);
                    waiting.spawn(async move {
                        match timeout(limit, poll_fn(|context| body.poll(context))).await {
                            Ok(Ok(())) => match answer(&body.bytes, &client, &path, &workers) {
                                Reply::Now(response) => send(&mut respond, response),
                                Reply::Later(receiver) => later(receiver, respond).await,
                                Reply::Nothing => respond.inner.send_reset(Reason::REFUSED_STREAM),
                            },
                            Ok(Err(status)) => send(&mut respond, refusal(status)),
                            Err(_) => send(&mut respond, refusal(StatusCode::REQUEST_TIMEOUT)),
                        }
                    });
                }
            }
        }
    }
}

fn say(said: Reply<Response<Bytes>>, mut respond: Respond, waiting: &mut JoinSet<()>) {
    match said {
        Reply::Now(response) => send(&mut respond, response),
        Reply::Later(receiver) => drop(waiting.spawn(later(receiver, respond))),
        Reply::Nothing => respond.inner.send_reset(Reason::REFUSED_STREAM),
    }
}

async fn later(receiver: oneshot::Receiver<Response<Bytes>>, mut respond: Respond) {
    match receiver.await {
        Ok(response) => send(&mut respond, response),
        Err(_) => respond.inner.send_reset(Reason::REFUSED_STREAM),
    }
}

fn refuse(mut respond: SendResponse<Bytes>) {
    respond.send_reset(Reason::REFUSED_STREAM);
}

/// Hands a response to the connection. Fails when the client has given the request up.
fn send(respond: &mut Respond, response: Response<Bytes>) {
    let (head, body) = respond.at.with_alternative(response).into_parts();
    let sent = respond.inner.send_response(Response::from_parts(head, ()), body.is_empty());
    if let Ok(mut stream) = sent
        && !body.is_empty()
    {
        let _given_up = stream.send_data(body, true).is_err();
    }
}

/// The body of a request, as far as it came.
#[derive(Debug)]
struct Body {
    stream: RecvStream,
    bytes: BytesMut,
    /// What is said when it is over, whatever it is.
    refused: Option<StatusCode>,
    discarded: usize,
}

/// Bytes of a refused body that are taken all the same: a client that still sends does not read why it is refused.
pub(super) const DISCARDED: usize = 1 << 20;

impl Body {
    /// Ready when all of it is there.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StatusCode>> {
        loop {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(part)) => {
                    if self.refused.is_none() && self.bytes.len() + part.len() > MAX_MESSAGE {
                        self.refused = Some(StatusCode::PAYLOAD_TOO_LARGE);
                    }
                    match self.refused {
                        None => self.bytes.extend_from_slice(&part),
                        Some(status) => {
                            self.discarded += part.len();
                            if self.discarded > DISCARDED {
                                return Poll::Ready(Err(status));
                            }
                        }
                    }
                    // Fails when the stream has ended.
                    let _ended = self.stream.flow_control().release_capacity(part.len()).is_err();
                }
                Some(Err(_)) => return Poll::Ready(Err(StatusCode::BAD_REQUEST)),
                None => return Poll::Ready(self.refused.map_or(Ok(()), Err)),
            }
        }
    }
}
