//! Rules of publishes that are sent again to the devices they failed for.

use std::sync::Arc;

use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::payload::Template;
use domain::publish::{Audience, Publish, PublishId, UserList};

use super::keys::once;
use super::world::*;
use crate::lists::Listed;
use crate::lookup::{Cancelled, Fresh, PublishState, Replayed, Target};
use crate::publishes::{Failure, Job, NewPublish, Once, Plan, Settlement};
use crate::{Store, StoreError};

async fn replay(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    id: PublishId,
    once: Option<Once>,
) -> (PublishId, Replayed) {
    let plan = Plan {
        lease: Some(lease(1, 50)),
        ..UNLEASED
    };
    let fresh = Fresh::untraced(PublishId::random());
    let replayed = store
        .replay_publish(instance, id, fresh, once, plan, at(50))
        .await
        .unwrap();
    (fresh.id, replayed)
}

/// A publish to five devices that failed for the second and the fourth.
async fn failed(store: &Arc<dyn Store>, instance: InstanceId) -> (PublishId, Vec<DeviceOrdinal>) {
    for number in 0..5 {
        subscriber(store, instance, number, &["news"]).await;
    }
    let (id, job) = one_job(store, instance).await;
    let recipients = all_of(store, &job, 10).await;
    let devices = vec![recipients[1].device, recipients[3].device];
    let settlement = Settlement {
        failures: devices
            .iter()
            .map(|device| Failure {
                device: *device,
                outcome: OutcomeKind::Rejected,
                reason: "payload".into(),
            })
            .collect(),
        ..Settlement::default()
    };
    finish_job(store, &job, settlement).await;
    (id, devices)
}

pub async fn what_cannot_be_replayed_is_told(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    subscriber(&store, mine, 1, &["news"]).await;
    let (running, _) = one_job(&store, mine).await;
    let (_, answer) = replay(&store, mine, running, once("k", "a", 0)).await;
    assert!(matches!(answer, Replayed::Unfinished), "{answer:?}");
    for (instance, id) in [(mine, PublishId::random()), (other, running)] {
        let (fresh, answer) = replay(&store, instance, id, once("k", "b", 0)).await;
        assert!(matches!(answer, Replayed::Unknown), "{answer:?}");
        assert!(
            store
                .publish_report(instance, fresh)
                .await
                .unwrap()
                .is_none()
        );
    }
    let nowhere = store
        .replay_publish(
            InstanceId::random(),
            running,
            Fresh::untraced(PublishId::random()),
            None,
            UNLEASED,
            at(50),
        )
        .await;
    assert!(matches!(nowhere, Err(StoreError::UnknownInstance)));
    let publish = Publish {
        expires_at: Some(at(50)),
        ..(*publish(mine, &[Platform::Fcm])).clone()
    };
    let id = publish.id;
    let new = NewPublish {
        publish: Arc::new(publish),
        audience: to_interests(&["nobody"]),
        once: None,
        webhook: None,
    };
    store.create_publish(new, UNLEASED).await.unwrap();
    let (_, answer) = replay(&store, mine, id, once("k", "c", 0)).await;
    assert!(matches!(answer, Replayed::Expired), "{answer:?}");
    // What came to nothing did not take its key.
    let (_, answer) = replay(&store, mine, id, once("k", "d", 0)).await;
    assert!(matches!(answer, Replayed::Expired), "{answer:?}");
}

pub async fn exactly_what_failed_is_sent_again(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let (id, devices) = failed(&store, instance).await;
    // Others who come to the audience, and an earlier publish's failures, make no difference.
    subscriber(&store, instance, 9, &["news"]).await;
    let (fresh, answer) = replay(&store, instance, id, None).await;
    let Replayed::Accepted(jobs) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(jobs.len(), 1);
    let job = &jobs[0];
    assert_eq!((job.publish.id, job.publish.accepted_at), (fresh, at(50)));
    assert_eq!(job.publish.send_at, at(50));
    assert!(job.publish.payloads.has(Platform::Fcm));
    for limit in [1, 10] {
        let found: Vec<_> = all_of(&store, job, limit)
            .await
            .iter()
            .map(|recipient| recipient.device)
            .collect();
        assert_eq!(found, devices);
    }
    let told = report(&store, instance, fresh).await;
    assert_eq!(
        (told.state, told.target),
        (PublishState::Running, Target::FailuresOf(id))
    );
}

pub async fn a_replay_of_no_failures_is_finished_at_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (id, _) = one_job(&store, instance).await;
    let cancelled = store.cancel_publish(instance, id, at(5)).await.unwrap();
    assert_eq!(cancelled, Cancelled::Done);
    let (fresh, answer) = replay(&store, instance, id, None).await;
    assert!(matches!(answer, Replayed::Accepted(jobs) if jobs.is_empty()));
    let told = report(&store, instance, fresh).await;
    assert_eq!(
        (told.state, told.finished_at),
        (PublishState::Finished, Some(at(50)))
    );
}

pub async fn what_is_replayed_is_kept_until_that_is_done(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let (id, devices) = failed(&store, instance).await;
    let (fresh, answer) = replay(&store, instance, id, None).await;
    let Replayed::Accepted(jobs) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(store.prune_publishes(at(1000), 10).await.unwrap(), 0);
    assert_eq!(all_of(&store, &jobs[0], 10).await.len(), devices.len());
    finish_job(&store, &jobs[0], Settlement::default()).await;
    assert_eq!(store.prune_publishes(at(1000), 10).await.unwrap(), 2);
    for id in [id, fresh] {
        assert!(store.publish_report(instance, id).await.unwrap().is_none());
    }
}

pub async fn a_replay_may_be_repeated(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let (id, _) = failed(&store, instance).await;
    let (fresh, first) = replay(&store, instance, id, once("k", "a", 0)).await;
    assert!(matches!(first, Replayed::Accepted(jobs) if jobs.len() == 1));
    let (_, again) = replay(&store, instance, id, once("k", "a", 0)).await;
    assert!(matches!(again, Replayed::Repeated(id) if id == fresh));
    let (_, other) = replay(&store, instance, id, once("k", "b", 0)).await;
    assert!(matches!(other, Replayed::KeyReused), "{other:?}");
}

/// A publish with a text for each user, to a list of one, that failed for the one device.
async fn failed_for_a_list(store: &Arc<dyn Store>, instance: InstanceId) -> (PublishId, Failure) {
    let device = device(store, instance, token(Platform::Fcm, 1)).await;
    bound(store, instance, device, "ann").await;
    let number = store.begin_list(instance, at(0)).await.unwrap();
    let listed = Listed {
        user: user("ann"),
        values: None,
    };
    let extended = store.extend_list(number, 0, vec![listed]).await;
    assert_eq!(extended.unwrap(), None);
    let mut publish = (*publish(instance, &[Platform::Fcm])).clone();
    let fcm = serde_json::json!({"notification": {"title": "Hi {{name}}"}});
    let fcm = serde_json::value::to_raw_value(&fcm).unwrap();
    publish.payloads.template = Template::of(None, Some(&fcm), None).unwrap();
    let id = publish.id;
    let new = NewPublish {
        publish: Arc::new(publish),
        audience: Audience::List(UserList { number, users: 1 }),
        once: None,
        webhook: None,
    };
    let plan = Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let jobs = store.create_publish(new, plan).await.unwrap().into_jobs();
    let page = store.audience_page(&jobs[0], jobs[0].cursor, 10).await;
    let failure = Failure {
        device: page.unwrap().recipients[0].device,
        outcome: OutcomeKind::Rejected,
        reason: "payload".into(),
    };
    fail(store, &jobs[0], &failure).await;
    (id, failure)
}

async fn fail(store: &Arc<dyn Store>, job: &Job, failure: &Failure) {
    let settlement = Settlement {
        failures: vec![failure.clone()],
        ..Settlement::default()
    };
    finish_job(store, job, settlement).await;
}

pub async fn what_nobody_is_known_for_any_more_is_not_replayed(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let (first, failure) = failed_for_a_list(&store, instance).await;
    let mut last = first;
    // While a replay runs, or one of a replay, everything that it needs stays.
    for _ in 0..2 {
        let (fresh, answer) = replay(&store, instance, last, None).await;
        let Replayed::Accepted(jobs) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(store.prune_names(at(9999), 10).await.unwrap(), 0);
        assert_eq!(store.prune_publishes(at(9999), 10).await.unwrap(), 0);
        fail(&store, &jobs[0], &failure).await;
        last = fresh;
    }
    assert_eq!(store.prune_names(at(9999), 10).await.unwrap(), 3);
    for id in [first, last] {
        let (_, answer) = replay(&store, instance, id, once("k", "a", 0)).await;
        assert!(matches!(answer, Replayed::Expired), "{answer:?}");
    }
    // One that is the same for everybody needs to know nobody.
    let (id, _) = failed(&store, instance).await;
    assert_eq!(store.prune_names(at(9999), 10).await.unwrap(), 1);
    let (_, answer) = replay(&store, instance, id, once("k", "a", 0)).await;
    assert!(matches!(answer, Replayed::Accepted(_)), "{answer:?}");
}
