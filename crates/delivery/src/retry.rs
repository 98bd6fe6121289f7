//! Deliveries that wait for another attempt: claims those that are due, sends them, settles them.

use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use store::Store;
use store::publishes::{Lease, RetryBatch, Settled};

use crate::fanout::{SETTLE_TRIES, is_cancelled, write};
use crate::lease::Leases;
use crate::measure;
use crate::sender::{Due, Sender};

/// How many retries are claimed at once.
const BATCH_LENGTH: usize = 1000;

/// What retries need.
#[derive(Debug, Clone)]
pub(crate) struct Retries {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sender: Sender,
    pub(crate) leases: Leases,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long to wait at most before looking again, whatever the store says is due: another node may have died.
    pub(crate) poll: Duration,
}

impl Retries {
    /// Runs until the node stops.
    pub(crate) async fn run(self) {
        while !self.sender.stopping.is_cancelled() {
            // Claims are not renewed while they are worked on: a lease is longer than any batch may take.
            let lease: Lease = self.leases.new_lease();
            match self
                .store
                .claim_retries(lease, self.clock.now(), BATCH_LENGTH)
                .await
            {
                Ok(batches) if batches.is_empty() => self.wait().await,
                Ok(batches) => {
                    futures_util::future::join_all(batches.iter().map(|batch| self.batch(batch)))
                        .await;
                }
                Err(error) => {
                    tracing::warn!(%error, "retries could not be claimed");
                    self.pause(self.poll).await;
                }
            }
        }
    }

    async fn batch(&self, batch: &RetryBatch) {
        let publish = &batch.publish;
        let instance = self.sender.instance(publish.instance, SETTLE_TRIES);
        let Ok(instance) = instance.await else {
            // The lease ends by itself, and the retries are claimed again.
            return;
        };
        let due: Vec<_> = batch
            .retries
            .iter()
            .map(|retry| Due {
                recipient: &retry.recipient,
                attempts: retry.attempts,
            })
            .collect();
        let settlement = self.sender.send(instance.as_deref(), publish, &due).await;
        let ids: Vec<_> = batch
            .retries
            .iter()
            .map(|retry| (retry.id, retry.fence))
            .collect();
        let now = self.clock.now();
        let settled = write(|| {
            self.store
                .settle_retries(publish.id, ids.clone(), settlement.clone(), now)
        })
        .await;
        if settled == Some(Settled::Done) {
            measure::deliveries(&settlement.tallies);
            measure::dead_devices(settlement.dead.len());
        } else if !is_cancelled(&*self.store, publish).await {
            tracing::warn!(publish = %publish.id, "the lease on some retries was lost");
        }
    }

    /// Waits until something is due.
    async fn wait(&self) {
        let now = self.clock.now();
        let until_due = match self.store.next_retry_due(now).await {
            Ok(Some(due)) => due.since(now).max(Duration::from_millis(10)),
            Ok(None) => self.poll,
            Err(error) => {
                tracing::warn!(%error, "the next retry could not be looked up");
                self.poll
            }
        };
        self.pause(until_due.min(self.poll)).await;
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            biased;
            () = self.sender.stopping.cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
    }
}
