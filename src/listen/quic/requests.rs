//! Owns one connection of HTTP/3 (RFC 9114): a request a stream, each answered when its answer is ready, as those of HTTP/2 are. The door of
//! `h3`.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use h3::server::{RequestResolver, builder};
use http::{Response, StatusCode};
use quinn::{Connection, ConnectionError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::dns::MAX_MESSAGE;
use crate::listen::accept::DRAIN;
use crate::listen::client::{Client, Reply};
use crate::listen::https::{Asked, answer, asked, is_known, refusal};
use crate::listen::metrics::Closed;

use super::accept::Shared;

/// Bytes of a request's header fields: a query of 4 KiB in a URI, and what browsers add.
const HEADERS: u64 = 16 << 10;
/// Bytes of a refused body that are taken all the same: a client that still sends does not read why it is refused.
const DISCARDED: usize = 1 << 20;

type Incoming = RequestResolver<h3_quinn::Connection, Bytes>;

/// Answers the requests of a connection until it ends.
pub(super) async fn converse(
    connection: &Connection,
    client: Client,
    path: Arc<str>,
    shared: &Shared,
) -> Closed {
    let mut stop = shared.stop.clone();
    let mut settings = builder();
    settings.max_field_section_size(HEADERS).send_grease(false);
    let greeting = settings.build::<_, Bytes>(h3_quinn::Connection::new(connection.clone()));
    let Ok(Ok(mut session)) = timeout(shared.limits.handshake, greeting).await else {
        return Closed::Handshake;
    };
    let mut waiting = JoinSet::new();
    let ended = loop {
        tokio::select! {
            came = session.accept() => match came {
                // Streams that were reset make room for others, while what they asked for is still waited for.
                Ok(Some(request)) if waiting.len() < shared.limits.pipeline => {
                    let (client, path, shared) = (client.clone(), Arc::clone(&path), shared.clone());
                    waiting.spawn(async move { take(request, &client, &path, &shared).await });
                }
                Ok(Some(refused)) => drop(refused),
                Ok(None) => break Closed::Client,
                Err(_) => match connection.close_reason() {
                    Some(ConnectionError::TimedOut) => break Closed::Idle,
                    _ => break Closed::Client,
                },
            },
            Some(_) = waiting.join_next() => {}
            _ = stop.changed() => {
                // Fails when the client has gone.
                let _gone = session.shutdown(0).await.is_err();
                break Closed::Client;
            }
        }
    };
    while timeout(DRAIN, waiting.join_next()).await.is_ok_and(|done| done.is_some()) {}
    ended
}

/// Answers one request; without an answer its stream is reset.
async fn take(request: Incoming, client: &Client, path: &str, shared: &Shared) {
    let idle = shared.limits.idle;
    let Ok(Ok((request, mut stream))) = timeout(idle, request.resolve_request()).await else { return };
    let (at, workers) = (request.uri().path().to_owned(), &shared.workers);
    let asked = asked(&request, path, |path| is_known(path, workers));
    let mut refused = if let Asked::Refused(status) = asked { Some(status) } else { None };
    let (mut body, mut taken) = (Vec::new(), 0);
    let reading = async {
        while let Ok(Some(mut part)) = stream.recv_data().await {
            taken += part.remaining();
            if body.len() + part.remaining() > MAX_MESSAGE {
                refused = refused.or(Some(StatusCode::PAYLOAD_TOO_LARGE));
            }
            if taken > DISCARDED {
                break;
            }
            while refused.is_none() && part.has_remaining() {
                body.extend_from_slice(part.chunk());
                let read = part.chunk().len();
                part.advance(read);
            }
        }
    };
    if timeout(idle, reading).await.is_err() {
        refused = refused.or(Some(StatusCode::REQUEST_TIMEOUT));
    }
    let said = match (refused, asked) {
        (Some(status), _) => Reply::Now(refusal(status)),
        (None, Asked::Query(query)) => answer(&query, client, &at, workers),
        (None, _) => answer(&body, client, &at, workers),
    };
    let response = match said {
        Reply::Now(response) => response,
        Reply::Later(receiver) => match receiver.await {
            Ok(response) => response,
            Err(_) => return stream.stop_stream(h3::error::Code::H3_REQUEST_REJECTED),
        },
        Reply::Nothing => return stream.stop_stream(h3::error::Code::H3_REQUEST_REJECTED),
    };
    let sent = async {
        let (head, body) = response.into_parts();
        stream.send_response(Response::from_parts(head, ())).await?;
        if !body.is_empty() {
            stream.send_data(body).await?;
        }
        stream.finish().await
    };
    let _gone = timeout(shared.limits.write, sent).await.is_err();
}
