//! A capture of what clients send to a name, for programs that read captures: a question, the beginning of TLS, a request of HTTP.

/// The capture of three flows for each name. The client's port of the first name's are [`PORTS`], the next one's one more.
pub fn capture(names: &[&str]) -> Vec<u8> {
    let mut packets = Vec::new();
    for (at, name) in (0..).zip(names) {
        let [dns, tls, http] = PORTS.map(|port| port + at);
        let question = crate::support::query(at, 0x0100, name, 1, None);
        let length = (8 + question.len()) as u16;
        let udp = [port(dns), port(53), port(length), port(0), question].concat();
        packets.push(packet(17, true, &udp));
        stream(tls, 443, &hello(name), &mut packets);
        stream(http, 80, format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes(), &mut packets);
    }
    // The head of a capture of Ethernet frames, and one before each.
    let mut out =
        [0xA1B2_C3D4u32.to_le_bytes(), [2, 0, 4, 0], [0; 4], [0; 4], [255, 255, 0, 0], [1, 0, 0, 0]].concat();
    for (at, packet) in (1_700_000_000u32..).zip(packets) {
        let length = packet.len() as u32;
        out.extend([at, 0, length, length].map(u32::to_le_bytes).concat());
        out.extend(packet);
    }
    out
}

/// The client's ports: of its question, of TLS, of HTTP.
pub const PORTS: [u16; 3] = [20_000, 30_000, 40_000];

fn port(number: u16) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// From the client, or to it; checksums are left out.
fn packet(protocol: u8, from_client: bool, payload: &[u8]) -> Vec<u8> {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (from, to) = if from_client { (client, server) } else { (server, client) };
    let mut out = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\x45\0".to_vec();
    out.extend((20 + payload.len() as u16).to_be_bytes());
    out.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    out.extend([from, to].concat());
    out.extend(payload);
    out
}

/// A connection, and what the client says first.
fn stream(client: u16, server: u16, said: &[u8], packets: &mut Vec<Vec<u8>>) {
    let end = 101 + said.len() as u32;
    let none: &[u8] = &[];
    for (from_client, sequence, acknowledged, flags, payload) in [
        (true, 100u32, 0u32, 0x02, none),
        (false, 500, 101, 0x12, none),
        (true, 101, 501, 0x10, none),
        (true, 101, 501, 0x18, said),
        (false, 501, end, 0x10, none),
    ] {
        let (from, to) = if from_client { (client, server) } else { (server, client) };
        let mut segment = [from, to].map(u16::to_be_bytes).concat();
        segment.extend([sequence, acknowledged].map(u32::to_be_bytes).concat());
        segment.extend([0x50, flags, 255, 255, 0, 0, 0, 0]);
        segment.extend(payload);
        packets.push(packet(6, from_client, &segment));
    }
}

/// A ClientHello with the name.
fn hello(name: &str) -> Vec<u8> {
    let sized = |bytes: Vec<u8>| [(bytes.len() as u16).to_be_bytes().to_vec(), bytes].concat();
    let names = sized([vec![0], sized(name.as_bytes().to_vec())].concat());
    let extensions = sized([vec![0, 0], sized(names)].concat());
    let body = [b"\x03\x03".to_vec(), vec![7; 32], b"\0\0\x02\x13\x01\x01\0".to_vec(), extensions].concat();
    let handshake = [b"\x01\0".to_vec(), sized(body)].concat();
    [b"\x16\x03\x01".to_vec(), sized(handshake)].concat()
}
