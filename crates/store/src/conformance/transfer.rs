//! Rules of importing and exporting devices.

use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::{ApnsEnvironment, BundleId, DeviceId, DeviceMetadata, GatewayToken, Platform};
use domain::instance::InstanceId;

use super::world::*;
use crate::devices::Bound;
use crate::publishes::{DeadDevice, Plan, Settlement};
use crate::transfer::{DeviceImport, ExportedDevice, ImportRefusal, ImportRules, Imported};
use crate::{Store, StoreError};

const RULES: ImportRules = ImportRules {
    devices_max: DEVICES_MAX,
    interests_max: 5000,
    stop_at_refused: false,
};

fn line(token: GatewayToken, owner: Option<&str>, interests: &[&str]) -> DeviceImport {
    DeviceImport {
        id: DeviceId::random(token.platform()),
        id_is_known: false,
        token,
        bundle_id: None,
        environment: None,
        metadata: None,
        user: owner.map(user),
        interests: names(interests),
        registered_at: None,
    }
}

fn fcm(number: usize, owner: Option<&str>, interests: &[&str]) -> DeviceImport {
    line(token(Platform::Fcm, number), owner, interests)
}

async fn import(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    rules: ImportRules,
    lines: &[DeviceImport],
) -> Vec<Imported> {
    let lines = Arc::from(lines.to_vec());
    store
        .import_devices(instance, lines, rules, at(0))
        .await
        .unwrap()
}

async fn export(store: &Arc<dyn Store>, instance: InstanceId, limit: usize) -> Vec<ExportedDevice> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.export_devices(instance, after, limit).await.unwrap();
        assert!(page.devices.len() <= limit);
        assert_eq!(page.unreadable, 0);
        found.extend(page.devices);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

const fn done(new: bool, updated: bool, bound: bool, subscriptions: usize) -> Imported {
    Imported::Done {
        new,
        updated,
        bound,
        subscriptions,
    }
}

const UNCHANGED: Imported = done(false, false, false, 0);

pub async fn an_unknown_instance_moves_nothing(store: Arc<dyn Store>) {
    let nobody = InstanceId::random();
    let lines = Arc::from(vec![fcm(1, None, &[])]);
    let imported = store.import_devices(nobody, lines, RULES, at(0)).await;
    assert!(matches!(imported, Err(StoreError::UnknownInstance)));
    let exported = store.export_devices(nobody, None, 10).await;
    assert!(matches!(exported, Err(StoreError::UnknownInstance)));
}

pub async fn an_import_registers_binds_and_subscribes(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let lines = [
        line(web_token(1, 7), Some("ann"), &["a", "b"]),
        fcm(1, Some("ann"), &["b"]),
        fcm(2, None, &[]),
    ];
    assert_eq!(
        import(&store, mine, RULES, &lines).await,
        [
            done(true, false, true, 2),
            done(true, false, true, 1),
            done(true, false, false, 0)
        ]
    );
    let first = store.device(mine, lines[0].id).await.unwrap().unwrap();
    assert_eq!(first.user, Some(user("ann")));
    assert_eq!(first.created_at, at(0));
    assert_eq!(export(&store, other, 10).await, []);
    let plan = Plan {
        lease: Some(lease(1, 0)),
        ..UNLEASED
    };
    let (_, jobs) = publish_to(&store, mine, to_users(&["ann"]), plan).await;
    assert_eq!(
        all_of(&store, &jobs[0], 10).await.len(),
        1,
        "the one of FCM"
    );
    let (_, jobs) = publish_to(&store, mine, to_interests(&["a", "b"]), plan).await;
    assert_eq!(all_of(&store, &jobs[0], 10).await.len(), 1);
    assert_eq!(store.delete_user(mine, user("ann")).await.unwrap(), 2);
}

pub async fn the_same_import_again_changes_nothing(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let lines = [
        line(web_token(1, 7), Some("ann"), &["a", "b"]),
        fcm(1, Some("bob"), &["b"]),
    ];
    let _ = import(&store, instance, RULES, &lines).await;
    let before = export(&store, instance, 10).await;
    // Other ids are made up the next time; a token twice in one import is the same.
    let again = [
        line(web_token(1, 7), Some("ann"), &["a", "b"]),
        fcm(1, Some("bob"), &["b"]),
        fcm(1, Some("bob"), &["b"]),
    ];
    assert_eq!(
        import(&store, instance, RULES, &again).await,
        [UNCHANGED; 3]
    );
    assert_eq!(export(&store, instance, 10).await, before);
}

pub async fn an_import_takes_nothing_away(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = subscriber(&store, instance, 1, &["a", "b"]).await;
    assert_eq!(bind(&store, instance, id, "ann").await, Bound::Done);
    assert_eq!(
        import(&store, instance, RULES, &[fcm(1, None, &["b", "c"])]).await,
        [done(false, false, false, 1)]
    );
    assert_eq!(
        import(&store, instance, RULES, &[fcm(1, Some("bob"), &["d"])]).await,
        [Imported::Refused(ImportRefusal::ToAnotherUser)]
    );
    let exported = export(&store, instance, 10).await;
    assert_eq!(exported[0].user, Some(user("ann")));
    assert_eq!(exported[0].interests, names(&["a", "b", "c"]));
    assert_eq!(exported[0].id, id);
}

pub async fn a_known_id_is_kept_unless_taken(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let mut lines = [fcm(1, None, &[]), fcm(2, Some("ann"), &["a"])];
    lines[0].id_is_known = true;
    lines[1].id_is_known = true;
    lines[1].id = lines[0].id;
    let taken = Imported::Refused(ImportRefusal::IdTaken);
    assert_eq!(
        import(&store, mine, RULES, &lines).await,
        [done(true, false, false, 0), taken]
    );
    // The token decides: this device has an id already.
    lines[0].id = DeviceId::random(Platform::Fcm);
    assert_eq!(
        import(&store, mine, RULES, &lines).await,
        [UNCHANGED, taken]
    );
    assert!(store.device(mine, lines[1].id).await.unwrap().is_some());
    // An id is taken in one instance only.
    assert_eq!(
        import(&store, other, RULES, &lines[1..]).await,
        [done(true, false, true, 1)]
    );
}

pub async fn a_later_registration_stands(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let id = device(&store, instance, web_token(1, 1)).await;
    let mut old = line(web_token(1, 2), Some("ann"), &["a"]);
    old.metadata = Some(DeviceMetadata::parse(&serde_json::json!({"old": true})).unwrap());
    old.registered_at = Some(at(-1));
    // What it was told by a person, user and interests, is news all the same.
    assert_eq!(
        import(&store, instance, RULES, &[old]).await,
        [done(false, false, true, 1)]
    );
    let exported = export(&store, instance, 10).await;
    assert_eq!(exported[0].token, web_token(1, 1));
    assert_eq!(exported[0].metadata, DeviceMetadata::default());
    assert_eq!(exported[0].registered_at, at(0));
    assert_eq!(exported[0].id, id);
}

pub async fn an_import_updates_what_is_older(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let apns = token(Platform::Apns, 1);
    device(&store, instance, apns.clone()).await;
    let mut new = line(apns, None, &[]);
    new.registered_at = Some(at(5));
    new.bundle_id = Some(BundleId::parse("com.example").unwrap());
    new.environment = Some(ApnsEnvironment::Sandbox);
    new.metadata = Some(DeviceMetadata::parse(&serde_json::json!({"new": true})).unwrap());
    let lines = [new.clone()];
    let updated = done(false, true, false, 0);
    assert_eq!(import(&store, instance, RULES, &lines).await, [updated]);
    assert_eq!(import(&store, instance, RULES, &lines).await, [UNCHANGED]);
    let exported = export(&store, instance, 10).await.remove(0);
    assert_eq!(exported.bundle_id, new.bundle_id);
    assert_eq!(exported.environment, ApnsEnvironment::Sandbox);
    assert_eq!(Some(&exported.metadata), new.metadata.as_ref());
    assert_eq!(exported.registered_at, at(5));
    // What a line does not tell stays.
    (new.environment, new.metadata) = (None, None);
    assert_eq!(import(&store, instance, RULES, &[new]).await, [UNCHANGED]);
}

pub async fn a_token_imported_dead_is_removed(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let _ = import(&store, instance, RULES, &[fcm(1, None, &["news"])]).await;
    let (_, job) = one_job(&store, instance).await;
    let dead = Settlement {
        dead: vec![DeadDevice {
            device: all_of(&store, &job, 10).await[0].device,
            token: token(Platform::Fcm, 1),
            // Long before the import.
            since: Some(Timestamp::from_secs(1_600_000_000)),
        }],
        ..Settlement::default()
    };
    finish_job(&store, &job, dead).await;
    assert_eq!(export(&store, instance, 10).await, []);
}

pub async fn limits_hold_within_and_across_imports(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let rules = ImportRules {
        devices_max: 2,
        interests_max: 2,
        ..RULES
    };
    let (too_many, many) = (
        Imported::Refused(ImportRefusal::TooManyDevices),
        Imported::Refused(ImportRefusal::TooManyInterests),
    );
    let lines = [
        fcm(1, Some("ann"), &["a", "b"]),
        fcm(2, Some("ann"), &[]),
        fcm(3, Some("ann"), &[]),
        line(token(Platform::Apns, 1), Some("ann"), &[]),
        fcm(4, None, &["a", "b", "c"]),
        fcm(1, None, &["c"]),
    ];
    let new = done(true, false, true, 0);
    assert_eq!(
        import(&store, instance, rules, &lines).await,
        [done(true, false, true, 2), new, too_many, new, many, many]
    );
    let lines = [fcm(5, Some("ann"), &[]), fcm(6, None, &[])];
    assert_eq!(
        import(&store, instance, rules, &lines).await,
        [too_many, done(true, false, false, 0)]
    );
    let lines = [fcm(6, Some("ann"), &[]), fcm(1, Some("ann"), &["b"])];
    assert_eq!(
        import(&store, instance, rules, &lines).await,
        [too_many, UNCHANGED],
        "those who are there already count as they are"
    );
}

pub async fn a_refused_line_leaves_nothing(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let rules = ImportRules {
        devices_max: 0,
        ..RULES
    };
    let refused = import(&store, instance, rules, &[fcm(1, Some("ann"), &["a"])]).await;
    assert_eq!(refused, [Imported::Refused(ImportRefusal::TooManyDevices)]);
    assert_eq!(export(&store, instance, 10).await, []);
    let (id, jobs) = publish_to(&store, instance, to_interests(&["a"]), UNLEASED).await;
    assert!(jobs.is_empty());
    assert!(report(&store, instance, id).await.finished_at.is_some());
}

pub async fn an_import_stops_where_told(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let rules = ImportRules {
        interests_max: 1,
        stop_at_refused: true,
        ..RULES
    };
    let lines = [
        fcm(1, None, &["a"]),
        fcm(2, None, &["a", "b"]),
        fcm(3, None, &["a"]),
    ];
    assert_eq!(
        import(&store, instance, rules, &lines).await,
        [
            done(true, false, false, 1),
            Imported::Refused(ImportRefusal::TooManyInterests)
        ]
    );
    assert_eq!(export(&store, instance, 10).await.len(), 1);
}

pub async fn an_export_has_everything_once(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    let mut expected = Vec::new();
    for number in 0..25 {
        expected.push(subscriber(&store, mine, number, &["a"]).await);
        subscriber(&store, other, number, &["b"]).await;
    }
    expected.sort_by_key(|id| *id.uuid());
    for limit in [1, 5, 24, 25, 26] {
        let exported = export(&store, mine, limit).await;
        let ids: Vec<DeviceId> = exported.iter().map(|device| device.id).collect();
        assert_eq!(ids, expected, "{limit}");
    }
}

pub async fn an_export_imports_as_the_same(store: Arc<dyn Store>) {
    let (mine, other) = (instance(&store).await, instance(&store).await);
    for (number, platform) in Platform::ALL.into_iter().enumerate() {
        let id = device(&store, mine, token(platform, number)).await;
        assert_eq!(bind(&store, mine, id, "ann").await, Bound::Done);
    }
    subscriber(&store, mine, 9, &["a", "b"]).await;
    let exported = export(&store, mine, 10).await;
    let lines: Vec<DeviceImport> = exported
        .iter()
        .cloned()
        .map(|device| DeviceImport {
            id: device.id,
            id_is_known: true,
            token: device.token,
            bundle_id: device.bundle_id,
            environment: Some(device.environment),
            metadata: Some(device.metadata),
            user: device.user,
            interests: device.interests,
            registered_at: Some(device.registered_at),
        })
        .collect();
    for _ in 0..2 {
        let _ = import(&store, other, RULES, &lines).await;
        assert_eq!(export(&store, other, 10).await, exported);
    }
}

pub async fn an_export_ends_early_for_many_interests(store: Arc<dyn Store>) {
    let instance = instance(&store).await;
    let many: Vec<String> = (0..200).map(|number| format!("i{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for number in 0..4 {
        subscriber(&store, instance, number, &many).await;
    }
    let page = store.export_devices(instance, None, 4).await.unwrap();
    assert_eq!(page.devices.len(), 1);
    assert_eq!(export(&store, instance, 4).await.len(), 4);
}
