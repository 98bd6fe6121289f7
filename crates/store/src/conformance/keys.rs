//! Rules of requests that may be sent again without being done again.

use std::sync::Arc;

use domain::device::Platform;
use domain::idempotency::{Fingerprint, Idempotency, IdempotencyKey};
use domain::instance::InstanceId;
use domain::publish::{Publish, PublishId};

use super::world::*;
use crate::lookup::PublishPage;
use crate::publishes::{Accepted, NewPublish, Once};
use crate::{Store, StoreError};

/// A key that stands for `body`; what was first used before `since` does not count.
pub fn once(key: &str, body: &str, since: i64) -> Option<Once> {
    Some(Once {
        idempotency: Idempotency {
            key: IdempotencyKey::parse(key.as_bytes()).unwrap(),
            fingerprint: Fingerprint::of("users", body.as_bytes()),
        },
        since: at(since),
    })
}

async fn accept(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    once: Option<Once>,
    secs: i64,
) -> Result<(PublishId, Accepted), StoreError> {
    let publish = Publish {
        accepted_at: at(secs),
        send_at: at(secs),
        ..(*publish(instance, &[Platform::Fcm])).clone()
    };
    let id = publish.id;
    let new = NewPublish {
        publish: Arc::new(publish),
        audience: to_interests(&["news"]),
        once,
        webhook: None,
    };
    Ok((id, store.create_publish(new, UNLEASED).await?))
}

/// The publish that an accepted request made, now or before.
async fn made(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    once: Option<Once>,
    secs: i64,
) -> PublishId {
    match accept(store, instance, once, secs).await.unwrap() {
        (id, Accepted::New(_)) | (_, Accepted::Repeated(id)) => id,
        (_, other) => panic!("{other:?}"),
    }
}

async fn publishes(store: &Arc<dyn Store>, instance: InstanceId) -> usize {
    let page: PublishPage = store
        .list_publishes(instance, None, None, 100)
        .await
        .unwrap();
    page.publishes.len()
}

pub async fn a_key_of_an_unknown_instance_is_nothing(store: Arc<dyn Store>) {
    let accepted = accept(&store, InstanceId::random(), once("k", "a", 0), 0).await;
    assert!(
        matches!(accepted, Err(StoreError::UnknownInstance)),
        "{accepted:?}"
    );
}

pub async fn a_key_of_another_request_is_refused(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let first = made(&store, instance, once("k", "a", 0), 0).await;
    let (_, other) = accept(&store, instance, once("k", "b", 0), 1)
        .await
        .unwrap();
    assert!(matches!(other, Accepted::KeyReused), "{other:?}");
    assert_eq!(publishes(&store, instance).await, 1);
    // The key still stands for the first.
    assert_eq!(made(&store, instance, once("k", "a", 0), 2).await, first);
}

pub async fn a_repetition_is_the_same_publish(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    subscriber(&store, mine, 1, &["news"]).await;
    let first = made(&store, mine, once("k", "a", 0), 0).await;
    let (_, again) = accept(&store, mine, once("k", "a", 0), 1).await.unwrap();
    assert!(matches!(again, Accepted::Repeated(id) if id == first));
    let claimed = store.claim_jobs(lease(1, 0), at(1), 10).await.unwrap();
    assert_eq!(claimed.len(), 1, "it is done once");
    let before = async |instance, once: Option<Once>| {
        let once = once.unwrap();
        store.repeated_publish(instance, once).await.unwrap()
    };
    assert_eq!(before(mine, once("k", "a", 0)).await, Some(first));
    assert_eq!(before(mine, once("k", "b", 0)).await, None);
    assert_eq!(before(mine, once("k", "a", 1)).await, None, "too old");
    assert_eq!(before(other, once("k", "a", 0)).await, None);
    assert_eq!(before(InstanceId::random(), once("k", "a", 0)).await, None);
    assert_ne!(made(&store, mine, once("K", "a", 0), 1).await, first);
    assert_ne!(made(&store, mine, None, 1).await, first);
    assert_ne!(made(&store, other, once("k", "a", 0), 1).await, first);
    assert_eq!(publishes(&store, mine).await, 3);
}

pub async fn of_concurrent_requests_one_is_done(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let calls = (0..20).map(|_| {
        let store = Arc::clone(&store);
        async move { made(&store, instance, once("k", "a", 0), 0).await }
    });
    let mut ids = all(calls).await;
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(publishes(&store, instance).await, 1);
}

pub async fn an_old_key_counts_as_never_used(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let first = made(&store, instance, once("k", "a", 0), 100).await;
    assert_eq!(
        made(&store, instance, once("k", "a", 100), 200).await,
        first
    );
    // The time counts from the first use, not from the repetition.
    let second = made(&store, instance, once("k", "b", 101), 201).await;
    assert_ne!(second, first);
    assert_eq!(
        made(&store, instance, once("k", "b", 201), 202).await,
        second
    );
}

pub async fn old_keys_are_pruned_alone(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mut first = Vec::new();
    for (place, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let secs = i64::try_from(place).unwrap();
        first.push(made(&store, instance, once(key, "x", 0), secs).await);
    }
    assert_eq!(store.prune_keys(at(3), 2).await.unwrap(), 2);
    assert_eq!(store.prune_keys(at(3), 2).await.unwrap(), 1);
    assert_eq!(store.prune_keys(at(3), 2).await.unwrap(), 0);
    assert_eq!(made(&store, instance, once("d", "x", 0), 9).await, first[3]);
    assert_ne!(made(&store, instance, once("a", "x", 0), 9).await, first[0]);
}

pub async fn a_key_outlives_its_publish(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let first = made(&store, instance, once("k", "a", 0), 0).await;
    assert_eq!(store.prune_publishes(at(9), 10).await.unwrap(), 1);
    assert_eq!(made(&store, instance, once("k", "a", 0), 9).await, first);
    assert_eq!(publishes(&store, instance).await, 0);
}
