//! What a copy holds: every table counted and summed up, in the copy itself.
//!
//! The tables are those that the file has, whatever its schema, so a copy can be proved by a program that is newer than it.

use std::path::{Path, PathBuf};

use domain::clock::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::error::{BackupError, cannot_read, cannot_write, foreign};
use crate::moving::{Cell, Row, Sum};
use crate::sqlite::schema;

/// After how many rows who watches is told.
const ROWS_PER_STEP: u64 = 4096;
/// Where a copy says what it holds, and when it was made. A database in use has neither.
const SUMS: &str = "backup_sums";
const MADE: &str = "backup_made";

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Each table with its sum.
    pub tables: Vec<(String, Sum)>,
    /// When the copy was made; `None` if it was not `heliostat backup` that made it.
    pub made_at: Option<Timestamp>,
    /// The version of its schema.
    pub schema_version: usize,
}

impl Proof {
    /// How many rows a table has.
    pub fn rows(&self, table: &str) -> u64 {
        let found = self.tables.iter().find(|(name, _)| name == table);
        found.map_or(0, |(_, sum)| sum.rows())
    }
}

/// Reads a fresh copy from end to end, and writes into it what it holds. It is one file afterwards.
pub(super) fn write(
    file: &Path,
    now: Timestamp,
    watch: &dyn Fn(u64),
) -> Result<Proof, BackupError> {
    let copy = Copy::open(file)?;
    copy.check_pages()?;
    let proof = Proof {
        tables: copy.tables(watch)?,
        made_at: Some(now),
        schema_version: copy.version()?,
    };
    let failed = |error| cannot_write(file, &error);
    copy.take_off_proof()?;
    copy.connection
        .execute_batch(&format!(
            "BEGIN;
             CREATE TABLE {MADE} (at INTEGER NOT NULL, program TEXT NOT NULL) STRICT;
             CREATE TABLE {SUMS} (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, sum TEXT NOT NULL) STRICT"
        ))
        .map_err(failed)?;
    copy.connection
        .execute(
            &format!("INSERT INTO {MADE} (at, program) VALUES (?1, ?2)"),
            params![now.as_millis(), env!("CARGO_PKG_VERSION")],
        )
        .map_err(failed)?;
    for (name, sum) in &proof.tables {
        let rows = i64::try_from(sum.rows()).unwrap_or(i64::MAX);
        copy.connection
            .execute(
                &format!("INSERT INTO {SUMS} (name, rows, sum) VALUES (?1, ?2, ?3)"),
                params![name, rows, sum.to_string()],
            )
            .map_err(failed)?;
    }
    copy.connection.execute_batch("COMMIT").map_err(failed)?;
    copy.connection
        .close()
        .map_err(|(_, error)| failed(error))?;
    Ok(proof)
}

/// The id of an instance and its VAPID key, sealed.
type Sample = (Vec<u8>, Vec<u8>);

/// A copy that is open.
pub(super) struct Copy {
    file: PathBuf,
    pub(super) connection: Connection,
}

impl Copy {
    /// Opens one that nobody else uses, so that it is a single file.
    pub(super) fn open(file: &Path) -> Result<Self, BackupError> {
        let failed = |error: rusqlite::Error| damaged(file, error.to_string());
        let connection = Connection::open_with_flags(
            file,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|error| cannot_read(file, &error))?;
        schema::known_version(&connection).map_err(|error| foreign(file, error))?;
        connection
            .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL")
            .map_err(failed)?;
        Ok(Self {
            file: file.to_owned(),
            connection,
        })
    }

    /// Which version its schema has.
    pub(super) fn version(&self) -> Result<usize, BackupError> {
        schema::known_version(&self.connection)
            .map_err(|error| damaged(&self.file, error.to_string()))
    }

    /// Whether every page is what it should be, and every index has what its table has.
    pub(super) fn check_pages(&self) -> Result<(), BackupError> {
        let said = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| {
                row.get::<_, String>(0)
            });
        match said {
            Ok(word) if word == "ok" => Ok(()),
            Ok(what) => Err(damaged(&self.file, what)),
            Err(error) => Err(damaged(&self.file, error.to_string())),
        }
    }

    /// Its tables, each with its sum.
    pub(super) fn tables(&self, watch: &dyn Fn(u64)) -> Result<Vec<(String, Sum)>, BackupError> {
        let summed = summed(&self.connection, watch);
        summed.map_err(|error| damaged(&self.file, error.to_string()))
    }

    /// When it was made and what it held then, if it says so.
    pub(super) fn made(&self) -> Result<Option<Made>, BackupError> {
        let read = made(&self.connection);
        read.map_err(|error| damaged(&self.file, error.to_string()))
    }

    /// Makes it a database like any other.
    pub(super) fn take_off_proof(&self) -> Result<(), BackupError> {
        let sql = format!("DROP TABLE IF EXISTS {SUMS}; DROP TABLE IF EXISTS {MADE}");
        let dropped = self.connection.execute_batch(&sql);
        dropped.map_err(|error| cannot_write(&self.file, &error))
    }

    /// The sealed VAPID key of an instance, if there is one: which master key opens the rest, it tells.
    pub(super) fn sealed_sample(&self) -> Result<Option<Sample>, BackupError> {
        let sample = self
            .connection
            .query_row(
                "SELECT id, vapid_private_key FROM instances WHERE deleted = 0 LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional();
        sample.map_err(|error| damaged(&self.file, error.to_string()))
    }

    pub(super) fn close(self) -> Result<(), BackupError> {
        let closed = self.connection.close();
        closed.map_err(|(_, error)| cannot_write(&self.file, &error))
    }
}

pub(super) fn damaged(file: &Path, what: String) -> BackupError {
    BackupError::Damaged {
        file: file.to_owned(),
        what,
    }
}

/// What a copy says of itself.
pub(super) struct Made {
    pub(super) at: Timestamp,
    /// Name, rows and sum of each table.
    pub(super) tables: Vec<(String, u64, String)>,
}

fn made(connection: &Connection) -> rusqlite::Result<Option<Made>> {
    if !connection.table_exists(None, MADE)? {
        return Ok(None);
    }
    let at: i64 = connection.query_row(&format!("SELECT at FROM {MADE}"), [], |row| row.get(0))?;
    let mut statement = connection.prepare(&format!(
        "SELECT name, rows, sum FROM {SUMS} ORDER BY rowid"
    ))?;
    let tables = statement.query_map([], |row| {
        let rows: i64 = row.get(1)?;
        Ok((row.get(0)?, rows.unsigned_abs(), row.get(2)?))
    })?;
    Ok(Some(Made {
        at: Timestamp::from_millis(at),
        tables: tables.collect::<Result<_, _>>()?,
    }))
}

fn summed(connection: &Connection, watch: &dyn Fn(u64)) -> rusqlite::Result<Vec<(String, Sum)>> {
    // The statistics of SQLite are not ours, and may be made anew at any time.
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%' AND name NOT IN (?1, ?2)
         ORDER BY name",
    )?;
    let names: Vec<String> = statement
        .query_map([SUMS, MADE], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let (mut tables, mut seen) = (Vec::new(), 0);
    for name in names {
        let mut statement = connection.prepare(&format!("SELECT * FROM \"{name}\""))?;
        let columns = statement.column_count();
        let mut found = statement.query([])?;
        let mut sum = Sum::default();
        while let Some(row) = found.next()? {
            let cells: Result<Row, _> = (0..columns).map(|at| row.get_ref(at).map(cell)).collect();
            sum.add(&cells?);
            seen += 1;
            if seen % ROWS_PER_STEP == 0 {
                watch(seen);
            }
        }
        tables.push((name, sum));
    }
    watch(seen);
    Ok(tables)
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Real(number) => Cell::Bytes(number.to_bits().to_be_bytes().to_vec()),
        // A text that is none any more is summed up like any other: what is wrong with it shows in the sum.
        ValueRef::Text(bytes) => Cell::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
    }
}
