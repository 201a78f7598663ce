//! Owns records as this room passes them around: a run of bytes, each record's owner relative to the zone, so that neither a
//! version nor a difference is held as text. Never knows what a record means.

use crate::dns::RecordType;

/// One record in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record<'r> {
    /// Labels of the owner in wire form, without the zone's name and without the root's byte; empty for the apex.
    pub(super) owner: &'r [u8],
    pub(super) record_type: RecordType,
    /// In seconds.
    pub(super) ttl: u32,
    /// RDATA, uncompressed.
    pub(super) rdata: &'r [u8],
}

/// Largest RDATA that is published: a message holds it beside the longest owner, a question and a signature.
pub(super) const LARGEST: usize = 60_000;

impl Record<'_> {
    /// Appends the record to a run.
    pub(super) fn write(&self, run: &mut Vec<u8>) {
        run.push(self.owner.len() as u8);
        run.extend_from_slice(self.owner);
        run.extend_from_slice(&self.record_type.0.to_be_bytes());
        run.extend_from_slice(&self.ttl.to_be_bytes());
        run.extend_from_slice(&(self.rdata.len() as u16).to_be_bytes());
        run.extend_from_slice(self.rdata);
    }
}

/// The records of a run, in the order they were written.
pub(super) fn records(mut run: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (&length, rest) = run.split_first()?;
        let (owner, rest) = rest.split_at_checked(usize::from(length))?;
        let (&[t1, t2, l1, l2, l3, l4, r1, r2], rest) = rest.split_first_chunk::<8>()?;
        let (rdata, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([r1, r2])))?;
        run = rest;
        let record_type = RecordType(u16::from_be_bytes([t1, t2]));
        Some(Record { owner, record_type, ttl: u32::from_be_bytes([l1, l2, l3, l4]), rdata })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_back() {
        let all = [
            Record { owner: b"\x03www", record_type: RecordType::CNAME, ttl: 60, rdata: b"\0" },
            Record { owner: b"", record_type: RecordType::A, ttl: 7, rdata: &[192, 0, 2, 1] },
        ];
        let mut run = Vec::new();
        all.iter().for_each(|record| record.write(&mut run));
        assert_eq!(records(&run).collect::<Vec<_>>(), all);
        for cut in 1..run.len() {
            assert!(records(&run[..cut]).count() < 2, "cut at {cut}");
        }
    }
}
