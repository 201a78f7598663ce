//! Owns the label sets of blocked-query metrics: each combination of app, instrument, list, group, action and mode that any
//! policy of this process can count gets one number, for good. Never sees a query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::group::Mode;
use super::rule::ActionKind;

/// One combination of label values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelSet {
    /// App id; `none` for rules not attributed to one.
    pub app: String,
    /// Instrument id; `none` for rules not attributed to one.
    pub instrument: String,
    /// The list its rules come from: `catalog` or the source's name. No label of the metric.
    pub source: String,
    /// Group name.
    pub group: String,
    /// What was done.
    pub action: ActionKind,
    /// Whether it was only rehearsed.
    pub mode: Mode,
}

/// Numbers given so far. Number 0 is kept for what found no place.
#[derive(Clone, Debug, Default)]
pub struct Labels(Arc<Mutex<Numbers>>);

#[derive(Debug, Default)]
struct Numbers {
    by_set: HashMap<LabelSet, u32>,
    sets: Vec<LabelSet>,
}

impl Labels {
    /// How many combinations are counted apart. Each costs eight bytes a worker; beyond it, combinations share number
    /// 0. The largest network planned for has 50 groups and 100 apps with two actions and modes: 20,000 would be
    /// possible, but a group enforces each app by one instrument and one action.
    pub const CAPACITY: usize = 16_384;

    /// The number of a combination; 0 when there is no room left.
    pub fn number(&self, set: &LabelSet) -> u32 {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = numbers.by_set.get(set) {
            return number;
        }
        if numbers.sets.len() + 1 >= Self::CAPACITY {
            return 0;
        }
        numbers.sets.push(set.clone());
        let number = numbers.sets.len() as u32;
        numbers.by_set.insert(set.clone(), number);
        number
    }

    /// All combinations with their numbers.
    pub fn all(&self) -> Vec<(u32, LabelSet)> {
        self.after(0)
    }

    /// Combinations whose number is above `known`.
    pub fn after(&self, known: u32) -> Vec<(u32, LabelSet)> {
        let numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (known + 1..).zip(numbers.sets.iter().skip(known as usize).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combination_keeps_its_number_and_overflow_shares_zero() {
        let labels = Labels::default();
        let set = |i: usize| LabelSet {
            app: format!("app{i}"),
            instrument: "none".into(),
            source: "catalog".into(),
            group: "default".into(),
            action: ActionKind::Nxdomain,
            mode: Mode::Enforce,
        };
        assert_eq!((labels.number(&set(1)), labels.number(&set(2)), labels.number(&set(1))), (1, 2, 1));
        for i in 0..Labels::CAPACITY {
            labels.number(&set(i));
        }
        assert_eq!(labels.number(&set(Labels::CAPACITY + 5)), 0);
        assert_eq!(labels.all().len(), Labels::CAPACITY - 1);
    }
}
