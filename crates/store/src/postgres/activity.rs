//! On which days devices were active. Read in the order of the key.

use domain::clock::Timestamp;
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{columns, instances, people};
use crate::activity::{self, Activity, CountedDevices, Day, FoundDevices, Seen, WantedDevices};

/// How many devices one search looks at.
const LOOKED_MAX: usize = 20_000;

/// Writes down that a device, which the caller holds, is active on the day of `now`, which is news: a device is written for this
/// at most once a day.
pub(super) async fn touch(
    session: &Session,
    instance: i64,
    device: i64,
    known: Day,
    now: Timestamp,
) -> Result<(), Fault> {
    let today = Day::of(now);
    if known >= today {
        return Ok(());
    }
    session
        .execute(
            "UPDATE devices SET active_days = ((active_days << least(30, $3 - active_on)::integer) | 1) & 1073741823,
                    active_on = $3
              WHERE instance = $1 AND device = $2 AND active_on < $3",
            &[&instance, &device, &today.number()],
        )
        .await?;
    Ok(())
}

/// The same for devices that the caller does not hold. One that somebody else works on is left out: it is being active, or goes,
/// and nobody waits for anybody.
pub(super) async fn touch_free(
    session: &Session,
    instance: i64,
    devices: &[i64],
    today: i64,
) -> Result<(), Fault> {
    session
        .execute(
            "UPDATE devices SET active_days = ((active_days << least(30, $3 - active_on)::integer) | 1) & 1073741823,
                    active_on = $3
              WHERE instance = $1 AND device IN (SELECT device FROM devices
                    WHERE instance = $1 AND device = ANY($2) AND active_on < $3 FOR NO KEY UPDATE SKIP LOCKED)",
            &[&instance, &devices, &today],
        )
        .await?;
    Ok(())
}

/// What counting needs of devices behind `after`, ascending.
async fn seen(
    session: &Session,
    instance: i64,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Vec<Seen>, Fault> {
    let rows = session
        .rows(
            "SELECT device, platform, active_on, active_days FROM devices
              WHERE instance = $1 AND device > $2 ORDER BY device LIMIT $3",
            &[&instance, &after.0, &columns::limit(limit)],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Seen {
            device: row.at(0)?,
            platform: columns::platform(row.at(1)?)?,
            activity: Activity {
                last: row.at(2)?,
                days: row.at(3)?,
            },
        })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn count(
    session: &Session,
    instance: InstanceId,
    today: Day,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<CountedDevices, Fault> {
    let seen = match instances::number(session, instance).await? {
        Some(instance) => seen(session, instance, after, limit).await?,
        None => Vec::new(),
    };
    Ok(activity::counted(&seen, today, limit))
}

pub(super) async fn find(
    session: &Session,
    instance: InstanceId,
    wanted: &WantedDevices,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<FoundDevices, Fault> {
    let Some(instance) = instances::number(session, instance).await? else {
        return Ok(FoundDevices::default());
    };
    let seen = seen(session, instance, after, LOOKED_MAX).await?;
    let (numbers, next) = activity::found(&seen, wanted, limit, LOOKED_MAX);
    let rows = session
        .rows(
            "SELECT d.device, d.id, d.platform, u.id, d.metadata, d.created_at, d.registered_at, d.bound_at,
                d.active_on, d.active_days
               FROM devices d LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
              WHERE d.instance = $1 AND d.device = ANY($2) ORDER BY d.device",
            &[&instance, &numbers],
        )
        .await?;
    let devices = rows.iter().map(people::read).collect::<Result<_, _>>()?;
    Ok(FoundDevices { devices, next })
}
