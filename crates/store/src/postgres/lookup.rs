//! What is told of publishes afterwards.

use std::collections::HashMap;

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::publish::{AudienceKind, PublishId};
use domain::user::UserId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{columns, instances, lists};
use crate::lookup::{
    Failed, PublishCursor, PublishPage, PublishReport, PublishState, Target, UserOutcome,
};
use crate::publishes::Tally;

/// The numbers of an instance and its publish.
pub(super) async fn number(
    session: &Session,
    instance: InstanceId,
    id: PublishId,
) -> Result<Option<(i64, i64)>, Fault> {
    let row = session
        .row(
            "SELECT p.instance, p.publish FROM publishes p JOIN instances i ON i.instance = p.instance
              WHERE p.id = $1 AND i.id = $2 AND i.deleted_by IS NULL",
            &[id.uuid(), instance.as_uuid()],
        )
        .await?;
    row.map(|row| Ok((row.at(0)?, row.at(1)?))).transpose()
}

pub(super) async fn report(
    session: &Session,
    instance: InstanceId,
    id: PublishId,
) -> Result<Option<PublishReport>, Fault> {
    match number(session, instance, id).await? {
        Some((instance, number)) => Ok(reports(session, instance, &[number]).await?.pop()),
        None => Ok(None),
    }
}

pub(super) const REPORTS: &str = "SELECT p.publish, p.id, p.accepted_at, p.finished_at, p.delivered, p.opened, p.state, p.send_at,
        p.expires_at, p.named, p.named_count, s.id,
        -- What is left of a cancelled one is not waited for.
        CASE WHEN p.finished_at IS NULL THEN (SELECT count(*) FROM retries r WHERE r.publish = p.publish) ELSE 0 END
    FROM publishes p LEFT JOIN publishes s ON s.instance = p.instance AND s.publish = p.replay_of
    WHERE p.instance = $1 AND p.publish = ANY($2)";

/// What is known of these publishes, in their order.
pub(super) async fn reports(
    session: &Session,
    instance: i64,
    numbers: &[i64],
) -> Result<Vec<PublishReport>, Fault> {
    let mut tallies = tallies(session, instance, numbers).await?;
    let rows = session.rows(REPORTS, &[&instance, &numbers]).await?;
    let mut found: HashMap<i64, PublishReport> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let number: i64 = row.at(0)?;
        let tallies = tallies.remove(&number).unwrap_or_default();
        found.insert(number, one(row, tallies)?);
    }
    Ok(numbers
        .iter()
        .filter_map(|number| found.remove(number))
        .collect())
}

fn one(row: &Row, tallies: Vec<Tally>) -> Result<PublishReport, Fault> {
    let time = |column| -> Result<Option<Timestamp>, Fault> {
        Ok(row.at::<Option<i64>>(column)?.map(Timestamp::from_millis))
    };
    let accepted_at = Timestamp::from_millis(row.at(2)?);
    Ok(PublishReport {
        id: PublishId::from_uuid(row.at(1)?),
        state: state(row.at(6)?)?,
        target: target(row)?,
        accepted_at,
        send_at: time(7)?.unwrap_or(accepted_at),
        expires_at: time(8)?,
        finished_at: time(3)?,
        tallies,
        retries: columns::count(row.at(12)?)?,
        delivered: columns::count(row.at(4)?)?,
        opened: columns::count(row.at(5)?)?,
    })
}

fn state(word: &str) -> Result<PublishState, Fault> {
    PublishState::parse(word).ok_or_else(|| corrupt(format!("a state {word:?}")))
}

fn target(row: &Row) -> Result<Target, Fault> {
    let count = columns::count(row.at(10)?)?;
    match row.at(9)? {
        "interests" => Ok(Target::Named(AudienceKind::Interests, count)),
        "users" => Ok(Target::Named(AudienceKind::Users, count)),
        "failures" => {
            // One that is deleted has no id any more.
            let of: Option<Uuid> = row.at(11)?;
            Ok(Target::FailuresOf(PublishId::from_uuid(
                of.unwrap_or_default(),
            )))
        }
        other => Err(corrupt(format!("an audience of {other:?}"))),
    }
}

fn outcome(word: &str) -> Result<OutcomeKind, Fault> {
    OutcomeKind::parse(word).ok_or_else(|| corrupt(format!("an outcome {word:?}")))
}

/// The ends of the deliveries of these publishes.
async fn tallies(
    session: &Session,
    instance: i64,
    numbers: &[i64],
) -> Result<HashMap<i64, Vec<Tally>>, Fault> {
    let rows = session
        .rows(
            "SELECT publish, platform, outcome, reason, count FROM tallies
              WHERE instance = $1 AND publish = ANY($2) ORDER BY publish, platform, outcome, reason",
            &[&instance, &numbers],
        )
        .await?;
    let mut found: HashMap<i64, Vec<Tally>> = HashMap::new();
    for row in &rows {
        found.entry(row.at(0)?).or_default().push(Tally {
            platform: columns::platform(row.at(1)?)?,
            outcome: outcome(row.at(2)?)?,
            reason: row.at::<String>(3)?.into(),
            count: columns::count(row.at(4)?)?,
        });
    }
    Ok(found)
}

/// A statement for each state, so that each can use the index of its own.
pub(super) const fn list_sql(state: Option<PublishState>) -> &'static str {
    match state {
        None => {
            "SELECT publish FROM publishes
              WHERE instance = $1 AND publish < $2 ORDER BY publish DESC LIMIT $3"
        }
        Some(PublishState::Scheduled) => {
            "SELECT publish FROM publishes
              WHERE instance = $1 AND state = 'scheduled' AND publish < $2 ORDER BY publish DESC LIMIT $3"
        }
        Some(PublishState::Running) => {
            "SELECT publish FROM publishes
              WHERE instance = $1 AND state = 'running' AND publish < $2 ORDER BY publish DESC LIMIT $3"
        }
        Some(PublishState::Cancelled) => {
            "SELECT publish FROM publishes
              WHERE instance = $1 AND state = 'cancelled' AND publish < $2 ORDER BY publish DESC LIMIT $3"
        }
        Some(PublishState::Finished) => {
            "SELECT publish FROM publishes
              WHERE instance = $1 AND state = 'finished' AND publish < $2 ORDER BY publish DESC LIMIT $3"
        }
    }
}

pub(super) async fn list(
    session: &Session,
    instance: InstanceId,
    state: Option<PublishState>,
    after: Option<PublishCursor>,
    limit: usize,
) -> Result<PublishPage, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(PublishPage::default());
    };
    let before = after.map_or(i64::MAX, |cursor| cursor.0);
    // One more tells whether there is more.
    let most = columns::limit(limit.saturating_add(1));
    let mut numbers: Vec<i64> = session
        .values(list_sql(state), &[&instance, &before, &most])
        .await?;
    let is_more = numbers.len() > limit;
    numbers.truncate(limit);
    let next = numbers.last().filter(|_| is_more).copied();
    Ok(PublishPage {
        publishes: reports(session, instance, &numbers).await?,
        next: next.map(PublishCursor),
    })
}

/// The users that a publish named, by name or in a list, with what their outcomes are kept under.
async fn named_users(
    session: &Session,
    instance: i64,
    publish: i64,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(UserId, Option<i64>)>, Fault> {
    let behind = after.map_or("", |after| after.as_str());
    if let Some(listed) = lists::users_of(session, publish, behind, limit).await? {
        let checked = |(id, number)| columns::user(id).map(|id| (id, number));
        return listed.into_iter().map(checked).collect();
    }
    let named: Option<Option<String>> = session
        .value(
            "SELECT users FROM payloads WHERE instance = $1 AND publish = $2",
            &[&instance, &publish],
        )
        .await?;
    let named: Vec<(UserId, Option<i64>)> = match named.flatten() {
        None => Vec::new(),
        Some(json) => serde_json::from_str(&json)
            .map_err(|error| corrupt(format!("the users of a publish: {error}")))?,
    };
    let begin = named.partition_point(|(user, _)| after.is_some_and(|after| user <= after));
    Ok(named.into_iter().skip(begin).take(limit).collect())
}

pub(super) async fn users(
    session: &Session,
    instance: InstanceId,
    id: PublishId,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Option<Vec<UserOutcome>>, Fault> {
    let Some((instance, publish)) = number(session, instance, id).await? else {
        return Ok(None);
    };
    let named = named_users(session, instance, publish, after, limit).await?;
    let numbers: Vec<i64> = named.iter().filter_map(|(_, number)| *number).collect();
    let rows = session
        .rows(
            "SELECT user_number, accepted, failed FROM user_tallies
              WHERE instance = $1 AND publish = $2 AND user_number = ANY($3)",
            &[&instance, &publish, &numbers],
        )
        .await?;
    let mut tallies: HashMap<i64, (u64, u64)> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let counts = (columns::count(row.at(1)?)?, columns::count(row.at(2)?)?);
        tallies.insert(row.at(0)?, counts);
    }
    let outcome = |(user, number): (UserId, Option<i64>)| {
        let tally = number.and_then(|number| tallies.get(&number).copied());
        let (accepted, failed) = tally.unwrap_or_default();
        UserOutcome {
            user,
            accepted,
            failed,
        }
    };
    Ok(Some(named.into_iter().map(outcome).collect()))
}

pub(super) const FAILURES: &str =
    "SELECT device, id, platform, user_id, outcome, reason, failed_at FROM failures
    WHERE instance = $1 AND publish = $2 AND device > $3 ORDER BY device LIMIT $4";

pub(super) async fn failures(
    session: &Session,
    instance: InstanceId,
    id: PublishId,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Option<Vec<Failed>>, Fault> {
    let Some((instance, publish)) = number(session, instance, id).await? else {
        return Ok(None);
    };
    let rows = session
        .rows(
            FAILURES,
            &[&instance, &publish, &after.0, &columns::limit(limit)],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(failed(row)?);
    }
    Ok(Some(found))
}

/// Reads `device, id, platform, user_id, outcome, reason, failed_at`.
pub(super) fn failed(row: &Row) -> Result<Failed, Fault> {
    let platform = columns::platform(row.at(2)?)?;
    Ok(Failed {
        ordinal: DeviceOrdinal(row.at(0)?),
        device: DeviceId::from_parts(platform, row.at(1)?),
        user: row
            .at::<Option<String>>(3)?
            .map(columns::user)
            .transpose()?,
        outcome: outcome(row.at(4)?)?,
        reason: row.at::<String>(5)?.into(),
        at: Timestamp::from_millis(row.at(6)?),
    })
}
