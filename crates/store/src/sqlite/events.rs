//! Events: what devices report of publishes, counted once per device, publish and kind.

use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::webhook::WebhookEvent;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::{activity, columns, devices, insights, webhooks};
use crate::StoreError;
use crate::insights::{ListedEvent, hour_of};
use crate::publishes::{Event, EventKind, Recorded};

pub(super) fn record(
    connection: &Connection,
    events: &[Event],
) -> Result<Vec<Recorded>, StoreError> {
    events
        .iter()
        .map(|event| record_one(connection, event))
        .collect()
}

fn record_one(connection: &Connection, event: &Event) -> Result<Recorded, StoreError> {
    let Some(device) = devices::find(connection, event.instance, event.device)? else {
        return Ok(Recorded::Unknown);
    };
    let publish: Option<i64> = connection
        .prepare_cached(
            "SELECT publish FROM publishes WHERE id = ?1 AND instance = ?2 AND has_events = 1",
        )?
        .query_row(
            params![event.publish.uuid().as_bytes(), device.instance],
            |row| row.get(0),
        )
        .optional()?;
    let Some(publish) = publish else {
        return Ok(Recorded::Unknown);
    };
    let inserted = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO events (publish, kind, device, at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            publish,
            event.kind.as_str(),
            device.device,
            event.at.as_millis()
        ])?;
    activity::touch(connection, device.device, device.active, event.received)?;
    if inserted == 0 {
        return Ok(Recorded::Repeated);
    }
    let sql = match event.kind {
        EventKind::Delivery => "UPDATE publishes SET delivered = delivered + 1 WHERE publish = ?1",
        EventKind::Open => "UPDATE publishes SET opened = opened + 1 WHERE publish = ?1",
    };
    connection.prepare_cached(sql)?.execute([publish])?;
    let hour = hour_of(event.received);
    let platform = event.device.platform();
    insights::count(connection, device.instance, hour, platform, event.kind)?;
    if let Some(user) = &event.user {
        let told = WebhookEvent::UserNotification {
            instance: event.instance,
            publish: event.publish,
            user: user.clone(),
            opened: event.kind == EventKind::Open,
        };
        webhooks::user_notified(connection, device.instance, &told, device.user)?;
    }
    Ok(Recorded::New)
}

pub(super) fn of_publish(
    connection: &Connection,
    instance: InstanceId,
    id: PublishId,
    kind: EventKind,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<Option<Vec<ListedEvent>>, StoreError> {
    let publish: Option<i64> = connection
        .prepare_cached(
            "SELECT p.publish FROM publishes p CROSS JOIN instances i ON i.instance = p.instance
              WHERE p.id = ?1 AND i.id = ?2 AND i.deleted = 0",
        )?
        .query_row(
            params![id.uuid().as_bytes(), instance.as_uuid().as_bytes()],
            |row| row.get(0),
        )
        .optional()?;
    let Some(publish) = publish else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT e.device, e.at, d.platform, d.id, u.id
           FROM events e LEFT JOIN devices d ON d.device = e.device LEFT JOIN users u ON u.user_number = d.user_number
          WHERE e.publish = ?1 AND e.kind = ?2 AND e.device > ?3 ORDER BY e.device LIMIT ?4",
    )?;
    let mut rows = statement.query(params![
        publish,
        kind.as_str(),
        after.0,
        columns::limit(limit)
    ])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let device = match row.get::<_, Option<String>>(2)? {
            Some(platform) => Some(DeviceId::from_parts(
                columns::platform(&platform)?,
                Uuid::from_bytes(row.get(3)?),
            )),
            None => None,
        };
        let user: Option<String> = row.get(4)?;
        events.push(ListedEvent {
            ordinal: DeviceOrdinal(row.get(0)?),
            device,
            user: user.map(columns::user).transpose()?,
            at: Timestamp::from_millis(row.get(1)?),
        });
    }
    Ok(Some(events))
}
