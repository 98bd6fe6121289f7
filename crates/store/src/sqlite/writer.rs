//! The one thread that writes: it takes what waits in the queue as a group, runs it in one transaction, commits once, and
//! only then answers.
//!
//! A commit to disk costs about as much as a thousand small changes, so whatever arrives while one commit is under way
//! shares the next. An operation that fails, or panics, undoes itself alone: its group is then run again, each operation
//! behind a savepoint of its own. One that is refused before it changed anything has nothing to undo. If the commit fails,
//! every operation of the group failed.
//!
//! How long a group takes is the time that a publish waits for. Deliveries that are tried again, and what devices ask for, come last
//! in it; each has a share of its work that is measured while it is done, and what is beyond that goes back into the queue.

use std::mem::discriminant;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::SqliteSettings;
use super::error::{is_refusal, unavailable};
use super::files::Moved;
use super::log::{Guard, Log};
use super::queue::{Lane, Queue, Refused};
use crate::StoreError;

/// After how many commits the size of the log is looked at.
const COMMITS_PER_LOOK: u64 = 64;
/// From how much work on, in names that came and rows that were changed, nothing more of devices is begun in a group. One
/// request comes with some thousand names at most, and changes a few rows for each.
const DEVICES_WORK_MAX: u64 = 5_000;
/// The same for retries, in rows that were changed: four for each, if it is the last of its publish.
const RETRIES_WORK_MAX: u64 = 400;

/// What the writer has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriterStatistics {
    /// Transactions committed.
    pub commits: u64,
    /// Operations that were part of them.
    pub operations: u64,
    /// Groups that were done again, since one of their operations failed.
    pub repeated: u64,
    /// Operations that wait now.
    pub waiting: usize,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    operations: AtomicU64,
    repeated: AtomicU64,
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

impl From<Moved> for Lost {
    fn from(moved: Moved) -> Self {
        Self::Unavailable(moved.to_string())
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
    /// Whose it is.
    fn lane(&self) -> Lane;
    /// Whether what it wrote may stay; if not, it is undone. May be run again, when what it wrote was undone.
    fn run(&mut self, connection: &Connection) -> bool;
    /// It panicked.
    fn panicked(&mut self);
    /// Tells the caller, once it is known what became of the transaction.
    fn answer(self: Box<Self>, group: Result<(), &Lost>);
}

struct Task<T, F> {
    lane: Lane,
    work: F,
    /// Nothing before it was run.
    result: Option<Result<T, StoreError>>,
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
    fn lane(&self) -> Lane {
        self.lane
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let before = connection.total_changes();
        let result = (self.work)(connection);
        let may_stay = match &result {
            Ok(_) => true,
            Err(error) => is_refusal(error) && connection.total_changes() == before,
        };
        self.result = Some(result);
        may_stay
    }

    fn panicked(&mut self) {
        self.result = Some(Err(StoreError::Corrupt("an operation panicked".into())));
    }

    fn answer(self: Box<Self>, group: Result<(), &Lost>) {
        let answer = match (self.result, group) {
            // What was looked at may have been written by the same group.
            (Some(Err(own)), Err(lost)) if is_refusal(&own) => Err(lost.to_error()),
            (Some(Err(own)), _) => Err(own),
            (_, Err(lost)) => Err(lost.to_error()),
            (Some(done), Ok(())) => done,
            (None, Ok(())) => Err(unavailable("the operation was not run")),
        };
        // A caller who went away does not want to know.
        let _ = self.caller.send(answer);
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        connection: Connection,
        guard: Guard,
        settings: SqliteSettings,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        let queue = Arc::new(Queue::new(settings.queue_length));
        let counters = Arc::new(Counters::default());
        let log = Log::new(guard, settings.log_size_max);
        let worker = Worker {
            connection,
            queue: Arc::clone(&queue),
            counters: Arc::clone(&counters),
            group_max: settings.group_max,
            log,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                worker.run();
                worker.log.close(&worker.connection);
                let Worker {
                    connection, log, ..
                } = worker;
                // In this order: who waits for the lock finds the log as SQLite left it.
                drop(connection);
                drop(log);
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
        self.run_in(Lane::Devices { names: 0 }, work).await
    }

    /// [`Writer::run_for_devices`] for what comes with so many names.
    pub(super) async fn run_with_names<T, F>(&self, names: usize, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_in(Lane::Devices { names }, work).await
    }

    /// [`Writer::run`] for deliveries that are tried again, which can be so many that others would have to wait.
    pub(super) async fn run_for_retries<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_in(Lane::Retries, work).await
    }

    async fn run_in<T, F>(&self, lane: Lane, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let task = Task {
            lane,
            work,
            result: None,
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
            repeated: self.counters.repeated.load(Ordering::Relaxed),
            waiting: self.queue.len(),
        }
    }

    /// Takes no more operations; the thread ends when it has done what waits.
    pub(super) fn close(&self) {
        self.queue.close();
    }
}

/// What of a group's work a lane has had.
#[derive(Default)]
struct Share {
    names: u64,
    /// How many rows had been changed before the first of its operations.
    changes_before: Option<u64>,
}

impl Share {
    /// Whether the next operation may be begun.
    fn admits(&mut self, connection: &Connection, names: usize, work_max: u64) -> bool {
        let changes = connection.total_changes();
        let before = *self.changes_before.get_or_insert(changes);
        let admits = self.names.saturating_add(changes - before) < work_max;
        self.names = (self.names).saturating_add(u64::try_from(names).unwrap_or(u64::MAX));
        admits
    }
}

/// The lanes of a group that have a share of it.
#[derive(Default)]
struct Shares {
    retries: Share,
    devices: Share,
}

impl Shares {
    fn admit(&mut self, connection: &Connection, lane: Lane) -> bool {
        let (retries, devices) = (&mut self.retries, &mut self.devices);
        match lane {
            Lane::Own => true,
            Lane::Retries => retries.admits(connection, 0, RETRIES_WORK_MAX),
            Lane::Devices { names } => devices.admits(connection, names, DEVICES_WORK_MAX),
        }
    }
}

/// What the thread has.
struct Worker {
    connection: Connection,
    queue: Arc<Queue<Box<dyn Operation>>>,
    counters: Arc<Counters>,
    group_max: usize,
    log: Log,
}

impl Worker {
    fn run(&self) {
        let mut group = Vec::new();
        while self.queue.take(&mut group, self.group_max) {
            let committed = self
                .log
                .check_again(&self.connection)
                .map_err(Lost::from)
                .and_then(|()| self.apply(&mut group))
                .and_then(|()| Ok(self.log.check(&self.connection)?));
            if let Err(lost) = &committed {
                if !self.connection.is_autocommit() {
                    // Nothing can be done if this fails too: the next BEGIN will, and tell its callers.
                    let _ = self.connection.execute_batch("ROLLBACK");
                }
                let (Lost::Unavailable(why), operations) = (lost, group.len()) else {
                    answer(&mut group, &committed);
                    continue;
                };
                tracing::error!(error = %why, operations, "a transaction failed");
            } else {
                let commits = self.counters.commits.fetch_add(1, Ordering::Relaxed);
                if commits.is_multiple_of(COMMITS_PER_LOOK) {
                    self.log.keep_small(&self.connection);
                }
                let operations = u64::try_from(group.len()).unwrap_or(u64::MAX);
                let counted = &self.counters.operations;
                counted.fetch_add(operations, Ordering::Relaxed);
            }
            answer(&mut group, &committed);
        }
    }

    /// Runs a group in one transaction. What its lane has no share for any more is not in it afterwards.
    fn apply(&self, group: &mut Vec<Box<dyn Operation>>) -> Result<(), Lost> {
        let connection = &self.connection;
        execute(connection, "BEGIN IMMEDIATE")?;
        let mut shares = Shares::default();
        let mut done = 0;
        // Almost always all of them succeed, and then none of them needs a savepoint, for which SQLite would keep a copy of
        // each page that an operation touches.
        while let Some(operation) = self.next(group, done, &mut shares) {
            let may_stay = attempt(connection, operation);
            check_open(connection)?;
            if !may_stay {
                execute(connection, "ROLLBACK")?;
                if group.len() == 1 {
                    return Ok(());
                }
                self.counters.repeated.fetch_add(1, Ordering::Relaxed);
                return self.apply_each(group);
            }
            done += 1;
        }
        execute(connection, "COMMIT")?;
        Ok(())
    }

    /// The same for a group in which an operation fails, so that those that succeed are written.
    fn apply_each(&self, group: &mut Vec<Box<dyn Operation>>) -> Result<(), Lost> {
        let connection = &self.connection;
        execute(connection, "BEGIN IMMEDIATE")?;
        let mut shares = Shares::default();
        let mut done = 0;
        while let Some(operation) = self.next(group, done, &mut shares) {
            execute(connection, "SAVEPOINT operation")?;
            let may_stay = attempt(connection, operation);
            check_open(connection)?;
            if !may_stay {
                execute(connection, "ROLLBACK TO operation")?;
            }
            execute(connection, "RELEASE operation")?;
            done += 1;
        }
        execute(connection, "COMMIT")?;
        Ok(())
    }

    /// The operation of a group that comes at this place. If its lane has had its share, the rest of that lane goes back into the
    /// queue first, and the next lane has the place: a group is in the order of its lanes.
    fn next<'g>(
        &self,
        group: &'g mut Vec<Box<dyn Operation>>,
        at: usize,
        shares: &mut Shares,
    ) -> Option<&'g mut dyn Operation> {
        loop {
            let lane = group.get(at)?.lane();
            if shares.admit(&self.connection, lane) {
                break;
            }
            let count = (group.iter().skip(at))
                .take_while(|operation| discriminant(&operation.lane()) == discriminant(&lane))
                .count();
            let postponed = group
                .drain(at..at + count)
                .map(|operation| (operation.lane(), operation));
            self.queue.put_back(postponed);
        }
        group.get_mut(at).map(|operation| &mut **operation as _)
    }
}

fn answer(group: &mut Vec<Box<dyn Operation>>, committed: &Result<(), Lost>) {
    for operation in group.drain(..) {
        operation.answer(committed.as_ref().copied());
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
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
        Ok(may_stay) => may_stay,
        Err(_) => {
            tracing::error!("an operation of the store panicked");
            operation.panicked();
            false
        }
    }
}
