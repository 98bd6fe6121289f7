//! Asking a store that fails again, where what is asked must not be lost.
//!
//! Everything that was done and has still to be written goes through here. The bounds are far below a lease's length, so
//! whoever gives up here still loses nothing: the work is taken over when its lease ends.

use std::time::Duration;

use domain::publish::Publish;
use store::lookup::PublishState;
use store::publishes::{Job, Settled};
use store::{Store, StoreError};

/// How long to wait before a failed store is asked again.
pub(crate) const STORE_RETRY: Duration = Duration::from_millis(500);
/// How often a settlement is tried. With [`STORE_RETRY`] between, far less than a lease's length.
pub(crate) const SETTLE_TRIES: u32 = 20;

/// Gives a job back, for whoever has a hand free.
pub(crate) async fn give_back(store: &dyn Store, job: &Job) {
    let given = write(|| store.release_job(job.id, job.fence)).await;
    if given.is_none() {
        tracing::warn!(
            job = job.id.0,
            "a job could not be given back; it is taken over when its lease ends"
        );
    }
}

/// Writes something that must not be lost, trying again while the store fails. `None` when it fails for too long; the lease
/// then ends, and the page is sent again by whoever takes over.
pub(crate) async fn write<F>(mut attempt: impl FnMut() -> F) -> Option<Settled>
where
    F: Future<Output = Result<Settled, StoreError>>,
{
    for _ in 0..SETTLE_TRIES {
        match attempt().await {
            Ok(settled) => return Some(settled),
            Err(error) => {
                tracing::warn!(%error, "the store did not take what was done, trying again");
            }
        }
        tokio::time::sleep(STORE_RETRY).await;
    }
    None
}

/// Whether work was lost because its publish was cancelled, which is nothing to worry about.
pub(crate) async fn is_cancelled(store: &dyn Store, publish: &Publish) -> bool {
    let report = store.publish_report(publish.instance, publish.id).await;
    matches!(report, Ok(Some(report)) if report.state == PublishState::Cancelled)
}
