//! On which days devices were active. Read from an index that holds all that is counted.

use domain::clock::Timestamp;
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use rusqlite::{Connection, params};

use super::{columns, instances, people};
use crate::StoreError;
use crate::activity::{self, Activity, CountedDevices, Day, FoundDevices, Seen, WantedDevices};

/// How many devices one search looks at.
const LOOKED_MAX: usize = 20_000;

/// Writes down that a device is active on the day of `now`, which is news: a device is written for this at most once a day.
pub(super) fn touch(
    connection: &Connection,
    device: i64,
    known: Day,
    now: Timestamp,
) -> Result<(), StoreError> {
    let today = Day::of(now);
    if known >= today {
        return Ok(());
    }
    connection
        .prepare_cached(
            "UPDATE devices SET active_days = ((active_days << min(30, ?2 - active_on)) | 1) & 1073741823, active_on = ?2
              WHERE device = ?1 AND active_on < ?2",
        )?
        .execute(params![device, today.number()])?;
    Ok(())
}

/// What counting needs of devices behind `after`, ascending.
fn seen(
    connection: &Connection,
    instance: i64,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Vec<Seen>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT device, platform, active_on, active_days FROM devices
          WHERE instance = ?1 AND device > ?2 ORDER BY device LIMIT ?3",
    )?;
    let rows = statement.query_and_then(
        params![instance, after.0, columns::limit(limit)],
        |row| -> Result<Seen, StoreError> {
            Ok(Seen {
                device: row.get(0)?,
                platform: columns::platform(row.get_ref(1)?.as_str()?)?,
                activity: Activity {
                    last: row.get(2)?,
                    days: row.get(3)?,
                },
            })
        },
    )?;
    rows.collect()
}

pub(super) fn count(
    connection: &Connection,
    instance: InstanceId,
    today: Day,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<CountedDevices, StoreError> {
    let seen = match instances::number(connection, instance)? {
        Some(instance) => seen(connection, instance, after, limit)?,
        None => Vec::new(),
    };
    Ok(activity::counted(&seen, today, limit))
}

pub(super) fn find(
    connection: &Connection,
    instance: InstanceId,
    wanted: &WantedDevices,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<FoundDevices, StoreError> {
    let Some(instance) = instances::number(connection, instance)? else {
        return Ok(FoundDevices::default());
    };
    let seen = seen(connection, instance, after, LOOKED_MAX)?;
    let (numbers, next) = activity::found(&seen, wanted, limit, LOOKED_MAX);
    let mut statement = connection.prepare_cached(
        "SELECT d.device, d.id, d.platform, u.id, d.metadata, d.created_at, d.registered_at, d.bound_at,
                d.active_on, d.active_days
           FROM devices d LEFT JOIN users u ON u.user_number = d.user_number WHERE d.device = ?1",
    )?;
    let mut devices = Vec::with_capacity(numbers.len());
    for number in numbers {
        let mut rows = statement.query([number])?;
        if let Some(row) = rows.next()? {
            devices.push(people::read(row)?);
        }
    }
    Ok(FoundDevices { devices, next })
}
