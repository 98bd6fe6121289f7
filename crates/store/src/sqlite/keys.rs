//! Keys of requests: which of them made a publish already, and which.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

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

/// Takes a key for the publish `id`. The one writer makes it so that of several at once, one has it.
pub(super) fn take(
    connection: &Connection,
    instance: i64,
    once: &Once,
    id: PublishId,
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let before = find(connection, instance, once)?;
    if before != Taken::Now {
        return Ok(before);
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO request_keys (instance, key, fingerprint, id, used_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            instance,
            once.idempotency.key.as_str(),
            once.idempotency.fingerprint.as_bytes(),
            id.uuid().as_bytes(),
            now.as_millis()
        ])?;
    Ok(Taken::Now)
}

/// What would become of a key.
fn find(connection: &Connection, instance: i64, once: &Once) -> Result<Taken, StoreError> {
    let key = once.idempotency.key.as_str();
    let found: Option<([u8; 32], [u8; 16])> = connection
        .prepare_cached(
            "SELECT fingerprint, id FROM request_keys WHERE instance = ?1 AND key = ?2 AND used_at >= ?3",
        )?
        .query_row(params![instance, key, once.since.as_millis()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(match found {
        None => Taken::Now,
        Some((before, id)) if before == *once.idempotency.fingerprint.as_bytes() => {
            Taken::Before(PublishId::from_uuid(Uuid::from_bytes(id)))
        }
        Some(_) => Taken::ByAnother,
    })
}

/// The publish that the same request made.
pub(super) fn made(
    connection: &Connection,
    instance: InstanceId,
    once: &Once,
) -> Result<Option<PublishId>, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(None);
    };
    match find(connection, instance, once)? {
        Taken::Before(id) => Ok(Some(id)),
        Taken::Now | Taken::ByAnother => Ok(None),
    }
}

/// Lets go of a key that was [taken](take) in this transaction, by a request that came to nothing.
pub(super) fn give_back(
    connection: &Connection,
    instance: i64,
    once: &Once,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM request_keys WHERE instance = ?1 AND key = ?2")?
        .execute(params![instance, once.idempotency.key.as_str()])?;
    Ok(())
}

pub(super) fn prune(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<u64, StoreError> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM request_keys WHERE (instance, key) IN
                (SELECT instance, key FROM request_keys WHERE used_at < ?1 ORDER BY used_at LIMIT ?2)",
        )?
        .execute([before.as_millis(), columns::limit(limit)])?;
    columns::count(columns::limit(removed))
}

/// Removes keys of an instance that is being deleted, at most `most`. `true` when none is left.
pub(super) fn remove_of(
    connection: &Connection,
    instance: i64,
    most: i64,
) -> Result<bool, StoreError> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM request_keys WHERE (instance, key) IN
                (SELECT instance, key FROM request_keys WHERE instance = ?1 LIMIT ?2)",
        )?
        .execute([instance, most])?;
    Ok(columns::limit(removed) < most)
}
