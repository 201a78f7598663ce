//! The upstream of the benchmark: answers every name, the same each time, fast enough to be no bottleneck. What it says
//! depends on the name alone, so that every server under test gets the same. Not part of the product.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, reason = "a yardstick, not the product")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares a file with the other programs")]

mod batch;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Seconds; longer than any run, so that nothing expires under measurement.
const TTL: u32 = 86_400;
/// First labels that begin so belong to names that do not exist.
const GONE: &[u8] = b"gone-";
/// Where aliases lead; names there are no aliases again.
const TARGETS: &[u8] = b"\x04edge\x07example\0";
/// Bytes of an RSA signature of 2048 bits.
const SIGNATURE: usize = 256;

/// Usage: `upstream ADDRESS:PORT ...`.
fn main() {
    for address in std::env::args().skip(1) {
        let listener = TcpListener::bind(address).expect("an address to listen on");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve_tcp(stream));
            }
        });
    }
    batch::serve("upstream", |bytes, length| answer(bytes, length).unwrap_or(0));
}

/// Answers what comes over one connection, for those that forward a question as it came.
fn serve_tcp(mut stream: TcpStream) -> std::io::Result<()> {
    let mut message = vec![0; 4096];
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let length = usize::from(u16::from_be_bytes(length));
        stream.read_exact(&mut message[..length])?;
        let length = answer(&mut message, length).unwrap_or(0);
        stream.write_all(&[&(length as u16).to_be_bytes()[..], &message[..length]].concat())?;
    }
}

/// Turns a query into its answer in place; the answer's length.
fn answer(message: &mut [u8], length: usize) -> Option<usize> {
    let mut end = 12;
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    loop {
        let label = usize::from(*message.get(end).filter(|_| end < length)?);
        if label == 0 {
            break;
        }
        for byte in message.get(end..=end + label)? {
            // FNV-1a over the name in lower case.
            hash = (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01B3);
        }
        end += 1 + label;
    }
    let question_end = end + 5;
    let record_type = u16::from_be_bytes([message[end + 1], message[end + 2]]);
    let opt = (message[11] > 0 && question_end + 11 <= length).then(|| message[question_end + 7] & 0x80);
    let gone = message[13..].starts_with(GONE);
    let is_target = message[12..=end].ends_with(TARGETS);
    let parent = 0xC000 | (13 + u16::from(message[12]));
    message[2] = 0x80 | (message[2] & 0x01);
    message[3] = 0x80 | (message[3] & 0x10) | if gone { 3 } else { 0 };
    let mut out = Out { message, at: question_end };
    let (mut answers, mut authorities) = (0u8, 0u8);
    match record_type {
        1 | 28 if !gone => {
            // A quarter of popular names are aliases into a network that delivers content.
            let mut owner = 0xC00C_u16;
            if hash.is_multiple_of(4) && !is_target {
                let rdata_at = out.at + 12;
                let mut target = [0; 9 + TARGETS.len()];
                target[0] = 8;
                for (place, nibble) in target[1..9].iter_mut().zip(0..) {
                    *place = b"0123456789abcdef"[(hash >> (nibble * 4 + 8)) as usize & 15];
                }
                target[9..].copy_from_slice(TARGETS);
                out.record(owner, 5, &target);
                owner = 0xC000 | rdata_at as u16;
                answers += 1;
            }
            // One name in ten has several addresses.
            for number in 0..if hash % 10 == 3 { 4 } else { 1 } {
                let low = ((hash >> 32) as u8).wrapping_add(number);
                if record_type == 1 {
                    out.record(owner, 1, &[192, 0, 2, low]);
                } else {
                    out.record(owner, 28, &[0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, low]);
                }
                answers += 1;
            }
            if opt.is_some_and(|flags| flags != 0) {
                let mut rdata = [7; 18 + 9 + SIGNATURE];
                rdata[..18].copy_from_slice(&[
                    0, 1, 8, 2, 0, 1, 0x51, 0x80, 0x7F, 0, 0, 0, 0x60, 0, 0, 0, 0x30, 0x39,
                ]);
                rdata[1] = record_type as u8;
                rdata[18..27].copy_from_slice(b"\x07example\0");
                out.record(owner, 46, &rdata);
                answers += 1;
            }
        }
        _ => {
            let soa = b"\x02ns\x07example\0\x02me\x07example\0\0\0\0\x01\0\0\x0E\x10\0\0\x0E\x10\0\0\x0E\x10\0\0\x0E\x10";
            out.record(parent, 6, soa);
            authorities += 1;
        }
    }
    if let Some(flags) = opt {
        out.bytes(&[0, 0, 41, 0x04, 0xD0, 0, 0, flags, 0, 0, 0]);
    }
    let length = out.at;
    message[4..12].copy_from_slice(&[0, 1, 0, answers, 0, authorities, 0, u8::from(opt.is_some())]);
    Some(length)
}

struct Out<'m> {
    message: &'m mut [u8],
    at: usize,
}

impl Out<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.message[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn record(&mut self, owner: u16, record_type: u16, rdata: &[u8]) {
        self.bytes(&owner.to_be_bytes());
        self.bytes(&record_type.to_be_bytes());
        self.bytes(&[0, 1]);
        self.bytes(&TTL.to_be_bytes());
        self.bytes(&(rdata.len() as u16).to_be_bytes());
        self.bytes(rdata);
    }
}
