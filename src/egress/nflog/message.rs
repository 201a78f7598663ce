//! Owns the kernel's messages of its log, as bytes: what asks for a group of it, and what a held packet looks like there (nfnetlink_log). Never
//! reads a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the kernel says of a packet that it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What the rule calls it.
    pub prefix: String,
    /// Where it came from.
    pub from: IpAddr,
    /// Where it was to go.
    pub to: IpAddr,
}

/// The subsystem of the log, and its two messages.
const LOG: u16 = 4 << 8;
const PACKET: u16 = LOG;
const CONFIG: u16 = LOG | 1;
/// A request that is to be acknowledged.
const REQUEST: u16 = 1 | 4;
/// Attributes of a configuration: a command, and how much of a packet is wanted.
const COMMAND: u16 = 1;
const MODE: u16 = 2;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// Bytes of each packet: the addresses are within them.
const WANTED: u32 = 64;
/// Attributes of a packet: its bytes, and the rule's prefix.
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;
/// Head of a message, and of the subsystem's part.
const HEAD: usize = 16;
const FAMILY: usize = 4;
/// Of an acknowledgement.
const ERROR: u16 = 2;

/// Asks for the packets of a group.
pub(super) fn bind(group: u16) -> Vec<u8> {
    let mut mode = WANTED.to_be_bytes().to_vec();
    mode.extend([COPY_PACKET, 0]);
    let mut out = request(group, 1, COMMAND, &[BIND]);
    out.extend(request(group, 2, MODE, &mode));
    out
}

fn request(group: u16, sequence: u32, attribute: u16, value: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0];
    body.extend(group.to_be_bytes());
    body.extend((4 + value.len() as u16).to_ne_bytes());
    body.extend(attribute.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
    let mut out = ((HEAD + body.len()) as u32).to_ne_bytes().to_vec();
    out.extend(CONFIG.to_ne_bytes());
    out.extend(REQUEST.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    out.extend(body);
    out
}

/// The number of the error that the kernel acknowledges a request with; 0 for none. `None` for another message.
pub(super) fn acknowledged(bytes: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    (kind == ERROR).then(|| bytes.get(HEAD..)?.first_chunk().map(|code| -i32::from_ne_bytes(*code)))?
}

/// Every packet in what one reading of the socket gave. What does not parse is left out.
pub fn read_held(bytes: &[u8]) -> Vec<Held> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some((message, after)) = next(rest) {
        found.extend(packet(message));
        rest = after;
    }
    found
}

/// One message with its head, and what is behind it.
fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    if length < HEAD {
        return None;
    }
    let message = bytes.get(..length)?;
    Some((message, bytes.get(length.next_multiple_of(4)..).unwrap_or(&[])))
}

fn packet(message: &[u8]) -> Option<Held> {
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    if kind != PACKET {
        return None;
    }
    let (mut prefix, mut ends) = (None, None);
    let mut rest = message.get(HEAD + FAMILY..)?;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_ne_bytes(*length));
        let attribute = u16::from_ne_bytes(*after.first_chunk()?) & 0x3FFF;
        let value = rest.get(4..length)?;
        match attribute {
            PREFIX => {
                let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
                prefix = Some(String::from_utf8_lossy(text).into_owned());
            }
            PAYLOAD => ends = addresses(value),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    let (from, to) = ends?;
    Some(Held { prefix: prefix?, from, to })
}

/// Source and destination of a packet.
fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match packet.first()? >> 4 {
        4 => {
            let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some((Ipv4Addr::from(from).into(), Ipv4Addr::from(to).into()))
        }
        6 => {
            let from: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some((Ipv6Addr::from(from).into(), Ipv6Addr::from(to).into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut out = (4 + value.len() as u16).to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn message(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        let body = [vec![2, 0, 0, 7], attributes.concat()].concat();
        let mut out = ((HEAD + body.len()) as u32).to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend([0; 10]);
        out.extend(body);
        out
    }

    fn ipv4() -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[12..].copy_from_slice(&[10, 0, 0, 1, 192, 0, 2, 7]);
        packet
    }

    #[test]
    fn packets_are_read_and_all_else_is_left_out() {
        let held = message(
            PACKET,
            &[
                attribute(1, &[8, 0, 2, 0]),
                attribute(PAYLOAD, &ipv4()),
                attribute(PREFIX, b"interdict 1 0 0 eout\0"),
            ],
        );
        let without = message(PACKET, &[attribute(PAYLOAD, &ipv4())]);
        let other = message(CONFIG, &[attribute(PAYLOAD, &ipv4()), attribute(PREFIX, b"x\0")]);
        let found = read_held(&[held.clone(), without, other, held.clone()].concat());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].prefix, "interdict 1 0 0 eout");
        assert_eq!(found[0].from, IpAddr::from([10, 0, 0, 1]));
        assert_eq!(found[0].to, IpAddr::from([192, 0, 2, 7]));
        for cut in 0..held.len() {
            assert_eq!(read_held(&held[..cut]), [], "cut at {cut}");
        }
    }

    #[test]
    fn requests_are_as_the_kernel_wants_them() {
        let asked = bind(77);
        assert_eq!(asked.len(), 28 + 32);
        assert_eq!(asked[16..24], [0, 0, 0, 77, 5, 0, 1, 0]);
        assert_eq!(asked[28 + 16..], [0, 0, 0, 77, 10, 0, 2, 0, 0, 0, 0, 64, 2, 0, 0, 0]);
        let mut refused = message(ERROR, &[]);
        refused[16..20].copy_from_slice(&(-1i32).to_ne_bytes());
        assert_eq!(acknowledged(&refused), Some(1));
        assert_eq!(acknowledged(&message(PACKET, &[])), None);
    }
}
