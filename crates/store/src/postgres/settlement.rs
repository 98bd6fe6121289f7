//! Settlements: all that one page, or one batch of retries, has to write.
//!
//! A page that is not a job's last holds the job and nothing of the publish, so that jobs of one publish are settled side by
//! side. What may be the last work of a publish holds the publish: of two that end at the same moment, the later sees that the
//! earlier has ended.

use std::collections::BTreeMap;

use domain::clock::Timestamp;
use domain::device::{DeviceOrdinal, Platform};
use domain::publish::PublishId;
use domain::webhook::Removal;
use uuid::Uuid;

use super::fault::{Fault, corrupt};
use super::jobs::Advanced;
use super::session::{Columns as _, Session};
use super::{columns, devices, jobs, publishes, retries, webhooks};
use crate::StoreError;
use crate::publishes::{DeadDevice, Failure, Fence, JobId, RetryId, Settled, Settlement};

/// How far a job has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) job: JobId,
    pub(super) fence: Fence,
    pub(super) publish: PublishId,
    pub(super) cursor: DeviceOrdinal,
    pub(super) lease_until: Timestamp,
}

/// A page that is to be settled.
pub(super) type Call = (Progress, Settlement, Timestamp);

/// What a settlement is of.
struct Of<'a> {
    instance: i64,
    publish: i64,
    settlement: &'a Settlement,
}

/// Settles a page that is not the last of its job.
pub(super) async fn page(
    session: &Session,
    progress: Progress,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<Settled, Fault> {
    let Progress {
        job,
        fence,
        publish,
        cursor,
        lease_until,
    } = progress;
    match jobs::advance(session, job, fence, publish, cursor, lease_until).await? {
        Advanced::To(instance, publish) => {
            apply(session, instance, publish, settlement, now).await?;
            Ok(Settled::Done)
        }
        Advanced::Repeated => Ok(Settled::Done),
        Advanced::Lost => Ok(Settled::LeaseLost),
    }
}

/// Jobs whose last pages are done, as far as nobody else has them. In the order of the jobs, whoever does it.
pub(super) const COMPLETE: &str = "WITH held AS (
        SELECT n.place, j.job
          FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[]) AS n(place, job, fence, publish)
          JOIN jobs j ON j.job = n.job AND j.fence = n.fence
          JOIN publishes p ON p.instance = j.instance AND p.publish = j.publish AND p.id = n.publish
         ORDER BY j.job FOR UPDATE OF j)
    DELETE FROM jobs USING held WHERE jobs.job = held.job RETURNING held.place, jobs.instance, jobs.publish";
const HOLD: &str = "SELECT 1 FROM unnest($1::bigint[], $2::bigint[]) AS n(instance, publish)
    JOIN publishes p ON p.instance = n.instance AND p.publish = n.publish
    ORDER BY p.instance, p.publish FOR NO KEY UPDATE OF p";
const FINISH: &str =
    "UPDATE publishes p SET finished_at = greatest(n.now, p.accepted_at), state = 'finished'
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n(instance, publish, now)
    WHERE p.instance = n.instance AND p.publish = n.publish AND coalesce(p.state, '') = 'running'
      AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.publish = n.publish)
      AND NOT EXISTS (SELECT 1 FROM retries WHERE retries.publish = n.publish)
    RETURNING p.instance, p.publish";

/// Settles the last pages of jobs together.
pub(super) async fn last_pages(
    session: &Session,
    calls: &[Call],
) -> Result<Vec<Result<Settled, StoreError>>, Fault> {
    let places: Vec<i64> = (0..calls.len()).map(columns::limit).collect();
    let jobs: Vec<i64> = calls.iter().map(|(progress, ..)| progress.job.0).collect();
    let fences: Vec<i64> = calls
        .iter()
        .map(|(progress, ..)| progress.fence.0)
        .collect();
    let publishes: Vec<Uuid> = calls
        .iter()
        .map(|(progress, ..)| *progress.publish.uuid())
        .collect();
    let rows = session
        .rows(COMPLETE, &[&places, &jobs, &fences, &publishes])
        .await?;
    let mut settled: Vec<_> = calls.iter().map(|_| Ok(Settled::LeaseLost)).collect();
    let (mut of, mut times) = (
        Vec::with_capacity(rows.len()),
        Vec::with_capacity(rows.len()),
    );
    for row in &rows {
        let place = usize::try_from(row.at::<i64>(0)?).unwrap_or(usize::MAX);
        let (Some((_, settlement, now)), Some(told)) = (calls.get(place), settled.get_mut(place))
        else {
            return Err(corrupt("a place that nothing was asked for"));
        };
        *told = Ok(Settled::Done);
        times.push(now.as_millis());
        of.push(Of {
            instance: row.at(1)?,
            publish: row.at(2)?,
            settlement,
        });
    }
    if of.is_empty() {
        return Ok(settled);
    }
    let instances: Vec<i64> = of.iter().map(|of| of.instance).collect();
    let publishes: Vec<i64> = of.iter().map(|of| of.publish).collect();
    session.execute(HOLD, &[&instances, &publishes]).await?;
    tally(session, &of).await?;
    tally_users(session, &of).await?;
    for (of, now) in of.iter().zip(&times) {
        let now = Timestamp::from_millis(*now);
        apply_rest(session, of.instance, of.publish, of.settlement, now).await?;
    }
    let latest = times.iter().copied().max().unwrap_or_default();
    publishes::finish_emptied(session, Timestamp::from_millis(latest)).await?;
    let rows = session
        .rows(FINISH, &[&instances, &publishes, &times])
        .await?;
    let ended = rows.iter().map(|row| Ok((row.at(0)?, row.at(1)?)));
    webhooks::publishes_ended(session, ended.collect::<Result<_, Fault>>()?).await?;
    Ok(settled)
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
    let of = [Of {
        instance,
        publish,
        settlement,
    }];
    tally(session, &of).await?;
    tally_users(session, &of).await?;
    apply_rest(session, instance, publish, settlement, now).await?;
    publishes::finish_emptied(session, now).await
}

/// What is not counted: as a rule there is nothing of it.
async fn apply_rest(
    session: &Session,
    instance: i64,
    publish: i64,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<(), Fault> {
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
    devices::remove(session, instance, &dead, Some(Removal::TokenDead)).await?;
    retries::insert(session, instance, publish, &settlement.retries).await
}

async fn tally(session: &Session, settled: &[Of<'_>]) -> Result<(), Fault> {
    // Each row once, and in one order whoever does it.
    let mut counts: BTreeMap<(i64, i64, &str, &str, &str), i64> = BTreeMap::new();
    for of in settled {
        for tally in &of.settlement.tallies {
            let (platform, outcome) = (tally.platform.as_str(), tally.outcome.as_str());
            let key = (of.instance, of.publish, platform, outcome, &*tally.reason);
            *counts.entry(key).or_default() += columns::number(tally.count);
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let instances: Vec<i64> = counts.keys().map(|key| key.0).collect();
    let publishes: Vec<i64> = counts.keys().map(|key| key.1).collect();
    let platforms: Vec<&str> = counts.keys().map(|key| key.2).collect();
    let outcomes: Vec<&str> = counts.keys().map(|key| key.3).collect();
    let reasons: Vec<&str> = counts.keys().map(|key| key.4).collect();
    let counts: Vec<i64> = counts.values().copied().collect();
    session
        .execute(
            "INSERT INTO tallies (instance, publish, platform, outcome, reason, count)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
             ON CONFLICT (instance, publish, platform, outcome, reason) DO UPDATE SET count = tallies.count + excluded.count",
            &[&instances, &publishes, &platforms, &outcomes, &reasons, &counts],
        )
        .await?;
    Ok(())
}

/// Users of a list who went while their page was sent are left out: nobody knows any more who they were.
async fn tally_users(session: &Session, settled: &[Of<'_>]) -> Result<(), Fault> {
    let mut counts: BTreeMap<(i64, i64, i64), (i64, i64)> = BTreeMap::new();
    for of in settled {
        for tally in &of.settlement.users {
            let key = (of.instance, of.publish, tally.user.0);
            let (accepted, failed) = counts.entry(key).or_default();
            *accepted += columns::number(tally.accepted);
            *failed += columns::number(tally.failed);
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let instances: Vec<i64> = counts.keys().map(|key| key.0).collect();
    let publishes: Vec<i64> = counts.keys().map(|key| key.1).collect();
    let users: Vec<i64> = counts.keys().map(|key| key.2).collect();
    let (accepted, failed): (Vec<i64>, Vec<i64>) = counts.into_values().unzip();
    session
        .execute(
            "INSERT INTO user_tallies (instance, publish, user_number, accepted, failed)
             SELECT n.instance, n.publish, coalesce(-l.place, n.user_number), n.accepted, n.failed
               FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                    AS n(instance, publish, user_number, accepted, failed)
               LEFT JOIN lists s ON s.publish = n.publish
               LEFT JOIN users u ON s.list IS NOT NULL AND u.instance = n.instance AND u.user_number = n.user_number
               LEFT JOIN listed l ON l.list = s.list AND l.user_id = u.id
              WHERE s.list IS NULL OR l.list IS NOT NULL
              ORDER BY n.instance, n.publish, n.user_number
             ON CONFLICT (instance, publish, user_number) DO UPDATE
                SET accepted = user_tallies.accepted + excluded.accepted, failed = user_tallies.failed + excluded.failed",
            &[&instances, &publishes, &users, &accepted, &failed],
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
