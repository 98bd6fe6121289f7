//! Keeps the queues within their bounds. Several nodes may do it at the same time.

use domain::clock::Timestamp;
use domain::user::UserId;
use domain::webhook::WebhookId;
use tokio_postgres::Row;

use super::super::columns;
use super::super::fault::Fault;
use super::super::session::{Columns as _, Session};
use super::requests;
use crate::administration::{TRACED_REQUESTS_MAX, TracedRequest};
use crate::webhooks::{Care, DISABLED, RequestState};

/// How many requests one piece removes or gives up at most.
const REQUESTS_MAX: i64 = 5_000;

pub(super) async fn tend(session: &Session, care: Care) -> Result<u64, Fault> {
    // Left to whoever is at it: nodes do the same at the same time.
    let alone: bool = session
        .known(
            "SELECT pg_try_advisory_xact_lock(hashtextextended('heliostat webhooks ' || current_schema(), 0))",
            &[],
        )
        .await?;
    if !alone {
        return Ok(0);
    }
    let rows = session
        .rows(
            "SELECT webhook, disabled_since IS NOT NULL, secret IS NOT NULL AND url = '', full_since IS NOT NULL
               FROM webhooks ORDER BY webhook",
            &[],
        )
        .await?;
    let mut deleted = 0;
    for row in &rows {
        let (webhook, disabled, removed, full): (i64, bool, bool, bool) =
            (row.at(0)?, row.at(1)?, row.at(2)?, row.at(3)?);
        if removed {
            // A crash came between the beginning of its removal and the end.
            remove(session, webhook).await?;
            continue;
        }
        if disabled {
            give_up(session, webhook, care).await?;
        }
        note_whether_full(session, webhook, full, care).await?;
        let left = columns::limit(care.limit).saturating_sub_unsigned(deleted);
        if left > 0 {
            deleted += prune(session, webhook, care, left).await?;
        }
    }
    Ok(deleted)
}

async fn give_up(session: &Session, webhook: i64, care: Care) -> Result<(), Fault> {
    session
        .execute(
            "UPDATE webhook_requests SET state = 'failed', error = $2, tried_at = $3, fence = fence + 1, leased_until = 0
              WHERE request IN (SELECT request FROM webhook_requests WHERE webhook = $1 AND state = 'waiting'
                                 ORDER BY request LIMIT $4 FOR UPDATE SKIP LOCKED)",
            &[&webhook, &DISABLED, &care.now.as_millis(), &REQUESTS_MAX],
        )
        .await?;
    Ok(())
}

async fn note_whether_full(
    session: &Session,
    webhook: i64,
    was_full: bool,
    care: Care,
) -> Result<(), Fault> {
    let one_more = session
        .row(
            "SELECT 1 FROM webhook_requests WHERE webhook = $1 AND state = 'waiting' ORDER BY request LIMIT 1 OFFSET $2",
            &[&webhook, &columns::limit(care.waiting_max)],
        )
        .await?;
    let full = one_more.is_some();
    if full != was_full {
        let since = full.then_some(care.now.as_millis());
        session
            .execute(
                "UPDATE webhooks SET full_since = $2 WHERE webhook = $1",
                &[&webhook, &since],
            )
            .await?;
    }
    Ok(())
}

/// Deletes ended requests of a webhook that are old, or too many; at most `left`.
async fn prune(session: &Session, webhook: i64, care: Care, left: i64) -> Result<u64, Fault> {
    let mut deleted = 0;
    for state in [RequestState::Delivered, RequestState::Failed] {
        let left = left.saturating_sub_unsigned(deleted);
        let surplus: Option<i64> = session
            .value(
                "SELECT request FROM webhook_requests WHERE webhook = $1 AND state = $2
                  ORDER BY request DESC LIMIT 1 OFFSET $3",
                &[&webhook, &state.as_str(), &columns::limit(care.ended_max)],
            )
            .await?;
        deleted += session
            .execute(
                "DELETE FROM webhook_requests WHERE request IN
                    (SELECT request FROM webhook_requests
                      WHERE webhook = $1 AND state = $2 AND (request <= $3 OR tried_at < $4)
                      ORDER BY request LIMIT $5 FOR UPDATE SKIP LOCKED)",
                &[
                    &webhook,
                    &state.as_str(),
                    &surplus.unwrap_or(0),
                    &care.before.as_millis(),
                    &left,
                ],
            )
            .await?;
    }
    Ok(deleted)
}

/// Removes a piece of a webhook's requests, and at last the webhook. `true` when nothing is left.
pub(super) async fn remove(session: &Session, webhook: i64) -> Result<bool, Fault> {
    let removed = session
        .execute(
            "DELETE FROM webhook_requests WHERE request IN
                (SELECT request FROM webhook_requests WHERE webhook = $1 ORDER BY request LIMIT $2 FOR UPDATE)",
            &[&webhook, &REQUESTS_MAX],
        )
        .await?;
    if columns::number(removed) >= REQUESTS_MAX {
        return Ok(false);
    }
    session
        .execute("DELETE FROM webhooks WHERE webhook = $1", &[&webhook])
        .await?;
    Ok(true)
}

/// Removes a piece of the webhooks of an instance that is being deleted. `true` when nothing is left.
pub(in super::super) async fn purge(session: &Session, instance: i64) -> Result<bool, Fault> {
    let webhooks: Vec<i64> = session
        .values(
            "SELECT webhook FROM webhooks WHERE instance = $1 ORDER BY webhook LIMIT 10",
            &[&instance],
        )
        .await?;
    for webhook in &webhooks {
        if !remove(session, *webhook).await? {
            return Ok(false);
        }
    }
    Ok(webhooks.is_empty())
}

pub(super) async fn depth(session: &Session) -> Result<u64, Fault> {
    let waiting: i64 = session
        .known(
            "SELECT count(*) FROM webhook_requests WHERE state = 'waiting'",
            &[],
        )
        .await?;
    columns::count(waiting)
}

/// The first requests to the webhooks of an instance that name a user; whom a publish was to stands in lists.
pub(in super::super) async fn traced(
    session: &Session,
    instance: i64,
    user: &UserId,
) -> Result<Vec<TracedRequest>, Fault> {
    let rows = session
        .rows(
            "SELECT (SELECT w.id FROM webhooks w WHERE w.webhook = r.webhook), id, event, state, created_at
               FROM webhook_requests r
              WHERE webhook IN (SELECT webhook FROM webhooks WHERE instance = $1)
                AND (user_id = $2 OR after_user = $2 OR EXISTS
                    (SELECT 1 FROM jsonb_each(payload::jsonb) f WHERE jsonb_typeof(f.value) = 'array' AND f.value ? $2))
              ORDER BY request LIMIT $3",
            &[
                &instance,
                &user.as_str(),
                &columns::limit(TRACED_REQUESTS_MAX),
            ],
        )
        .await?;
    let read = |row: &Row| {
        let created_at: Option<i64> = row.at(4)?;
        Ok(TracedRequest {
            webhook: WebhookId::from_uuid(row.at(0)?),
            id: row.at(1)?,
            event: requests::event(row.at(2)?)?,
            state: requests::state(row.at(3)?)?,
            created_at: created_at.map(Timestamp::from_millis),
        })
    };
    rows.iter().map(read).collect()
}

/// Removes them. How many there were.
pub(in super::super) async fn forget_user(
    session: &Session,
    instance: i64,
    user: &UserId,
) -> Result<u64, Fault> {
    session
        .execute(
            "DELETE FROM webhook_requests
              WHERE webhook IN (SELECT webhook FROM webhooks WHERE instance = $1)
                AND (user_id = $2 OR after_user = $2 OR EXISTS
                    (SELECT 1 FROM jsonb_each(payload::jsonb) f WHERE jsonb_typeof(f.value) = 'array' AND f.value ? $2))",
            &[&instance, &user.as_str()],
        )
        .await
}
