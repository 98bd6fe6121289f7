//! Holding on to claimed work while it lasts.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::clock::{Clock, Timestamp};
use store::Store;
use store::publishes::{Job, Lease, Settled};
use uuid::Uuid;

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

    /// Prolongs the lease on a job while `work` lasts, from a third of its length on. Stops waiting for the work once
    /// the lease is lost.
    pub(crate) async fn hold<T>(
        &self,
        store: &dyn Store,
        job: &Job,
        work: impl Future<Output = T>,
    ) -> Result<T, Lost> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(self.length / 3) => {}
            }
            match store.renew_job(job.id, job.fence, self.until()).await {
                Ok(Settled::Done) => {}
                Ok(Settled::LeaseLost) => return Err(Lost),
                Err(error) => {
                    tracing::warn!(job = job.id.0, %error, "a lease could not be prolonged");
                }
            }
        }
    }
}
