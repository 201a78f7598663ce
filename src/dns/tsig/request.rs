//! Owns the server's side: a request verified, and its one response signed, or told why not. For the server and the client
//! of a stream of responses, read `response`. Never answers by itself.

use super::key::Key;
use super::record::{Fault, Record};
use super::response::Signer;
use crate::dns::{Name, Rcode};

/// A request whose signature counts.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The key it is signed with.
    pub key: Key,
    /// Length of the message without its TSIG record, in bytes; its header still counts that record.
    pub length: usize,
    pub(super) mac: Vec<u8>,
}

/// A request whose signature does not count, and what its response must say about it.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Why.
    pub fault: Fault,
    record: Option<Box<Record>>,
    /// Of a request that was signed well, at another time.
    signed: Option<(Key, Vec<u8>)>,
}

/// Verifies a request (RFC 8945 section 5.2). `find` knows the keys by their names; `now` is in seconds since 1970. `None`
/// when it carries no TSIG record.
pub fn verify_request(
    message: &[u8],
    find: impl FnOnce(&Name) -> Option<Key>,
    now: u64,
) -> Result<Option<Verified>, Rejected> {
    let rejected =
        |fault, record: Option<Record>, signed| Rejected { fault, record: record.map(Box::new), signed };
    let record = match Record::find(message) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(None),
        Err(fault) => return Err(rejected(fault, None, None)),
    };
    let Some(key) = find(&record.key).filter(|key| record.is_of(key)) else {
        return Err(rejected(Fault::BadKey, Some(record), None));
    };
    let mut mac = key.mac();
    record.cover_message(message, &mut mac);
    record.cover_variables(&mut mac);
    match record.check(mac, key.algorithm(), now) {
        Ok(()) => Ok(Some(Verified { length: record.start, mac: record.mac, key })),
        Err(Fault::BadTime) => {
            let signed = Some((key, record.mac.clone()));
            Err(rejected(Fault::BadTime, Some(record), signed))
        }
        Err(Fault::Malformed) => Err(rejected(Fault::Malformed, None, None)),
        Err(fault) => Err(rejected(fault, Some(record), None)),
    }
}

impl Verified {
    /// Signs the one response.
    pub fn sign(&self, response: &mut Vec<u8>, now: u64) {
        self.stream().sign(response, now);
    }

    /// Signs a response of several messages.
    pub fn stream(&self) -> Signer {
        Signer::new(&self.key, &self.mac)
    }
}

impl Rejected {
    /// The response code that goes with it.
    pub fn rcode(&self) -> Rcode {
        self.fault.rcode()
    }

    /// Adds to the response what it must say (RFC 8945 section 5.2): nothing where the request's record could not be read,
    /// the error unsigned, or signed and with our time where only the time was wrong.
    pub fn sign(&self, response: &mut Vec<u8>, now: u64) {
        let (Some(request), Some(id)) = (&self.record, response.first_chunk::<2>()) else { return };
        let mut record = Record {
            mac: Vec::new(),
            other: Vec::new(),
            original_id: u16::from_be_bytes(*id),
            error: self.fault.code(),
            ..Record::clone(request)
        };
        if let Some((key, prior)) = &self.signed {
            record.other = now.to_be_bytes().get(2..).unwrap_or(&[]).to_vec();
            let mut mac = key.mac();
            mac.update_prior(prior);
            mac.update(response);
            record.cover_variables(&mut mac);
            record.mac = mac.finish();
        }
        record.append(response);
    }
}
