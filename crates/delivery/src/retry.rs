//! Deliveries that wait for another attempt: claims those that are due, sends them, settles them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use domain::clock::Clock;
use domain::instance::InstanceId;
use domain::publish::Publish;
use store::Store;
use store::publishes::{Fence, Lease, RetryBatch, RetryId, Settled, Settlement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::gate::Visit;
use crate::lease::{Leases, Lost};
use crate::measure;
use crate::persist::{STORE_TRIES, is_cancelled, settle};
use crate::sender::{Due, Sender};
use crate::shares::Shares;
use crate::spans::Spans;

/// How many retries are claimed at once: few enough that a publish does not wait long for their leases to be written.
const BATCH_LENGTH: usize = 250;
/// How many retries this node has claimed at a time at most.
const IN_FLIGHT_MAX: usize = 16 * BATCH_LENGTH;
/// And how many of one instance it sends, so that one whose hosts all take their time leaves room for the others.
const PER_INSTANCE_MAX: usize = IN_FLIGHT_MAX / 2;
/// How long claimed retries wait for their instance to have room for them. Then they are put off, since meanwhile they take up the
/// others' room; gateways that answer make room sooner.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);

/// What retries need.
#[derive(Debug, Clone)]
pub(crate) struct Retries {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sender: Sender,
    pub(crate) leases: Leases,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long to wait at most before looking again, whatever the store says is due: another node may have died.
    pub(crate) poll: Duration,
    pub(crate) spans: Spans,
}

/// The instance has too many retries under way.
struct Full;

impl Retries {
    /// Runs until the node stops. Batches run side by side, and of one instance no more than half of all, so that a gateway that
    /// hangs holds up its own retries alone.
    pub(crate) async fn run(self) {
        let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let shares = Arc::new(Shares::new(PER_INSTANCE_MAX));
        let mut batches = JoinSet::new();
        while !self.sender.stopping.is_cancelled() {
            while batches.try_join_next().is_some() {}
            let free = places.available_permits();
            if free == 0 {
                tokio::select! {
                    biased;
                    () = self.sender.stopping.cancelled() => {}
                    _ = batches.join_next() => {}
                }
                continue;
            }
            let lease: Lease = self.leases.new_lease();
            let limit = free.min(BATCH_LENGTH);
            match self
                .store
                .claim_retries(lease, self.clock.now(), limit)
                .await
            {
                Ok(claimed) if claimed.is_empty() => self.wait().await,
                Ok(claimed) => {
                    for batch in claimed {
                        let length = u32::try_from(batch.retries.len()).unwrap_or(u32::MAX);
                        let place = Arc::clone(&places).try_acquire_many_owned(length);
                        let (this, shares) = (self.clone(), Arc::clone(&shares));
                        batches.spawn(async move {
                            this.batch(&batch, &shares).await;
                            drop(place);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "retries could not be claimed");
                    self.pause(self.poll).await;
                }
            }
        }
        batches.join_all().await;
    }

    async fn batch(&self, batch: &RetryBatch, shares: &Shares) {
        let publish = &batch.publish;
        let retries = batch.retries.iter();
        let ids: Vec<_> = retries.map(|retry| (retry.id, retry.fence)).collect();
        let mut work = self.spans.retries(publish, ids.len());
        let held = {
            let _part = work.part("publish.send");
            let sent = pin!(self.send(batch, shares));
            self.leases.hold_retries(&*self.store, &ids, sent).await
        };
        let settled = match held {
            // The lease ends by itself, and the retries are claimed again.
            Ok(None) => return work.failed("there is no instance to send for"),
            Ok(Some(settlement)) => {
                work.settled(&settlement);
                let _part = work.part("publish.settle");
                self.settle(publish, ids, settlement).await
            }
            Err(Lost) => None,
        };
        if settled != Some(Settled::Done) {
            work.failed("the lease was lost");
        }
        if settled != Some(Settled::Done) && !is_cancelled(&*self.store, publish).await {
            tracing::warn!(publish = %publish.id, "the lease on some retries was lost");
        }
    }

    async fn send(&self, batch: &RetryBatch, shares: &Shares) -> Option<Settlement> {
        let publish = &batch.publish;
        let due: Vec<_> = batch
            .retries
            .iter()
            .map(|retry| Due {
                recipient: &retry.recipient,
                attempts: retry.attempts,
            })
            .collect();
        let Ok(_room) = self.room(shares, publish.instance, due.len()).await else {
            return Some(self.sender.put_all_off(publish, &due));
        };
        let instance = self.sender.instance(publish.instance, STORE_TRIES);
        let instance = instance.await.ok()?;
        let sent = self
            .sender
            .send(instance.as_deref(), publish, &due, Visit::Again);
        Some(sent.await)
    }

    /// Room for so many retries of an instance. A node that stops parks them all, and needs none.
    async fn room(
        &self,
        shares: &Shares,
        instance: InstanceId,
        count: usize,
    ) -> Result<Option<OwnedSemaphorePermit>, Full> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let room = shares.of(instance).acquire_many_owned(count);
        tokio::select! {
            biased;
            () = self.sender.stopping.cancelled() => Ok(None),
            room = tokio::time::timeout(ROOM_PATIENCE, room) => match room {
                Ok(room) => Ok(room.ok()),
                Err(_) => Err(Full),
            }
        }
    }

    async fn settle(
        &self,
        publish: &Publish,
        ids: Vec<(RetryId, Fence)>,
        settlement: Settlement,
    ) -> Option<Settled> {
        let now = self.clock.now();
        let attempt = || {
            self.store
                .settle_retries(publish.id, ids.clone(), settlement.clone(), now)
        };
        let renew = || self.store.renew_retries(ids.clone(), self.leases.until());
        let stopping = &self.sender.stopping;
        let settled = settle(self.leases.length, stopping, attempt, renew).await;
        if settled == Some(Settled::Done) {
            measure::deliveries(&settlement.tallies);
            measure::dead_devices(settlement.dead.len());
        }
        settled
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
