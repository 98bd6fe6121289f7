//! Rules of users and the devices bound to them.

use std::sync::Arc;

use domain::device::{DeviceId, Platform};
use domain::instance::InstanceId;

use super::world::*;
use crate::Store;
use crate::administration::Unbound;
use crate::devices::Bound;
use crate::publishes::Settlement;

async fn devices(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    platform: Platform,
    count: usize,
) -> Vec<DeviceId> {
    let mut ids = Vec::with_capacity(count);
    for number in 0..count {
        ids.push(device(store, instance, token(platform, number)).await);
    }
    ids
}

pub async fn a_user_is_bound_once(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = device(&store, instance, token(Platform::Apns, 1)).await;
    for _ in 0..3 {
        let bound = store
            .bind_user(instance, id, user("ann"), 1, at(0))
            .await
            .unwrap();
        assert_eq!(
            bound,
            Bound::Done,
            "already bound is fine, even at the limit"
        );
    }
    assert_eq!(
        store.device(instance, id).await.unwrap().unwrap().user,
        Some(user("ann"))
    );
    assert_eq!(store.delete_user(instance, user("ann")).await.unwrap(), 1);
}

pub async fn a_device_has_one_user(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = device(&store, instance, token(Platform::Apns, 1)).await;
    assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
    assert_eq!(
        bind(&store, instance, id, "bob").await,
        Bound::ToAnotherUser
    );
    assert_eq!(
        bind(&store, instance, id, "Ann").await,
        Bound::ToAnotherUser,
        "case counts"
    );
    assert_eq!(
        store.device(instance, id).await.unwrap().unwrap().user,
        Some(user("ann"))
    );
    assert_eq!(store.delete_user(instance, user("bob")).await.unwrap(), 0);
    assert!(store.device(instance, id).await.unwrap().is_some());
}

pub async fn users_of_two_instances_are_two(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let first = device(&store, mine, token(Platform::Apns, 1)).await;
    let second = device(&store, other, token(Platform::Apns, 1)).await;
    for (instance, id) in [(mine, first), (other, second)] {
        let bound = store
            .bind_user(instance, id, user("ann"), 1, at(0))
            .await
            .unwrap();
        assert_eq!(bound, Bound::Done);
    }
    assert_eq!(store.delete_user(mine, user("ann")).await.unwrap(), 1);
    assert!(store.device(other, second).await.unwrap().is_some());
}

pub async fn the_limit_is_for_each_platform(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    for platform in Platform::ALL {
        for (number, id) in devices(&store, instance, platform, 3)
            .await
            .into_iter()
            .enumerate()
        {
            let bound = store
                .bind_user(instance, id, user("ann"), 2, at(0))
                .await
                .unwrap();
            let expected = if number < 2 {
                Bound::Done
            } else {
                Bound::TooManyDevices
            };
            assert_eq!(bound, expected, "{platform} {number}");
        }
    }
    assert_eq!(store.delete_user(instance, user("ann")).await.unwrap(), 6);
}

pub async fn concurrent_binds_never_exceed_the_limit(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let calls: Vec<_> = devices(&store, instance, Platform::Fcm, 200)
        .await
        .into_iter()
        .map(|id| {
            let store = Arc::clone(&store);
            async move { bind(&store, instance, id, "ann").await }
        })
        .collect();
    let bound = all(calls).await;
    assert_eq!(
        bound.iter().filter(|bound| **bound == Bound::Done).count(),
        100
    );
    assert_eq!(
        bound
            .iter()
            .filter(|bound| **bound == Bound::TooManyDevices)
            .count(),
        100
    );
    assert_eq!(store.delete_user(instance, user("ann")).await.unwrap(), 100);
}

pub async fn a_deleted_device_makes_room(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let ids = devices(&store, instance, Platform::Web, 2).await;
    let bind = async |id| {
        store
            .bind_user(instance, id, user("ann"), 1, at(0))
            .await
            .unwrap()
    };
    assert_eq!(bind(ids[0]).await, Bound::Done);
    assert_eq!(bind(ids[1]).await, Bound::TooManyDevices);
    assert_eq!(
        store.device(instance, ids[1]).await.unwrap().unwrap().user,
        None
    );
    assert!(store.delete_device(instance, ids[0]).await.unwrap());
    assert_eq!(bind(ids[1]).await, Bound::Done);
}

pub async fn deleting_a_user_deletes_the_devices(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mine = subscriber(&store, instance, 1, &["news"]).await;
    let also_mine = device(&store, instance, token(Platform::Web, 1)).await;
    let others = subscriber(&store, instance, 2, &["news"]).await;
    let nobodys = subscriber(&store, instance, 3, &["news"]).await;
    for (id, name) in [(mine, "ann"), (also_mine, "ann"), (others, "bob")] {
        assert_eq!(bind(&store, instance, id, name).await, Bound::Done);
    }
    assert_eq!(store.delete_user(instance, user("ann")).await.unwrap(), 2);
    assert_eq!(store.delete_user(instance, user("ann")).await.unwrap(), 0);
    for (id, is_there) in [
        (mine, false),
        (also_mine, false),
        (others, true),
        (nobodys, true),
    ] {
        assert_eq!(
            store.device(instance, id).await.unwrap().is_some(),
            is_there
        );
    }
    let (_, job) = one_job(&store, instance).await;
    assert_eq!(all_of(&store, &job, 10).await.len(), 2);
}

pub async fn a_deleted_user_may_come_back(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = device(&store, instance, token(Platform::Fcm, 1)).await;
    assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
    assert_eq!(store.delete_user(instance, user("ann")).await.unwrap(), 1);
    let id = device(&store, instance, token(Platform::Fcm, 1)).await;
    assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
    let plan = crate::publishes::Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let (_, jobs) = publish_to(&store, instance, to_users(&["ann"]), plan).await;
    assert_eq!(all_of(&store, &jobs[0], 10).await.len(), 1);
}

pub async fn an_unbound_device_is_nobodys_and_stays(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let id = subscriber(&store, mine, 1, &["news"]).await;
    assert_eq!(bind(&store, mine, id, "ann").await, Bound::Done);
    let unbind = async |instance| store.unbind_device(instance, id).await.unwrap();
    assert_eq!(unbind(other).await, Unbound::UnknownDevice);
    assert_eq!(unbind(mine).await, Unbound::From(user("ann")));
    assert_eq!(unbind(mine).await, Unbound::Nobodys);
    let left = store.device(mine, id).await.unwrap().expect("it stays");
    assert_eq!(left.user, None);
    let interests = store.interests(mine, id, None, 10).await.unwrap().unwrap();
    assert_eq!(interests.interests.len(), 1);
    assert_eq!(store.list_users(mine, "", None, 10).await.unwrap(), []);
    assert_eq!(store.delete_user(mine, user("ann")).await.unwrap(), 0);
    // It may belong to anybody now.
    assert_eq!(bind(&store, mine, id, "bob").await, Bound::Done);
    assert_eq!(store.delete_user(mine, user("bob")).await.unwrap(), 1);
    assert_eq!(unbind(mine).await, Unbound::UnknownDevice);
}

pub async fn unbinding_leaves_the_users_other_devices(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let ids = devices(&store, instance, Platform::Fcm, 2).await;
    for id in &ids {
        assert_eq!(bind(&store, instance, *id, "ann").await, Bound::Done);
    }
    let unbound = store.unbind_device(instance, ids[0]).await.unwrap();
    assert_eq!(unbound, Unbound::From(user("ann")));
    let plan = crate::publishes::Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let (_, jobs) = publish_to(&store, instance, to_users(&["ann"]), plan).await;
    assert_eq!(all_of(&store, &jobs[0], 10).await.len(), 1);
    assert_eq!(store.delete_user(instance, user("ann")).await.unwrap(), 1);
}

pub async fn what_waits_for_an_unbound_device_is_dropped(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["news"]).await;
    assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
    let plan = crate::publishes::Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let mut published = Vec::new();
    for audience in [to_users(&["ann"]), to_interests(&["news"])] {
        let (publish, jobs) = publish_to(&store, instance, audience, plan).await;
        let recipient = all_of(&store, &jobs[0], 10).await.remove(0);
        let waits = crate::publishes::NewRetry {
            user: recipient.user,
            ..retry(recipient.device, at(10))
        };
        let settlement = Settlement {
            retries: vec![waits.clone()],
            ..Settlement::default()
        };
        finish_job(&store, &jobs[0], settlement).await;
        published.push((publish, waits));
    }
    let claimed = async |secs| {
        store
            .claim_retries(lease(9, secs), at(secs), 10)
            .await
            .unwrap()
    };
    let before = claimed(10).await;
    assert_eq!(before.len(), 2);
    let unbound = store.unbind_device(instance, id).await.unwrap();
    assert_eq!(unbound, Unbound::From(user("ann")));
    // An attempt that was under way when that happened is not repeated.
    let (personal, waits) = &published[0];
    let mine = before
        .iter()
        .find(|batch| batch.publish.id == *personal)
        .unwrap();
    let ids = mine
        .retries
        .iter()
        .map(|retry| (retry.id, retry.fence))
        .collect();
    let again = Settlement {
        retries: vec![waits.clone()],
        ..Settlement::default()
    };
    let settled = store.settle_retries(*personal, ids, again, at(11)).await;
    assert!(settled.is_ok());
    let left = claimed(1000).await;
    assert_eq!(left.len(), 1);
    assert_eq!(
        left[0].publish.id, published[1].0,
        "what is for everybody still waits"
    );
    assert!(
        report(&store, instance, *personal)
            .await
            .finished_at
            .is_some()
    );
}
