//! SQLite: the embedded default, one file beside the process.
//!
//! One thread writes, in groups (`writer`); a few threads read (`readers`). Neither ever blocks an async caller: full
//! queues refuse. The file may be written by other processes at the same time (the command line is one); SQLite's own
//! locks see to that. SQL stands in this folder alone, a file for each noun, as plain functions on a connection that run
//! inside a transaction somebody else began.

mod accept;
mod activity;
mod administration;
mod audience;
mod audit;
pub mod backup;
mod cancel;
mod cluster;
mod columns;
mod configuration;
mod console;
mod count;
mod devices;
mod error;
mod events;
mod export;
mod files;
mod forget;
mod import;
mod insights;
mod instances;
mod interests;
mod jobs;
mod keys;
mod lists;
mod log;
mod lookup;
mod mark;
mod moving;
mod people;
mod prune;
mod publishes;
mod queue;
mod readers;
mod replay;
mod retries;
mod scheduled;
mod schema;
mod sealing;
mod search;
mod settlement;
mod store;
mod tokens;
mod users;
mod webhooks;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use files::Files;
use log::Guard;
use mark::Mark;
use readers::Readers;
use writer::Writer;
pub use writer::WriterStatistics;

use crate::StoreError;
use crate::stored::Stored;
use crate::stored::cache::PublishCache;

/// How much a [`SqliteStore`] may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteSettings {
    /// Threads that read, each with a connection; at least one is started.
    pub readers: usize,
    /// Operations that may wait for the writer, and as many for the readers; more are refused with [`StoreError::Busy`].
    pub queue_length: usize,
    /// Operations that one transaction takes at most.
    pub group_max: usize,
    /// Page cache of the writing connection, in KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reading connection, in KiB.
    pub reader_cache_kib: u32,
    /// How large the write-ahead log may grow before the writer waits for the readers to be able to begin it anew, in bytes.
    /// Readers that overlap without a pause would otherwise let it grow for ever.
    pub log_size_max: u64,
    /// Publishes kept in memory for the jobs and retries that need them.
    pub publishes_cached: usize,
    /// Whether to go on with a database whose log is gone, if every page and index of it is sound. What the log held is lost.
    pub accept_lost_log: bool,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            readers: 4,
            queue_length: 4096,
            group_max: 512,
            writer_cache_kib: 64 * 1024,
            reader_cache_kib: 16 * 1024,
            log_size_max: 256 << 20,
            publishes_cached: 1024,
            accept_lost_log: false,
        }
    }
}

/// A [`Store`](crate::Store) in a SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
    cache: PublishCache,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Locked while this process works on the database.
    serving: Mutex<Option<File>>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens a database file, creating it if there is none (its folder must exist), and brings it to the present schema.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the file cannot be opened or written; [`StoreError::Corrupt`] if it is no database, one
    /// of another program, or one of a newer Heliostat; none of these is changed. A database that was not closed in good order
    /// and has lost its log since is [`StoreError::Unavailable`], unless the settings accept that.
    pub async fn open(path: &Path, settings: SqliteSettings) -> Result<Self, StoreError> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || Self::open_blocking(path, settings))
            .await
            .unwrap_or_else(|error| Err(StoreError::Unavailable(Box::new(error))))
    }

    fn open_blocking(path: PathBuf, settings: SqliteSettings) -> Result<Self, StoreError> {
        let mark = Mark::take(&path)?;
        mark.refuse_missing(settings.accept_lost_log)?;
        let connection = schema::open_writer(&path, settings.writer_cache_kib, &mark)?;
        let files = Files::opened(&path)?;
        let (readers, mut threads) = Readers::start(
            &path,
            settings.readers,
            settings.queue_length,
            settings.reader_cache_kib,
        )?;
        let (writer, thread) = Writer::start(connection, Guard { files, mark }, settings)?;
        threads.push(thread);
        Ok(Self {
            path,
            writer,
            readers,
            cache: PublishCache::new(settings.publishes_cached),
            threads: Mutex::new(threads),
            serving: Mutex::default(),
        })
    }

    /// What the writer has done so far.
    pub fn statistics(&self) -> WriterStatistics {
        self.writer.statistics()
    }

    /// A publish by its number, out of the cache or the file; `None` if it has been deleted.
    async fn stored_publish(&self, number: i64) -> Result<Option<Stored>, StoreError> {
        if let Some(stored) = self.cache.get(number) {
            return Ok(Some(stored));
        }
        let stored = self
            .readers
            .run(move |connection| publishes::load(connection, number))
            .await?;
        if let Some(stored) = &stored {
            self.cache.put(number, stored.clone());
        }
        Ok(stored)
    }

    /// The same for something just claimed. A publish that does not read back is passed over, so that it does not stop all
    /// others; its work stays leased and comes up again.
    async fn claimed_publish(&self, number: i64) -> Result<Option<Stored>, StoreError> {
        match self.stored_publish(number).await {
            Err(StoreError::Corrupt(why)) => {
                tracing::error!(publish = number, error = %why, "a publish is passed over");
                Ok(None)
            }
            read => read,
        }
    }

    /// Removes what is left of deleted instances, piece by piece.
    async fn purge_deleted(&self) -> Result<(), StoreError> {
        while !self.writer.run(prune::purge_deleted).await? {}
        Ok(())
    }

    /// Ends the threads once they have done what waits, and waits for that.
    async fn shut_down(&self) {
        self.writer.close();
        self.readers.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || {
            // A thread that panicked has said so already.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        let _ = joined.await;
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The threads finish what waits, by themselves.
        self.writer.close();
        self.readers.close();
    }
}
