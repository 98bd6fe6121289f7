//! Rules of instances, secret keys and credentials.

use std::sync::Arc;

use domain::device::{DeviceId, DeviceMetadata, Platform};
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::seal::Sealed;

use super::world::*;
use crate::devices::{Bound, Changed};
use crate::instances::{
    BrokenCredential, CredentialRecord, CredentialVersion, NewCredential, SecretKeyId,
};
use crate::publishes::{Event, EventKind, NewPublish, Recorded};
use crate::{Store, StoreError};

fn credential(platform: Platform, summary: &str) -> NewCredential {
    NewCredential {
        platform,
        sealed: Sealed::from_bytes(summary.as_bytes().to_vec()),
        summary: summary.into(),
        set_at: at(5),
    }
}

async fn credentials(store: &Arc<dyn Store>, id: InstanceId) -> Vec<CredentialRecord> {
    store
        .instance(id)
        .await
        .unwrap()
        .expect("the instance is there")
        .credentials
}

pub async fn unknown_instances_are_told(store: Arc<dyn Store>) {
    let nobody = InstanceId::random();
    let unknown = |result: Result<(), StoreError>| {
        assert!(
            matches!(result, Err(StoreError::UnknownInstance)),
            "{result:?}"
        );
    };
    unknown(
        store
            .add_secret_key(nobody, secret_key("k"))
            .await
            .map(drop),
    );
    unknown(
        store
            .set_credential(nobody, credential(Platform::Apns, "c"))
            .await,
    );
    let registration = registration(nobody, token(Platform::Apns, 1));
    let fresh = DeviceId::random(Platform::Apns);
    unknown(
        store
            .register_device(registration, fresh, None, at(0))
            .await
            .map(drop),
    );
    let publish = publish(nobody, &[Platform::Fcm]);
    let audience = to_interests(&["x"]);
    let new = NewPublish {
        publish,
        audience,
        once: None,
        webhook: None,
    };
    unknown(store.create_publish(new, UNLEASED).await.map(drop));
    assert!(store.instances().await.unwrap().is_empty());
}

pub async fn unknown_instances_have_nothing(store: Arc<dyn Store>) {
    let nobody = InstanceId::random();
    assert!(store.instance(nobody).await.unwrap().is_none());
    instance_without_news(&store, nobody).await;
    assert_eq!(store.delete_user(nobody, user("ann")).await.unwrap(), 0);
    let report = store.publish_report(nobody, PublishId::random()).await;
    assert!(report.unwrap().is_none());
    let event = Event {
        instance: nobody,
        publish: PublishId::random(),
        device: DeviceId::random(Platform::Web),
        kind: EventKind::Open,
        at: at(0),
        received: at(0),
        user: None,
    };
    let recorded = store.record_events(vec![event]).await.unwrap();
    assert_eq!(recorded, [Recorded::Unknown]);
}

pub async fn an_unknown_instance_has_no_devices(store: Arc<dyn Store>) {
    let (known, nobody) = (instance(&store).await, InstanceId::random());
    let id = device(&store, known, token(Platform::Apns, 1)).await;
    let unknown = Changed::UnknownDevice;
    assert!(store.device(nobody, id).await.unwrap().is_none());
    assert!(!store.delete_device(nobody, id).await.unwrap());
    let set = store
        .set_metadata(nobody, id, DeviceMetadata::default())
        .await;
    assert_eq!(set.unwrap(), unknown);
    let moved = store
        .set_gateway_token(nobody, id, token(Platform::Apns, 2), at(0))
        .await;
    assert_eq!(moved.unwrap(), unknown);
    assert_eq!(bind(&store, nobody, id, "ann").await, Bound::UnknownDevice);
    assert!(
        store
            .interests(nobody, id, None, 10)
            .await
            .unwrap()
            .is_none()
    );
    let set = store.set_interests(nobody, id, names(&["x"]), at(0)).await;
    assert_eq!(set.unwrap(), unknown);
    let added = store
        .add_interest(nobody, id, interest("x"), 10, at(0))
        .await;
    assert_eq!(added.unwrap(), unknown);
    let removed = store
        .remove_interest(nobody, id, interest("x"), at(0))
        .await;
    assert_eq!(removed.unwrap(), unknown);
    let read = store.device(known, id).await.unwrap().unwrap();
    assert_eq!((read.user, read.registered_at), (None, at(0)));
}

pub async fn an_instance_reads_back(store: Arc<dyn Store>) {
    let id = InstanceId::random();
    store
        .create_instance(new_instance(id, "Größe ✓"))
        .await
        .unwrap();
    store
        .set_credential(id, credential(Platform::Fcm, "project p"))
        .await
        .unwrap();
    store
        .set_credential(id, credential(Platform::Apns, "key k"))
        .await
        .unwrap();
    let second = store.add_secret_key(id, secret_key("5678")).await.unwrap();
    let read = store.instance(id).await.unwrap().unwrap();
    assert_eq!(read.id, id);
    assert_eq!(read.name.as_str(), "Größe ✓");
    assert_eq!(read.vapid_public_key, vec![4; 65]);
    assert_eq!(read.vapid_private_key.as_bytes(), [7; 40]);
    assert_eq!(read.created_at, at(0));
    let hints: Vec<&str> = read
        .secret_keys
        .iter()
        .map(|key| key.hint.as_str())
        .collect();
    assert_eq!(hints, ["1234", "5678"], "oldest first");
    assert_eq!(read.secret_keys[0].sealed.as_bytes(), b"1234");
    assert_eq!(read.secret_keys[1].id, second);
    let mut summaries: Vec<&str> = read
        .credentials
        .iter()
        .map(|c| c.summary.as_str())
        .collect();
    summaries.sort_unstable();
    assert_eq!(summaries, ["key k", "project p"]);
    assert!(
        read.credentials
            .iter()
            .all(|c| c.broken.is_none() && c.set_at == at(5))
    );
}

pub async fn an_id_is_taken_once(store: Arc<dyn Store>) {
    let id = InstanceId::random();
    store
        .create_instance(new_instance(id, "first"))
        .await
        .unwrap();
    let again = store.create_instance(new_instance(id, "second")).await;
    assert!(
        matches!(again, Err(StoreError::InstanceExists)),
        "{again:?}"
    );
    let all = store.instances().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].name.as_str(), all[0].secret_keys.len()),
        ("first", 1)
    );
}

pub async fn instances_come_by_name_then_id(store: Arc<dyn Store>) {
    let mut expected = Vec::new();
    for name in ["b", "a", "b", "B"] {
        let id = InstanceId::random();
        store.create_instance(new_instance(id, name)).await.unwrap();
        expected.push((name.to_owned(), id));
    }
    expected.sort();
    let read: Vec<_> = store
        .instances()
        .await
        .unwrap()
        .into_iter()
        .map(|i| (i.name.as_str().to_owned(), i.id))
        .collect();
    assert_eq!(read, expected);
    let mut ids = store.instance_ids().await.unwrap();
    let (_, gone) = expected.swap_remove(0);
    let mut expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    assert!(ids.contains(&gone));
    store.delete_instance(gone).await.unwrap();
    ids = store.instance_ids().await.unwrap();
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
}

pub async fn the_last_secret_key_stays(store: Arc<dyn Store>) {
    let id = instance(&store).await;
    let first = store.instance(id).await.unwrap().unwrap().secret_keys[0].id;
    assert!(!store.revoke_secret_key(id, first).await.unwrap());
    let second = store.add_secret_key(id, secret_key("new")).await.unwrap();
    assert!(store.revoke_secret_key(id, first).await.unwrap());
    assert!(
        !store.revoke_secret_key(id, first).await.unwrap(),
        "gone already"
    );
    assert!(!store.revoke_secret_key(id, second).await.unwrap());
    let left = store.instance(id).await.unwrap().unwrap().secret_keys;
    assert_eq!(left.iter().map(|key| key.id).collect::<Vec<_>>(), [second]);
}

pub async fn a_secret_key_is_revoked_in_its_instance_only(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    store
        .add_secret_key(mine, secret_key("second"))
        .await
        .unwrap();
    store
        .add_secret_key(other, secret_key("second"))
        .await
        .unwrap();
    let key = store.instance(mine).await.unwrap().unwrap().secret_keys[0].id;
    assert!(!store.revoke_secret_key(other, key).await.unwrap());
    assert_eq!(
        store
            .instance(mine)
            .await
            .unwrap()
            .unwrap()
            .secret_keys
            .len(),
        2
    );
}

pub async fn a_new_credential_has_a_new_version_and_is_not_broken(store: Arc<dyn Store>) {
    let id = instance(&store).await;
    store
        .set_credential(id, credential(Platform::Apns, "one"))
        .await
        .unwrap();
    let first = credentials(&store, id).await.remove(0);
    assert!(
        store
            .mark_credential(id, Platform::Apns, first.version, Some("expired"), at(9))
            .await
            .unwrap()
    );
    let broken = credentials(&store, id).await.remove(0).broken;
    let expected = BrokenCredential {
        since: at(9),
        reason: "expired".into(),
    };
    assert_eq!(broken, Some(expected));
    store
        .set_credential(id, credential(Platform::Apns, "two"))
        .await
        .unwrap();
    let second = credentials(&store, id).await;
    assert_eq!(second.len(), 1);
    assert!(second[0].version > first.version);
    assert_eq!(
        (second[0].summary.as_str(), &second[0].broken),
        ("two", &None)
    );
}

pub async fn news_of_an_old_credential_is_not_held_against_a_new_one(store: Arc<dyn Store>) {
    let id = instance(&store).await;
    store
        .set_credential(id, credential(Platform::Fcm, "one"))
        .await
        .unwrap();
    let old = credentials(&store, id).await[0].version;
    store
        .set_credential(id, credential(Platform::Fcm, "two"))
        .await
        .unwrap();
    let new = credentials(&store, id).await[0].version;
    let mark = async |platform, version, broken, secs| {
        store
            .mark_credential(id, platform, version, broken, at(secs))
            .await
            .unwrap()
    };
    assert!(!mark(Platform::Fcm, old, Some("refused"), 1).await);
    assert!(
        !mark(Platform::Apns, new, Some("refused"), 1).await,
        "another platform"
    );
    assert!(!mark(Platform::Fcm, new, None, 1).await, "was not broken");
    assert!(credentials(&store, id).await[0].broken.is_none());
    assert!(mark(Platform::Fcm, new, Some("refused"), 2).await);
    assert!(
        !mark(Platform::Fcm, new, Some("refused again"), 3).await,
        "broken already"
    );
    assert_eq!(
        credentials(&store, id).await[0]
            .broken
            .as_ref()
            .unwrap()
            .since,
        at(2)
    );
    assert!(mark(Platform::Fcm, new, None, 4).await);
    assert!(credentials(&store, id).await[0].broken.is_none());
}

pub async fn every_change_moves_the_configuration_version(store: Arc<dyn Store>) {
    let id = InstanceId::random();
    let mut last = store.configuration_version().await.unwrap();
    let mut moved = async |what: &str| {
        let now = store.configuration_version().await.unwrap();
        assert!(now > last, "{what}");
        last = now;
    };
    store.create_instance(new_instance(id, "a")).await.unwrap();
    moved("create").await;
    let key = store.add_secret_key(id, secret_key("k")).await.unwrap();
    moved("add a key").await;
    assert!(store.revoke_secret_key(id, key).await.unwrap());
    moved("revoke a key").await;
    store
        .set_credential(id, credential(Platform::Apns, "c"))
        .await
        .unwrap();
    moved("set a credential").await;
    let version = credentials(&store, id).await[0].version;
    assert!(
        store
            .mark_credential(id, Platform::Apns, version, Some("no"), at(0))
            .await
            .unwrap()
    );
    moved("mark a credential").await;
    assert!(store.delete_instance(id).await.unwrap());
    moved("delete").await;
    let before = store.configuration_version().await.unwrap();
    instance_without_news(&store, id).await;
    assert_eq!(store.configuration_version().await.unwrap(), before);
}

/// Calls that change nothing.
async fn instance_without_news(store: &Arc<dyn Store>, gone: InstanceId) {
    assert!(!store.delete_instance(gone).await.unwrap());
    let version = CredentialVersion(1);
    assert!(
        !store
            .mark_credential(gone, Platform::Apns, version, None, at(0))
            .await
            .unwrap()
    );
    assert!(!store.revoke_secret_key(gone, SecretKeyId(1)).await.unwrap());
}

pub async fn a_deleted_instance_leaves_nothing(store: Arc<dyn Store>) {
    let id = instance(&store).await;
    let device_id = subscriber(&store, id, 1, &["news"]).await;
    assert_eq!(bind(&store, id, device_id, "ann").await, Bound::Done);
    let (publish, job) = one_job(&store, id).await;
    let (_, unleased) = publish_to(&store, id, to_users(&["ann"]), UNLEASED).await;
    assert!(unleased.is_empty());
    assert!(store.delete_instance(id).await.unwrap());

    assert!(store.instances().await.unwrap().is_empty());
    assert!(store.device(id, device_id).await.unwrap().is_none());
    assert!(store.publish_report(id, publish).await.unwrap().is_none());
    assert!(
        store
            .claim_jobs(lease(2, 0), at(999), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .audience_page(&job, job.cursor, 10)
            .await
            .unwrap()
            .recipients
            .is_empty()
    );
    let depth = store.queue_depth(at(0)).await.unwrap();
    assert_eq!((depth.jobs, depth.retries), (0, 0));
    assert!(!store.delete_instance(id).await.unwrap());
    // The id is free again, and the new instance is empty.
    store
        .create_instance(new_instance(id, "again"))
        .await
        .unwrap();
    assert!(store.device(id, device_id).await.unwrap().is_none());
    assert_eq!(store.delete_user(id, user("ann")).await.unwrap(), 0);
}

pub async fn a_deleted_instance_does_not_touch_others(store: Arc<dyn Store>) {
    let (gone, other) = (instance(&store).await, instance(&store).await);
    for id in [gone, other] {
        let device_id = subscriber(&store, id, 1, &["news"]).await;
        assert_eq!(bind(&store, id, device_id, "ann").await, Bound::Done);
    }
    assert!(store.delete_instance(gone).await.unwrap());
    let (_, job) = one_job(&store, other).await;
    assert_eq!(all_of(&store, &job, 10).await.len(), 1);
    assert_eq!(store.delete_user(other, user("ann")).await.unwrap(), 1);
    assert_eq!(store.instances().await.unwrap().len(), 1);
}
