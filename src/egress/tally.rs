//! Owns the numbers of held packets and bytes: read off the kernel's counters, and never going back when those begin anew with their table.
//! Never reads the kernel.

use std::collections::{BTreeMap, HashMap};

use super::nftables::Counted;

/// Packets and bytes by what was held.
#[derive(Debug, Default)]
pub(super) struct Tally {
    totals: BTreeMap<Counted, (u64, u64)>,
    /// What each counter of the table that is there showed last.
    last: HashMap<String, (u64, u64)>,
}

impl Tally {
    /// Adds what was counted since the last reading.
    pub(super) fn read(&mut self, counters: &BTreeMap<String, (u64, u64)>, names: &[(String, Counted)]) {
        for (name, counted) in names {
            let total = self.totals.entry(counted.clone()).or_default();
            let Some(now) = counters.get(name) else { continue };
            let last = self.last.insert(name.clone(), *now).unwrap_or_default();
            // One that shows less than before began anew behind our back.
            let more = |now: u64, last: u64| if now < last { now } else { now - last };
            total.0 += more(now.0, last.0);
            total.1 += more(now.1, last.1);
        }
    }

    /// The table was made anew, and its counters begin at zero.
    pub(super) fn begin(&mut self, names: &[(String, Counted)]) {
        self.last.clear();
        for (_, counted) in names {
            self.totals.entry(counted.clone()).or_default();
        }
    }

    /// Packets and bytes.
    pub(super) fn totals(&self) -> &BTreeMap<Counted, (u64, u64)> {
        &self.totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_never_go_back() {
        let counted = Counted {
            app: "tiktok".to_owned(),
            group: "default".to_owned(),
            direction: "out",
            mode: "enforce",
        };
        let names = [("count.a".to_owned(), counted.clone()), ("count.b".to_owned(), counted.clone())];
        let mut tally = Tally::default();
        let shows = |pairs: &[(&str, u64)]| -> BTreeMap<String, (u64, u64)> {
            pairs.iter().map(|(name, packets)| ((*name).to_owned(), (*packets, 100 * packets))).collect()
        };
        tally.begin(&names);
        assert_eq!(tally.totals()[&counted], (0, 0), "shown from the beginning");
        tally.read(&shows(&[("count.a", 3), ("count.b", 4), ("strange", 9)]), &names);
        assert_eq!(tally.totals()[&counted], (7, 700), "two counters of one thing");
        tally.read(&shows(&[("count.a", 5), ("count.b", 4)]), &names);
        assert_eq!(tally.totals()[&counted], (9, 900));
        // Made anew by somebody else.
        tally.read(&shows(&[("count.a", 1)]), &names);
        assert_eq!(tally.totals()[&counted], (10, 1000));
        // Made anew by ourselves: the same number is another one.
        tally.begin(&names);
        tally.read(&shows(&[("count.a", 6)]), &names);
        assert_eq!(tally.totals()[&counted], (16, 1600));
    }
}
