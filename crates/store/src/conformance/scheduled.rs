//! Rules of publishes that wait for their time.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::publish::{Audience, Publish, PublishId};

use super::world::*;
use crate::Store;
use crate::lookup::PublishState;
use crate::publishes::{Accepted, Job, NewPublish, Plan};

fn leased(owner: u128, secs: i64) -> Plan {
    Plan {
        lease: Some(lease(owner, secs)),
        ..UNLEASED
    }
}

/// Schedules a publish for `secs`.
async fn schedule(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    audience: Audience,
    secs: i64,
) -> PublishId {
    let publish = Publish {
        send_at: at(secs),
        expires_at: Some(at(secs + 500)),
        ..(*publish(instance, &[Platform::Fcm])).clone()
    };
    let id = publish.id;
    let new = NewPublish {
        publish: Arc::new(publish),
        audience,
        once: None,
        webhook: None,
    };
    let accepted = store.create_publish(new, leased(1, 0)).await.unwrap();
    assert!(matches!(accepted, Accepted::New(jobs) if jobs.is_empty()));
    id
}

async fn start(store: &Arc<dyn Store>, secs: i64) -> Vec<Job> {
    store
        .start_scheduled(leased(1, secs), at(secs), 10)
        .await
        .unwrap()
}

async fn next(store: &Arc<dyn Store>) -> Option<Timestamp> {
    store.next_scheduled().await.unwrap()
}

pub async fn a_scheduled_publish_is_no_work_before_its_time(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    assert_eq!(next(&store).await, None);
    let id = schedule(&store, instance, to_interests(&["news"]), 100).await;
    assert_eq!(next(&store).await, Some(at(100)));
    assert!(start(&store, 99).await.is_empty());
    let claimed = store.claim_jobs(lease(2, 99), at(99), 10).await.unwrap();
    assert!(claimed.is_empty());
    let waiting = report(&store, instance, id).await;
    assert_eq!(waiting.state, PublishState::Scheduled);
    assert_eq!(
        (waiting.accepted_at, waiting.send_at, waiting.finished_at),
        (at(0), at(100), None)
    );
    assert_eq!(store.prune_publishes(at(1000), 10).await.unwrap(), 0);
    let jobs = start(&store, 100).await;
    assert_eq!(jobs.len(), 1);
    let publish = &jobs[0].publish;
    assert_eq!(
        (publish.id, publish.send_at, publish.expires_at),
        (id, at(100), Some(at(600)))
    );
    assert_eq!(
        report(&store, instance, id).await.state,
        PublishState::Running
    );
    assert_eq!(next(&store).await, None);
    assert!(start(&store, 101).await.is_empty(), "it is begun once");
}

pub async fn an_audience_is_resolved_when_it_is_sent(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let early = subscriber(&store, instance, 1, &["news"]).await;
    schedule(&store, instance, to_interests(&["news", "later"]), 100).await;
    schedule(&store, instance, to_users(&["ann"]), 100).await;
    assert!(store.delete_device(instance, early).await.unwrap());
    let late = subscriber(&store, instance, 2, &["later"]).await;
    bound(&store, instance, late, "ann").await;
    let jobs = start(&store, 100).await;
    assert_eq!(jobs.len(), 2);
    for (job, is_for_users) in jobs.iter().zip([false, true]) {
        let recipients = all_of(&store, job, 10).await;
        assert_eq!(recipients.len(), 1);
        assert_eq!(recipients[0].token, token(Platform::Fcm, 2));
        assert_eq!(recipients[0].user.is_some(), is_for_users);
    }
}

pub async fn a_scheduled_publish_for_nobody_finishes_when_it_begins(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = schedule(&store, instance, to_users(&["nobody"]), 100).await;
    assert!(start(&store, 130).await.is_empty());
    let done = report(&store, instance, id).await;
    assert_eq!(
        (done.state, done.finished_at),
        (PublishState::Finished, Some(at(130)))
    );
    assert_eq!(next(&store).await, None);
}

pub async fn the_most_overdue_begin_first(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let mut ids = Vec::new();
    for secs in [300, 100, 200] {
        ids.push(schedule(&store, instance, to_interests(&["news"]), secs).await);
    }
    assert_eq!(next(&store).await, Some(at(100)));
    let begun = store
        .start_scheduled(leased(1, 400), at(400), 2)
        .await
        .unwrap();
    let begun: Vec<_> = begun.iter().map(|job| job.publish.id).collect();
    assert_eq!(begun, [ids[1], ids[2]]);
    assert_eq!(next(&store).await, Some(at(300)));
}

pub async fn each_is_begun_by_one_caller(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let mut ids = Vec::new();
    for secs in 1..=20 {
        ids.push(schedule(&store, instance, to_interests(&["news"]), secs).await);
    }
    let calls = (0..8).map(|owner| {
        let store = Arc::clone(&store);
        async move {
            store
                .start_scheduled(leased(owner, 50), at(50), 5)
                .await
                .unwrap()
        }
    });
    let mut begun: Vec<_> = all(calls)
        .await
        .into_iter()
        .flatten()
        .map(|job| *job.publish.id.uuid())
        .collect();
    begun.sort();
    let mut expected: Vec<_> = ids.iter().map(|id| *id.uuid()).collect();
    expected.sort();
    assert_eq!(begun, expected);
}

pub async fn what_is_begun_without_a_lease_is_left_to_claim(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let id = schedule(&store, instance, to_interests(&["news"]), 100).await;
    let begun = store.start_scheduled(UNLEASED, at(100), 10).await.unwrap();
    assert!(begun.is_empty());
    let claimed = store.claim_jobs(lease(2, 100), at(100), 10).await.unwrap();
    assert_eq!(claimed[0].publish.id, id);
}

pub async fn a_deleted_instance_sends_nothing_later(store: Arc<dyn Store>) {
    let (gone, other) = (instance(&store).await, instance(&store).await);
    subscriber(&store, gone, 1, &["news"]).await;
    schedule(&store, gone, to_interests(&["news"]), 100).await;
    schedule(&store, other, to_interests(&["news"]), 200).await;
    assert!(store.delete_instance(gone).await.unwrap());
    assert_eq!(next(&store).await, Some(at(200)));
    assert!(start(&store, 150).await.is_empty());
}
