//! Rules of publishes that are called off.

use std::sync::Arc;

use domain::device::Platform;
use domain::outcome::OutcomeKind;
use domain::publish::{Publish, PublishId};

use super::world::*;
use crate::Store;
use crate::lookup::{Cancelled, PublishState};
use crate::publishes::{NewPublish, Settled, Settlement};

pub async fn what_cannot_be_cancelled_is_told(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    subscriber(&store, mine, 1, &["news"]).await;
    let (id, job) = one_job(&store, mine).await;
    let cancel = async |instance, id| store.cancel_publish(instance, id, at(5)).await.unwrap();
    assert_eq!(cancel(mine, PublishId::random()).await, Cancelled::Unknown);
    assert_eq!(cancel(other, id).await, Cancelled::Unknown);
    finish_job(&store, &job, Settlement::default()).await;
    assert_eq!(cancel(mine, id).await, Cancelled::Finished);
    let done = report(&store, mine, id).await;
    assert_eq!(
        (done.state, done.finished_at),
        (PublishState::Finished, Some(at(1)))
    );
}

pub async fn cancelling_takes_the_work_away(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (other, _) = one_job(&store, instance).await;
    let (id, job) = one_job(&store, instance).await;
    let cancelled = store.cancel_publish(instance, id, at(5)).await.unwrap();
    assert_eq!(cancelled, Cancelled::Done);
    let done = report(&store, instance, id).await;
    assert_eq!(
        (done.state, done.finished_at),
        (PublishState::Cancelled, Some(at(5)))
    );
    // Whoever was on it has lost it, and leaves no trace.
    let settlement = Settlement {
        tallies: vec![tally(OutcomeKind::Accepted, 1)],
        ..Settlement::default()
    };
    let settled = store
        .settle_page(&job, job.end, true, at(60), settlement, at(6))
        .await
        .unwrap();
    let renewed = store.renew_job(job.id, job.fence, at(99)).await.unwrap();
    let released = store.release_job(job.id, job.fence).await.unwrap();
    assert_eq!([settled, renewed, released], [Settled::LeaseLost; 3]);
    assert_eq!(report(&store, instance, id).await, done);
    let claimed = store.claim_jobs(lease(2, 500), at(500), 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].publish.id, other, "others go on");
}

pub async fn cancelling_again_changes_nothing(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (id, _) = one_job(&store, instance).await;
    for secs in [5, 6, 7] {
        let cancelled = store.cancel_publish(instance, id, at(secs)).await.unwrap();
        assert_eq!(cancelled, Cancelled::Done);
        assert_eq!(report(&store, instance, id).await.finished_at, Some(at(5)));
    }
    assert_eq!(store.prune_publishes(at(6), 10).await.unwrap(), 1);
    let gone = store.cancel_publish(instance, id, at(8)).await.unwrap();
    assert_eq!(gone, Cancelled::Unknown);
}

pub async fn cancelling_takes_the_retries_away(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for number in 0..3 {
        subscriber(&store, instance, number, &["news"]).await;
    }
    let (id, job) = one_job(&store, instance).await;
    let devices: Vec<_> = all_of(&store, &job, 10)
        .await
        .iter()
        .map(|recipient| recipient.device)
        .collect();
    let settlement = Settlement {
        retries: vec![
            retry(devices[0], at(10)),
            retry(devices[1], at(10)),
            retry(devices[2], at(100)),
        ],
        ..Settlement::default()
    };
    finish_job(&store, &job, settlement).await;
    let mut batches = store.claim_retries(lease(1, 10), at(10), 1).await.unwrap();
    let held = batches.remove(0);
    let cancelled = store.cancel_publish(instance, id, at(11)).await.unwrap();
    assert_eq!(cancelled, Cancelled::Done);
    let again = Settlement {
        tallies: vec![tally(OutcomeKind::Accepted, 1)],
        retries: vec![retry(held.retries[0].recipient.device, at(20))],
        ..Settlement::default()
    };
    let settled = store
        .settle_retries(id, ids(&held), again, at(12))
        .await
        .unwrap();
    assert_eq!(settled, Settled::LeaseLost);
    let left = store
        .claim_retries(lease(2, 999), at(999), 10)
        .await
        .unwrap();
    assert!(left.is_empty());
    assert_eq!(store.next_retry_due(at(999)).await.unwrap(), None);
    let done = report(&store, instance, id).await;
    assert_eq!((done.retries, done.tallies), (0, vec![]));
}

pub async fn a_cancelled_publish_does_not_begin_later(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let publish = Publish {
        send_at: at(100),
        ..(*publish(instance, &[Platform::Fcm])).clone()
    };
    let id = publish.id;
    let new = NewPublish {
        publish: Arc::new(publish),
        audience: to_interests(&["news"]),
        once: None,
        webhook: None,
    };
    store.create_publish(new, UNLEASED).await.unwrap();
    let cancelled = store.cancel_publish(instance, id, at(5)).await.unwrap();
    assert_eq!(cancelled, Cancelled::Done);
    assert_eq!(store.next_scheduled().await.unwrap(), None);
    let begun = store.start_scheduled(UNLEASED, at(200), 10).await.unwrap();
    assert!(begun.is_empty());
    let claimed = store.claim_jobs(lease(1, 200), at(200), 10).await.unwrap();
    assert!(claimed.is_empty());
    let done = report(&store, instance, id).await;
    assert_eq!(
        (done.state, done.finished_at),
        (PublishState::Cancelled, Some(at(5)))
    );
}
