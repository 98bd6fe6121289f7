//! Keys of requests: which of them made a publish already, and which.

use domain::clock::Timestamp;
use domain::publish::PublishId;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::columns;
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
    let key = once.idempotency.key.as_str();
    let fingerprint = once.idempotency.fingerprint.as_bytes();
    let found: Option<([u8; 32], [u8; 16])> = connection
        .prepare_cached(
            "SELECT fingerprint, id FROM request_keys WHERE instance = ?1 AND key = ?2 AND used_at >= ?3",
        )?
        .query_row(params![instance, key, once.since.as_millis()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((before, id)) = found {
        return Ok(if before == *fingerprint {
            Taken::Before(PublishId::from_uuid(Uuid::from_bytes(id)))
        } else {
            Taken::ByAnother
        });
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO request_keys (instance, key, fingerprint, id, used_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            instance,
            key,
            fingerprint,
            id.uuid().as_bytes(),
            now.as_millis()
        ])?;
    Ok(Taken::Now)
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
