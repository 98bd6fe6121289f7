//! Publishes that are to be sent later: begun when their time comes, by one node each.
//!
//! The store says when the next one is due. This node sleeps until then, but looks again at least once a poll, since another
//! node may have accepted an earlier one; one that this node accepts wakes it. A node that dies loses nothing: whoever looks
//! next begins what is due, and what it had begun are jobs like all others.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use store::Store;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::lease::Leases;
use crate::planner::Planner;
use crate::runner::Runner;

/// How many publishes are begun at once.
const BATCH_LENGTH: usize = 64;

/// What the schedule needs.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) planner: Planner,
    pub(crate) leases: Leases,
    pub(crate) poll: Duration,
    /// A publish was scheduled here.
    pub(crate) wake: Arc<Notify>,
    pub(crate) stopping: CancellationToken,
}

impl Schedule {
    /// Runs until the node stops.
    pub(crate) async fn run(self, runner: Runner) {
        while !self.stopping.is_cancelled() {
            // Asking for the wake-up before looking is what makes it impossible to miss one.
            let woken = self.wake.notified();
            let wait = match self.store.next_scheduled().await {
                Ok(None) => self.poll,
                Ok(Some(due)) => {
                    let now = self.clock.now();
                    if due <= now && self.begin(&runner).await {
                        continue;
                    }
                    // Nothing is due, or the store is not to be hurried.
                    if due > now {
                        due.since(now).min(self.poll)
                    } else {
                        self.poll
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the next scheduled publish could not be looked up");
                    self.poll
                }
            };
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = woken => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Begins what is due. Whether the store did its part.
    async fn begin(&self, runner: &Runner) -> bool {
        let plan = self.planner.cut(Some(self.leases.new_lease()));
        let now = self.clock.now();
        match self.store.start_scheduled(plan, now, BATCH_LENGTH).await {
            Ok(jobs) => {
                tracing::debug!(jobs = jobs.len(), "began scheduled publishes");
                runner.begin(None, jobs);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "scheduled publishes could not be begun");
                false
            }
        }
    }
}
