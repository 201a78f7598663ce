//! The floor of the benchmark: what the kernel charges to receive and send a datagram. One thread an address, recvmmsg and
//! sendmmsg, flips QR, says NXDOMAIN, and nothing else. Not part of the product.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, reason = "a yardstick, not the product")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shares a file with the other programs")]

mod batch;

/// Usage: `floor ADDRESS:PORT ...`; an address given twice gets two threads that share it.
fn main() {
    batch::serve("floor", |bytes, length| {
        bytes[2] |= 0x80;
        bytes[3] = 0x83;
        length
    });
}
