//! The write-ahead log as the writing thread cares for it: that it stays small, that it has its name, and that it is empty at
//! the end.

use std::cell::Cell;
use std::time::Duration;

use rusqlite::Connection;

use super::files::{Files, Moved};
use super::mark::Mark;
use super::schema;

/// How long all writing waits for those who read, for the sake of the log's size.
const LOG_WAIT_MAX: Duration = Duration::from_millis(250);

/// What keeps the log from being lost.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) files: Files,
    pub(super) mark: Mark,
}

/// The write-ahead log's file.
pub(super) struct Log {
    guard: Guard,
    size_max: u64,
    /// The size from which the next try is worth it: while somebody reads for long, such as a backup, none succeeds.
    next_try: Cell<u64>,
    /// Whether the files were not where they belong when they were looked at last.
    is_moved: Cell<bool>,
}

impl Log {
    pub(super) fn new(guard: Guard, size_max: u64) -> Self {
        Self {
            guard,
            size_max,
            next_try: Cell::default(),
            is_moved: Cell::default(),
        }
    }

    fn length(&self) -> u64 {
        std::fs::metadata(self.guard.files.log()).map_or(0, |file| file.len())
    }

    /// Whether what was committed will be found again. If not, what is in a log without a name is written into the database at
    /// once, since all that was acknowledged before is in these two.
    pub(super) fn check(&self, connection: &Connection) -> Result<(), Moved> {
        let moved = self.guard.files.check();
        let was_moved = self.is_moved.replace(moved.is_err());
        if moved.is_err() && !was_moved {
            let saved = empty_log(connection);
            tracing::error!(
                saved = matches!(saved, Ok(true)),
                "a file of the database was deleted or replaced while it is in use"
            );
        }
        moved
    }

    /// The same before anything is written, if it is known that it will not be found.
    pub(super) fn check_again(&self, connection: &Connection) -> Result<(), Moved> {
        if self.is_moved.get() {
            self.check(connection)?;
        }
        Ok(())
    }

    /// The last thing: all of the log is written into the database, so that the file alone is the database, and the mark goes.
    /// Whoever else has it open prevents that, and does it when he closes it.
    pub(super) fn close(&self, connection: &Connection) {
        let _ = connection.execute_batch("PRAGMA optimize");
        let Guard { files, mark } = &self.guard;
        let is_alone = mark.is_alone();
        let is_empty = matches!(empty_log(connection), Ok(true));
        if is_alone && is_empty && files.has_database() && mark.clear().is_ok() {
            // Otherwise an empty log is left.
            let _ = schema::let_go_of_log(connection);
        }
    }

    /// Begins the log anew if it has grown too large, waiting for those who read to come to the end of their short
    /// transactions. Who takes longer is not waited for: the log may grow by as much again before the next try.
    pub(super) fn keep_small(&self, connection: &Connection) {
        let size = self.length();
        if size <= self.size_max {
            self.next_try.set(0);
        } else if size >= self.next_try.get() {
            let cut = begin_log_anew(connection);
            let left = self.length();
            tracing::debug!(size, left, ok = cut.is_ok(), "cut the write-ahead log back");
            self.next_try.set(left.saturating_add(self.size_max));
        }
    }
}

/// Writes all of the log into the database. Whether that was possible: others may still need what is in the log.
fn empty_log(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        Ok(row.get::<_, i64>(0)? == 0)
    })
}

fn begin_log_anew(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(LOG_WAIT_MAX)?;
    let cut = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    connection.busy_timeout(schema::BUSY_TIMEOUT)?;
    cut
}
