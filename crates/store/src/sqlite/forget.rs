//! What there is of a user in publishes, and how it is removed: in pieces, each a short transaction over some publishes.
//!
//! A user's devices go first, so that nothing new comes; their numbers, which their reports are kept under, are held until
//! the last piece.

use std::path::Path;

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::publish::{Audience, PublishId};
use domain::user::UserId;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::mark::Mark;
use super::{audit, columns, console, instances, lookup, people, schema, users, webhooks};
use crate::StoreError;
use crate::administration::{DeviceFilter, Forgotten, PublishTrace, ReportedEvent, TracePage};
use crate::lookup::{Failed, PublishCursor};
use crate::publishes::EventKind;

/// How many publishes one page of traces, or one piece of forgetting, looks at.
const PUBLISHES_MAX: usize = 200;
/// More devices than a user can have.
const DEVICES_MAX: usize = 1000;

/// What is being removed: the numbers that a user's traces are kept under, and where the next piece begins.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    instance: i64,
    user: Option<i64>,
    devices: Vec<(i64, DeviceId)>,
    pub(super) before: i64,
}

/// Users with their numbers, as a publish keeps them.
type Named = Vec<(UserId, Option<i64>)>;

/// A publish to look at.
struct Row {
    number: i64,
    id: PublishId,
    accepted_at: Timestamp,
}

fn numbers(
    connection: &Connection,
    instance: InstanceId,
    user: &UserId,
) -> Result<Option<Numbers>, StoreError> {
    let Some(number) = instances::number(connection, instance)? else {
        return Ok(None);
    };
    let filter = DeviceFilter::User(user.clone());
    let from = DeviceOrdinal::default();
    let listed = people::devices(connection, instance, &filter, from, DEVICES_MAX)?;
    let of = |listed: crate::administration::ListedDevice| (listed.ordinal.0, listed.device.id);
    Ok(Some(Numbers {
        instance: number,
        user: users::number(connection, number, user)?,
        devices: listed.into_iter().map(of).collect(),
        before: i64::MAX,
    }))
}

/// The next publishes, the newest first.
fn publishes(connection: &Connection, numbers: &Numbers) -> Result<Vec<Row>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT publish, id, accepted_at FROM publishes WHERE instance = ?1 AND publish < ?2
              ORDER BY publish DESC LIMIT ?3",
        )?
        .query_map(
            [
                numbers.instance,
                numbers.before,
                columns::limit(PUBLISHES_MAX),
            ],
            |row| {
                Ok(Row {
                    number: row.get(0)?,
                    id: PublishId::from_uuid(Uuid::from_bytes(row.get(1)?)),
                    accepted_at: Timestamp::from_millis(row.get(2)?),
                })
            },
        )?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// The users that a publish named, by name, if this one may be among them.
fn named(
    connection: &Connection,
    publish: i64,
    user: &UserId,
) -> Result<Option<Named>, StoreError> {
    // As it stands in the JSON. Looked for before the JSON is read, which most publishes are thereby spared.
    let quoted = serde_json::json!(user).to_string();
    let json: Option<String> = connection
        .prepare_cached("SELECT users FROM payloads WHERE publish = ?1 AND instr(users, ?2) > 0")?
        .query_row(params![publish, quoted], |row| row.get(0))
        .optional()?;
    json.map(|json| serde_json::from_str(&json))
        .transpose()
        .map_err(|error| StoreError::Corrupt(format!("the users of a publish: {error}")))
}

/// The audience of a scheduled publish, if this user may be among it.
fn scheduled(
    connection: &Connection,
    publish: i64,
    user: &UserId,
) -> Result<Option<Audience>, StoreError> {
    let quoted = serde_json::json!(user).to_string();
    let json: Option<String> = connection
        .prepare_cached(
            "SELECT audience FROM scheduled WHERE publish = ?1 AND instr(audience, ?2) > 0",
        )?
        .query_row(params![publish, quoted], |row| row.get(0))
        .optional()?;
    json.map(|json| serde_json::from_str(&json))
        .transpose()
        .map_err(|error| StoreError::Corrupt(format!("the audience of a publish: {error}")))
}

pub(super) fn traces(
    connection: &Connection,
    instance: InstanceId,
    user: &UserId,
    after: Option<PublishCursor>,
) -> Result<TracePage, StoreError> {
    let Some(mut numbers) = numbers(connection, instance, user)? else {
        return Ok(TracePage::default());
    };
    numbers.before = after.map_or(i64::MAX, |after| after.0);
    let rows = publishes(connection, &numbers)?;
    let mut page = TracePage::default();
    if after.is_none() {
        page.webhook_requests = webhooks::traced(connection, numbers.instance, user)?;
    }
    for row in &rows {
        page.publishes
            .extend(trace(connection, &numbers, user, row)?);
    }
    let last = rows.last().filter(|_| rows.len() == PUBLISHES_MAX);
    page.next = last.map(|row| PublishCursor(row.number));
    Ok(page)
}

fn trace(
    connection: &Connection,
    numbers: &Numbers,
    user: &UserId,
    row: &Row,
) -> Result<Option<PublishTrace>, StoreError> {
    let by_name = named(connection, row.number, user)?;
    let entry = by_name
        .iter()
        .flatten()
        .find(|(name, _)| name == user)
        .map(|(_, number)| *number);
    let listed: Option<(Option<String>, i64)> = connection
        .prepare_cached(
            "SELECT l.vals, -l.place FROM lists s CROSS JOIN listed l ON l.list = s.list AND l.user = ?2
              WHERE s.publish = ?1",
        )?
        .query_row(params![row.number, user.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let is_listed = listed.is_some();
    let (values, place) = listed.unzip();
    let waits = match scheduled(connection, row.number, user)? {
        Some(Audience::Users(users)) => users.contains(user),
        _ => false,
    };
    let user_number = entry.flatten().or(place).or(numbers.user);
    let outcome = connection
        .prepare_cached(
            "SELECT accepted, failed FROM user_tallies WHERE publish = ?1 AND user_number = ?2",
        )?
        .query_row(params![row.number, user_number], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let outcome = match outcome {
        Some((accepted, failed)) => Some((columns::count(accepted)?, columns::count(failed)?)),
        None => None,
    };
    let trace = PublishTrace {
        publish: row.id,
        accepted_at: row.accepted_at,
        named: entry.is_some() || is_listed || waits,
        values: values.flatten(),
        outcome,
        failures: failures(connection, row.number, user)?,
        events: events(connection, row.number, &numbers.devices)?,
    };
    let is_empty = !trace.named
        && trace.outcome.is_none()
        && trace.failures.is_empty()
        && trace.events.is_empty();
    Ok(Some(trace).filter(|_| !is_empty))
}

fn failures(
    connection: &Connection,
    publish: i64,
    user: &UserId,
) -> Result<Vec<Failed>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT device, id, platform, user, outcome, reason, failed_at FROM failures
          WHERE publish = ?1 AND user = ?2 ORDER BY device",
    )?;
    let mut rows = statement.query(params![publish, user.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(lookup::failed(row)?);
    }
    Ok(found)
}

fn events(
    connection: &Connection,
    publish: i64,
    devices: &[(i64, DeviceId)],
) -> Result<Vec<ReportedEvent>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT at FROM events WHERE publish = ?1 AND kind = ?2 AND device = ?3")?;
    let mut found = Vec::new();
    for (number, device) in devices {
        for kind in [EventKind::Delivery, EventKind::Open] {
            let at: Option<i64> = statement
                .query_row(params![publish, kind.as_str(), number], |row| row.get(0))
                .optional()?;
            found.extend(at.map(|at| ReportedEvent {
                device: *device,
                kind,
                at: Timestamp::from_millis(at),
            }));
        }
    }
    Ok(found)
}

/// Removes the devices, the names in lists that belong to no publish, lines of the trail, requests to webhooks, and the name in
/// the audit log. What is left to do.
pub(super) fn begin(
    connection: &Connection,
    instance: InstanceId,
    user: &UserId,
    pseudonym: &UserId,
) -> Result<Option<(Numbers, Forgotten)>, StoreError> {
    let Some(numbers) = numbers(connection, instance, user)? else {
        return Ok(None);
    };
    let devices = users::delete(connection, instance, user)?;
    let ids: Vec<DeviceId> = numbers.devices.iter().map(|(_, id)| *id).collect();
    console::forget_user(connection, numbers.instance, user, &ids)?;
    let names = connection
        .prepare_cached(
            "DELETE FROM listed WHERE user = ?2 AND list IN
                (SELECT list FROM lists WHERE instance = ?1 AND publish IS NULL)",
        )?
        .execute(params![numbers.instance, user.as_str()])?;
    let forgotten = Forgotten {
        devices,
        names: count(names),
        // What was just told of the devices' removal is among them.
        webhook_requests: webhooks::forget_user(connection, numbers.instance, user)?,
        audit_entries: audit::pseudonymise(connection, instance, user, pseudonym)?,
        ..Forgotten::default()
    };
    Ok(Some((numbers, forgotten)))
}

/// Removes what some publishes have of a user. Where to go on, if there is more, and what was removed.
pub(super) fn piece(
    connection: &Connection,
    numbers: &Numbers,
    user: &UserId,
) -> Result<(Option<i64>, Forgotten), StoreError> {
    let rows = publishes(connection, numbers)?;
    let mut forgotten = Forgotten::default();
    for row in &rows {
        forgotten.add(remove(connection, numbers, user, row.number)?);
    }
    let last = rows.last().filter(|_| rows.len() == PUBLISHES_MAX);
    Ok((last.map(|row| row.number), forgotten))
}

fn remove(
    connection: &Connection,
    numbers: &Numbers,
    user: &UserId,
    publish: i64,
) -> Result<Forgotten, StoreError> {
    let mut user_numbers: Vec<i64> = numbers.user.into_iter().collect();
    let mut forgotten = Forgotten::default();
    if let Some(mut named) = named(connection, publish, user)? {
        let before = named.len();
        user_numbers.extend(
            named
                .iter()
                .filter(|(id, _)| id == user)
                .filter_map(|n| n.1),
        );
        named.retain(|(id, _)| id != user);
        connection
            .prepare_cached("UPDATE payloads SET users = ?2 WHERE publish = ?1")?
            .execute(params![publish, serde_json::json!(named).to_string()])?;
        forgotten.names += count(before - named.len());
    }
    if let Some(Audience::Users(mut users)) = scheduled(connection, publish, user)? {
        forgotten.names += u64::from(users.remove(user));
        connection
            .prepare_cached("UPDATE scheduled SET audience = ?2 WHERE publish = ?1")?
            .execute(params![
                publish,
                serde_json::json!(Audience::Users(users)).to_string()
            ])?;
    }
    if forgotten.names > 0 {
        webhooks::drop_brought(connection, publish)?;
    }
    let listed: Vec<i64> = connection
        .prepare_cached(
            "DELETE FROM listed WHERE user = ?2 AND list IN (SELECT list FROM lists WHERE publish = ?1)
             RETURNING -place",
        )?
        .query_map(params![publish, user.as_str()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    forgotten.names += count(listed.len());
    user_numbers.extend(listed);
    for number in user_numbers {
        let counted = connection
            .prepare_cached("DELETE FROM user_tallies WHERE publish = ?1 AND user_number = ?2")?
            .execute([publish, number])?;
        forgotten.outcomes += count(counted);
    }
    let failed = connection
        .prepare_cached("DELETE FROM failures WHERE publish = ?1 AND user = ?2")?
        .execute(params![publish, user.as_str()])?;
    forgotten.failures = count(failed);
    let mut reported = connection
        .prepare_cached("DELETE FROM events WHERE publish = ?1 AND kind = ?2 AND device = ?3")?;
    for (device, _) in &numbers.devices {
        for kind in [EventKind::Delivery, EventKind::Open] {
            forgotten.events += count(reported.execute(params![publish, kind.as_str(), device])?);
        }
    }
    Ok(forgotten)
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

/// Writes the file anew without what was deleted, and empties the log. On a connection of its own, since the writing one is
/// never outside of a transaction.
pub(super) fn scrub(path: &Path) -> Result<(), StoreError> {
    let mark = Mark::take(path)?;
    let connection = schema::open_writer(path, 2048, &mark)?;
    connection.execute_batch("VACUUM")?;
    let blocked: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if blocked == 0 {
        Ok(())
    } else {
        Err(StoreError::Busy)
    }
}
