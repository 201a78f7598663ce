//! Owns numbers that nobody can guess: the system's own, fetched in bulk. Never a generator of this product's making.

use std::cell::RefCell;
use std::io;

/// Bytes fetched at once: enough for 250 questions, so that a question's share of the system call is a few
/// nanoseconds.
const BULK: usize = 3 << 10;

/// One thread's numbers that were not handed out yet.
struct Stock {
    bytes: [u8; BULK],
    left: usize,
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; BULK], left: 0 }) };
}

/// Sixteen bits that nobody can guess.
pub(super) fn unpredictable() -> io::Result<u16> {
    STOCK.with_borrow_mut(|stock| {
        if stock.left == 0 {
            getrandom::fill(&mut stock.bytes).map_err(|error| io::Error::other(error.to_string()))?;
            stock.left = BULK;
        }
        let Some((_, pair)) = stock.bytes.get_mut(..stock.left).and_then(<[u8]>::split_last_chunk_mut::<2>)
        else {
            return Err(io::Error::other("no random numbers"));
        };
        // Handed out once, then forgotten.
        let number = u16::from_ne_bytes(std::mem::take(pair));
        stock.left -= 2;
        Ok(number)
    })
}

/// Sixty-four bits that nobody can guess.
pub(super) fn unpredictable_bits() -> io::Result<u64> {
    (0..4).try_fold(0, |bits, _| Ok(bits << 16 | u64::from(unpredictable()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_over_all_sixteen_bits() {
        let mut seen = vec![0u32; 1 << 16];
        for _ in 0..1 << 20 {
            seen[usize::from(unpredictable().unwrap())] += 1;
        }
        // 16 on average, Poisson: none of 65,536 strays as far as 60, and about none is missing.
        assert!(seen.iter().all(|&count| count < 60));
        assert!(seen.iter().filter(|&&count| count == 0).count() < 5);
    }
}
