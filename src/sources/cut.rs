//! Owns where a list's text is cut into pieces: before lines that say so themselves, so that two versions share all
//! pieces but those in which a line differs, whichever way they came. Never knows what a line means.

use crate::formats::{Piece, Text};

/// Makes a text in pieces of lines that come in order.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    done: Vec<Piece>,
    /// The piece that may still grow: one of another version as it is, until it does.
    shared: Option<Piece>,
    own: Vec<u8>,
}

/// Pieces of a text at most, each of which is a file where it is kept. Lists of ten million names are in a bit more than a
/// thousand; one that is cut more often was made so that it is, and is left in one.
const MOST_PIECES: usize = 1 << 14;

impl Cutter {
    /// A text that begins with a piece of its own.
    pub(super) fn new(head: Vec<u8>) -> Self {
        Self { done: vec![Piece::new(head)], ..Self::default() }
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self, line: &[u8]) {
        if begins_piece(line) {
            self.close();
        }
        let bytes = self.own();
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }

    /// Lines of a piece behind its first.
    pub(super) fn inner(&mut self, lines: &[u8]) {
        if !lines.is_empty() {
            self.own().extend_from_slice(lines);
        }
    }

    /// All lines of a piece from its beginning.
    pub(super) fn beginning(&mut self, lines: &[u8]) {
        if begins_piece(first_line(lines)) {
            self.close();
        }
        self.inner(lines);
    }

    /// A whole piece of another version.
    pub(super) fn piece(&mut self, piece: &Piece) {
        if begins_piece(first_line(piece.bytes())) {
            self.close();
        }
        if self.shared.is_none() && self.own.is_empty() {
            self.shared = Some(piece.clone());
        } else {
            self.inner(piece.bytes());
        }
    }

    /// The text; what it shares with the beginning of `known` is not hashed again.
    pub(super) fn finish(mut self, known: Option<&Text>) -> Text {
        self.close();
        if self.done.len() > MOST_PIECES {
            let bytes: Vec<u8> = self.done.iter().flat_map(Piece::bytes).copied().collect();
            return Text::whole(bytes);
        }
        Text::after(known, self.done)
    }

    fn own(&mut self) -> &mut Vec<u8> {
        if let Some(piece) = self.shared.take() {
            self.own.extend_from_slice(piece.bytes());
        }
        &mut self.own
    }

    fn close(&mut self) {
        let mut own = std::mem::take(&mut self.own);
        if let Some(piece) = self.shared.take() {
            self.done.push(piece);
        } else if !own.is_empty() {
            own.shrink_to_fit();
            self.done.push(Piece::new(own));
        }
    }
}

/// The first of some lines, without its end.
pub(super) fn first_line(lines: &[u8]) -> &[u8] {
    lines.split(|byte| *byte == b'\n').next().unwrap_or(&[])
}

/// True for one line in some thousand, by its own bytes alone.
pub(super) fn begins_piece(line: &[u8]) -> bool {
    /// One in this many; a power of two. Pieces of 8192 lines, some hundred KiB, are copied, hashed and written within two
    /// milliseconds, and a million lines are in a bit more than a hundred.
    const LENGTH: u64 = 8192;
    // Fowler, Noll and Vo's hash of 64 bits; its upper bits are the better ones.
    let hash = line.iter().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    (hash >> 40) & (LENGTH - 1) == 0
}
