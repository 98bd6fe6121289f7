//! Keys of requests: which of them made a publish already, and which.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::PublishId;

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{columns, instances};
use crate::StoreError;
use crate::publishes::Once;

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is this request's.
    Now,
    /// The same request took it before, and made this publish.
    Before(PublishId),
    /// Another request took it.
    ByAnother,
}

/// Takes a key for the publish `id`. Of several at once, the others wait here until the first is committed or undone.
pub(super) async fn take(
    session: &Session,
    instance: i64,
    once: &Once,
    id: PublishId,
    now: Timestamp,
) -> Result<Taken, Fault> {
    let taken = session
        .execute(
            "INSERT INTO request_keys (instance, key, fingerprint, id, used_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (instance, key) DO UPDATE SET fingerprint = excluded.fingerprint, id = excluded.id,
                used_at = excluded.used_at WHERE request_keys.used_at < $6",
            &[
                &instance,
                &once.idempotency.key.as_str(),
                &once.idempotency.fingerprint.as_bytes().as_slice(),
                id.uuid(),
                &now.as_millis(),
                &once.since.as_millis(),
            ],
        )
        .await?;
    if taken == 1 {
        return Ok(Taken::Now);
    }
    match find(session, instance, once).await? {
        // Pruned between the two statements.
        Taken::Now => Err(Fault::Store(StoreError::Busy)),
        before => Ok(before),
    }
}

/// What would become of a key.
async fn find(session: &Session, instance: i64, once: &Once) -> Result<Taken, Fault> {
    let found = session
        .row(
            "SELECT fingerprint, id FROM request_keys WHERE instance = $1 AND key = $2 AND used_at >= $3",
            &[
                &instance,
                &once.idempotency.key.as_str(),
                &once.since.as_millis(),
            ],
        )
        .await?;
    let Some(row) = found else {
        return Ok(Taken::Now);
    };
    let before: &[u8] = row.at(0)?;
    Ok(if before == once.idempotency.fingerprint.as_bytes() {
        Taken::Before(PublishId::from_uuid(row.at(1)?))
    } else {
        Taken::ByAnother
    })
}

/// The publish that the same request made.
pub(super) async fn made(
    session: &Session,
    instance: InstanceId,
    once: &Once,
) -> Result<Option<PublishId>, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(None);
    };
    match find(session, instance, once).await? {
        Taken::Before(id) => Ok(Some(id)),
        Taken::Now | Taken::ByAnother => Ok(None),
    }
}

/// Lets go of a key that was [taken](take) in this transaction, by a request that came to nothing.
pub(super) async fn give_back(session: &Session, instance: i64, once: &Once) -> Result<(), Fault> {
    session
        .execute(
            "DELETE FROM request_keys WHERE instance = $1 AND key = $2",
            &[&instance, &once.idempotency.key.as_str()],
        )
        .await?;
    Ok(())
}

pub(super) async fn prune(
    session: &Session,
    before: Timestamp,
    limit: usize,
) -> Result<u64, Fault> {
    session
        .execute(
            "DELETE FROM request_keys WHERE (instance, key) IN
                (SELECT instance, key FROM request_keys WHERE used_at < $1 ORDER BY used_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            &[&before.as_millis(), &columns::limit(limit)],
        )
        .await
}

/// Removes keys of an instance that is being deleted, at most `most`. `true` when none is left.
pub(super) async fn remove_of(session: &Session, instance: i64, most: i64) -> Result<bool, Fault> {
    let removed = session
        .execute(
            "DELETE FROM request_keys WHERE (instance, key) IN
                (SELECT instance, key FROM request_keys WHERE instance = $1 LIMIT $2)",
            &[&instance, &most],
        )
        .await?;
    Ok(columns::number(removed) < most)
}
