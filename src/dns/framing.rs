//! Owns how a message goes over a stream: behind its length (RFC 1035 section 4.2.2). Never looks into it.

/// The message behind its length in two bytes. It is at most 65,535 bytes long.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&(message.len() as u16).to_be_bytes());
    framed.extend_from_slice(message);
    framed
}
