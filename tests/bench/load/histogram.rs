//! Owns counts of durations in buckets of equal relative width, for percentiles. Never keeps a single duration.

/// Buckets for each doubling: a percentile is true to 3 %.
const STEPS: u32 = 32;

pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; 64 * STEPS as usize], total: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, nanoseconds: u64) {
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
    }

    /// The duration in microseconds below which `share` of all lie.
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return middle(index) / 1e3;
            }
        }
        0.0
    }
}

fn bucket(value: u64) -> usize {
    let value = value.max(u64::from(STEPS));
    let power = value.ilog2() - STEPS.ilog2();
    (power * STEPS) as usize + ((value >> power) as usize - STEPS as usize)
}

/// The middle of a bucket.
fn middle(index: usize) -> f64 {
    let (power, step) = (index as u32 / STEPS, index as u32 % STEPS);
    (f64::from(STEPS + step) + 0.5) * f64::from(power).exp2()
}
