//! Owns the head of a request of HTTP/1 (RFC 9112): whom it is for, in whatever form that is said, and how it goes on to the origin. Never takes
//! what two readers may read differently, and never reads a body.

use std::ops::Range;

use super::host::Authority;
use super::{Look, MOST};
use crate::net::Login;

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of it, with the empty line that ends it.
    pub length: usize,
    /// How its target is written.
    pub form: Form,
    /// Whom it is for; `None` in one before version 1.1 that does not say.
    pub authority: Option<Authority>,
    /// Whose it is, as it says to a proxy (RFC 7617); `None` when it says nothing that can be read.
    pub login: Option<Login>,
    /// Whether it asks for another protocol on this connection (RFC 9110 section 7.8).
    pub upgrades: bool,
    method: Range<usize>,
    /// The part of the target that is for the origin.
    path: Range<usize>,
}

/// How a request's target is written (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole address, as proxies are asked.
    Absolute,
    /// A host and port, for a tunnel.
    Connect,
    /// A path, as origins are asked.
    Origin,
}

/// Longest method: those that are registered have up to 17 letters.
const METHOD: usize = 24;
const LINE: &[u8] = b"\r\n";

/// Reads the head at the front of `stream`, which may be fewer bytes than it has.
pub fn read(stream: &[u8]) -> Look<Head> {
    let method = stream.iter().take_while(|byte| is_token(**byte)).count();
    match stream.get(method) {
        None if method < METHOD => return Look::More(stream.len() + 1),
        Some(b' ') if (1..=METHOD).contains(&method) => {}
        _ => return Look::Other,
    }
    let head = match stream.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(at) => stream.get(..at + 2).unwrap_or(&[]),
        None if stream.len() >= MOST => return Look::TooBig,
        None => return unfinished(stream),
    };
    if head.len() + 2 > MOST {
        return Look::TooBig;
    }
    match head_of(head, method) {
        Some(Ok(head)) => Look::Found(head),
        Some(Err(what)) => Look::Malformed(what),
        None => Look::Other,
    }
}

/// Of a head that is not all there: something else, if its first line is.
fn unfinished(stream: &[u8]) -> Look<Head> {
    match stream.iter().position(|byte| *byte == b'\n') {
        Some(end) if request_line(stream.get(..=end).unwrap_or(&[])).is_none() => Look::Other,
        _ => Look::More(stream.len() + 1),
    }
}

/// The target of a request line and whether it is of version 1.1; `None` when it is no request line.
fn request_line(line: &[u8]) -> Option<(Range<usize>, bool)> {
    let line = line.strip_suffix(LINE)?;
    let (start, end) =
        (line.iter().position(|byte| *byte == b' ')? + 1, line.iter().rposition(|byte| *byte == b' ')?);
    let version = line.get(end + 1..)?.strip_prefix(b"HTTP/1.")?;
    (start < end && matches!(version, b"0" | b"1")).then_some((start..end, version == b"1"))
}

/// Reads a whole head, up to the end of its last line. `None` when it is no head.
fn head_of(head: &[u8], method: usize) -> Option<Result<Head, &'static str>> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let (target, is_newer) = request_line(lines.next()?)?;
    Some(fields(head, lines, method, target, is_newer))
}

fn fields<'h>(
    head: &'h [u8],
    lines: impl Iterator<Item = &'h [u8]>,
    method: usize,
    target: Range<usize>,
    is_newer: bool,
) -> Result<Head, &'static str> {
    let (mut host, mut login, mut upgrades) = (None, None, false);
    for line in lines {
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"host") && host.replace(value).is_some() {
            return Err("two fields for the host");
        }
        if name.eq_ignore_ascii_case(b"proxy-authorization") && login.replace(value).is_some() {
            return Err("two fields for whose it is");
        }
        upgrades |= name.eq_ignore_ascii_case(b"upgrade");
    }
    let login = login.and_then(|value| std::str::from_utf8(value).ok()).and_then(Login::basic);
    let host = match host {
        None if is_newer => return Err("no field for the host"),
        None | Some([]) => None,
        Some(value) => Some(Authority::read(value).ok_or("the host is none")?),
    };
    let text = head.get(target.clone()).unwrap_or(&[]);
    if !text.iter().all(u8::is_ascii_graphic) {
        return Err("a target with spaces or signs that are not ASCII");
    }
    let is_connect = head.get(..method) == Some(b"CONNECT");
    let (form, said, path) = if is_connect {
        let said = Authority::read(text).filter(|said| said.port.is_some());
        (Form::Connect, Some(said.ok_or("a tunnel to no host and port")?), target)
    } else if text.starts_with(b"/") || text == b"*" {
        (Form::Origin, None, target)
    } else {
        let scheme = b"http://";
        let is_http = text.get(..scheme.len()).is_some_and(|begun| begun.eq_ignore_ascii_case(scheme));
        let rest =
            text.get(scheme.len()..).filter(|_| is_http).ok_or("a target that is no address of HTTP")?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let said = Authority::read(rest.get(..end).unwrap_or(&[])).ok_or("a target without a host")?;
        (Form::Absolute, Some(said), target.start + scheme.len() + end..target.end)
    };
    let differ = |one: &Authority, other: &Authority| match form {
        Form::Connect => one.host != other.host,
        _ => (&one.host, one.port.unwrap_or(80)) != (&other.host, other.port.unwrap_or(80)),
    };
    if let (Some(said), Some(host)) = (&said, &host)
        && differ(said, host)
    {
        return Err("the target and the host differ");
    }
    Ok(Head {
        length: head.len() + 2,
        form,
        authority: said.or(host),
        login,
        upgrades,
        method: 0..method,
        path,
    })
}

/// The name and the value of one line.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let line = line.strip_suffix(LINE).ok_or("a line that ends with half an end")?;
    let colon = line.iter().position(|byte| *byte == b':').ok_or("a field without a colon")?;
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    // Continued lines begin with a space, and are read in two ways.
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err("a field without a proper name");
    }
    let value = value.get(1..).unwrap_or(&[]);
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err("a field with a line's end inside");
    }
    Ok((name, value.trim_ascii()))
}

impl Head {
    /// The head as the origin gets it: its own form of the target, the host that was judged, and nothing that was for the proxy. The origin is told
    /// to close the connection after its response, so that no second request, for somebody else, follows on it unseen (RFC 9112
    /// section 9.6). `head` are the bytes it was read from.
    pub fn for_origin(&self, head: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(head.len() + 32);
        out.extend_from_slice(head.get(self.method.clone()).unwrap_or(&[]));
        out.push(b' ');
        let path = head.get(self.path.clone()).unwrap_or(&[]);
        let path = path.split(|byte| *byte == b'#').next().unwrap_or(&[]);
        if !path.starts_with(b"/") && path != b"*" {
            out.push(b'/');
        }
        out.extend_from_slice(path);
        let mut lines = head.get(..self.length - 2).unwrap_or(&[]).split_inclusive(|byte| *byte == b'\n');
        let version =
            lines.next().and_then(|line| line.get(line.len().checked_sub(11)?..)).unwrap_or(b" HTTP/1.1\r\n");
        out.extend_from_slice(version);
        for line in lines {
            let name = line.split(|byte| *byte == b':').next().unwrap_or(&[]);
            let is_ours = [&b"proxy-connection"[..], b"proxy-authorization", b"keep-alive"];
            let is_ours = is_ours.iter().any(|ours| name.eq_ignore_ascii_case(ours));
            if !is_ours && (self.upgrades || !name.eq_ignore_ascii_case(b"connection")) {
                out.extend_from_slice(line);
            }
        }
        out.extend_from_slice(if self.upgrades { LINE } else { b"Connection: close\r\n\r\n" });
        out
    }

    /// The path that is asked for, in ASCII.
    pub fn path<'h>(&self, head: &'h [u8]) -> &'h str {
        head.get(self.path.clone()).and_then(|path| std::str::from_utf8(path).ok()).unwrap_or("")
    }
}

/// True for what names of methods and fields are made of.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(head: &str) -> Result<(Form, String), &'static str> {
        match read(head.as_bytes()) {
            Look::Found(found) => {
                assert_eq!(found.length, head.len());
                let said = found.authority.map(|found| {
                    let host = found.host.to_string();
                    let host = host.strip_suffix('.').unwrap_or(&host);
                    found.port.map_or(host.to_owned(), |port| format!("{host}:{port}"))
                });
                Ok((found.form, said.unwrap_or_default()))
            }
            Look::Malformed(what) => Err(what),
            other => panic!("{head}: {other:?}"),
        }
    }

    #[test]
    fn whom_a_request_is_for_is_said_in_three_forms() {
        let origin = |host: &str| Ok((Form::Origin, host.to_owned()));
        assert_eq!(
            said("GET /a HTTP/1.1\r\nAccept: */*\r\nhOST:  WWW.Example.com \r\n\r\n"),
            origin("www.example.com")
        );
        assert_eq!(said("GET / HTTP/1.1\r\nHost: [2001:db8::7]:8080\r\n\r\n"), origin("2001:db8::7:8080"));
        assert_eq!(said("GET / HTTP/1.0\r\n\r\n"), origin(""));
        assert_eq!(said("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), origin("a"));
        let absolute = "GET http://a.example/b?c HTTP/1.1\r\nHost: a.example:80\r\n\r\n";
        assert_eq!(said(absolute), Ok((Form::Absolute, "a.example".into())));
        let connect = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(said(connect), Ok((Form::Connect, "a.example:443".into())));
        for head in [absolute, connect] {
            for end in 0..head.len() {
                assert!(
                    matches!(read(&head.as_bytes()[..end]), Look::More(needed) if needed > end && needed <= head.len())
                );
            }
        }
    }

    #[test]
    fn whose_a_request_is_is_for_the_proxy_alone() {
        let text = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nProxy-Authorization: Basic YWRhOnMzY3JldA==\r\n\r\n";
        let Look::Found(head) = read(text.as_bytes()) else { panic!() };
        let login = head.login.clone().unwrap();
        assert_eq!((login.name.as_str(), login.password.as_slice()), ("ada", &b"s3cret"[..]));
        let sent = String::from_utf8(head.for_origin(text.as_bytes())).unwrap();
        assert!(!sent.to_lowercase().contains("authorization"), "{sent}");
        let Look::Found(head) = read(text.replace("Basic", "Digest").as_bytes()) else { panic!() };
        assert_eq!(head.login, None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic YTpi\r\nproxy-authorization: Basic YTpi\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\rHost: b\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a:81\r\n\r\n",
            "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\nHost: a\r\n\r\n",
        ] {
            assert!(said(head).is_err(), "{head:?}: {:?}", said(head));
        }
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        for other in [
            &b"\x16\x03\x01"[..],
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
            b"SSH-2.0-OpenSSH\r\n",
            b"EHLO mail.example\r\n",
            b" GET / HTTP/1.1\r\n",
            b"GET / HTTP/2.0\r\n",
            b"GET /\r\n",
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        ] {
            assert_eq!(read(other), Look::Other, "{:?}", std::str::from_utf8(other));
        }
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(MOST));
        assert_eq!(read(long.as_bytes()), Look::TooBig);
    }

    #[test]
    fn the_origin_gets_its_own_form_and_closes() {
        let rewrite = |text: &str| {
            let Look::Found(head) = read(text.as_bytes()) else { panic!("{text}") };
            String::from_utf8(head.for_origin(text.as_bytes())).unwrap()
        };
        let absolute = "GET http://a.example?q#part HTTP/1.0\r\nHost: a.example\r\nProxy-Connection: keep-alive\r\nX: y\r\n\r\n";
        assert_eq!(
            rewrite(absolute),
            "GET /?q HTTP/1.0\r\nHost: a.example\r\nX: y\r\nConnection: close\r\n\r\n"
        );
        let origin = "POST /p HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(
            rewrite(origin),
            "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
        );
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        assert_eq!(rewrite(upgrade), upgrade);
    }
}
