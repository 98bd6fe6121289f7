//! Rules of what a settled page writes.

use std::sync::Arc;

use domain::device::{ApnsEnvironment, DeviceId, DeviceOrdinal, Platform, Recipient};
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;

use super::world::*;
use crate::Store;
use crate::devices::Changed;
use crate::publishes::{DeadDevice, Job, NewPublish, Plan, Settled, Settlement};

pub(super) fn dead(recipient: &Recipient, since: Option<i64>) -> Settlement {
    Settlement {
        dead: vec![DeadDevice {
            device: recipient.device,
            token: recipient.token.clone(),
            since: since.map(at),
        }],
        ..Settlement::default()
    }
}

/// A device of `platform` that `news` goes to, with a job for it.
pub(super) async fn one_device(
    store: &Arc<dyn Store>,
    platform: Platform,
) -> (InstanceId, DeviceId, Job, Recipient) {
    let instance = instance(store).await;
    let id = device(store, instance, token(platform, 1)).await;
    assert_eq!(
        store
            .set_interests(instance, id, names(&["news"]), at(0))
            .await
            .unwrap(),
        Changed::Done
    );
    let job = job_for(store, instance, platform).await;
    let recipient = all_of(store, &job, 1).await.remove(0);
    (instance, id, job, recipient)
}

async fn job_for(store: &Arc<dyn Store>, instance: InstanceId, platform: Platform) -> Job {
    let new = NewPublish {
        publish: publish(instance, &[platform]),
        audience: to_interests(&["news"]),
        once: None,
        webhook: None,
    };
    let plan = Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    store
        .create_publish(new, plan)
        .await
        .unwrap()
        .into_jobs()
        .remove(0)
}

pub async fn a_publish_finishes_with_its_last_job(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for number in 0..3 {
        subscriber(&store, instance, number, &["news"]).await;
    }
    let plan = Plan {
        job_span: 1,
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let (id, jobs) = publish_to(&store, instance, to_interests(&["news"]), plan).await;
    assert_eq!(jobs.len(), 3);
    for job in &jobs {
        assert_eq!(report(&store, instance, id).await.finished_at, None);
        finish_job(&store, job, Settlement::default()).await;
    }
    assert_eq!(report(&store, instance, id).await.finished_at, Some(at(1)));
    assert!(
        store
            .claim_jobs(lease(2, 999), at(999), 10)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn a_cursor_does_not_go_back(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for number in 0..4 {
        subscriber(&store, instance, number, &["news"]).await;
    }
    let (_, job) = one_job(&store, instance).await;
    let page = store.audience_page(&job, job.cursor, 3).await.unwrap();
    for cursor in [page.cursor, DeviceOrdinal(0)] {
        let settled = store
            .settle_page(&job, cursor, false, at(10), Settlement::default(), at(1))
            .await
            .unwrap();
        assert_eq!(settled, Settled::Done);
    }
    let again = store
        .claim_jobs(lease(2, 10), at(10), 1)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(again.cursor, page.cursor);
}

pub async fn a_page_is_settled_once(store: Arc<dyn Store>) {
    let (instance, _, job, recipient) = one_device(&store, Platform::Fcm).await;
    let settlement = Settlement {
        tallies: vec![tally(OutcomeKind::Accepted, 5)],
        retries: vec![retry(recipient.device, at(9))],
        ..Settlement::default()
    };
    // The second time is that of a caller who never got the first answer.
    for _ in 0..2 {
        let settlement = settlement.clone();
        let settled = store
            .settle_page(&job, job.end, false, at(60), settlement, at(1))
            .await
            .unwrap();
        assert_eq!(settled, Settled::Done);
        let claimed = store.claim_retries(lease(2, 9), at(9), 10).await.unwrap();
        let read = report(&store, instance, job.publish.id).await;
        assert_eq!(read.tallies, [tally(OutcomeKind::Accepted, 5)]);
        assert!(claimed.len() <= 1 && read.retries == 1);
    }
    let again = store.claim_retries(lease(2, 9), at(9), 10).await.unwrap();
    assert!(again.is_empty(), "a claim is not undone");
}

pub async fn tallies_add_up(store: Arc<dyn Store>) {
    let (instance, _, job, _) = one_device(&store, Platform::Fcm).await;
    let rejected = crate::publishes::Tally {
        reason: "payload_too_large".into(),
        ..tally(OutcomeKind::Rejected, 2)
    };
    let settlement = |count| Settlement {
        tallies: vec![tally(OutcomeKind::Accepted, count), rejected.clone()],
        ..Settlement::default()
    };
    let settled = store
        .settle_page(&job, job.end, false, at(60), settlement(5), at(1))
        .await
        .unwrap();
    assert_eq!(settled, Settled::Done);
    finish_job(&store, &job, settlement(7)).await;
    let mut tallies = report(&store, instance, job.publish.id).await.tallies;
    tallies.sort_by_key(|tally| tally.outcome);
    let expected = crate::publishes::Tally {
        count: 4,
        ..rejected
    };
    assert_eq!(tallies, [tally(OutcomeKind::Accepted, 12), expected]);
}

pub async fn a_dead_token_removes_its_device(store: Arc<dyn Store>) {
    for platform in Platform::ALL {
        let (instance, id, job, recipient) = one_device(&store, platform).await;
        finish_job(&store, &job, dead(&recipient, None)).await;
        assert!(store.device(instance, id).await.unwrap().is_none());
        let again = device(&store, instance, token(platform, 1)).await;
        assert_ne!(again, id);
    }
}

pub async fn a_changed_token_saves_the_device(store: Arc<dyn Store>) {
    let (instance, id, job, recipient) = one_device(&store, Platform::Apns).await;
    let set = store
        .set_gateway_token(instance, id, token(Platform::Apns, 2), at(5))
        .await
        .unwrap();
    assert_eq!(set, Changed::Done);
    finish_job(&store, &job, dead(&recipient, None)).await;
    assert!(store.device(instance, id).await.unwrap().is_some());
}

pub async fn changed_keys_save_the_device(store: Arc<dyn Store>) {
    let (instance, id, job, recipient) = one_device(&store, Platform::Web).await;
    let set = store.set_gateway_token(instance, id, web_token(1, 9), at(5));
    assert_eq!(set.await.unwrap(), Changed::Done);
    finish_job(&store, &job, dead(&recipient, None)).await;
    assert!(store.device(instance, id).await.unwrap().is_some());
    // So it is with another browser at the endpoint.
    let (instance, id, job, recipient) = one_device(&store, Platform::Web).await;
    let other = device(&store, instance, web_token(1, 9)).await;
    assert_ne!(other, id);
    finish_job(&store, &job, dead(&recipient, None)).await;
    assert!(store.device(instance, other).await.unwrap().is_some());
}

pub async fn a_later_registration_saves_the_device(store: Arc<dyn Store>) {
    // It registered at 0: news of a death before, and at that very moment, are outdated; later ones are not.
    for (since, survives) in [(-5, true), (0, true), (1, false)] {
        let (instance, id, job, recipient) = one_device(&store, Platform::Apns).await;
        finish_job(&store, &job, dead(&recipient, Some(since))).await;
        assert_eq!(
            store.device(instance, id).await.unwrap().is_some(),
            survives,
            "{since}"
        );
    }
}

/// A device that was found in the sandbox, and a job for it.
async fn one_in_the_sandbox(store: &Arc<dyn Store>) -> (InstanceId, DeviceId, Job) {
    let (instance, id, job, recipient) = one_device(store, Platform::Apns).await;
    assert_eq!(recipient.environment, ApnsEnvironment::Production);
    let settlement = Settlement {
        environments: vec![(recipient.device, ApnsEnvironment::Sandbox)],
        ..Settlement::default()
    };
    finish_job(store, &job, settlement).await;
    let job = job_for(store, instance, Platform::Apns).await;
    assert_eq!(
        all_of(store, &job, 1).await[0].environment,
        ApnsEnvironment::Sandbox
    );
    (instance, id, job)
}

pub async fn an_environment_is_remembered(store: Arc<dyn Store>) {
    // Registering the same token again says nothing of the environment; another token is tried anew.
    let (instance, id, job) = one_in_the_sandbox(&store).await;
    assert_eq!(device(&store, instance, token(Platform::Apns, 1)).await, id);
    assert_eq!(
        all_of(&store, &job, 1).await[0].environment,
        ApnsEnvironment::Sandbox
    );
    let (instance, id, job) = one_in_the_sandbox(&store).await;
    let set = store
        .set_gateway_token(instance, id, token(Platform::Apns, 2), at(5))
        .await
        .unwrap();
    assert_eq!(set, Changed::Done);
    assert_eq!(
        all_of(&store, &job, 1).await[0].environment,
        ApnsEnvironment::Production
    );
}

pub async fn a_refused_settlement_writes_nothing(store: Arc<dyn Store>) {
    let (instance, id, job, recipient) = one_device(&store, Platform::Fcm).await;
    let new = store
        .claim_jobs(lease(2, 100), at(100), 1)
        .await
        .unwrap()
        .remove(0);
    let settlement = Settlement {
        tallies: vec![tally(OutcomeKind::TokenDead, 1)],
        retries: vec![retry(recipient.device, at(1))],
        environments: vec![(recipient.device, ApnsEnvironment::Sandbox)],
        ..dead(&recipient, None)
    };
    let settled = store
        .settle_page(&job, job.end, true, at(999), settlement, at(101))
        .await
        .unwrap();
    assert_eq!(settled, Settled::LeaseLost);
    let report = report(&store, instance, job.publish.id).await;
    assert_eq!(
        (report.tallies, report.retries, report.finished_at),
        (vec![], 0, None)
    );
    assert!(store.device(instance, id).await.unwrap().is_some());
    assert_eq!(all_of(&store, &new, 1).await.len(), 1);
}

pub async fn news_of_gone_devices_does_no_harm(store: Arc<dyn Store>) {
    let (instance, id, job, recipient) = one_device(&store, Platform::Apns).await;
    assert!(store.delete_device(instance, id).await.unwrap());
    let settlement = Settlement {
        tallies: vec![tally(OutcomeKind::Accepted, 1)],
        retries: vec![
            retry(recipient.device, at(1)),
            retry(DeviceOrdinal(i64::MAX), at(1)),
        ],
        environments: vec![(recipient.device, ApnsEnvironment::Sandbox)],
        ..dead(&recipient, Some(50))
    };
    finish_job(&store, &job, settlement).await;
    let report = report(&store, instance, job.publish.id).await;
    assert_eq!((report.tallies.len(), report.retries), (1, 0));
    assert_eq!(report.finished_at, Some(at(1)), "nobody waits");
}
