//! What happens on a connection: requests in flight, answers that their caller has not taken yet, and since when it is quiet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

struct State {
    in_flight: usize,
    quiet_since: Instant,
    /// When each answer that is not read was given, by its number.
    unread: BTreeMap<u64, Instant>,
    answers: u64,
}

/// A request in flight, until dropped.
pub(super) struct Busy(Activity);

/// An answer that is not read, until dropped.
pub(super) struct Unread(Activity, u64);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            in_flight: 0,
            quiet_since: Instant::now(),
            unread: BTreeMap::new(),
            answers: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self) -> Busy {
        self.state().in_flight += 1;
        Busy(self.clone())
    }

    pub(super) fn answered(&self) -> Unread {
        let mut state = self.state();
        let number = state.answers;
        state.answers += 1;
        state.unread.insert(number, Instant::now());
        Unread(self.clone(), number)
    }

    /// Ends once nothing has happened for `limit`.
    pub(super) async fn idle(&self, limit: Duration) {
        self.pass(limit, |state| {
            (state.in_flight == 0).then_some(state.quiet_since)
        })
        .await;
    }

    /// Ends once an answer was not read for `limit`, whatever else happens.
    pub(super) async fn unread(&self, limit: Duration) {
        self.pass(limit, |state| state.unread.values().next().copied())
            .await;
    }

    /// Ends once it is so long since a time that `since` gives. Until it gives one, the time is now.
    async fn pass(&self, limit: Duration, since: impl Fn(&State) -> Option<Instant>) {
        loop {
            let now = Instant::now();
            let end = since(&self.state()).unwrap_or(now) + limit;
            if end <= now {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        state.quiet_since = Instant::now();
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.0.state().unread.remove(&self.1);
    }
}
