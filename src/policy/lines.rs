//! Owns where the lines of a list have moved to since its rules were numbered: a few steps instead of a number a rule. Never
//! knows what stands in a line.

/// From each of these lines on, how far lines have moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LineMap(Vec<(u32, i64)>);

impl LineMap {
    /// How many steps there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// From line `before` on, which is at or behind all others so far, lines are where that one is `now`.
    pub(super) fn push(&mut self, before: u32, now: u32) {
        let by = i64::from(now) - i64::from(before);
        if self.0.last().map_or(0, |(_, by)| *by) != by {
            self.0.push((before, by));
        }
    }

    /// Where a line is now.
    pub(super) fn now(&self, line: u32) -> u32 {
        (i64::from(line) + self.by(line)) as u32
    }

    fn by(&self, line: u32) -> i64 {
        let steps = self.0.partition_point(|(from, _)| *from <= line);
        self.0.get(steps.wrapping_sub(1)).map_or(0, |(_, by)| *by)
    }

    /// This map, and then the `later` one.
    pub(super) fn then(&self, later: &Self) -> Self {
        let mut steps: Vec<u32> = self.0.iter().map(|(from, _)| *from).collect();
        // A later step is met by the line that this map leads there: in the one stretch, if any, whose lines it moves.
        let ends = self.0.iter().skip(1).map(|(from, _)| *from).chain([u32::MAX]);
        let first = self.0.first().map_or(u32::MAX, |(from, _)| *from);
        let stretches = [(0, first, 0)].into_iter();
        let stretches = stretches.chain(self.0.iter().zip(ends).map(|(&(from, by), end)| (from, end, by)));
        for (from, end, by) in stretches {
            let (lowest, highest) = (i64::from(from) + by, i64::from(end) + by);
            let start = later.0.partition_point(|(step, _)| i64::from(*step) < lowest);
            let inside = later.0.iter().skip(start).take_while(|(step, _)| i64::from(*step) < highest);
            steps.extend(inside.map(|(step, _)| (i64::from(*step) - by) as u32));
        }
        steps.sort_unstable();
        steps.dedup();
        let mut both = Self::default();
        for line in steps {
            both.push(line, later.now(self.now(line)));
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(steps: &[(u32, u32)]) -> LineMap {
        let mut map = LineMap::default();
        steps.iter().for_each(|(before, now)| map.push(*before, *now));
        map
    }

    #[test]
    fn lines_behind_a_step_move_by_as_much() {
        let map = map(&[(5, 6), (9, 10), (20, 19)]);
        let now: Vec<u32> = [1, 4, 5, 9, 19, 20, 30].into_iter().map(|line| map.now(line)).collect();
        assert_eq!(now, [1, 4, 6, 10, 20, 19, 29]);
        assert_eq!(map.len(), 2, "a step of nothing is none");
    }

    #[test]
    fn two_maps_one_after_the_other_are_one() {
        let mut seed = 5u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        // Lines keep their order: a map is made of insertions and removals.
        let mut any = || {
            let mut map = LineMap::default();
            let (mut line, mut now) = (0, 0);
            for _ in 0..random(6) {
                let step = 1 + random(8);
                (line, now) = (line + step + random(4), now + step + random(4));
                map.push(line, now);
            }
            map
        };
        for _ in 0..2000 {
            let (first, second) = (any(), any());
            let both = first.then(&second);
            let of = |map: &LineMap| map.0.clone();
            for line in 0..80 {
                // A line that a removal took away leads nowhere that matters.
                let taken = first.0.iter().any(|(from, by)| {
                    line < *from && i64::from(line) + first.by(line) >= i64::from(*from) + by
                });
                if !taken {
                    let expected = second.now(first.now(line));
                    assert_eq!(both.now(line), expected, "{:?} {:?} at {line}", of(&first), of(&second));
                }
            }
        }
    }
}
