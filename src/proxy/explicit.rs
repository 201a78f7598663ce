//! Owns a connection of a client that knows of the proxy: a request of HTTP for somebody else, a tunnel (CONNECT), or SOCKS. Names are resolved by
//! this resolver, so that its policy holds. Never opens what it carries.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::time::timeout;

use super::door::{Door, Origin, Refusal};
use super::judge::{Caller, Judgement, Wanted};
use super::line::Line;
use super::metrics::Outcome;
use super::peek::{self, Authority, Form, Head, Host, Look};
use super::{automatic, page};

/// What a client has asked for, and in which words it is answered.
enum Asked {
    /// A request that goes on in the origin's form.
    Request(Authority, Head),
    /// A tunnel, asked for over SOCKS.
    Socks(Authority),
    /// A tunnel, asked for over HTTP.
    Tunnel(Authority),
}

/// Addresses of a name that are tried, one after the other.
const TRIED: usize = 4;

/// Codes of replies of SOCKS (RFC 1928 section 6).
mod code {
    pub(super) const DONE: u8 = 0;
    pub(super) const NOT_ALLOWED: u8 = 2;
    pub(super) const UNREACHABLE: u8 = 4;
    pub(super) const REFUSED: u8 = 5;
    pub(super) const COMMAND: u8 = 7;
    pub(super) const ADDRESS: u8 = 8;
}

/// Methods of authentication of SOCKS (RFC 1928 section 3).
mod method {
    pub(super) const OPEN: u8 = 0;
    pub(super) const LOGIN: u8 = 2;
    pub(super) const NONE: u8 = 0xFF;
}

/// Serves a connection to its end.
pub(super) async fn serve(mut client: Line, peer: SocketAddr, door: &Arc<Door>) -> Outcome {
    // What is needed at first only is let go of then: connections are many, and most of their lives they do nothing.
    let begun = Box::pin(begin(&mut client, peer, door)).await;
    match begun {
        Ok((mut origin, head)) => door.pass(&mut client, &mut origin, head).await,
        Err(outcome) => outcome,
    }
}

/// Learns whom a client wants, connects to it, and says so: the origin, and what it gets first.
async fn begin(client: &mut Line, peer: SocketAddr, door: &Arc<Door>) -> Result<(Origin, Vec<u8>), Outcome> {
    if door.is_round(peer) {
        client.reset();
        return Err(Outcome::Inside);
    }
    let mut head = Vec::new();
    let Ok(asked) = timeout(door.config.head, read(client, &mut head, peer, door)).await else {
        client.reset();
        return Err(Outcome::HeadTime);
    };
    let (asked, caller) = asked?;
    let (authority, default) = match &asked {
        Asked::Request(authority, _) => (authority, 80),
        Asked::Socks(authority) | Asked::Tunnel(authority) => (authority, 443),
    };
    let port = authority.port.unwrap_or(default);
    let origin = match reach(peer, caller, (&authority.host, port), door).await {
        Ok(origin) => origin,
        Err((refusal, reason)) => {
            let reply = match &asked {
                Asked::Socks(_) => socks_reply(reason).to_vec(),
                Asked::Request(..) | Asked::Tunnel(_) => {
                    page::refusal(&refusal, door.request(&head)).into_bytes()
                }
            };
            page::send_last(client, &reply).await;
            return Err(refusal.outcome());
        }
    };
    let (yes, host): (&[u8], _) = match &asked {
        Asked::Request(_, request) => {
            let body = head.split_off(request.length);
            head = request.for_origin(&head);
            head.extend_from_slice(&body);
            return Ok((origin, head));
        }
        Asked::Socks(authority) => (&socks_reply(code::DONE), &authority.host),
        Asked::Tunnel(authority) => (b"HTTP/1.1 200 Connected\r\n\r\n", &authority.host),
    };
    client.say(yes).await.map_err(|_| Outcome::Gone)?;
    let inside = look_inside(client, &origin, caller, host, &mut head, door).await;
    if inside.is_err() {
        client.reset();
    }
    inside.map(|()| (origin, head))
}

/// Reads what a client asks for, and answers what needs no origin: `Err` when it is over.
async fn read(
    client: &mut Line,
    head: &mut Vec<u8>,
    peer: SocketAddr,
    door: &Arc<Door>,
) -> Result<(Asked, Caller), Outcome> {
    if client.more(head, 1).await.map_err(|_| Outcome::Gone)? == 0 {
        return Err(Outcome::Gone);
    }
    if head.first() == Some(&5) {
        return read_socks(client, head, peer, door).await;
    }
    let request = match until(client, head, peek::read_http).await {
        Ok(request) => request,
        Err(Outcome::Gone) => return Err(Outcome::Gone),
        Err(outcome) => {
            let refused = page::refusal(&Refusal::Other(outcome), door.request(head));
            page::send_last(client, refused.as_bytes()).await;
            return Err(outcome);
        }
    };
    let user = door.authenticate(request.login.clone(), peer.ip()).await;
    // What the proxy is found by is no secret, and asked for before anybody could have been told to show who it is.
    let is_asked = matches!(request.form, Form::Connect | Form::Absolute);
    let caller = match user.and_then(|user| door.identify(client, user, peer.ip())) {
        Ok(caller) => caller,
        Err(outcome) if is_asked => {
            let refused = page::refusal(&Refusal::Other(outcome), door.request(head));
            page::send_last(client, refused.as_bytes()).await;
            return Err(outcome);
        }
        Err(_) => Caller::at(peer.ip()),
    };
    match (request.form, request.authority.clone()) {
        (Form::Connect, Some(authority)) => {
            head.drain(..request.length);
            Ok((Asked::Tunnel(authority), caller))
        }
        (Form::Absolute, Some(authority)) => Ok((Asked::Request(authority, request), caller)),
        (_, own) => {
            let path = request.path(head).to_owned();
            let response = automatic::response(&path, own.as_ref(), caller, door).await;
            page::send_last(client, &response).await;
            Err(Outcome::Served)
        }
    }
}

async fn read_socks(
    client: &mut Line,
    head: &mut Vec<u8>,
    peer: SocketAddr,
    door: &Arc<Door>,
) -> Result<(Asked, Caller), Outcome> {
    let greeting = until(client, head, peek::read_greeting).await?;
    head.drain(..greeting.length);
    let shows = greeting.has_login && door.users.is_some();
    let user = if shows {
        client.say(&[5, method::LOGIN]).await.map_err(|_| Outcome::Gone)?;
        let shown = until(client, head, peek::read_login).await?;
        head.drain(..shown.length);
        // A name that is none is nobody's.
        let user = match shown.login {
            Some(login) => door.authenticate(Some(login), peer.ip()).await,
            None => Err(Outcome::Unidentified),
        };
        user.and_then(|user| door.identify(client, user, peer.ip()))
    } else if greeting.is_open {
        door.identify(client, None, peer.ip())
    } else {
        Err(Outcome::Malformed)
    };
    let yes = if shows { [1, 0] } else { [5, method::OPEN] };
    let no = if shows { [1, 1] } else { [5, method::NONE] };
    let caller = match user {
        Ok(caller) => caller,
        Err(outcome) => {
            page::send_last(client, &no).await;
            return Err(outcome);
        }
    };
    client.say(&yes).await.map_err(|_| Outcome::Gone)?;
    let request = until(client, head, peek::read_request).await?;
    head.drain(..request.length);
    match request.host {
        Some(host) if request.connects => {
            Ok((Asked::Socks(Authority { host, port: Some(request.port) }), caller))
        }
        host => {
            let reason = if host.is_none() { code::ADDRESS } else { code::COMMAND };
            page::send_last(client, &socks_reply(reason)).await;
            Err(Outcome::Malformed)
        }
    }
}

/// Reads until `look` finds something.
async fn until<T>(client: &mut Line, head: &mut Vec<u8>, look: fn(&[u8]) -> Look<T>) -> Result<T, Outcome> {
    loop {
        let needed = match look(head) {
            Look::Found(found) => return Ok(found),
            Look::Malformed(_) | Look::Other => return Err(Outcome::Malformed),
            Look::TooBig => return Err(Outcome::HeadBytes),
            Look::More(needed) => needed,
        };
        if client.more(head, needed).await.map_err(|_| Outcome::Gone)? == 0 {
            return Err(Outcome::Gone);
        }
    }
}

/// Connects to a host, if the policy lets the client; else why not, and the code for it in SOCKS.
async fn reach(
    peer: SocketAddr,
    caller: Caller,
    (host, port): (&Host, u16),
    door: &Arc<Door>,
) -> Result<Origin, (Refusal, u8)> {
    let other = |outcome, reason| (Refusal::Other(outcome), reason);
    if !door.config.ports.is_empty() && !door.config.ports.contains(&port) {
        return Err(other(Outcome::Port, code::NOT_ALLOWED));
    }
    let wanted = Wanted { caller, host: Some(host), address: None };
    if let Judgement::Deny(denial) = door.judge.foresee(wanted, &door.statistics) {
        return Err((Refusal::Denied(denial), code::NOT_ALLOWED));
    }
    let addresses: Vec<IpAddr> = match host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => door.claims.addresses(caller, name).await,
    };
    let mut refused = other(Outcome::Unreachable, code::UNREACHABLE);
    for address in addresses.into_iter().take(TRIED) {
        let destination = SocketAddr::new(address, port);
        if door.is_inside(destination) {
            refused = other(Outcome::Inside, code::NOT_ALLOWED);
            continue;
        }
        if let Err(refusal) = door.admit(caller, Some(host), address).await {
            return Err((refusal, code::NOT_ALLOWED));
        }
        match door.connect(peer, destination).await {
            Ok(origin) => return Ok(origin),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                refused = other(Outcome::Unreachable, code::REFUSED);
            }
            Err(_) => refused = other(Outcome::Unreachable, code::UNREACHABLE),
        }
    }
    Err(refused)
}

/// Looks at what it says first inside: it may want somebody else than it asked the proxy for.
async fn look_inside(
    client: &mut Line,
    origin: &Origin,
    caller: Caller,
    host: &Host,
    head: &mut Vec<u8>,
    door: &Arc<Door>,
) -> Result<(), Outcome> {
    let said = door.read_said(client, head, Some(&origin.stream)).await?;
    let Some(inner) = said.host().filter(|inner| *inner != host) else { return Ok(()) };
    let address = origin.stream.peer_addr().map_err(|_| Outcome::Gone)?.ip().to_canonical();
    door.admit(caller, Some(inner), address).await.map_err(|refusal| refusal.outcome())
}

/// A reply of SOCKS; the address in it is of no use to anybody.
fn socks_reply(reason: u8) -> [u8; 10] {
    [5, reason, 0, 1, 0, 0, 0, 0, 0, 0]
}
