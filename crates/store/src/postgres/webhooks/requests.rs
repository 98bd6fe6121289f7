//! Requests: claimed, made, settled, listed, replayed.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::seal::Sealed;
use domain::user::UserId;
use domain::webhook::{EventType, WebhookId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::columns;
use super::super::fault::{Fault, corrupt};
use super::super::session::{Columns as _, Session};
use super::{COLUMNS, record};
use crate::publishes::{AHEAD_MAX, Fence, Lease, Settled};
use crate::stored::tries;
use crate::webhooks::{
    Attempted, Claimed, ClaimedRequests, Content, DueWebhook, FAILED_TOO_LONG, Next, PUBLISH_GONE,
    PublishWebhook, RequestNumber, RequestReport, RequestState, TRIES_LENGTH_MAX, WebhookNumber,
};

pub(in super::super) const DUE: &str = "SELECT w.webhook, w.failing_since IS NOT NULL
      FROM webhooks w JOIN instances i ON i.instance = w.instance
     WHERE w.disabled_since IS NULL AND i.deleted_by IS NULL
       AND (EXISTS (SELECT 1 FROM webhook_requests r
                     WHERE r.webhook = w.webhook AND r.state = 'waiting' AND r.due_at <= $1
                       AND (r.leased_until <= $1 OR r.leased_until > $3))
         OR EXISTS (SELECT 1 FROM webhook_requests r
                     WHERE r.webhook = w.webhook AND r.state = 'waiting' AND r.due_at > $3
                       AND (r.leased_until <= $1 OR r.leased_until > $3)))
     LIMIT $2";

/// Costs two looks into an index for each webhook, of which there are few.
pub(super) async fn due(
    session: &Session,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<DueWebhook>, Fault> {
    let rows = session
        .rows(
            DUE,
            &[
                &now.as_millis(),
                &columns::limit(limit),
                &now.after(AHEAD_MAX).as_millis(),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(DueWebhook {
                number: WebhookNumber(row.at(0)?),
                failing: row.at(1)?,
            })
        })
        .collect()
}

/// Claims what is due between two times; what others are just claiming is passed over.
const CLAIM: &str = "WITH found AS (
        SELECT request FROM webhook_requests
         WHERE webhook = $1 AND state = 'waiting' AND due_at >= $2 AND due_at <= $3 AND (leased_until <= $4 OR leased_until > $8)
         ORDER BY due_at, request LIMIT $5 FOR UPDATE SKIP LOCKED),
    claimed AS (
        UPDATE webhook_requests r SET fence = r.fence + 1, leased_until = $6, created_at = coalesce(r.created_at, $4)
          FROM found WHERE r.request = found.request
        RETURNING r.request, r.fence, r.id, r.event_id, r.event, r.created_at, r.attempts, r.payload, r.publish,
            r.after_user, r.due_at)
    SELECT c.request, c.fence, c.id, c.event_id, c.event, c.created_at, c.attempts, c.payload, p.id, c.after_user, b.sealed
      FROM claimed c LEFT JOIN publishes p ON p.instance = $7 AND p.publish = c.publish
           LEFT JOIN publish_webhooks b ON b.instance = $7 AND b.publish = c.publish AND c.event IN ('STARTED', 'FINISHED')
     ORDER BY c.due_at, c.request";

pub(super) async fn claim(
    session: &Session,
    webhook: WebhookNumber,
    lease: Lease,
    now: Timestamp,
    limit: usize,
) -> Result<Option<ClaimedRequests>, Fault> {
    let sql = format!(
        "SELECT i.instance, i.id, {COLUMNS} FROM webhooks w JOIN instances i ON i.instance = w.instance
          WHERE w.webhook = $1 AND w.disabled_since IS NULL AND i.deleted_by IS NULL"
    );
    let Some(row) = session.row(&sql, &[&webhook.0]).await? else {
        return Ok(None);
    };
    let number: i64 = row.at(0)?;
    let mut claimed = ClaimedRequests {
        instance: InstanceId::from_uuid(row.at(1)?),
        webhook: record(&row, 2)?,
        requests: Vec::new(),
    };
    let mut gone: Vec<i64> = Vec::new();
    let ahead = now.after(AHEAD_MAX).as_millis();
    // Those that were tried before come first, so that a flood of new ones does not keep them waiting: those that are due, and
    // those that a clock that was hours ahead has put off.
    for (from, to) in [
        (1, now.as_millis()),
        (ahead.saturating_add(1), i64::MAX),
        (0, 0),
    ] {
        let left = columns::limit(limit - claimed.requests.len());
        let rows = session
            .rows(
                CLAIM,
                &[
                    &webhook.0,
                    &from,
                    &to,
                    &now.as_millis(),
                    &left,
                    &lease.until.as_millis(),
                    &number,
                    &ahead,
                ],
            )
            .await?;
        for row in &rows {
            match claimable(row)? {
                Some(request) => claimed.requests.push(request),
                None => gone.push(row.at(0)?),
            }
        }
    }
    if !gone.is_empty() {
        session
            .execute(
                "UPDATE webhook_requests SET state = 'failed', error = $2, tried_at = $3 WHERE request = ANY($1)",
                &[&gone, &PUBLISH_GONE, &now.as_millis()],
            )
            .await?;
    }
    Ok((!claimed.requests.is_empty()).then_some(claimed))
}

pub(super) fn event(word: &str) -> Result<EventType, Fault> {
    EventType::parse(word).ok_or_else(|| corrupt(format!("a webhook's event type {word:?}")))
}

pub(super) fn state(word: &str) -> Result<RequestState, Fault> {
    RequestState::parse(word)
        .ok_or_else(|| corrupt(format!("the state {word:?} of a webhook's request")))
}

/// A request as its row has it; `None` if it cannot be made any more, since its publish is gone.
fn claimable(row: &Row) -> Result<Option<Claimed>, Fault> {
    let payload: Option<String> = row.at(7)?;
    let publish: Option<Uuid> = row.at(8)?;
    let event = event(row.at(4)?)?;
    let brought: Option<Vec<u8>> = row.at(10)?;
    let brought = brought.map(|sealed| PublishWebhook(Sealed::from_bytes(sealed)));
    if event.is_of_publish_webhook() && brought.is_none() {
        return Ok(None);
    }
    let content = match (payload, publish) {
        (Some(payload), _) => Content::Made(payload),
        (None, Some(publish)) => Content::OfPublish {
            publish: PublishId::from_uuid(publish),
            after: row
                .at::<Option<String>>(9)?
                .map(columns::user)
                .transpose()?,
        },
        (None, None) => return Ok(None),
    };
    Ok(Some(Claimed {
        number: RequestNumber(row.at(0)?),
        fence: Fence(row.at(1)?),
        id: row.at(2)?,
        event_id: row.at(3)?,
        event,
        created_at: Timestamp::from_millis(row.at(5)?),
        attempts: attempts(row.at(6)?)?,
        content,
        brought,
    }))
}

fn attempts(count: i64) -> Result<u32, Fault> {
    u32::try_from(count).map_err(|_| corrupt(format!("{count} attempts")))
}

pub(super) async fn make(
    session: &Session,
    number: RequestNumber,
    fence: Fence,
    payload: &str,
    rest: Option<&UserId>,
) -> Result<Settled, Fault> {
    let made = session
        .execute(
            "UPDATE webhook_requests SET payload = $3 WHERE request = $1 AND fence = $2 AND payload IS NULL",
            &[&number.0, &fence.0, &payload],
        )
        .await?;
    if made == 0 {
        // A caller whose answer was lost asks again.
        let is_mine = session
            .row(
                "SELECT 1 FROM webhook_requests WHERE request = $1 AND fence = $2",
                &[&number.0, &fence.0],
            )
            .await?;
        return Ok(match is_mine {
            Some(_) => Settled::Done,
            None => Settled::LeaseLost,
        });
    }
    if let Some(rest) = rest {
        session
            .execute(
                "INSERT INTO webhook_requests (webhook, id, event_id, event, publish, after_user)
                 SELECT webhook, $2, $3, event, publish, $4 FROM webhook_requests WHERE request = $1",
                &[
                    &number.0,
                    &Uuid::new_v4(),
                    &Uuid::new_v4(),
                    &rest.as_str(),
                ],
            )
            .await?;
    }
    Ok(Settled::Done)
}

pub(super) async fn settle(
    session: &Session,
    webhook: WebhookNumber,
    attempts: &[Attempted],
    disable_after: Duration,
    now: Timestamp,
) -> Result<bool, Fault> {
    let mut ordered: Vec<&Attempted> = attempts.iter().collect();
    ordered.sort_unstable_by_key(|attempt| attempt.number);
    let (mut taken, mut failed) = (false, false);
    for attempt in ordered {
        let (state, due) = match attempt.next {
            Next::Delivered => (RequestState::Delivered, None),
            Next::Again(due) => (RequestState::Waiting, Some(due.as_millis())),
            Next::GiveUp => (RequestState::Failed, None),
        };
        let settled = session
            .execute(
                "UPDATE webhook_requests SET state = $4, due_at = coalesce($5, due_at), attempts = attempts + 1,
                        leased_until = 0, fence = fence + 1, tried_at = $6, status = $7, error = $8,
                        tries = right(tries || $9, $10)
                  WHERE request = $1 AND webhook = $2 AND fence = $3 AND state = 'waiting'",
                &[
                    &attempt.number.0,
                    &webhook.0,
                    &attempt.fence.0,
                    &state.as_str(),
                    &due,
                    &now.as_millis(),
                    &attempt.status.map(i64::from),
                    &attempt.error,
                    &tries::line(attempt, now),
                    &i32::try_from(TRIES_LENGTH_MAX).unwrap_or(i32::MAX),
                ],
            )
            .await?;
        if settled > 0 {
            taken |= attempt.next == Next::Delivered;
            failed |= attempt.next != Next::Delivered;
        }
    }
    if taken {
        session
            .execute(
                "UPDATE webhooks SET failing_since = NULL WHERE webhook = $1 AND failing_since IS NOT NULL",
                &[&webhook.0],
            )
            .await?;
    } else if failed {
        return failing(session, webhook, disable_after, now).await;
    }
    Ok(false)
}

/// Notes that attempts fail. Whether that has gone on for too long, as of now.
async fn failing(
    session: &Session,
    webhook: WebhookNumber,
    disable_after: Duration,
    now: Timestamp,
) -> Result<bool, Fault> {
    session
        .execute(
            "UPDATE webhooks SET failing_since = $2 WHERE webhook = $1 AND failing_since IS NULL",
            &[&webhook.0, &now.as_millis()],
        )
        .await?;
    let disabled = session
        .execute(
            "UPDATE webhooks SET disabled_since = $2, disabled_reason = $4
              WHERE webhook = $1 AND disabled_since IS NULL AND failing_since <= $3 AND secret IS NOT NULL",
            &[
                &webhook.0,
                &now.as_millis(),
                &now.before(disable_after).as_millis(),
                &FAILED_TOO_LONG,
            ],
        )
        .await?;
    Ok(disabled > 0)
}

pub(super) async fn list(
    session: &Session,
    instance: InstanceId,
    id: WebhookId,
    state: Option<RequestState>,
    before: Option<RequestNumber>,
    limit: usize,
) -> Result<Option<Vec<RequestReport>>, Fault> {
    let Some(number) = super::number(session, instance, id).await? else {
        return Ok(None);
    };
    let before = before.map_or(i64::MAX, |request| request.0);
    // Each state has its own stretch of the index.
    let mut found = Vec::new();
    for each in RequestState::ALL {
        if state.is_some_and(|state| state != each) {
            continue;
        }
        let rows = session
            .rows(
                "SELECT request, id, event_id, event, created_at, attempts, due_at, tried_at, status, error, payload, tries
                   FROM webhook_requests WHERE webhook = $1 AND state = $2 AND request < $3
                  ORDER BY request DESC LIMIT $4",
                &[&number, &each.as_str(), &before, &columns::limit(limit)],
            )
            .await?;
        for row in &rows {
            found.push(report(row, each)?);
        }
    }
    found.sort_unstable_by_key(|report| std::cmp::Reverse(report.number));
    found.truncate(limit);
    Ok(Some(found))
}

pub(super) async fn one(
    session: &Session,
    instance: InstanceId,
    webhook: WebhookId,
    id: Uuid,
) -> Result<Option<RequestReport>, Fault> {
    let Some(number) = super::number(session, instance, webhook).await? else {
        return Ok(None);
    };
    let row = session
        .row(
            "SELECT request, id, event_id, event, created_at, attempts, due_at, tried_at, status, error, payload, tries,
                    state
               FROM webhook_requests WHERE id = $1 AND webhook = $2",
            &[&id, &number],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let state = state(row.at(12)?)?;
    report(&row, state).map(Some)
}

fn report(row: &Row, state: RequestState) -> Result<RequestReport, Fault> {
    let time = |column: usize| -> Result<Option<Timestamp>, Fault> {
        let millis: Option<i64> = row.at(column)?;
        Ok(millis.map(Timestamp::from_millis))
    };
    let status: Option<i64> = row.at(8)?;
    Ok(RequestReport {
        number: RequestNumber(row.at(0)?),
        id: row.at(1)?,
        event_id: row.at(2)?,
        event: event(row.at(3)?)?,
        state,
        created_at: time(4)?,
        attempts: attempts(row.at(5)?)?,
        due_at: time(6)?.filter(|_| state == RequestState::Waiting),
        tried_at: time(7)?,
        status: status.and_then(|status| u16::try_from(status).ok()),
        error: row.at(9)?,
        payload: row.at(10)?,
        tries: tries::read(row.at(11)?),
    })
}

pub(super) async fn replay(
    session: &Session,
    instance: InstanceId,
    webhook: WebhookId,
    id: Uuid,
    now: Timestamp,
) -> Result<bool, Fault> {
    let Some(number) = super::number(session, instance, webhook).await? else {
        return Ok(false);
    };
    let replayed = session
        .execute(
            "UPDATE webhook_requests SET state = 'waiting', attempts = 0, due_at = $3, fence = fence + 1, leased_until = 0
              WHERE id = $1 AND webhook = $2 AND (state <> 'waiting' OR (due_at > $3 AND (leased_until <= $3 OR leased_until > $4)))",
            &[&id, &number, &now.as_millis(), &now.after(AHEAD_MAX).as_millis()],
        )
        .await?;
    Ok(replayed > 0)
}
