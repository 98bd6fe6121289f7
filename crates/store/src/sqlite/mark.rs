//! The file `….open` beside a database: the log may hold what the database does not.
//!
//! To SQLite, a database without its log is a whole one. It is not if the process that wrote last was killed: without the log,
//! what was acknowledged last is gone, and if a checkpoint was under way, nothing fits together. So a mark is on disk before
//! the first write goes to the log, and it is taken away when all of the log is in the database. Who finds the mark and no log
//! refuses.
//!
//! Whoever has the database open to write holds the mark's file locked, shared, and who closes it last, alone with the lock,
//! takes the mark away. SQLite deletes the log when the last connection is closed; connections are kept from that unless the
//! mark is gone already. Hence: where there is a mark, there is a log, unless somebody else took it away.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::unavailable;
use super::files::{beside, is_at, own_like, real_path, sync_folder_of};
use crate::StoreError;

/// For people who wonder.
const TEXT: &[u8] =
    b"The log (-wal) may hold what the database does not. Never delete one of these files without the others.\n";
/// What may open the file if there is no database yet that could tell.
const MODE: u32 = 0o600;
/// How often the lock is tried while another process closes the database, which is a checkpoint long.
const TRIES_MAX: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(10);

/// What of a database is not there, though it must be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Missing {
    /// The log.
    #[error(
        "its log {} is gone, and held what the database does not, since nobody closed that in good order: put the log back, \
         restore a backup, or go on without what it held by `heliostat serve --accept-lost-log`",
        .0.display()
    )]
    Log(PathBuf),
    /// The database.
    #[error(
        "the database itself is gone or empty, and {} says that it was in use: put it back or restore a backup; an empty one is \
         made if that file is put away too",
        .0.display()
    )]
    Database(PathBuf),
}

/// The mark of a database that is open, and a lock on it.
#[derive(Debug)]
pub(super) struct Mark {
    database: PathBuf,
    path: PathBuf,
    file: File,
}

impl Mark {
    /// Says that the database is about to be opened. Waits for who is about to close it.
    pub(super) fn take(database: &Path) -> io::Result<Self> {
        let database = real_path(database);
        let path = path_of(&database);
        for _ in 0..TRIES_MAX {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(MODE)
                .open(&path)?;
            match file.try_lock_shared() {
                // Who was last may have taken the file away in between.
                Ok(()) if is_at(&file, &path)? => {
                    own_like(&file, &database)?;
                    let mark = Self {
                        database,
                        path,
                        file,
                    };
                    mark.permit_like_database();
                    return Ok(mark);
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("another process holds {} locked", path.display()),
        ))
    }

    /// Whoever may open the database may open this.
    fn permit_like_database(&self) {
        if let Ok(like) = std::fs::metadata(&self.database) {
            let mode = like.permissions().mode() & 0o666;
            // Only its owner can, and has.
            let _ = self.file.set_permissions(Permissions::from_mode(mode));
        }
    }

    /// Whether somebody has the database open, or had and did not close it.
    pub(super) fn is_set(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() > 0)
    }

    /// Refuses to go on without a file that must be there. Asked before SQLite opens anything, since that would make it.
    pub(super) fn refuse_missing(&self, accept_lost_log: bool) -> Result<(), StoreError> {
        let missing = missing(&self.database, self.is_set().map_err(failed)?);
        match missing.map_err(failed)? {
            None => Ok(()),
            Some(Missing::Log(log)) if accept_lost_log => {
                check_pages(&self.database)?;
                tracing::warn!(
                    log = %log.display(),
                    "the log of the database is gone; its pages and indexes are sound, so this goes on without what the log held"
                );
                Ok(())
            }
            Some(missing) => Err(failed(missing)),
        }
    }

    /// Sets the mark. There is a log now, and nothing was written to it; both have their names on disk when this returns.
    pub(super) fn set(&self) -> io::Result<()> {
        if !self.is_set()? {
            self.file.write_all_at(TEXT, 0)?;
        }
        self.file.sync_all()?;
        sync_folder_of(&self.path)
    }

    /// Whether nobody else has the database open. If so, nobody opens it as long as this is there; if not, this process may not
    /// write any more.
    pub(super) fn is_alone(&self) -> bool {
        self.file.try_lock().is_ok()
    }

    /// Takes the mark away: all of the log is in the database. Only for who is alone.
    pub(super) fn clear(&self) -> io::Result<()> {
        if is_at(&self.file, &self.path)? {
            std::fs::remove_file(&self.path)?;
            sync_folder_of(&self.path)?;
        }
        Ok(())
    }
}

impl Drop for Mark {
    /// What was never set is not left behind.
    fn drop(&mut self) {
        if self.is_set().is_ok_and(|set| !set) && self.is_alone() {
            let _ = self.clear();
        }
    }
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(source))
}

fn path_of(database: &Path) -> PathBuf {
    beside(database, ".open")
}

/// How long a file is; nothing if there is none.
fn length(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::metadata(path) {
        Ok(file) => Ok(Some(file.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn missing(database: &Path, is_marked: bool) -> io::Result<Option<Missing>> {
    let log = beside(database, "-wal");
    let has_database = length(database)?.is_some_and(|length| length > 0);
    Ok(match length(&log)? {
        // SQLite deletes the log of an empty database.
        Some(1..) if !has_database => Some(Missing::Database(log)),
        _ if is_marked && !has_database => Some(Missing::Database(path_of(database))),
        None if is_marked => Some(Missing::Log(log)),
        _ => None,
    })
}

/// What of a database is missing, for who only reads it.
pub(super) fn look(database: &Path) -> io::Result<Option<Missing>> {
    let database = real_path(database);
    let is_marked = length(&path_of(&database))?.is_some_and(|length| length > 0);
    missing(&database, is_marked)
}

/// Takes the mark off a database that nobody has open, and whose log is not needed any more.
pub(super) fn remove(database: &Path) -> io::Result<()> {
    let path = path_of(&real_path(database));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder_of(&path),
    }
}

/// Reads every page and index of the database as it is without a log, and makes none.
fn check_pages(database: &Path) -> Result<(), StoreError> {
    let connection = Connection::open_with_flags(
        immutable(database),
        OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI,
    )?;
    let said = connection.query_row("PRAGMA integrity_check(1)", [], |row| {
        row.get::<_, String>(0)
    });
    match said {
        Ok(word) if word == "ok" => Ok(()),
        Ok(what) => Err(damaged(&what)),
        Err(error) => match StoreError::from(error) {
            StoreError::Corrupt(what) => Err(damaged(&what)),
            other => Err(other),
        },
    }
}

fn damaged(what: &str) -> StoreError {
    unavailable(format!(
        "without its log the database is damaged: put the log back or restore a backup ({what})"
    ))
}

/// The name by which SQLite opens a file without looking for a log.
fn immutable(database: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut name = String::from("file:");
    for byte in database.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                name.push(char::from(*byte));
            }
            other => {
                let _ = write!(name, "%{other:02X}");
            }
        }
    }
    name.push_str("?immutable=1");
    name
}
