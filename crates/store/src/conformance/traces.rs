//! Rules of a publish's place in a trace: whoever works on it, whenever, finds it again.

use std::sync::Arc;

use domain::device::{DeviceOrdinal, Platform};
use domain::idempotency::{Fingerprint, Idempotency, IdempotencyKey};
use domain::outcome::OutcomeKind;
use domain::publish::{Publish, PublishId};
use domain::trace::TraceParent;

use super::world::*;
use crate::Store;
use crate::lookup::{Fresh, Replayed};
use crate::publishes::{Accepted, Failure, Job, NewPublish, Once, Plan, Settlement};

async fn claimed(store: &Arc<dyn Store>, owner: u128, secs: i64) -> Vec<Job> {
    let lease = lease(owner, secs);
    store.claim_jobs(lease, at(secs), 10).await.unwrap()
}

fn new(publish: Publish, once: Option<Once>) -> NewPublish {
    NewPublish {
        publish: Arc::new(publish),
        audience: to_interests(&["news"]),
        once,
        webhook: None,
    }
}

pub async fn a_publish_keeps_its_place_in_a_trace_until_its_last_job(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let idempotency = Idempotency {
        key: IdempotencyKey::parse(b"k").unwrap(),
        fingerprint: Fingerprint::of("interests", b"x"),
    };
    let once = Once {
        idempotency,
        since: at(0),
    };
    // With and without a page of its own, alone and with others.
    for (once, first_page_max) in [(None, 10), (None, 0), (Some(once), 10)] {
        let publish = (*publish(instance, &[Platform::Fcm])).clone();
        let id = publish.id;
        let plan = Plan {
            lease: Some(lease(1, 0)),
            first_page_max,
            ..UNLEASED
        };
        let accepted = store.create_publish(new(publish, once), plan).await;
        let Accepted::New(jobs) = accepted.unwrap() else {
            panic!("a new publish");
        };
        assert_eq!(jobs[0].publish.trace, trace_of(id));
        // The node that accepted it is gone; another one has to read it.
        let later = claimed(&store, 2, 1000).await;
        assert_eq!((later.len(), later[0].publish.id), (1, id));
        assert_eq!(later[0].publish.trace, trace_of(id));
        finish_job(&store, &later[0], Settlement::default()).await;
    }
}

pub async fn retries_have_the_place_of_their_publish(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let (id, job) = one_job(&store, instance).await;
    let device = all_of(&store, &job, 10).await[0].device;
    let settlement = Settlement {
        retries: vec![retry(device, at(5))],
        ..Settlement::default()
    };
    finish_job(&store, &job, settlement).await;
    let batches = store.claim_retries(lease(2, 9), at(9), 10).await.unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].publish.trace, trace_of(id));
}

pub async fn a_scheduled_publish_keeps_its_place(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let publish = Publish {
        send_at: at(60),
        ..(*publish(instance, &[Platform::Fcm])).clone()
    };
    let id = publish.id;
    store
        .create_publish(new(publish, None), UNLEASED)
        .await
        .unwrap();
    let plan = Plan {
        lease: Some(lease(2, 60)),
        ..UNLEASED
    };
    let jobs = store.start_scheduled(plan, at(60), 10).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].publish.trace, trace_of(id));
}

pub async fn a_replay_has_a_place_of_its_own(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let (id, device) = failed(&store, instance).await;
    for trace in [TraceParent::new([3; 16], [4; 8]), None] {
        let fresh = Fresh {
            id: PublishId::random(),
            trace,
        };
        let plan = Plan {
            lease: Some(lease(1, 50)),
            ..UNLEASED
        };
        let replayed = store.replay_publish(instance, id, fresh, None, plan, at(50));
        let Replayed::Accepted(jobs) = replayed.await.unwrap() else {
            panic!("a replay");
        };
        assert_eq!(jobs[0].publish.trace, trace);
        assert_eq!(all_of(&store, &jobs[0], 10).await[0].device, device);
        let later = claimed(&store, 2, 1000).await;
        assert_eq!(later[0].publish.trace, trace);
        finish_job(&store, &later[0], Settlement::default()).await;
    }
}

/// A publish that failed for its one device.
async fn failed(
    store: &Arc<dyn Store>,
    instance: domain::instance::InstanceId,
) -> (PublishId, DeviceOrdinal) {
    subscriber(store, instance, 1, &["news"]).await;
    let (id, job) = one_job(store, instance).await;
    let recipient = all_of(store, &job, 10).await.remove(0);
    let settlement = Settlement {
        failures: vec![Failure {
            device: recipient.device,
            outcome: OutcomeKind::Rejected,
            reason: "payload".into(),
        }],
        ..Settlement::default()
    };
    finish_job(store, &job, settlement).await;
    (id, recipient.device)
}

pub async fn a_publish_without_a_trace_has_none(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    subscriber(&store, instance, 1, &["news"]).await;
    let publish = Publish {
        trace: None,
        ..(*publish(instance, &[Platform::Fcm])).clone()
    };
    store
        .create_publish(new(publish, None), UNLEASED)
        .await
        .unwrap();
    let jobs = claimed(&store, 2, 1).await;
    assert_eq!((jobs.len(), jobs[0].publish.trace), (1, None));
}
