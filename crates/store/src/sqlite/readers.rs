//! A few threads that read, each with a connection of its own that cannot write.
//!
//! Each call is one short read transaction: it sees all that was committed before it began, and ends before it answers. A
//! long one would keep the write-ahead log from being cut back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::unavailable;
use super::queue::{Lane, Queue, Refused};
use super::schema;
use crate::StoreError;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Hands reads to the reading threads.
pub(super) struct Readers {
    queue: Arc<Queue<Read>>,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers")
            .field("waiting", &self.queue.len())
            .finish()
    }
}

impl Readers {
    /// Starts the threads.
    pub(super) fn start(
        path: &Path,
        readers: usize,
        queue_length: usize,
        cache_kib: u32,
    ) -> Result<(Self, Vec<JoinHandle<()>>), StoreError> {
        let queue: Arc<Queue<Read>> = Arc::new(Queue::new(queue_length));
        let own = Self {
            queue: Arc::clone(&queue),
        };
        let mut threads = Vec::new();
        for number in 0..readers.max(1) {
            let connection = schema::open_reader(path, cache_kib)?;
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new()
                .name(format!("store-reader-{number}"))
                .spawn(move || run(&connection, &queue))
                .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
            threads.push(thread);
        }
        Ok((own, threads))
    }

    /// Runs `work` in a read transaction that begins after this call.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_in(Lane::Own, work).await
    }

    /// [`Readers::run`] for what devices ask for, of which others must not have to wait.
    pub(super) async fn run_for_devices<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_in(Lane::Devices { names: 0 }, work).await
    }

    async fn run_in<T, F>(&self, lane: Lane, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            // A caller who went away does not want to know.
            if !caller.is_closed() {
                let _ = caller.send(in_transaction(connection, work));
            }
        });
        self.queue
            .push(lane, read)
            .map_err(|refused| match refused {
                Refused::Full => StoreError::Busy,
                Refused::Closed => unavailable("the store is closed"),
            })?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Corrupt("a read panicked".into())))
    }

    /// Takes no more reads; the threads end when they have done what waits.
    pub(super) fn close(&self) {
        self.queue.close();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(connection: &Connection, queue: &Queue<Read>) {
    let mut reads = Vec::with_capacity(1);
    while queue.take(&mut reads, 1) {
        for read in reads.drain(..) {
            if catch_unwind(AssertUnwindSafe(|| read(connection))).is_err() {
                tracing::error!("a read of the store panicked");
                if !connection.is_autocommit() {
                    let _ = connection.execute_batch("ROLLBACK");
                }
            }
        }
    }
}

fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = work(connection);
    connection.prepare_cached("ROLLBACK")?.execute([])?;
    result
}
