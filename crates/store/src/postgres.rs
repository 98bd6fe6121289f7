//! PostgreSQL: any number of nodes on one database.
//!
//! A call takes a connection out of a bounded pool, does its work in one transaction and gives it back; none is held while
//! anything else is waited for. Where transactions meet, rows are locked in the order job, publish, retries, devices, users;
//! what collides all the same is done again, a bounded number of times. SQL stands in this folder alone, a file for each noun,
//! as plain functions on a session that run inside a transaction somebody else began.

mod accept;
mod activity;
mod administration;
mod audience;
mod audit;
mod bell;
mod cancel;
mod cluster;
mod columns;
mod configuration;
mod connect;
mod console;
mod count;
mod devices;
mod events;
mod export;
mod fault;
mod forget;
mod group;
mod import;
mod insights;
mod instances;
mod interests;
mod jobs;
mod keys;
mod lists;
mod lookup;
mod moving;
mod people;
mod pool;
mod prune;
mod publishes;
mod replay;
mod retries;
mod room;
mod scheduled;
mod schema;
mod sealing;
mod search;
mod session;
mod settlement;
mod store;
mod together;
mod tokens;
mod users;
mod webhooks;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use bell::Bell;
pub use connect::{DatabaseUrl, InvalidDatabaseUrl};
use group::Group;
use jobs::Place;
use pool::Sessions;

use crate::StoreError;
use crate::publishes::{Event, Plan, Recorded, Settled};
use crate::stored::Stored;
use crate::stored::cache::PublishCache;

/// How much a [`PostgresStore`] may use, and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Connections at most; each is one process of the server.
    pub connections_max: usize,
    /// Calls that may be under way or wait for a connection; more are refused with [`StoreError::Busy`].
    pub queue_length: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a call waits for a connection before it is refused with [`StoreError::Busy`].
    pub wait_timeout: Duration,
    /// After which time the server gives a statement up.
    pub statement_timeout: Duration,
    /// After which time the server gives up waiting for a lock.
    pub lock_timeout: Duration,
    /// Publishes kept in memory for the jobs and retries that need them.
    pub publishes_cached: usize,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            connections_max: 16,
            queue_length: 4096,
            connect_timeout: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
            publishes_cached: 1024,
        }
    }
}

/// A [`Store`](crate::Store) in a PostgreSQL database, 15 or later.
pub struct PostgresStore {
    sessions: Sessions,
    for_devices: Sessions,
    creating: Group<together::Request, publishes::Outcome>,
    settling: Group<settlement::Call, Settled>,
    reporting: Group<Vec<Event>, Vec<Recorded>>,
    bell: Bell,
    cache: PublishCache,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects to a database and brings it to the present schema.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if it cannot be reached or written; [`StoreError::Corrupt`] if a newer Heliostat has
    /// brought it to a schema that this one does not know. Neither changes anything.
    pub async fn open(url: &DatabaseUrl, settings: PostgresSettings) -> Result<Self, StoreError> {
        let sessions = Sessions::new(url, settings)?;
        sessions.prepare().await?;
        let (config, tls) = connect::prepare(url, settings)?;
        Ok(Self {
            for_devices: sessions.for_devices(),
            sessions,
            creating: Group::new(settings.queue_length, |s, requests| {
                Box::pin(together::create(s, requests))
            }),
            settling: Group::new(settings.queue_length, |s, calls| {
                Box::pin(settlement::last_pages(s, calls))
            }),
            reporting: Group::new(settings.queue_length, |s, calls| {
                Box::pin(events::together(s, calls))
            }),
            bell: Bell::hang(config, tls),
            cache: PublishCache::new(settings.publishes_cached),
        })
    }

    /// Wakes the nodes where a plan leaves work to whoever claims it.
    fn tell_of_work(&self, plan: Plan) {
        if plan.lease.is_none() {
            self.bell.ring();
        }
    }

    /// A publish, out of the cache or the database; `None` if it has been deleted. What the cache has under this number may be
    /// another one, which a server was lost with.
    async fn stored_publish(&self, place: Place) -> Result<Option<Stored>, StoreError> {
        let Place {
            instance,
            number,
            id,
        } = place;
        let known = self.cache.get(number);
        if let Some(stored) = known.filter(|known| id == Some(*known.publish.id.uuid())) {
            return Ok(Some(stored));
        }
        let stored = self
            .sessions
            .read((instance, number), |s, (instance, number)| {
                Box::pin(publishes::load(s, *instance, *number))
            })
            .await?;
        if let Some(stored) = &stored {
            self.cache.put(number, stored.clone());
        }
        Ok(stored)
    }

    /// The same for something just claimed. A publish that does not read back is passed over, so that it does not stop all
    /// others; its work stays leased and comes up again.
    async fn claimed_publish(&self, place: Place) -> Result<Option<Stored>, StoreError> {
        match self.stored_publish(place).await {
            Err(StoreError::Corrupt(why)) => {
                tracing::error!(publish = place.number, error = %why, "a publish is passed over");
                Ok(None)
            }
            read => read,
        }
    }

    /// Removes what is left of deleted instances, piece by piece.
    async fn purge_deleted(&self) -> Result<(), StoreError> {
        while !self
            .sessions
            .write((), |s, ()| Box::pin(prune::purge_deleted(s)))
            .await?
        {}
        Ok(())
    }
}
