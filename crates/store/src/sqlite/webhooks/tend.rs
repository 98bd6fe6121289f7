//! Keeps the queues within their bounds.

use domain::clock::Timestamp;
use domain::user::UserId;
use domain::webhook::WebhookId;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::super::columns;
use super::requests;
use crate::StoreError;
use crate::administration::{TRACED_REQUESTS_MAX, TracedRequest};
use crate::webhooks::{Care, DISABLED, RequestState};

/// How many requests one piece removes or gives up at most.
const REQUESTS_MAX: i64 = 5_000;

struct Tended {
    webhook: i64,
    disabled: bool,
    removed: bool,
    full: bool,
}

pub(super) fn tend(connection: &Connection, care: Care) -> Result<u64, StoreError> {
    let all: Vec<Tended> = connection
        .prepare_cached(
            "SELECT webhook, disabled_since IS NOT NULL, secret IS NOT NULL AND url = '', full_since IS NOT NULL FROM webhooks",
        )?
        .query_map([], |row| {
            Ok(Tended {
                webhook: row.get(0)?,
                disabled: row.get(1)?,
                removed: row.get(2)?,
                full: row.get(3)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let mut deleted = 0;
    for tended in all {
        if tended.removed {
            // A crash came between the beginning of its removal and the end.
            remove(connection, tended.webhook)?;
            continue;
        }
        if tended.disabled {
            give_up(connection, tended.webhook, care.now)?;
        }
        note_whether_full(connection, &tended, care)?;
        let left = columns::limit(care.limit).saturating_sub_unsigned(deleted);
        if left > 0 {
            deleted += prune(connection, tended.webhook, care, left)?;
        }
    }
    Ok(deleted)
}

fn give_up(connection: &Connection, webhook: i64, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE webhook_requests SET state = 'failed', error = ?2, tried_at = ?3, fence = fence + 1, leased_until = 0
              WHERE request IN (SELECT request FROM webhook_requests WHERE webhook = ?1 AND state = 'waiting' LIMIT ?4)",
        )?
        .execute(params![webhook, DISABLED, now.as_millis(), REQUESTS_MAX])?;
    Ok(())
}

fn note_whether_full(
    connection: &Connection,
    tended: &Tended,
    care: Care,
) -> Result<(), StoreError> {
    let full = connection
        .prepare_cached(
            "SELECT 1 FROM webhook_requests WHERE webhook = ?1 AND state = 'waiting'
              ORDER BY request LIMIT 1 OFFSET ?2",
        )?
        .exists([tended.webhook, columns::limit(care.waiting_max)])?;
    if full != tended.full {
        connection
            .prepare_cached(
                "UPDATE webhooks SET full_since = iif(?2, ?3, NULL) WHERE webhook = ?1",
            )?
            .execute(params![tended.webhook, full, care.now.as_millis()])?;
    }
    Ok(())
}

/// Deletes ended requests of a webhook that are old, or too many; at most `left`.
fn prune(connection: &Connection, webhook: i64, care: Care, left: i64) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for state in [RequestState::Delivered, RequestState::Failed] {
        let left = left.saturating_sub_unsigned(deleted);
        let surplus: i64 = connection
            .prepare_cached(
                "SELECT coalesce((SELECT request FROM webhook_requests WHERE webhook = ?1 AND state = ?2
                                   ORDER BY request DESC LIMIT 1 OFFSET ?3), 0)",
            )?
            .query_row(
                params![webhook, state.as_str(), columns::limit(care.ended_max)],
                |row| row.get(0),
            )?;
        let gone = connection
            .prepare_cached(
                "DELETE FROM webhook_requests WHERE request IN
                    (SELECT request FROM webhook_requests
                      WHERE webhook = ?1 AND state = ?2 AND (request <= ?3 OR tried_at < ?4) ORDER BY request LIMIT ?5)",
            )?
            .execute(params![
                webhook,
                state.as_str(),
                surplus,
                care.before.as_millis(),
                left
            ])?;
        deleted += gone as u64;
    }
    Ok(deleted)
}

/// Removes a piece of a webhook's requests, and at last the webhook. `true` when nothing is left.
pub(super) fn remove(connection: &Connection, webhook: i64) -> Result<bool, StoreError> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM webhook_requests WHERE request IN (SELECT request FROM webhook_requests WHERE webhook = ?1 LIMIT ?2)",
        )?
        .execute([webhook, REQUESTS_MAX])?;
    if columns::limit(removed) >= REQUESTS_MAX {
        return Ok(false);
    }
    connection
        .prepare_cached("DELETE FROM webhooks WHERE webhook = ?1")?
        .execute([webhook])?;
    Ok(true)
}

/// Removes a piece of the webhooks of an instance that is being deleted. `true` when nothing is left.
pub(in super::super) fn purge(connection: &Connection, instance: i64) -> Result<bool, StoreError> {
    let webhooks: Vec<i64> = connection
        .prepare_cached("SELECT webhook FROM webhooks WHERE instance = ?1 LIMIT 10")?
        .query_map([instance], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for webhook in &webhooks {
        if !remove(connection, *webhook)? {
            return Ok(false);
        }
    }
    Ok(webhooks.is_empty())
}

pub(super) fn depth(connection: &Connection) -> Result<u64, StoreError> {
    let waiting: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM webhooks w CROSS JOIN webhook_requests r ON r.webhook = w.webhook
              WHERE r.state = 'waiting'",
        )?
        .query_row([], |row| row.get(0))?;
    columns::count(waiting)
}

/// The requests to the webhooks of an instance that name a user; whom a publish was to stands in lists.
const OF_USER: &str = "FROM webhook_requests
    WHERE webhook IN (SELECT webhook FROM webhooks WHERE instance = ?1)
      AND (user_id = ?2 OR after_user = ?2 OR EXISTS
            (SELECT 1 FROM json_tree(payload) t WHERE t.atom = ?2 AND typeof(t.key) = 'integer'))";

/// The first requests to the webhooks of an instance that name a user.
pub(in super::super) fn traced(
    connection: &Connection,
    instance: i64,
    user: &UserId,
) -> Result<Vec<TracedRequest>, StoreError> {
    let sql = format!(
        "SELECT (SELECT w.id FROM webhooks w WHERE w.webhook = webhook_requests.webhook), id, event, state, created_at
           {OF_USER} ORDER BY request LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let limit = columns::limit(TRACED_REQUESTS_MAX);
    let rows = statement.query_and_then(
        params![instance, user.as_str(), limit],
        |row| -> Result<TracedRequest, StoreError> {
            let created_at: Option<i64> = row.get(4)?;
            Ok(TracedRequest {
                webhook: WebhookId::from_uuid(Uuid::from_bytes(row.get(0)?)),
                id: Uuid::from_bytes(row.get(1)?),
                event: requests::event(row.get_ref(2)?.as_str()?)?,
                state: requests::state(row.get_ref(3)?.as_str()?)?,
                created_at: created_at.map(Timestamp::from_millis),
            })
        },
    )?;
    rows.collect()
}

/// Removes them. How many there were.
pub(in super::super) fn forget_user(
    connection: &Connection,
    instance: i64,
    user: &UserId,
) -> Result<u64, StoreError> {
    let sql = format!("DELETE {OF_USER}");
    let removed = connection
        .prepare_cached(&sql)?
        .execute(params![instance, user.as_str()])?;
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}
