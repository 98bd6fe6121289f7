//! Files of earlier schemas.

use domain::instance::InstanceId;
use domain::publish::AudienceKind;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::Folder;
use crate::Store as _;
use crate::lookup::{PublishState, Target};
use crate::publishes::ResolvedAudience;
use crate::sqlite::schema::MIGRATIONS;
use crate::stored::encode;

/// A file as the first Heliostat left it: a publish to two users that has finished, and one to an interest that runs.
fn first_schema(folder: &Folder, instance: InstanceId) {
    let connection = Connection::open(folder.path()).unwrap();
    connection.execute_batch(MIGRATIONS[0]).unwrap();
    connection
        .pragma_update(None, "application_id", 0x4865_6c69)
        .unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
        .execute(
            "INSERT INTO instances (id, name, vapid_public_key, vapid_private_key, created_at)
             VALUES (?1, 'an app', x'04', x'01', 0)",
            [instance.as_uuid().as_bytes()],
        )
        .unwrap();
    let audiences = [
        (ResolvedAudience::Users(vec![1, 2]), Some(5_000)),
        (ResolvedAudience::Interests(vec![7]), None),
    ];
    for (audience, finished_at) in audiences {
        connection
            .execute(
                "INSERT INTO publishes (instance, id, accepted_at, finished_at) VALUES (1, ?1, 1000, ?2)",
                params![Uuid::new_v4().as_bytes(), finished_at],
            )
            .unwrap();
        connection
            .execute(
                "INSERT INTO payloads (publish, format, payloads, audience) VALUES (last_insert_rowid(), 1, '{}', ?1)",
                [encode(&audience)],
            )
            .unwrap();
    }
}

#[tokio::test]
async fn the_first_schema_is_brought_up_to_date() {
    let folder = Folder::new();
    let instance = InstanceId::random();
    first_schema(&folder, instance);
    let store = folder.open().await;
    let page = store
        .list_publishes(instance, None, None, 10)
        .await
        .unwrap();
    let told: Vec<_> = page
        .publishes
        .iter()
        .map(|one| (one.state, one.target, one.send_at == one.accepted_at))
        .collect();
    assert_eq!(
        told,
        [
            (
                PublishState::Running,
                Target::Named(AudienceKind::Interests, 1),
                true
            ),
            (
                PublishState::Finished,
                Target::Named(AudienceKind::Users, 2),
                true
            ),
        ]
    );
    let users = store
        .publish_users(instance, page.publishes[1].id, None, 10)
        .await
        .unwrap();
    assert_eq!(users, Some(vec![]), "their names were not kept then");
    store.close().await;
}
