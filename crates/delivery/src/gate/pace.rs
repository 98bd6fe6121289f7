//! How often a host takes a delivery, where a quota is known.

use std::time::Duration;

use tokio::time::Instant;

use crate::membership::Sharers;

/// How far a host's quota may be used ahead after a quiet time.
const BURST: Duration = Duration::from_secs(1);

/// How often a host takes a delivery, from all nodes together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    /// The least time between two deliveries, where a quota is known; zero where none is.
    pub(crate) interval: Duration,
    /// Among how many nodes the quota is divided.
    pub(crate) sharers: Sharers,
}

impl Pace {
    /// When the next delivery may begin, `None` if that is now; `next_at` is where the one after it is noted.
    pub(super) fn reserve(&self, next_at: &mut Option<Instant>) -> Option<Instant> {
        let interval = self.interval * self.sharers.count();
        if interval.is_zero() {
            return None;
        }
        let now = Instant::now();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let at = next_at.map_or(earliest, |next| next.max(earliest));
        *next_at = Some(at + interval);
        (at > now).then_some(at)
    }
}
