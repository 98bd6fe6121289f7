//! A copy becomes the database.
//!
//! The copy is copied beside the database, proved there, and then renamed, so that at every instant there is the old database
//! or the new one. Nobody else has the database open meanwhile: the lock that servers share, and SQLite's own, are both held.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use domain::instance::InstanceId;
use domain::seal::Sealed;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use uuid::Uuid;

use super::error::{BackupError, cannot_read, cannot_write};
use super::proof::{Copy, Proof, damaged};
use super::{Part, Step};
use crate::sqlite::files::{beside, own_like, sync_folder_of};
use crate::sqlite::{cluster, mark};

/// Bytes that are copied in one go.
const CHUNK: usize = 1 << 20;
/// What SQLite keeps beside a database.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// What a database file begins with, in bytes: without it, nobody takes the file for one.
const HEADER: usize = 100;

/// Says whether a sealed VAPID key of an instance opens; the text of why not.
pub type Opens<'a> = &'a dyn Fn(InstanceId, &Sealed) -> Result<(), String>;

/// A copy to be put into the place of a database.
pub struct Restore<'a> {
    /// The copy; it stays as it is.
    pub file: &'a Path,
    /// Where the database is to be.
    pub database: &'a Path,
    /// Whether a database that is there is replaced.
    pub replace: bool,
    /// Whether the master key that servers will have opens what is sealed, if there is one to ask.
    pub opens: Option<Opens<'a>>,
}

impl std::fmt::Debug for Restore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Restore({} -> {})",
            self.file.display(),
            self.database.display()
        )
    }
}

impl Restore<'_> {
    /// Proves the copy and puts it into its place. What the database holds now.
    ///
    /// # Errors
    /// Why not; then the database is as it was.
    pub fn run(&self, watch: &dyn Fn(Step)) -> Result<Proof, BackupError> {
        self.refuse_files()?;
        let place = Place::take(self.database)?;
        let part = Part::make(beside(self.database, ".restoring"))?;
        self.copy(&part, watch)?;
        let proof = self.prove(&part.path, watch)?;
        own_like(&part.file, self.database).map_err(|error| cannot_write(self.database, &error))?;
        let aside = place.settle_logs()?;
        place.fill(&part, self.replace)?;
        aside.remove(self.database)?;
        Ok(proof)
    }

    fn refuse_files(&self) -> Result<(), BackupError> {
        if !self.file.exists() {
            return Err(BackupError::NoFile(self.file.to_owned()));
        }
        super::refuse_own_files(self.database, self.file)?;
        let log = beside(self.file, "-wal");
        if log.metadata().is_ok_and(|log| log.len() > 0) {
            return Err(BackupError::Unfinished(log));
        }
        if self.replace {
            return Ok(());
        }
        if self.database.exists() {
            return Err(BackupError::Exists(self.database.to_owned()));
        }
        let log = beside(self.database, "-wal");
        if log.exists() {
            return Err(BackupError::LogLeft(log));
        }
        Ok(())
    }

    fn copy(&self, part: &Part, watch: &dyn Fn(Step)) -> Result<(), BackupError> {
        let unread = |error| cannot_read(self.file, &error);
        let mut from = File::open(self.file).map_err(unread)?;
        let total = from.metadata().map_err(unread)?.len();
        let (mut chunk, mut copied) = (vec![0; CHUNK], 0);
        loop {
            let length = from.read(&mut chunk).map_err(unread)?;
            if length == 0 {
                break;
            }
            let written = (&part.file).write_all(&chunk[..length]);
            written.map_err(|error| cannot_write(&part.path, &error))?;
            copied += length as u64;
            watch(Step::Copied(copied, total));
        }
        part.sync()
    }

    /// Whether the copy is what it was when it was made, said of the copy and not of what was made of it.
    fn prove(&self, part: &Path, watch: &dyn Fn(Step)) -> Result<Proof, BackupError> {
        self.read(part, watch)
            .map_err(|error| error.of(part, self.file))
    }

    fn read(&self, part: &Path, watch: &dyn Fn(Step)) -> Result<Proof, BackupError> {
        let copy = Copy::open(part)?;
        copy.check_pages()?;
        let made = copy.made()?;
        let tables = copy.tables(&|rows| watch(Step::Checked(rows)))?;
        if let Some(made) = &made {
            let read: Vec<_> = tables
                .iter()
                .map(|(name, sum)| (name.clone(), sum.rows(), sum.to_string()))
                .collect();
            let same = made.tables.len() == read.len()
                && made.tables.iter().all(|table| read.contains(table));
            if !same {
                let differs = made.tables.iter().find(|table| !read.contains(table));
                let name = differs.map_or("a table", |(name, ..)| name.as_str());
                return Err(damaged(
                    part,
                    format!("{name} is not what it was when the copy was made"),
                ));
            }
        }
        if let (Some(opens), Some((id, sealed))) = (self.opens, copy.sealed_sample()?) {
            let id = Uuid::from_slice(&id).map_err(|error| damaged(part, error.to_string()))?;
            let opened = opens(InstanceId::from_uuid(id), &Sealed::from_bytes(sealed));
            opened.map_err(|why| BackupError::MasterKey {
                file: part.to_owned(),
                why,
            })?;
        }
        let proof = Proof {
            tables,
            made_at: made.map(|made| made.at),
            schema_version: copy.version()?,
        };
        copy.take_off_proof()?;
        copy.close()?;
        Ok(proof)
    }
}

/// The place of a database, which nobody else uses for as long as this is there.
struct Place {
    database: PathBuf,
    /// What servers that work on it have locked.
    _serving: File,
    /// The file that is there, for this process alone; `None` if there is none, or none that SQLite can open.
    held: Option<Connection>,
}

impl Place {
    fn take(database: &Path) -> Result<Self, BackupError> {
        let locked = cluster::lock(database);
        let (serving, alone) = locked.map_err(|error| cannot_write(database, &error))?;
        if !alone {
            return Err(BackupError::InUse(database.to_owned()));
        }
        Ok(Self {
            database: database.to_owned(),
            _serving: serving,
            held: if database.exists() {
                hold(database)?
            } else {
                None
            },
        })
    }

    /// Sees to it that the log of the database that goes is not taken for one of that which comes. What the log has is written
    /// into the database, as it would be at a restart; if that fails, nothing was changed. Beside a database that SQLite cannot
    /// read, the logs are put aside until there is another one.
    fn settle_logs(&self) -> Result<Aside, BackupError> {
        let mut aside = Aside::default();
        if let Some(connection) = &self.held {
            let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            });
            match emptied {
                Ok(0) => return self.remove_logs(),
                Ok(_) => return Err(BackupError::InUse(self.database.clone())),
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(cannot_write(&self.database, &error)),
            }
        }
        for end in LOGS {
            aside.put(&self.database, end)?;
        }
        Ok(aside)
    }

    /// They hold nothing that the database does not.
    fn remove_logs(&self) -> Result<Aside, BackupError> {
        // The mark first: without its log and with it, the database would be refused.
        mark::remove(&self.database).map_err(|error| cannot_write(&self.database, &error))?;
        for end in LOGS {
            let log = beside(&self.database, end);
            match std::fs::remove_file(&log) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(cannot_write(&log, &error));
                }
                _ => {}
            }
        }
        let synced = sync_folder_of(&self.database);
        synced.map_err(|error| cannot_write(&self.database, &error))?;
        Ok(Aside::default())
    }

    /// Puts the new file into its place. Whoever waited for the old one must not go on with it, beside the log of the new one:
    /// it is no database any more before it is let go.
    fn fill(self, part: &Part, replace: bool) -> Result<(), BackupError> {
        let Some(held) = self.held else {
            return part.give_name(&self.database, replace);
        };
        let old = File::options().write(true).open(&self.database);
        let old = old.map_err(|error| cannot_write(&self.database, &error))?;
        part.give_name(&self.database, replace)?;
        // It has no name any more, so this is for who has it open.
        let blanked = old.write_all_at(&[0xff; HEADER], 0);
        blanked.map_err(|error| cannot_write(&self.database, &error))?;
        // Only now: to close any of its files lets go of all locks of this process.
        drop(old);
        drop(held);
        Ok(())
    }
}

/// Opens the database for this process alone.
fn hold(database: &Path) -> Result<Option<Connection>, BackupError> {
    let opened = (|| {
        let connection = Connection::open_with_flags(
            database,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        // Its end must not take away the log of what comes into its place.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT; SELECT count(*) FROM sqlite_schema",
        )?;
        Ok(connection)
    })();
    match opened {
        Ok(connection) => Ok(Some(connection)),
        Err(rusqlite::Error::SqliteFailure(failure, _))
            if matches!(
                failure.code,
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked
            ) =>
        {
            Err(BackupError::InUse(database.to_owned()))
        }
        // Nobody can work on it.
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(cannot_read(database, &error)),
    }
}

/// Whether SQLite finds no database where it looks, rather than that it cannot look.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Logs under other names, which get their own back unless the database that they belong to is replaced.
#[derive(Default)]
struct Aside(Vec<(PathBuf, PathBuf)>);

impl Aside {
    fn put(&mut self, database: &Path, end: &str) -> Result<(), BackupError> {
        let (log, aside) = (
            beside(database, end),
            beside(database, &format!("{end}.replaced")),
        );
        match std::fs::rename(&log, &aside) {
            Ok(()) => self.0.push((log, aside)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_write(&log, &error)),
        }
        Ok(())
    }

    /// The database is replaced.
    fn remove(mut self, database: &Path) -> Result<(), BackupError> {
        let removed = mark::remove(database).and_then(|()| {
            let mut logs = std::mem::take(&mut self.0).into_iter();
            logs.try_for_each(|(_, aside)| std::fs::remove_file(aside))
        });
        removed.map_err(|error| cannot_write(database, &error))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        for (log, aside) in &self.0 {
            let _ = std::fs::rename(aside, log);
        }
    }
}
