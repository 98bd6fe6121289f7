//! Rules of devices and gateway tokens.

use std::collections::HashMap;
use std::sync::Arc;

use domain::device::{
    BundleId, DeviceId, DeviceMetadata, GatewayToken, Platform, Recipient, Registration,
};
use domain::instance::InstanceId;

use super::world::*;
use crate::Store;
use crate::devices::{Bound, Changed, Registered};

async fn register(store: &Arc<dyn Store>, registration: Registration, secs: i64) -> Registered {
    let fresh = DeviceId::random(registration.token.platform());
    store
        .register_device(registration, fresh, None, at(secs))
        .await
        .unwrap()
}

fn metadata(text: &str) -> DeviceMetadata {
    DeviceMetadata::parse(&serde_json::json!({"sdkVersion": text})).unwrap()
}

/// What a delivery would see of a device that is subscribed to `news`.
async fn recipient(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    platform: Platform,
) -> Option<Recipient> {
    let new = crate::publishes::NewPublish {
        publish: publish(instance, &[platform]),
        audience: to_interests(&["news"]),
        once: None,
        webhook: None,
    };
    let plan = crate::publishes::Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let jobs = store.create_publish(new, plan).await.unwrap().into_jobs();
    let page = store
        .audience_page(jobs.first()?, jobs[0].cursor, 10)
        .await
        .unwrap();
    page.recipients.into_iter().next()
}

pub async fn unknown_devices_are_told(store: Arc<dyn Store>) {
    let id = instance(&store).await;
    let nobody = DeviceId::random(Platform::Apns);
    assert!(store.device(id, nobody).await.unwrap().is_none());
    assert!(!store.delete_device(id, nobody).await.unwrap());
    let unknown = Changed::UnknownDevice;
    assert_eq!(
        store
            .set_metadata(id, nobody, DeviceMetadata::default())
            .await
            .unwrap(),
        unknown
    );
    assert_eq!(
        store
            .set_gateway_token(id, nobody, token(Platform::Apns, 1), at(0))
            .await
            .unwrap(),
        unknown
    );
    assert_eq!(bind(&store, id, nobody, "ann").await, Bound::UnknownDevice);
    assert!(
        store
            .interests(id, nobody, None, 1)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        store
            .set_interests(id, nobody, names(&["a"]), at(0))
            .await
            .unwrap(),
        unknown
    );
    assert_eq!(
        store
            .add_interest(id, nobody, interest("a"), 10, at(0))
            .await
            .unwrap(),
        unknown
    );
    assert_eq!(
        store
            .remove_interest(id, nobody, interest("a"), at(0))
            .await
            .unwrap(),
        unknown
    );
}

pub async fn a_device_is_seen_in_its_instance_only(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let id = subscriber(&store, mine, 1, &["news"]).await;
    assert!(store.device(other, id).await.unwrap().is_none());
    assert!(!store.delete_device(other, id).await.unwrap());
    assert_eq!(bind(&store, other, id, "ann").await, Bound::UnknownDevice);
    let set = store.set_interests(other, id, vec![], at(0)).await.unwrap();
    assert_eq!(set, Changed::UnknownDevice);
    let moved = store
        .set_gateway_token(other, id, token(Platform::Fcm, 9), at(0))
        .await
        .unwrap();
    assert_eq!(moved, Changed::UnknownDevice);
    let page = store.interests(mine, id, None, 10).await.unwrap().unwrap();
    assert_eq!(page.interests, names(&["news"]));
    assert_eq!(store.device(mine, id).await.unwrap().unwrap().user, None);
}

pub async fn a_device_id_of_another_platform_is_unknown(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = device(&store, instance, token(Platform::Apns, 1)).await;
    let disguised = DeviceId::from_parts(Platform::Web, *id.uuid());
    assert!(store.device(instance, disguised).await.unwrap().is_none());
    assert!(!store.delete_device(instance, disguised).await.unwrap());
    assert!(store.device(instance, id).await.unwrap().is_some());
}

pub async fn a_new_token_gets_the_fresh_id(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for platform in Platform::ALL {
        let fresh = DeviceId::random(platform);
        let registration = Registration {
            metadata: metadata("1"),
            ..registration(instance, token(platform, 1))
        };
        let registered = store
            .register_device(registration, fresh, None, at(3))
            .await
            .unwrap();
        assert_eq!(
            (registered.id, registered.new, registered.interests),
            (fresh, true, vec![])
        );
        let read = store.device(instance, fresh).await.unwrap().unwrap();
        assert_eq!(
            (read.id, read.user, read.metadata),
            (fresh, None, metadata("1"))
        );
        assert_eq!((read.created_at, read.registered_at), (at(3), at(3)));
    }
}

pub async fn registering_again_keeps_id_user_and_interests(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let bundle = |id: &str| Some(BundleId::parse(id).unwrap());
    let first = Registration {
        bundle_id: bundle("com.example.one"),
        ..registration(instance, token(Platform::Apns, 1))
    };
    let id = register(&store, first.clone(), 1).await.id;
    assert_eq!(
        store
            .set_interests(instance, id, names(&["news", "a"]), at(0))
            .await
            .unwrap(),
        Changed::Done
    );
    assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
    let again = Registration {
        bundle_id: bundle("com.example.two"),
        metadata: metadata("2"),
        ..first
    };
    let registered = register(&store, again, 7).await;
    assert_eq!((registered.id, registered.new), (id, false));
    assert_eq!(registered.interests, names(&["a", "news"]));
    let read = store.device(instance, id).await.unwrap().unwrap();
    assert_eq!(
        (read.user, read.metadata),
        (Some(user("ann")), metadata("2"))
    );
    assert_eq!((read.created_at, read.registered_at), (at(1), at(7)));
    let seen = recipient(&store, instance, Platform::Apns).await.unwrap();
    assert_eq!(
        (seen.bundle_id, seen.registered_at),
        (bundle("com.example.two"), at(7))
    );
}

pub async fn one_token_in_two_instances_is_two_devices(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let first = device(&store, mine, token(Platform::Apns, 1)).await;
    let second = device(&store, other, token(Platform::Apns, 1)).await;
    assert_ne!(first, second);
    assert!(store.delete_device(other, second).await.unwrap());
    assert!(store.device(mine, first).await.unwrap().is_some());
}

pub async fn one_token_registered_at_once_is_one_device(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let calls = (0..40).map(|_| {
        let store = Arc::clone(&store);
        async move { register(&store, registration(instance, token(Platform::Web, 1)), 1).await }
    });
    let registered = all(calls).await;
    assert_eq!(registered.iter().filter(|one| one.new).count(), 1);
    assert!(registered.iter().all(|one| one.id == registered[0].id));
}

pub async fn a_deleted_device_comes_back_as_another(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["news"]).await;
    assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
    assert!(store.delete_device(instance, id).await.unwrap());
    assert!(!store.delete_device(instance, id).await.unwrap());
    assert!(store.device(instance, id).await.unwrap().is_none());
    assert!(recipient(&store, instance, Platform::Fcm).await.is_none());
    let again = register(&store, registration(instance, token(Platform::Fcm, 1)), 2).await;
    assert!(again.new && again.id != id && again.interests.is_empty());
    assert_eq!(
        store
            .device(instance, again.id)
            .await
            .unwrap()
            .unwrap()
            .user,
        None
    );
}

pub async fn metadata_is_replaced(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = device(&store, instance, token(Platform::Web, 1)).await;
    assert_eq!(
        store
            .set_metadata(instance, id, metadata("9"))
            .await
            .unwrap(),
        Changed::Done
    );
    let read = store.device(instance, id).await.unwrap().unwrap();
    assert_eq!((read.metadata, read.registered_at), (metadata("9"), at(0)));
}

pub async fn a_token_moves_between_devices(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let old = subscriber(&store, instance, 1, &["old"]).await;
    let new = subscriber(&store, instance, 2, &["news"]).await;
    let moved = store
        .set_gateway_token(instance, new, token(Platform::Fcm, 1), at(5))
        .await
        .unwrap();
    assert_eq!(moved, Changed::Done);
    assert!(store.device(instance, old).await.unwrap().is_none());
    let seen = recipient(&store, instance, Platform::Fcm).await.unwrap();
    assert!(seen.token == token(Platform::Fcm, 1));
    let registered = register(&store, registration(instance, token(Platform::Fcm, 1)), 6).await;
    assert_eq!((registered.id, registered.new), (new, false));
    assert!(
        register(&store, registration(instance, token(Platform::Fcm, 2)), 6)
            .await
            .new
    );
}

pub async fn a_new_token_keeps_user_and_interests(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["news"]).await;
    assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
    for _ in 0..2 {
        let set = store
            .set_gateway_token(instance, id, token(Platform::Fcm, 2), at(5))
            .await
            .unwrap();
        assert_eq!(set, Changed::Done, "the same token again is fine too");
    }
    let read = store.device(instance, id).await.unwrap().unwrap();
    assert_eq!(
        (read.user, read.created_at, read.registered_at),
        (Some(user("ann")), at(0), at(5))
    );
    let seen = recipient(&store, instance, Platform::Fcm).await.unwrap();
    assert_eq!(
        (seen.token, seen.registered_at),
        (token(Platform::Fcm, 2), at(5))
    );
}

pub async fn who_has_a_gateway_token_does_not_get_its_user(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mine = || registration(instance, token(Platform::Fcm, 1));
    // Whoever registers first: the other one learns the same id.
    let id = register(&store, mine(), 1).await.id;
    assert_eq!(register(&store, mine(), 2).await.id, id);
    assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
    let same = store.set_gateway_token(instance, id, token(Platform::Fcm, 1), at(3));
    assert_eq!(same.await.unwrap(), Changed::Done, "it is the one it had");
    let read = store.device(instance, id).await.unwrap().unwrap();
    assert_eq!(read.user, Some(user("ann")));
    let moved = store.set_gateway_token(instance, id, token(Platform::Fcm, 2), at(4));
    assert_eq!(moved.await.unwrap(), Changed::UnknownDevice);
    assert!(store.device(instance, id).await.unwrap().is_none());
    assert!(recipient(&store, instance, Platform::Fcm).await.is_none());
}

/// Or the token is moved first, and the user comes to a device that addresses somebody else.
pub async fn who_has_a_gateway_token_does_not_get_its_next_user(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mine = || registration(instance, token(Platform::Fcm, 1));
    let id = register(&store, mine(), 1).await.id;
    assert_eq!(register(&store, mine(), 2).await.id, id);
    let same = store.set_gateway_token(instance, id, token(Platform::Fcm, 1), at(3));
    assert_eq!(same.await.unwrap(), Changed::Done, "it is the one it had");
    let moved = store.set_gateway_token(instance, id, token(Platform::Fcm, 2), at(4));
    assert_eq!(moved.await.unwrap(), Changed::UnknownDevice);
    assert!(store.device(instance, id).await.unwrap().is_none());
    assert_eq!(
        bind(&store, instance, id, "ann").await,
        Bound::UnknownDevice
    );
    // What the SDK does about it: it registers the token that it knows of, and then moves to the new one.
    let again = register(&store, mine(), 5).await;
    assert!(again.new && again.id != id);
    assert_eq!(bind(&store, instance, again.id, "ann").await, Bound::Done);
    let moved = store.set_gateway_token(instance, again.id, token(Platform::Fcm, 3), at(6));
    assert_eq!(moved.await.unwrap(), Changed::Done);
}

pub async fn other_keys_are_another_browser(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for (number, is_bound) in [(1, false), (2, true)] {
        let of = |keys| registration(instance, web_token(number, keys));
        let id = register(&store, of(1), 1).await.id;
        let set = store.set_interests(instance, id, names(&["news"]), at(1));
        assert_eq!(set.await.unwrap(), Changed::Done);
        if is_bound {
            assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
        }
        let again = register(&store, of(1), 2).await;
        assert_eq!((again.id, again.new), (id, false), "the same keys");
        assert_eq!(again.interests, names(&["news"]));
        let other = register(&store, of(2), 3).await;
        assert!(other.new && other.id != id && other.interests.is_empty());
        assert!(store.device(instance, id).await.unwrap().is_none());
        // Who comes to the old one's id with a user does not bring the user to the other keys.
        assert_eq!(
            bind(&store, instance, id, "ann").await,
            Bound::UnknownDevice
        );
        let read = store.device(instance, other.id).await.unwrap().unwrap();
        assert_eq!(read.user, None);
        assert!(recipient(&store, instance, Platform::Web).await.is_none());
    }
}

/// Whoever comes first, and whoever comes between.
pub async fn keys_are_never_changed_under_an_id(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let calls = (0..60).map(|number: u8| {
        let store = Arc::clone(&store);
        let keys = number % 2;
        let registration = registration(instance, web_token(1, keys));
        async move { (register(&store, registration, 1).await.id, keys) }
    });
    let mut known = HashMap::new();
    for (id, keys) in all(calls).await {
        let first = *known.entry(id).or_insert(keys);
        assert_eq!(first, keys, "two browsers were answered {id}");
    }
    assert_eq!(store.device_count(instance).await.unwrap(), 1);
}

pub async fn a_token_of_another_platform_is_refused(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["news"]).await;
    let other: GatewayToken = token(Platform::Apns, 2);
    let other_id = device(&store, instance, other.clone()).await;
    let set = store
        .set_gateway_token(instance, id, other, at(5))
        .await
        .unwrap();
    assert_eq!(set, Changed::UnknownDevice);
    assert!(store.device(instance, other_id).await.unwrap().is_some());
    assert!(recipient(&store, instance, Platform::Fcm).await.is_some());
}
