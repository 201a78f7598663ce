//! What a request of DNS over HTTPS asks for, of any version of HTTP: whatever its fields hold, it is a query that stands in it, the body, or
//! a status of those that are told.
#![no_main]

use http::Request;
use interdict::listen::{Asked, asked};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut fields = data.split(|byte| *byte == b'\n');
    let mut field = || fields.next().unwrap_or(b"");
    let method = match field() {
        b"" => &b"GET"[..],
        b"p" => b"POST",
        other => other,
    };
    let uri = [b"/dns-query?dns=", field()].concat();
    let path = field();
    for uri in [&uri[..], path] {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in [("content-type", field()), ("content-length", field())] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        let Ok(request) = request.body(()) else { continue };
        match asked(&request, "/dns-query", |path| path == "/dns-query/mobile") {
            Asked::Query(query) => {
                assert_eq!(request.method(), "GET");
                assert!(query.len() <= uri.len() * 3 / 4);
            }
            Asked::Body => assert_eq!(request.method(), "POST"),
            Asked::Refused(status) => {
                assert!([400, 404, 405, 413, 415].contains(&status.as_u16()), "{status}")
            }
        }
    }
});
