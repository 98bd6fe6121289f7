//! Devices: registration, metadata, gateway tokens, deletion.

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceMetadata, GatewayToken, Registration};
use domain::instance::InstanceId;
use domain::webhook::{Removal, WebhookEvent};

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{activity, columns, interests, room, users, webhooks};
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

const FIND: &str = "SELECT d.device, d.instance, d.user_number, d.active_on
    FROM instances i JOIN devices d ON d.instance = i.instance
    WHERE i.id = $1 AND i.deleted_by IS NULL AND d.id = $2 AND d.platform = $3";
const FIND_TO_CHANGE: &str = "SELECT d.device, d.instance, d.user_number, d.active_on
    FROM instances i JOIN devices d ON d.instance = i.instance
    WHERE i.id = $1 AND i.deleted_by IS NULL AND d.id = $2 AND d.platform = $3 FOR UPDATE OF d";

async fn find_by(
    session: &Session,
    sql: &str,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Option<Found>, Fault> {
    let row = session
        .row(
            sql,
            &[instance.as_uuid(), id.uuid(), &id.platform().as_str()],
        )
        .await?;
    row.map(|row| {
        Ok(Found {
            device: row.at(0)?,
            instance: row.at(1)?,
            user: row.at(2)?,
            active: Day::from_number(row.at(3)?),
        })
    })
    .transpose()
}

/// Looks a device up by instance and id together.
pub(super) async fn find(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Option<Found>, Fault> {
    find_by(session, FIND, instance, id).await
}

/// The same, and keeps it as it is until the transaction ends, so that changes of one device follow each other.
pub(super) async fn find_to_change(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Option<Found>, Fault> {
    find_by(session, FIND_TO_CHANGE, instance, id).await
}

pub(super) async fn register(
    session: &Session,
    registration: &Registration,
    fresh: DeviceId,
    devices_max: Option<u64>,
    now: Timestamp,
) -> Result<Registered, Fault> {
    let token = &registration.token;
    let digest = columns::digest(token);
    let (instance, room) =
        room::enter(session, registration.instance, &digest, devices_max).await?;
    let mut replaced = 0;
    if token.keys().is_some() {
        let changed: Option<i64> = session
            .value(
                "SELECT device FROM devices WHERE instance = $1 AND digest = $2 AND keys IS DISTINCT FROM $3",
                &[&instance, &digest, &columns::keys(token)],
            )
            .await?;
        let removal = Some(Removal::TokenMoved);
        replaced = remove(session, instance, &Vec::from_iter(changed), removal).await?;
    }
    let row = session
        .row(
            "INSERT INTO devices (instance, id, platform, identity, keys, digest, bundle_id, metadata, created_at, registered_at,
                                  active_on, active_days)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, 1)
             ON CONFLICT (instance, digest) DO UPDATE SET bundle_id = excluded.bundle_id,
                metadata = excluded.metadata, registered_at = excluded.registered_at, given_again = 1,
                active_days = ((devices.active_days
                    << greatest(0, least(30, excluded.active_on - devices.active_on))::integer) | 1) & 1073741823,
                active_on = greatest(devices.active_on, excluded.active_on)
              WHERE devices.keys IS NOT DISTINCT FROM excluded.keys
             RETURNING device, id",
            &[
                &instance,
                fresh.uuid(),
                &token.platform().as_str(),
                &token.identity(),
                &columns::keys(token),
                &digest,
                &registration.bundle_id.as_ref().map(|id| id.as_str()),
                &registration.metadata.as_json(),
                &now.as_millis(),
                &Day::of(now).number(),
            ],
        )
        .await?;
    // Other keys have come between: then that device is the one that has to go.
    let row = row.ok_or(Fault::Overtaken)?;
    let id = DeviceId::from_parts(token.platform(), row.at(1)?);
    let new = id == fresh;
    let interests = if new {
        if replaced == 0 {
            room::prove(session, instance, room).await?;
        }
        let event = WebhookEvent::DeviceRegistered {
            instance: registration.instance,
            device: id,
        };
        webhooks::raise(session, instance, &event).await?;
        Vec::new()
    } else {
        interests::of_device(session, instance, row.at(0)?).await?
    };
    Ok(Registered { id, new, interests })
}

pub(super) async fn one(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Option<DeviceRecord>, Fault> {
    let row = session
        .row(
            "SELECT u.id, d.metadata, d.created_at, d.registered_at
               FROM instances i JOIN devices d ON d.instance = i.instance
                    LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
              WHERE i.id = $1 AND i.deleted_by IS NULL AND d.id = $2 AND d.platform = $3",
            &[instance.as_uuid(), id.uuid(), &id.platform().as_str()],
        )
        .await?;
    row.map(|row| {
        Ok(DeviceRecord {
            id,
            user: row
                .at::<Option<String>>(0)?
                .map(columns::user)
                .transpose()?,
            metadata: DeviceMetadata::from_stored(row.at(1)?),
            created_at: Timestamp::from_millis(row.at(2)?),
            registered_at: Timestamp::from_millis(row.at(3)?),
        })
    })
    .transpose()
}

pub(super) async fn delete(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
) -> Result<bool, Fault> {
    match find_to_change(session, instance, id).await? {
        Some(found) => {
            let removal = Some(Removal::Deleted);
            remove(session, found.instance, &[found.device], removal).await?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Removes devices by their numbers: their subscriptions and retries go with them, publishes that may thereby have lost their
/// last work are noted, and users and interests that nobody is left of are forgotten. Webhooks are told why, unless nobody is
/// to be `told`.
pub(super) async fn remove(
    session: &Session,
    instance: i64,
    devices: &[i64],
    told: Option<Removal>,
) -> Result<u64, Fault> {
    if devices.is_empty() {
        return Ok(0);
    }
    // In one order whoever does it. A retry that is being written holds the device, so from here on none comes.
    session
        .execute(
            "SELECT 1 FROM devices WHERE instance = $1 AND device = ANY($2) ORDER BY device FOR UPDATE",
            &[&instance, &devices],
        )
        .await?;
    if let Some(reason) = told {
        webhooks::devices_removed(session, instance, devices, reason).await?;
    }
    session
        .execute(
            "INSERT INTO emptied (instance, publish)
             SELECT DISTINCT instance, publish FROM retries WHERE instance = $1 AND device = ANY($2)",
            &[&instance, &devices],
        )
        .await?;
    let interests: Vec<i64> = session
        .values(
            "DELETE FROM subscriptions WHERE instance = $1 AND device = ANY($2) RETURNING interest",
            &[&instance, &devices],
        )
        .await?;
    let owners: Vec<Option<i64>> = session
        .values(
            "DELETE FROM devices WHERE instance = $1 AND device = ANY($2) RETURNING user_number",
            &[&instance, &devices],
        )
        .await?;
    let removed = owners.len() as u64;
    users::forget(session, instance, owners.into_iter().flatten().collect()).await?;
    interests::forget(session, instance, interests).await?;
    Ok(removed)
}

pub(super) async fn set_metadata(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
    metadata: &DeviceMetadata,
) -> Result<Changed, Fault> {
    let Some(found) = find(session, instance, id).await? else {
        return Ok(Changed::UnknownDevice);
    };
    let changed = session
        .execute(
            "UPDATE devices SET metadata = $3 WHERE instance = $1 AND device = $2",
            &[&found.instance, &found.device, &metadata.as_json()],
        )
        .await?;
    Ok(match changed {
        0 => Changed::UnknownDevice,
        _ => Changed::Done,
    })
}

pub(super) async fn set_gateway_token(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
    token: &GatewayToken,
    now: Timestamp,
) -> Result<Changed, Fault> {
    let Some(found) = find_to_change(session, instance, id).await? else {
        return Ok(Changed::UnknownDevice);
    };
    if token.platform() != id.platform() {
        return Ok(Changed::UnknownDevice);
    }
    let digest = columns::digest(token);
    // Whether it has a user or not: one may be about to be bound to it.
    let taken_over: Option<i64> = session
        .value(
            "SELECT device FROM devices
              WHERE instance = $1 AND device = $2 AND given_again <> 0 AND digest <> $3",
            &[&found.instance, &found.device, &digest],
        )
        .await?;
    if let Some(device) = taken_over {
        let removal = Some(Removal::Deleted);
        remove(session, found.instance, &[device], removal).await?;
        return Ok(Changed::UnknownDevice);
    }
    let other: Option<i64> = session
        .value(
            "SELECT device FROM devices WHERE instance = $1 AND digest = $2 AND device <> $3",
            &[&found.instance, &digest, &found.device],
        )
        .await?;
    if let Some(other) = other {
        let removal = Some(Removal::TokenMoved);
        remove(session, found.instance, &[other], removal).await?;
    }
    // Nothing is known of which of Apple's gateways takes a token that was never tried.
    session
        .execute(
            "UPDATE devices SET environment = CASE WHEN digest = $5 THEN environment ELSE 'production' END,
                    identity = $3, keys = $4, digest = $5, registered_at = $6
              WHERE instance = $1 AND device = $2",
            &[
                &found.instance,
                &found.device,
                &token.identity(),
                &columns::keys(token),
                &digest,
                &now.as_millis(),
            ],
        )
        .await?;
    activity::touch(session, found.instance, found.device, found.active, now).await?;
    Ok(Changed::Done)
}
