//! Keeps the store from growing for ever. Of all nodes one does, whichever takes the duty first; should it die, another one
//! takes over when its lease on the duty ends.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use domain::idempotency::IDEMPOTENCY_KEPT;
use store::activity::Day;
use store::cluster::Duty;
use store::publishes::Lease;
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::runner::Keep;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// How long the duty stays with a node that says nothing more: it comes back for it every time.
const DUTY_LASTS: Duration = Duration::from_secs(15 * 60);
/// How many publishes one transaction deletes.
const BATCH_LENGTH: usize = 100;
/// How many keys of requests, entries of the audit log, or counts of reports, one transaction deletes.
const KEYS_LENGTH: usize = 1000;
/// How many lists of users one call forgets, and how old one gets that is nobody's: no request lasts longer than an hour, and
/// the clocks of nodes may differ.
const LISTS_LENGTH: usize = 100;
const LISTS_KEPT: Duration = Duration::from_secs(3 * 60 * 60);
/// How long the trails of the debug console are kept, and how many traces one transaction deletes.
const TRAILS_KEPT: Duration = Duration::from_secs(60 * 60);
const TRACES_LENGTH: usize = 1000;

/// What the janitor needs.
#[derive(Debug)]
pub(crate) struct Janitor {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) node: Uuid,
    pub(crate) keep: Keep,
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
        let (store, now, keep) = (&self.store, self.clock.now(), self.keep);
        let before = now.before(keep.publishes);
        let pruned = self
            .all("old publishes", || {
                store.prune_publishes(before, BATCH_LENGTH)
            })
            .await;
        if pruned > 0 {
            tracing::info!(pruned, "deleted publishes that finished long ago");
        }
        let before = now.before(LISTS_KEPT);
        self.all("users of uploads that were broken off", || {
            store.prune_lists(before, LISTS_LENGTH)
        })
        .await;
        let before = now.before(keep.payloads);
        self.all("old payloads", || {
            store.prune_payloads(before, BATCH_LENGTH)
        })
        .await;
        let before = now.before(keep.names);
        self.all("old names", || store.prune_names(before, BATCH_LENGTH))
            .await;
        let before = now.before(keep.audit);
        self.all("old entries of the audit log", || {
            store.prune_audit(before, KEYS_LENGTH)
        })
        .await;
        let before = now.before(keep.events);
        self.all("old reports", || store.prune_events(before, BATCH_LENGTH))
            .await;
        // Whole days, so that what is told of one by the hour is all of it.
        let before = Day::of(now.before(keep.hours)).begins();
        self.all("old hours' counts of reports", || {
            store.roll_up_events(before, KEYS_LENGTH)
        })
        .await;
        let before = now.before(keep.insights);
        self.all("old counts of reports", || {
            store.prune_event_counts(before, KEYS_LENGTH)
        })
        .await;
        let before = now.before(IDEMPOTENCY_KEPT);
        self.all("old keys of requests", || {
            store.prune_keys(before, KEYS_LENGTH)
        })
        .await;
        let before = now.before(TRAILS_KEPT);
        self.all("old traces of the console", || {
            store.prune_trails(before, TRACES_LENGTH)
        })
        .await;
    }

    /// Deletes until there is nothing left, the node stops, or the store fails. How much that was.
    async fn all<'a, F>(&self, what: &str, mut prune: impl FnMut() -> F) -> u64
    where
        F: Future<Output = Result<u64, StoreError>> + 'a,
    {
        let mut pruned = 0;
        while !self.stopping.is_cancelled() {
            match prune().await {
                Ok(0) => break,
                Ok(some) => pruned += some,
                Err(error) => {
                    tracing::warn!(%error, "{what} could not be deleted");
                    break;
                }
            }
        }
        pruned
    }
}
