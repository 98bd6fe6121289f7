//! Rules of retries.

use std::collections::HashSet;
use std::sync::Arc;

use domain::device::{DeviceId, Recipient};
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::publish::PublishId;

use super::world::*;
use crate::Store;
use crate::publishes::{RetryBatch, RetryId, Settled, Settlement};

struct Waiting {
    instance: InstanceId,
    publish: PublishId,
    devices: Vec<DeviceId>,
    recipients: Vec<Recipient>,
}

/// A publish whose job is done, and of whose deliveries one waits for each of `due`, in seconds.
async fn waiting(store: &Arc<dyn Store>, due: &[i64]) -> Waiting {
    let instance = instance(store).await;
    let mut devices = Vec::new();
    for number in 0..due.len() {
        devices.push(subscriber(store, instance, number, &["news"]).await);
    }
    let (publish, job) = one_job(store, instance).await;
    let recipients = all_of(store, &job, 1000).await;
    let settlement = Settlement {
        retries: recipients
            .iter()
            .zip(due)
            .map(|(r, secs)| retry(r.device, at(*secs)))
            .collect(),
        ..Settlement::default()
    };
    finish_job(store, &job, settlement).await;
    Waiting {
        instance,
        publish,
        devices,
        recipients,
    }
}

async fn claim(store: &Arc<dyn Store>, secs: i64, limit: usize) -> Vec<RetryBatch> {
    store
        .claim_retries(lease(9, secs), at(secs), limit)
        .await
        .unwrap()
}

async fn settle(
    store: &Arc<dyn Store>,
    batch: &RetryBatch,
    settlement: Settlement,
    secs: i64,
) -> Settled {
    store
        .settle_retries(batch.publish.id, ids(batch), settlement, at(secs))
        .await
        .unwrap()
}

fn accepted(count: u64) -> Settlement {
    Settlement {
        tallies: vec![tally(OutcomeKind::Accepted, count)],
        ..Settlement::default()
    }
}

pub async fn what_a_clock_that_was_hours_ahead_put_off_is_taken_up(store: Arc<dyn Store>) {
    const HOURS: i64 = 6 * 3600;
    waiting(&store, &[10, HOURS, HOURS + 5]).await;
    let first = claim(&store, 10, 1).await;
    assert_eq!(first.len(), 1);
    let retries =
        |batches: &[RetryBatch]| -> usize { batches.iter().map(|batch| batch.retries.len()).sum() };
    assert_eq!(retries(&claim(&store, 10, 10).await), 2);
    // Leased by a clock that was ahead; and a lease that is not absurd is still one.
    assert_eq!(retries(&claim(&store, HOURS, 10).await), 3);
    assert_eq!(retries(&claim(&store, 20, 10).await), 3);
    assert_eq!(retries(&claim(&store, 20, 10).await), 0);
    let instance = instance(&store).await;
    subscriber(&store, instance, 7, &["news"]).await;
    let (_, job) = one_job(&store, instance).await;
    let held = store.renew_job(job.id, job.fence, at(HOURS)).await;
    assert_eq!(held.unwrap(), Settled::Done);
    let jobs = store.claim_jobs(lease(2, 20), at(20), 10).await.unwrap();
    assert_eq!(jobs.len(), 1);
}

pub async fn retries_come_when_due_and_most_overdue_first(store: Arc<dyn Store>) {
    assert_eq!(store.next_retry_due(at(0)).await.unwrap(), None);
    let waiting = waiting(&store, &[30, 10, 20]).await;
    assert_eq!(store.next_retry_due(at(0)).await.unwrap(), Some(at(10)));
    assert!(claim(&store, 9, 10).await.is_empty());
    let mut order = Vec::new();
    for (secs, count) in [(25, 1), (25, 1), (25, 0), (30, 1)] {
        let batches = claim(&store, secs, 1).await;
        assert_eq!(batches.len(), count, "at {secs}");
        order.extend(
            batches
                .into_iter()
                .flat_map(|batch| batch.retries)
                .map(|retry| retry.recipient.device),
        );
    }
    let expected: Vec<_> = [1, 2, 0]
        .map(|index: usize| waiting.recipients[index].device)
        .to_vec();
    assert_eq!(order, expected);
    assert_eq!(
        report(&store, waiting.instance, waiting.publish)
            .await
            .retries,
        3,
        "claimed ones wait too"
    );
}

pub async fn a_claimed_retry_is_nobody_elses(store: Arc<dyn Store>) {
    let waiting = waiting(&store, &[10]).await;
    let batch = claim(&store, 10, 10).await.remove(0);
    assert_eq!(
        (batch.publish.id, batch.retries.len()),
        (waiting.publish, 1)
    );
    let claimed = &batch.retries[0];
    assert_eq!(
        (&claimed.recipient, claimed.attempts),
        (&waiting.recipients[0], 1)
    );
    assert!(claim(&store, 11, 10).await.is_empty());
    assert_eq!(store.next_retry_due(at(11)).await.unwrap(), None);
}

pub async fn an_expired_lease_on_a_retry_is_taken_over(store: Arc<dyn Store>) {
    let waiting = waiting(&store, &[10]).await;
    let old = claim(&store, 10, 10).await.remove(0);
    assert_eq!(store.next_retry_due(at(70)).await.unwrap(), Some(at(10)));
    let new = claim(&store, 70, 10).await.remove(0);
    assert_eq!(new.retries[0].id, old.retries[0].id);
    assert!(new.retries[0].fence > old.retries[0].fence);
    assert_eq!(
        settle(&store, &old, accepted(1), 71).await,
        Settled::LeaseLost
    );
    assert_eq!(settle(&store, &new, accepted(1), 72).await, Settled::Done);
    assert_eq!(
        settle(&store, &old, accepted(1), 73).await,
        Settled::LeaseLost,
        "it has been settled"
    );
    let report = report(&store, waiting.instance, waiting.publish).await;
    assert_eq!(
        (report.tallies, report.finished_at),
        (vec![tally(OutcomeKind::Accepted, 1)], Some(at(72)))
    );
}

pub async fn a_renewed_lease_on_retries_holds(store: Arc<dyn Store>) {
    let waiting = waiting(&store, &[10, 10]).await;
    let batch = claim(&store, 10, 10).await.remove(0);
    let renewed = store.renew_retries(ids(&batch), at(500)).await.unwrap();
    assert_eq!(renewed, Settled::Done);
    assert!(claim(&store, 499, 10).await.is_empty());
    let gone = store.delete_device(waiting.instance, waiting.devices[0]);
    assert!(gone.await.unwrap());
    let renewed = store.renew_retries(ids(&batch), at(600)).await.unwrap();
    assert_eq!(renewed, Settled::Done, "of the one that is left");
    assert!(claim(&store, 599, 10).await.is_empty());
    assert_eq!(claim(&store, 600, 10).await.len(), 1);
    let renewed = store.renew_retries(ids(&batch), at(900)).await.unwrap();
    assert_eq!(renewed, Settled::LeaseLost);
}

pub async fn one_wrong_fence_refuses_the_whole(store: Arc<dyn Store>) {
    let waiting = waiting(&store, &[10, 11]).await;
    let first = claim(&store, 10, 1).await.remove(0);
    let both = claim(&store, 70, 10).await.remove(0);
    assert_eq!(both.retries.len(), 2);
    // One that was claimed anew, and one that is rightly held.
    let mixed = vec![ids(&first)[0], ids(&both)[1]];
    let settled = store
        .settle_retries(waiting.publish, mixed, accepted(2), at(71))
        .await
        .unwrap();
    assert_eq!(settled, Settled::LeaseLost);
    let read = report(&store, waiting.instance, waiting.publish).await;
    assert_eq!((read.retries, read.tallies), (2, vec![]));
    let unknown = vec![(RetryId(i64::MAX), first.retries[0].fence)];
    let settled = store
        .settle_retries(waiting.publish, unknown, accepted(2), at(71))
        .await
        .unwrap();
    assert_eq!(settled, Settled::LeaseLost);
    let settled = store
        .settle_retries(PublishId::random(), ids(&both), accepted(2), at(71))
        .await
        .unwrap();
    assert_eq!(settled, Settled::LeaseLost, "of another publish");
}

pub async fn a_retry_may_be_written_anew(store: Arc<dyn Store>) {
    let waiting = waiting(&store, &[10]).await;
    let batch = claim(&store, 10, 10).await.remove(0);
    let mut again = retry(waiting.recipients[0].device, at(40));
    again.attempts = 2;
    let settlement = Settlement {
        retries: vec![again],
        ..Settlement::default()
    };
    assert_eq!(settle(&store, &batch, settlement, 11).await, Settled::Done);
    assert_eq!(
        report(&store, waiting.instance, waiting.publish)
            .await
            .finished_at,
        None
    );
    assert!(claim(&store, 39, 10).await.is_empty());
    let next = claim(&store, 40, 10).await.remove(0);
    assert_eq!(next.retries[0].attempts, 2);
    assert_eq!(
        settle(&store, &batch, accepted(1), 41).await,
        Settled::LeaseLost
    );
}

pub async fn a_retry_goes_with_its_device(store: Arc<dyn Store>) {
    let waiting = waiting(&store, &[10, 10]).await;
    assert!(
        store
            .delete_device(waiting.instance, waiting.devices[0])
            .await
            .unwrap()
    );
    let batch = claim(&store, 10, 10).await.remove(0);
    assert_eq!(batch.retries.len(), 1);
    assert_eq!(
        batch.retries[0].recipient.device,
        waiting.recipients[1].device
    );
}

pub async fn a_gone_device_does_not_stop_the_others(store: Arc<dyn Store>) {
    let waiting = waiting(&store, &[10, 10, 10]).await;
    let batch = claim(&store, 10, 10).await.remove(0);
    assert!(
        store
            .delete_device(waiting.instance, waiting.devices[1])
            .await
            .unwrap()
    );
    let settlement = Settlement {
        retries: vec![retry(waiting.recipients[1].device, at(90))],
        ..accepted(2)
    };
    assert_eq!(settle(&store, &batch, settlement, 11).await, Settled::Done);
    let read = report(&store, waiting.instance, waiting.publish).await;
    assert_eq!((read.retries, read.finished_at), (0, Some(at(11))));
    assert_eq!(read.tallies, [tally(OutcomeKind::Accepted, 2)]);
}

pub async fn a_publish_finishes_with_its_last_retry(store: Arc<dyn Store>) {
    let waiting = waiting(&store, &[10, 20]).await;
    for (secs, finished) in [(10, None), (20, Some(at(20)))] {
        let batch = claim(&store, secs, 10).await.remove(0);
        assert_eq!(
            settle(&store, &batch, accepted(1), secs).await,
            Settled::Done
        );
        assert_eq!(
            report(&store, waiting.instance, waiting.publish)
                .await
                .finished_at,
            finished
        );
    }
    let depth = store.queue_depth(at(20)).await.unwrap();
    assert_eq!((depth.jobs, depth.retries), (0, 0));
}

pub async fn a_publish_finishes_when_its_last_device_is_deleted(store: Arc<dyn Store>) {
    for way in 0..3 {
        let waiting = waiting(&store, &[10]).await;
        let id = waiting.devices[0];
        let instance = waiting.instance;
        match way {
            0 => assert!(store.delete_device(instance, id).await.unwrap()),
            1 => {
                assert_eq!(
                    bind(&store, instance, id, "ann").await,
                    crate::devices::Bound::Done
                );
                assert_eq!(store.delete_user(instance, user("ann")).await.unwrap(), 1);
            }
            _ => {
                let other = subscriber(&store, instance, 99, &[]).await;
                let token = waiting.recipients[0].token.clone();
                let set = store
                    .set_gateway_token(instance, other, token, at(5))
                    .await
                    .unwrap();
                assert_eq!(set, crate::devices::Changed::Done);
            }
        }
        // At the latest when somebody looks for work.
        assert!(claim(&store, 30, 10).await.is_empty());
        let read = report(&store, instance, waiting.publish).await;
        assert!(read.finished_at.is_some() && read.retries == 0, "way {way}");
    }
}

pub async fn concurrent_claims_give_each_retry_once(store: Arc<dyn Store>) {
    waiting(&store, &[10; 60]).await;
    let calls = (0..30).map(|_| {
        let store = Arc::clone(&store);
        async move { claim(&store, 10, 3).await }
    });
    let claimed: Vec<RetryId> = all(calls)
        .await
        .into_iter()
        .flatten()
        .flat_map(|batch| batch.retries)
        .map(|retry| retry.id)
        .collect();
    assert_eq!(claimed.len(), 60);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), 60);
}

pub async fn batches_hold_one_publish_each(store: Arc<dyn Store>) {
    let first = waiting(&store, &[10, 12]).await;
    let second = waiting(&store, &[11, 13, 14]).await;
    let batches = claim(&store, 20, 4).await;
    let mut found: Vec<(PublishId, usize)> = batches
        .iter()
        .map(|b| (b.publish.id, b.retries.len()))
        .collect();
    assert!(batches.iter().all(|batch| !batch.retries.is_empty()));
    found.sort_by_key(|(id, _)| *id == second.publish);
    assert_eq!(found, [(first.publish, 2), (second.publish, 2)]);
    assert_eq!(claim(&store, 20, 4).await[0].retries.len(), 1);
}
