//! Devices: registration, metadata, gateway tokens, deletion.

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceMetadata, GatewayToken, Registration};
use domain::instance::InstanceId;
use domain::webhook::{Removal, WebhookEvent};
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::{activity, columns, instances, interests, webhooks};
use crate::StoreError;
use crate::activity::Day;
use crate::devices::{Changed, DeviceRecord, Registered};

/// A device's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) device: i64,
    pub(super) instance: i64,
    pub(super) user: Option<i64>,
    /// The last day on which it was active.
    pub(super) active: Day,
}

/// Looks a device up by instance and id together.
pub(super) fn find(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Option<Found>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT d.device, d.instance, d.user_number, d.active_on
               FROM instances i CROSS JOIN devices d ON d.instance = i.instance
              WHERE i.id = ?1 AND i.deleted = 0 AND d.id = ?2 AND d.platform = ?3",
        )?
        .query_row(
            params![
                instance.as_uuid().as_bytes(),
                id.uuid().as_bytes(),
                id.platform().as_str()
            ],
            |row| {
                Ok(Found {
                    device: row.get(0)?,
                    instance: row.get(1)?,
                    user: row.get(2)?,
                    active: Day::from_number(row.get(3)?),
                })
            },
        )
        .optional()?)
}

/// Whether a subscription comes with other keys than its device has.
fn has_other_keys(
    connection: &Connection,
    device: i64,
    token: &GatewayToken,
) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT keys IS NOT ?2 FROM devices WHERE device = ?1")?
        .query_row(params![device, token.keys()], |row| row.get(0))?)
}

/// Which device of an instance has a gateway token.
fn with_token(
    connection: &Connection,
    instance: i64,
    token: &GatewayToken,
) -> Result<Option<(i64, Uuid)>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT device, id FROM devices WHERE instance = ?1 AND platform = ?2 AND identity = ?3")?
        .query_row(params![instance, token.platform().as_str(), token.identity()], |row| {
            Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?)))
        })
        .optional()?)
}

/// How many devices an instance has.
pub(super) fn count(connection: &Connection, instance: i64) -> Result<u64, StoreError> {
    let count: Option<i64> = connection
        .prepare_cached("SELECT count FROM device_counts WHERE instance = ?1")?
        .query_row([instance], |row| row.get(0))
        .optional()?;
    columns::count(count.unwrap_or(0))
}

/// Counts devices that were inserted.
pub(super) fn counted(
    connection: &Connection,
    instance: i64,
    new: usize,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO device_counts (instance, count) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?
        .execute([instance, columns::limit(new)])?;
    Ok(())
}

pub(super) fn register(
    connection: &Connection,
    registration: &Registration,
    fresh: DeviceId,
    devices_max: Option<u64>,
    now: Timestamp,
) -> Result<Registered, StoreError> {
    let instance = instances::known(connection, registration.instance)?;
    let token = &registration.token;
    let bundle_id = registration.bundle_id.as_ref().map(|id| id.as_str());
    let mut known = with_token(connection, instance, token)?;
    if let Some((device, _)) = known
        && has_other_keys(connection, device, token)?
    {
        // Its place is the new one's.
        remove(connection, device, Removal::TokenMoved)?;
        known = None;
    } else if known.is_none()
        && let Some(most) = devices_max
        && count(connection, instance)? >= most
    {
        return Err(StoreError::InstanceFull);
    }
    if let Some((device, uuid)) = known {
        connection
            .prepare_cached(
                "UPDATE devices SET bundle_id = ?2, metadata = ?3, registered_at = ?4, given_again = 1,
                        active_days = ((active_days << max(0, min(30, ?5 - active_on))) | 1) & 1073741823,
                        active_on = max(active_on, ?5)
                  WHERE device = ?1",
            )?
            .execute(params![
                device,
                bundle_id,
                registration.metadata.as_json(),
                now.as_millis(),
                Day::of(now).number(),
            ])?;
        return Ok(Registered {
            id: DeviceId::from_parts(token.platform(), uuid),
            new: false,
            interests: interests::of_device(connection, device)?,
        });
    }
    connection
        .prepare_cached(
            "INSERT INTO devices (instance, id, platform, identity, keys, bundle_id, metadata, created_at, registered_at,
                                  active_on, active_days)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, 1)",
        )?
        .execute(params![
            instance,
            fresh.uuid().as_bytes(),
            token.platform().as_str(),
            token.identity(),
            token.keys(),
            bundle_id,
            registration.metadata.as_json(),
            now.as_millis(),
            Day::of(now).number(),
        ])?;
    counted(connection, instance, 1)?;
    let id = DeviceId::from_parts(token.platform(), *fresh.uuid());
    let event = WebhookEvent::DeviceRegistered {
        instance: registration.instance,
        device: id,
    };
    webhooks::raise(connection, instance, &event)?;
    Ok(Registered {
        id,
        new: true,
        interests: Vec::new(),
    })
}

pub(super) fn one(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Option<DeviceRecord>, StoreError> {
    let Some(found) = find(connection, instance, id)? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT u.id, d.metadata, d.created_at, d.registered_at
           FROM devices d LEFT JOIN users u ON u.user_number = d.user_number WHERE d.device = ?1",
    )?;
    let mut rows = statement.query([found.device])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(DeviceRecord {
        id,
        user: row
            .get::<_, Option<String>>(0)?
            .map(columns::user)
            .transpose()?,
        metadata: DeviceMetadata::from_stored(row.get(1)?),
        created_at: Timestamp::from_millis(row.get(2)?),
        registered_at: Timestamp::from_millis(row.get(3)?),
    }))
}

pub(super) fn delete(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
) -> Result<bool, StoreError> {
    match find(connection, instance, id)? {
        Some(found) => {
            remove(connection, found.device, Removal::Deleted)?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Removes a device by its number: its subscriptions and retries go with it, and publishes that may thereby have lost their
/// last work are noted.
pub(super) fn remove(
    connection: &Connection,
    device: i64,
    reason: Removal,
) -> Result<(), StoreError> {
    webhooks::device_removed(connection, device, reason)?;
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO emptied (publish) SELECT publish FROM retries WHERE device = ?1",
        )?
        .execute([device])?;
    connection
        .prepare_cached("DELETE FROM devices WHERE device = ?1")?
        .execute([device])?;
    Ok(())
}

pub(super) fn set_metadata(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
    metadata: &DeviceMetadata,
) -> Result<Changed, StoreError> {
    let Some(found) = find(connection, instance, id)? else {
        return Ok(Changed::UnknownDevice);
    };
    connection
        .prepare_cached("UPDATE devices SET metadata = ?2 WHERE device = ?1")?
        .execute(params![found.device, metadata.as_json()])?;
    Ok(Changed::Done)
}

pub(super) fn set_gateway_token(
    connection: &Connection,
    instance: InstanceId,
    id: DeviceId,
    token: &GatewayToken,
    now: Timestamp,
) -> Result<Changed, StoreError> {
    let Some(found) = find(connection, instance, id)? else {
        return Ok(Changed::UnknownDevice);
    };
    if token.platform() != id.platform() {
        return Ok(Changed::UnknownDevice);
    }
    // Whether it has a user or not: one may be about to be bound to it.
    let is_taken_over = connection
        .prepare_cached(
            "SELECT given_again <> 0 AND identity <> ?2 FROM devices WHERE device = ?1",
        )?
        .query_row(params![found.device, token.identity()], |row| row.get(0))?;
    if is_taken_over {
        remove(connection, found.device, Removal::Deleted)?;
        return Ok(Changed::UnknownDevice);
    }
    if let Some((other, _)) = with_token(connection, found.instance, token)?
        && other != found.device
    {
        remove(connection, other, Removal::TokenMoved)?;
    }
    // Nothing is known of which of Apple's gateways takes a token that was never tried.
    connection
        .prepare_cached(
            "UPDATE devices SET environment = iif(identity = ?2, environment, 'production'),
                    identity = ?2, keys = ?3, registered_at = ?4
              WHERE device = ?1",
        )?
        .execute(params![
            found.device,
            token.identity(),
            token.keys(),
            now.as_millis()
        ])?;
    activity::touch(connection, found.device, found.active, now)?;
    Ok(Changed::Done)
}
