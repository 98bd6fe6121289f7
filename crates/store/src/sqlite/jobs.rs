//! Jobs: claimed by lease, guarded by a fence that counts the claims.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::DeviceOrdinal;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{columns, publishes};
use crate::StoreError;
use crate::publishes::{AHEAD_MAX, Fence, JobId, Lease, QueueDepth, Settled};
use crate::stored::accepting;

/// A job just claimed; its publish is found by its number.
pub(super) type Claimed = accepting::Claimed<i64>;

/// In the order of the key, skipping what is leased: costs the limit plus the number of running leases.
pub(super) const CLAIMABLE: &str = "SELECT j.job, j.publish, j.cursor, j.range_end, j.fence
    FROM jobs j CROSS JOIN publishes p ON p.publish = j.publish CROSS JOIN instances i ON i.instance = p.instance
    WHERE (j.leased_until <= ?1 OR j.leased_until > ?3) AND i.deleted = 0 ORDER BY j.job LIMIT ?2";

/// Writes the jobs of a new publish; returns them if they are leased at once.
pub(super) fn insert(
    connection: &Connection,
    publish: i64,
    ranges: &[(i64, i64)],
    lease: Option<Lease>,
) -> Result<Vec<Claimed>, StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO jobs (publish, cursor, range_end, fence, owner, leased_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let fence = i64::from(lease.is_some());
    let mut claimed = Vec::new();
    for (cursor, end) in ranges {
        statement.execute(params![
            publish,
            cursor,
            end,
            fence,
            lease.map(|lease| *lease.owner.as_bytes()),
            lease.map_or(0, |lease| lease.until.as_millis())
        ])?;
        if lease.is_some() {
            claimed.push(Claimed {
                job: JobId(connection.last_insert_rowid()),
                publish,
                cursor: DeviceOrdinal(*cursor),
                end: DeviceOrdinal(*end),
                fence: Fence(fence),
            });
        }
    }
    Ok(claimed)
}

pub(super) fn claim(
    connection: &Connection,
    lease: Lease,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Claimed>, StoreError> {
    publishes::finish_emptied(connection, now)?;
    let found: Vec<Claimed> = connection
        .prepare_cached(CLAIMABLE)?
        .query_map(
            [
                now.as_millis(),
                columns::limit(limit),
                now.after(AHEAD_MAX).as_millis(),
            ],
            |row| {
                Ok(Claimed {
                    job: JobId(row.get(0)?),
                    publish: row.get(1)?,
                    cursor: DeviceOrdinal(row.get(2)?),
                    end: DeviceOrdinal(row.get(3)?),
                    fence: Fence(row.get::<_, i64>(4)? + 1),
                })
            },
        )?
        .collect::<Result<_, _>>()?;
    let mut statement = connection.prepare_cached(
        "UPDATE jobs SET fence = ?2, owner = ?3, leased_until = ?4 WHERE job = ?1",
    )?;
    for claimed in &found {
        statement.execute(params![
            claimed.job.0,
            claimed.fence.0,
            lease.owner.as_bytes(),
            lease.until.as_millis()
        ])?;
    }
    Ok(found)
}

fn settled(changed: usize) -> Settled {
    if changed == 0 {
        Settled::LeaseLost
    } else {
        Settled::Done
    }
}

pub(super) fn renew(
    connection: &Connection,
    job: JobId,
    fence: Fence,
    until: Timestamp,
) -> Result<Settled, StoreError> {
    let changed = connection
        .prepare_cached("UPDATE jobs SET leased_until = ?3 WHERE job = ?1 AND fence = ?2")?
        .execute([job.0, fence.0, until.as_millis()])?;
    Ok(settled(changed))
}

/// The fence moves on, so that whoever gave the job back cannot settle it afterwards.
pub(super) fn release(
    connection: &Connection,
    job: JobId,
    fence: Fence,
) -> Result<Settled, StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE jobs SET leased_until = 0, owner = NULL, fence = fence + 1 WHERE job = ?1 AND fence = ?2",
        )?
        .execute([job.0, fence.0])?;
    Ok(settled(changed))
}

/// What became of moving a job's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advanced {
    /// It moved on; the number of the publish.
    To(i64),
    /// It stood there already: the page was settled before.
    Repeated,
    /// Somebody else has the job.
    Lost,
}

/// Moves the cursor of a job, which never goes back.
pub(super) fn advance(
    connection: &Connection,
    job: JobId,
    fence: Fence,
    cursor: DeviceOrdinal,
    lease_until: Timestamp,
) -> Result<Advanced, StoreError> {
    let moved = connection
        .prepare_cached(
            "UPDATE jobs SET cursor = ?3, leased_until = ?4 WHERE job = ?1 AND fence = ?2 AND cursor < ?3
             RETURNING publish",
        )?
        .query_row([job.0, fence.0, cursor.0, lease_until.as_millis()], |row| row.get(0))
        .optional()?;
    Ok(match moved {
        Some(publish) => Advanced::To(publish),
        None => match renew(connection, job, fence, lease_until)? {
            Settled::Done => Advanced::Repeated,
            Settled::LeaseLost => Advanced::Lost,
        },
    })
}

/// Deletes a job whose last page is done. Reads first: `RETURNING` would open a table for the one row that it returns.
pub(super) fn complete(
    connection: &Connection,
    job: JobId,
    fence: Fence,
) -> Result<Advanced, StoreError> {
    let publish = connection
        .prepare_cached("SELECT publish FROM jobs WHERE job = ?1 AND fence = ?2")?
        .query_row([job.0, fence.0], |row| row.get(0))
        .optional()?;
    let Some(publish) = publish else {
        return Ok(Advanced::Lost);
    };
    connection
        .prepare_cached("DELETE FROM jobs WHERE job = ?1")?
        .execute([job.0])?;
    Ok(Advanced::To(publish))
}

/// Whether those pages can be read without which nothing is accepted and nothing is claimed.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT (SELECT max(job) FROM jobs), (SELECT max(publish) FROM publishes),
                    (SELECT retry FROM retries ORDER BY due_at, retry LIMIT 1)",
        )?
        .query_row([], |_| Ok(()))?)
}

/// How much work waits, of jobs and of retries.
pub(super) fn queue_depth(
    connection: &Connection,
    now: Timestamp,
) -> Result<QueueDepth, StoreError> {
    let count = |sql: &str| -> Result<u64, StoreError> {
        columns::count(
            connection
                .prepare_cached(sql)?
                .query_row([], |row| row.get(0))?,
        )
    };
    let oldest: Option<i64> = connection
        .prepare_cached(
            "SELECT coalesce(p.send_at, p.accepted_at) FROM jobs j CROSS JOIN publishes p ON p.publish = j.publish ORDER BY j.job LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(QueueDepth {
        jobs: count("SELECT count(*) FROM jobs")?,
        retries: count("SELECT count(*) FROM retries")?,
        oldest_job: oldest.map_or(Duration::ZERO, |at| now.since(Timestamp::from_millis(at))),
    })
}
