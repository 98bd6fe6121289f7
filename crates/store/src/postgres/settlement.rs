//! Settlements: all that one page, or one batch of retries, has to write.
//!
//! A page that is not a job's last holds the job and nothing of the publish, so that jobs of one publish are settled side by
//! side. What may be the last work of a publish holds the publish: of two that end at the same moment, the later sees that the
//! earlier has ended.

use std::collections::BTreeMap;

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::publish::PublishId;

use super::fault::Fault;
use super::jobs::Advanced;
use super::session::Session;
use super::{columns, devices, jobs, publishes, retries};
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

pub(super) async fn page(
    session: &Session,
    progress: Progress,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<Settled, Fault> {
    let Progress { job, fence, .. } = progress;
    let advanced = if progress.last {
        jobs::complete(session, job, fence).await?
    } else {
        let (cursor, lease_until) = (progress.cursor, progress.lease_until);
        jobs::advance(session, job, fence, cursor, lease_until).await?
    };
    let (instance, publish) = match advanced {
        Advanced::To(instance, publish) => (instance, publish),
        Advanced::Repeated => return Ok(Settled::Done),
        Advanced::Lost => return Ok(Settled::LeaseLost),
    };
    if progress.last {
        publishes::hold(session, instance, publish).await?;
    }
    apply(session, instance, publish, settlement, now).await?;
    if progress.last {
        publishes::finish_if_done(session, instance, publish, now).await?;
    }
    Ok(Settled::Done)
}

/// Retries whose device is gone are passed over: nobody else can have them. If none is left, though, another node may have
/// settled them all, and then it must not be counted twice.
pub(super) async fn of_retries(
    session: &Session,
    publish: PublishId,
    ids: &[(RetryId, Fence)],
    settlement: &Settlement,
    now: Timestamp,
) -> Result<Settled, Fault> {
    let Some((instance, publish)) = publishes::hold_working(session, publish).await? else {
        return Ok(Settled::LeaseLost);
    };
    match retries::held(session, publish, ids).await? {
        Some(mine) if !mine.is_empty() => retries::delete(session, &mine).await?,
        _ => return Ok(Settled::LeaseLost),
    }
    apply(session, instance, publish, settlement, now).await?;
    publishes::finish_if_done(session, instance, publish, now).await?;
    Ok(Settled::Done)
}

async fn apply(
    session: &Session,
    instance: i64,
    publish: i64,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<(), Fault> {
    tally(session, instance, publish, &settlement.tallies).await?;
    tally_users(session, instance, publish, &settlement.users).await?;
    keep_failures(session, instance, publish, &settlement.failures, now).await?;
    if !settlement.environments.is_empty() {
        let environments: BTreeMap<i64, &str> = settlement
            .environments
            .iter()
            .map(|(device, environment)| (device.0, columns::environment_word(*environment)))
            .collect();
        let devices: Vec<i64> = environments.keys().copied().collect();
        let words: Vec<&str> = environments.into_values().collect();
        session
            .execute(
                "WITH held AS (
                    SELECT d.device, n.environment FROM unnest($2::bigint[], $3::text[]) AS n(device, environment)
                      JOIN devices d ON d.instance = $1 AND d.device = n.device AND d.platform = $4
                     ORDER BY d.device FOR NO KEY UPDATE OF d)
                 UPDATE devices SET environment = held.environment FROM held
                  WHERE devices.instance = $1 AND devices.device = held.device",
                &[&instance, &devices, &words, &Platform::Apns.as_str()],
            )
            .await?;
    }
    let dead = still_dead(session, instance, &settlement.dead).await?;
    devices::remove(session, instance, &dead).await?;
    retries::insert(session, instance, publish, &settlement.retries).await?;
    publishes::finish_emptied(session, now).await
}

async fn tally(
    session: &Session,
    instance: i64,
    publish: i64,
    tallies: &[Tally],
) -> Result<(), Fault> {
    if tallies.is_empty() {
        return Ok(());
    }
    // Each row once, and in one order whoever does it.
    let mut counts: BTreeMap<(&str, &str, &str), i64> = BTreeMap::new();
    for tally in tallies {
        let key = (
            tally.platform.as_str(),
            tally.outcome.as_str(),
            &*tally.reason,
        );
        *counts.entry(key).or_default() += columns::number(tally.count);
    }
    let platforms: Vec<&str> = counts.keys().map(|key| key.0).collect();
    let outcomes: Vec<&str> = counts.keys().map(|key| key.1).collect();
    let reasons: Vec<&str> = counts.keys().map(|key| key.2).collect();
    let counts: Vec<i64> = counts.into_values().collect();
    session
        .execute(
            "INSERT INTO tallies (instance, publish, platform, outcome, reason, count)
             SELECT $1, $2, n.* FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[]) AS n
             ON CONFLICT (instance, publish, platform, outcome, reason) DO UPDATE SET count = tallies.count + excluded.count",
            &[&instance, &publish, &platforms, &outcomes, &reasons, &counts],
        )
        .await?;
    Ok(())
}

async fn tally_users(
    session: &Session,
    instance: i64,
    publish: i64,
    users: &[UserTally],
) -> Result<(), Fault> {
    if users.is_empty() {
        return Ok(());
    }
    let mut counts: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for tally in users {
        let (accepted, failed) = counts.entry(tally.user.0).or_default();
        *accepted += columns::number(tally.accepted);
        *failed += columns::number(tally.failed);
    }
    let users: Vec<i64> = counts.keys().copied().collect();
    let (accepted, failed): (Vec<i64>, Vec<i64>) = counts.into_values().unzip();
    session
        .execute(
            "INSERT INTO user_tallies (instance, publish, user_number, accepted, failed)
             SELECT $1, $2, n.* FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS n
             ON CONFLICT (instance, publish, user_number) DO UPDATE
                SET accepted = user_tallies.accepted + excluded.accepted, failed = user_tallies.failed + excluded.failed",
            &[&instance, &publish, &users, &accepted, &failed],
        )
        .await?;
    Ok(())
}

/// With what is known of the devices now; those that are gone are left out.
async fn keep_failures(
    session: &Session,
    instance: i64,
    publish: i64,
    failures: &[Failure],
    now: Timestamp,
) -> Result<(), Fault> {
    if failures.is_empty() {
        return Ok(());
    }
    let failures: BTreeMap<i64, &Failure> = failures
        .iter()
        .map(|failure| (failure.device.0, failure))
        .collect();
    let devices: Vec<i64> = failures.keys().copied().collect();
    let outcomes: Vec<&str> = failures
        .values()
        .map(|failure| failure.outcome.as_str())
        .collect();
    let reasons: Vec<&str> = failures.values().map(|failure| &*failure.reason).collect();
    session
        .execute(
            "INSERT INTO failures (instance, publish, device, id, platform, user_id, outcome, reason, failed_at)
             SELECT $1, $2, d.device, d.id, d.platform, u.id, n.outcome, n.reason, $6
               FROM unnest($3::bigint[], $4::text[], $5::text[]) AS n(device, outcome, reason)
               JOIN devices d ON d.instance = $1 AND d.device = n.device
               LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
              ORDER BY d.device
             ON CONFLICT (instance, publish, device) DO UPDATE SET user_id = excluded.user_id,
                outcome = excluded.outcome, reason = excluded.reason, failed_at = excluded.failed_at",
            &[&instance, &publish, &devices, &outcomes, &reasons, &now.as_millis()],
        )
        .await?;
    Ok(())
}

/// Those of the devices that still have the token that was tried, and did not register again since it died. They are held
/// until the transaction ends.
async fn still_dead(
    session: &Session,
    instance: i64,
    dead: &[DeadDevice],
) -> Result<Vec<i64>, Fault> {
    if dead.is_empty() {
        return Ok(Vec::new());
    }
    let devices: Vec<i64> = dead.iter().map(|dead| dead.device.0).collect();
    let digests: Vec<Vec<u8>> = dead
        .iter()
        .map(|dead| columns::digest(&dead.token))
        .collect();
    let keys: Vec<Option<Vec<u8>>> = dead.iter().map(|dead| columns::keys(&dead.token)).collect();
    let since: Vec<Option<i64>> = dead
        .iter()
        .map(|dead| dead.since.map(Timestamp::as_millis))
        .collect();
    session
        .values(
            "SELECT d.device FROM unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[]) AS n(device, digest, keys, since)
               JOIN devices d ON d.instance = $1 AND d.device = n.device
              WHERE d.digest = n.digest AND d.keys IS NOT DISTINCT FROM n.keys
                AND (n.since IS NULL OR d.registered_at < n.since)
              ORDER BY d.device FOR UPDATE OF d",
            &[&instance, &devices, &digests, &keys, &since],
        )
        .await
}
