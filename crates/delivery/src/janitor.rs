//! Keeps the store from growing for ever.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use domain::idempotency::IDEMPOTENCY_KEPT;
use store::Store;
use tokio_util::sync::CancellationToken;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// How many publishes one transaction deletes.
const BATCH_LENGTH: usize = 100;
/// How many keys of requests one transaction deletes.
const KEYS_LENGTH: usize = 1000;

/// What the janitor needs.
#[derive(Debug)]
pub(crate) struct Janitor {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keep_publishes: Duration,
    pub(crate) stopping: CancellationToken,
}

impl Janitor {
    /// Runs until the node stops.
    pub(crate) async fn run(self) {
        loop {
            self.prune().await;
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn prune(&self) {
        let before = self.clock.now().before(self.keep_publishes);
        let mut pruned = 0;
        while !self.stopping.is_cancelled() {
            match self.store.prune_publishes(before, BATCH_LENGTH).await {
                Ok(0) => break,
                Ok(some) => pruned += some,
                Err(error) => {
                    tracing::warn!(%error, "old publishes could not be deleted");
                    break;
                }
            }
        }
        let since = self.clock.now().before(IDEMPOTENCY_KEPT);
        while !self.stopping.is_cancelled() {
            match self.store.prune_keys(since, KEYS_LENGTH).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "old keys of requests could not be deleted");
                    break;
                }
            }
        }
        if pruned > 0 {
            tracing::info!(pruned, "deleted publishes that finished long ago");
        }
    }
}
