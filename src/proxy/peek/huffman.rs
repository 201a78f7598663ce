//! Owns the code in which HTTP/2 shortens text (RFC 7541 appendix B), as far as names of fields and hosts need it. Never more than its caller's bytes
//! hold.

/// Signs by the length of their codes: the first code of that length, and the signs that have it and those after it. What is missing
/// here is longer, and in no name.
const CODES: [(u32, u32, &[u8]); 10] = [
    (5, 0x0, b"012aceiost"),
    (6, 0x14, b" %-./3456789=A_bdfghlmnpru"),
    (7, 0x5C, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xF8, b"&*,;XZ"),
    (10, 0x3F8, b"!\"()?"),
    (11, 0x7FA, b"'+|"),
    (12, 0xFFA, b"#>"),
    (13, 0x1FF8, b"\0$@[]~"),
    (14, 0x3FFC, b"^}"),
    (15, 0x7FFC, b"<`{"),
];

/// The text; `None` when it is broken, or holds signs that no name has.
pub(super) fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(coded.len() * 8 / 5);
    // The bits of a sign so far, and how many.
    let (mut code, mut bits) = (0_u32, 0);
    for byte in coded {
        for at in (0..8).rev() {
            code = code << 1 | u32::from(byte >> at & 1);
            bits += 1;
            let sign = CODES
                .iter()
                .find(|(length, ..)| *length == bits)
                .and_then(|(_, first, signs)| signs.get(code.checked_sub(*first)? as usize));
            if let Some(sign) = sign {
                text.push(*sign);
                (code, bits) = (0, 0);
            } else if bits > 15 {
                return None;
            }
        }
    }
    // What is left fills the last byte with ones.
    (bits < 8 && code == (1 << bits) - 1).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_come_out() {
        // RFC 7541 appendix C.4.
        let coded = [0xF1, 0xE3, 0xC2, 0xE5, 0xF2, 0x3A, 0x6B, 0xA0, 0xAB, 0x90, 0xF4, 0xFF];
        assert_eq!(decode(&coded).unwrap(), b"www.example.com");
        assert_eq!(decode(&[0xA8, 0xEB, 0x10, 0x64, 0x9C, 0xBF]).unwrap(), b"no-cache");
        assert_eq!(decode(&[0x25, 0xA8, 0x49, 0xE9, 0x5B, 0xA9, 0x7D, 0x7F]).unwrap(), b"custom-key");
        assert_eq!(decode(&[0xFF]), None, "a whole byte of filling");
        assert_eq!(decode(&[0xFF; 4]), None, "the sign that ends everything");
        assert_eq!(decode(&[0x18]), None, "filled with other than ones");
        assert_eq!(decode(&[]).unwrap(), b"");
    }

    #[test]
    fn every_sign_has_a_code_of_its_own() {
        let mut seen: Vec<(u32, u32)> = CODES
            .iter()
            .flat_map(|(bits, first, signs)| {
                (0..signs.len() as u32).map(move |i| ((first + i) << (15 - bits), 15 - bits))
            })
            .collect();
        seen.sort_unstable();
        for pair in seen.windows(2) {
            assert_eq!(pair[0].0 + (1 << pair[0].1), pair[1].0, "codes follow each other without a hole");
        }
    }
}
