//! Owns signatures along a conversation: a request signed, the response's one or many messages signed, and verified by who
//! asked (RFC 8945 sections 5.1, 5.3, 5.4). Never reads what the messages say.

use super::key::Key;
use super::mac::Mac;
use super::record::{Fault, Record};

/// Signs the messages of a response, in order.
#[derive(Debug)]
pub struct Signer {
    key: Key,
    prior: Vec<u8>,
    first: bool,
}

/// Verifies the messages of a response, in order.
#[derive(Debug)]
pub struct Verifier {
    key: Key,
    /// Covers the MAC before, and the unsigned messages since.
    mac: Mac,
    first: bool,
    unsigned: u32,
}

/// Most messages in a row that may be unsigned (RFC 8945 section 5.3.1).
const MOST_UNSIGNED: u32 = 99;

/// Signs a request, a whole message without a TSIG record; `now` is in seconds since 1970. What comes back verifies the
/// response.
pub fn sign_request(message: &mut Vec<u8>, key: &Key, now: u64) -> Verifier {
    let mut mac = key.mac();
    mac.update(message);
    let made = seal(message, key, mac, true, now);
    Verifier { key: key.clone(), mac: after(key, &made), first: true, unsigned: 0 }
}

/// Ends a MAC that covers `message`, and appends its record; `whole` covers all that the record says.
pub(super) fn seal(message: &mut Vec<u8>, key: &Key, mut mac: Mac, whole: bool, now: u64) -> Vec<u8> {
    let id = message.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
    let mut record = Record::new(key, id, now);
    match whole {
        true => record.cover_variables(&mut mac),
        false => record.cover_timers(&mut mac),
    }
    record.mac = mac.finish();
    record.append(message);
    record.mac
}

/// A MAC that begins with the one before.
fn after(key: &Key, prior: &[u8]) -> Mac {
    let mut mac = key.mac();
    mac.update_prior(prior);
    mac
}

impl Signer {
    /// For the response to a request whose MAC is `request`.
    pub(super) fn new(key: &Key, request: &[u8]) -> Self {
        Self { key: key.clone(), prior: request.to_vec(), first: true }
    }

    /// Signs the next message.
    pub fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        let mut mac = after(&self.key, &self.prior);
        mac.update(message);
        self.prior = seal(message, &self.key, mac, std::mem::take(&mut self.first), now);
    }

    /// Bytes that a signature adds to a message.
    pub fn room(&self) -> usize {
        let algorithm = self.key.algorithm();
        self.key.name().as_wire().len() + 10 + algorithm.as_wire().len() + 16 + algorithm.length()
    }
}

impl Verifier {
    /// Verifies the next message. Returns its length without the TSIG record, in bytes. An unsigned one passes behind the
    /// first, until [`Verifier::finish`] or the hundredth in a row; do not act upon it before that.
    pub fn verify(&mut self, message: &[u8], now: u64) -> Result<usize, Fault> {
        let Some(record) = Record::find(message)? else {
            self.unsigned += 1;
            if self.first || self.unsigned > MOST_UNSIGNED {
                return Err(Fault::Missing);
            }
            self.mac.update(message);
            return Ok(message.len());
        };
        if record.error != 0 {
            // Whether that is signed or not: nothing of the message is used.
            return Err(Fault::Peer(record.error));
        }
        if !record.is_of(&self.key) {
            return Err(Fault::BadKey);
        }
        let mut mac = std::mem::replace(&mut self.mac, after(&self.key, &record.mac));
        record.cover_message(message, &mut mac);
        match std::mem::take(&mut self.first) {
            true => record.cover_variables(&mut mac),
            false => record.cover_timers(&mut mac),
        }
        record.check(mac, self.key.algorithm(), now)?;
        self.unsigned = 0;
        Ok(record.start)
    }

    /// Fails when the last message was unsigned, so that what it says counts only now.
    pub fn finish(self) -> Result<(), Fault> {
        if self.first || self.unsigned > 0 { Err(Fault::Missing) } else { Ok(()) }
    }
}
