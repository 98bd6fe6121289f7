//! Removes what is over: old publishes, and the rows of deleted instances. In pieces, each a short transaction, so that nobody
//! else waits long, whichever nodes do it at the same time.

use domain::clock::Timestamp;

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{columns, devices, insights, keys, lists, replay, webhooks};

/// How many events, failures and outcomes of users one piece removes at most.
const EVENTS_MAX: i64 = 10_000;
/// How many publishes one piece removes at most.
const PUBLISHES_MAX: u64 = 200;
/// How many devices one piece removes at most; each may have thousands of subscriptions.
const DEVICES_MAX: i64 = 100;
/// How many keys of requests one piece removes at most.
const KEYS_MAX: i64 = 10_000;

/// Whatever the planner thinks of the table, those to remove are read once.
const OUTCOMES: &str =
    "DELETE FROM user_tallies WHERE instance = $1 AND publish = $2 AND user_number = ANY
    (ARRAY(SELECT user_number FROM user_tallies WHERE instance = $1 AND publish = $2 LIMIT $3))";

/// What is being replayed, and what that is a replay of: the replays need it still.
const BEING_REPLAYED: &str = "WITH RECURSIVE source (instance, publish) AS (
        SELECT instance, replay_of FROM publishes WHERE replay_of IS NOT NULL AND finished_at IS NULL
        UNION
        SELECT p.instance, p.replay_of FROM source s
          JOIN publishes p ON p.instance = s.instance AND p.publish = s.publish AND p.replay_of IS NOT NULL)
    SELECT publish FROM source";
/// Publishes that are over, but for those that replays need.
pub(super) const OVER: &str = "SELECT instance, publish FROM publishes
    WHERE finished_at IS NOT NULL AND finished_at < $1 AND NOT publish = ANY($3)
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED";

/// What a piece did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Whole publishes removed.
    pub(super) publishes: u64,
    /// Whether there is nothing more to do.
    pub(super) done: bool,
}

/// Removes a piece of the publishes that finished before `before`, at most `limit` whole ones.
pub(super) async fn publishes(
    session: &Session,
    before: Timestamp,
    limit: u64,
) -> Result<Piece, Fault> {
    let most = limit.min(PUBLISHES_MAX);
    let needed: Vec<i64> = session.values(BEING_REPLAYED, &[]).await?;
    let found = session
        .rows(
            OVER,
            &[&before.as_millis(), &columns::number(most), &needed],
        )
        .await?;
    let mut removed = 0;
    let mut left = EVENTS_MAX;
    for row in &found {
        let (instance, publish) = (row.at(0)?, row.at(1)?);
        if is_replayed(session, instance, publish).await? {
            continue;
        }
        if !remove_publish(session, instance, publish, &mut left).await? {
            return Ok(Piece {
                publishes: removed,
                done: false,
            });
        }
        removed += 1;
    }
    Ok(Piece {
        publishes: removed,
        done: columns::limit(found.len()) < columns::number(most) || removed >= limit,
    })
}

/// Removes what up to `limit` publishes that finished before `before` carry.
pub(super) async fn payloads(
    session: &Session,
    before: Timestamp,
    limit: usize,
) -> Result<u64, Fault> {
    session
        .execute(
            "WITH old AS (SELECT instance, publish FROM publishes
                    WHERE finished_at IS NOT NULL AND has_payload = 1 AND finished_at < $1
                    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED),
                  emptied AS (UPDATE payloads p SET payloads = '{}' FROM old
                    WHERE p.instance = old.instance AND p.publish = old.publish),
                  dropped AS (DELETE FROM publish_webhooks b USING old
                    WHERE b.instance = old.instance AND b.publish = old.publish)
             UPDATE publishes p SET has_payload = 0 FROM old
              WHERE p.instance = old.instance AND p.publish = old.publish",
            &[&before.as_millis(), &columns::limit(limit)],
        )
        .await
}

/// Removes a piece of whom a publish that finished before `before` named: whether that was the last of it. `None` if there is
/// no such publish.
pub(super) async fn names(session: &Session, before: Timestamp) -> Result<Option<bool>, Fault> {
    let needed: Vec<i64> = session.values(BEING_REPLAYED, &[]).await?;
    let found = session
        .row(
            "SELECT instance, publish FROM publishes WHERE finished_at IS NOT NULL AND has_names = 1 AND finished_at < $1
                AND NOT publish = ANY($2) ORDER BY finished_at LIMIT 1 FOR UPDATE SKIP LOCKED",
            &[&before.as_millis(), &needed],
        )
        .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let (instance, publish): (i64, i64) = (row.at(0)?, row.at(1)?);
    if is_replayed(session, instance, publish).await? {
        return Ok(Some(false));
    }
    let mut removed = 0;
    for sql in [
        "UPDATE failures SET user_id = NULL WHERE instance = $1 AND publish = $2 AND device IN
            (SELECT device FROM failures WHERE instance = $1 AND publish = $2 AND user_id IS NOT NULL LIMIT $3)",
        OUTCOMES,
        "DELETE FROM listed WHERE (list, place) IN
            (SELECT l.list, l.place FROM lists s JOIN listed l ON l.list = s.list
              WHERE s.instance = $1 AND s.publish = $2 LIMIT $3)",
    ] {
        let left = EVENTS_MAX - removed;
        let some = session.execute(sql, &[&instance, &publish, &left]).await?;
        removed += columns::number(some);
    }
    if removed >= EVENTS_MAX {
        return Ok(Some(false));
    }
    for sql in [
        "UPDATE payloads SET users = NULL WHERE instance = $1 AND publish = $2",
        "DELETE FROM publish_webhooks WHERE instance = $1 AND publish = $2",
        "UPDATE publishes SET has_names = 0 WHERE instance = $1 AND publish = $2",
    ] {
        session.execute(sql, &[&instance, &publish]).await?;
    }
    Ok(Some(true))
}

/// Removes a piece of what was reported of a publish that finished before `before`: whether that was the last of it. `None` if
/// there is no such publish. No report counts for it any more.
pub(super) async fn events(session: &Session, before: Timestamp) -> Result<Option<bool>, Fault> {
    let found = session
        .row(
            "SELECT instance, publish FROM publishes WHERE finished_at IS NOT NULL AND has_events <> 0 AND finished_at < $1
              ORDER BY finished_at LIMIT 1 FOR UPDATE SKIP LOCKED",
            &[&before.as_millis()],
        )
        .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let (instance, publish): (i64, i64) = (row.at(0)?, row.at(1)?);
    let mut left = EVENTS_MAX;
    remove_events(session, instance, publish, &mut left).await?;
    let is_whole = left > 0;
    // From the first piece on: what is gone would not be known again.
    let has_events: i64 = if is_whole { 0 } else { 2 };
    session
        .execute(
            "UPDATE publishes SET has_events = $3 WHERE instance = $1 AND publish = $2",
            &[&instance, &publish, &has_events],
        )
        .await?;
    Ok(Some(is_whole))
}

/// Removes events of a publish, as many as there are left to remove.
async fn remove_events(
    session: &Session,
    instance: i64,
    publish: i64,
    left: &mut i64,
) -> Result<(), Fault> {
    let removed = session
        .execute(
            "DELETE FROM events WHERE instance = $1 AND publish = $2 AND (kind, device) IN
                (SELECT kind, device FROM events WHERE instance = $1 AND publish = $2 LIMIT $3)",
            &[&instance, &publish, &*left],
        )
        .await?;
    *left -= columns::number(removed);
    Ok(())
}

/// Whether a replay of a publish has begun before the publish was held.
async fn is_replayed(session: &Session, instance: i64, publish: i64) -> Result<bool, Fault> {
    session
        .known(
            "SELECT EXISTS (SELECT 1 FROM publishes
              WHERE instance = $1 AND replay_of = $2 AND replay_of IS NOT NULL AND finished_at IS NULL)",
            &[&instance, &publish],
        )
        .await
}

/// What belongs to a publish, in the order in which it goes: work first, so that nothing is added afterwards.
const BELONGINGS: [&str; 6] = [
    "DELETE FROM jobs WHERE instance = $1 AND publish = $2",
    "DELETE FROM retries WHERE instance = $1 AND publish = $2",
    "DELETE FROM tallies WHERE instance = $1 AND publish = $2",
    "DELETE FROM scheduled WHERE instance = $1 AND publish = $2",
    "DELETE FROM publish_webhooks WHERE instance = $1 AND publish = $2",
    "DELETE FROM payloads WHERE instance = $1 AND publish = $2",
];

/// Removes a publish that the caller holds; `false` if what belongs to it was too much for this piece.
async fn remove_publish(
    session: &Session,
    instance: i64,
    publish: i64,
    left: &mut i64,
) -> Result<bool, Fault> {
    remove_events(session, instance, publish, left).await?;
    if *left > 0 {
        *left = replay::remove_failures(session, instance, publish, *left).await?;
    }
    if *left > 0 {
        let removed = session
            .execute(OUTCOMES, &[&instance, &publish, &*left])
            .await?;
        *left -= columns::number(removed);
    }
    if *left <= 0 {
        return Ok(false);
    }
    for sql in BELONGINGS {
        session.execute(sql, &[&instance, &publish]).await?;
    }
    // A list that is nobody's any more is forgotten in pieces.
    session
        .execute(
            "UPDATE lists SET publish = NULL WHERE publish = $1",
            &[&publish],
        )
        .await?;
    session
        .execute(
            "DELETE FROM publishes WHERE instance = $1 AND publish = $2",
            &[&instance, &publish],
        )
        .await?;
    Ok(true)
}

/// Removes a piece of an instance that was deleted. `true` when there is nothing to do, for now.
///
/// The row itself goes last, and not before every transaction has ended that may have seen it alive: what those wrote goes with
/// a later call.
pub(super) async fn purge_deleted(session: &Session) -> Result<bool, Fault> {
    let instances: Vec<i64> = session
        .values(
            "SELECT instance FROM instances WHERE deleted_by IS NOT NULL ORDER BY instance",
            &[],
        )
        .await?;
    for instance in instances {
        if purge_piece(session, instance).await? {
            return Ok(false);
        }
        let removed = session
            .execute(
                "DELETE FROM instances WHERE instance = $1 AND deleted_by < pg_snapshot_xmin(pg_current_snapshot())",
                &[&instance],
            )
            .await?;
        if removed > 0 {
            session
                .execute(
                    "DELETE FROM device_counts WHERE instance = $1",
                    &[&instance],
                )
                .await?;
        }
    }
    Ok(true)
}

/// Removes a piece of what an instance has; whether it had anything.
async fn purge_piece(session: &Session, instance: i64) -> Result<bool, Fault> {
    let found: Vec<i64> = session
        .values(
            "SELECT device FROM devices WHERE instance = $1 ORDER BY device LIMIT $2",
            &[&instance, &DEVICES_MAX],
        )
        .await?;
    if devices::remove(session, instance, &found, None).await? > 0 {
        return Ok(true);
    }
    let publishes: Vec<i64> = session
        .values(
            "SELECT publish FROM publishes WHERE instance = $1 ORDER BY publish LIMIT $2 FOR UPDATE",
            &[&instance, &columns::number(PUBLISHES_MAX)],
        )
        .await?;
    let mut left = EVENTS_MAX;
    for publish in &publishes {
        if !remove_publish(session, instance, *publish, &mut left).await? {
            return Ok(true);
        }
    }
    Ok(!publishes.is_empty()
        || !keys::remove_of(session, instance, KEYS_MAX).await?
        || !lists::purge(session, instance).await?
        || insights::purge(session, instance).await?
        || !webhooks::purge(session, instance).await?)
}
