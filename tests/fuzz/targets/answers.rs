//! Answers that were kept over a restart, in a file that is whole: whatever stands in it, what is taken back answers the question it is
//! kept under.
#![no_main]

use interdict::cache::{Config, Store};
use interdict::clock::{Clock, Moment};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

fuzz_target!(|bytes: &[u8]| {
    let clock = Clock::system();
    let mut file = b"interdict answers 1\n".to_vec();
    file.extend_from_slice(bytes);
    let digest = Sha256::digest(&file);
    file.extend_from_slice(&digest);
    let store = Store::new(Config { memory: 1 << 20, ..Config::default() });
    let taken = store.restore(&file, Moment::START, clock.wall());
    if taken.is_ok_and(|taken| taken > 0) {
        // What was read can be written and read again.
        let again = store.to_bytes(Moment::START, clock.wall());
        let other = Store::new(Config { memory: 1 << 20, ..Config::default() });
        assert!(other.restore(&again, Moment::START, clock.wall()).is_ok());
    }
});
