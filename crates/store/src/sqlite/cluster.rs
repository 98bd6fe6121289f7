//! What servers on the same file tell each other.
//!
//! Those that take up work hold the file `….serving` beside the database locked, shared. Whoever gets that lock alone knows
//! that nobody else works, however the last one ended: the system lets go of a dead process's locks.

use std::fs::{File, TryLockError};
use std::path::Path;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::seal::Sealed;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::{SqliteStore, columns};
use crate::StoreError;
use crate::cluster::{Cluster, Duty, Population, Presence, SharedToken, TokenName};
use crate::publishes::{AHEAD_MAX, Lease};
use crate::sealing::ids_to_bytes;

#[async_trait]
impl Cluster for SqliteStore {
    async fn present(&self, presence: Presence, now: Timestamp) -> Result<Population, StoreError> {
        self.writer.run(move |c| present(c, &presence, now)).await
    }

    async fn depart(&self, node: Uuid) -> Result<(), StoreError> {
        self.writer.run(move |c| depart(c, node)).await
    }

    async fn population(&self, now: Timestamp) -> Result<Population, StoreError> {
        self.readers.run(move |c| population(c, now)).await
    }

    async fn take_duty(
        &self,
        duty: Duty,
        lease: Lease,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| take_duty(c, &duty, lease, now))
            .await
    }

    async fn give_up_duty(&self, duty: Duty, node: Uuid) -> Result<(), StoreError> {
        self.writer.run(move |c| give_up_duty(c, &duty, node)).await
    }

    async fn shared_token(&self, name: TokenName) -> Result<Option<SharedToken>, StoreError> {
        self.readers.run(move |c| shared_token(c, &name)).await
    }

    async fn share_token(
        &self,
        name: TokenName,
        instead_of: Option<i64>,
        sealed: Sealed,
    ) -> Result<SharedToken, StoreError> {
        self.writer
            .run(move |c| share_token(c, &name, instead_of, &sealed))
            .await
    }

    /// SQLite tells other processes nothing.
    async fn wait_for_work(&self) {
        std::future::pending::<()>().await;
    }

    async fn is_being_filled(&self) -> Result<bool, StoreError> {
        self.readers.run(super::moving::is_being_filled).await
    }

    async fn succeed_the_dead(&self) -> Result<u64, StoreError> {
        let path = self.path.clone();
        let locked = tokio::task::spawn_blocking(move || lock(&path)).await;
        let (file, alone) = locked.map_err(unavailable)??;
        let ended = if alone {
            self.writer.run(end_leases).await?
        } else {
            0
        };
        let shared = tokio::task::spawn_blocking(move || share(file)).await;
        let file = shared.map_err(unavailable)??;
        *self
            .serving
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(file);
        Ok(ended)
    }
}

fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(source))
}

/// The file beside the database, and whether it is locked for this process alone.
pub(super) fn lock(database: &Path) -> Result<(File, bool), StoreError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".serving");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok((file, true)),
        Err(TryLockError::WouldBlock) => Ok((file, false)),
        Err(TryLockError::Error(source)) => Err(unavailable(source)),
    }
}

/// Lets others in again. Should one of them find itself alone in between, it ends leases of the dead alone: this process has
/// none yet.
fn share(file: File) -> Result<File, StoreError> {
    file.unlock().map_err(unavailable)?;
    file.lock_shared().map_err(unavailable)?;
    Ok(file)
}

/// The fences move on, as with work that is given back.
fn end_leases(connection: &Connection) -> Result<u64, StoreError> {
    let mut ended = 0;
    for table in ["jobs", "retries"] {
        let sql = format!(
            "UPDATE {table} SET leased_until = 0, owner = NULL, fence = fence + 1 WHERE leased_until > 0"
        );
        ended += connection.execute(&sql, [])? as u64;
    }
    connection.execute("DELETE FROM nodes", [])?;
    connection.execute("DELETE FROM duties", [])?;
    Ok(ended)
}

fn present(
    connection: &Connection,
    presence: &Presence,
    now: Timestamp,
) -> Result<Population, StoreError> {
    connection
        .prepare_cached("DELETE FROM nodes WHERE until <= ?1")?
        .execute([now.as_millis()])?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO nodes (node, worker, until, keys) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            presence.lease.owner.as_bytes(),
            presence.is_worker,
            presence.lease.until.as_millis(),
            ids_to_bytes(&presence.keys)
        ])?;
    population(connection, now)
}

fn depart(connection: &Connection, node: Uuid) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM nodes WHERE node = ?1")?
        .execute([node.as_bytes()])?;
    connection
        .prepare_cached("DELETE FROM duties WHERE owner = ?1")?
        .execute([node.as_bytes()])?;
    Ok(())
}

fn population(connection: &Connection, now: Timestamp) -> Result<Population, StoreError> {
    let (nodes, workers) = connection
        .prepare_cached(
            "SELECT count(*), coalesce(sum(worker), 0) FROM nodes WHERE until > ?1 AND until <= ?2",
        )?
        .query_row([now.as_millis(), now.after(AHEAD_MAX).as_millis()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    Ok(Population {
        nodes: columns::count(nodes)?,
        workers: columns::count(workers)?,
    })
}

fn take_duty(
    connection: &Connection,
    duty: &Duty,
    lease: Lease,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let taken = connection
        .prepare_cached(
            "INSERT INTO duties (duty, owner, leased_until) VALUES (?1, ?2, ?3)
             ON CONFLICT (duty) DO UPDATE SET owner = excluded.owner, leased_until = excluded.leased_until
                WHERE owner = excluded.owner OR leased_until <= ?4 OR leased_until > ?5",
        )?
        .execute(params![
            duty.to_string(),
            lease.owner.as_bytes(),
            lease.until.as_millis(),
            now.as_millis(),
            now.after(AHEAD_MAX).as_millis()
        ])?;
    Ok(taken > 0)
}

fn give_up_duty(connection: &Connection, duty: &Duty, node: Uuid) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM duties WHERE duty = ?1 AND owner = ?2")?
        .execute(params![duty.to_string(), node.as_bytes()])?;
    Ok(())
}

fn shared_token(
    connection: &Connection,
    name: &TokenName,
) -> Result<Option<SharedToken>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT version, sealed FROM provider_tokens WHERE name = ?1")?
        .query_row([name.as_str()], |row| {
            Ok(SharedToken {
                version: row.get(0)?,
                sealed: Sealed::from_bytes(row.get(1)?),
            })
        })
        .optional()?)
}

fn share_token(
    connection: &Connection,
    name: &TokenName,
    instead_of: Option<i64>,
    sealed: &Sealed,
) -> Result<SharedToken, StoreError> {
    let there = shared_token(connection, name)?;
    if let Some(there) = there
        && instead_of != Some(there.version)
    {
        return Ok(there);
    }
    let fresh = SharedToken {
        version: instead_of.unwrap_or(0) + 1,
        sealed: sealed.clone(),
    };
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO provider_tokens (name, version, sealed) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![
            name.as_str(),
            fresh.version,
            fresh.sealed.as_bytes()
        ])?;
    Ok(fresh)
}
