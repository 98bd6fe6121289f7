//! Asking a store that fails again, where what is asked must not be lost.
//!
//! What was sent and is not written down is sent again by whoever finds its lease ended. So whoever sent it holds on to it: the
//! lease is prolonged and the store asked for as long as the node runs. A store that fails for good, a damaged page for one, thus
//! costs a place of a lane and not the same notification again after each lease.

use std::time::Duration;

use domain::publish::Publish;
use store::lookup::PublishState;
use store::publishes::{Job, Settled};
use store::{Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long to wait before a failed store is asked again.
pub(crate) const STORE_RETRY: Duration = Duration::from_millis(500);
/// How often it is asked for what may be given up, and by who settles before the pauses get longer. With [`STORE_RETRY`] between, far
/// less than a lease's length.
pub(crate) const STORE_TRIES: u32 = 20;

/// Gives a job back, for whoever has a hand free.
pub(crate) async fn give_back(store: &dyn Store, job: &Job) {
    for _ in 0..STORE_TRIES {
        match store.release_job(job.id, job.fence).await {
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(job = job.id.0, %error, "a job could not be given back, trying again");
            }
        }
        tokio::time::sleep(STORE_RETRY).await;
    }
    tracing::warn!(
        job = job.id.0,
        "a job could not be given back; it is taken over when its lease ends"
    );
}

/// Writes down what was sent, until the store takes it or somebody else has the work; `None` when the node stops before. After each
/// third of its `length` the lease is prolonged by `renew`.
pub(crate) async fn settle<A, R>(
    length: Duration,
    stopping: &CancellationToken,
    mut attempt: impl FnMut() -> A,
    mut renew: impl FnMut() -> R,
) -> Option<Settled>
where
    A: Future<Output = Result<Settled, StoreError>>,
    R: Future<Output = Result<Settled, StoreError>>,
{
    let (mut tries, mut renewed_at) = (0, Instant::now());
    loop {
        match attempt().await {
            Ok(settled) => return Some(settled),
            Err(error) => {
                tracing::warn!(%error, "the store did not take what was done, trying again");
            }
        }
        tries += 1;
        if !pause(tries, length / 6, stopping).await {
            return None;
        }
        if renewed_at.elapsed() < length / 3 {
            continue;
        }
        match renew().await {
            Ok(Settled::Done) => renewed_at = Instant::now(),
            Ok(Settled::LeaseLost) => return Some(Settled::LeaseLost),
            Err(error) => tracing::warn!(%error, "a lease could not be prolonged, trying again"),
        }
    }
}

/// Waits until a store that has failed so many times is to be asked again. Whether it is: not for ever once the node stops.
pub(crate) async fn pause(tries: u32, longest: Duration, stopping: &CancellationToken) -> bool {
    if tries < STORE_TRIES {
        tokio::time::sleep(STORE_RETRY.min(longest)).await;
        return true;
    }
    tokio::select! {
        biased;
        () = stopping.cancelled() => false,
        () = tokio::time::sleep(longest) => true,
    }
}

/// Whether work was lost because its publish was cancelled, which is nothing to worry about.
pub(crate) async fn is_cancelled(store: &dyn Store, publish: &Publish) -> bool {
    let report = store.publish_report(publish.instance, publish.id).await;
    matches!(report, Ok(Some(report)) if report.state == PublishState::Cancelled)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(30);

    /// What a store says that fails as long as it has no answer.
    async fn says(answer: Option<Settled>) -> Result<Settled, StoreError> {
        answer.ok_or_else(|| StoreError::Corrupt("a page".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_is_held_until_the_store_takes_it() {
        let tries = Cell::new(0);
        let attempt = || {
            tries.set(tries.get() + 1);
            says((tries.get() == 500).then_some(Settled::Done))
        };
        let (longest, before) = (Cell::new(Duration::ZERO), Cell::new(Instant::now()));
        let renew = || {
            longest.set(longest.get().max(before.get().elapsed()));
            before.set(Instant::now());
            says(Some(Settled::Done))
        };
        let settled = settle(LENGTH, &CancellationToken::new(), attempt, renew).await;
        assert_eq!((settled, tries.get()), (Some(Settled::Done), 500));
        let longest = longest.get().max(before.get().elapsed());
        assert!(longest < LENGTH / 2, "the lease stays: {longest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_somebody_else_has_the_work() {
        let renewed = Cell::new(0);
        let renew = || {
            renewed.set(renewed.get() + 1);
            says((renewed.get() == 3).then_some(Settled::LeaseLost))
        };
        let settled = settle(LENGTH, &CancellationToken::new(), || says(None), renew).await;
        assert_eq!((settled, renewed.get()), (Some(Settled::LeaseLost), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stops_tries_for_a_while_and_no_longer() {
        let (tries, stopping) = (Cell::new(0), CancellationToken::new());
        stopping.cancel();
        let attempt = || {
            tries.set(tries.get() + 1);
            says(None)
        };
        let renew = || says(Some(Settled::Done));
        let settled = settle(LENGTH, &stopping, attempt, renew).await;
        assert_eq!((settled, tries.get()), (None, STORE_TRIES));
    }
}
