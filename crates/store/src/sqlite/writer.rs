//! The one thread that writes: it takes what waits in the queue as a group, runs it in one transaction, commits once, and
//! only then answers.
//!
//! A commit to disk costs about as much as a thousand small changes, so whatever arrives while one commit is under way
//! shares the next. An operation that fails, or panics, undoes itself alone: its group is then run again, each operation
//! behind a savepoint of its own. If the commit fails, every operation of the group failed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::SqliteSettings;
use super::error::unavailable;
use super::queue::{Lane, Queue, Refused};
use super::schema;
use crate::StoreError;

/// After how many commits the size of the log is looked at.
const COMMITS_PER_LOOK: u64 = 64;
/// How long all writing waits for those who read, for the sake of the log's size.
const LOG_WAIT_MAX: Duration = Duration::from_millis(250);

/// What the writer has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriterStatistics {
    /// Transactions committed.
    pub commits: u64,
    /// Operations that were part of them.
    pub operations: u64,
    /// Operations that wait now.
    pub waiting: usize,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    operations: AtomicU64,
}

/// Hands operations to the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue<Box<dyn Operation>>>,
    counters: Arc<Counters>,
}

/// Why a whole group was undone.
enum Lost {
    Busy,
    Unavailable(String),
}

impl Lost {
    fn to_error(&self) -> StoreError {
        match self {
            Self::Busy => StoreError::Busy,
            Self::Unavailable(why) => unavailable(why.clone()),
        }
    }
}

impl From<rusqlite::Error> for Lost {
    fn from(error: rusqlite::Error) -> Self {
        match StoreError::from(error) {
            StoreError::Busy => Self::Busy,
            StoreError::Unavailable(source) => Self::Unavailable(source.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Something to be done within a transaction, and somebody who waits for its answer.
trait Operation: Send + std::fmt::Debug {
    /// Whether it succeeded; if not, what it wrote is undone. May be run again, when what it wrote was undone.
    fn run(&mut self, connection: &Connection) -> bool;
    /// It panicked.
    fn panicked(&mut self);
    /// Tells the caller, once it is known what became of the transaction.
    fn answer(self: Box<Self>, group: Result<(), &Lost>);
}

struct Task<T, F> {
    work: F,
    result: Result<T, StoreError>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> std::fmt::Debug for Task<T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}

impl<T, F> Operation for Task<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = (self.work)(connection);
        self.result.is_ok()
    }

    fn panicked(&mut self) {
        self.result = Err(StoreError::Corrupt("an operation panicked".into()));
    }

    fn answer(self: Box<Self>, group: Result<(), &Lost>) {
        let answer = match (self.result, group) {
            (Ok(_), Err(lost)) => Err(lost.to_error()),
            (result, _) => result,
        };
        // A caller who went away does not want to know.
        let _ = self.caller.send(answer);
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        connection: Connection,
        path: &Path,
        settings: SqliteSettings,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        let queue = Arc::new(Queue::new(settings.queue_length));
        let counters = Arc::new(Counters::default());
        let (own_queue, own_counters) = (Arc::clone(&queue), Arc::clone(&counters));
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = Log {
            path: log.into(),
            size_max: settings.log_size_max,
            next_try: Cell::default(),
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                run(
                    &connection,
                    &own_queue,
                    &own_counters,
                    settings.group_max,
                    &log,
                );
            })
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok((Self { queue, counters }, thread))
    }

    /// Runs `work` as a part of the next transaction. When this returns `Ok`, it is on disk. The work is done even if the
    /// caller stops waiting; it may be undone and done anew, so it changes nothing but the database.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_in(Lane::Own, work).await
    }

    /// [`Writer::run`] for what devices ask for, of which others must not have to wait.
    pub(super) async fn run_for_devices<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_in(Lane::Devices, work).await
    }

    async fn run_in<T, F>(&self, lane: Lane, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let task = Task {
            work,
            result: Err(unavailable("the operation was not run")),
            caller,
        };
        self.queue
            .push(lane, Box::new(task))
            .map_err(|refused| match refused {
                Refused::Full => StoreError::Busy,
                Refused::Closed => unavailable("the store is closed"),
            })?;
        answer
            .await
            .unwrap_or_else(|_| Err(unavailable("the writing thread has ended")))
    }

    pub(super) fn statistics(&self) -> WriterStatistics {
        WriterStatistics {
            commits: self.counters.commits.load(Ordering::Relaxed),
            operations: self.counters.operations.load(Ordering::Relaxed),
            waiting: self.queue.len(),
        }
    }

    /// Takes no more operations; the thread ends when it has done what waits.
    pub(super) fn close(&self) {
        self.queue.close();
    }
}

/// The write-ahead log's file.
struct Log {
    path: PathBuf,
    size_max: u64,
    /// The size from which the next try is worth it: while somebody reads for long, such as a backup, none succeeds.
    next_try: Cell<u64>,
}

impl Log {
    /// Begins the log anew if it has grown too large, waiting for those who read to come to the end of their short
    /// transactions. Who takes longer is not waited for: the log may grow by as much again before the next try.
    fn keep_small(&self, connection: &Connection) {
        let size = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        if size <= self.size_max {
            self.next_try.set(0);
        } else if size >= self.next_try.get() {
            let cut = begin_log_anew(connection);
            let left = std::fs::metadata(&self.path).map_or(0, |file| file.len());
            tracing::debug!(size, left, ok = cut.is_ok(), "cut the write-ahead log back");
            self.next_try.set(left.saturating_add(self.size_max));
        }
    }
}

fn begin_log_anew(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(LOG_WAIT_MAX)?;
    let cut = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    connection.busy_timeout(schema::BUSY_TIMEOUT)?;
    cut
}

fn run(
    connection: &Connection,
    queue: &Queue<Box<dyn Operation>>,
    counters: &Counters,
    group_max: usize,
    log: &Log,
) {
    let mut group = Vec::new();
    while queue.take(&mut group, group_max) {
        let committed = apply(connection, &mut group);
        if let Err(lost) = &committed {
            if !connection.is_autocommit() {
                // Nothing can be done if this fails too: the next BEGIN will, and tell its callers.
                let _ = connection.execute_batch("ROLLBACK");
            }
            let (Lost::Unavailable(why), operations) = (lost, group.len()) else {
                answer(&mut group, &committed);
                continue;
            };
            tracing::error!(error = %why, operations, "a transaction failed");
        } else {
            let commits = counters.commits.fetch_add(1, Ordering::Relaxed);
            if commits.is_multiple_of(COMMITS_PER_LOOK) {
                log.keep_small(connection);
            }
            let operations = u64::try_from(group.len()).unwrap_or(u64::MAX);
            counters.operations.fetch_add(operations, Ordering::Relaxed);
        }
        answer(&mut group, &committed);
    }
    // The log is left empty, so that the file alone is the database. Whoever else has it open may prevent that.
    let _ = connection.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)");
}

fn answer(group: &mut Vec<Box<dyn Operation>>, committed: &Result<(), Lost>) {
    for operation in group.drain(..) {
        operation.answer(committed.as_ref().copied());
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// Runs a group in one transaction.
fn apply(connection: &Connection, group: &mut [Box<dyn Operation>]) -> Result<(), Lost> {
    execute(connection, "BEGIN IMMEDIATE")?;
    // Almost always all of them succeed, and then none of them needs a savepoint, for which SQLite would keep a copy of each
    // page that an operation touches.
    for operation in group.iter_mut() {
        let succeeded = attempt(connection, operation.as_mut());
        check_open(connection)?;
        if !succeeded {
            execute(connection, "ROLLBACK")?;
            return match group {
                [_alone] => Ok(()),
                _ => apply_each(connection, group),
            };
        }
    }
    execute(connection, "COMMIT")?;
    Ok(())
}

/// The same for a group in which an operation fails, so that those that succeed are written.
fn apply_each(connection: &Connection, group: &mut [Box<dyn Operation>]) -> Result<(), Lost> {
    execute(connection, "BEGIN IMMEDIATE")?;
    for operation in group {
        execute(connection, "SAVEPOINT operation")?;
        let succeeded = attempt(connection, operation.as_mut());
        check_open(connection)?;
        if !succeeded {
            execute(connection, "ROLLBACK TO operation")?;
        }
        execute(connection, "RELEASE operation")?;
    }
    execute(connection, "COMMIT")?;
    Ok(())
}

/// A full disk and the like make SQLite roll back on its own, which undoes what the others of the group wrote.
fn check_open(connection: &Connection) -> Result<(), Lost> {
    if connection.is_autocommit() {
        return Err(Lost::Unavailable(
            "the transaction was rolled back by an error of the storage".into(),
        ));
    }
    Ok(())
}

fn attempt(connection: &Connection, operation: &mut dyn Operation) -> bool {
    // The connection is sound after a panic: the savepoint is rolled back, statements reset themselves when dropped.
    match catch_unwind(AssertUnwindSafe(|| operation.run(connection))) {
        Ok(succeeded) => succeeded,
        Err(_) => {
            tracing::error!("an operation of the store panicked");
            operation.panicked();
            false
        }
    }
}
