//! Tests of what is SQLite's own: its file, its writing thread, its query plans. The rules of the contract are tested by
//! the conformance suite.

mod cancelling;
mod cost;
mod damage;
mod lost_log;
mod migrating;
mod moving;
mod opening;
mod plans;
mod pruning;
mod shares;
mod succession;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::device::{DeviceId, DeviceMetadata, GatewayToken, Platform, Registration};
use domain::instance::{InstanceId, InstanceName};
use domain::interest::InterestName;
use domain::publish::{AudienceKind, Publish, PublishId, PublishRequest};
use domain::seal::Sealed;

use rusqlite::Connection;

use super::mark::Mark;
use super::{SqliteSettings, SqliteStore, schema};
use crate::Store as _;
use crate::configuration::Configuration as _;
use crate::devices::Changed;
use crate::instances::{NewInstance, NewSecretKey};
use crate::publishes::NewPublish;
use domain::clock::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("heliostat.db")
    }

    async fn open(&self) -> Arc<SqliteStore> {
        let settings = SqliteSettings::default();
        Arc::new(SqliteStore::open(&self.path(), settings).await.unwrap())
    }
}

/// A connection that writes, on a database that nothing else has open.
fn connect(path: &Path) -> Connection {
    let mark = Mark::take(path).unwrap();
    schema::open_writer(path, 64 * 1024, &mark).unwrap()
}

async fn instance(store: &SqliteStore) -> InstanceId {
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

fn registration(instance: InstanceId, number: usize) -> Registration {
    Registration {
        instance,
        token: GatewayToken::parse(Platform::Fcm, &format!("fcm:{number}")).unwrap(),
        bundle_id: None,
        metadata: DeviceMetadata::default(),
    }
}

async fn device(store: &SqliteStore, instance: InstanceId, number: usize) -> DeviceId {
    let fresh = DeviceId::random(Platform::Fcm);
    let registered = store
        .register_device(registration(instance, number), fresh, None, NOW)
        .await
        .unwrap();
    registered.id
}

/// So many devices that are subscribed to `news`.
async fn subscribers(store: &SqliteStore, instance: InstanceId, count: usize) {
    let news = InterestName::parse("news").unwrap();
    for number in 0..count {
        let id = device(store, instance, number).await;
        let set = store
            .set_interests(instance, id, vec![news.clone()], NOW)
            .await;
        assert_eq!(set.unwrap(), Changed::Done);
    }
}

/// A publish to `news`.
fn to_news(instance: InstanceId) -> NewPublish {
    let body = br#"{"interests": ["news"], "fcm": {"data": {}}}"#;
    let request = PublishRequest::parse(AudienceKind::Interests, body).unwrap();
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
