//! Devices and users, listed for those who manage. Read in the order of an index, so a page costs what it has.

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceMetadata, DeviceOrdinal, Recipient};
use domain::instance::InstanceId;
use domain::user::UserId;
use tokio_postgres::Row;

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{columns, devices, instances};
use crate::activity::Activity;
use crate::administration::{DeviceFilter, ListedDevice, ListedUser};
use crate::devices::DeviceRecord;

/// Behind every other character.
const LAST: char = char::MAX;

/// Reads `device, id, platform, user, metadata, created_at, registered_at, bound_at, active_on, active_days`.
pub(super) fn read(row: &Row) -> Result<ListedDevice, Fault> {
    let platform = columns::platform(row.at(2)?)?;
    let user: Option<String> = row.at(3)?;
    let bound_at: Option<i64> = row.at(7)?;
    Ok(ListedDevice {
        ordinal: DeviceOrdinal(row.at(0)?),
        device: DeviceRecord {
            id: DeviceId::from_parts(platform, row.at(1)?),
            user: user.map(columns::user).transpose()?,
            metadata: DeviceMetadata::from_stored(row.at(4)?),
            created_at: Timestamp::from_millis(row.at(5)?),
            registered_at: Timestamp::from_millis(row.at(6)?),
        },
        bound_at: bound_at.map(Timestamp::from_millis),
        active: Activity {
            last: row.at(8)?,
            days: row.at(9)?,
        },
    })
}

pub(super) async fn devices(
    session: &Session,
    instance: InstanceId,
    filter: &DeviceFilter,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Vec<ListedDevice>, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(Vec::new());
    };
    let (sql, name) = match filter {
        DeviceFilter::All => (
            "SELECT d.device, d.id, d.platform, u.id, d.metadata, d.created_at, d.registered_at, d.bound_at,
                    d.active_on, d.active_days
               FROM devices d LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
              WHERE d.instance = $1 AND d.device > $2 AND $4::text IS NULL ORDER BY d.device LIMIT $3",
            None,
        ),
        DeviceFilter::User(user) => (
            "SELECT d.device, d.id, d.platform, u.id, d.metadata, d.created_at, d.registered_at, d.bound_at,
                    d.active_on, d.active_days
               FROM users u JOIN devices d ON d.instance = u.instance AND d.user_number = u.user_number
              WHERE u.instance = $1 AND u.id = $4 AND d.device > $2 ORDER BY d.device LIMIT $3",
            Some(user.as_str()),
        ),
        DeviceFilter::Interest(interest) => (
            "SELECT d.device, d.id, d.platform, u.id, d.metadata, d.created_at, d.registered_at, d.bound_at,
                    d.active_on, d.active_days
               FROM interests i JOIN subscriptions s ON s.instance = i.instance AND s.interest = i.interest
                    JOIN devices d ON d.instance = s.instance AND d.device = s.device
                    LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
              WHERE i.instance = $1 AND i.name = $4 AND s.device > $2 ORDER BY s.device LIMIT $3",
            Some(interest.as_str()),
        ),
    };
    let rows = session
        .rows(sql, &[&instance, &after.0, &columns::limit(limit), &name])
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn recipient(
    session: &Session,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Option<Recipient>, Fault> {
    let Some(found) = devices::find(session, instance, id).await? else {
        return Ok(None);
    };
    let row = session
        .row(
            "SELECT device, platform, identity, keys, bundle_id, environment, registered_at
               FROM devices WHERE instance = $1 AND device = $2",
            &[&found.instance, &found.device],
        )
        .await?;
    match row {
        Some(row) => columns::recipient(&row, 0, |_| true),
        None => Ok(None),
    }
}

pub(super) async fn users(
    session: &Session,
    instance: InstanceId,
    prefix: &str,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<ListedUser>, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(Vec::new());
    };
    // Only what begins with the prefix lies between it and the prefix with the last character behind it.
    let after = after.map_or("", UserId::as_str);
    let end = format!("{prefix}{LAST}");
    let rows = session
        .rows(
            "SELECT u.id, count(*), min(d.bound_at), max(d.registered_at)
               FROM (SELECT instance, user_number, id FROM users
                      WHERE instance = $1 AND id >= $2 AND id < $3 AND id > $4 ORDER BY id LIMIT $5) u
                    JOIN devices d ON d.instance = u.instance AND d.user_number = u.user_number
              GROUP BY u.user_number, u.id ORDER BY u.id",
            &[&instance, &prefix, &end, &after, &columns::limit(limit)],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let bound_at: Option<i64> = row.at(2)?;
        found.push(ListedUser {
            user: columns::user(row.at(0)?)?,
            devices: columns::count(row.at(1)?)?,
            bound_at: bound_at.map(Timestamp::from_millis),
            registered_at: Timestamp::from_millis(row.at(3)?),
        });
    }
    Ok(found)
}
