//! Rules of publishes, their reports and their end.

use std::sync::Arc;

use domain::device::{DeviceId, Platform};
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;

use super::world::*;
use crate::publishes::{Event, EventKind, NewPublish, Recorded, Settlement};
use crate::{Store, StoreError};

pub async fn an_unknown_instance_cannot_publish(store: Arc<dyn Store>) {
    let publish = publish(InstanceId::random(), &[Platform::Web]);
    let audience = to_users(&["ann"]);
    let created = store
        .create_publish(
            NewPublish {
                publish,
                audience,
                once: None,
                webhook: None,
            },
            UNLEASED,
        )
        .await;
    assert!(
        matches!(created, Err(StoreError::UnknownInstance)),
        "{created:?}"
    );
    assert!(
        store
            .claim_jobs(lease(1, 0), at(0), 10)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn a_publish_for_nobody_is_finished_at_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["news"]).await;
    assert!(store.delete_device(instance, id).await.unwrap());
    let plan = crate::publishes::Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let (id, jobs) = publish_to(&store, instance, to_interests(&["news"]), plan).await;
    assert!(jobs.is_empty());
    let report = report(&store, instance, id).await;
    assert_eq!(
        (report.accepted_at, report.finished_at),
        (at(0), Some(at(0)))
    );
    assert_eq!((report.tallies, report.retries), (vec![], 0));
    assert!(
        store
            .claim_jobs(lease(1, 0), at(0), 10)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn an_audience_of_unknown_names_is_nobody(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let id = subscriber(&store, other, 1, &["news"]).await;
    assert_eq!(
        bind(&store, other, id, "ann").await,
        crate::devices::Bound::Done
    );
    for audience in [to_interests(&["news"]), to_users(&["ann"])] {
        let (id, _) = publish_to(&store, mine, audience, UNLEASED).await;
        assert!(report(&store, mine, id).await.finished_at.is_some());
    }
}

pub async fn a_publish_survives_in_full(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let publish = publish(instance, &Platform::ALL);
    let new = NewPublish {
        publish: Arc::clone(&publish),
        audience: to_interests(&["news"]),
        once: None,
        webhook: None,
    };
    assert!(
        store
            .create_publish(new, UNLEASED)
            .await
            .unwrap()
            .into_jobs()
            .is_empty(),
        "nobody was to be leased the job"
    );
    let jobs = store.claim_jobs(lease(1, 0), at(0), 10).await.unwrap();
    assert_eq!(jobs.len(), 1);
    let read = &jobs[0].publish;
    assert_eq!(
        (read.id, read.instance, read.accepted_at),
        (publish.id, instance, at(0))
    );
    let json =
        |publish: &domain::publish::Publish| serde_json::to_string(&publish.payloads).unwrap();
    assert_eq!(json(read), json(&publish));
    assert!(
        json(read).contains("1.50"),
        "numbers stay as they were written"
    );
}

pub async fn a_report_is_seen_in_its_instance_only(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let (id, _) = publish_to(&store, mine, to_interests(&["x"]), UNLEASED).await;
    assert!(store.publish_report(other, id).await.unwrap().is_none());
    assert_eq!(report(&store, mine, id).await.id, id);
}

pub async fn pruning_keeps_what_is_not_finished(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (open, job) = one_job(&store, instance).await;
    let (done, _) = publish_to(&store, instance, to_interests(&["nobody"]), UNLEASED).await;
    assert_eq!(
        store.prune_publishes(at(0), 10).await.unwrap(),
        0,
        "finished at that very moment, not before"
    );
    assert_eq!(store.prune_publishes(at(1000), 10).await.unwrap(), 1);
    assert!(
        store
            .publish_report(instance, done)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .publish_report(instance, open)
            .await
            .unwrap()
            .is_some()
    );
    finish_job(&store, &job, Settlement::default()).await;
    assert_eq!(store.prune_publishes(at(1000), 10).await.unwrap(), 1);
    assert!(
        store
            .publish_report(instance, open)
            .await
            .unwrap()
            .is_none()
    );
}

pub async fn pruning_stops_at_its_limit(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for _ in 0..5 {
        publish_to(&store, instance, to_interests(&["nobody"]), UNLEASED).await;
    }
    let mut pruned = Vec::new();
    for _ in 0..4 {
        pruned.push(store.prune_publishes(at(1), 2).await.unwrap());
    }
    assert_eq!(pruned, [2, 2, 1, 0]);
    assert_eq!(store.prune_publishes(at(1), 0).await.unwrap(), 0);
}

pub async fn a_pruned_publish_takes_everything_with_it(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let device: DeviceId = subscriber(&store, instance, 1, &["news"]).await;
    let (publish, job) = one_job(&store, instance).await;
    let settlement = Settlement {
        tallies: vec![tally(OutcomeKind::Accepted, 1)],
        ..Settlement::default()
    };
    finish_job(&store, &job, settlement).await;
    let event = Event {
        instance,
        publish,
        device,
        kind: EventKind::Delivery,
        at: at(2),
        received: at(2),
        user: None,
    };
    assert_eq!(
        store.record_events(vec![event.clone()]).await.unwrap(),
        [Recorded::New]
    );
    assert_eq!(store.prune_publishes(at(1000), 10).await.unwrap(), 1);
    assert_eq!(
        store.record_events(vec![event]).await.unwrap(),
        [Recorded::Unknown]
    );
    assert!(store.device(instance, device).await.unwrap().is_some());
}
