//! Devices and users, listed for those who manage. Read in the order of an index, so a page costs what it has.

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceMetadata, DeviceOrdinal, Recipient};
use domain::instance::InstanceId;
use domain::user::UserId;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{columns, devices, instances};
use crate::StoreError;
use crate::activity::Activity;
use crate::administration::{DeviceFilter, ListedDevice, ListedUser};
use crate::devices::DeviceRecord;

/// Behind every other character.
const LAST: char = char::MAX;

/// Reads `device, id, platform, user, metadata, created_at, registered_at, bound_at, active_on, active_days`.
pub(super) fn read(row: &Row<'_>) -> Result<ListedDevice, StoreError> {
    let platform = columns::platform(row.get_ref(2)?.as_str()?)?;
    let user: Option<String> = row.get(3)?;
    let bound_at: Option<i64> = row.get(7)?;
    Ok(ListedDevice {
        ordinal: DeviceOrdinal(row.get(0)?),
        device: DeviceRecord {
            id: DeviceId::from_parts(platform, Uuid::from_bytes(row.get(1)?)),
            user: user.map(columns::user).transpose()?,
            metadata: DeviceMetadata::from_stored(row.get(4)?),
            created_at: Timestamp::from_millis(row.get(5)?),
            registered_at: Timestamp::from_millis(row.get(6)?),
        },
        bound_at: bound_at.map(Timestamp::from_millis),
        active: Activity {
            last: row.get(8)?,
            days: row.get(9)?,
        },
    })
}

pub(super) fn devices(
    connection: &Connection,
    instance: InstanceId,
    filter: &DeviceFilter,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Vec<ListedDevice>, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(Vec::new());
    };
    let (sql, name) = match filter {
        DeviceFilter::All => (
            "SELECT d.device, d.id, d.platform, u.id, d.metadata, d.created_at, d.registered_at, d.bound_at,
                    d.active_on, d.active_days
               FROM devices d LEFT JOIN users u ON u.user_number = d.user_number
              WHERE d.instance = ?1 AND d.device > ?2 AND ?4 IS NULL ORDER BY d.device LIMIT ?3",
            None,
        ),
        DeviceFilter::User(user) => (
            "SELECT d.device, d.id, d.platform, u.id, d.metadata, d.created_at, d.registered_at, d.bound_at,
                    d.active_on, d.active_days
               FROM users u CROSS JOIN devices d ON d.user_number = u.user_number
              WHERE u.instance = ?1 AND u.id = ?4 AND d.device > ?2 ORDER BY d.device LIMIT ?3",
            Some(user.as_str()),
        ),
        DeviceFilter::Interest(interest) => (
            "SELECT d.device, d.id, d.platform, u.id, d.metadata, d.created_at, d.registered_at, d.bound_at,
                    d.active_on, d.active_days
               FROM interests i CROSS JOIN subscriptions s ON s.interest = i.interest
                    CROSS JOIN devices d ON d.device = s.device LEFT JOIN users u ON u.user_number = d.user_number
              WHERE i.instance = ?1 AND i.name = ?4 AND s.device > ?2 ORDER BY s.device LIMIT ?3",
            Some(interest.as_str()),
        ),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![instance, after.0, columns::limit(limit), name])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

pub(super) fn recipient(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Option<Recipient>, StoreError> {
    let Some(found) = devices::find(connection, instance, id)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT device, platform, identity, keys, bundle_id, environment, registered_at
           FROM devices WHERE device = ?1",
    )?;
    let mut rows = statement.query([found.device])?;
    match rows.next()? {
        Some(row) => columns::recipient(row, 0, |_| true),
        None => Ok(None),
    }
}

pub(super) fn users(
    connection: &Connection,
    instance: InstanceId,
    prefix: &str,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<ListedUser>, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(Vec::new());
    };
    // Only what begins with the prefix lies between it and the prefix with the last character behind it.
    let after = after.map_or("", UserId::as_str);
    let end = format!("{prefix}{LAST}");
    let mut statement = connection.prepare_cached(
        "SELECT u.id, count(*), min(d.bound_at), max(d.registered_at)
           FROM users u CROSS JOIN devices d ON d.user_number = u.user_number
          WHERE u.user_number IN (SELECT user_number FROM users
                WHERE instance = ?1 AND id >= ?2 AND id < ?3 AND id > ?4 ORDER BY id LIMIT ?5)
          GROUP BY u.user_number, u.id ORDER BY u.id",
    )?;
    let mut rows = statement.query(params![instance, prefix, end, after, columns::limit(limit)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let bound_at: Option<i64> = row.get(2)?;
        found.push(ListedUser {
            user: columns::user(row.get(0)?)?,
            devices: columns::count(row.get(1)?)?,
            bound_at: bound_at.map(Timestamp::from_millis),
            registered_at: Timestamp::from_millis(row.get(3)?),
        });
    }
    Ok(found)
}
