//! Owns the ClientHello in QUIC's first packets, of version 1 (RFC 9000, 9001) and 2 (RFC 9369): opened, its pieces put in order, over several
//! packets and datagrams. Never reads anything behind it, and never keeps more than a hello may have.

use super::bytes::Bytes;
use super::hello::{self, ClientHello};
use super::keys::{InitialKeys, NUMBER};
use super::{Look, MOST};

/// The beginning of one flow.
#[derive(Debug, Default)]
pub struct Initials {
    keys: Option<(Vec<u8>, InitialKeys)>,
    message: Pieces,
    datagrams: usize,
}

/// What came of a stream of bytes, in whatever order.
#[derive(Debug, Default)]
struct Pieces {
    bytes: Vec<u8>,
    /// Where they are known: disjoint, in order.
    known: Vec<(usize, usize)>,
}

/// A packet as it lies in a datagram.
struct Packet {
    version: u32,
    destination: Vec<u8>,
    number_at: usize,
    end: usize,
    is_initial: bool,
}

/// Datagrams that are looked at until the hello is whole: post-quantum hellos take two, and what is lost is sent again.
const DATAGRAMS: usize = 16;
/// Pieces of a hello with holes between them. A browser cuts it in up to some ten and shuffles them.
const PIECES: usize = 64;
/// Longest connection identifier.
const IDENTIFIER: usize = 20;

impl Initials {
    /// Reads one more datagram of the client's.
    pub fn push(&mut self, datagram: &[u8]) -> Look<ClientHello> {
        self.datagrams += 1;
        let mut rest = datagram;
        let mut taken = false;
        // Several packets may share a datagram; the last may be followed by zeros.
        while let Some(packet) = Packet::read(rest) {
            let Some((bytes, behind)) = rest.split_at_checked(packet.end) else { break };
            rest = behind;
            if packet.is_initial {
                if let Err(found) = self.take(&packet, bytes) {
                    return found;
                }
                taken = true;
            }
        }
        if !taken && self.keys.is_none() {
            return Look::Other;
        }
        match hello::read(self.message.beginning(), MOST) {
            Look::More(_) if self.datagrams >= DATAGRAMS => Look::TooBig,
            found => found,
        }
    }

    /// Reads frames that are open already, as if they were all that a client sent.
    pub fn frames(frames: &[u8]) -> Look<ClientHello> {
        let mut message = Pieces::default();
        match read_frames(Bytes(frames), &mut message) {
            Ok(()) => hello::read(message.beginning(), MOST),
            Err(found) => found,
        }
    }

    fn take(&mut self, packet: &Packet, bytes: &[u8]) -> Result<(), Look<ClientHello>> {
        // What a client sends before it has heard anything goes to one identifier.
        let keys = match &self.keys {
            Some((destination, keys)) if *destination == packet.destination => keys,
            Some(_) => return Err(Look::Malformed("the first packets go to two identifiers")),
            None => {
                let keys = InitialKeys::new(packet.version, &packet.destination).ok_or(Look::Other)?;
                &self.keys.insert((packet.destination.clone(), keys)).1
            }
        };
        let mut bytes = bytes.to_vec();
        let frames = keys.open(&mut bytes, packet.number_at);
        let frames = frames.ok_or(Look::Malformed("a first packet's seal does not fit"))?;
        read_frames(Bytes(frames), &mut self.message)
    }
}

impl Packet {
    /// The packet with a long header at the front of `bytes`; `None` when there is none that can be read.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Bytes(bytes);
        let first = rest.u8()?;
        if first & 0xC0 != 0xC0 {
            return None;
        }
        let version = rest.number(4)? as u32;
        let destination = rest.counted(1).filter(|identifier| identifier.len() <= IDENTIFIER)?.to_vec();
        rest.counted(1).filter(|identifier| identifier.len() <= IDENTIFIER)?;
        let kind = first >> 4 & 3;
        let is_initial = match version {
            0x6B33_43CF => kind == 1,
            // Version negotiation, which is a server's.
            0 => return None,
            _ => kind == 0,
        };
        if is_initial {
            let token = usize::try_from(rest.varint()?).ok()?;
            rest.take(token)?;
        }
        let length = usize::try_from(rest.varint()?).ok()?;
        let number_at = bytes.len() - rest.0.len();
        rest.take(length).filter(|_| length > NUMBER)?;
        Some(Self { version, destination, number_at, end: number_at + length, is_initial })
    }
}

/// Takes the pieces of the hello out of an opened packet's frames.
fn read_frames(mut frames: Bytes<'_>, message: &mut Pieces) -> Result<(), Look<ClientHello>> {
    const BROKEN: Look<ClientHello> = Look::Malformed("a frame breaks off");
    let number = |frames: &mut Bytes<'_>| frames.varint().ok_or(BROKEN);
    while !frames.is_empty() {
        match number(&mut frames)? {
            // Padding, and a question whether anybody is there.
            0 | 1 => {}
            // Acknowledgements, the second with counts of marked packets.
            kind @ (2 | 3) => {
                number(&mut frames)?;
                number(&mut frames)?;
                let ranges = number(&mut frames)?;
                number(&mut frames)?;
                for _ in 0..ranges {
                    number(&mut frames)?;
                    number(&mut frames)?;
                }
                for _ in 0..if kind == 3 { 3 } else { 0 } {
                    number(&mut frames)?;
                }
            }
            6 => {
                let at = usize::try_from(number(&mut frames)?).map_err(|_| Look::TooBig)?;
                let length = usize::try_from(number(&mut frames)?).map_err(|_| BROKEN)?;
                message.put(at, frames.take(length).ok_or(BROKEN)?)?;
            }
            // The client gives up; what is behind it is for nobody.
            0x1C => return Ok(()),
            _ => return Err(Look::Malformed("a frame that first packets cannot hold")),
        }
    }
    Ok(())
}

impl Pieces {
    /// What is known from the beginning on.
    fn beginning(&self) -> &[u8] {
        match self.known.first() {
            Some((0, end)) => self.bytes.get(..*end).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// Puts a piece where it belongs. What came before stays: a piece that says otherwise is no retransmission.
    fn put(&mut self, at: usize, piece: &[u8]) -> Result<(), Look<ClientHello>> {
        let end = at.checked_add(piece.len()).filter(|end| *end <= MOST).ok_or(Look::TooBig)?;
        if piece.is_empty() {
            return Ok(());
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        for &(from, to) in &self.known {
            let (from, to) = (from.max(at), to.min(end));
            if from < to && self.bytes.get(from..to) != piece.get(from - at..to - at) {
                return Err(Look::Malformed("two pieces of the hello contradict each other"));
            }
        }
        if let Some(place) = self.bytes.get_mut(at..end) {
            place.copy_from_slice(piece);
        }
        let (mut from, mut to) = (at, end);
        self.known.retain(|&(one, other)| {
            let meets = one <= to && other >= from;
            if meets {
                (from, to) = (from.min(one), to.max(other));
            }
            !meets
        });
        let place = self.known.partition_point(|(one, _)| *one < from);
        self.known.insert(place, (from, to));
        if self.known.len() > PIECES { Err(Look::TooBig) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9001 appendix A.2: the client's connection identifier and its frame with the hello.
    const DESTINATION: [u8; 8] = [0x83, 0x94, 0xC8, 0xF0, 0x3E, 0x51, 0x57, 0x08];
    const FRAME: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c0000041301130201\
        0000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e0005000501\
        00000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d00\
        10000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08\
        01100104800075300901100f088394c8f03e51570806048000ffff";

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            hexadecimal.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// A client's first packet of `version` with `frames`.
    fn packet(version: u32, destination: &[u8], frames: &[u8]) -> Vec<u8> {
        let kind = if version == 1 { 0xC3 } else { 0xD3 };
        let length = (frames.len() + 4 + 16) as u16 | 0x4000;
        let mut packet = vec![kind];
        packet.extend(version.to_be_bytes());
        packet.push(destination.len() as u8);
        packet.extend(destination);
        packet.extend([0, 0]);
        packet.extend(length.to_be_bytes());
        let number_at = packet.len();
        packet.extend([0, 0, 0, 2]);
        packet.extend(frames);
        InitialKeys::sealed(version, destination, &mut packet, number_at, 2);
        packet
    }

    fn hello() -> Vec<u8> {
        bytes(FRAME)[4..].to_vec()
    }

    fn piece(hello: &[u8], from: usize, to: usize) -> Vec<u8> {
        let two = |number: usize| (number as u16 | 0x4000).to_be_bytes();
        [&[6][..], &two(from), &two(to - from), &hello[from..to]].concat()
    }

    fn server(found: &Look<ClientHello>) -> String {
        match found {
            Look::Found(hello) => hello.server_name.as_ref().map(ToString::to_string).unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_packets_of_the_standards_are_opened() {
        let mut frames = bytes(FRAME);
        frames.resize(1162, 0);
        // What both standards print of the sealed packet: its beginning and its end.
        for (version, begins, ends) in [
            (
                1,
                "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11",
                "e221af44860018ab0856972e194cd934",
            ),
            (
                0x6B33_43CF,
                "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485",
                "a18b2faa745b6fe189cf772a9f84cbfc",
            ),
        ] {
            let sealed = packet(version, &DESTINATION, &frames);
            assert_eq!(sealed.len(), 1200);
            assert!(sealed.starts_with(&bytes(begins)) && sealed.ends_with(&bytes(ends)), "{version}");
            let mut initials = Initials::default();
            let found = initials.push(&sealed);
            assert!(server(&found).starts_with("example.com"));
            assert!(matches!(found, Look::Found(hello) if hello.protocols == ["alpn"]));
        }
    }

    #[test]
    fn a_hello_in_pieces_out_of_order_and_over_datagrams_is_put_together() {
        let hello = hello();
        let end = hello.len();
        let pieces = [
            [piece(&hello, 200, end), vec![1, 0, 0], piece(&hello, 3, 90)].concat(),
            [vec![2, 0, 0, 0, 0], piece(&hello, 80, 130)].concat(),
            [piece(&hello, 0, 3), piece(&hello, 130, 200), vec![0; 40]].concat(),
        ];
        let mut initials = Initials::default();
        let sealed: Vec<Vec<u8>> = pieces.iter().map(|frames| packet(1, &DESTINATION, frames)).collect();
        assert!(matches!(initials.push(&sealed[0]), Look::More(_)));
        assert!(matches!(initials.push(&sealed[0]), Look::More(_)), "sent again");
        // Two packets in one datagram, with zeros behind them.
        let found = initials.push(&[&sealed[1][..], &sealed[2], &[0; 30]].concat());
        assert!(server(&found).starts_with("example.com"));
    }

    #[test]
    fn what_contradicts_itself_or_is_nothing_of_quic_is_told_apart() {
        let hello = hello();
        let push = |datagram: &[u8]| Initials::default().push(datagram);
        let mut other = hello.clone();
        other[0x30] ^= 1;
        let two = [piece(&hello, 0, 100), piece(&other, 40, 120)].concat();
        assert!(matches!(push(&packet(1, &DESTINATION, &two)), Look::Malformed(_)));
        let mut broken = packet(1, &DESTINATION, &bytes(FRAME));
        broken[100] ^= 1;
        assert!(matches!(push(&broken), Look::Malformed(_)));
        assert!(matches!(push(&packet(1, &DESTINATION, &[8; 60])), Look::Malformed(_)), "a stream's frame");
        let far = [&[6, 0x80, 1, 0, 0, 1, 7][..], &[0; 60]].concat();
        assert_eq!(push(&packet(1, &DESTINATION, &far)), Look::TooBig);
        assert_eq!(push(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0"), Look::Other, "DNS");
        assert_eq!(push(&[0xC3, 0x51, 0x30, 0x35, 0x30, 0, 0, 0, 0x20, 1, 2]), Look::Other, "an old version");
        assert_eq!(push(&[0x40; 60]), Look::Other);
        let mut initials = Initials::default();
        let beginning = packet(1, &DESTINATION, &[piece(&hello, 0, 9), vec![0; 40]].concat());
        for _ in 1..DATAGRAMS {
            assert!(matches!(initials.push(&beginning), Look::More(_)));
        }
        assert_eq!(initials.push(&beginning), Look::TooBig, "a flow that never ends its hello");
    }
}
