//! Owns what is taken from a ClientHello (RFC 8446 section 4.1.2): the server's name, whether another hello may be hidden in it, and the
//! protocols it offers. Never knows what carried it.

use super::Look;
use super::bytes::Bytes;
use super::host::Host;

/// What a client says in its first message of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server it wants (RFC 6066 section 3). Of one with an encrypted hello inside, the name outside.
    pub server_name: Option<Host>,
    /// Whether it carries an encrypted hello, or what looks like one: browsers send such a thing to every server, so that it proves nothing
    /// (RFC 9849 section 6.2).
    pub encrypted: bool,
    /// The protocols offered (RFC 7301), each in ASCII, as far as they are.
    pub protocols: Vec<String>,
}

/// Protocols that are kept.
const PROTOCOLS: usize = 16;

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u64 = 0;
const PROTOCOL_NEGOTIATION: u64 = 16;
const ENCRYPTED_HELLO: u64 = 0xFE0D;
/// What came before encrypted hellos, with the name alone hidden.
const ENCRYPTED_NAME: u64 = 0xFFCE;

/// Reads the message at the front of the handshake's bytes, which may be fewer than it has. `More` counts in these bytes.
pub(super) fn read(handshake: &[u8], most: usize) -> Look<ClientHello> {
    match handshake {
        [] => return Look::More(4),
        [CLIENT_HELLO, ..] => {}
        _ => return Look::Malformed("the handshake does not begin with a hello"),
    }
    let mut bytes = Bytes(handshake.get(1..).unwrap_or(&[]));
    let Some(length) = bytes.number(3).map(|length| length as usize) else { return Look::More(4) };
    if length + 4 > most {
        return Look::TooBig;
    }
    let Some(body) = bytes.take(length) else { return Look::More(length + 4) };
    match body_of(Bytes(body)) {
        Ok(Some(hello)) => Look::Found(hello),
        Ok(None) => Look::Malformed("a part of the hello is longer than what holds it"),
        Err(what) => Look::Malformed(what),
    }
}

fn body_of(mut body: Bytes<'_>) -> Result<Option<ClientHello>, &'static str> {
    let Some([version, session, suites, compressions]) = fixed(&mut body) else { return Ok(None) };
    let is_tls = version.first() == Some(&3);
    if !is_tls || session.len() > 32 || suites.is_empty() || suites.len() % 2 == 1 || compressions.is_empty()
    {
        return Err("the hello's beginning is none of TLS");
    }
    let mut hello = ClientHello::default();
    // Before TLS 1.2 it could end here.
    if body.is_empty() {
        return Ok(Some(hello));
    }
    let Some(extensions) = body.counted(2).filter(|_| body.is_empty()) else { return Ok(None) };
    let mut extensions = Bytes(extensions);
    let mut seen = [false; 2];
    while !extensions.is_empty() {
        let Some(kind) = extensions.number(2) else { return Ok(None) };
        let Some(content) = extensions.counted(2) else { return Ok(None) };
        let mut content = Bytes(content);
        match kind {
            SERVER_NAME if std::mem::replace(&mut seen[0], true) => {
                return Err("two fields for the server's name");
            }
            SERVER_NAME => hello.server_name = Some(server_name(&mut content)?),
            PROTOCOL_NEGOTIATION if std::mem::replace(&mut seen[1], true) => {
                return Err("two fields for protocols");
            }
            PROTOCOL_NEGOTIATION => {
                hello.protocols = protocols(&mut content).ok_or("the protocols break off")?
            }
            ENCRYPTED_HELLO | ENCRYPTED_NAME => hello.encrypted = true,
            // Among them those that mean nothing, sent so that nobody relies on a closed list (RFC 8701).
            _ => {}
        }
    }
    Ok(Some(hello))
}

/// The version, the session, the suites and the compressions that are offered.
fn fixed<'b>(body: &mut Bytes<'b>) -> Option<[&'b [u8]; 4]> {
    let version = body.take(2)?;
    body.take(32)?;
    Some([version, body.counted(1)?, body.counted(2)?, body.counted(1)?])
}

fn server_name(content: &mut Bytes<'_>) -> Result<Host, &'static str> {
    const BROKEN: &str = "the server's name breaks off";
    let list = content.counted(2).filter(|_| content.is_empty()).ok_or(BROKEN)?;
    let mut list = Bytes(list);
    let mut found = None;
    while !list.is_empty() {
        let (kind, name) = (list.u8().ok_or(BROKEN)?, list.counted(2).ok_or(BROKEN)?);
        // The only kind there ever was; a second name of it is forbidden.
        if kind != 0 || found.is_some() {
            return Err("more than one server's name");
        }
        // An address is forbidden too, but some send one, and it can be judged.
        let address = std::str::from_utf8(name).ok().and_then(|text| text.parse().ok()).map(Host::Address);
        found = Some(address.or_else(|| Host::read(name)).ok_or("the server's name is none")?);
    }
    found.ok_or("an empty list of servers' names")
}

fn protocols(content: &mut Bytes<'_>) -> Option<Vec<String>> {
    let mut list = Bytes(content.counted(2).filter(|_| content.is_empty())?);
    let mut found = Vec::new();
    while !list.is_empty() {
        let protocol = list.counted(1)?;
        if found.len() < PROTOCOLS && protocol.is_ascii() {
            found.extend(String::from_utf8(protocol.to_vec()).ok());
        }
    }
    Some(found)
}
