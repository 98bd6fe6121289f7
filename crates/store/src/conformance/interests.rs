//! Rules of a device's interests.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::device::{DeviceId, Platform};
use domain::instance::InstanceId;
use domain::interest::InterestName;

use super::world::*;
use crate::Store;
use crate::devices::Changed;

async fn of(store: &Arc<dyn Store>, instance: InstanceId, id: DeviceId) -> Vec<InterestName> {
    let page = store
        .interests(instance, id, None, 10_000)
        .await
        .unwrap()
        .unwrap();
    assert!(!page.more);
    page.interests
}

pub async fn a_set_is_replaced(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["b", "a", "c"]).await;
    assert_eq!(of(&store, instance, id).await, names(&["a", "b", "c"]));
    assert_eq!(
        store
            .set_interests(instance, id, names(&["d", "b"]), at(0))
            .await
            .unwrap(),
        Changed::Done
    );
    assert_eq!(of(&store, instance, id).await, names(&["b", "d"]));
    assert_eq!(
        store
            .set_interests(instance, id, vec![], at(0))
            .await
            .unwrap(),
        Changed::Done
    );
    assert!(of(&store, instance, id).await.is_empty());
}

pub async fn the_same_set_again_changes_nothing(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["b", "a"]).await;
    // A repeat within the call is one interest.
    for _ in 0..2 {
        assert_eq!(
            store
                .set_interests(instance, id, names(&["a", "b", "a"]), at(0))
                .await
                .unwrap(),
            Changed::Done
        );
        assert_eq!(of(&store, instance, id).await, names(&["a", "b"]));
    }
}

pub async fn adding_and_removing_are_idempotent(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = device(&store, instance, token(Platform::Apns, 1)).await;
    for _ in 0..2 {
        assert_eq!(
            store
                .add_interest(instance, id, interest("a"), 10, at(0))
                .await
                .unwrap(),
            Changed::Done
        );
    }
    assert_eq!(of(&store, instance, id).await, names(&["a"]));
    for _ in 0..2 {
        assert_eq!(
            store
                .remove_interest(instance, id, interest("a"), at(0))
                .await
                .unwrap(),
            Changed::Done
        );
    }
    assert!(of(&store, instance, id).await.is_empty());
}

pub async fn the_limit_refuses_one_more(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["a", "b"]).await;
    let add = async |name| {
        store
            .add_interest(instance, id, interest(name), 2, at(0))
            .await
            .unwrap()
    };
    assert_eq!(add("c").await, Changed::TooManyInterests);
    assert_eq!(add("a").await, Changed::Done, "it has that one");
    assert_eq!(of(&store, instance, id).await, names(&["a", "b"]));
    assert_eq!(
        store
            .remove_interest(instance, id, interest("a"), at(0))
            .await
            .unwrap(),
        Changed::Done
    );
    assert_eq!(add("c").await, Changed::Done);
}

pub async fn concurrent_adds_never_exceed_the_limit(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = device(&store, instance, token(Platform::Apns, 1)).await;
    let calls = (0..60).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let name = interest(&format!("i{number}"));
            store
                .add_interest(instance, id, name, 25, at(0))
                .await
                .unwrap()
        }
    });
    let added = all(calls).await;
    assert_eq!(
        added
            .iter()
            .filter(|added| **added == Changed::Done)
            .count(),
        25
    );
    assert_eq!(of(&store, instance, id).await.len(), 25);
}

pub async fn names_are_case_sensitive_and_by_bytes(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["a", "B", "A", "-", "_", "Z"]).await;
    assert_eq!(
        of(&store, instance, id).await,
        names(&["-", "A", "B", "Z", "_", "a"])
    );
    assert_eq!(
        store
            .remove_interest(instance, id, interest("z"), at(0))
            .await
            .unwrap(),
        Changed::Done
    );
    assert_eq!(of(&store, instance, id).await.len(), 6);
}

pub async fn pages_are_ascending_and_complete(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = device(&store, instance, token(Platform::Apns, 1)).await;
    let set: BTreeSet<InterestName> = (0..100).map(|n| interest(&format!("i{n}"))).collect();
    let set: Vec<InterestName> = set.into_iter().collect();
    assert_eq!(
        store
            .set_interests(instance, id, set.clone(), at(0))
            .await
            .unwrap(),
        Changed::Done
    );
    for limit in [1, 7, 50, 99, 100, 101] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store
                .interests(instance, id, after, limit)
                .await
                .unwrap()
                .unwrap();
            assert!(page.interests.len() <= limit);
            after = page.interests.last().cloned();
            found.extend(page.interests);
            if !page.more {
                break;
            }
        }
        assert_eq!(found, set, "limit {limit}");
    }
    let behind = store
        .interests(instance, id, Some(interest("zzz")), 5)
        .await
        .unwrap()
        .unwrap();
    assert!(behind.interests.is_empty() && !behind.more);
}

pub async fn pages_stay_right_while_the_set_changes(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let stays: Vec<String> = (0..40).map(|n| format!("stays{n:02}")).collect();
    let all: Vec<&str> = stays.iter().map(String::as_str).collect();
    let id = subscriber(&store, instance, 1, &all).await;
    let mut dice = Dice(1);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store
            .interests(instance, id, after, 3)
            .await
            .unwrap()
            .unwrap();
        after = page.interests.last().cloned();
        found.extend(page.interests);
        if !page.more {
            break;
        }
        for number in 0..3 {
            let name = interest(&format!("stays{:02}-{number}", dice.roll(40)));
            let changed = if dice.roll(2) == 0 {
                store
                    .add_interest(instance, id, name, 5000, at(0))
                    .await
                    .unwrap()
            } else {
                store
                    .remove_interest(instance, id, name, at(0))
                    .await
                    .unwrap()
            };
            assert_eq!(changed, Changed::Done);
        }
    }
    let seen: Vec<InterestName> = found
        .iter()
        .filter(|name| name.as_str().len() == 7)
        .cloned()
        .collect();
    assert_eq!(seen, names(&all), "what was there throughout is seen once");
    assert!(found.is_sorted_by(|a, b| a < b), "nothing is seen twice");
}

pub async fn interests_of_two_instances_are_two(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let id = subscriber(&store, mine, 1, &["news"]).await;
    subscriber(&store, other, 1, &["news"]).await;
    let (_, job) = one_job(&store, mine).await;
    assert_eq!(all_of(&store, &job, 10).await.len(), 1);
    assert_eq!(
        store
            .remove_interest(mine, id, interest("news"), at(0))
            .await
            .unwrap(),
        Changed::Done
    );
    let (_, job) = one_job(&store, other).await;
    assert_eq!(all_of(&store, &job, 10).await.len(), 1);
}
