//! When to try again.
//!
//! Exponential backoff with full jitter: attempt *n* waits a random time between the floor and
//! `first * 2^(n-1)`, capped. Full jitter spreads a crowd of retries best, and the floor keeps one of them from
//! coming back at once. A gateway's `Retry-After` is honoured as a lower bound, itself capped: a hostile or broken far
//! side cannot park a delivery for ever.

use std::time::Duration;

/// The schedule of retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait.
    pub first: Duration,
    /// The bound of any wait, `Retry-After` included.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(600),
        }
    }
}

impl Backoff {
    /// How long to wait after the attempt number `attempt` (1 is the first) failed.
    ///
    /// `jitter` is a random number in `0.0..1.0`; `asked` is the gateway's `Retry-After`.
    pub fn wait(&self, attempt: u32, jitter: f64, asked: Option<Duration>) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let bound = self.first.saturating_mul(1 << doublings).min(self.longest);
        let floor = bound / 4;
        let own = floor + (bound - floor).mul_f64(jitter.clamp(0.0, 1.0));
        match asked {
            Some(asked) => self.at_least(asked, jitter).max(own),
            None => own,
        }
    }

    /// How long to wait where it is known how long it has to be. Everybody is told the same number; the jitter on top keeps them
    /// from coming back together.
    pub fn at_least(&self, wait: Duration, jitter: f64) -> Duration {
        wait.min(self.longest) + self.first.min(self.longest).mul_f64(jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_is_bounded_and_never_zero(attempt in 0u32..=u32::MAX, jitter in 0.0f64..1.0) {
            let backoff = Backoff::default();
            let wait = backoff.wait(attempt, jitter, None);
            prop_assert!(wait >= backoff.first / 4);
            prop_assert!(wait <= backoff.longest);
        }

        #[test]
        fn what_the_gateway_asks_is_honoured_up_to_the_cap(attempt in 1u32..40, jitter in 0.0f64..1.0, secs in 0u64..100_000) {
            let backoff = Backoff::default();
            let asked = Duration::from_secs(secs);
            let wait = backoff.wait(attempt, jitter, Some(asked));
            prop_assert!(wait >= asked.min(backoff.longest));
            prop_assert!(wait >= backoff.wait(attempt, jitter, None));
            prop_assert!(wait <= backoff.longest + backoff.first);
        }
    }

    #[test]
    fn a_gateway_that_asks_for_no_wait_is_not_pressed_for_ever() {
        let backoff = Backoff::default();
        let asked = Some(Duration::ZERO);
        assert_eq!(backoff.wait(4, 1.0, asked), Duration::from_secs(8));
        assert_eq!(backoff.wait(99, 0.0, asked), backoff.longest / 4);
    }

    #[test]
    fn the_bound_doubles() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(1, 1.0, None), Duration::from_secs(1));
        assert_eq!(backoff.wait(4, 1.0, None), Duration::from_secs(8));
        assert_eq!(backoff.wait(99, 1.0, None), Duration::from_secs(600));
    }
}
