//! Owns when a source is fetched next: its refresh interval while it answers, shorter and growing steps while it does not,
//! never in step with other hosts. Never reads a clock and never fetches.

use std::time::Duration;

/// First wait after a failure: a server that restarts is back by then.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// Share of a wait by which it is made longer or shorter: two hundred hosts that started together part.
const JITTER: f64 = 0.1;

/// The wait after a fetch that went well; `random` is from 0 to 1.
pub(super) fn after_success(refresh: Duration, random: f64) -> Option<Duration> {
    (!refresh.is_zero()).then(|| jittered(refresh, random))
}

/// The wait after the `failures`th failure in a row, at most `refresh`, at least what the server asked for.
pub(super) fn after_failure(
    refresh: Duration,
    failures: u32,
    retry_after: Option<Duration>,
    random: f64,
) -> Option<Duration> {
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let wait = after_success(doubled.min(refresh), random)?;
    Some(retry_after.map_or(wait, |asked| wait.max(asked)))
}

fn jittered(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn waits_stay_within_a_tenth_of_the_interval() {
        assert_eq!(after_success(HOUR, 0.0), Some(Duration::from_secs(3240)));
        assert_eq!(after_success(HOUR, 1.0), Some(Duration::from_secs(3960)));
        assert_eq!(after_success(Duration::ZERO, 0.5), None);
    }

    #[test]
    fn failures_are_retried_soon_then_ever_later_and_never_later_than_the_interval() {
        let waits: Vec<u64> = (1..10).map(|n| after_failure(HOUR, n, None, 0.5).unwrap().as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(after_failure(HOUR, u32::MAX, None, 0.5), Some(HOUR));
        assert_eq!(after_failure(Duration::ZERO, 1, None, 0.5), None, "only when an operator reloads");
        assert_eq!(after_failure(HOUR, 1, Some(HOUR), 0.5), Some(HOUR), "as the server asked");
    }
}
