//! Made-up names that look like those of real lists: lengths, labels, top-level domains and shared parents are distributed
//! alike. Name `i` is the same everywhere and always. Not part of the product.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a yardstick, not the product")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "another program uses a part of it")]

use std::io::{BufWriter, Write};

const ONSETS: [&str; 32] = [
    "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "ch",
    "cl", "cr", "dr", "fl", "gr", "pl", "pr", "sh", "sp", "st", "tr", "th",
];
const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "io", "ou"];
const CODAS: [&str; 8] = ["", "", "", "n", "r", "s", "t", "x"];
const WORDS: [&str; 16] = [
    "ad", "ads", "app", "best", "buy", "cdn", "e", "free", "get", "go", "my", "news", "online", "shop",
    "the", "track",
];
/// Labels in front of a domain that many names of a list share.
const HOSTS: [&str; 16] = [
    "www", "ads", "track", "cdn", "static", "metrics", "img", "m", "api", "s", "pixel", "events", "log",
    "stats", "a", "go",
];
/// Top-level domains with their share in thousandths, as public lists have them.
const TLDS: [(&str, u32); 24] = [
    ("com", 480),
    ("net", 85),
    ("org", 35),
    ("it", 60),
    ("de", 35),
    ("ru", 30),
    ("xyz", 30),
    ("pl", 25),
    ("info", 22),
    ("co.uk", 20),
    ("jp", 15),
    ("nl", 14),
    ("fr", 14),
    ("com.br", 14),
    ("io", 14),
    ("eu", 13),
    ("cn", 13),
    ("top", 12),
    ("site", 12),
    ("online", 12),
    ("ca", 12),
    ("club", 11),
    ("com.au", 11),
    ("us", 11),
];
/// Syllables are onset and vowel: 256 of them, three to a short label, four to a long one.
const SYLLABLES: u64 = 256;
const LABELS: u64 = SYLLABLES * SYLLABLES * SYLLABLES * SYLLABLES;

/// Usage: `names FIRST COUNT`, on standard output one name a line. The names of two ranges that do not overlap differ,
/// and none is below another unless both are hosts of one domain.
fn main() {
    let numbers: Vec<u64> =
        std::env::args().skip(1).map(|word| word.parse().expect("usage: names FIRST COUNT")).collect();
    let [first, count] = numbers[..] else { panic!("usage: names FIRST COUNT") };
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut name = String::new();
    for number in first..first + count {
        name.clear();
        write_name(number, &mut name);
        name.push('\n');
        out.write_all(name.as_bytes()).expect("standard output");
    }
    out.flush().expect("standard output");
}

/// Appends name `number`.
pub fn write_name(number: u64, name: &mut String) {
    let chance = mix(number);
    // Of each ten names six are domains of their own, four are hosts below one domain they share with their neighbours.
    match number % 10 {
        0..6 => domain(number, name),
        _ => {
            if chance & 3 == 0 {
                name.push_str(HOSTS[(chance >> 8) as usize & 15]);
                name.push('.');
            }
            // Unlike any host of the same domain: a hundred neighbours in a row have different remainders.
            syllables(number % 100 * 653 + 7, 2, name);
            name.push('.');
            // The domains of hosts are numbered from the other end, so that none is listed itself.
            domain(LABELS / 2 + number / 100, name);
        }
    }
}

/// A registrable domain, different for each number.
fn domain(number: u64, name: &mut String) {
    let chance = mix(number ^ 0x9E37_79B9);
    if chance % 100 < 12 {
        name.push_str(WORDS[(chance >> 8) as usize & 15]);
        if chance % 100 < 7 {
            name.push('-');
        }
    }
    // Multiplying by an odd number permutes the labels: neighbours look nothing alike, and none comes twice.
    let label = (number + 0x5F37_59DF).wrapping_mul(0x9E37_79B1) % LABELS;
    syllables(label, 4, name);
    name.push_str(CODAS[(chance >> 16) as usize & 7]);
    name.push('.');
    let mut share = (chance >> 24) as u32 % 1000;
    for (tld, part) in TLDS {
        if share < part {
            return name.push_str(tld);
        }
        share -= part;
    }
    name.push_str("com");
}

fn syllables(mut label: u64, count: usize, name: &mut String) {
    for _ in 0..count {
        let syllable = (label % SYLLABLES) as usize;
        name.push_str(ONSETS[syllable / 8]);
        name.push_str(VOWELS[syllable % 8]);
        label /= SYLLABLES;
    }
}

/// Bits that look random (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
