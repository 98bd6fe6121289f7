//! Publishes that wait for their time, and their beginning.

use domain::clock::Timestamp;
use domain::publish::Audience;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{audience, columns, jobs, publishes, webhooks};
use crate::StoreError;
use crate::publishes::Plan;
use crate::stored::encode;

pub(super) fn insert(
    connection: &Connection,
    publish: i64,
    send_at: Timestamp,
    audience: &str,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO scheduled (publish, send_at, audience) VALUES (?1, ?2, ?3)")?
        .execute(params![publish, send_at.as_millis(), audience])?;
    Ok(())
}

/// When the next one is due.
pub(super) fn next_due(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT s.send_at FROM scheduled s CROSS JOIN publishes p ON p.publish = s.publish
                    CROSS JOIN instances i ON i.instance = p.instance
              WHERE i.deleted = 0 ORDER BY s.send_at, s.publish LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?
        .map(Timestamp::from_millis))
}

struct Due {
    publish: i64,
    instance: i64,
    audience: String,
}

/// Begins those that are due; their jobs if they are leased at once. In one transaction of the one writer, so none is
/// begun twice.
pub(super) fn start(
    connection: &Connection,
    plan: Plan,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<jobs::Claimed>, StoreError> {
    let due: Vec<Due> = connection
        .prepare_cached(
            "SELECT s.publish, p.instance, s.audience FROM scheduled s CROSS JOIN publishes p ON p.publish = s.publish
                    CROSS JOIN instances i ON i.instance = p.instance
              WHERE s.send_at <= ?1 AND i.deleted = 0 ORDER BY s.send_at, s.publish LIMIT ?2",
        )?
        .query_map([now.as_millis(), columns::limit(limit)], |row| {
            Ok(Due {
                publish: row.get(0)?,
                instance: row.get(1)?,
                audience: row.get(2)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let mut claimed = Vec::new();
    for due in due {
        claimed.extend(begin(connection, &due, plan, now)?);
    }
    Ok(claimed)
}

fn begin(
    connection: &Connection,
    due: &Due,
    plan: Plan,
    now: Timestamp,
) -> Result<Vec<jobs::Claimed>, StoreError> {
    connection
        .prepare_cached("DELETE FROM scheduled WHERE publish = ?1")?
        .execute([due.publish])?;
    let Ok(names) = serde_json::from_str::<Audience>(&due.audience) else {
        // It must not stop all others.
        tracing::error!(
            publish = due.publish,
            "the audience of a scheduled publish cannot be read; it is cancelled"
        );
        publishes::end(connection, due.publish, publishes::CANCELLED, now)?;
        return Ok(Vec::new());
    };
    let (resolved, users) = publishes::resolve(connection, due.instance, &names)?;
    let ranges = audience::ranges(connection, &resolved, plan)?;
    webhooks::publish_begun(connection, due.publish)?;
    connection
        .prepare_cached("UPDATE payloads SET audience = ?2, users = ?3 WHERE publish = ?1")?
        .execute(params![due.publish, encode(&resolved), users])?;
    if ranges.is_empty() {
        publishes::end(connection, due.publish, publishes::FINISHED, now)?;
        webhooks::publish_ended(connection, due.publish)?;
        return Ok(Vec::new());
    }
    connection
        .prepare_cached("UPDATE publishes SET state = 'running' WHERE publish = ?1")?
        .execute([due.publish])?;
    jobs::insert(connection, due.publish, &ranges, plan.lease)
}
