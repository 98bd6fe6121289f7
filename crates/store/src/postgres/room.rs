//! Whether an instance that may have so many devices has room for another, exactly, whatever registers at the same time on whichever
//! node.
//!
//! Far from the limit registrations hold a lock together and so do not wait for each other: each leaves room for all that may be under
//! way beside it, which are no more than the server has connections. Near it each holds the lock alone, and so sees all that
//! came before. An instance that is full refuses at a glance. Nothing is looked at or locked where there is no limit.
//!
//! Invariant: the lock is taken before anything is written, and whoever has it waits for nobody who waits for it.

use domain::instance::InstanceId;

use super::fault::Fault;
use super::session::{Columns as _, Session};
use super::{columns, instances};
use crate::StoreError;

/// How a registration makes sure that there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is no limit.
    Unlimited,
    /// The gateway token has a device already.
    Known,
    /// There may be so many devices, its own among them, as far as it can see, for it to be sure; it may be alone and then
    /// sees all.
    AtMost { devices: i64, alone: bool },
}

const LOOK: &str =
    "SELECT i.instance, EXISTS (SELECT 1 FROM devices WHERE instance = i.instance AND digest = $2),
        (SELECT coalesce(sum(count), 0)::bigint FROM device_counts WHERE instance = i.instance),
        current_setting('max_connections')::bigint
    FROM instances i WHERE i.id = $1 AND i.deleted_by IS NULL";
const TOGETHER: &str = "SELECT pg_advisory_xact_lock_shared(hashtextextended('heliostat devices ' || current_schema(), $1))";
const ALONE: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('heliostat devices ' || current_schema(), $1))";

/// Finds the instance, and sees whether a registration may come in. [`prove`] is to follow once its device is written, if that is a
/// new one in nobody's place.
pub(super) async fn enter(
    session: &Session,
    instance: InstanceId,
    digest: &[u8],
    devices_max: Option<u64>,
) -> Result<(i64, Room), Fault> {
    let Some(most) = devices_max else {
        return Ok((instances::known(session, instance).await?, Room::Unlimited));
    };
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let row = session.row(LOOK, &[instance.as_uuid(), &digest]).await?;
    let row = row.ok_or(StoreError::UnknownInstance)?;
    let (instance, devices, beside): (i64, i64, i64) = (row.at(0)?, row.at(2)?, row.at(3)?);
    if row.at(1)? {
        return Ok((instance, Room::Known));
    }
    if devices >= most {
        return Err(StoreError::InstanceFull.into());
    }
    // Once more as many, so that the second look, under the lock, finds what the first one did.
    let alone = devices.saturating_add(beside.saturating_mul(2)) > most;
    let (lock, devices) = if alone {
        (ALONE, most)
    } else {
        (TOGETHER, most - beside)
    };
    session.execute(lock, &[&instance]).await?;
    Ok((instance, Room::AtMost { devices, alone }))
}

/// Makes sure that the device that was just written has room.
pub(super) async fn prove(session: &Session, instance: i64, room: Room) -> Result<(), Fault> {
    match room {
        Room::Unlimited => Ok(()),
        // It was there a moment ago.
        Room::Known => Err(Fault::Overtaken),
        Room::AtMost { devices, alone } => {
            if count(session, instance).await? <= devices {
                Ok(())
            } else if alone {
                Err(StoreError::InstanceFull.into())
            } else {
                Err(Fault::Overtaken)
            }
        }
    }
}

async fn count(session: &Session, instance: i64) -> Result<i64, Fault> {
    session
        .known(
            "SELECT coalesce(sum(count), 0)::bigint FROM device_counts WHERE instance = $1",
            &[&instance],
        )
        .await
}

/// How many devices an instance has.
pub(super) async fn device_count(session: &Session, instance: InstanceId) -> Result<u64, Fault> {
    match instances::number(session, instance).await? {
        Some(instance) => columns::count(count(session, instance).await?),
        None => Ok(0),
    }
}
