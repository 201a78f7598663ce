//! Owns what a sink is to the thread that writes to it: records that go out together, and what became of them. Never opens anything.

use std::io;

use super::draft::{Draft, drafted};

/// Records on their way to one sink.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Their bytes, and whatever was behind them when it was used before.
    room: Vec<u8>,
    length: usize,
    /// Where each record ends.
    ends: Vec<usize>,
}

/// What became of records.
#[derive(Debug)]
pub(super) struct Written {
    /// How many went out, from the first on.
    pub(super) records: usize,
    /// How many behind them nobody will ever take.
    pub(super) dropped: usize,
    /// What stopped the others.
    pub(super) error: Option<io::Error>,
}

/// Where records go.
pub(super) trait Output: Send {
    /// Writes as many as can be written, from the first on.
    fn write(&mut self, batch: &Batch) -> Written;

    /// Whether what could not be written is worth another try, or gone.
    fn tries_again(&self) -> bool;

    /// Nothing came for a while.
    fn idle(&mut self) {}

    /// Says that nothing more will come.
    fn end(&mut self) {}
}

impl Batch {
    /// Appends bytes of a record.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.draft(|draft| draft.put(bytes));
    }

    /// Appends what `put` puts into a draft; it may have to do so again.
    pub(super) fn draft(&mut self, put: impl Fn(&mut Draft<'_>)) {
        self.length = drafted(&mut self.room, self.length, put);
    }

    /// Ends a record whose bytes were appended.
    pub(super) fn end_record(&mut self) {
        self.ends.push(self.length);
    }

    /// All that was appended.
    pub(super) fn bytes(&self) -> &[u8] {
        self.room.get(..self.length).unwrap_or(&[])
    }

    /// Bytes that it takes up.
    pub(super) fn capacity(&self) -> usize {
        self.room.capacity()
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The records.
    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| self.room.get(begin..*end).unwrap_or(&[]))
    }

    /// How many records end within so many bytes.
    pub(super) fn records_within(&self, bytes: usize) -> usize {
        self.ends.partition_point(|end| *end <= bytes)
    }

    /// Empty, with the room that it has.
    pub(super) fn cleared(mut self) -> Self {
        self.length = 0;
        self.ends.clear();
        self
    }

    /// Without the first records.
    pub(super) fn without_first(mut self, count: usize) -> Self {
        let begin = count.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        self.room.drain(..begin);
        self.length -= begin;
        self.ends.drain(..count.min(self.ends.len()));
        self.ends.iter_mut().for_each(|end| *end -= begin);
        self
    }
}

/// Writes records to a stream, opened now unless there is one, with what `head` makes of each one's length in front of it.
pub(super) fn write_framed<S: io::Write>(
    stream: &mut Option<S>,
    open: impl FnOnce() -> io::Result<S>,
    batch: &Batch,
    head: impl Fn(usize, &mut Vec<u8>),
) -> Written {
    let (mut framed, mut length) = (Batch::default(), Vec::new());
    for record in batch.records() {
        length.clear();
        head(record.len(), &mut length);
        framed.put(&length);
        framed.put(record);
        framed.end_record();
    }
    let mut opened = match stream.take().map_or_else(open, Ok) {
        Ok(opened) => opened,
        Err(error) => return Written::none(error),
    };
    match write_most(&mut opened, framed.bytes()) {
        Ok(()) => {
            *stream = Some(opened);
            Written::all(batch)
        }
        // What was cut off cannot be gone on with.
        Err((at, error)) => Written::first(framed.records_within(at), error),
    }
}

/// Writes all bytes, or says how many went out and what stopped the others.
pub(super) fn write_most(to: &mut impl io::Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => return Err((at, io::ErrorKind::WriteZero.into())),
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((at, error)),
        }
    }
    Ok(())
}

impl Written {
    /// All of them.
    pub(super) fn all(batch: &Batch) -> Self {
        Self { records: batch.len(), dropped: 0, error: None }
    }

    /// The first ones.
    pub(super) fn first(records: usize, error: io::Error) -> Self {
        Self { records, dropped: 0, error: Some(error) }
    }

    /// None of them.
    pub(super) fn none(error: io::Error) -> Self {
        Self::first(0, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_apart_and_taken_off() {
        let mut batch = Batch::default();
        for record in [&b"one"[..], b"two!", b"3"] {
            batch.put(record);
            batch.end_record();
        }
        assert_eq!(batch.records().collect::<Vec<_>>(), [&b"one"[..], b"two!", b"3"]);
        assert_eq!((batch.records_within(2), batch.records_within(3), batch.records_within(8)), (0, 1, 3));
        let rest = batch.without_first(2);
        assert_eq!(rest.records().collect::<Vec<_>>(), [&b"3"[..]]);
    }
}
