//! Owns what a request of DNS over HTTPS asks for, and what an answer looks like (RFC 8484 sections 4 and 5), whatever version of
//! HTTP carries it. Never reads a body.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::dns::{MAX_MESSAGE, Requested, lifetime};
use crate::listen::client::{Client, Reply};
use crate::listen::stream::Workers;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// This query.
    Query(Vec<u8>),
    /// The query that its body holds.
    Body,
    /// Nothing that can be done.
    Refused(StatusCode),
}

const MESSAGE: HeaderValue = HeaderValue::from_static("application/dns-message");

/// The alphabet of RFC 4648 section 5. Padding must not be there (RFC 8484 section 6); who sends it is understood all the same.
const ENCODING: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What `request` asks for, where queries are taken at `path`, and at those that a group is for.
pub fn asked<B>(request: &Request<B>, path: &str, is_known: impl FnOnce(&str) -> bool) -> Asked {
    let uri = request.uri();
    if uri.path() != path && !is_known(uri.path()) {
        return Asked::Refused(StatusCode::NOT_FOUND);
    }
    match *request.method() {
        Method::GET => {
            let parameters = uri.query().unwrap_or("").split('&');
            let Some(encoded) = parameters.filter_map(|one| one.strip_prefix("dns=")).next() else {
                return Asked::Refused(StatusCode::BAD_REQUEST);
            };
            match ENCODING.decode(encoded) {
                // A URI that holds more than a message may have is not accepted in the first place.
                Ok(query) => Asked::Query(query),
                Err(_) => Asked::Refused(StatusCode::BAD_REQUEST),
            }
        }
        Method::POST => {
            let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            // Parameters such as a character set mean nothing here.
            let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
            let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/dns-message")) {
                Asked::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            } else if length
                .is_some_and(|length| length.parse().is_ok_and(|length: u64| length > MAX_MESSAGE as u64))
            {
                Asked::Refused(StatusCode::PAYLOAD_TOO_LARGE)
            } else {
                Asked::Body
            }
        }
        _ => Asked::Refused(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// True when some group is for those who ask at `path`.
pub(in crate::listen) fn is_known(path: &str, workers: &Workers) -> bool {
    workers.with(|equipped| {
        equipped.worker.begin_batch();
        equipped.worker.knows_path(path)
    })
}

/// Has a query that came at `path` answered.
pub(in crate::listen) fn answer(
    query: &[u8],
    client: &Client,
    path: &str,
    workers: &Workers,
) -> Reply<Response<Bytes>> {
    client.ask(query, Requested::of(query), Some(path), workers, |reply| response(reply.into_owned().into()))
}

/// A reply in the form of HTTP. Caches of HTTP may keep it as long as those of DNS may (RFC 8484 section 5.1).
fn response(reply: Bytes) -> Response<Bytes> {
    let (length, lifetime) = (reply.len(), lifetime(&reply));
    let mut response = Response::new(reply);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, MESSAGE);
    headers.insert(CONTENT_LENGTH, length.into());
    if let Ok(value) = HeaderValue::try_from(format!("max-age={lifetime}")) {
        headers.insert(CACHE_CONTROL, value);
    }
    response
}

/// A status and nothing else.
pub(in crate::listen) fn refusal(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, 0.into());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Asked {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        asked(&request.body(()).unwrap(), "/dns-query", |path| path == "/dns-query/mobile")
    }

    #[test]
    fn what_is_asked_for_is_understood_and_what_is_not_gets_its_status() {
        const KIND: (&str, &str) = ("content-type", "application/dns-message");
        let refused = |status: u16| Asked::Refused(StatusCode::from_u16(status).unwrap());
        let query = || Asked::Query(vec![0xFB, 0xEF, 0xFF]);
        assert_eq!(request("GET", "/dns-query?dns=--__", &[]), query());
        assert_eq!(request("GET", "/dns-query?ct&x=1&dns=--__&y", &[]), query());
        assert_eq!(request("GET", "/dns-query?dns=AA==", &[]), Asked::Query(vec![0]), "padding is forgiven");
        assert_eq!(request("GET", "/dns-query?dns=++//", &[]), refused(400), "another alphabet");
        assert_eq!(request("GET", "/dns-query", &[]), refused(400));
        assert_eq!(request("GET", "/", &[]), refused(404));
        assert_eq!(request("GET", "/dns-query/mobile?dns=--__", &[]), query(), "a group's own path");
        assert_eq!(request("GET", "/dns-query/other?dns=--__", &[]), refused(404));
        assert_eq!(request("POST", "/dns-query", &[KIND]), Asked::Body);
        assert_eq!(
            request("POST", "/dns-query", &[("content-type", "Application/DNS-Message; x=y")]),
            Asked::Body
        );
        assert_eq!(request("POST", "/dns-query", &[]), refused(415));
        assert_eq!(request("POST", "/dns-query", &[("content-type", "application/dns-json")]), refused(415));
        assert_eq!(request("POST", "/dns-query", &[KIND, ("content-length", "65536")]), refused(413));
        assert_eq!(request("PUT", "/dns-query", &[KIND]), refused(405));
        assert_eq!(refusal(StatusCode::METHOD_NOT_ALLOWED).headers()[ALLOW], "GET, POST");
    }

    #[test]
    fn a_reply_may_be_kept_as_long_as_its_answers() {
        let reply = b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0\x01a\0\0\x01\0\x01\xC0\x0C\0\x01\0\x01\0\0\x01\x2C\0\x04\x01\x02\x03\x04";
        let response = response(Bytes::from_static(reply));
        assert_eq!(response.headers()[CACHE_CONTROL], "max-age=300");
        assert_eq!(response.headers()[CONTENT_LENGTH], "35");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/dns-message");
    }
}
