//! Owns the keys of QUIC's first packets, which follow from what is written in them (RFC 9001 section 5.2, RFC 9369 section 3.3): they keep
//! accidents out, and no secrets in. One of the doors of `rustls`. Never sees a packet of a later kind.

use rustls::Side;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{DirectionalKeys, Keys, Version};

/// The keys of what a client sends first.
pub(super) struct InitialKeys(DirectionalKeys);

/// Bytes from which the mask over a header is made, and where they begin behind the packet number's first byte.
pub(super) const SAMPLE: usize = 16;
/// Most bytes of a packet number.
pub(super) const NUMBER: usize = 4;

impl InitialKeys {
    /// For the connection whose first packet was sent to `destination`; `None` in a version of QUIC that is not known.
    pub(super) fn new(version: u32, destination: &[u8]) -> Option<Self> {
        let version = match version {
            1 => Version::V1,
            0x6B33_43CF => Version::V2,
            _ => return None,
        };
        let suite = TLS13_AES_128_GCM_SHA256.tls13()?;
        let keys = Keys::initial(version, suite, suite.quic?, destination, Side::Server);
        Some(Self(keys.remote))
    }

    /// Opens the packet whose number begins at `number_at`: what is in it. `None` when its seal does not fit.
    pub(super) fn open<'p>(&self, packet: &'p mut [u8], number_at: usize) -> Option<&'p [u8]> {
        let (header, rest) = packet.split_at_mut_checked(number_at)?;
        let first = header.first_mut()?;
        let (number, sealed) = rest.split_at_mut_checked(NUMBER)?;
        self.0.header.decrypt_in_place(sealed.get(..SAMPLE)?, first, number).ok()?;
        let length = usize::from(*first & 3) + 1;
        // The first packets of a connection have small numbers: what is cut off of them is zero.
        let number = number.get(..length)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (header, sealed) = packet.split_at_mut_checked(number_at + length)?;
        self.0.packet.decrypt_in_place(number, header, sealed).ok()
    }
}

impl std::fmt::Debug for InitialKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InitialKeys")
    }
}

#[cfg(test)]
impl InitialKeys {
    /// Seals a packet of a client's, whose number, of four bytes, begins at `number_at`.
    pub(super) fn sealed(
        version: u32,
        destination: &[u8],
        packet: &mut Vec<u8>,
        number_at: usize,
        number: u64,
    ) {
        let version = if version == 1 { Version::V1 } else { Version::V2 };
        let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
        let keys = Keys::initial(version, suite, suite.quic.unwrap(), destination, Side::Client).local;
        let (header, frames) = packet.split_at_mut(number_at + NUMBER);
        let tag = keys.packet.encrypt_in_place(number, header, frames).unwrap();
        packet.extend_from_slice(tag.as_ref());
        let (header, rest) = packet.split_at_mut(number_at);
        let (number, sealed) = rest.split_at_mut(NUMBER);
        keys.header.encrypt_in_place(&sealed[..SAMPLE], &mut header[0], number).unwrap();
    }
}
