//! Devices in pages, to leave the store. In the order of their ids, which have an index for each instance: other instances
//! cost nothing, and what is there throughout is seen once, whatever is written in the meantime.

use std::collections::HashMap;

use domain::device::{DeviceId, DeviceMetadata};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use tokio_postgres::Row;
use uuid::Uuid;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{columns, instances};
use crate::StoreError;
use crate::transfer::{DevicesPage, ExportedDevice};

/// A page ends after this many subscriptions for each device asked for, so that devices with thousands do not fill memory.
const SUBSCRIPTIONS_PER_DEVICE: usize = 32;
/// Of how many devices interests are read at once.
const DEVICES_AT_ONCE: usize = 64;

pub(super) const DEVICES: &str =
    "SELECT d.device, d.platform, d.identity, d.keys, d.bundle_id, d.environment, d.registered_at,
        d.id, d.metadata, u.id
    FROM devices d LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
    WHERE d.instance = $1 AND d.id > $2 ORDER BY d.id LIMIT $3";
pub(super) const FIRST_DEVICES: &str =
    "SELECT d.device, d.platform, d.identity, d.keys, d.bundle_id, d.environment, d.registered_at,
        d.id, d.metadata, u.id
    FROM devices d LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
    WHERE d.instance = $1 ORDER BY d.id LIMIT $2";

/// The devices behind `after`, at most `limit` of them.
pub(super) async fn devices(
    session: &Session,
    instance: InstanceId,
    after: Option<Uuid>,
    limit: usize,
) -> Result<DevicesPage, Fault> {
    let instance = instances::known(session, instance).await?;
    let limit = limit.max(1);
    let subscriptions_max = limit.saturating_mul(SUBSCRIPTIONS_PER_DEVICE);
    let most = columns::limit(limit);
    let rows = match after {
        Some(after) => session.rows(DEVICES, &[&instance, &after, &most]).await?,
        None => session.rows(FIRST_DEVICES, &[&instance, &most]).await?,
    };
    let mut page = DevicesPage::default();
    let (mut read, mut subscriptions) = (0, 0);
    for rows in rows.chunks(DEVICES_AT_ONCE) {
        let mut interests = interests(session, instance, rows).await?;
        for row in rows {
            read += 1;
            let number: i64 = row.at(0)?;
            match device(row, interests.remove(&number).unwrap_or(Ok(Vec::new()))) {
                Ok(device) => {
                    subscriptions += device.interests.len();
                    page.devices.push(device);
                }
                Err(Fault::Store(StoreError::Corrupt(why))) => {
                    tracing::error!(error = %why, "a device is passed over");
                    page.unreadable += 1;
                }
                Err(fault) => return Err(fault),
            }
            if read == limit || subscriptions >= subscriptions_max {
                page.next = Some(row.at(7)?);
                return Ok(page);
            }
        }
    }
    Ok(page)
}

type Interests = Result<Vec<InterestName>, Fault>;

/// The interests of some devices, ascending.
async fn interests(
    session: &Session,
    instance: i64,
    rows: &[Row],
) -> Result<HashMap<i64, Interests>, Fault> {
    let mut devices: Vec<i64> = Vec::with_capacity(rows.len());
    for row in rows {
        devices.push(row.at(0)?);
    }
    let rows = session
        .rows(
            "SELECT s.device, i.name FROM subscriptions s JOIN interests i ON i.instance = s.instance AND i.interest = s.interest
              WHERE s.instance = $1 AND s.device = ANY($2) ORDER BY i.name",
            &[&instance, &devices],
        )
        .await?;
    let mut found: HashMap<i64, Interests> = HashMap::with_capacity(devices.len());
    for row in &rows {
        let of = found.entry(row.at(0)?).or_insert_with(|| Ok(Vec::new()));
        match (columns::interest(row.at(1)?), &mut *of) {
            (Ok(name), Ok(names)) => names.push(name),
            (Err(fault), Ok(_)) => *of = Err(fault),
            (_, Err(_)) => {}
        }
    }
    Ok(found)
}

fn device(row: &Row, interests: Interests) -> Result<ExportedDevice, Fault> {
    let recipient =
        columns::recipient(row, 0, |_| true)?.ok_or_else(|| corrupt("a device of no platform"))?;
    Ok(ExportedDevice {
        id: DeviceId::from_parts(recipient.token.platform(), row.at(7)?),
        interests: interests?,
        token: recipient.token,
        bundle_id: recipient.bundle_id,
        environment: recipient.environment,
        metadata: DeviceMetadata::from_stored(row.at(8)?),
        user: row
            .at::<Option<String>>(9)?
            .map(columns::user)
            .transpose()?,
        registered_at: recipient.registered_at,
    })
}
