//! How many devices an audience has now: counted in pieces, so that no reader is held for long.

use domain::device::{DeviceOrdinal, Platform};
use domain::instance::InstanceId;
use domain::publish::Audience;
use rusqlite::{Connection, params};

use super::audience::{Merge, Window};
use super::{columns, instances, publishes};
use crate::StoreError;
use crate::lookup::AudienceCount;
use crate::publishes::ResolvedAudience;

/// How many devices a piece counts at most.
pub(super) const PIECE: usize = 10_000;

/// The audience in this store's numbers; `None` where there is no such instance.
pub(super) fn resolve(
    connection: &Connection,
    instance: InstanceId,
    audience: &Audience,
) -> Result<Option<ResolvedAudience>, StoreError> {
    match instances::number(connection, instance)? {
        Some(instance) => Ok(Some(publishes::resolve(connection, instance, audience)?.0)),
        None => Ok(None),
    }
}

/// Counts users' devices by user, in the index alone: a user has at most some hundreds.
pub(super) fn users(
    connection: &Connection,
    numbers: &[i64],
    platforms: &[Platform],
) -> Result<AudienceCount, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT count(*) FROM devices WHERE user_number = ?1 AND platform = ?2")?;
    let mut count = AudienceCount::default();
    for number in numbers {
        let mut has_any = false;
        for platform in platforms {
            let has: i64 =
                statement.query_row(params![number, platform.as_str()], |row| row.get(0))?;
            count.add(*platform, columns::count(has)?);
            has_any |= has > 0;
        }
        count.users += u64::from(has_any);
    }
    Ok(count)
}

/// Counts at most `most` of an audience's devices behind `after`. Up to which; `None` at the end.
pub(super) fn piece(
    connection: &Connection,
    audience: &ResolvedAudience,
    after: DeviceOrdinal,
    most: usize,
    platforms: &[Platform],
    count: &mut AudienceCount,
) -> Result<Option<DeviceOrdinal>, StoreError> {
    let window = Window {
        after,
        end: DeviceOrdinal(i64::MAX),
        limit: most,
    };
    let mut merge = Merge::new(connection, audience, window)?;
    let mut statement =
        connection.prepare_cached("SELECT platform FROM devices WHERE device = ?1")?;
    let mut last = after;
    for _ in 0..most {
        let Some(device) = merge.next()? else {
            return Ok(None);
        };
        last = DeviceOrdinal(device);
        let mut rows = statement.query([device])?;
        if let Some(row) = rows.next()? {
            let platform = columns::platform(row.get_ref(0)?.as_str()?)?;
            if platforms.contains(&platform) {
                count.add(platform, 1);
            }
        }
    }
    Ok(Some(last))
}
