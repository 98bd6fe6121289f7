//! The writing thread: groups, failures within a group, full queues, panics; and what readers see meanwhile.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use domain::device::{DeviceId, Platform};
use rusqlite::Connection;
use tokio::sync::Notify;

use super::{Folder, NOW, device, instance, registration};
use crate::sqlite::{SqliteSettings, SqliteStore};
use crate::{Store as _, StoreError};

/// How long a condition may take before a test gives up on it; nothing waits that long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps the writer busy with one operation until the sender is dropped.
pub(super) async fn hold(store: &Arc<SqliteStore>) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let begun = Arc::new(Notify::new());
    let has_begun = Arc::clone(&begun);
    let own = Arc::clone(store);
    let mut set = tokio::task::JoinSet::new();
    set.spawn(async move {
        let work = move |_: &Connection| {
            begun.notify_one();
            let _ = held.recv();
            Ok(())
        };
        own.writer.run(work).await.unwrap();
    });
    has_begun.notified().await;
    set.detach_all();
    release
}

pub(super) async fn until_waiting(store: &SqliteStore, operations: usize) {
    let wait = async {
        while store.statistics().waiting < operations {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// A device row of the one instance, written by hand.
pub(super) fn insert(connection: &Connection, identity: &str) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO devices (instance, id, platform, identity, metadata, created_at, registered_at)
         VALUES (1, randomblob(16), 'fcm', ?1, '{}', 0, 0)",
        [identity],
    )?;
    Ok(())
}

pub(super) async fn count(store: &SqliteStore) -> i64 {
    let work = |connection: &Connection| {
        Ok(connection.query_row("SELECT count(*) FROM devices", [], |row| row.get(0))?)
    };
    store.readers.run(work).await.unwrap()
}

#[tokio::test]
async fn what_waits_shares_one_commit() {
    let folder = Folder::new();
    let store = folder.open().await;
    let instance = instance(&store).await;
    let before = store.statistics();
    let release = hold(&store).await;
    let mut set = tokio::task::JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        set.spawn(async move { device(&store, instance, number).await });
    }
    until_waiting(&store, 50).await;
    drop(release);
    assert_eq!(set.join_all().await.len(), 50);
    let after = store.statistics();
    assert_eq!(
        after.commits - before.commits,
        2,
        "the one that held up, and the rest together"
    );
    assert_eq!(after.operations - before.operations, 51);
}

#[tokio::test]
async fn a_group_has_a_bound() {
    let folder = Folder::new();
    let settings = SqliteSettings {
        group_max: 10,
        ..SqliteSettings::default()
    };
    let store = Arc::new(SqliteStore::open(&folder.path(), settings).await.unwrap());
    let release = hold(&store).await;
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..25 {
        let store = Arc::clone(&store);
        set.spawn(async move { store.check().await.unwrap() });
    }
    until_waiting(&store, 25).await;
    drop(release);
    set.join_all().await;
    assert_eq!(store.statistics().commits, 4);
}

#[tokio::test]
async fn a_flood_of_registrations_neither_pushes_out_a_publish_nor_makes_it_wait_for_more_than_a_group()
 {
    let folder = Folder::new();
    let settings = SqliteSettings {
        queue_length: 400,
        group_max: 40,
        ..SqliteSettings::default()
    };
    let store = Arc::new(SqliteStore::open(&folder.path(), settings).await.unwrap());
    let instance = instance(&store).await;
    let release = hold(&store).await;
    let before = store.statistics();
    let mut flood = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let store = Arc::clone(&store);
        flood.spawn(async move {
            let fresh = DeviceId::random(Platform::Fcm);
            let registered =
                store.register_device(registration(instance, number), fresh, None, NOW);
            registered.await.is_ok()
        });
    }
    // A quarter of the queue is theirs; the rest of the thousand is refused.
    until_waiting(&store, 100).await;
    let own = Arc::clone(&store);
    let mut publish = tokio::task::JoinSet::new();
    publish.spawn(async move {
        // What a publish is to the writer; which statements it has does not matter. Looked at while the writer is at it: who is told
        // of the end comes to look at any time after.
        let written = Arc::clone(&own);
        let work = move |connection: &Connection| {
            insert(connection, "published")?;
            Ok(written.statistics())
        };
        own.writer.run(work).await.unwrap()
    });
    until_waiting(&store, 101).await;
    drop(release);
    let at_publish = publish.join_next().await.unwrap().unwrap();
    let behind = at_publish.operations - before.operations;
    // The one that held up, and no group of devices: the publish is in the first, of which they have a quarter.
    assert!(behind <= 1 + 10, "{behind} came before the publish");
    let taken = flood
        .join_all()
        .await
        .into_iter()
        .filter(|taken| *taken)
        .count();
    assert_eq!(taken, 100);
}

#[tokio::test]
async fn retries_beyond_their_share_make_nobody_wait_but_each_other() {
    let folder = Folder::new();
    let store = folder.open().await;
    instance(&store).await;
    let before = store.statistics();
    let release = hold(&store).await;
    let retry = |number: usize| {
        store.writer.run_for_retries(move |c| {
            (0..300).try_for_each(|row| insert(c, &format!("retry {number}, {row}")))
        })
    };
    let device = store.writer.run_for_devices(|c| insert(c, "device"));
    let own = store.writer.run(|c| insert(c, "own"));
    let (first, second, third, device, own, ()) =
        tokio::join!(retry(1), retry(2), retry(3), device, own, async {
            until_waiting(&store, 5).await;
            drop(release);
        });
    for done in [first, second, third, device, own] {
        done.unwrap();
    }
    // The one that held up; all but the third retry, for which two have left nothing; and the third.
    assert_eq!(store.statistics().commits - before.commits, 3);
    let order = |connection: &Connection| {
        let found: Result<Vec<String>, _> = connection
            .prepare("SELECT identity FROM devices WHERE identity NOT LIKE '%, _%' OR identity LIKE '%, 0' ORDER BY device")?
            .query_map([], |row| row.get(0))?
            .collect();
        Ok(found?)
    };
    assert_eq!(
        store.readers.run(order).await.unwrap(),
        ["own", "retry 1, 0", "retry 2, 0", "device", "retry 3, 0"]
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let folder = Folder::new();
    let settings = SqliteSettings {
        // Three of them for devices.
        queue_length: 12,
        ..SqliteSettings::default()
    };
    let store = Arc::new(SqliteStore::open(&folder.path(), settings).await.unwrap());
    let instance = instance(&store).await;
    let release = hold(&store).await;
    let mut set = tokio::task::JoinSet::new();
    for number in 0..3 {
        let store = Arc::clone(&store);
        set.spawn(async move { device(&store, instance, number).await });
    }
    until_waiting(&store, 3).await;
    let fresh = DeviceId::random(Platform::Fcm);
    let refused = store
        .register_device(registration(instance, 9), fresh, None, NOW)
        .await;
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    drop(release);
    assert_eq!(set.join_all().await.len(), 3);
    assert!(store.device(instance, fresh).await.unwrap().is_none());
}

#[tokio::test]
async fn one_failure_of_a_group_does_not_undo_the_others() {
    let folder = Folder::new();
    let store = folder.open().await;
    instance(&store).await;
    let release = hold(&store).await;
    let first = store.writer.run(|c| insert(c, "first"));
    let failing = store.writer.run(|c| {
        insert(c, "undone")?;
        insert(c, "first")
    });
    let panicking = store.writer.run(|c| -> Result<(), StoreError> {
        insert(c, "undone too")?;
        panic!("as the test wants it")
    });
    let last = store.writer.run(|c| insert(c, "last"));
    let (first, failing, panicking, last, ()) =
        tokio::join!(first, failing, panicking, last, async {
            until_waiting(&store, 4).await;
            drop(release);
        });
    assert!(first.is_ok() && last.is_ok());
    assert!(
        matches!(failing, Err(StoreError::Unavailable(_))),
        "{failing:?}"
    );
    assert!(
        matches!(panicking, Err(StoreError::Corrupt(_))),
        "{panicking:?}"
    );
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_failure_alone_is_undone_and_the_thread_lives() {
    let folder = Folder::new();
    let store = folder.open().await;
    instance(&store).await;
    let failed = store.writer.run(|c| -> Result<(), StoreError> {
        insert(c, "undone")?;
        Err(StoreError::UnknownInstance)
    });
    assert!(matches!(failed.await, Err(StoreError::UnknownInstance)));
    let panicked = store.writer.run(|c| -> Result<(), StoreError> {
        insert(c, "undone")?;
        panic!("as the test wants it")
    });
    assert!(matches!(panicked.await, Err(StoreError::Corrupt(_))));
    let read = store
        .readers
        .run(|_| -> Result<(), StoreError> { panic!("as the test wants it") });
    assert!(matches!(read.await, Err(StoreError::Corrupt(_))));
    store.writer.run(|c| insert(c, "kept")).await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn a_lost_transaction_fails_the_whole_group() {
    let folder = Folder::new();
    let store = folder.open().await;
    instance(&store).await;
    let release = hold(&store).await;
    let first = store.writer.run(|c| insert(c, "first"));
    // What SQLite does by itself when the disk is full.
    let losing = store.writer.run(|c| Ok(c.execute_batch("ROLLBACK")?));
    let last = store.writer.run(|c| insert(c, "last"));
    let (first, losing, last, ()) = tokio::join!(first, losing, last, async {
        until_waiting(&store, 3).await;
        drop(release);
    });
    for lost in [first, losing, last] {
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    }
    assert_eq!(count(&store).await, 0);
    store.writer.run(|c| insert(c, "afterwards")).await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn a_full_disk_is_told_and_gets_over() {
    let folder = Folder::new();
    let store = folder.open().await;
    instance(&store).await;
    let limit = |pages: i64| {
        store.writer.run(move |c| {
            let _: i64 = c.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| {
                row.get(0)
            })?;
            Ok(())
        })
    };
    limit(1).await.unwrap();
    let large = store
        .writer
        .run(|c| insert(c, &"x".repeat(1_000_000)))
        .await;
    assert!(
        matches!(large, Err(StoreError::Unavailable(_))),
        "{large:?}"
    );
    limit(1_000_000).await.unwrap();
    store.writer.run(|c| insert(c, "small")).await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn readers_see_what_was_committed_and_nothing_else() {
    let folder = Folder::new();
    let store = folder.open().await;
    instance(&store).await;
    let written = Arc::new(Notify::new());
    let was_written = Arc::clone(&written);
    let (release, held) = mpsc::channel::<()>();
    let writing = store.writer.run(move |c| {
        insert(c, "one")?;
        written.notify_one();
        let _ = held.recv();
        Ok(())
    });
    let looking = async {
        was_written.notified().await;
        assert_eq!(count(&store).await, 0, "not committed yet");
        drop(release);
    };
    let (done, ()) = tokio::join!(writing, looking);
    done.unwrap();
    for _ in 0..20 {
        assert_eq!(count(&store).await, 1, "whichever reader it is");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_undo() {
    let folder = Folder::new();
    let store = folder.open().await;
    instance(&store).await;
    let release = hold(&store).await;
    let mut set = tokio::task::JoinSet::new();
    let own = Arc::clone(&store);
    set.spawn(async move { own.writer.run(|c| insert(c, "one")).await });
    until_waiting(&store, 1).await;
    set.shutdown().await;
    drop(release);
    store.check().await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn the_log_grows_while_somebody_reads_for_long_and_is_begun_anew_afterwards() {
    let folder = Folder::new();
    let settings = SqliteSettings {
        log_size_max: 1 << 20,
        ..SqliteSettings::default()
    };
    let store = SqliteStore::open(&folder.path(), settings).await.unwrap();
    instance(&store).await;
    let reader = rusqlite::Connection::open(folder.path()).unwrap();
    let read = "BEGIN; SELECT count(*) FROM sqlite_schema";
    reader.execute_batch(read).unwrap();
    let log = folder.path().with_extension("db-wal");
    let size = || std::fs::metadata(&log).unwrap().len();
    let grow = async |number: usize| {
        let identity = format!("{number}:{}", "x".repeat(100_000));
        let inserted = store.writer.run(move |c| insert(c, &identity)).await;
        inserted.unwrap();
    };
    for number in 0..150 {
        grow(number).await;
    }
    let while_read = size();
    assert!(while_read > 10 << 20, "the log has all of it: {while_read}");
    reader.execute_batch("ROLLBACK").unwrap();
    // The next try is worth it only once the log is larger again, or has been begun anew because nobody reads it.
    for number in 150..400 {
        grow(number).await;
    }
    assert!(size() < while_read, "{} after {while_read}", size());
}

#[tokio::test]
async fn the_log_is_cut_back_once_readers_let_it() {
    let folder = Folder::new();
    let settings = SqliteSettings {
        log_size_max: 1 << 20,
        ..SqliteSettings::default()
    };
    let store = SqliteStore::open(&folder.path(), settings).await.unwrap();
    instance(&store).await;
    let log = folder.path().with_extension("db-wal");
    for number in 0..40 {
        let identity = format!("{number}:{}", "x".repeat(100_000));
        store
            .writer
            .run(move |c| insert(c, &identity))
            .await
            .unwrap();
    }
    assert!(std::fs::metadata(&log).unwrap().len() > 1 << 20);
    for _ in 0..64 {
        store.check().await.unwrap();
    }
    assert!(std::fs::metadata(&log).unwrap().len() < 1 << 20);
}
