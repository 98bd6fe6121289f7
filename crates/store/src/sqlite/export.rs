//! Devices in pages, to leave the store. In the order of their ids, which have an index for each instance: other instances
//! cost nothing, and what is there throughout is seen once, whatever is written in the meantime.

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceMetadata};
use domain::instance::InstanceId;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{columns, instances, interests};
use crate::StoreError;
use crate::transfer::{DevicesPage, ExportedDevice};

/// A page ends after this many subscriptions for each device asked for, so that devices with thousands do not fill memory.
const SUBSCRIPTIONS_PER_DEVICE: usize = 32;

/// The devices behind `after`, at most `limit` of them.
pub(super) fn devices(
    connection: &Connection,
    instance: InstanceId,
    after: Option<Uuid>,
    limit: usize,
) -> Result<DevicesPage, StoreError> {
    let instance = instances::known(connection, instance)?;
    let limit = limit.max(1);
    let subscriptions_max = limit.saturating_mul(SUBSCRIPTIONS_PER_DEVICE);
    let mut statement = connection.prepare_cached(
        "SELECT d.device, d.platform, d.identity, d.keys, d.bundle_id, d.environment, d.registered_at,
                d.id, d.metadata, u.id
           FROM devices d LEFT JOIN users u ON u.user_number = d.user_number
          WHERE d.instance = ?1 AND d.id > ?2 ORDER BY d.id LIMIT ?3",
    )?;
    // Nothing sorts before an empty blob, and the nil id sorts behind it.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let mut rows = statement.query(params![instance, after, columns::limit(limit)])?;
    let mut page = DevicesPage::default();
    let (mut read, mut subscriptions) = (0, 0);
    while let Some(row) = rows.next()? {
        read += 1;
        match device(connection, row) {
            Ok(device) => {
                subscriptions += device.interests.len();
                page.devices.push(device);
            }
            Err(StoreError::Corrupt(why)) => {
                tracing::error!(error = %why, "a device is passed over");
                page.unreadable += 1;
            }
            Err(error) => return Err(error),
        }
        if read == limit || subscriptions >= subscriptions_max {
            page.next = Some(Uuid::from_bytes(row.get(7)?));
            break;
        }
    }
    Ok(page)
}

fn device(connection: &Connection, row: &Row<'_>) -> Result<ExportedDevice, StoreError> {
    let recipient = columns::recipient(row, 0, |_| true)?
        .ok_or_else(|| StoreError::Corrupt("a device of no platform".into()))?;
    Ok(ExportedDevice {
        id: DeviceId::from_parts(recipient.token.platform(), Uuid::from_bytes(row.get(7)?)),
        interests: interests::of_device(connection, recipient.device.0)?,
        token: recipient.token,
        bundle_id: recipient.bundle_id,
        environment: recipient.environment,
        metadata: DeviceMetadata::from_stored(row.get(8)?),
        user: row
            .get::<_, Option<String>>(9)?
            .map(columns::user)
            .transpose()?,
        registered_at: Timestamp::from_millis(recipient.registered_at.as_millis()),
    })
}
