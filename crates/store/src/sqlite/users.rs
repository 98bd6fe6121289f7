//! Users and their devices. A user is a row as long as a device is bound to it; a trigger forgets it with the last one.

use domain::clock::Timestamp;
use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::user::UserId;
use domain::webhook::{Removal, WebhookEvent};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{activity, columns, devices, instances, webhooks};
use crate::StoreError;
use crate::administration::Unbound;
use crate::devices::Bound;

/// The number of a user who has devices.
pub(super) fn number(
    connection: &Connection,
    instance: i64,
    id: &UserId,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT user_number FROM users WHERE instance = ?1 AND id = ?2")?
        .query_row(params![instance, id.as_str()], |row| row.get(0))
        .optional()?)
}

/// Writes down a user who had no device so far.
pub(super) fn insert(
    connection: &Connection,
    instance: i64,
    id: &UserId,
) -> Result<i64, StoreError> {
    connection
        .prepare_cached("INSERT INTO users (instance, id) VALUES (?1, ?2)")?
        .execute(params![instance, id.as_str()])?;
    Ok(connection.last_insert_rowid())
}

/// Counts and binds in one transaction of the one writer, so no two calls can both take the last place.
pub(super) fn bind(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
    user: &UserId,
    devices_max: u32,
    now: Timestamp,
) -> Result<Bound, StoreError> {
    let Some(found) = devices::find(connection, instance, id)? else {
        return Ok(Bound::UnknownDevice);
    };
    let number = number(connection, found.instance, user)?;
    if let Some(bound) = found.user {
        if Some(bound) != number {
            return Ok(Bound::ToAnotherUser);
        }
        activity::touch(connection, found.device, found.active, now)?;
        return Ok(Bound::Done);
    }
    if let Some(number) = number {
        let has: u32 = connection
            .prepare_cached(
                "SELECT count(*) FROM devices WHERE user_number = ?1 AND platform = ?2",
            )?
            .query_row(params![number, id.platform().as_str()], |row| row.get(0))?;
        if has >= devices_max {
            return Ok(Bound::TooManyDevices);
        }
    } else if devices_max == 0 {
        return Ok(Bound::TooManyDevices);
    }
    let number: i64 = match number {
        Some(number) => number,
        None => insert(connection, found.instance, user)?,
    };
    connection
        .prepare_cached("UPDATE devices SET user_number = ?2, bound_at = ?3 WHERE device = ?1")?
        .execute([found.device, number, now.as_millis()])?;
    activity::touch(connection, found.device, found.active, now)?;
    let event = WebhookEvent::DeviceBound {
        instance,
        device: id,
        user: user.clone(),
    };
    webhooks::raise(connection, found.instance, &event)?;
    Ok(Bound::Done)
}

/// Takes a device from its user, and drops what waits to be sent to it because it was the user's. The trigger that forgets a
/// user without devices looks at deleted devices only, so the user is forgotten here.
pub(super) fn unbind(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Unbound, StoreError> {
    let Some(found) = devices::find(connection, instance, id)? else {
        return Ok(Unbound::UnknownDevice);
    };
    let Some(number) = found.user else {
        return Ok(Unbound::Nobodys);
    };
    let user: String = connection
        .prepare_cached("SELECT id FROM users WHERE user_number = ?1")?
        .query_row([number], |row| row.get(0))?;
    let user = columns::user(user)?;
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO emptied (publish)
             SELECT publish FROM retries WHERE device = ?1 AND user_number IS NOT NULL",
        )?
        .execute([found.device])?;
    connection
        .prepare_cached("DELETE FROM retries WHERE device = ?1 AND user_number IS NOT NULL")?
        .execute([found.device])?;
    connection
        .prepare_cached("UPDATE devices SET user_number = NULL, bound_at = NULL WHERE device = ?1")?
        .execute([found.device])?;
    connection
        .prepare_cached(
            "DELETE FROM users WHERE user_number = ?1
                AND NOT EXISTS (SELECT 1 FROM devices WHERE user_number = ?1)",
        )?
        .execute([number])?;
    let event = WebhookEvent::DeviceUnbound {
        instance,
        device: id,
        user: user.clone(),
    };
    webhooks::raise(connection, found.instance, &event)?;
    Ok(Unbound::From(user))
}

/// A user has at most some hundred devices, so one transaction is enough.
pub(super) fn delete(
    connection: &Connection,
    instance: InstanceId,
    user: &UserId,
) -> Result<u64, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(0);
    };
    let Some(number) = number(connection, instance, user)? else {
        return Ok(0);
    };
    let found: Vec<i64> = connection
        .prepare_cached("SELECT device FROM devices WHERE user_number = ?1 ORDER BY device")?
        .query_map([number], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut deleted = 0;
    for device in found {
        devices::remove(connection, device, Removal::UserDeleted)?;
        deleted += 1;
    }
    Ok(deleted)
}
