//! Room for hosts that have not answered yet.
//!
//! Web Push services are named by whoever subscribes, and one name can stand for any number of hosts that never say a word. So a host
//! is a stranger until it answers; one delivery at a time goes to it, and the strangers of a node share a few places, of which one
//! instance has half. Who finds none is put off, and waits nowhere meanwhile. Once a stranger has disappointed, pages leave strangers
//! to the retries for a while, since a page is settled only when its last delivery is. Hosts that have answered are not concerned.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How many strangers a node tries at once.
const STRANGERS_MAX: usize = 64;
/// And of one instance.
const STRANGERS_PER_INSTANCE_MAX: usize = STRANGERS_MAX / 2;
/// How long pages leave strangers alone after one has not answered.
const DISTRUST: Duration = Duration::from_secs(60);

/// The places of a node.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STRANGERS_MAX)))
    }
}

impl Places {
    /// What one instance has of them.
    pub(crate) fn of_instance(&self) -> Arc<Strangers> {
        Arc::new(Strangers {
            all: Arc::clone(&self.0),
            own: Arc::new(Semaphore::new(STRANGERS_PER_INSTANCE_MAX)),
            distrusted_until: Mutex::default(),
        })
    }
}

/// The strangers of one instance.
#[derive(Debug)]
pub(crate) struct Strangers {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    distrusted_until: Mutex<Option<Instant>>,
}

/// A stranger's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    _places: [OwnedSemaphorePermit; 2],
}

/// Who comes to a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    /// A delivery of a page, which others wait for.
    First,
    /// One that was put off before.
    Again,
}

impl Strangers {
    /// Whether whoever comes so had better not wait for a stranger.
    pub(super) fn are_distrusted(&self, visit: Visit) -> bool {
        let until = *self.until();
        visit == Visit::First && until.is_some_and(|until| Instant::now() < until)
    }

    /// A place, if there is one now.
    pub(super) fn pass(&self) -> Option<Pass> {
        let own = Arc::clone(&self.own).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Pass {
            _places: [own, all],
        })
    }

    /// One has not answered, or with nothing but that it wants less.
    pub(super) fn disappoint(&self) {
        *self.until() = Some(Instant::now() + DISTRUST);
    }

    fn until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.distrusted_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_instance_has_half_of_the_places_for_strangers_at_most() {
        let places = Places::default();
        let (greedy, modest) = (places.of_instance(), places.of_instance());
        let held: Vec<_> = std::iter::from_fn(|| greedy.pass()).collect();
        assert_eq!(held.len(), STRANGERS_PER_INSTANCE_MAX);
        let rest: Vec<_> = std::iter::from_fn(|| modest.pass()).collect();
        assert_eq!(held.len() + rest.len(), STRANGERS_MAX);
        assert!(places.of_instance().pass().is_none());
        drop(held);
        assert!(places.of_instance().pass().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn pages_leave_strangers_alone_for_a_while_after_one_was_silent() {
        let strangers = Places::default().of_instance();
        assert!(!strangers.are_distrusted(Visit::First));
        strangers.disappoint();
        assert!(strangers.are_distrusted(Visit::First));
        assert!(!strangers.are_distrusted(Visit::Again));
        tokio::time::advance(DISTRUST).await;
        assert!(!strangers.are_distrusted(Visit::First));
    }
}
