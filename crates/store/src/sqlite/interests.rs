//! Subscriptions: which device is subscribed to which interest. Names are interned; a trigger forgets a name with its last
//! subscription.

use std::collections::BTreeMap;

use domain::clock::Timestamp;
use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{activity, columns, devices};
use crate::StoreError;
use crate::devices::{Changed, InterestPage};

/// The number of an interest, if anybody is subscribed to it.
pub(super) fn number(
    connection: &Connection,
    instance: i64,
    name: &InterestName,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT interest FROM interests WHERE instance = ?1 AND name = ?2")?
        .query_row(params![instance, name.as_str()], |row| row.get(0))
        .optional()?)
}

pub(super) fn intern(
    connection: &Connection,
    instance: i64,
    name: &InterestName,
) -> Result<i64, StoreError> {
    if let Some(interest) = number(connection, instance, name)? {
        return Ok(interest);
    }
    connection
        .prepare_cached("INSERT INTO interests (instance, name) VALUES (?1, ?2)")?
        .execute(params![instance, name.as_str()])?;
    Ok(connection.last_insert_rowid())
}

pub(super) fn subscribe(
    connection: &Connection,
    interest: i64,
    device: i64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO subscriptions (interest, device) VALUES (?1, ?2)")?
        .execute([interest, device])?;
    Ok(())
}

fn unsubscribe(connection: &Connection, interest: i64, device: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM subscriptions WHERE interest = ?1 AND device = ?2")?
        .execute([interest, device])?;
    Ok(())
}

/// A device's interests with their numbers.
fn numbered(
    connection: &Connection,
    device: i64,
) -> Result<BTreeMap<InterestName, i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT i.name, i.interest FROM subscriptions s CROSS JOIN interests i ON i.interest = s.interest
          WHERE s.device = ?1",
    )?;
    let mut rows = statement.query([device])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.insert(columns::interest(row.get(0)?)?, row.get(1)?);
    }
    Ok(found)
}

/// A device's interests, ascending.
pub(super) fn of_device(
    connection: &Connection,
    device: i64,
) -> Result<Vec<InterestName>, StoreError> {
    Ok(numbered(connection, device)?.into_keys().collect())
}

/// A device has at most some thousand interests, so reading all of them for a page is bounded.
pub(super) fn page(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
    after: Option<&InterestName>,
    limit: usize,
) -> Result<Option<InterestPage>, StoreError> {
    let Some(found) = devices::find(connection, instance, id)? else {
        return Ok(None);
    };
    let mut rest = of_device(connection, found.device)?
        .into_iter()
        .filter(|name| after.is_none_or(|after| name > after));
    let interests: Vec<InterestName> = rest.by_ref().take(limit).collect();
    Ok(Some(InterestPage {
        interests,
        more: rest.next().is_some(),
    }))
}

/// Writes only what differs, so that a device that says the same at every start costs no write but the first on a day.
pub(super) fn set(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
    wanted: &[InterestName],
    now: Timestamp,
) -> Result<Changed, StoreError> {
    let Some(found) = devices::find(connection, instance, id)? else {
        return Ok(Changed::UnknownDevice);
    };
    activity::touch(connection, found.device, found.active, now)?;
    let mut surplus = numbered(connection, found.device)?;
    for name in wanted {
        if surplus.remove(name).is_none() {
            let interest = intern(connection, found.instance, name)?;
            subscribe(connection, interest, found.device)?;
        }
    }
    for interest in surplus.into_values() {
        unsubscribe(connection, interest, found.device)?;
    }
    Ok(Changed::Done)
}

pub(super) fn add(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
    name: &InterestName,
    interests_max: usize,
    now: Timestamp,
) -> Result<Changed, StoreError> {
    let Some(found) = devices::find(connection, instance, id)? else {
        return Ok(Changed::UnknownDevice);
    };
    activity::touch(connection, found.device, found.active, now)?;
    if let Some(interest) = number(connection, found.instance, name)?
        && is_subscribed(connection, interest, found.device)?
    {
        return Ok(Changed::Done);
    }
    let has: i64 = connection
        .prepare_cached("SELECT count(*) FROM subscriptions WHERE device = ?1")?
        .query_row([found.device], |row| row.get(0))?;
    if has >= columns::limit(interests_max) {
        return Ok(Changed::TooManyInterests);
    }
    let interest = intern(connection, found.instance, name)?;
    subscribe(connection, interest, found.device)?;
    Ok(Changed::Done)
}

fn is_subscribed(connection: &Connection, interest: i64, device: i64) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM subscriptions WHERE interest = ?1 AND device = ?2")?
        .exists([interest, device])?)
}

pub(super) fn remove(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
    name: &InterestName,
    now: Timestamp,
) -> Result<Changed, StoreError> {
    let Some(found) = devices::find(connection, instance, id)? else {
        return Ok(Changed::UnknownDevice);
    };
    activity::touch(connection, found.device, found.active, now)?;
    if let Some(interest) = number(connection, found.instance, name)? {
        unsubscribe(connection, interest, found.device)?;
    }
    Ok(Changed::Done)
}
