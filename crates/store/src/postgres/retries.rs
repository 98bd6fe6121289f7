//! Retries: one row per delivery that waits for another attempt, claimed like jobs.

use std::collections::HashMap;

use domain::clock::Timestamp;
use domain::device::Recipient;
use domain::user::UserOrdinal;
use tokio_postgres::Row;
use uuid::Uuid;

use super::fault::{Fault, corrupt};
use super::jobs::Place;
use super::session::{Columns as _, Session};
use super::{columns, publishes};
use crate::publishes::{AHEAD_MAX, Fence, Lease, NewRetry, Retry, RetryId, Settled};

/// Claimed retries of a publish.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) publish: Place,
    pub(super) retries: Vec<Retry>,
}

/// In the order of their due times, skipping what is leased and what others are just claiming: costs the limit plus the
/// number of running leases.
pub(super) const CLAIM: &str = "WITH found AS (
        SELECT r.retry FROM retries r
         WHERE r.due_at <= $1 AND (r.leased_until <= $1 OR r.leased_until > $5)
           AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.instance = r.instance AND i.deleted_by IS NOT NULL)
         ORDER BY r.due_at, r.retry LIMIT $2 FOR UPDATE OF r SKIP LOCKED)
    UPDATE retries SET fence = retries.fence + 1, owner = $3, leased_until = $4 FROM found WHERE retries.retry = found.retry
    RETURNING retries.retry, retries.instance, retries.publish, retries.attempts, retries.fence, retries.due_at,
        retries.device, retries.user_number";
/// What a clock that was hours ahead has put off: there is nothing of it otherwise, which costs one look into an index.
pub(super) const BRING_BACK: &str = "WITH found AS (
        SELECT r.retry FROM retries r WHERE r.due_at > $2 ORDER BY r.due_at, r.retry LIMIT $3 FOR UPDATE OF r SKIP LOCKED)
    UPDATE retries SET due_at = $1 FROM found WHERE retries.retry = found.retry";
/// What is known of those that were claimed.
pub(super) const RECIPIENTS: &str = "SELECT n.place,
        d.device, d.platform, d.identity, d.keys, d.bundle_id, d.environment, d.registered_at, p.state, p.id
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS n(instance, device, publish, place)
    JOIN devices d ON d.instance = n.instance AND d.device = n.device
    JOIN publishes p ON p.instance = n.instance AND p.publish = n.publish";
/// Of the same ones as [`CLAIM`], since whoever is told that one is due comes for it at once.
pub(super) const NEXT_DUE: &str = "SELECT r.due_at FROM retries r
    WHERE (r.leased_until <= $1 OR r.leased_until > $2)
      AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.instance = r.instance AND i.deleted_by IS NOT NULL)
    ORDER BY r.due_at, r.retry LIMIT 1";

/// A row of what was claimed.
struct Claimed {
    retry: i64,
    instance: i64,
    publish: i64,
    attempts: i64,
    fence: i64,
    due_at: i64,
    device: i64,
    user: Option<i64>,
}

impl Claimed {
    fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            retry: row.at(0)?,
            instance: row.at(1)?,
            publish: row.at(2)?,
            attempts: row.at(3)?,
            fence: row.at(4)?,
            due_at: row.at(5)?,
            device: row.at(6)?,
            user: row.at(7)?,
        })
    }
}

/// Claims due retries, grouped by publish in the order of the most overdue one of each.
pub(super) async fn claim(
    session: &Session,
    lease: Lease,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Group>, Fault> {
    publishes::finish_emptied(session, now).await?;
    let ahead = now.after(AHEAD_MAX).as_millis();
    session
        .execute(
            BRING_BACK,
            &[&now.as_millis(), &ahead, &columns::limit(limit)],
        )
        .await?;
    let rows = session
        .rows(
            CLAIM,
            &[
                &now.as_millis(),
                &columns::limit(limit),
                &lease.owner,
                &lease.until.as_millis(),
                &ahead,
            ],
        )
        .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        claimed.push(Claimed::read(row)?);
    }
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    claimed.sort_unstable_by_key(|claimed| (claimed.due_at, claimed.retry));
    let mut recipients = recipients(session, &claimed).await?;
    let mut groups: Vec<Group> = Vec::new();
    let mut places = HashMap::new();
    for (place, claimed) in claimed.into_iter().enumerate() {
        let Some((id, recipient)) = recipients.remove(&place) else {
            continue;
        };
        let retry = Retry {
            id: RetryId(claimed.retry),
            recipient: Recipient {
                user: claimed.user.map(UserOrdinal),
                ..recipient
            },
            attempts: u32::try_from(claimed.attempts)
                .map_err(|_| corrupt(format!("{} attempts", claimed.attempts)))?,
            fence: Fence(claimed.fence),
        };
        let place = *places.entry(claimed.publish).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.retries.push(retry),
            None => groups.push(Group {
                publish: Place {
                    instance: claimed.instance,
                    number: claimed.publish,
                    id: Some(id),
                },
                retries: vec![retry],
            }),
        }
    }
    Ok(groups)
}

/// The publishes' ids and the devices of what was claimed, by place. What was left behind when the call that cancelled its
/// publish was cut short is removed instead.
async fn recipients(
    session: &Session,
    claimed: &[Claimed],
) -> Result<HashMap<usize, (Uuid, Recipient)>, Fault> {
    let instances: Vec<i64> = claimed.iter().map(|claimed| claimed.instance).collect();
    let devices: Vec<i64> = claimed.iter().map(|claimed| claimed.device).collect();
    let publishes: Vec<i64> = claimed.iter().map(|claimed| claimed.publish).collect();
    let rows = session
        .rows(RECIPIENTS, &[&instances, &devices, &publishes])
        .await?;
    let mut found = HashMap::with_capacity(rows.len());
    let mut left_behind = Vec::new();
    for row in &rows {
        let place = usize::try_from(row.at::<i64>(0)? - 1)
            .map_err(|_| corrupt("a place before the first"))?;
        if row.at::<&str>(8)? == publishes::CANCELLED {
            left_behind.extend(claimed.get(place).map(|claimed| claimed.retry));
            continue;
        }
        if let Some(recipient) = columns::readable(columns::recipient(row, 1, |_| true))? {
            found.insert(place, (row.at(9)?, recipient));
        }
    }
    delete(session, &left_behind).await?;
    Ok(found)
}

/// Prolongs the lease on those whose fences are right.
pub(super) async fn renew(
    session: &Session,
    ids: &[(RetryId, Fence)],
    until: Timestamp,
) -> Result<Settled, Fault> {
    let (retries, fences) = split(ids);
    let renewed = session
        .execute(
            "WITH held AS (
                SELECT r.retry FROM unnest($1::bigint[], $2::bigint[]) AS n(retry, fence)
                  JOIN retries r ON r.retry = n.retry AND r.fence = n.fence ORDER BY r.retry FOR UPDATE OF r)
             UPDATE retries SET leased_until = $3 FROM held WHERE retries.retry = held.retry",
            &[&retries, &fences, &until.as_millis()],
        )
        .await?;
    Ok(match renewed {
        0 => Settled::LeaseLost,
        _ => Settled::Done,
    })
}

fn split(ids: &[(RetryId, Fence)]) -> (Vec<i64>, Vec<i64>) {
    ids.iter().map(|(retry, fence)| (retry.0, fence.0)).unzip()
}

/// When the next unleased retry is due.
pub(super) async fn next_due(
    session: &Session,
    now: Timestamp,
) -> Result<Option<Timestamp>, Fault> {
    let due: Option<i64> = session
        .value(
            NEXT_DUE,
            &[&now.as_millis(), &now.after(AHEAD_MAX).as_millis()],
        )
        .await?;
    Ok(due.map(Timestamp::from_millis))
}

/// Those of these retries of a publish that are still there, and held until the transaction ends; `None` if any of them has
/// another fence: somebody else has it.
pub(super) async fn held(
    session: &Session,
    publish: i64,
    ids: &[(RetryId, Fence)],
) -> Result<Option<Vec<i64>>, Fault> {
    let (retries, fences) = split(ids);
    let rows = session
        .rows(
            "SELECT r.retry, r.fence = n.fence FROM unnest($2::bigint[], $3::bigint[]) AS n(retry, fence)
               JOIN retries r ON r.retry = n.retry AND r.publish = $1 ORDER BY r.retry FOR UPDATE OF r",
            &[&publish, &retries, &fences],
        )
        .await?;
    let mut mine = Vec::with_capacity(rows.len());
    for row in &rows {
        if !row.at::<bool>(1)? {
            return Ok(None);
        }
        mine.push(row.at(0)?);
    }
    Ok(Some(mine))
}

pub(super) async fn delete(session: &Session, retries: &[i64]) -> Result<(), Fault> {
    if !retries.is_empty() {
        session
            .execute("DELETE FROM retries WHERE retry = ANY($1)", &[&retries])
            .await?;
    }
    Ok(())
}

/// Writes retries; those of devices that are gone, or are not their user's any more, are left out; the devices are held, so
/// that this stays so. Of two for the same device, the later counts.
pub(super) async fn insert(
    session: &Session,
    instance: i64,
    publish: i64,
    retries: &[NewRetry],
) -> Result<(), Fault> {
    if retries.is_empty() {
        return Ok(());
    }
    let by_device: std::collections::BTreeMap<i64, &NewRetry> = retries
        .iter()
        .map(|retry| (retry.device.0, retry))
        .collect();
    let devices: Vec<i64> = by_device.keys().copied().collect();
    let attempts: Vec<i64> = by_device
        .values()
        .map(|retry| i64::from(retry.attempts))
        .collect();
    let due: Vec<i64> = by_device
        .values()
        .map(|retry| retry.due_at.as_millis())
        .collect();
    let reasons: Vec<&str> = by_device.values().map(|retry| &*retry.reason).collect();
    let users: Vec<Option<i64>> = by_device
        .values()
        .map(|retry| retry.user.map(|user| user.0))
        .collect();
    session
        .execute(
            "INSERT INTO retries (instance, publish, device, attempts, due_at, reason, user_number)
             SELECT $1, $2, d.device, n.attempts, n.due_at, n.reason, n.user_number
               FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
                    AS n(device, attempts, due_at, reason, user_number)
               JOIN devices d ON d.instance = $1 AND d.device = n.device
              WHERE n.user_number IS NULL OR d.user_number = n.user_number ORDER BY d.device
                FOR KEY SHARE OF d
             ON CONFLICT (publish, device) DO UPDATE SET attempts = excluded.attempts, due_at = excluded.due_at,
                reason = excluded.reason, fence = retries.fence + 1, owner = NULL, leased_until = 0",
            &[
                &instance, &publish, &devices, &attempts, &due, &reasons, &users,
            ],
        )
        .await?;
    Ok(())
}
