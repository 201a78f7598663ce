//! Owns the place where a line comes to be: so many bytes, and how many of them the line has, or would have. Never takes memory, so that each piece of
//! a line costs no more than its copying; whoever has it made again, with more room, does.

use std::fmt;
use std::io;
use std::net::IpAddr;

use crate::dns::{ADDRESS_TEXT, CanonicalName, put_address};

/// A line while it is written. What there is no room for is counted and not kept.
#[derive(Debug)]
pub(super) struct Draft<'r> {
    room: &'r mut [u8],
    length: usize,
}

/// Room that a draft has at first, in bytes: of a line with six answers.
const ROOM: usize = 1024;

/// Puts a draft into `room`, from `begin` on, once there is room for all of it. Returns where it ends.
pub(super) fn drafted(room: &mut Vec<u8>, begin: usize, put: impl Fn(&mut Draft<'_>)) -> usize {
    loop {
        let mut draft = Draft { room: room.get_mut(begin..).unwrap_or(&mut []), length: 0 };
        put(&mut draft);
        let end = begin + draft.length;
        if end <= room.len() {
            return end;
        }
        room.resize(end.next_power_of_two().max(ROOM), 0);
    }
}

/// Copies a piece of `N` to twice as many bytes as its first and its last `N`, which may have some in common: most pieces are words, and for a word, a
/// call of what copies any number costs more than the copying.
#[inline(always)]
fn in_two<const N: usize>(to: &mut [u8], piece: &[u8]) -> bool {
    let (Some(first), Some(last)) = (piece.first_chunk::<N>(), piece.last_chunk::<N>()) else { return false };
    if piece.len() > 2 * N {
        return false;
    }
    if let Some(to) = to.first_chunk_mut() {
        *to = *first;
    }
    if let Some(to) = to.last_chunk_mut() {
        *to = *last;
    }
    true
}

/// The inside of a string of JSON (RFC 8259 section 7).
pub(super) struct Text<'d, 'r>(pub(super) &'d mut Draft<'r>);

impl Draft<'_> {
    /// Bytes of the line, which may be more than there is room for.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Takes back what stands behind the first `length` bytes.
    pub(super) fn cut(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Appends bytes.
    #[inline]
    pub(super) fn put(&mut self, piece: &[u8]) {
        if let Some(to) = self.behind().get_mut(..piece.len())
            && !(in_two::<4>(to, piece)
                || in_two::<8>(to, piece)
                || in_two::<16>(to, piece)
                || in_two::<32>(to, piece))
        {
            to.copy_from_slice(piece);
        }
        self.length += piece.len();
    }

    /// The same of so many that the compiler knows, which is no call.
    #[inline(always)]
    pub(super) fn put_fixed<const N: usize>(&mut self, piece: &[u8; N]) {
        if let Some(to) = self.behind().first_chunk_mut() {
            *to = *piece;
        }
        self.length += N;
    }

    /// What there is room for still.
    #[inline(always)]
    fn behind(&mut self) -> &mut [u8] {
        self.room.get_mut(self.length..).unwrap_or(&mut [])
    }

    /// Appends an address.
    pub(super) fn put_address(&mut self, address: IpAddr) {
        let room = self.behind().first_chunk_mut();
        self.length += room.map_or(ADDRESS_TEXT, |room| put_address(address, room));
    }

    /// Appends a number, digit by digit from its end.
    pub(super) fn put_decimal(&mut self, number: u32) {
        let digits = number.checked_ilog10().map_or(1, |log| log as usize + 1);
        let mut rest = number;
        for to in self.behind().get_mut(..digits).unwrap_or(&mut []).iter_mut().rev() {
            *to = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.length += digits;
    }

    /// Appends the inside of a string that is a name.
    pub(super) fn put_name(&mut self, name: &CanonicalName) {
        match name.put_plain(self.behind()) {
            Some(length) => self.length += length,
            // Writing to memory does not fail.
            None => _ = name.write_text(&mut Text(self)).is_ok(),
        }
    }
}

impl io::Write for Draft<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Text<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        // All of it, and not up to the first: that takes many at a time.
        if !text.bytes().fold(false, |found, byte| found | is_special(byte)) {
            self.0.put(text.as_bytes());
            return Ok(());
        }
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => self.0.put_fixed(&[b'\\', byte]),
                0..b' ' => {
                    const DIGITS: &[u8; 16] = b"0123456789abcdef";
                    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
                    self.0.put_fixed(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
                }
                _ => self.0.put_fixed(&[byte]),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn what_has_no_room_is_written_again_with_more() {
        let mut room = b"kept".to_vec();
        let end = drafted(&mut room, 4, |draft| draft.put(&[b'x'; 3000]));
        assert_eq!((end, &room[..4], &room[4..end]), (3004, &b"kept"[..], &[b'x'; 3000][..]));
        let length = room.len();
        assert_eq!(drafted(&mut room, 4, |draft| draft.put(b"y")), 5);
        assert_eq!((room.len(), &room[..6]), (length, &b"keptyx"[..]));
    }

    #[test]
    fn pieces_of_every_length_are_copied_whole() {
        let piece: Vec<u8> = (1..=100).collect();
        for length in 0..=piece.len() {
            let mut line = Vec::new();
            let end = drafted(&mut line, 0, |draft| {
                draft.put(&piece[..length]);
                draft.put_fixed(b"|");
            });
            assert_eq!(line[..end], [&piece[..length], b"|"].concat());
        }
    }

    #[test]
    fn numbers_and_addresses_are_written_as_they_are_anywhere() {
        for number in (0..32).flat_map(|bit| [(1_u32 << bit) - 1, 1 << bit]).chain([9, 10, 99, 100, u32::MAX])
        {
            let (address, shown) = (IpAddr::from(number.to_be_bytes()), number.to_string());
            let mut line = Vec::new();
            let end = drafted(&mut line, 0, |draft| {
                draft.put_decimal(number);
                draft.put_fixed(b" ");
                draft.put_address(address);
            });
            assert_eq!(String::from_utf8_lossy(&line[..end]), format!("{shown} {address}"));
        }
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut room = [0; 8];
        let mut draft = Draft { room: &mut room, length: 0 };
        draft.put(b"a.ba.b");
        draft.put(b"cde");
        draft.put(b"fgh");
        draft.put_name(&CanonicalName::read(b"\x01x\x01y\0").unwrap());
        Text(&mut draft).write_str("\"\u{1}").unwrap();
        assert_eq!(draft.length(), 6 + 3 + 3 + 3 + 8);
        draft.cut(6);
        draft.put(b"!");
        assert_eq!((draft.length(), &room), (7, b"a.ba.b!\0"));
    }
}
