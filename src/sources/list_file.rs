//! Owns reading a list's file in pieces, which it shares with the version before: what did not change is neither held twice
//! nor hashed again, however long the list is. Never knows what a line means.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::cut::{Cutter, begins_piece, first_line};
use super::file::{FetchError, Raw};
use crate::formats::{Piece, Text};

/// A file that is looked at before it is taken.
struct Ahead {
    file: io::Take<File>,
    buffer: Vec<u8>,
    /// Bytes at the beginning of the buffer that were taken.
    taken: usize,
}

/// Reads a list of at most `cap` bytes; `known` is its text before.
pub fn read_list(path: &Path, cap: u64, known: Option<&Text>) -> Result<Raw, FetchError> {
    let mut ahead = Ahead { file: File::open(path)?.take(cap + 1), buffer: Vec::new(), taken: 0 };
    let pieces: Vec<&Piece> = known.into_iter().flat_map(Text::pieces).collect();
    let places: HashMap<&[u8], usize> =
        pieces.iter().enumerate().map(|(number, piece)| (first_line(piece.bytes()), number)).collect();
    let mut cutter = Cutter::default();
    // The known piece that may come next.
    let mut expected = Some(0);
    loop {
        if let Some(number) = expected.take()
            && let Some(piece) = pieces.get(number)
            && ahead.begins_with(piece.bytes())?
        {
            cutter.piece(piece);
            ahead.take(piece.bytes().len());
            expected = Some(number + 1);
            continue;
        }
        let line = ahead.line()?;
        if line.is_empty() {
            break;
        }
        let length = line.len();
        cutter.beginning(line);
        ahead.take(length);
        if !places.is_empty() {
            let next = ahead.line()?;
            let next = next.strip_suffix(b"\n").unwrap_or(next);
            expected = if begins_piece(next) { places.get(next).copied() } else { None };
        }
    }
    if ahead.file.limit() == 0 {
        return Err(FetchError::TooLarge(cap));
    }
    Ok(Raw::of(path.display().to_string(), cutter.finish(known)))
}

impl Ahead {
    /// Bytes asked of the file at once.
    const STEP: usize = 256 << 10;

    /// What was read and is not taken, `length` bytes or as many as there are.
    fn at_least(&mut self, length: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.taken < length {
            self.buffer.drain(..self.taken);
            self.taken = 0;
            let missing = length.saturating_sub(self.buffer.len()).max(Self::STEP);
            self.file.by_ref().take(missing as u64).read_to_end(&mut self.buffer)?;
        }
        Ok(self.buffer.get(self.taken..).unwrap_or(&[]))
    }

    /// Whether these whole lines come next: what has no end of a line must be the end of the file.
    fn begins_with(&mut self, lines: &[u8]) -> io::Result<bool> {
        let is_open = !lines.ends_with(b"\n");
        let next = self.at_least(lines.len() + usize::from(is_open))?;
        Ok(next.starts_with(lines) && !(is_open && next.len() > lines.len()))
    }

    /// The next line with its end; empty at the end of the file.
    fn line(&mut self) -> io::Result<&[u8]> {
        let (mut seen, mut wanted) = (0, 1);
        let length = loop {
            let next = self.at_least(wanted)?;
            let end = next.get(seen..).and_then(|next| next.iter().position(|byte| *byte == b'\n'));
            match end {
                Some(end) => break seen + end + 1,
                None if next.len() < wanted => break next.len(),
                None => (seen, wanted) = (next.len(), next.len() + 1),
            }
        };
        Ok(self.buffer.get(self.taken..self.taken + length).unwrap_or(&[]))
    }

    fn take(&mut self, length: usize) {
        self.taken += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Digest;

    /// Lines of which some begin pieces.
    fn lines(count: u32) -> Vec<String> {
        (0..count).map(|number| format!("host-{number}.example\n")).collect()
    }

    struct Listed {
        folder: tempfile::TempDir,
    }

    impl Listed {
        fn read(&self, lines: &[String], known: Option<&Text>) -> Raw {
            let path = self.folder.path().join("list.txt");
            std::fs::write(&path, lines.concat()).unwrap();
            read_list(&path, 64 << 20, known).unwrap()
        }
    }

    /// However a list changed, step by step, it is read as it stands, cut as if nothing had been known, and shares with the version
    /// before all pieces but those in which something changed.
    #[test]
    fn versions_of_a_file_share_what_did_not_change() {
        let listed = Listed { folder: tempfile::tempdir().unwrap() };
        let mut random = fastrand::Rng::with_seed(7);
        let mut lines = lines(60_000);
        let mut known = listed.read(&lines, None).content;
        assert!(known.pieces().len() > 3, "{}", known.pieces().len());
        for step in 0..40 {
            let at = random.usize(..lines.len());
            match step % 8 {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, format!("new-{step}.example\n")),
                2 => lines.insert(0, "# first\n".to_owned()),
                3 => lines.push(format!("last-{step}.example")),
                // What had no end of a line has one now, or goes on.
                4 => lines.push("-goes-on.example\n".to_owned()),
                5 => drop(lines.drain(at..(at + 20_000).min(lines.len()))),
                6 => lines.extend((0..15_000).map(|number| format!("more-{step}-{number}.example\n"))),
                _ => lines[at..].rotate_left(3),
            }
            let raw = listed.read(&lines, Some(&known));
            let (whole, anew) = (lines.concat(), listed.read(&lines, None).content);
            assert_eq!(raw.bytes(), whole.as_bytes(), "step {step}");
            assert_eq!(raw.digest, Digest::of(whole.as_bytes()), "step {step}");
            assert_eq!(raw.content.digest(), anew.digest(), "step {step}");
            let contents = |text: &Text| text.pieces().map(Piece::digest).collect::<Vec<_>>();
            let new = contents(&raw.content).into_iter().filter(|piece| !contents(&known).contains(piece));
            let new = new.count();
            assert!(new <= 3 || matches!(step % 8, 6), "step {step}: {new} pieces of its own");
            let own: usize = raw.content.own_bytes(Some(&known));
            let told: usize = (raw.content.pieces())
                .filter(|piece| !contents(&known).contains(&piece.digest()))
                .map(|piece| piece.bytes().len())
                .sum();
            assert_eq!(own, told, "step {step}: what is the same is not held twice");
            known = raw.content;
        }
    }

    #[test]
    fn a_file_that_is_odd_is_read_as_it_is() {
        let listed = Listed { folder: tempfile::tempdir().unwrap() };
        let long = "x".repeat(3 << 20);
        for text in ["", "\n", "one", "one\n\n", "one\r\ntwo\r\n", &long, &format!("{long}\n{long}")] {
            let known = Text::whole(b"one".to_vec());
            for known in [None, Some(&known)] {
                let raw = listed.read(&[text.to_owned()], known);
                assert_eq!((&*raw.bytes(), raw.digest), (text.as_bytes(), Digest::of(text.as_bytes())));
            }
        }
        let path = listed.folder.path().join("list.txt");
        std::fs::write(&path, "12345678901").unwrap();
        assert!(matches!(read_list(&path, 10, None), Err(FetchError::TooLarge(10))));
        assert_eq!(read_list(&path, 11, None).unwrap().content.len(), 11);
        assert!(read_list(listed.folder.path(), 10, None).is_err());
    }

    /// Each piece is a file where a list is kept: whoever writes a list does not decide how many.
    #[test]
    fn a_list_that_would_be_cut_too_often_is_left_in_one_piece() {
        let line =
            (0..).map(|number| format!("{number}\n")).find(|line| begins_piece(line.trim_end().as_bytes()));
        let line = line.unwrap();
        let listed = Listed { folder: tempfile::tempdir().unwrap() };
        let read = |count| listed.read(&vec![line.clone(); count], None).content;
        assert_eq!(read(1 << 14).pieces().len(), 1 << 14);
        let whole = read((1 << 14) + 1);
        assert_eq!((whole.pieces().len(), whole.len()), (1, line.len() * ((1 << 14) + 1)));
    }
}
