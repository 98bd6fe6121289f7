//! Holding on to claimed work while it lasts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use store::publishes::{Fence, Job, Lease, RetryId, Settled};
use store::{Store, StoreError};
use uuid::Uuid;

use crate::persist::STORE_RETRY;

/// This node's way to claim work.
#[derive(Debug, Clone)]
pub(crate) struct Leases {
    pub(crate) owner: Uuid,
    pub(crate) length: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The lease on a job is gone: another node has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost;

impl Leases {
    /// A lease from now on.
    pub(crate) fn new_lease(&self) -> Lease {
        Lease {
            owner: self.owner,
            until: self.until(),
        }
    }

    /// When a lease taken or prolonged now ends.
    pub(crate) fn until(&self) -> Timestamp {
        self.clock.now().after(self.length)
    }

    /// Prolongs the lease on a job while `work` lasts. Stops waiting for the work once the lease is lost.
    ///
    /// The work is borrowed, since it is large, and a future that is moved into another one takes up its room twice.
    pub(crate) async fn hold<T>(
        &self,
        store: &dyn Store,
        job: &Job,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Lost> {
        let renew = || store.renew_job(job.id, job.fence, self.until());
        self.hold_on(work, renew).await
    }

    /// The same for claimed retries.
    pub(crate) async fn hold_retries<T>(
        &self,
        store: &dyn Store,
        ids: &[(RetryId, Fence)],
        work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Lost> {
        let renew = || store.renew_retries(ids.to_vec(), self.until());
        self.hold_on(work, renew).await
    }

    /// Prolongs a lease after each third of its length, and sooner again where the store fails.
    async fn hold_on<T, F>(
        &self,
        mut work: Pin<&mut impl Future<Output = T>>,
        mut renew: impl FnMut() -> F,
    ) -> Result<T, Lost>
    where
        F: Future<Output = Result<Settled, StoreError>>,
    {
        let mut wait = self.length / 3;
        loop {
            tokio::select! {
                biased;
                done = work.as_mut() => return Ok(done),
                () = tokio::time::sleep(wait) => {}
            }
            // The work goes on while the store is asked.
            let renewed = tokio::select! {
                biased;
                done = work.as_mut() => return Ok(done),
                renewed = renew() => renewed,
            };
            wait = match renewed {
                Ok(Settled::Done) => self.length / 3,
                Ok(Settled::LeaseLost) => return Err(Lost),
                Err(error) => {
                    tracing::warn!(%error, "a lease could not be prolonged, trying again");
                    STORE_RETRY.min(self.length / 3)
                }
            };
        }
    }
}
