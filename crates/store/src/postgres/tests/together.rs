//! Publishes that come at the same time are written together, and each is what it would have been alone.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceMetadata, GatewayToken, Platform, Registration};
use domain::instance::{InstanceId, InstanceName};
use domain::publish::{AudienceKind, Publish, PublishId, PublishRequest};
use domain::seal::Sealed;
use domain::user::UserId;
use uuid::Uuid;

use super::super::{PostgresSettings, PostgresStore};
use super::fresh;
use crate::configuration::Configuration as _;
use crate::instances::{NewInstance, NewSecretKey};
use crate::publishes::{Lease, NewPublish, Plan};
use crate::{Store as _, StoreError};

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(super) const PLAN: Plan = Plan {
    job_span: 1_000_000,
    jobs_max: 64,
    lease: Some(Lease {
        owner: Uuid::from_u128(7),
        until: Timestamp::from_secs(1_800_000_060),
    }),
    first_page_max: 4,
};

pub(super) async fn instance(store: &PostgresStore) -> InstanceId {
    let id = InstanceId::random();
    let new = NewInstance {
        id,
        name: InstanceName::parse("an app").unwrap(),
        vapid_public_key: vec![4],
        vapid_private_key: Sealed::from_bytes(vec![1]),
        secret_key: NewSecretKey {
            sealed: Sealed::from_bytes(vec![2]),
            hint: "hint".into(),
            created_at: NOW,
        },
        created_at: NOW,
    };
    store.create_instance(new).await.unwrap();
    id
}

/// A user with so many devices.
pub(super) async fn user(store: &PostgresStore, instance: InstanceId, devices: usize) {
    for device in 0..devices {
        let token = format!("token-{devices}-{device}");
        let registration = Registration {
            instance,
            token: GatewayToken::parse(Platform::Fcm, &token).unwrap(),
            bundle_id: None,
            metadata: DeviceMetadata::default(),
        };
        let fresh = DeviceId::random(Platform::Fcm);
        let id = store.register_device(registration, fresh, None, NOW).await;
        let user = UserId::parse(format!("user-{devices}")).unwrap();
        let bound = store
            .bind_user(instance, id.unwrap().id, user, 100, NOW)
            .await;
        assert_eq!(bound.unwrap(), crate::devices::Bound::Done);
    }
}

pub(super) fn to_user(instance: InstanceId, devices: usize) -> NewPublish {
    let body = format!(r#"{{"users": ["user-{devices}"], "fcm": {{"data": {{}}}}}}"#);
    let request = PublishRequest::parse(AudienceKind::Users, body.as_bytes()).unwrap();
    NewPublish {
        publish: Arc::new(Publish {
            id: PublishId::random(),
            instance,
            accepted_at: NOW,
            send_at: NOW,
            expires_at: None,
            payloads: request.payloads,
            trace: None,
        }),
        audience: request.audience,
        once: None,
        webhook: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_each_what_they_would_be_alone() {
    let Some((store, _schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let here = instance(&store).await;
    for devices in 0..7 {
        user(&store, here, devices).await;
    }
    let calls = (0..400).map(|number| {
        let (store, devices) = (&store, number % 7);
        // Every fiftieth is for an instance that there is not.
        let known = number % 50 != 49;
        let new = to_user(if known { here } else { InstanceId::random() }, devices);
        async move {
            let id = new.publish.id;
            let accepted = store.create_publish(new, PLAN).await;
            if !known {
                assert!(matches!(accepted, Err(StoreError::UnknownInstance)));
                return;
            }
            let jobs = accepted.unwrap().into_jobs();
            assert_eq!(jobs.len(), usize::from(devices > 0), "{devices}");
            let report = store.publish_report(here, id).await.unwrap().unwrap();
            assert_eq!(report.finished_at.is_some(), devices == 0);
            for job in jobs {
                assert_eq!(job.publish.id, id);
                let page = store.audience_page(&job, job.cursor, 100).await.unwrap();
                assert_eq!(page.recipients.len(), devices);
                assert!(page.last && page.cursor == job.end);
                // What fits comes along; what does not is asked for.
                assert_eq!(job.first_page, (devices <= 4).then_some(page));
            }
        }
    });
    futures_util::future::join_all(calls).await;
    let depth = store.queue_depth(NOW).await.unwrap();
    assert_eq!(
        depth.jobs,
        392 - (0..400).filter(|n| n % 7 == 0 && n % 50 != 49).count() as u64
    );
}

#[tokio::test]
async fn a_closed_store_takes_no_publish() {
    let Some((store, _schema)) = fresh(PostgresSettings::default()).await else {
        return;
    };
    let here = instance(&store).await;
    store.close().await;
    let refused = store.create_publish(to_user(here, 1), PLAN).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
}
