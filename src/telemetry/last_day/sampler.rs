//! Owns which queries are noted for the summary of the last day: the first few of every second, then one in so many. Costs
//! the others one decrement. Never allocates and never waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::dns::CanonicalName;
use crate::policy::IdentityNumber;
use crate::telemetry::queue::Queue;

/// Where query threads leave what they note.
#[derive(Debug)]
pub struct Feed {
    pub(super) samples: Option<Queue<Sample>>,
    pub(super) sightings: Queue<Sighting>,
}

/// One noted query.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) name: CanonicalName,
    pub(super) client: IpAddr,
    pub(super) identity: IdentityNumber,
    /// How many queries it stands for, itself and those before it that were not noted.
    pub(super) stands_for: u32,
}

/// A name that would have been blocked.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    /// Number of its label set.
    pub(super) number: u32,
    pub(super) name: CanonicalName,
}

/// Chooses among one worker's queries.
#[derive(Debug)]
pub struct Sampler {
    feed: Option<Arc<Feed>>,
    /// Queries until the next that is noted.
    left: u32,
    /// How many queries that one will stand for.
    gap: u32,
    /// How many more are noted one by one.
    singly: u32,
    /// When the next second begins.
    next: Moment,
    random: fastrand::Rng,
}

/// Queries of each second that a worker notes one by one: a quiet network is told exactly.
const SINGLY: u32 = 64;
/// Of the others one in so many is noted, at gaps drawn at random, so that no rhythm of questions escapes or is favoured. A
/// name that was asked n times is then told with a standard error of the square root of 341/n: 6 % of 100,000.
const MEAN_GAP: u32 = 256;
/// Samples that may wait: what workers note in a tenth of a second at five million queries a second.
const SAMPLES: usize = 2048;
/// Names that may wait as examples of what would have been blocked; more are no better.
const SIGHTINGS: usize = 64;

impl Feed {
    /// An empty one; without `sampled` only rehearsed blocks are noted.
    pub(super) fn new(sampled: bool) -> Self {
        Self { samples: sampled.then(|| Queue::new(SAMPLES)), sightings: Queue::new(SIGHTINGS) }
    }

    /// Notes a name that would have been blocked, under its label set, unless enough are waiting.
    #[inline]
    pub fn sight(&self, number: u32, name: &CanonicalName) {
        self.sightings.push(|| Sighting { number, name: name.clone() });
    }
}

impl Sampler {
    /// For one worker.
    pub fn new(feed: Option<Arc<Feed>>) -> Self {
        let feed = feed.filter(|feed| feed.samples.is_some());
        let left = if feed.is_some() { 1 } else { u32::MAX };
        Self { feed, left, gap: left, singly: SINGLY - 1, next: Moment::START, random: fastrand::Rng::new() }
    }

    /// Tells it the time, once a batch.
    #[inline]
    pub fn tick(&mut self, now: Moment) {
        if now >= self.next {
            self.second(now);
        }
    }

    /// True when the query now at hand is to be noted.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        self.left = self.left.wrapping_sub(1);
        self.left == 0
    }

    /// Notes the query that was due.
    #[cold]
    pub fn note(&mut self, name: &CanonicalName, client: IpAddr, identity: IdentityNumber) {
        let stands_for = self.gap;
        if let Some(samples) = self.feed.as_ref().and_then(|feed| feed.samples.as_ref()) {
            samples.push(|| Sample { name: name.clone(), client, identity, stands_for });
            self.gap = match self.singly {
                0 => self.random.u32(1..2 * MEAN_GAP),
                _ => 1,
            };
            self.singly = self.singly.saturating_sub(1);
        } else {
            self.gap = u32::MAX;
        }
        self.left = self.gap;
    }

    /// Begins a second: what the gap has passed over so far goes to the next query.
    #[cold]
    fn second(&mut self, now: Moment) {
        self.next = now + Duration::from_secs(1);
        // The next query is the first of them.
        self.singly = SINGLY - 1;
        if self.feed.is_some() {
            self.gap -= self.left - 1;
            self.left = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a worker notes of `queries` in one second, in questions each.
    fn noted(feed: &Arc<Feed>, sampler: &mut Sampler, name: &CanonicalName, queries: u32) -> Vec<u32> {
        for _ in 0..queries {
            if sampler.is_due() {
                sampler.note(name, [192, 0, 2, 1].into(), IdentityNumber::default());
            }
        }
        let mut weights = Vec::new();
        feed.samples.as_ref().unwrap().drain(|sample| weights.push(sample.stands_for));
        weights
    }

    #[test]
    fn the_first_of_a_second_are_noted_singly_and_nothing_is_counted_twice() {
        let feed = Arc::new(Feed::new(true));
        let mut sampler = Sampler::new(Some(Arc::clone(&feed)));
        let name = CanonicalName::root();
        sampler.tick(Moment::START);
        let weights = noted(&feed, &mut sampler, &name, 64);
        assert_eq!(weights, [1; 64]);
        let first: u32 = noted(&feed, &mut sampler, &name, 100_000).iter().sum();
        assert!((99_000..=100_000).contains(&first), "{first}");
        sampler.tick(Moment::START + Duration::from_secs(1));
        let weights = noted(&feed, &mut sampler, &name, 10);
        assert_eq!(first + weights.iter().sum::<u32>(), 100_010, "what the gap passed over goes to the next");
        assert_eq!(weights[1..], [1; 9]);
        sampler.tick(Moment::START + Duration::from_millis(1500));
        let weights = noted(&feed, &mut sampler, &name, 54);
        assert_eq!(weights, [1; 54], "one second is one second");
        let weights = noted(&feed, &mut sampler, &name, 10_000);
        // A gap of one is drawn too, but once in 511 times.
        let singly = weights.iter().filter(|weight| **weight == 1).count();
        assert!(singly < 5, "behind its first 64 one in so many is noted: {weights:?}");
    }

    #[test]
    fn one_in_so_many_is_noted_at_random_gaps() {
        let feed = Arc::new(Feed::new(true));
        let mut sampler = Sampler::new(Some(Arc::clone(&feed)));
        let name = CanonicalName::root();
        noted(&feed, &mut sampler, &name, SINGLY);
        let weights = noted(&feed, &mut sampler, &name, 256 * 1000);
        assert!((800..1200).contains(&weights.len()), "{}", weights.len());
        let distinct: std::collections::BTreeSet<u32> = weights.into_iter().collect();
        assert!(distinct.len() > 200);
    }

    #[test]
    fn what_finds_no_room_is_lost_and_counted() {
        let feed = Feed::new(true);
        for _ in 0..SIGHTINGS + 5 {
            feed.sight(1, &CanonicalName::root());
        }
        assert_eq!(feed.sightings.lost(), 5);
        let mut nobody = Sampler::new(Some(Arc::new(Feed::new(false))));
        assert!((0..1_000_000).all(|_| !nobody.is_due()), "nothing is kept, so nothing is noted");
    }
}
