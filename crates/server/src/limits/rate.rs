//! The generic cell rate algorithm (ITU-T I.371): for each key, one number, the time at which its allowance is whole again.
//!
//! A key may spend the allowance of a period at once and then asks no faster than the period allows.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::clock::Timestamp;

use super::TooOften;

/// How many keys are remembered. What comes on top shares one allowance.
const KEYS_MAX: usize = 100_000;

/// So many in a period.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    max: u32,
    period_micros: i64,
}

impl Rate {
    /// `max` is zero where there is no limit.
    pub(super) fn new(max: u32, period: Duration) -> Self {
        Self {
            max,
            period_micros: i64::try_from(period.as_micros()).unwrap_or(i64::MAX),
        }
    }
}

#[derive(Debug)]
pub(super) struct Rates<K> {
    rate: Rate,
    keys_max: usize,
    whole_again: Mutex<Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    by_key: HashMap<K, i64>,
    others: i64,
}

impl<K: Hash + Eq> Rates<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            keys_max: KEYS_MAX,
            whole_again: Mutex::new(Known {
                by_key: HashMap::new(),
                others: i64::MIN,
            }),
        }
    }

    /// Admits one more, or says when to come again. One of `shares` equal shares of the rate is given out here.
    pub(super) fn admit(&self, key: K, now: Timestamp, shares: u32) -> Result<(), TooOften> {
        if self.rate.max == 0 {
            return Ok(());
        }
        let now = now.as_millis().saturating_mul(1000);
        let max = i64::from((self.rate.max / shares.max(1)).max(1));
        let (period, step) = (self.rate.period_micros, self.rate.period_micros / max);
        let mut known = self
            .whole_again
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let place = known.place(key, now, self.keys_max);
        // The clock may have been set back, or the share may have become larger. That is kept, or a key whose number is of a
        // clock that was hours ahead would be refused for hours.
        let whole_again = (*place).clamp(now, now.saturating_add(period));
        *place = whole_again;
        let next = whole_again + step;
        let over = next - (now + step * max);
        if over > 0 {
            let again_after = Duration::from_micros(over.unsigned_abs());
            return Err(TooOften { again_after });
        }
        *place = next;
        Ok(())
    }
}

impl<K: Hash + Eq> Known<K> {
    /// Where a key's number stands. If there are too many keys, those whose allowance is whole are forgotten first.
    fn place(&mut self, key: K, now: i64, keys_max: usize) -> &mut i64 {
        if self.by_key.len() >= keys_max && !self.by_key.contains_key(&key) {
            self.by_key.retain(|_, whole_again| *whole_again > now);
            if self.by_key.len() >= keys_max {
                return &mut self.others;
            }
        }
        self.by_key.entry(key).or_insert(i64::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_clock_that_is_set_back_costs_a_period_at_most() {
        let rates = Rates::new(Rate::new(10, Duration::from_secs(1)));
        const HOURS_AHEAD: i64 = 6 * 3_600_000;
        assert!(rates.admit(1, at(HOURS_AHEAD), 1).is_ok());
        assert!(rates.admit(1, at(0), 1).is_err());
        assert!(rates.admit(1, at(1000), 1).is_ok());
    }

    #[test]
    fn a_period_at_once_and_then_no_faster() {
        let rates = Rates::new(Rate::new(10, Duration::from_secs(1)));
        for _ in 0..10 {
            assert_eq!(rates.admit("a", at(5000), 1), Ok(()));
        }
        let refused = rates.admit("a", at(5000), 1).unwrap_err();
        assert_eq!(refused.again_after, Duration::from_millis(100));
        assert_eq!(rates.admit("b", at(5000), 1), Ok(()), "another key");
        assert!(rates.admit("a", at(5099), 1).is_err());
        assert_eq!(rates.admit("a", at(5100), 1), Ok(()));
        assert!(rates.admit("a", at(5100), 1).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_long() {
        let rates = Rates::new(Rate::new(1, Duration::from_secs(1)));
        assert_eq!(rates.admit("a", at(9_000_000), 1), Ok(()));
        let refused = rates.admit("a", at(0), 1).unwrap_err();
        assert!(refused.again_after <= Duration::from_secs(1));
        assert!(rates.admit("a", at(-1), 0).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_strangers_share() {
        let mut rates = Rates::new(Rate::new(1, Duration::from_secs(1)));
        rates.keys_max = 3;
        for key in 0..3 {
            assert_eq!(rates.admit(key, at(0), 1), Ok(()));
        }
        assert_eq!(
            rates.admit(3, at(0), 1),
            Ok(()),
            "from what all others share"
        );
        assert!(rates.admit(4, at(0), 1).is_err());
        assert_eq!(rates.whole_again.lock().unwrap().by_key.len(), 3);
        assert_eq!(
            rates.admit(4, at(1000), 1),
            Ok(()),
            "the first are forgotten"
        );
    }

    proptest! {
        #[test]
        fn never_more_than_twice_the_rate_in_any_period(
            steps in proptest::collection::vec(0_i64..300, 1..200), max in 1_u32..20,
        ) {
            let rates = Rates::new(Rate::new(max, Duration::from_secs(1)));
            let mut now = 0;
            let mut admitted: Vec<i64> = Vec::new();
            for step in steps {
                now += step;
                if rates.admit((), at(now), 1).is_ok() {
                    admitted.push(now);
                }
            }
            for end in &admitted {
                let within = admitted.iter().filter(|at| (end - 999..=*end).contains(at)).count();
                prop_assert!(within <= 2 * max as usize);
            }
            // Over a long time it is the rate.
            prop_assert!(admitted.len() as i64 <= i64::from(max) + now * i64::from(max) / 1000 + 1);
        }
    }
}
