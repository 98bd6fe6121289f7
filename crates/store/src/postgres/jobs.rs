//! Jobs: claimed by lease, guarded by a fence that counts the claims. What moves a job on names its publish by its id, too: the
//! numbers of both come back where a server was lost with what it had taken last.

use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::DeviceOrdinal;
use domain::publish::PublishId;
use uuid::Uuid;

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{columns, publishes};
use crate::publishes::{AHEAD_MAX, Fence, JobId, Lease, QueueDepth, Settled};
use crate::stored::accepting;

/// How the publish of a job is found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) instance: i64,
    pub(super) number: i64,
    /// The publish, where it was looked for and is there.
    pub(super) id: Option<Uuid>,
}

/// A job just claimed.
pub(super) type Claimed = accepting::Claimed<Place>;

/// In the order of the key, skipping what is leased and what others are just claiming: costs the limit plus the number of
/// running leases.
pub(super) const CLAIM: &str = "WITH found AS (
        SELECT j.job FROM jobs j
         WHERE (j.leased_until <= $1 OR j.leased_until > $5)
           AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.instance = j.instance AND i.deleted_by IS NOT NULL)
         ORDER BY j.job LIMIT $2 FOR UPDATE OF j SKIP LOCKED)
    UPDATE jobs SET fence = jobs.fence + 1, owner = $3, leased_until = $4 FROM found WHERE jobs.job = found.job
    RETURNING jobs.job, jobs.instance, jobs.publish, jobs.cursor, jobs.range_end, jobs.fence,
        (SELECT p.id FROM publishes p WHERE p.instance = jobs.instance AND p.publish = jobs.publish)";

/// Writes the jobs of a new publish; returns them if they are leased at once.
pub(super) async fn insert(
    session: &Session,
    instance: i64,
    publish: i64,
    ranges: &[(i64, i64)],
    lease: Option<Lease>,
) -> Result<Vec<Claimed>, Fault> {
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let (begins, ends): (Vec<i64>, Vec<i64>) = ranges.iter().copied().unzip();
    let fence = i64::from(lease.is_some());
    let rows = session
        .rows(
            "INSERT INTO jobs (instance, publish, cursor, range_end, fence, owner, leased_until)
             SELECT $1, $2, b, e, $5, $6, $7 FROM unnest($3::bigint[], $4::bigint[]) AS n(b, e)
             RETURNING job, instance, publish, cursor, range_end, fence,
                (SELECT p.id FROM publishes p WHERE p.instance = jobs.instance AND p.publish = jobs.publish)",
            &[
                &instance,
                &publish,
                &begins,
                &ends,
                &fence,
                &lease.map(|lease| lease.owner),
                &lease.map_or(0, |lease| lease.until.as_millis()),
            ],
        )
        .await?;
    if lease.is_none() {
        return Ok(Vec::new());
    }
    in_order(&rows)
}

pub(super) fn in_order(rows: &[tokio_postgres::Row]) -> Result<Vec<Claimed>, Fault> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(Claimed {
            job: JobId(row.at(0)?),
            publish: Place {
                instance: row.at(1)?,
                number: row.at(2)?,
                id: row.at(6)?,
            },
            cursor: DeviceOrdinal(row.at(3)?),
            end: DeviceOrdinal(row.at(4)?),
            fence: Fence(row.at(5)?),
        });
    }
    found.sort_unstable_by_key(|claimed| claimed.job);
    Ok(found)
}

pub(super) async fn claim(
    session: &Session,
    lease: Lease,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Claimed>, Fault> {
    publishes::finish_emptied(session, now).await?;
    let rows = session
        .rows(
            CLAIM,
            &[
                &now.as_millis(),
                &columns::limit(limit),
                &lease.owner,
                &lease.until.as_millis(),
                &now.after(AHEAD_MAX).as_millis(),
            ],
        )
        .await?;
    in_order(&rows)
}

const fn settled(changed: u64) -> Settled {
    if changed == 0 {
        Settled::LeaseLost
    } else {
        Settled::Done
    }
}

pub(super) async fn renew(
    session: &Session,
    job: JobId,
    fence: Fence,
    until: Timestamp,
    publish: Option<PublishId>,
) -> Result<Settled, Fault> {
    let publish = publish.map(|publish| *publish.uuid());
    let changed = session
        .execute(
            "UPDATE jobs SET leased_until = $3 WHERE job = $1 AND fence = $2 AND ($4::uuid IS NULL OR EXISTS
                (SELECT 1 FROM publishes p WHERE p.instance = jobs.instance AND p.publish = jobs.publish AND p.id = $4))",
            &[&job.0, &fence.0, &until.as_millis(), &publish],
        )
        .await?;
    Ok(settled(changed))
}

/// The fence moves on, so that whoever gave the job back cannot settle it afterwards.
pub(super) async fn release(session: &Session, job: JobId, fence: Fence) -> Result<Settled, Fault> {
    let changed = session
        .execute(
            "UPDATE jobs SET leased_until = 0, owner = NULL, fence = fence + 1 WHERE job = $1 AND fence = $2",
            &[&job.0, &fence.0],
        )
        .await?;
    Ok(settled(changed))
}

/// What became of moving a job's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advanced {
    /// It moved on; the numbers of the instance and the publish.
    To(i64, i64),
    /// It stood there already: the page was settled before.
    Repeated,
    /// Somebody else has the job.
    Lost,
}

/// Moves the cursor of a job of this publish, which never goes back.
pub(super) async fn advance(
    session: &Session,
    job: JobId,
    fence: Fence,
    publish: PublishId,
    cursor: DeviceOrdinal,
    lease_until: Timestamp,
) -> Result<Advanced, Fault> {
    let moved = session
        .row(
            "UPDATE jobs SET cursor = $3, leased_until = $4 WHERE job = $1 AND fence = $2 AND cursor < $3 AND EXISTS
                (SELECT 1 FROM publishes p WHERE p.instance = jobs.instance AND p.publish = jobs.publish AND p.id = $5)
             RETURNING instance, publish",
            &[
                &job.0,
                &fence.0,
                &cursor.0,
                &lease_until.as_millis(),
                publish.uuid(),
            ],
        )
        .await?;
    match moved {
        Some(row) => Ok(Advanced::To(row.at(0)?, row.at(1)?)),
        None => Ok(
            match renew(session, job, fence, lease_until, Some(publish)).await? {
                Settled::Done => Advanced::Repeated,
                Settled::LeaseLost => Advanced::Lost,
            },
        ),
    }
}

/// How much work waits, of jobs and of retries.
pub(super) async fn queue_depth(session: &Session, now: Timestamp) -> Result<QueueDepth, Fault> {
    let jobs = session.known("SELECT count(*) FROM jobs", &[]).await?;
    let retries = session.known("SELECT count(*) FROM retries", &[]).await?;
    let oldest: Option<i64> = session
        .value(
            "SELECT coalesce(p.send_at, p.accepted_at) FROM jobs j
               JOIN publishes p ON p.instance = j.instance AND p.publish = j.publish ORDER BY j.job LIMIT 1",
            &[],
        )
        .await?;
    Ok(QueueDepth {
        jobs: columns::count(jobs)?,
        retries: columns::count(retries)?,
        oldest_job: oldest.map_or(Duration::ZERO, |at| now.since(Timestamp::from_millis(at))),
    })
}
