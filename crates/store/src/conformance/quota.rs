//! Rules of how many devices an instance has and may have.

use std::sync::Arc;

use domain::device::{DeviceId, GatewayToken, Platform};
use domain::instance::InstanceId;

use super::world::*;
use crate::devices::{Changed, Registered};
use crate::transfer::{DeviceImport, ImportRules, Imported};
use crate::{Store, StoreError};

async fn register(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    token: GatewayToken,
    most: u64,
) -> Result<Registered, StoreError> {
    let fresh = DeviceId::random(token.platform());
    let registration = registration(instance, token);
    store
        .register_device(registration, fresh, Some(most), at(1))
        .await
}

/// Whether the device number `number` gets in, where `most` may be.
async fn gets_in(store: &Arc<dyn Store>, instance: InstanceId, number: usize, most: u64) -> bool {
    match register(store, instance, token(Platform::Fcm, number), most).await {
        Ok(_) => true,
        Err(StoreError::InstanceFull) => false,
        Err(other) => panic!("{other}"),
    }
}

async fn count(store: &Arc<dyn Store>, instance: InstanceId) -> u64 {
    store.device_count(instance).await.unwrap()
}

pub async fn a_full_instance_takes_no_new_device(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    assert!(gets_in(&store, mine, 1, 2).await);
    assert!(gets_in(&store, mine, 2, 2).await);
    assert!(!gets_in(&store, mine, 3, 2).await);
    let apns = register(&store, mine, token(Platform::Apns, 3), 2).await;
    assert!(matches!(apns, Err(StoreError::InstanceFull)), "{apns:?}");
    assert_eq!(count(&store, mine).await, 2);
    assert!(gets_in(&store, other, 3, 2).await, "another instance");
    assert!(gets_in(&store, mine, 3, 3).await, "more may be");
    assert!(!gets_in(&store, mine, 4, 0).await, "none may be");
    let nowhere = register(&store, InstanceId::random(), token(Platform::Fcm, 1), 2).await;
    assert!(matches!(nowhere, Err(StoreError::UnknownInstance)));
}

pub async fn a_full_instance_knows_its_devices(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["news"]).await;
    subscriber(&store, instance, 2, &["news"]).await;
    // As many as may be, and more: the limit was lowered.
    for most in [2, 1, 0] {
        let again = register(&store, instance, token(Platform::Fcm, 1), most).await;
        let again = again.unwrap();
        assert_eq!((again.id, again.new), (id, false));
        assert_eq!(again.interests, names(&["news"]));
    }
    // Another browser in one's place: one goes, one comes.
    let browser = device(&store, instance, web_token(1, 1)).await;
    let another = register(&store, instance, web_token(1, 2), 3)
        .await
        .unwrap();
    assert!(another.new && another.id != browser);
    let another = register(&store, instance, web_token(1, 2), 1)
        .await
        .unwrap();
    assert!(!another.new);
    assert_eq!(count(&store, instance).await, 3);
}

pub async fn a_device_that_goes_makes_room(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(device(&store, instance, token(Platform::Fcm, number)).await);
    }
    assert!(!gets_in(&store, instance, 10, 4).await);
    assert!(store.delete_device(instance, ids[0]).await.unwrap());
    assert!(!store.delete_device(instance, ids[0]).await.unwrap());
    assert!(gets_in(&store, instance, 10, 4).await);
    assert!(!gets_in(&store, instance, 11, 4).await);
    // A token that moves takes the place of the device that had it.
    let moved = store.set_gateway_token(instance, ids[1], token(Platform::Fcm, 2), at(2));
    assert_eq!(moved.await.unwrap(), Changed::Done);
    assert!(gets_in(&store, instance, 11, 4).await);
    assert!(!gets_in(&store, instance, 12, 4).await);
    bound(&store, instance, ids[3], "ann").await;
    assert_eq!(store.delete_user(instance, user("ann")).await.unwrap(), 1);
    assert!(gets_in(&store, instance, 12, 4).await);
    assert!(!gets_in(&store, instance, 13, 4).await);
    assert_eq!(count(&store, instance).await, 4);
}

pub async fn a_dead_token_makes_room(store: Arc<dyn Store>) {
    let (instance, id, job, recipient) =
        super::settlements::one_device(&store, Platform::Fcm).await;
    assert!(!gets_in(&store, instance, 100, 1).await);
    finish_job(&store, &job, super::settlements::dead(&recipient, None)).await;
    assert!(store.device(instance, id).await.unwrap().is_none());
    assert_eq!(count(&store, instance).await, 0);
    assert!(gets_in(&store, instance, 100, 1).await);
}

pub async fn what_is_imported_is_counted_and_not_bounded(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    assert!(gets_in(&store, instance, 1, 1).await);
    let lines: Vec<DeviceImport> = (0..3)
        .map(|number| DeviceImport {
            id: DeviceId::random(Platform::Fcm),
            id_is_known: false,
            token: token(Platform::Fcm, number),
            bundle_id: None,
            environment: None,
            metadata: None,
            registered_at: None,
            user: None,
            interests: Vec::new(),
        })
        .collect();
    let rules = ImportRules {
        devices_max: 100,
        interests_max: 100,
        stop_at_refused: true,
    };
    let imported = store.import_devices(instance, lines.into(), rules, at(3));
    let imported = imported.await.unwrap();
    let new = |imported: &&Imported| matches!(imported, Imported::Done { new: true, .. });
    assert_eq!(imported.iter().filter(new).count(), 2);
    assert_eq!(count(&store, instance).await, 3);
    assert!(!gets_in(&store, instance, 9, 3).await);
    assert!(gets_in(&store, instance, 9, 4).await);
}

pub async fn a_deleted_instance_has_no_count(store: Arc<dyn Store>) {
    let id = instance(&store).await;
    assert!(gets_in(&store, id, 1, 10).await);
    assert!(store.delete_instance(id).await.unwrap());
    assert_eq!(count(&store, id).await, 0);
    // The same id again is another instance.
    store
        .create_instance(new_instance(id, "again"))
        .await
        .unwrap();
    assert_eq!(count(&store, id).await, 0);
    assert!(gets_in(&store, id, 1, 1).await);
    assert_eq!(count(&store, InstanceId::random()).await, 0);
}

/// From far below the limit to above it, with one token that all of them have.
pub async fn concurrent_registrations_never_exceed_the_limit(store: Arc<dyn Store>) {
    const MOST: u64 = 240;
    let instance = instance(&store).await;
    let calls: Vec<_> = (0..400)
        .map(|number| {
            let store = Arc::clone(&store);
            let number = if number % 10 == 0 { 0 } else { number };
            async move { (number, gets_in(&store, instance, number, MOST).await) }
        })
        .collect();
    let mut devices: Vec<usize> = all(calls)
        .await
        .into_iter()
        .filter_map(|(number, in_)| in_.then_some(number))
        .collect();
    devices.sort_unstable();
    devices.dedup();
    assert_eq!(devices.len() as u64, MOST);
    assert_eq!(count(&store, instance).await, MOST);
}

/// Devices come and go at once; the count is that of those that are there.
pub async fn the_count_is_exact_after_any_coming_and_going(store: Arc<dyn Store>) {
    const MOST: u64 = 20;
    let instance = instance(&store).await;
    let calls: Vec<_> = (0..24)
        .map(|caller| {
            let store = Arc::clone(&store);
            async move {
                let mut dice = Dice(caller);
                let mut highest = 0;
                for _ in 0..15 {
                    let number = dice.roll(30);
                    let token = token(Platform::Fcm, number);
                    match register(&store, instance, token, MOST).await {
                        Ok(registered) if dice.roll(2) == 0 => {
                            store.delete_device(instance, registered.id).await.unwrap();
                        }
                        Ok(_) | Err(StoreError::InstanceFull) => {}
                        Err(other) => panic!("{other}"),
                    }
                    highest = highest.max(count(&store, instance).await);
                }
                highest
            }
        })
        .collect();
    let highest = all(calls).await.into_iter().max().unwrap();
    assert!(highest <= MOST, "{highest}");
    let listed = store
        .export_devices(instance, None, 100)
        .await
        .unwrap()
        .devices
        .len();
    assert_eq!(count(&store, instance).await, listed as u64);
    for number in 0..30 {
        gets_in(&store, instance, number, MOST).await;
    }
    assert_eq!(count(&store, instance).await, MOST);
}
