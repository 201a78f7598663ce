//! Owns how a text is kept in a folder: each of its pieces in a file named by its digest, so that versions share them, and
//! beside several pieces a file that tells them, named by the digest of the text. Never decides what is kept.

use std::fs;
use std::io;
use std::path::Path;

use super::file::{Digest, read_file};
use super::written::write_whole;
use crate::formats::{PIECES, Piece, Text};

/// A file of a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PieceFile {
    /// Its name: the SHA-256 of its bytes.
    pub digest: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Cap for what tells the pieces of a text: a line of less than 80 bytes for some hundred KiB of it.
const CONTENTS_FILE: u64 = 16 << 20;

/// Writes a text below `folder`, as far as it is not there, with the permission bits `mode` less the umask. What tells the
/// pieces comes last, so that after a crash nothing names a piece that is not there.
pub fn keep_text(folder: &Path, text: &Text, mode: u32) -> io::Result<()> {
    for piece in text.pieces() {
        keep(folder, &Digest::from(piece.digest()), piece.bytes(), mode)?;
    }
    match text.contents() {
        Some(contents) => keep(folder, &Digest::from(text.digest()), contents.as_bytes(), mode),
        None => Ok(()),
    }
}

fn keep(folder: &Path, digest: &Digest, bytes: &[u8], mode: u32) -> io::Result<()> {
    let path = folder.join(digest.to_string());
    let is_there =
        fs::metadata(&path).is_ok_and(|known| known.is_file() && known.len() == bytes.len() as u64);
    if is_there { Ok(()) } else { write_whole(&path, bytes, mode) }
}

/// Reads a text of at most `cap` bytes that was kept, `in_pieces` or in one. Fails when any of it is missing, unreadable, or
/// not what its digest says.
pub fn read_text(folder: &Path, digest: &str, in_pieces: bool, cap: u64) -> io::Result<Text> {
    if !in_pieces {
        return Ok(Text::of(vec![read(folder, digest, cap)?]));
    }
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    for file in pieces_of(folder, digest)? {
        bytes += file.bytes;
        if bytes > cap {
            return Err(damaged(format!("{digest} is of more than {cap} bytes")));
        }
        pieces.push(read(folder, &file.digest, file.bytes)?);
    }
    let text = Text::of(pieces);
    if Digest::from(text.digest()).to_string() == digest { Ok(text) } else { Err(damaged(digest.to_owned())) }
}

/// The files of the pieces of a text that was kept in pieces.
pub fn pieces_of(folder: &Path, digest: &str) -> io::Result<Vec<PieceFile>> {
    let told = read(folder, digest, CONTENTS_FILE)?;
    let told = std::str::from_utf8(told.bytes()).map_err(|error| damaged(error.to_string()))?;
    let mut lines = told.lines();
    let line = |line: &str| {
        let (digest, bytes) = line.split_once(' ')?;
        // A name that is no digest could lead anywhere.
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(PieceFile { digest: digest.to_owned(), bytes: bytes.parse().ok()? }).filter(|_| is_digest)
    };
    let found = (lines.next() == Some(PIECES)).then(|| lines.map(line).collect()).flatten();
    found.ok_or_else(|| damaged(format!("{digest} does not tell the pieces of a text")))
}

fn read(folder: &Path, digest: &str, cap: u64) -> io::Result<Piece> {
    let path = folder.join(digest);
    let raw = read_file(&path, cap).map_err(|error| error.of_kept(&path))?;
    let piece = raw.content.pieces().next().filter(|_| raw.digest.to_string() == digest).cloned();
    piece.ok_or_else(|| damaged(format!("the bytes of {} are damaged", path.display())))
}

fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &[&str]) -> Text {
        Text::of(pieces.iter().map(|piece| Piece::new(piece.as_bytes().to_vec())).collect())
    }

    #[test]
    fn a_text_is_read_as_it_was_kept_and_its_versions_share_files() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (text(&["a\n", "b\n", "c\n"]), text(&["a\n", "x\n", "c\n"]));
        let digest = |text: &Text| Digest::from(text.digest()).to_string();
        for text in [&one, &two] {
            keep_text(folder.path(), text, 0o666).unwrap();
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 4 + 2);
        for text in [&one, &two] {
            let again = read_text(folder.path(), &digest(text), true, 6).unwrap();
            assert_eq!((again.digest(), again.bytes()), (text.digest(), text.bytes()));
            assert!(read_text(folder.path(), &digest(text), true, 5).is_err());
        }
        let whole = text(&["whole\n"]);
        keep_text(folder.path(), &whole, 0o666).unwrap();
        assert_eq!(&*read_text(folder.path(), &digest(&whole), false, 6).unwrap().bytes(), b"whole\n");
        assert!(read_text(folder.path(), &digest(&whole), true, 6).is_err());
    }

    /// Whatever happens to any of its files, a text is whole or an error.
    #[test]
    fn a_text_of_which_anything_is_damaged_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = text(&["a\n", "b\n", "c\n"]);
        let digest = Digest::from(text.digest()).to_string();
        keep_text(folder.path(), &text, 0o666).unwrap();
        for file in folder.path().read_dir().unwrap().map(|file| file.unwrap().path()) {
            let bytes = read_file(&file, 1000).unwrap().bytes().into_owned();
            for damaged in [&b""[..], &bytes[..bytes.len() - 1], &[&bytes[..], b"\n"].concat(), b"z\n"] {
                fs::write(&file, damaged).unwrap();
                assert!(read_text(folder.path(), &digest, true, 100).is_err(), "{file:?}");
            }
            fs::remove_file(&file).unwrap();
            assert!(read_text(folder.path(), &digest, true, 100).is_err(), "{file:?}");
            // What is missing is written again, and so is what was cut short.
            keep_text(folder.path(), &text, 0o666).unwrap();
            fs::write(&file, "").unwrap();
            keep_text(folder.path(), &text, 0o666).unwrap();
            assert!(read_text(folder.path(), &digest, true, 100).is_ok(), "{file:?}");
        }
    }
}
