//! Requests: claimed, made, settled, listed, replayed.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::seal::Sealed;
use domain::user::UserId;
use domain::webhook::{EventType, WebhookId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::super::columns;
use super::{COLUMNS, raise, record};
use crate::StoreError;
use crate::publishes::{AHEAD_MAX, Fence, Lease, Settled};
use crate::stored::tries;
use crate::webhooks::{
    Attempted, Claimed, ClaimedRequests, Content, DueWebhook, FAILED_TOO_LONG, Next, PUBLISH_GONE,
    PublishWebhook, RequestNumber, RequestReport, RequestState, TRIES_LENGTH_MAX, WebhookNumber,
};

pub(super) const DUE: &str = "SELECT w.webhook, w.failing_since IS NOT NULL
      FROM webhooks w CROSS JOIN instances i ON i.instance = w.instance
     WHERE w.disabled_since IS NULL AND i.deleted = 0
       AND (EXISTS (SELECT 1 FROM webhook_requests r
                     WHERE r.webhook = w.webhook AND r.state = 'waiting' AND r.due_at <= ?1
                       AND (r.leased_until <= ?1 OR r.leased_until > ?3))
         OR EXISTS (SELECT 1 FROM webhook_requests r
                     WHERE r.webhook = w.webhook AND r.state = 'waiting' AND r.due_at > ?3
                       AND (r.leased_until <= ?1 OR r.leased_until > ?3)))
     LIMIT ?2";

/// Costs two looks into an index for each webhook, of which there are few.
pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<DueWebhook>, StoreError> {
    Ok(connection
        .prepare_cached(DUE)?
        .query_map(
            [
                now.as_millis(),
                columns::limit(limit),
                now.after(AHEAD_MAX).as_millis(),
            ],
            |row| {
                Ok(DueWebhook {
                    number: WebhookNumber(row.get(0)?),
                    failing: row.get(1)?,
                })
            },
        )?
        .collect::<Result<_, _>>()?)
}

pub(super) const CLAIMABLE: &str = "SELECT r.request, r.fence, r.id, r.event_id, r.event, r.created_at, r.attempts,
        r.payload, p.id, r.after_user, b.sealed
   FROM webhook_requests r LEFT JOIN publishes p ON p.publish = r.publish
        LEFT JOIN publish_webhooks b ON b.publish = r.publish AND r.event IN ('STARTED', 'FINISHED')
  WHERE r.webhook = ?1 AND r.state = 'waiting' AND r.due_at >= ?2 AND r.due_at <= ?3 AND (r.leased_until <= ?4 OR r.leased_until > ?6)
  ORDER BY r.due_at, r.request LIMIT ?5";

pub(super) fn claim(
    connection: &Connection,
    webhook: WebhookNumber,
    lease: Lease,
    now: Timestamp,
    limit: usize,
) -> Result<Option<ClaimedRequests>, StoreError> {
    let sql = format!(
        "SELECT i.id, {COLUMNS} FROM webhooks w CROSS JOIN instances i ON i.instance = w.instance
          WHERE w.webhook = ?1 AND w.disabled_since IS NULL AND i.deleted = 0"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([webhook.0])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let instance = InstanceId::from_uuid(Uuid::from_bytes(row.get(0)?));
    let record = record(row, 1)?;
    let mut requests = Vec::new();
    let mut gone = Vec::new();
    let ahead = now.after(AHEAD_MAX).as_millis();
    // Those that were tried before come first, so that a flood of new ones does not keep them waiting: those that are due, and
    // those that a clock that was hours ahead has put off.
    for (from, to) in [
        (1, now.as_millis()),
        (ahead.saturating_add(1), i64::MAX),
        (0, 0),
    ] {
        let left = columns::limit(limit - requests.len());
        let mut statement = connection.prepare_cached(CLAIMABLE)?;
        let mut rows = statement.query([webhook.0, from, to, now.as_millis(), left, ahead])?;
        while let Some(row) = rows.next()? {
            match claimable(row, now)? {
                Some(request) => requests.push(request),
                None => gone.push(row.get::<_, i64>(0)?),
            }
        }
    }
    for request in gone {
        connection
            .prepare_cached(
                "UPDATE webhook_requests SET state = 'failed', error = ?2, tried_at = ?3 WHERE request = ?1",
            )?
            .execute(params![request, PUBLISH_GONE, now.as_millis()])?;
    }
    let mut statement = connection.prepare_cached(
        "UPDATE webhook_requests SET fence = ?2, leased_until = ?3, created_at = ?4 WHERE request = ?1",
    )?;
    for request in &requests {
        statement.execute([
            request.number.0,
            request.fence.0,
            lease.until.as_millis(),
            request.created_at.as_millis(),
        ])?;
    }
    let claimed = ClaimedRequests {
        instance,
        webhook: record,
        requests,
    };
    Ok((!claimed.requests.is_empty()).then_some(claimed))
}

pub(super) fn event(word: &str) -> Result<EventType, StoreError> {
    EventType::parse(word)
        .ok_or_else(|| StoreError::Corrupt(format!("a webhook's event type {word:?}")))
}

pub(super) fn state(word: &str) -> Result<RequestState, StoreError> {
    RequestState::parse(word)
        .ok_or_else(|| StoreError::Corrupt(format!("the state {word:?} of a webhook's request")))
}

/// A request as its row has it; `None` if it cannot be made any more, since its publish is gone.
fn claimable(row: &Row<'_>, now: Timestamp) -> Result<Option<Claimed>, StoreError> {
    let payload: Option<String> = row.get(7)?;
    let publish: Option<[u8; 16]> = row.get(8)?;
    let event = event(row.get_ref(4)?.as_str()?)?;
    let brought: Option<Vec<u8>> = row.get(10)?;
    let brought = brought.map(|sealed| PublishWebhook(Sealed::from_bytes(sealed)));
    if event.is_of_publish_webhook() && brought.is_none() {
        return Ok(None);
    }
    let content = match (payload, publish) {
        (Some(payload), _) => Content::Made(payload),
        (None, Some(publish)) => Content::OfPublish {
            publish: raise::publish_id(publish),
            after: row
                .get::<_, Option<String>>(9)?
                .map(columns::user)
                .transpose()?,
        },
        (None, None) => return Ok(None),
    };
    let created_at: Option<i64> = row.get(5)?;
    Ok(Some(Claimed {
        number: RequestNumber(row.get(0)?),
        fence: Fence(row.get::<_, i64>(1)? + 1),
        id: Uuid::from_bytes(row.get(2)?),
        event_id: Uuid::from_bytes(row.get(3)?),
        event,
        created_at: created_at.map_or(now, Timestamp::from_millis),
        attempts: row.get(6)?,
        content,
        brought,
    }))
}

pub(super) fn make(
    connection: &Connection,
    number: RequestNumber,
    fence: Fence,
    payload: &str,
    rest: Option<&UserId>,
) -> Result<Settled, StoreError> {
    let made = connection
        .prepare_cached("UPDATE webhook_requests SET payload = ?3 WHERE request = ?1 AND fence = ?2 AND payload IS NULL")?
        .execute(params![number.0, fence.0, payload])?;
    if made == 0 {
        // A caller whose answer was lost asks again.
        let is_mine = connection
            .prepare_cached("SELECT 1 FROM webhook_requests WHERE request = ?1 AND fence = ?2")?
            .exists([number.0, fence.0])?;
        return Ok(if is_mine {
            Settled::Done
        } else {
            Settled::LeaseLost
        });
    }
    if let Some(rest) = rest {
        connection
            .prepare_cached(
                "INSERT INTO webhook_requests (webhook, id, event_id, event, publish, after_user)
                 SELECT webhook, ?2, ?3, event, publish, ?4 FROM webhook_requests WHERE request = ?1",
            )?
            .execute(params![
                number.0,
                Uuid::new_v4().as_bytes(),
                Uuid::new_v4().as_bytes(),
                rest.as_str()
            ])?;
    }
    Ok(Settled::Done)
}

pub(super) fn settle(
    connection: &Connection,
    webhook: WebhookNumber,
    attempts: &[Attempted],
    disable_after: Duration,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (mut taken, mut failed) = (false, false);
    {
        let mut statement = connection.prepare_cached(
            "UPDATE webhook_requests SET state = ?4, due_at = coalesce(?5, due_at), attempts = attempts + 1,
                    leased_until = 0, fence = fence + 1, tried_at = ?6, status = ?7, error = ?8,
                    tries = substr(tries || ?9, -?10)
              WHERE request = ?1 AND webhook = ?2 AND fence = ?3 AND state = 'waiting'",
        )?;
        for attempt in attempts {
            let (state, due) = match attempt.next {
                Next::Delivered => (RequestState::Delivered, None),
                Next::Again(due) => (RequestState::Waiting, Some(due.as_millis())),
                Next::GiveUp => (RequestState::Failed, None),
            };
            let settled = statement.execute(params![
                attempt.number.0,
                webhook.0,
                attempt.fence.0,
                state.as_str(),
                due,
                now.as_millis(),
                attempt.status,
                attempt.error,
                tries::line(attempt, now),
                columns::limit(TRIES_LENGTH_MAX)
            ])?;
            if settled > 0 {
                taken |= attempt.next == Next::Delivered;
                failed |= attempt.next != Next::Delivered;
            }
        }
    }
    if taken {
        connection
            .prepare_cached(
                "UPDATE webhooks SET failing_since = NULL WHERE webhook = ?1 AND failing_since IS NOT NULL",
            )?
            .execute([webhook.0])?;
    } else if failed {
        return failing(connection, webhook, disable_after, now);
    }
    Ok(false)
}

/// Notes that attempts fail. Whether that has gone on for too long, as of now.
fn failing(
    connection: &Connection,
    webhook: WebhookNumber,
    disable_after: Duration,
    now: Timestamp,
) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "UPDATE webhooks SET failing_since = ?2 WHERE webhook = ?1 AND failing_since IS NULL",
        )?
        .execute([webhook.0, now.as_millis()])?;
    let disabled = connection
        .prepare_cached(
            "UPDATE webhooks SET disabled_since = ?2, disabled_reason = ?4
              WHERE webhook = ?1 AND disabled_since IS NULL AND failing_since <= ?3 AND secret IS NOT NULL",
        )?
        .execute(params![
            webhook.0,
            now.as_millis(),
            now.before(disable_after).as_millis(),
            FAILED_TOO_LONG
        ])?;
    Ok(disabled > 0)
}

pub(super) fn list(
    connection: &Connection,
    instance: InstanceId,
    id: WebhookId,
    state: Option<RequestState>,
    before: Option<RequestNumber>,
    limit: usize,
) -> Result<Option<Vec<RequestReport>>, StoreError> {
    let Some(number) = super::number(connection, instance, id)? else {
        return Ok(None);
    };
    let before = before.map_or(i64::MAX, |request| request.0);
    // Each state has its own stretch of the index.
    let mut found = Vec::new();
    for each in RequestState::ALL {
        if state.is_some_and(|state| state != each) {
            continue;
        }
        let mut statement = connection.prepare_cached(
            "SELECT request, id, event_id, event, state, created_at, attempts, due_at, tried_at, status, error, payload, tries
               FROM webhook_requests WHERE webhook = ?1 AND state = ?2 AND request < ?3
              ORDER BY request DESC LIMIT ?4",
        )?;
        let mut rows = statement.query(params![
            number,
            each.as_str(),
            before,
            columns::limit(limit)
        ])?;
        while let Some(row) = rows.next()? {
            found.push(report(row, each)?);
        }
    }
    found.sort_unstable_by_key(|report| std::cmp::Reverse(report.number));
    found.truncate(limit);
    Ok(Some(found))
}

pub(super) fn one(
    connection: &Connection,
    instance: InstanceId,
    webhook: WebhookId,
    id: Uuid,
) -> Result<Option<RequestReport>, StoreError> {
    let Some(number) = super::number(connection, instance, webhook)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT request, id, event_id, event, state, created_at, attempts, due_at, tried_at, status, error, payload, tries
           FROM webhook_requests WHERE id = ?1 AND webhook = ?2",
    )?;
    let mut rows = statement.query(params![id.as_bytes(), number])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let state = state(row.get_ref(4)?.as_str()?)?;
    report(row, state).map(Some)
}

fn report(row: &Row<'_>, state: RequestState) -> Result<RequestReport, StoreError> {
    let time = |column: usize| -> Result<Option<Timestamp>, StoreError> {
        let millis: Option<i64> = row.get(column)?;
        Ok(millis.map(Timestamp::from_millis))
    };
    Ok(RequestReport {
        number: RequestNumber(row.get(0)?),
        id: Uuid::from_bytes(row.get(1)?),
        event_id: Uuid::from_bytes(row.get(2)?),
        event: event(row.get_ref(3)?.as_str()?)?,
        state,
        created_at: time(5)?,
        attempts: row.get(6)?,
        due_at: time(7)?.filter(|_| state == RequestState::Waiting),
        tried_at: time(8)?,
        status: row.get(9)?,
        error: row.get(10)?,
        payload: row.get(11)?,
        tries: tries::read(row.get_ref(12)?.as_str()?),
    })
}

pub(super) fn replay(
    connection: &Connection,
    instance: InstanceId,
    webhook: WebhookId,
    id: Uuid,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(number) = super::number(connection, instance, webhook)? else {
        return Ok(false);
    };
    let request: Option<i64> = connection
        .prepare_cached(
            "SELECT request FROM webhook_requests
              WHERE id = ?1 AND webhook = ?2 AND (state <> 'waiting' OR (due_at > ?3 AND (leased_until <= ?3 OR leased_until > ?4)))",
        )?
        .query_row(
            params![
                id.as_bytes(),
                number,
                now.as_millis(),
                now.after(AHEAD_MAX).as_millis()
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(request) = request else {
        return Ok(false);
    };
    connection
        .prepare_cached(
            "UPDATE webhook_requests SET state = 'waiting', attempts = 0, due_at = ?2, fence = fence + 1, leased_until = 0
              WHERE request = ?1",
        )?
        .execute([request, now.as_millis()])?;
    Ok(true)
}
