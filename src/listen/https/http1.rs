//! Owns one connection of HTTP/1.1: a request after the other, each answered before the next is looked at. Beside `admin`, the
//! door of `hyper`.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::accept::Shared;
use super::http2::DISCARDED;
use super::request::{Asked, answer, asked, is_known, refusal};
use crate::dns::MAX_MESSAGE;
use crate::listen::client::{Client, Reply};
use crate::listen::metrics::Closed;
use crate::net::tls::Stream;

/// Bytes of a request's head: a query of 4 KiB in a URI, and what browsers add. The reader wants 8 KiB at least.
const HEAD: usize = 16 << 10;

/// Serves to the end.
pub(super) async fn serve(stream: Stream, client: Client, shared: Shared) -> Closed {
    let mut stop = shared.stop.clone();
    let idle = shared.config.idle;
    let service = service_fn(move |request| {
        let (client, shared) = (client.clone(), shared.clone());
        async move { respond(request, &client, &shared).await }
    });
    let served = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        _ = stop.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    match ended {
        Err(error) if error.is_timeout() => Closed::Idle,
        _ => Closed::Client,
    }
}

/// Answers one request; the error ends the connection without one.
async fn respond(
    request: Request<Incoming>,
    client: &Client,
    shared: &Shared,
) -> io::Result<Response<Full<Bytes>>> {
    let path = request.uri().path().to_owned();
    let asked = asked(&request, &shared.at.path, |path| is_known(path, &shared.workers));
    // Who waits to be told to go on sends no body to who refuses it.
    let waits = request.headers().contains_key(EXPECT);
    let (idle, mut body) = (shared.config.idle, request.into_body());
    let said = match asked {
        Asked::Refused(status) => {
            if !waits {
                discard(body, idle).await;
            }
            Reply::Now(refusal(status))
        }
        Asked::Query(query) => answer(&query, client, &path, &shared.workers),
        Asked::Body => {
            match tokio::time::timeout(idle, Limited::new(&mut body, MAX_MESSAGE).collect()).await {
                Ok(Ok(body)) => answer(&body.to_bytes(), client, &path, &shared.workers),
                Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                    discard(body, idle).await;
                    Reply::Now(refusal(StatusCode::PAYLOAD_TOO_LARGE))
                }
                Ok(Err(_)) => Reply::Now(refusal(StatusCode::BAD_REQUEST)),
                Err(_) => Reply::Now(refusal(StatusCode::REQUEST_TIMEOUT)),
            }
        }
    };
    let never = || io::Error::other("no answer is given");
    let response = match said {
        Reply::Now(response) => response,
        Reply::Later(receiver) => receiver.await.map_err(|_| never())?,
        Reply::Nothing => return Err(never()),
    };
    Ok(shared.at.with_alternative(response).map(Full::new))
}

/// Takes what is left of a body that nobody reads, up to a bound: a connection closed before that is reset, and the client that
/// still sends never sees why (RFC 9112 section 9.6).
async fn discard(mut body: Incoming, longest: Duration) {
    let taken = async {
        let mut left = DISCARDED;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { break };
            left = rest;
        }
    };
    // Who does not send in that time is answered all the same.
    let _ = tokio::time::timeout(longest, taken).await;
}
