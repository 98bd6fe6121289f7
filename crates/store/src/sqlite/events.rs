//! Events: what devices report of publishes, counted once per device, publish and kind.

use domain::webhook::WebhookEvent;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{devices, insights, webhooks};
use crate::StoreError;
use crate::insights::hour_of;
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
        .prepare_cached("SELECT publish FROM publishes WHERE id = ?1 AND instance = ?2")?
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
