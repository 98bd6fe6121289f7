//! Settlements: all that one page, or one batch of retries, has to write.

use std::collections::HashSet;

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::publish::PublishId;
use domain::webhook::Removal;
use rusqlite::{Connection, params};

use super::jobs::Advanced;
use super::retries::Held;
use super::{columns, devices, jobs, lists, publishes, retries};
use crate::StoreError;
use crate::publishes::{
    DeadDevice, Failure, Fence, JobId, RetryId, Settled, Settlement, Tally, UserTally,
};

/// How far a job has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) job: JobId,
    pub(super) fence: Fence,
    pub(super) cursor: DeviceOrdinal,
    pub(super) last: bool,
    pub(super) lease_until: Timestamp,
}

pub(super) fn page(
    connection: &Connection,
    progress: Progress,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<Settled, StoreError> {
    let Progress { job, fence, .. } = progress;
    let advanced = if progress.last {
        jobs::complete(connection, job, fence)?
    } else {
        let (cursor, lease_until) = (progress.cursor, progress.lease_until);
        jobs::advance(connection, job, fence, cursor, lease_until)?
    };
    let publish = match advanced {
        Advanced::To(publish) => publish,
        Advanced::Repeated => return Ok(Settled::Done),
        Advanced::Lost => return Ok(Settled::LeaseLost),
    };
    apply(connection, publish, settlement, now)?;
    Ok(Settled::Done)
}

/// Retries whose device is gone are passed over: nobody else can have them. If none is left, though, another node may have
/// settled them all, and then it must not be counted twice.
pub(super) fn of_retries(
    connection: &Connection,
    publish: PublishId,
    ids: &[(RetryId, Fence)],
    settlement: &Settlement,
    now: Timestamp,
) -> Result<Settled, StoreError> {
    let Some(publish) = publishes::number(connection, publish)? else {
        return Ok(Settled::LeaseLost);
    };
    let mut mine = Vec::with_capacity(ids.len());
    for (retry, fence) in ids {
        match retries::held(connection, publish, *retry, *fence)? {
            Held::Yes(device) => mine.push((*retry, device)),
            Held::Gone => {}
            Held::Lost => return Ok(Settled::LeaseLost),
        }
    }
    if mine.is_empty() {
        return Ok(Settled::LeaseLost);
    }
    // What waits once more is changed where it stands: to write it anew would change pages of every index. If it must not wait any
    // more, since its device or the device's user is gone, it went with them.
    let again: HashSet<_> = settlement.retries.iter().map(|new| new.device).collect();
    for (retry, device) in mine {
        if !again.contains(&device) {
            retries::delete(connection, retry)?;
        }
    }
    apply(connection, publish, settlement, now)?;
    Ok(Settled::Done)
}

fn apply(
    connection: &Connection,
    publish: i64,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<(), StoreError> {
    tally(connection, publish, &settlement.tallies)?;
    tally_users(connection, publish, &settlement.users)?;
    keep_failures(connection, publish, &settlement.failures, now)?;
    for (device, environment) in &settlement.environments {
        connection
            .prepare_cached(
                "UPDATE devices SET environment = ?2 WHERE device = ?1 AND platform = ?3",
            )?
            .execute(params![
                device.0,
                columns::environment_word(*environment),
                Platform::Apns.as_str()
            ])?;
    }
    for dead in &settlement.dead {
        remove_if_same(connection, dead)?;
    }
    retries::insert(connection, publish, &settlement.retries)?;
    publishes::finish_emptied(connection, now)?;
    publishes::finish_if_done(connection, publish, now)
}

fn tally(connection: &Connection, publish: i64, tallies: &[Tally]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO tallies (publish, platform, outcome, reason, count) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET count = count + excluded.count",
    )?;
    for tally in tallies {
        statement.execute(params![
            publish,
            tally.platform.as_str(),
            tally.outcome.as_str(),
            tally.reason,
            i64::try_from(tally.count).unwrap_or(i64::MAX)
        ])?;
    }
    Ok(())
}

/// Users of a list who went while their page was sent are left out: nobody knows any more who they were.
fn tally_users(
    connection: &Connection,
    publish: i64,
    users: &[UserTally],
) -> Result<(), StoreError> {
    if users.is_empty() {
        return Ok(());
    }
    let list = lists::of_publish(connection, publish)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO user_tallies (publish, user_number, accepted, failed) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET accepted = accepted + excluded.accepted, failed = failed + excluded.failed",
    )?;
    let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
    for tally in users {
        let under = match list {
            None => Some(tally.user.0),
            Some(list) => lists::kept_under(connection, list, tally.user.0)?,
        };
        let Some(under) = under else { continue };
        statement.execute([publish, under, number(tally.accepted), number(tally.failed)])?;
    }
    Ok(())
}

/// With what is known of the devices now; those that are gone are left out.
fn keep_failures(
    connection: &Connection,
    publish: i64,
    failures: &[Failure],
    now: Timestamp,
) -> Result<(), StoreError> {
    if failures.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO failures (publish, device, id, platform, user, outcome, reason, failed_at)
         SELECT ?1, d.device, d.id, d.platform, u.id, ?3, ?4, ?5
           FROM devices d LEFT JOIN users u ON u.user_number = d.user_number WHERE d.device = ?2",
    )?;
    for failure in failures {
        statement.execute(params![
            publish,
            failure.device.0,
            failure.outcome.as_str(),
            failure.reason,
            now.as_millis()
        ])?;
    }
    Ok(())
}

/// Removes a device if it still has the token that was tried, and did not register again since the token died.
fn remove_if_same(connection: &Connection, dead: &DeadDevice) -> Result<(), StoreError> {
    let is_same = connection
        .prepare_cached(
            "SELECT 1 FROM devices WHERE device = ?1 AND platform = ?2 AND identity = ?3 AND keys IS ?4
                AND (?5 IS NULL OR registered_at < ?5)",
        )?
        .exists(params![
            dead.device.0,
            dead.token.platform().as_str(),
            dead.token.identity(),
            dead.token.keys(),
            dead.since.map(Timestamp::as_millis)
        ])?;
    if is_same {
        devices::remove(connection, dead.device.0, Removal::TokenDead)?;
    }
    Ok(())
}
