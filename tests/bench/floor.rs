//! The floor of the benchmark: what the kernel charges to receive and send a datagram. One thread an address, recvmmsg and
//! sendmmsg, flips QR, says NXDOMAIN, and nothing else. Not part of the product.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, reason = "a yardstick, not the product")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares a file with the other programs")]

mod batch;

use batch::Batch;

/// Usage: `floor ADDRESS:PORT ...`; an address given twice gets two threads that share it.
fn main() {
    let threads: Vec<_> = std::env::args()
        .skip(1)
        .map(|address| {
            let socket = batch::bound(address.parse().expect("ADDRESS:PORT")).expect("a free port");
            std::thread::spawn(move || {
                let mut batch = Batch::new();
                loop {
                    let count = batch.receive(&socket, true);
                    for index in 0..count {
                        let (bytes, length) = batch.bytes_mut(index);
                        bytes[2] |= 0x80;
                        bytes[3] = 0x83;
                        batch.set_length(index, length);
                    }
                    batch.send_back(&socket, count);
                }
            })
        })
        .collect();
    assert!(!threads.is_empty(), "usage: floor ADDRESS:PORT ...");
    threads.into_iter().for_each(|thread| drop(thread.join()));
}
