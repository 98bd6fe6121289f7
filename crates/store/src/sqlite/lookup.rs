//! What is told of publishes afterwards.

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::publish::{AudienceKind, PublishId};
use domain::user::UserId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{columns, instances, lists};
use crate::StoreError;
use crate::lookup::{
    Failed, PublishCursor, PublishPage, PublishReport, PublishState, Target, UserOutcome,
};
use crate::publishes::Tally;

/// The number of a publish of an instance.
pub(super) fn number(
    connection: &Connection,
    instance: InstanceId,
    id: PublishId,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT p.publish FROM publishes p CROSS JOIN instances i ON i.instance = p.instance
              WHERE p.id = ?1 AND i.id = ?2 AND i.deleted = 0",
        )?
        .query_row(
            params![id.uuid().as_bytes(), instance.as_uuid().as_bytes()],
            |row| row.get(0),
        )
        .optional()?)
}

pub(super) fn report(
    connection: &Connection,
    instance: InstanceId,
    id: PublishId,
) -> Result<Option<PublishReport>, StoreError> {
    match number(connection, instance, id)? {
        Some(number) => of_number(connection, number),
        None => Ok(None),
    }
}

pub(super) fn of_number(
    connection: &Connection,
    number: i64,
) -> Result<Option<PublishReport>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT p.id, p.accepted_at, p.finished_at, p.delivered, p.opened, p.state, p.send_at, p.expires_at,
                p.named, p.named_count, s.id
           FROM publishes p LEFT JOIN publishes s ON s.publish = p.replay_of WHERE p.publish = ?1",
    )?;
    let mut rows = statement.query([number])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let accepted_at = Timestamp::from_millis(row.get(1)?);
    let time = |column| -> Result<Option<Timestamp>, StoreError> {
        Ok(row
            .get::<_, Option<i64>>(column)?
            .map(Timestamp::from_millis))
    };
    let finished_at = time(2)?;
    let retries: i64 = match finished_at {
        // What is left of a cancelled one is not waited for.
        Some(_) => 0,
        None => connection
            .prepare_cached("SELECT count(*) FROM retries WHERE publish = ?1")?
            .query_row([number], |row| row.get(0))?,
    };
    Ok(Some(PublishReport {
        id: PublishId::from_uuid(Uuid::from_bytes(row.get(0)?)),
        state: state(row.get_ref(5)?.as_str()?)?,
        target: target(row)?,
        accepted_at,
        send_at: time(6)?.unwrap_or(accepted_at),
        expires_at: time(7)?,
        finished_at,
        tallies: tallies(connection, number)?,
        retries: columns::count(retries)?,
        delivered: columns::count(row.get(3)?)?,
        opened: columns::count(row.get(4)?)?,
    }))
}

fn state(word: &str) -> Result<PublishState, StoreError> {
    PublishState::parse(word).ok_or_else(|| StoreError::Corrupt(format!("a state {word:?}")))
}

fn target(row: &Row<'_>) -> Result<Target, StoreError> {
    let count = columns::count(row.get(9)?)?;
    match row.get_ref(8)?.as_str()? {
        "interests" => Ok(Target::Named(AudienceKind::Interests, count)),
        "users" => Ok(Target::Named(AudienceKind::Users, count)),
        "failures" => {
            // One that is deleted has no id any more.
            let of = row.get::<_, Option<[u8; 16]>>(10)?.unwrap_or_default();
            Ok(Target::FailuresOf(PublishId::from_uuid(Uuid::from_bytes(
                of,
            ))))
        }
        other => Err(StoreError::Corrupt(format!("an audience of {other:?}"))),
    }
}

fn outcome(word: &str) -> Result<OutcomeKind, StoreError> {
    OutcomeKind::parse(word).ok_or_else(|| StoreError::Corrupt(format!("an outcome {word:?}")))
}

fn tallies(connection: &Connection, number: i64) -> Result<Vec<Tally>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT platform, outcome, reason, count FROM tallies
          WHERE publish = ?1 ORDER BY platform, outcome, reason",
    )?;
    let mut rows = statement.query([number])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Tally {
            platform: columns::platform(row.get_ref(0)?.as_str()?)?,
            outcome: outcome(row.get_ref(1)?.as_str()?)?,
            reason: row.get::<_, String>(2)?.into(),
            count: columns::count(row.get(3)?)?,
        });
    }
    Ok(found)
}

/// A statement for each state, so that each can use the index of its own.
pub(super) const fn list_sql(state: Option<PublishState>) -> &'static str {
    match state {
        None => {
            "SELECT publish FROM publishes
              WHERE instance = ?1 AND publish < ?2 ORDER BY publish DESC LIMIT ?3"
        }
        Some(PublishState::Scheduled) => {
            "SELECT publish FROM publishes
              WHERE instance = ?1 AND state = 'scheduled' AND publish < ?2 ORDER BY publish DESC LIMIT ?3"
        }
        Some(PublishState::Running) => {
            "SELECT publish FROM publishes
              WHERE instance = ?1 AND state = 'running' AND publish < ?2 ORDER BY publish DESC LIMIT ?3"
        }
        Some(PublishState::Cancelled) => {
            "SELECT publish FROM publishes
              WHERE instance = ?1 AND state = 'cancelled' AND publish < ?2 ORDER BY publish DESC LIMIT ?3"
        }
        Some(PublishState::Finished) => {
            "SELECT publish FROM publishes
              WHERE instance = ?1 AND state = 'finished' AND publish < ?2 ORDER BY publish DESC LIMIT ?3"
        }
    }
}

pub(super) fn list(
    connection: &Connection,
    instance: InstanceId,
    state: Option<PublishState>,
    after: Option<PublishCursor>,
    limit: usize,
) -> Result<PublishPage, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(PublishPage::default());
    };
    let before = after.map_or(i64::MAX, |cursor| cursor.0);
    // One more tells whether there is more.
    let mut numbers: Vec<i64> = connection
        .prepare_cached(list_sql(state))?
        .query_map(
            [instance, before, columns::limit(limit.saturating_add(1))],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    let is_more = numbers.len() > limit;
    numbers.truncate(limit);
    let mut page = PublishPage::default();
    for number in &numbers {
        page.publishes.extend(of_number(connection, *number)?);
    }
    page.next = numbers
        .last()
        .filter(|_| is_more)
        .copied()
        .map(PublishCursor);
    Ok(page)
}

/// The users that a publish named, by name or in a list, with what their outcomes are kept under.
fn named_users(
    connection: &Connection,
    number: i64,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(UserId, Option<i64>)>, StoreError> {
    let behind = after.map_or("", |after| after.as_str());
    if let Some(listed) = lists::users_of(connection, number, behind, limit)? {
        let checked = |(id, number)| columns::user(id).map(|id| (id, number));
        return listed.into_iter().map(checked).collect();
    }
    let named: Option<String> = connection
        .prepare_cached("SELECT users FROM payloads WHERE publish = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()?
        .flatten();
    let named: Vec<(UserId, Option<i64>)> = match named {
        None => Vec::new(),
        Some(json) => serde_json::from_str(&json)
            .map_err(|error| StoreError::Corrupt(format!("the users of a publish: {error}")))?,
    };
    let begin = named.partition_point(|(user, _)| after.is_some_and(|after| user <= after));
    Ok(named.into_iter().skip(begin).take(limit).collect())
}

pub(super) fn users(
    connection: &Connection,
    instance: InstanceId,
    id: PublishId,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Option<Vec<UserOutcome>>, StoreError> {
    let Some(number) = number(connection, instance, id)? else {
        return Ok(None);
    };
    let named = named_users(connection, number, after, limit)?;
    let mut statement = connection.prepare_cached(
        "SELECT accepted, failed FROM user_tallies WHERE publish = ?1 AND user_number = ?2",
    )?;
    let mut found = Vec::new();
    for (user, user_number) in named {
        let tally: Option<(i64, i64)> = statement
            .query_row(params![number, user_number], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let (accepted, failed) = tally.unwrap_or_default();
        found.push(UserOutcome {
            user,
            accepted: columns::count(accepted)?,
            failed: columns::count(failed)?,
        });
    }
    Ok(Some(found))
}

pub(super) fn failures(
    connection: &Connection,
    instance: InstanceId,
    id: PublishId,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Option<Vec<Failed>>, StoreError> {
    let Some(number) = number(connection, instance, id)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT device, id, platform, user, outcome, reason, failed_at FROM failures
          WHERE publish = ?1 AND device > ?2 ORDER BY device LIMIT ?3",
    )?;
    let mut rows = statement.query([number, after.0, columns::limit(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(failed(row)?);
    }
    Ok(Some(found))
}

/// Reads `device, id, platform, user, outcome, reason, failed_at`.
pub(super) fn failed(row: &Row<'_>) -> Result<Failed, StoreError> {
    let platform = columns::platform(row.get_ref(2)?.as_str()?)?;
    let user: Option<String> = row.get(3)?;
    Ok(Failed {
        ordinal: DeviceOrdinal(row.get(0)?),
        device: DeviceId::from_parts(platform, Uuid::from_bytes(row.get(1)?)),
        user: user.map(columns::user).transpose()?,
        outcome: outcome(row.get_ref(4)?.as_str()?)?,
        reason: row.get::<_, String>(5)?.into(),
        at: Timestamp::from_millis(row.get(6)?),
    })
}
