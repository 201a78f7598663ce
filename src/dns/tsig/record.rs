//! Owns the TSIG record (RFC 8945 section 4.2): finding it at the end of a message, writing it there, and the parts of
//! message and record that a MAC covers. Never makes a MAC.

use super::FUDGE;
use super::key::{Algorithm, Key};
use super::mac::Mac;
use crate::dns::{Class, HEADER, Message, Name, Rcode, RecordType, Section};

/// Why a message's signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Signed with a key, or an algorithm, that is not the one agreed on.
    #[error("signed with another key or algorithm (BADKEY)")]
    BadKey,
    /// The MAC is not of these bytes.
    #[error("the signature is not of these bytes, or of another secret (BADSIG)")]
    BadSignature,
    /// Signed too long ago, or in the future.
    #[error("signed at another time: are both clocks right? (BADTIME)")]
    BadTime,
    /// The MAC is cut; a whole one is asked for.
    #[error("the signature is cut (BADTRUNC)")]
    BadTruncation,
    /// No TSIG record as it should be.
    #[error("the TSIG record is malformed")]
    Malformed,
    /// No TSIG record where there must be one.
    #[error("not signed")]
    Missing,
    /// The other end does not take our signature: its error code.
    #[error("the other end refuses our signature: {}", name_of(*.0))]
    Peer(u16),
}

/// A TSIG record as it stands in a message.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Where it begins.
    pub(super) start: usize,
    pub(super) key: Name,
    /// In wire form, lower case.
    pub(super) algorithm: Box<[u8]>,
    /// Seconds since 1970.
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) mac: Vec<u8>,
    pub(super) original_id: u16,
    pub(super) error: u16,
    pub(super) other: Vec<u8>,
}

impl Fault {
    /// The code in a TSIG record; 0 where there is none.
    pub fn code(self) -> u16 {
        match self {
            Self::BadSignature => 16,
            Self::BadKey => 17,
            Self::BadTime => 18,
            Self::BadTruncation => 22,
            Self::Malformed | Self::Missing => 0,
            Self::Peer(code) => code,
        }
    }

    /// The response code that says so to the other end.
    pub fn rcode(self) -> Rcode {
        match self {
            Self::Malformed => Rcode::FORMERR,
            _ => Rcode::NOTAUTH,
        }
    }
}

fn name_of(code: u16) -> String {
    match code {
        16 => "BADSIG, another secret or changed on the way".to_owned(),
        17 => "BADKEY, it does not know the key".to_owned(),
        18 => "BADTIME, are both clocks right?".to_owned(),
        22 => "BADTRUNC".to_owned(),
        other => format!("error {other}"),
    }
}

impl Record {
    /// The TSIG record of a message, which must be its last one and the only one of its kind.
    pub(super) fn find(message: &[u8]) -> Result<Option<Self>, Fault> {
        let whole = Message::new(message).ok_or(Fault::Malformed)?;
        let mut records = whole.transferred();
        let mut found = None;
        for record in records.by_ref() {
            if found.is_some() {
                return Err(Fault::Malformed);
            }
            if record.record_type == RecordType::TSIG {
                found = Some(record);
            }
        }
        let Some(record) = found else {
            return if records.is_broken() { Err(Fault::Malformed) } else { Ok(None) };
        };
        let is_last = record.rdata.end == message.len();
        if records.is_broken()
            || !is_last
            || record.section != Section::Additional
            || record.class != Class::ANY
            || record.ttl != 0
        {
            return Err(Fault::Malformed);
        }
        let key = whole.name_at(record.owner).ok_or(Fault::Malformed)?;
        let rdata = message.get(record.rdata).ok_or(Fault::Malformed)?;
        let mut found = read(rdata).ok_or(Fault::Malformed)?;
        found.start = record.owner;
        found.key = Name::from_wire(key.as_wire()).map_err(|_| Fault::Malformed)?;
        Ok(Some(found))
    }

    /// A record of `key` at `now` without a MAC.
    pub(super) fn new(key: &Key, original_id: u16, now: u64) -> Self {
        Self {
            start: 0,
            key: key.name().clone(),
            algorithm: key.algorithm().as_wire().into(),
            time: now,
            fudge: FUDGE,
            mac: Vec::new(),
            original_id,
            error: 0,
            other: Vec::new(),
        }
    }

    /// Appends the record to a whole message.
    pub(super) fn append(&self, message: &mut Vec<u8>) {
        let length = self.algorithm.len() + 6 + 2 + 2 + self.mac.len() + 2 + 2 + 2 + self.other.len();
        message.extend_from_slice(self.key.as_wire());
        message.extend_from_slice(&RecordType::TSIG.0.to_be_bytes());
        message.extend_from_slice(&Class::ANY.0.to_be_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&(length as u16).to_be_bytes());
        message.extend_from_slice(&self.algorithm);
        message.extend_from_slice(&self.timers());
        message.extend_from_slice(&(self.mac.len() as u16).to_be_bytes());
        message.extend_from_slice(&self.mac);
        message.extend_from_slice(&self.original_id.to_be_bytes());
        message.extend_from_slice(&self.error.to_be_bytes());
        message.extend_from_slice(&(self.other.len() as u16).to_be_bytes());
        message.extend_from_slice(&self.other);
        if let Some(count) = message.get_mut(10..).and_then(<[u8]>::first_chunk_mut::<2>) {
            *count = u16::from_be_bytes(*count).saturating_add(1).to_be_bytes();
        }
    }

    /// Time signed and fudge.
    fn timers(&self) -> [u8; 8] {
        let [_, _, t1, t2, t3, t4, t5, t6] = self.time.to_be_bytes();
        let [f1, f2] = self.fudge.to_be_bytes();
        [t1, t2, t3, t4, t5, t6, f1, f2]
    }

    /// Has `mac` cover the message as it was before this record was added, and before anybody changed its id.
    pub(super) fn cover_message(&self, message: &[u8], mac: &mut Mac) {
        let Some((header, _)) = message.split_first_chunk::<HEADER>() else { return };
        let mut header = *header;
        let [i1, i2, _, _, _, _, _, _, _, _, c1, c2] = &mut header;
        [*i1, *i2] = self.original_id.to_be_bytes();
        [*c1, *c2] = u16::from_be_bytes([*c1, *c2]).saturating_sub(1).to_be_bytes();
        mac.update(&header);
        mac.update(message.get(HEADER..self.start).unwrap_or(&[]));
    }

    /// Has `mac` cover what the record says.
    pub(super) fn cover_variables(&self, mac: &mut Mac) {
        mac.update(self.key.as_wire());
        mac.update(&Class::ANY.0.to_be_bytes());
        mac.update(&[0; 4]);
        mac.update(&self.algorithm);
        self.cover_timers(mac);
        mac.update(&self.error.to_be_bytes());
        mac.update(&(self.other.len() as u16).to_be_bytes());
        mac.update(&self.other);
    }

    /// Has `mac` cover the time alone, as behind the first message of a stream (RFC 8945 section 5.3.1).
    pub(super) fn cover_timers(&self, mac: &mut Mac) {
        mac.update(&self.timers());
    }

    /// Whether it is signed with `key`.
    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.key == *key.name() && *self.algorithm == *key.algorithm().as_wire()
    }

    /// The checks that come behind the key's, in the order of RFC 8945 section 5.2: the MAC's length can be meant, the MAC
    /// made is this one, the time is now, the MAC is whole.
    pub(super) fn check(&self, made: Mac, algorithm: Algorithm, now: u64) -> Result<(), Fault> {
        let whole = algorithm.length();
        if self.mac.len() > whole || self.mac.len() < (whole / 2).max(10) {
            return Err(Fault::Malformed);
        }
        if self.mac.len() < whole {
            return Err(Fault::BadTruncation);
        }
        if !made.is(&self.mac) {
            return Err(Fault::BadSignature);
        }
        if self.time.abs_diff(now) > u64::from(self.fudge.min(FUDGE)) {
            return Err(Fault::BadTime);
        }
        Ok(())
    }
}

fn read(rdata: &[u8]) -> Option<Record> {
    let algorithm = Name::from_wire(rdata).ok()?;
    let rest = rdata.get(algorithm.as_wire().len()..)?;
    let (&[t1, t2, t3, t4, t5, t6, f1, f2, m1, m2], rest) = rest.split_first_chunk::<10>()?;
    let (mac, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([m1, m2])))?;
    let (&[i1, i2, e1, e2, o1, o2], other) = rest.split_first_chunk::<6>()?;
    (other.len() == usize::from(u16::from_be_bytes([o1, o2]))).then(|| Record {
        start: 0,
        key: Name::root(),
        algorithm: algorithm.as_wire().into(),
        time: u64::from_be_bytes([0, 0, t1, t2, t3, t4, t5, t6]),
        fudge: u16::from_be_bytes([f1, f2]),
        mac: mac.to_vec(),
        original_id: u16::from_be_bytes([i1, i2]),
        error: u16::from_be_bytes([e1, e2]),
        other: other.to_vec(),
    })
}
