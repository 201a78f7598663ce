//! Owns what was seen: counts by what was expected and what came, as one line of JSON. Never judges them.

use std::fmt::Write;
use std::time::Duration;

use crate::histogram::Histogram;
use crate::questions::{KINDS, Kind};

/// Response codes, then what is no code: an answer without records, and a truncated one.
const CODES: [&str; 18] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "6",
    "7",
    "8",
    "9",
    "10",
    "11",
    "12",
    "13",
    "14",
    "15",
    "EMPTY",
    "TRUNCATED",
];

#[derive(Default)]
pub struct Report {
    pub sent: u64,
    pub lost: u64,
    /// Replies to nothing that is under way, or no longer.
    pub late: u64,
    /// Replies whose id is right and whose question is not.
    pub mismatched: u64,
    counts: [[u64; CODES.len()]; KINDS.len()],
}

impl Report {
    /// Counts a reply of at least a header.
    pub fn count(&mut self, kind: Kind, reply: &[u8]) {
        let code = match reply[3] & 15 {
            _ if reply[2] & 2 != 0 => 17,
            0 if reply[6..8] == [0, 0] => 16,
            code => code,
        };
        self.counts[kind as usize][usize::from(code)] += 1;
    }

    pub fn json(&self, asked_for: Duration, latency: &Histogram) -> String {
        let mut codes = String::new();
        let mut answered = 0;
        for (word, kind) in KINDS {
            let counts = &self.counts[kind as usize];
            if counts.iter().all(|count| *count == 0) {
                continue;
            }
            let comma = if codes.is_empty() { "" } else { "," };
            let mut inner = String::new();
            for (code, count) in CODES.iter().zip(counts).filter(|(_, count)| **count > 0) {
                let comma = if inner.is_empty() { "" } else { "," };
                let _ = write!(inner, "{comma}\"{code}\":{count}");
                answered += count;
            }
            let _ = write!(codes, "{comma}\"{word}\":{{{inner}}}");
        }
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| latency.percentile(share));
        format!(
            "{{\"seconds\":{:.3},\"sent\":{},\"answered\":{answered},\"lost\":{},\"late\":{},\"mismatched\":{},\
             \"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\"p999_us\":{p999:.1},\"codes\":{{{codes}}}}}",
            asked_for.as_secs_f64(),
            self.sent,
            self.lost,
            self.late,
            self.mismatched,
        )
    }
}
