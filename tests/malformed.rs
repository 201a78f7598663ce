//! Strangers' bytes on both transports: the same process, flat in memory, still answering.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and reads its own memory from /proc"
)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

use interdict::clock::Clock;
use support::{Site, query};

/// Packets over each transport.
const PACKETS: usize = 50_000;
/// Packets before memory is first measured: caches, counters and threads have their size by then.
const WARM_UP: usize = 10_000;
/// What the rest may add, in KiB. One byte kept per packet would add 80; 64 kept, 5,000.
const GROWTH: u64 = 3072;

struct Mutations {
    seeds: Vec<Vec<u8>>,
    state: u64,
}

impl Mutations {
    fn new() -> Self {
        let with_options = {
            let mut bytes = query(4, 0x0100, "cookie.example", 28, Some(4096));
            let length = bytes.len();
            bytes[length - 1] = 12;
            bytes.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
            bytes
        };
        let pointer =
            [&[0, 5, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w', b'w', b'w'][..], &[0xC0, 12, 0, 1, 0, 1]]
                .concat();
        let two = [
            &[0, 6, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0][..],
            &query(0, 0, "a.example", 1, None)[12..],
            &[0xC0, 12, 0, 28, 0, 1],
        ]
        .concat();
        let long = (0..60).map(|_| "abc").collect::<Vec<_>>().join(".");
        Self {
            seeds: vec![
                query(1, 0x0100, "www.tiktok.com", 1, Some(1232)),
                query(2, 0x0100, "localhost", 28, None),
                query(3, 0x0100, "a.b.c.invalid", 255, Some(4096)),
                with_options,
                pointer,
                two,
                query(7, 0x0110, &long, 65, Some(512)),
                query(8, 0x2400, "www.canada.ca", 6, None),
            ],
            state: 0x9E37_79B9,
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) as usize % below
    }

    fn next(&mut self) -> Vec<u8> {
        let seed = self.random(self.seeds.len());
        let mut bytes = self.seeds[seed].clone();
        for _ in 0..=self.random(4) {
            let (at, to) = (self.random(bytes.len()), self.random(256));
            match self.random(4) {
                0 => bytes.insert(at, to as u8),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes[at] = to as u8,
            }
        }
        if self.random(4) == 0 {
            let length = 1 + self.random(bytes.len());
            bytes.truncate(length);
        }
        bytes
    }
}

/// Every reply is a whole message that another library reads.
fn well_formed(reply: &[u8]) {
    let read = hickory_proto::op::Message::from_vec(reply);
    assert!(reply[2] & 0x80 != 0 && read.is_ok(), "{read:?}: {reply:02x?}");
}

fn over_udp(site: &Site, mutations: &mut Mutations, packets: usize) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 65_535];
    let mut replies = 0;
    for round in 0..packets {
        // Refused by the kernel only while its buffer is full.
        while socket.send_to(&mutations.next(), site.address()).is_err() {}
        if round % 50 == 0 {
            assert!(site.udp(&query(9, 0x0100, "wechat.com", 1, None)).is_some(), "answers after {round}");
            while let Ok(length) = socket.recv(&mut buffer) {
                well_formed(&buffer[..length]);
                replies += 1;
            }
        }
    }
    replies
}

fn over_tcp(site: &Site, mutations: &mut Mutations, packets: usize) -> usize {
    const PIPELINE: usize = 50;
    let mut replies = 0;
    for round in 0..packets / PIPELINE {
        let mut stream = TcpStream::connect(site.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut all = Vec::new();
        for _ in 0..PIPELINE {
            let bytes = mutations.next();
            all.extend((bytes.len() as u16).to_be_bytes());
            all.extend(bytes);
        }
        if round % 10 == 0 {
            // A length that promises more than comes.
            all.extend([0xFF, 0xFF, 1, 2, 3]);
        }
        stream.write_all(&all).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        let mut rest = received.as_slice();
        while let [high, low, after @ ..] = rest {
            let (reply, after) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            well_formed(reply);
            replies += 1;
            rest = after;
        }
    }
    replies
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_hundred_thousand_mutated_packets_leave_it_as_it_was() {
    let site = Site::start("[cache]\nmemory = \"1MiB\"\n", Clock::system());
    let mut mutations = Mutations::new();
    over_udp(&site, &mut mutations, WARM_UP);
    over_tcp(&site, &mut mutations, WARM_UP);
    let before = resident();
    let udp = over_udp(&site, &mut mutations, PACKETS - WARM_UP);
    let tcp = over_tcp(&site, &mut mutations, PACKETS - WARM_UP);
    let after = resident();
    assert!(
        udp > PACKETS / 3 && tcp > PACKETS / 3,
        "most packets get a reply: {udp} over UDP, {tcp} over TCP"
    );
    assert!(after < before + GROWTH, "resident memory went from {before} to {after} KiB");
    assert_eq!(site.rcode("tiktok.com"), "Non-Existent Domain");
    assert_eq!(site.rcode("www.canada.ca"), "No Error");
}
