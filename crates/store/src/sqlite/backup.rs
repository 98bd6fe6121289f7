//! A copy of a database while servers work on it, and back.
//!
//! A copy is of one moment: a read transaction is held for as long as it is made, so that what is written meanwhile is not in
//! it. It is made page by page, no faster than it may be, under another name; it is then read from end to end, what it holds is
//! counted and summed up into a table of its own, and only then it gets its name. Nothing here changes the database that is
//! copied.
//!
//! All of this blocks, for minutes where there is much to copy.

mod error;
mod proof;
mod restore;

use std::fs::{File, OpenOptions, TryLockError};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::clock::Timestamp;
use rusqlite::backup::{Backup as Pages, StepResult};
use rusqlite::{Connection, OpenFlags};
use tokio::time::Instant;

pub use error::BackupError;
pub use proof::Proof;
pub use restore::{Opens, Restore};

use super::files::{beside, folder_of};
use super::{mark, schema};
use error::{cannot_read, cannot_write, foreign};

/// Pages that are copied in one go, between two looks at the clock: 1 MiB of pages of 4 KiB.
const PAGES_PER_STEP: i32 = 256;
/// After how many bytes what was copied is forced to disk, so that the end of the copy is not one great wave.
const BYTES_PER_SYNC: u64 = 32 << 20;
/// How long a step may find somebody in its way, such as the recovery after a crash, before it is given up.
const BUSY_TRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// Only its owner may read a copy: it holds gateway tokens and users.
const MODE: u32 = 0o600;

/// How far it is, for who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many bytes of so many are copied.
    Copied(u64, u64),
    /// So many rows of the copy were read again.
    Checked(u64),
}

/// A copy to be made.
#[derive(Debug)]
pub struct Backup<'a> {
    /// What is copied; servers may work on it.
    pub database: &'a Path,
    /// The file that is to be the copy.
    pub file: &'a Path,
    /// Whether a file that is there is replaced.
    pub replace: bool,
    /// How fast pages are copied at most; `None` is as fast as the disk.
    pub bytes_per_second_max: Option<NonZeroU64>,
    /// What stands in the copy as the time it was made.
    pub now: Timestamp,
}

impl Backup<'_> {
    /// Makes it. What it holds, once it is on disk under its name.
    ///
    /// # Errors
    /// Why there is none; then nothing is left of it, and a file that was there is as it was.
    pub fn run(&self, watch: &dyn Fn(Step)) -> Result<Proof, BackupError> {
        if !self.database.exists() {
            return Err(BackupError::NoDatabase(self.database.to_owned()));
        }
        refuse_own_files(self.database, self.file)?;
        if self.file.exists() && !self.replace {
            return Err(BackupError::Exists(self.file.to_owned()));
        }
        let source = open_source(self.database)?;
        let part = Part::make(beside(self.file, ".part"))?;
        self.copy(&source, &part, watch)?;
        drop(source);
        let proof = proof::write(&part.path, self.now, &|rows| watch(Step::Checked(rows)))?;
        part.give_name(self.file, self.replace)?;
        Ok(proof)
    }

    fn copy(
        &self,
        source: &Connection,
        part: &Part,
        watch: &dyn Fn(Step),
    ) -> Result<(), BackupError> {
        let failed = |error| cannot_write(self.file, &error);
        let mut target = Connection::open_with_flags(
            &part.path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(failed)?;
        // A copy that breaks off is thrown away, so nothing has to be undone, and what is whole is forced to disk below.
        target
            .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            .map_err(failed)?;
        let page_size: u64 = source
            .pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))
            .map_err(|error| cannot_read(self.database, &error))?
            .into();
        let pages = Pages::new(source, &mut target).map_err(failed)?;
        let (mut pace, mut synced, mut busy) = (Pace::begin(self.bytes_per_second_max), 0, 0);
        loop {
            let step = pages.step(PAGES_PER_STEP).map_err(failed)?;
            let progress = pages.progress();
            let bytes = |pages: i32| u64::from(pages.unsigned_abs()) * page_size;
            let (total, left) = (bytes(progress.pagecount), bytes(progress.remaining));
            let copied = total.saturating_sub(left);
            watch(Step::Copied(copied, total));
            match step {
                StepResult::Done => return Ok(()),
                StepResult::More => busy = 0,
                _ if busy < BUSY_TRIES => {
                    busy += 1;
                    std::thread::sleep(BUSY_PAUSE);
                }
                _ => return Err(BackupError::Busy(self.database.to_owned())),
            }
            if copied - synced >= BYTES_PER_SYNC {
                synced = copied;
                part.sync()?;
            }
            pace.wait(copied);
        }
    }
}

/// A connection that sees one moment of the database for as long as it is there.
fn open_source(database: &Path) -> Result<Connection, BackupError> {
    let failed = |error| cannot_read(database, &error);
    let missing = mark::look(database).map_err(|error| cannot_read(database, &error))?;
    if let Some(missing) = missing {
        return Err(cannot_read(database, &missing));
    }
    let source = Connection::open_with_flags(
        database,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    source.busy_timeout(schema::BUSY_TIMEOUT).map_err(failed)?;
    schema::known_version(&source).map_err(|error| foreign(database, error))?;
    // Without a transaction around them, each step would be of another moment, and what is written meanwhile would have it all
    // begun anew, for ever.
    source
        .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
        .map_err(failed)?;
    Ok(source)
}

/// Neither the database nor what belongs to it is a place for a copy of it.
fn refuse_own_files(database: &Path, file: &Path) -> Result<(), BackupError> {
    let is_own = ["", "-wal", "-shm", ".key", ".serving", ".open"]
        .iter()
        .any(|end| {
            let own = beside(database, end);
            match (own.canonicalize(), file.canonicalize()) {
                (Ok(own), Ok(file)) => own == file,
                _ => own == file,
            }
        });
    if is_own {
        return Err(BackupError::OwnFile(file.to_owned()));
    }
    Ok(())
}

/// A file that is being made, for its owner alone, and taken away again unless it gets its name.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    /// Locked, so that nobody else makes it at the same time.
    file: File,
}

impl Part {
    fn make(path: PathBuf) -> Result<Self, BackupError> {
        let failed = |error| cannot_write(&path, &error);
        // One that was left by a run that was killed.
        if let Ok(left) = File::open(&path) {
            match left.try_lock() {
                Ok(()) => std::fs::remove_file(&path).map_err(failed)?,
                Err(TryLockError::WouldBlock) => return Err(BackupError::BeingMade(path)),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&path)
            .map_err(failed)?;
        file.try_lock()
            .map_err(|_| BackupError::BeingMade(path.clone()))?;
        Ok(Self { path, file })
    }

    fn sync(&self) -> Result<(), BackupError> {
        let synced = self.file.sync_all();
        synced.map_err(|error| cannot_write(&self.path, &error))
    }

    /// It is whole: on disk, and under its name.
    fn give_name(&self, name: &Path, replace: bool) -> Result<(), BackupError> {
        self.sync()?;
        let failed = |error| cannot_write(name, &error);
        if replace {
            std::fs::rename(&self.path, name).map_err(failed)?;
        } else {
            // Unlike a rename, this fails if somebody was first.
            match std::fs::hard_link(&self.path, name) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    return Err(BackupError::Exists(name.to_owned()));
                }
                linked => linked.map_err(failed)?,
            }
        }
        let folder = File::open(folder_of(name)).and_then(|folder| folder.sync_all());
        folder.map_err(failed)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // What was renamed is not there any more, and what has a second name keeps that.
        for end in ["", "-journal", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&self.path, end));
        }
    }
}

/// Holds back whoever copies too fast.
struct Pace {
    began: Instant,
    bytes_per_second_max: Option<NonZeroU64>,
}

impl Pace {
    fn begin(bytes_per_second_max: Option<NonZeroU64>) -> Self {
        Self {
            began: Instant::now(),
            bytes_per_second_max,
        }
    }

    /// Waits until so many bytes may have been copied.
    fn wait(&mut self, copied: u64) {
        let Some(rate) = self.bytes_per_second_max else {
            return;
        };
        let due = Duration::from_millis(copied.saturating_mul(1000) / rate);
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}
