//! What nodes on the same database tell each other.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::seal::Sealed;
use uuid::Uuid;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{PostgresStore, columns, moving};
use crate::StoreError;
use crate::cluster::{Cluster, Duty, Population, Presence, SharedToken, TokenName};
use crate::publishes::{AHEAD_MAX, Lease};
use crate::sealing::ids_to_bytes;

#[async_trait]
impl Cluster for PostgresStore {
    async fn present(&self, presence: Presence, now: Timestamp) -> Result<Population, StoreError> {
        self.sessions
            .write((presence, now), |s, (presence, now)| {
                Box::pin(present(s, presence, *now))
            })
            .await
    }

    async fn depart(&self, node: Uuid) -> Result<(), StoreError> {
        self.sessions
            .write(node, |s, node| Box::pin(depart(s, *node)))
            .await
    }

    async fn population(&self, now: Timestamp) -> Result<Population, StoreError> {
        self.sessions
            .read(now, |s, now| Box::pin(population(s, *now)))
            .await
    }

    async fn take_duty(
        &self,
        duty: Duty,
        lease: Lease,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.sessions
            .write((duty, lease, now), |s, (duty, lease, now)| {
                Box::pin(take_duty(s, duty, *lease, *now))
            })
            .await
    }

    async fn give_up_duty(&self, duty: Duty, node: Uuid) -> Result<(), StoreError> {
        self.sessions
            .write((duty, node), |s, (duty, node)| {
                Box::pin(give_up_duty(s, duty, *node))
            })
            .await
    }

    async fn shared_token(&self, name: TokenName) -> Result<Option<SharedToken>, StoreError> {
        self.sessions
            .read(name, |s, name| Box::pin(shared_token(s, name)))
            .await
    }

    async fn share_token(
        &self,
        name: TokenName,
        instead_of: Option<i64>,
        sealed: Sealed,
    ) -> Result<SharedToken, StoreError> {
        self.sessions
            .write(
                (name, instead_of, sealed),
                |s, (name, instead_of, sealed)| Box::pin(share_token(s, name, *instead_of, sealed)),
            )
            .await
    }

    async fn wait_for_work(&self) {
        self.bell.heard().await;
    }

    async fn is_being_filled(&self) -> Result<bool, StoreError> {
        self.sessions
            .read((), |s, ()| Box::pin(moving::is_being_filled(s)))
            .await
    }

    /// Other nodes may work on the database at any time, so leases end by themselves alone.
    async fn succeed_the_dead(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

async fn present(
    session: &Session,
    presence: &Presence,
    now: Timestamp,
) -> Result<Population, Fault> {
    let gone = "DELETE FROM nodes WHERE until <= $1";
    session.execute(gone, &[&now.as_millis()]).await?;
    session
        .execute(
            "INSERT INTO nodes (node, worker, until, keys) VALUES ($1, $2, $3, $4)
             ON CONFLICT (node) DO UPDATE SET worker = excluded.worker, until = excluded.until, keys = excluded.keys",
            &[
                &presence.lease.owner,
                &presence.is_worker,
                &presence.lease.until.as_millis(),
                &ids_to_bytes(&presence.keys),
            ],
        )
        .await?;
    population(session, now).await
}

async fn depart(session: &Session, node: Uuid) -> Result<(), Fault> {
    let nodes = "DELETE FROM nodes WHERE node = $1";
    session.execute(nodes, &[&node]).await?;
    let duties = "DELETE FROM duties WHERE owner = $1";
    session.execute(duties, &[&node]).await?;
    Ok(())
}

async fn population(session: &Session, now: Timestamp) -> Result<Population, Fault> {
    let row = session
        .row(
            "SELECT count(*), count(*) FILTER (WHERE worker) FROM nodes WHERE until > $1 AND until <= $2",
            &[&now.as_millis(), &now.after(AHEAD_MAX).as_millis()],
        )
        .await?;
    let row = row.ok_or_else(|| corrupt("a count without an answer"))?;
    Ok(Population {
        nodes: columns::count(row.at(0)?)?,
        workers: columns::count(row.at(1)?)?,
    })
}

async fn take_duty(
    session: &Session,
    duty: &Duty,
    lease: Lease,
    now: Timestamp,
) -> Result<bool, Fault> {
    let taken = session
        .execute(
            "INSERT INTO duties AS d (duty, owner, leased_until) VALUES ($1, $2, $3)
             ON CONFLICT (duty) DO UPDATE SET owner = excluded.owner, leased_until = excluded.leased_until
                WHERE d.owner = excluded.owner OR d.leased_until <= $4 OR d.leased_until > $5",
            &[
                &duty.to_string(),
                &lease.owner,
                &lease.until.as_millis(),
                &now.as_millis(),
                &now.after(AHEAD_MAX).as_millis(),
            ],
        )
        .await?;
    Ok(taken > 0)
}

async fn give_up_duty(session: &Session, duty: &Duty, node: Uuid) -> Result<(), Fault> {
    let sql = "DELETE FROM duties WHERE duty = $1 AND owner = $2";
    session.execute(sql, &[&duty.to_string(), &node]).await?;
    Ok(())
}

async fn shared_token(session: &Session, name: &TokenName) -> Result<Option<SharedToken>, Fault> {
    let row = session
        .row(
            "SELECT version, sealed FROM provider_tokens WHERE name = $1",
            &[&name.as_str()],
        )
        .await?;
    row.map(|row| {
        Ok(SharedToken {
            version: row.at(0)?,
            sealed: Sealed::from_bytes(row.at(1)?),
        })
    })
    .transpose()
}

/// Whoever waits for another's row finds it there, with a version of its own, and leaves it.
async fn share_token(
    session: &Session,
    name: &TokenName,
    instead_of: Option<i64>,
    sealed: &Sealed,
) -> Result<SharedToken, Fault> {
    session
        .execute(
            "INSERT INTO provider_tokens AS t (name, version, sealed) VALUES ($1, coalesce($2, 0::bigint) + 1, $3)
             ON CONFLICT (name) DO UPDATE SET version = t.version + 1, sealed = excluded.sealed WHERE t.version = $2",
            &[&name.as_str(), &instead_of, &sealed.as_bytes()],
        )
        .await?;
    let there = shared_token(session, name).await?;
    there.ok_or_else(|| corrupt("a token that was just written"))
}
