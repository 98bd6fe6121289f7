//! Opens connections and brings a database file to the present schema.
//!
//! Migrations go forward only. Those that a file lacks are applied in one transaction, under the write lock, so that two
//! processes that start together do it once. A file of a newer schema, or of another program, is left alone.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::mark::Mark;
use crate::StoreError;

/// In order; the number of a migration is its place, from one.
pub(super) const MIGRATIONS: [&str; 16] = [
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/sqlite/0002_lookup.sql"),
    include_str!("../../migrations/sqlite/0003_lists.sql"),
    include_str!("../../migrations/sqlite/0004_cluster.sql"),
    include_str!("../../migrations/sqlite/0005_moving.sql"),
    include_str!("../../migrations/sqlite/0006_insights.sql"),
    include_str!("../../migrations/sqlite/0007_administration.sql"),
    include_str!("../../migrations/sqlite/0008_console.sql"),
    include_str!("../../migrations/sqlite/0009_given_again.sql"),
    include_str!("../../migrations/sqlite/0010_webhooks.sql"),
    include_str!("../../migrations/sqlite/0011_node_keys.sql"),
    include_str!("../../migrations/sqlite/0012_traces.sql"),
    include_str!("../../migrations/sqlite/0013_tries.sql"),
    include_str!("../../migrations/sqlite/0014_activity.sql"),
    include_str!("../../migrations/sqlite/0015_named_interests.sql"),
    include_str!("../../migrations/sqlite/0016_device_counts.sql"),
];
/// Tells `file` and us whose database it is: "Heli" in ASCII.
const APPLICATION_ID: i64 = 0x4865_6c69;
/// How long to wait for another process's transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// After how many pages the log is copied into the database file: 16 MiB. Larger ones make rarer, longer pauses.
const CHECKPOINT_PAGES: i64 = 4096;
/// What the log file is cut back to after a checkpoint, in bytes.
const JOURNAL_SIZE_MAX: i64 = 64 << 20;
/// How many prepared statements a connection keeps: more than there are.
const STATEMENTS_MAX: usize = 200;

/// Makes a file that is not there, for its owner alone: gateway tokens, users and payloads are in it. SQLite gives its log and
/// index the same mode. One that is there has the mode that somebody gave it. SQLite tells why a file cannot be made.
fn make_private(path: &Path) {
    if !path.exists() {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        drop(options.mode(0o600).open(path));
    }
}

/// The connection that writes, on a database of the present schema. Its end leaves the log where it is, see
/// [`let_go_of_log`].
pub(super) fn open_writer(
    path: &Path,
    cache_kib: u32,
    mark: &Mark,
) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    make_private(path);
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if mark.is_set()? {
        keep_log(&connection, true)?;
    }
    refuse_foreign(&connection)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(super::error::unavailable(format!(
            "the database cannot use a write-ahead log (journal mode {mode}); is it on a network drive?"
        )));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // What is deleted is overwritten where that costs no further writing: nothing of a person stays legible in the file.
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_MAX)?;
    prepare(&connection, cache_kib)?;
    // The first read makes the log, the first write comes after the mark.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    keep_log(&connection, true)?;
    mark.set()?;
    migrate(&mut connection)?;
    Ok(connection)
}

fn keep_log(connection: &Connection, keep: bool) -> Result<(), rusqlite::Error> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
}

/// Lets SQLite delete the log when this connection is closed and was the last: there is no mark any more.
pub(super) fn let_go_of_log(connection: &Connection) -> Result<(), rusqlite::Error> {
    keep_log(connection, false)
}

/// A connection that cannot write, on a database that [`open_writer`] has opened.
pub(super) fn open_reader(path: &Path, cache_kib: u32) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", "ON")?;
    prepare(&connection, cache_kib)?;
    Ok(connection)
}

fn prepare(connection: &Connection, cache_kib: u32) -> Result<(), StoreError> {
    // Negative means KiB, positive would mean pages.
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Without this, statistics make SQLite prepare a cached statement anew for every value that is bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

/// Looks before anything is changed, so that a wrong path costs nobody a file.
fn refuse_foreign(connection: &Connection) -> Result<(), StoreError> {
    let application = pragma(connection, "application_id")?;
    let version = pragma(connection, "user_version")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application, version, tables) != (0, 0, 0) {
        return Err(StoreError::Corrupt(
            "the file is a SQLite database of another program".into(),
        ));
    }
    check_version(version).map(|_| ())
}

/// The schema version of a database that is this program's and not newer than it.
pub(super) fn known_version(connection: &Connection) -> Result<usize, StoreError> {
    if pragma(connection, "application_id")? != APPLICATION_ID {
        return Err(StoreError::Corrupt(
            "the file is no database of Heliostat".into(),
        ));
    }
    check_version(pragma(connection, "user_version")?)
}

/// How many migrations a file of this version has.
fn check_version(version: i64) -> Result<usize, StoreError> {
    usize::try_from(version)
        .ok()
        .filter(|done| *done <= MIGRATIONS.len())
        .ok_or_else(|| {
            StoreError::Corrupt(format!(
                "the database has schema version {version}, this Heliostat knows up to {}: it was written by a newer one",
                MIGRATIONS.len()
            ))
        })
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = check_version(pragma(&transaction, "user_version")?)?;
    if done == MIGRATIONS.len() {
        return Ok(());
    }
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(
        None,
        "user_version",
        i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX),
    )?;
    transaction.commit()?;
    tracing::info!(from = done, to = MIGRATIONS.len(), "migrated the database");
    Ok(())
}
