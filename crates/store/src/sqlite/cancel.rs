//! Calling off what of a publish has not been sent.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use rusqlite::Connection;

use super::{lookup, publishes, webhooks};
use crate::StoreError;
use crate::lookup::Cancelled;

/// How many retries one piece removes at most.
const RETRIES_MAX: i64 = 5_000;

/// Marks a publish, and removes its jobs and the wait for its time. Its number, if it had not finished.
///
/// Its retries go in pieces afterwards. Should that be cut short, those that are left are removed instead of claimed.
pub(super) fn mark(
    connection: &Connection,
    instance: InstanceId,
    id: PublishId,
    now: Timestamp,
) -> Result<(Cancelled, Option<i64>), StoreError> {
    let Some(number) = lookup::number(connection, instance, id)? else {
        return Ok((Cancelled::Unknown, None));
    };
    // What lost its last work with a device is finished, though nobody has noted it yet.
    publishes::finish_emptied(connection, now)?;
    let state: String = connection
        .prepare_cached("SELECT state FROM publishes WHERE publish = ?1")?
        .query_row([number], |row| row.get(0))?;
    match state.as_str() {
        publishes::FINISHED => return Ok((Cancelled::Finished, None)),
        publishes::CANCELLED => return Ok((Cancelled::Done, Some(number))),
        _ => {}
    }
    connection
        .prepare_cached("DELETE FROM scheduled WHERE publish = ?1")?
        .execute([number])?;
    connection
        .prepare_cached("DELETE FROM jobs WHERE publish = ?1")?
        .execute([number])?;
    publishes::end(connection, number, publishes::CANCELLED, now)?;
    if state == publishes::RUNNING {
        webhooks::publish_ended(connection, number)?;
    }
    Ok((Cancelled::Done, Some(number)))
}

/// Removes a piece of the retries. `true` when none is left.
pub(super) fn remove_retries(connection: &Connection, number: i64) -> Result<bool, StoreError> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM retries WHERE retry IN (SELECT retry FROM retries WHERE publish = ?1 LIMIT ?2)",
        )?
        .execute([number, RETRIES_MAX])?;
    Ok(super::columns::limit(removed) < RETRIES_MAX)
}
