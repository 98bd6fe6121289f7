//! Retries: one row per delivery that waits for another attempt, claimed like jobs.

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Recipient};
use domain::user::UserOrdinal;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{columns, publishes};
use crate::StoreError;
use crate::publishes::{AHEAD_MAX, Fence, Lease, NewRetry, Retry, RetryId, Settled};

/// In the order of their due times, skipping what is leased: costs the limit plus the number of running leases.
pub(super) const CLAIMABLE: &str = "SELECT r.retry, r.publish, r.attempts, r.fence,
        d.device, d.platform, d.identity, d.keys, d.bundle_id, d.environment, d.registered_at,
        r.user_number, p.state = 'cancelled'
    FROM retries r CROSS JOIN devices d ON d.device = r.device CROSS JOIN instances i ON i.instance = d.instance
         CROSS JOIN publishes p ON p.publish = r.publish
    WHERE r.due_at <= ?1 AND (r.leased_until <= ?1 OR r.leased_until > ?3) AND i.deleted = 0 ORDER BY r.due_at, r.retry LIMIT ?2";
/// What a clock that was hours ahead has put off: there is nothing of it otherwise, which costs one look into an index.
pub(super) const BRING_BACK: &str = "UPDATE retries SET due_at = ?1
    WHERE retry IN (SELECT retry FROM retries WHERE due_at > ?2 ORDER BY due_at, retry LIMIT ?3)";
/// Of the same ones as [`CLAIMABLE`], since whoever is told that one is due comes for it at once.
pub(super) const NEXT_DUE: &str = "SELECT r.due_at
    FROM retries r CROSS JOIN devices d ON d.device = r.device CROSS JOIN instances i ON i.instance = d.instance
    WHERE (r.leased_until <= ?1 OR r.leased_until > ?2) AND i.deleted = 0 ORDER BY r.due_at, r.retry LIMIT 1";

/// Claims due retries, grouped by publish in the order of the most overdue one of each.
pub(super) fn claim(
    connection: &Connection,
    lease: Lease,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(i64, Vec<Retry>)>, StoreError> {
    publishes::finish_emptied(connection, now)?;
    connection.prepare_cached(BRING_BACK)?.execute([
        now.as_millis(),
        now.after(AHEAD_MAX).as_millis(),
        columns::limit(limit),
    ])?;
    let found = claimable(connection, now, limit)?;
    let mut statement = connection.prepare_cached(
        "UPDATE retries SET fence = ?2, owner = ?3, leased_until = ?4 WHERE retry = ?1",
    )?;
    let mut groups: Vec<(i64, Vec<Retry>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for found in found {
        statement.execute(params![
            found.id.0,
            found.fence.0,
            lease.owner.as_bytes(),
            lease.until.as_millis()
        ])?;
        let Found {
            id,
            publish,
            fence,
            attempts,
            recipient,
        } = found;
        // One whose device does not read back is leased too, so that nobody comes for it again at once.
        let Some(recipient) = recipient else { continue };
        let retry = Retry {
            id,
            recipient,
            attempts,
            fence,
        };
        let place = *places.entry(publish).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, retries)) => retries.push(retry),
            None => groups.push((publish, vec![retry])),
        }
    }
    Ok(groups)
}

/// A retry to claim; without its recipient where the device does not read back.
struct Found {
    id: RetryId,
    publish: i64,
    fence: Fence,
    attempts: u32,
    recipient: Option<Recipient>,
}

fn claimable(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Found>, StoreError> {
    let mut statement = connection.prepare_cached(CLAIMABLE)?;
    let mut rows = statement.query([
        now.as_millis(),
        columns::limit(limit),
        now.after(AHEAD_MAX).as_millis(),
    ])?;
    let (mut found, mut left_behind) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        if row.get(12)? {
            // Left behind when the call that cancelled its publish was cut short.
            left_behind.push(RetryId(row.get(0)?));
            continue;
        }
        let user = row.get::<_, Option<i64>>(11)?.map(UserOrdinal);
        let recipient = columns::readable(columns::recipient(row, 4, |_| true))?;
        found.push(Found {
            id: RetryId(row.get(0)?),
            publish: row.get(1)?,
            fence: Fence(row.get::<_, i64>(3)? + 1),
            attempts: row.get(2)?,
            recipient: recipient.map(|recipient| Recipient { user, ..recipient }),
        });
    }
    for retry in left_behind {
        delete(connection, retry)?;
    }
    Ok(found)
}

/// Prolongs the lease on those whose fences are right.
pub(super) fn renew(
    connection: &Connection,
    ids: &[(RetryId, Fence)],
    until: Timestamp,
) -> Result<Settled, StoreError> {
    let mut statement = connection
        .prepare_cached("UPDATE retries SET leased_until = ?3 WHERE retry = ?1 AND fence = ?2")?;
    let mut renewed = 0;
    for (retry, fence) in ids {
        renewed += statement.execute([retry.0, fence.0, until.as_millis()])?;
    }
    Ok(match renewed {
        0 => Settled::LeaseLost,
        _ => Settled::Done,
    })
}

/// When the next unleased retry is due.
pub(super) fn next_due(
    connection: &Connection,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    Ok(connection
        .prepare_cached(NEXT_DUE)?
        .query_row([now.as_millis(), now.after(AHEAD_MAX).as_millis()], |row| {
            row.get(0)
        })
        .optional()?
        .map(Timestamp::from_millis))
}

/// What a claimed retry turned out to be when it was to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// The fence is right; it is of this device.
    Yes(DeviceOrdinal),
    /// Somebody else has it.
    Lost,
    /// It is gone, with its device.
    Gone,
}

pub(super) fn held(
    connection: &Connection,
    publish: i64,
    retry: RetryId,
    fence: Fence,
) -> Result<Held, StoreError> {
    let found: Option<(i64, i64)> = connection
        .prepare_cached("SELECT fence, device FROM retries WHERE retry = ?1 AND publish = ?2")?
        .query_row([retry.0, publish], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match found {
        None => Held::Gone,
        Some((found, device)) if found == fence.0 => Held::Yes(DeviceOrdinal(device)),
        Some(_) => Held::Lost,
    })
}

pub(super) fn delete(connection: &Connection, retry: RetryId) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM retries WHERE retry = ?1")?
        .execute([retry.0])?;
    Ok(())
}

/// Writes retries, in the place of what waited for the same device; those of devices that are gone, or are not their user's any more,
/// are left out.
pub(super) fn insert(
    connection: &Connection,
    publish: i64,
    retries: &[NewRetry],
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO retries (publish, device, attempts, due_at, reason, user_number)
         SELECT ?1, device, ?3, ?4, ?5, ?6 FROM devices WHERE device = ?2 AND (?6 IS NULL OR user_number = ?6)
         ON CONFLICT (publish, device) DO UPDATE SET attempts = excluded.attempts, due_at = excluded.due_at,
            reason = excluded.reason, fence = fence + 1, owner = NULL, leased_until = 0",
    )?;
    for retry in retries {
        statement.execute(params![
            publish,
            retry.device.0,
            retry.attempts,
            retry.due_at.as_millis(),
            retry.reason,
            retry.user.map(|user| user.0)
        ])?;
    }
    Ok(())
}
