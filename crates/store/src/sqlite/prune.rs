//! Removes what is over: old publishes, and the rows of deleted instances. In pieces, each a short transaction, so that no
//! other writer waits long.

use std::collections::HashSet;

use domain::clock::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::{columns, keys, lists, replay, webhooks};
use crate::StoreError;

/// How many events, failures and outcomes of users one piece removes at most.
const EVENTS_MAX: i64 = 10_000;
/// How many publishes one piece removes at most.
const PUBLISHES_MAX: usize = 200;
/// How many devices one piece removes at most; each may have thousands of subscriptions.
const DEVICES_MAX: i64 = 100;

/// How many keys of requests one piece removes at most.
const KEYS_MAX: i64 = 10_000;

const OUTCOMES: &str = "DELETE FROM user_tallies WHERE (publish, user_number) IN
    (SELECT publish, user_number FROM user_tallies WHERE publish = ?1 LIMIT ?2)";

/// What a piece did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Whole publishes removed.
    pub(super) publishes: u64,
    /// Whether there is nothing more to do.
    pub(super) done: bool,
}

/// What is being replayed, and what that is a replay of: the replays need it still.
fn being_replayed(connection: &Connection) -> Result<HashSet<i64>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT publish FROM (WITH RECURSIVE source (publish) AS (
                SELECT replay_of FROM publishes WHERE replay_of IS NOT NULL AND finished_at IS NULL
                UNION
                SELECT p.replay_of FROM source s CROSS JOIN publishes p ON p.publish = s.publish WHERE p.replay_of IS NOT NULL)
             SELECT publish FROM source)",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

/// Removes a piece of the publishes that finished before `before`, at most `limit` whole ones.
pub(super) fn publishes(
    connection: &Connection,
    before: Timestamp,
    limit: u64,
) -> Result<Piece, StoreError> {
    let most = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .min(PUBLISHES_MAX);
    let needed = being_replayed(connection)?;
    let looked_at = columns::limit(most.saturating_add(needed.len()));
    let mut found: Vec<i64> = connection
        .prepare_cached(
            "SELECT publish FROM publishes WHERE finished_at IS NOT NULL AND finished_at < ?1 ORDER BY finished_at LIMIT ?2",
        )?
        .query_map([before.as_millis(), looked_at], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    found.retain(|publish| !needed.contains(publish));
    found.truncate(most);
    let mut removed = 0;
    let mut left = EVENTS_MAX;
    for publish in &found {
        if !remove_publish(connection, *publish, &mut left)? {
            return Ok(Piece {
                publishes: removed,
                done: false,
            });
        }
        removed += 1;
    }
    Ok(Piece {
        publishes: removed,
        done: found.len() < most || removed >= limit,
    })
}

/// Removes what up to `limit` publishes that finished before `before` carry.
pub(super) fn payloads(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<u64, StoreError> {
    let found: Vec<i64> = connection
        .prepare_cached(
            "SELECT publish FROM publishes WHERE finished_at IS NOT NULL AND has_payload = 1 AND finished_at < ?1
              ORDER BY finished_at LIMIT ?2",
        )?
        .query_map([before.as_millis(), columns::limit(limit)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for publish in &found {
        connection
            .prepare_cached("UPDATE payloads SET payloads = '{}' WHERE publish = ?1")?
            .execute([publish])?;
        connection
            .prepare_cached("UPDATE publishes SET has_payload = 0 WHERE publish = ?1")?
            .execute([publish])?;
        webhooks::drop_brought(connection, *publish)?;
    }
    Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
}

/// Removes a piece of whom a publish that finished before `before` named: whether that was the last of it. `None` if there is
/// no such publish.
pub(super) fn names(
    connection: &Connection,
    before: Timestamp,
) -> Result<Option<bool>, StoreError> {
    let needed = being_replayed(connection)?;
    let looked_at = columns::limit(needed.len().saturating_add(1));
    let found: Vec<i64> = connection
        .prepare_cached(
            "SELECT publish FROM publishes WHERE finished_at IS NOT NULL AND has_names = 1 AND finished_at < ?1
              ORDER BY finished_at LIMIT ?2",
        )?
        .query_map([before.as_millis(), looked_at], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let Some(publish) = found.into_iter().find(|found| !needed.contains(found)) else {
        return Ok(None);
    };
    let mut removed = 0;
    for sql in [
        "UPDATE failures SET user = NULL WHERE (publish, device) IN
            (SELECT publish, device FROM failures WHERE publish = ?1 AND user IS NOT NULL LIMIT ?2)",
        OUTCOMES,
        "DELETE FROM listed WHERE (list, place) IN
            (SELECT l.list, l.place FROM lists s CROSS JOIN listed l ON l.list = s.list WHERE s.publish = ?1 LIMIT ?2)",
    ] {
        removed += connection
            .prepare_cached(sql)?
            .execute([publish, EVENTS_MAX - columns::limit(removed)])?;
    }
    if columns::limit(removed) >= EVENTS_MAX {
        return Ok(Some(false));
    }
    connection
        .prepare_cached("UPDATE payloads SET users = NULL WHERE publish = ?1")?
        .execute([publish])?;
    connection
        .prepare_cached("UPDATE publishes SET has_names = 0 WHERE publish = ?1")?
        .execute([publish])?;
    webhooks::drop_brought(connection, publish)?;
    Ok(Some(true))
}

/// Removes a piece of what was reported of a publish that finished before `before`: whether that was the last of it. `None` if
/// there is no such publish. No report counts for it any more.
pub(super) fn events(
    connection: &Connection,
    before: Timestamp,
) -> Result<Option<bool>, StoreError> {
    let found: Option<i64> = connection
        .prepare_cached(
            "SELECT publish FROM publishes WHERE finished_at IS NOT NULL AND has_events <> 0 AND finished_at < ?1
              ORDER BY finished_at LIMIT 1",
        )?
        .query_row([before.as_millis()], |row| row.get(0))
        .optional()?;
    let Some(publish) = found else {
        return Ok(None);
    };
    let mut left = EVENTS_MAX;
    remove_events(connection, publish, &mut left)?;
    let is_whole = left > 0;
    // From the first piece on: what is gone would not be known again.
    connection
        .prepare_cached("UPDATE publishes SET has_events = ?2 WHERE publish = ?1")?
        .execute([publish, if is_whole { 0 } else { 2 }])?;
    Ok(Some(is_whole))
}

/// Removes events of a publish, as many as there are left to remove.
fn remove_events(connection: &Connection, publish: i64, left: &mut i64) -> Result<(), StoreError> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM events WHERE (publish, kind, device) IN
                (SELECT publish, kind, device FROM events WHERE publish = ?1 LIMIT ?2)",
        )?
        .execute([publish, *left])?;
    *left -= columns::limit(removed);
    Ok(())
}

/// Removes a publish; `false` if what belongs to it was too much for this piece.
fn remove_publish(
    connection: &Connection,
    publish: i64,
    left: &mut i64,
) -> Result<bool, StoreError> {
    remove_events(connection, publish, left)?;
    if *left > 0 {
        *left = replay::remove_failures(connection, publish, *left)?;
    }
    if *left > 0 {
        let removed = connection
            .prepare_cached(OUTCOMES)?
            .execute([publish, *left])?;
        *left -= columns::limit(removed);
    }
    if *left <= 0 {
        return Ok(false);
    }
    connection
        .prepare_cached("DELETE FROM publishes WHERE publish = ?1")?
        .execute([publish])?;
    Ok(true)
}

/// Removes a piece of an instance that was deleted. `true` when nothing of any is left.
pub(super) fn purge_deleted(connection: &Connection) -> Result<bool, StoreError> {
    let instance: Option<i64> = connection
        .prepare_cached(
            "SELECT instance FROM instances WHERE deleted = 1 ORDER BY instance LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(instance) = instance else {
        return Ok(true);
    };
    let devices = connection
        .prepare_cached(
            "DELETE FROM devices WHERE device IN (SELECT device FROM devices WHERE instance = ?1 LIMIT ?2)",
        )?
        .execute([instance, DEVICES_MAX])?;
    if devices > 0 {
        return Ok(false);
    }
    let publishes: Vec<i64> = connection
        .prepare_cached(
            "SELECT publish FROM publishes WHERE instance = ?1 ORDER BY publish LIMIT ?2",
        )?
        .query_map([instance, columns::limit(PUBLISHES_MAX)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut left = EVENTS_MAX;
    for publish in &publishes {
        if !remove_publish(connection, *publish, &mut left)? {
            return Ok(false);
        }
    }
    if publishes.is_empty()
        && keys::remove_of(connection, instance, KEYS_MAX)?
        && lists::purge(connection, instance)?
        && webhooks::purge(connection, instance)?
    {
        connection
            .prepare_cached("DELETE FROM instances WHERE instance = ?1")?
            .execute([instance])?;
    }
    Ok(false)
}
