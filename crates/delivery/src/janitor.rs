//! Keeps the store from growing for ever. Of all nodes one does, whichever takes the duty first; should it die, another one
//! takes over when its lease on the duty ends.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use domain::idempotency::IDEMPOTENCY_KEPT;
use store::Store;
use store::cluster::Duty;
use store::publishes::Lease;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// How long the duty stays with a node that says nothing more: it comes back for it every time.
const DUTY_LASTS: Duration = Duration::from_secs(15 * 60);
/// How many publishes one transaction deletes.
const BATCH_LENGTH: usize = 100;
/// How many keys of requests, or counts of reports, one transaction deletes.
const KEYS_LENGTH: usize = 1000;

/// What the janitor needs.
#[derive(Debug)]
pub(crate) struct Janitor {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) node: Uuid,
    pub(crate) keep_publishes: Duration,
    pub(crate) keep_insights: Duration,
    pub(crate) stopping: CancellationToken,
}

impl Janitor {
    /// Runs until the node stops.
    pub(crate) async fn run(self) {
        loop {
            if self.is_on_duty().await {
                self.prune().await;
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn is_on_duty(&self) -> bool {
        let now = self.clock.now();
        let lease = Lease {
            owner: self.node,
            until: now.after(DUTY_LASTS),
        };
        match self.store.take_duty(Duty::Janitor, lease, now).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "it could not be found out whose turn it is to delete what is old");
                false
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
        let before = self.clock.now().before(self.keep_insights);
        while !self.stopping.is_cancelled() {
            match self.store.prune_event_hours(before, KEYS_LENGTH).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "old counts of reports could not be deleted");
                    break;
                }
            }
        }
        if pruned > 0 {
            tracing::info!(pruned, "deleted publishes that finished long ago");
        }
    }
}
