//! Owns a list's text: in one piece as it was read, or in pieces that its versions share, so that what did not change is
//! neither copied nor hashed, compared or written again. Never knows a syntax.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::policy::hexadecimal;

/// A list's text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Text {
    pieces: Arc<[Placed]>,
    len: usize,
    digest: [u8; 32],
    sha256: [u8; 32],
}

/// A piece in its place.
#[derive(Clone, Debug)]
struct Placed {
    /// Bytes before it.
    at: usize,
    piece: Piece,
    /// The hash of all bytes before it, from which that of a text that differs behind them goes on.
    before: Sha256,
}

/// By what tells it from others.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Text {}

/// Some lines of a text.
#[derive(Clone, Debug)]
pub struct Piece {
    bytes: Arc<Vec<u8>>,
    digest: [u8; 32],
}

/// The first line of what tells the pieces of a text.
pub const PIECES: &str = "interdict: a text in pieces, version 1";

impl Piece {
    /// A piece of these bytes.
    pub fn new(bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Sha256::digest(&*bytes).into(), bytes }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of its bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

impl Text {
    /// A text in one piece.
    pub fn whole(bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        Self::of(vec![Piece::new(bytes)])
    }

    /// A text of pieces, each of which but the last ends with a line.
    pub fn of(pieces: Vec<Piece>) -> Self {
        Self::after(None, pieces)
    }

    /// The same, of which what begins as the text `known` does is not hashed again.
    pub fn after(known: Option<&Self>, pieces: Vec<Piece>) -> Self {
        let known = known.map_or(&[][..], |known| &known.pieces);
        let same =
            pieces.iter().zip(known).take_while(|(piece, known)| piece.digest == known.piece.digest).count();
        let (mut at, mut hash) = (0, Sha256::new());
        let mut placed: Vec<Placed> = Vec::with_capacity(pieces.len());
        for (number, piece) in pieces.into_iter().enumerate() {
            match (known.get(number).filter(|_| number <= same), placed.last()) {
                (Some(known), _) => hash = known.before.clone(),
                (None, Some(last)) => hash.update(last.piece.bytes()),
                (None, None) => {}
            }
            let length = piece.bytes.len();
            placed.push(Placed { at, piece, before: hash.clone() });
            at += length;
        }
        let sha256 = match placed.as_slice() {
            [only] => only.piece.digest,
            pieces => {
                pieces.last().into_iter().for_each(|last| hash.update(last.piece.bytes()));
                hash.finalize().into()
            }
        };
        let text = Self { pieces: placed.into(), len: at, digest: sha256, sha256 };
        let digest = text.contents().map_or(sha256, |contents| Sha256::digest(contents).into());
        Self { digest, ..text }
    }

    /// Its pieces, in order.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = &Piece> {
        self.pieces.iter().map(|placed| &placed.piece)
    }

    /// True when it is in more than one piece.
    pub fn is_in_pieces(&self) -> bool {
        self.pieces.len() > 1
    }

    /// What tells its pieces: a line each, with digest and length in bytes. `None` of a text in one piece.
    pub fn contents(&self) -> Option<String> {
        if !self.is_in_pieces() {
            return None;
        }
        let mut contents = format!("{PIECES}\n");
        for Piece { bytes, digest } in self.pieces() {
            contents.push_str(&format!("{} {}\n", hexadecimal(digest), bytes.len()));
        }
        Some(contents)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What tells it, cut as it is, from others: of one in several pieces the SHA-256 of what [`Text::contents`] tells.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// SHA-256 of its bytes, wherever it is cut.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// All of it; copied when it is in several pieces.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match &*self.pieces {
            [] => Cow::Borrowed(&[]),
            [only] => Cow::Borrowed(only.piece.bytes()),
            _ => Cow::Owned(self.pieces().flat_map(|piece| piece.bytes.iter().copied()).collect()),
        }
    }

    /// The bytes from `at` to the end of the piece in which that is; empty at the end of the text.
    pub fn rest(&self, at: usize) -> &[u8] {
        let number = self.pieces.partition_point(|placed| placed.at <= at);
        let found = number.checked_sub(1).and_then(|number| self.pieces.get(number));
        found.and_then(|placed| placed.piece.bytes.get(at - placed.at..)).unwrap_or(&[])
    }

    /// Some of it; copied when it is in several pieces. `None` when it is not all there.
    pub fn range(&self, range: Range<usize>) -> Option<Cow<'_, [u8]>> {
        let length = range.end.checked_sub(range.start)?;
        if range.end > self.len {
            return None;
        }
        if let Some(bytes) = self.rest(range.start).get(..length) {
            return Some(Cow::Borrowed(bytes));
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let rest = self.rest(range.start + bytes.len());
            bytes.extend_from_slice(rest.get(..length - bytes.len()).unwrap_or(rest));
        }
        Some(Cow::Owned(bytes))
    }

    /// The bytes from `at` on, if there are as many.
    pub fn chunk<const LENGTH: usize>(&self, at: usize) -> Option<[u8; LENGTH]> {
        let bytes = self.range(at..at.checked_add(LENGTH)?)?;
        bytes.first_chunk().copied()
    }

    /// Whether the bytes from `at` on are those of `other` in `range`. Those that both share are not looked at.
    pub fn matches(&self, at: usize, other: &Self, range: Range<usize>) -> bool {
        let (mut mine, mut theirs) = (at, range.start);
        while theirs < range.end {
            let (here, there) = (self.rest(mine), other.rest(theirs));
            let length = here.len().min(there.len()).min(range.end - theirs);
            match (here.get(..length), there.get(..length)) {
                (Some(here), Some(there)) if length > 0 => {
                    if !std::ptr::eq(here, there) && here != there {
                        return false;
                    }
                }
                _ => return false,
            }
            mine += length;
            theirs += length;
        }
        true
    }

    /// The same text, which shares with `known` the pieces that are the same.
    pub fn sharing(self, known: &Self) -> Self {
        let mut pieces: Vec<&Piece> = known.pieces().collect();
        pieces.sort_unstable_by_key(|piece| piece.digest);
        let same = |piece: &Piece| {
            let found = pieces.binary_search_by_key(&piece.digest, |known| known.digest).ok();
            found.and_then(|found| pieces.get(found)).map_or_else(|| piece.clone(), |known| (*known).clone())
        };
        let pieces = self
            .pieces
            .iter()
            .map(|placed| Placed { piece: same(&placed.piece), ..placed.clone() })
            .collect();
        Self { pieces, ..self }
    }

    /// Bytes in pieces that it does not share with `other`.
    pub fn own_bytes(&self, other: Option<&Self>) -> usize {
        let others = other.into_iter().flat_map(Self::pieces);
        let shared: BTreeSet<*const Vec<u8>> = others.map(|piece| Arc::as_ptr(&piece.bytes)).collect();
        let own = self.pieces().filter(|piece| !shared.contains(&Arc::as_ptr(&piece.bytes)));
        own.map(|piece| piece.bytes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(lines: &[&str]) -> Text {
        Text::of(lines.iter().map(|lines| Piece::new(lines.as_bytes().to_vec())).collect())
    }

    #[test]
    fn pieces_read_as_the_whole_does() {
        let (text, whole) = (pieces(&["one\n", "two\nthree\n", "four"]), b"one\ntwo\nthree\nfour");
        assert_eq!((text.len(), &*text.bytes()), (whole.len(), &whole[..]));
        for from in 0..=whole.len() {
            for until in from..=whole.len() {
                assert_eq!(text.range(from..until).as_deref(), Some(&whole[from..until]));
            }
            assert_eq!(text.chunk::<6>(from), whole[from..].first_chunk().copied());
        }
        assert_eq!((text.range(0..whole.len() + 1), text.rest(whole.len())), (None, &[][..]));
        let empty = Text::of(Vec::new());
        assert!(empty.is_empty() && empty.bytes().is_empty() && empty.contents().is_none());
    }

    #[test]
    fn stretches_of_two_texts_match_however_they_are_cut() {
        let text = pieces(&["a\n", "b\nc\n", "d\n"]);
        for other in [pieces(&["a\nb\n", "c\nd\n"]), pieces(&["a\nb\nc\nd\n"]), text.clone()] {
            for (from, until) in (0..8).flat_map(|from| (from..9).map(move |until| (from, until))) {
                for at in 0..9 {
                    let expected = text.bytes()[at.min(8)..].starts_with(&text.bytes()[from..until.min(8)]);
                    let found = text.matches(at, &other, from..until);
                    assert_eq!(found, expected && until <= 8, "{at} {from} {until}");
                }
            }
        }
    }

    #[test]
    fn versions_share_what_is_the_same() {
        let known = pieces(&["a\n", "b\n", "c\n"]);
        let next = pieces(&["a\n", "x\n", "c\n"]).sharing(&known);
        assert_eq!(next.own_bytes(Some(&known)), 2);
        assert_eq!(&*next.bytes(), b"a\nx\nc\n");
        assert_ne!(next.digest(), known.digest());
        assert_eq!(known.own_bytes(Some(&next)), 2);
        assert_eq!(pieces(&["a\n", "b\n", "c\n"]).digest(), known.digest());
        // Where it is cut tells texts apart too: what is kept by its digest is found by it.
        assert_ne!(pieces(&["a\nb\n", "c\n"]).digest(), known.digest());
        // The bytes alone, however they are cut and whatever was known of them before.
        let sha256 = |bytes: &[u8]| <[u8; 32]>::from(Sha256::digest(bytes));
        assert_eq!((known.sha256(), next.sha256()), (sha256(b"a\nb\nc\n"), sha256(b"a\nx\nc\n")));
        for lines in
            [&["a\n"][..], &["a\n", "b\n"], &["a\n", "b\n", "c\n", "d\n"], &["x\n", "b\n", "c\n"], &[]]
        {
            let pieces = lines.iter().map(|lines| Piece::new(lines.as_bytes().to_vec())).collect();
            let text = Text::after(Some(&known), pieces);
            assert_eq!(text.sha256(), sha256(lines.concat().as_bytes()), "{lines:?}");
        }
        let whole = Text::whole(b"a\n".to_vec());
        assert_eq!((whole.digest(), whole.contents()), (known.pieces().next().unwrap().digest(), None));
        assert!(known.contents().unwrap().lines().nth(1).unwrap().ends_with(" 2"));
    }
}
