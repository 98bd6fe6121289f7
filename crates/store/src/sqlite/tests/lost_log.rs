//! A log that is gone, and a database that is: refused, while it is used and after a crash; and everything that only looks
//! like it, which is not.
//!
//! A crash is the files of a database as they are while it is open, copied into another folder.

use std::path::Path;
use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::DeviceId;
use domain::instance::InstanceId;
use rusqlite::{Connection, OpenFlags};

use super::{Folder, NOW, device, instance};
use crate::configuration::Configuration as _;
use crate::sqlite::backup::Backup;
use crate::sqlite::{SqliteSettings, SqliteStore};
use crate::{Store as _, StoreError};

const ACCEPTING: SqliteSettings = SqliteSettings {
    readers: 1,
    queue_length: 64,
    group_max: 64,
    writer_cache_kib: 1024,
    reader_cache_kib: 1024,
    log_size_max: 1 << 20,
    publishes_cached: 8,
    accept_lost_log: true,
};

impl Folder {
    fn file(&self, end: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("heliostat.db{end}"))
    }

    /// What a crash leaves now, less some of the files.
    fn after_a_crash(&self, without: &[&str]) -> Self {
        let left = Self::new();
        for end in ["", "-wal", ".open"] {
            if !without.contains(&end) {
                std::fs::copy(self.file(end), left.file(end)).unwrap();
            }
        }
        left
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A store with an instance that is in the database, and a device that is in the log alone.
async fn with_a_log(folder: &Folder) -> (Arc<SqliteStore>, InstanceId, DeviceId) {
    let store = folder.open().await;
    let id = instance(&store).await;
    store.close().await;
    let store = folder.open().await;
    let in_log = device(&store, id, 1).await;
    (store, id, in_log)
}

async fn refused(path: &Path, settings: SqliteSettings) -> String {
    match SqliteStore::open(path, settings).await {
        Err(error @ StoreError::Unavailable(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_crash_leaves_what_opens_again() {
    let folder = Folder::new();
    let (_store, id, in_log) = with_a_log(&folder).await;
    let crashed = folder.after_a_crash(&[]);
    for _ in 0..2 {
        let store = crashed.open().await;
        assert!(store.device(id, in_log).await.unwrap().is_some());
        store.close().await;
        assert!(!crashed.file(".open").exists());
    }
}

#[tokio::test]
async fn without_its_log_it_is_refused_until_that_is_accepted() {
    let folder = Folder::new();
    let (_store, id, in_log) = with_a_log(&folder).await;
    let crashed = folder.after_a_crash(&["-wal"]);
    for _ in 0..2 {
        let why = refused(&crashed.path(), SqliteSettings::default()).await;
        assert!(
            why.contains("heliostat.db-wal is gone") && why.contains("--accept-lost-log"),
            "{why}"
        );
        let backup = Backup {
            database: &crashed.path(),
            file: &crashed.file(".copy"),
            replace: false,
            bytes_per_second_max: None,
            now: Timestamp::from_secs(0),
        };
        let why = backup.run(&|_| ()).unwrap_err().to_string();
        assert!(why.contains("heliostat.db-wal is gone"), "{why}");
        // A log that is made now would look like one that was empty.
        assert_eq!(crashed.files(), ["heliostat.db", "heliostat.db.open"]);
    }
    let store = SqliteStore::open(&crashed.path(), ACCEPTING).await.unwrap();
    assert!(store.instance(id).await.unwrap().is_some());
    assert!(store.device(id, in_log).await.unwrap().is_none());
    let new = device(&store, id, 2).await;
    store.close().await;
    let store = crashed.open().await;
    assert!(store.device(id, new).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_not_whole_without_its_log_is_not_accepted() {
    let folder = Folder::new();
    let (_store, _, _) = with_a_log(&folder).await;
    let crashed = folder.after_a_crash(&["-wal"]);
    let file = std::fs::OpenOptions::new().write(true).open(crashed.path());
    // As a checkpoint that was cut short, before the file had all of its pages.
    file.unwrap().set_len(4096 * 20).unwrap();
    for _ in 0..2 {
        let why = refused(&crashed.path(), ACCEPTING).await;
        assert!(
            why.contains("without its log the database is damaged"),
            "{why}"
        );
        assert_eq!(crashed.files(), ["heliostat.db", "heliostat.db.open"]);
    }
}

#[tokio::test]
async fn a_log_without_its_database_is_kept() {
    let folder = Folder::new();
    let (_store, id, in_log) = with_a_log(&folder).await;
    for without in [&[""][..], &["", "-wal"], &["", ".open"]] {
        let crashed = folder.after_a_crash(without);
        let before = crashed.files();
        for settings in [SqliteSettings::default(), ACCEPTING] {
            let why = refused(&crashed.path(), settings).await;
            assert!(why.contains("the database itself is gone"), "{why}");
            assert_eq!(crashed.files(), before);
        }
        if !without.contains(&"-wal") {
            std::fs::copy(folder.path(), crashed.path()).unwrap();
            let store = crashed.open().await;
            assert!(store.device(id, in_log).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_copy_and_a_database_of_before_have_no_mark_and_open() {
    let folder = Folder::new();
    let (_store, id, _) = with_a_log(&folder).await;
    let copied = folder.after_a_crash(&["-wal", ".open"]);
    let store = copied.open().await;
    assert!(store.instance(id).await.unwrap().is_some());
}

#[tokio::test]
async fn killed_before_anything_was_written_it_opens() {
    let folder = Folder::new();
    let (store, id, in_log) = with_a_log(&folder).await;
    store.close().await;
    let idle = folder.open().await;
    let crashed = folder.after_a_crash(&[]);
    assert_eq!(crashed.file("-wal").metadata().unwrap().len(), 0);
    assert!(crashed.file(".open").metadata().unwrap().len() > 0);
    let store = crashed.open().await;
    assert!(store.device(id, in_log).await.unwrap().is_some());
    idle.close().await;
}

#[tokio::test]
async fn the_mark_goes_with_the_last_who_closes() {
    let folder = Folder::new();
    let (first, id, _) = with_a_log(&folder).await;
    let second = folder.open().await;
    first.close().await;
    assert!(folder.file(".open").exists() && folder.file("-wal").exists());
    let of_second = device(&second, id, 2).await;
    let crashed = folder.after_a_crash(&["-wal"]);
    refused(&crashed.path(), SqliteSettings::default()).await;
    second.close().await;
    assert!(!folder.file(".open").exists());
    let store = folder.open().await;
    assert!(store.device(id, of_second).await.unwrap().is_some());
}

#[tokio::test]
async fn the_log_stays_for_who_reads_while_it_is_closed() {
    let folder = Folder::new();
    let (store, id, in_log) = with_a_log(&folder).await;
    let reader =
        Connection::open_with_flags(folder.path(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM devices")
        .unwrap();
    let later = device(&store, id, 2).await;
    store.close().await;
    assert!(folder.file(".open").exists() && folder.file("-wal").exists());
    drop(reader);
    let store = folder.open().await;
    for device in [in_log, later] {
        assert!(store.device(id, device).await.unwrap().is_some());
    }
    store.close().await;
    assert!(!folder.file(".open").exists());
}

#[tokio::test]
async fn a_start_that_fails_takes_no_log_away() {
    let folder = Folder::new();
    let (_store, id, in_log) = with_a_log(&folder).await;
    let crashed = folder.after_a_crash(&[]);
    // By a newer program, before it was killed.
    let version = |version: i64| {
        let connection = Connection::open(crashed.path()).unwrap();
        connection
            .set_db_config(
                rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                true,
            )
            .unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
    };
    let known: i64 = crate::sqlite::schema::MIGRATIONS.len().try_into().unwrap();
    version(99);
    for _ in 0..2 {
        let opened = SqliteStore::open(&crashed.path(), SqliteSettings::default()).await;
        assert!(matches!(opened, Err(StoreError::Corrupt(_))), "{opened:?}");
        assert!(crashed.file("-wal").metadata().unwrap().len() > 0);
    }
    version(known);
    let store = crashed.open().await;
    assert!(store.device(id, in_log).await.unwrap().is_some());
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_new() {
    let folder = Folder::new();
    std::fs::write(folder.path(), "Dear diary, ".repeat(1000)).unwrap();
    let opened = SqliteStore::open(&folder.path(), SqliteSettings::default()).await;
    assert!(matches!(opened, Err(StoreError::Corrupt(_))), "{opened:?}");
    assert_eq!(folder.files(), ["heliostat.db"]);
}

#[tokio::test]
async fn a_log_that_is_deleted_in_use_is_told_and_saved() {
    let folder = Folder::new();
    let (store, id, in_log) = with_a_log(&folder).await;
    let (log, away) = (folder.file("-wal"), folder.file(".away"));
    std::fs::rename(&log, &away).unwrap();
    for other in [false, true] {
        if other {
            std::fs::write(&log, "").unwrap();
        }
        let fresh = DeviceId::random(domain::device::Platform::Fcm);
        let answered = store
            .register_device(super::registration(id, 2), fresh, None, NOW)
            .await;
        let Err(error @ StoreError::Unavailable(_)) = answered else {
            panic!("{answered:?}")
        };
        let why = error.to_string();
        assert!(
            why.contains("deleted or replaced while it is in use"),
            "{why}"
        );
        assert!(matches!(
            store.check().await,
            Err(StoreError::Unavailable(_))
        ));
        // What only reads goes on.
        assert!(store.device(id, in_log).await.unwrap().is_some());
    }
    // What was acknowledged is in the database already.
    let crashed = folder.after_a_crash(&["-wal"]);
    let saved = SqliteStore::open(&crashed.path(), ACCEPTING).await.unwrap();
    assert!(saved.device(id, in_log).await.unwrap().is_some());
    // It goes on when the log has its name again.
    std::fs::rename(&away, &log).unwrap();
    store.check().await.unwrap();
    let later = device(&store, id, 3).await;
    std::fs::remove_file(&log).unwrap();
    assert!(store.check().await.is_err());
    store.close().await;
    assert!(!folder.file(".open").exists());
    let store = folder.open().await;
    for device in [in_log, later] {
        assert!(store.device(id, device).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_database_that_is_deleted_or_replaced_in_use_is_told() {
    let folder = Folder::new();
    let (store, id, in_log) = with_a_log(&folder).await;
    let away = folder.file(".away");
    for replaced in [false, true] {
        std::fs::rename(folder.path(), &away).unwrap();
        if replaced {
            std::fs::copy(&away, folder.path()).unwrap();
        }
        let why = store.check().await.unwrap_err().to_string();
        assert!(
            why.contains("the database") && why.contains("deleted or replaced"),
            "{why}"
        );
        std::fs::rename(&away, folder.path()).unwrap();
        store.check().await.unwrap();
    }
    std::fs::rename(folder.path(), &away).unwrap();
    store.close().await;
    // Nobody begins anew in its place.
    let why = refused(&folder.path(), SqliteSettings::default()).await;
    assert!(why.contains("the database itself is gone"), "{why}");
    std::fs::rename(&away, folder.path()).unwrap();
    let store = folder.open().await;
    assert!(store.device(id, in_log).await.unwrap().is_some());
}
