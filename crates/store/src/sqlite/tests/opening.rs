//! Files that are opened: new, again, of a newer schema, of others, damaged; and by several at once.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use domain::device::{DeviceId, Platform};
use rusqlite::Connection;

use super::{Folder, device, instance};
use crate::configuration::Configuration as _;
use crate::sqlite::{SqliteSettings, SqliteStore};
use crate::{Store as _, StoreError};

async fn refused(folder: &Folder) -> String {
    let before = std::fs::read(folder.path()).unwrap();
    let opened = SqliteStore::open(&folder.path(), SqliteSettings::default()).await;
    let Err(StoreError::Corrupt(why)) = opened else {
        panic!("{opened:?}")
    };
    assert_eq!(std::fs::read(folder.path()).unwrap(), before, "left alone");
    why
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = Folder::new();
    folder.open().await.close().await;
    let connection = Connection::open(folder.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    connection
        .pragma_update(None, "journal_mode", "DELETE")
        .unwrap();
    drop(connection);
    let why = refused(&folder).await;
    assert!(why.contains("version 99") && why.contains("newer"), "{why}");
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let folder = Folder::new();
    Connection::open(folder.path())
        .unwrap()
        .execute_batch("CREATE TABLE contacts (name TEXT)")
        .unwrap();
    assert!(refused(&folder).await.contains("another program"));
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let folder = Folder::new();
    std::fs::write(folder.path(), "Dear diary, ".repeat(1000)).unwrap();
    assert!(refused(&folder).await.contains("not a database"));
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_told() {
    let folder = Folder::new();
    let path = folder.path().join("no").join("such").join("folder.db");
    let opened = SqliteStore::open(&path, SqliteSettings::default()).await;
    assert!(
        matches!(opened, Err(StoreError::Unavailable(_))),
        "{opened:?}"
    );
}

/// Overwrites the first pages of a table and its indices.
fn damage(folder: &Folder, table: &str) {
    let connection = Connection::open(folder.path()).unwrap();
    let pages: Vec<u64> = connection
        .prepare("SELECT rootpage FROM sqlite_schema WHERE tbl_name = ?1 AND rootpage > 0")
        .unwrap()
        .query_map([table], |row| row.get::<_, u32>(0).map(u64::from))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    drop(connection);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(folder.path())
        .unwrap();
    for page in pages {
        file.write_all_at(&[0xa5; 4096], (page - 1) * 4096).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_queue_is_told_by_the_check() {
    for table in ["jobs", "retries", "publishes"] {
        let folder = Folder::new();
        let store = folder.open().await;
        store.check().await.unwrap();
        store.close().await;
        damage(&folder, table);
        let store = folder.open().await;
        let checked = store.check().await;
        assert!(
            matches!(checked, Err(StoreError::Corrupt(_))),
            "{table}: {checked:?}"
        );
    }
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let folder = Folder::new();
    let store = folder.open().await;
    let id = instance(&store).await;
    for number in 0..500 {
        device(&store, id, number).await;
    }
    store.close().await;
    damage(&folder, "devices");
    let store = folder.open().await;
    for number in 0..20 {
        let registration = super::registration(id, number);
        let fresh = DeviceId::random(Platform::Fcm);
        let registered = store
            .register_device(registration, fresh, None, super::NOW)
            .await;
        assert!(
            matches!(registered, Err(StoreError::Corrupt(_))),
            "{registered:?}"
        );
    }
    assert!(
        store.instance(id).await.unwrap().is_some(),
        "what is not damaged works"
    );
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let folder = Folder::new();
    let store = folder.open().await;
    let id = instance(&store).await;
    let mut devices = Vec::new();
    for number in 0..20 {
        devices.push(device(&store, id, number).await);
    }
    // Without closing: the threads end by themselves.
    drop(store);
    let store = folder.open().await;
    for device in devices {
        assert!(store.device(id, device).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_closed_store_says_so_and_leaves_one_file() {
    let folder = Folder::new();
    let store = folder.open().await;
    let id = instance(&store).await;
    store.close().await;
    store.close().await;
    let closed = [
        store.check().await.err(),
        store.instance(id).await.err(),
        store.delete_instance(id).await.err(),
    ];
    for error in closed {
        assert!(
            matches!(error, Some(StoreError::Unavailable(_))),
            "{error:?}"
        );
    }
    let files = std::fs::read_dir(folder.folder.path()).unwrap().count();
    assert_eq!(files, 1, "no log is left beside the file");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Whatever files are made with otherwise, and however the server is started.
#[tokio::test]
async fn a_new_database_is_for_its_owner_alone() {
    let folder = Folder::new();
    let store = folder.open().await;
    instance(&store).await;
    for extension in ["db", "db-wal", "db-shm"] {
        let path = folder.path().with_extension(extension);
        assert_eq!(mode(&path), 0o600, "{extension}");
    }
    store.close().await;
    // Who gave it to a group meant it.
    let shared = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(folder.path(), shared).unwrap();
    folder.open().await.close().await;
    assert_eq!(mode(&folder.path()), 0o640);
}

#[tokio::test]
async fn opened_by_several_at_once_it_is_made_once() {
    let folder = Folder::new();
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let path = folder.path();
        set.spawn(async move { SqliteStore::open(&path, SqliteSettings::default()).await });
    }
    for opened in set.join_all().await {
        opened.unwrap().check().await.unwrap();
    }
}

#[tokio::test]
async fn two_handles_write_and_see_each_other() {
    let folder = Folder::new();
    let stores = [folder.open().await, folder.open().await];
    let id = instance(&stores[0]).await;
    assert!(stores[1].instance(id).await.unwrap().is_some());
    let mut set = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = Arc::clone(&stores[number % 2]);
        // Half of the tokens are registered through both.
        set.spawn(async move { device(&store, id, number / 2).await });
    }
    let mut ids = set.join_all().await;
    ids.sort_by_key(|id| *id.uuid());
    ids.dedup();
    assert_eq!(ids.len(), 100);
    for device in ids {
        for store in &stores {
            assert!(store.device(id, device).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn the_connections_are_set_as_meant() {
    let folder = Folder::new();
    let store = folder.open().await;
    let read = |name: &'static str| {
        store.writer.run(move |c| {
            Ok(c.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))?)
        })
    };
    assert_eq!(read("journal_mode").await.unwrap(), "wal".to_owned().into());
    assert_eq!(read("synchronous").await.unwrap(), 2.into(), "FULL");
    assert_eq!(read("foreign_keys").await.unwrap(), 1.into());
    assert_eq!(read("busy_timeout").await.unwrap(), 5000.into());
    let write = store
        .readers
        .run(|c| Ok(c.execute("DELETE FROM devices", [])?))
        .await;
    assert!(
        matches!(write, Err(StoreError::Unavailable(_))),
        "{write:?}"
    );
}
