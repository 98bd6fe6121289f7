//! Those who show something that lets people in, and have proved nothing by it yet.
//!
//! Whatever they send, two are looked up at a time, so that the rest of the store is for others, and so many wait for their
//! turn; who finds no room is refused without a look. A token that was good when it was last looked up waits for nobody: it is
//! looked up as well, so that one that was revoked counts no more, but beside the queue. So guesses, however many, keep nobody
//! out who came in before.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::admin_token::AdminTokenDigest;
use store::StoreError;
use store::administration::{ADMIN_TOKENS_MAX, AdminTokenRecord};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::error::AdminError;

/// How many are looked up at once.
const LOOKUPS_AT_ONCE_MAX: usize = 2;
/// How many wait for that or are looked up; a matter of a tenth of a second.
const QUEUE_MAX: usize = 256;
/// How many tokens are known that were good: as many as there are.
const KNOWN_MAX: usize = ADMIN_TOKENS_MAX;
/// How many wrong tokens are told apart from any other trouble within [`FAILURES_WITHIN`]; more are only told to wait.
const FAILURES_MAX: u32 = 30;
const FAILURES_WITHIN: Duration = Duration::from_secs(60);

/// Who waits, who was good, and how many were wrong.
pub(super) struct Strangers {
    queue: Semaphore,
    places: Semaphore,
    known: Mutex<HashSet<Box<[u8]>>>,
    failures: Mutex<Option<(Instant, u32)>>,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            queue: Semaphore::new(QUEUE_MAX),
            places: Semaphore::new(LOOKUPS_AT_ONCE_MAX),
            known: Mutex::default(),
            failures: Mutex::default(),
        }
    }
}

impl Strangers {
    /// What `look` finds for `digest`, if `counts`: at once for one that was good before, in turn for any other.
    pub(super) async fn find(
        &self,
        digest: AdminTokenDigest,
        look: impl Future<Output = Result<Option<AdminTokenRecord>, StoreError>>,
        counts: impl FnOnce(&AdminTokenRecord) -> bool,
    ) -> Result<Option<AdminTokenRecord>, AdminError> {
        let was_good = self.known().contains(digest.as_bytes());
        let found = if was_good {
            look.await?
        } else {
            self.in_turn(look).await?
        };
        // The store compared them byte by byte; this does not let on where they differ.
        let found = found.filter(|record| record.token.digest == digest && counts(record));
        match &found {
            Some(_) if !was_good => self.remember(digest),
            None if was_good => drop(self.known().remove(digest.as_bytes())),
            _ => {}
        }
        Ok(found)
    }

    async fn in_turn<T>(
        &self,
        look: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, AdminError> {
        let Ok(_queued) = self.queue.try_acquire() else {
            return Err(if self.failures() > FAILURES_MAX {
                AdminError::TooManyFailures
            } else {
                AdminError::Store(StoreError::Busy)
            });
        };
        // Nobody closes it.
        let _place = self.places.acquire().await;
        Ok(look.await?)
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Box<[u8]>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, digest: AdminTokenDigest) {
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            // Some were revoked and not shown since. The others wait for a turn once more.
            known.clear();
        }
        known.insert(digest.as_bytes().into());
    }

    /// Counts another wrong one, and says what whoever showed it is told.
    pub(super) fn refuse(&self) -> AdminError {
        let now = Instant::now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) = (*failures)
            .filter(|(since, _)| now.duration_since(*since) < FAILURES_WITHIN)
            .unwrap_or((now, 0));
        let count = before.saturating_add(1);
        *failures = Some((since, count));
        if count > FAILURES_MAX {
            AdminError::TooManyFailures
        } else {
            AdminError::Unauthorized
        }
    }

    /// How many wrong ones came of late.
    fn failures(&self) -> u32 {
        let failures = *self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .filter(|(since, _)| since.elapsed() < FAILURES_WITHIN)
            .map_or(0, |(_, count)| count)
    }
}

impl fmt::Debug for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strangers(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use domain::admin_token::{AdminToken, AdminTokenName, Scope};
    use domain::clock::Timestamp;
    use futures_util::poll;
    use store::administration::{AdminTokenId, NewAdminToken};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn record() -> AdminTokenRecord {
        let token = AdminToken::random();
        AdminTokenRecord {
            id: AdminTokenId(1),
            token: NewAdminToken {
                digest: token.digest(),
                hint: token.hint(),
                name: AdminTokenName::parse("script").unwrap(),
                scope: Scope::FULL,
                created_at: NOW,
                expires_at: None,
            },
            used_at: None,
        }
    }

    fn guess() -> AdminTokenDigest {
        AdminToken::random().digest()
    }

    /// As many as there is room for, whose lookups do not end.
    async fn flood(strangers: &Arc<Strangers>) -> Vec<impl Future + use<>> {
        let mut waiting = Vec::new();
        for _ in 0..QUEUE_MAX {
            let strangers = Arc::clone(strangers);
            let mut one =
                Box::pin(async move { strangers.find(guess(), pending(), |_| true).await });
            assert!(poll!(&mut one).is_pending());
            waiting.push(one);
        }
        waiting
    }

    #[tokio::test]
    async fn a_flood_of_guesses_holds_up_nobody_who_was_in_before() {
        let strangers = Arc::new(Strangers::default());
        let good = record();
        let digest = good.token.digest;
        let found = strangers.find(digest, ready(Ok(Some(good.clone()))), |_| true);
        assert!(found.await.unwrap().is_some());
        let flood = flood(&strangers).await;
        let look = ready(Ok(Some(good.clone())));
        let mut again = std::pin::pin!(strangers.find(digest, look, |_| true));
        assert!(poll!(&mut again).is_ready());
        // One who was revoked meanwhile is looked up once more beside the queue, and not again.
        let found = strangers.find(digest, ready(Ok(None)), |_| true);
        assert!(found.await.unwrap().is_none());
        let look = ready(Ok(Some(good.clone())));
        let refused = strangers.find(digest, look, |_| true).await;
        assert!(matches!(refused, Err(AdminError::Store(StoreError::Busy))));
        // Whoever goes away leaves their room to others.
        drop(flood);
        let found = strangers.find(digest, ready(Ok(Some(good))), |_| true);
        assert!(found.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_counts_no_more_is_known_no_more() {
        let strangers = Arc::new(Strangers::default());
        let ended = record();
        let digest = ended.token.digest;
        for counts in [true, false] {
            let look = ready(Ok(Some(ended.clone())));
            let found = strangers.find(digest, look, |_| counts).await.unwrap();
            assert_eq!(found.is_some(), counts);
        }
        let _flood = flood(&strangers).await;
        let refused = strangers.find(digest, ready(Ok(Some(ended))), |_| true);
        refused.await.unwrap_err();
    }

    #[tokio::test]
    async fn guesses_beyond_the_room_for_them_cost_no_lookup() {
        let strangers = Arc::new(Strangers::default());
        let _flood = flood(&strangers).await;
        let asked = |_: &AdminTokenRecord| -> bool { panic!("nothing is found") };
        let look = async { panic!("it is looked up") };
        let refused = strangers.find(guess(), look, asked).await;
        assert!(matches!(refused, Err(AdminError::Store(StoreError::Busy))));
        for _ in 0..FAILURES_MAX {
            assert!(matches!(strangers.refuse(), AdminError::Unauthorized));
        }
        assert!(matches!(strangers.refuse(), AdminError::TooManyFailures));
        let look = async { panic!("it is looked up") };
        let refused = strangers.find(guess(), look, asked).await;
        assert!(matches!(refused, Err(AdminError::TooManyFailures)));
    }

    #[test]
    fn no_more_are_known_than_there_may_be() {
        let strangers = Strangers::default();
        for _ in 0..=KNOWN_MAX {
            strangers.remember(guess());
        }
        assert_eq!(strangers.known().len(), 1);
    }
}
