//! Events: what devices report of publishes, counted once per device, publish and kind.

use std::collections::HashMap;

use domain::webhook::WebhookEvent;

use super::fault::Fault;
use super::insights::{self, Counts};
use super::session::{Columns as _, Session};
use super::{devices, webhooks};
use crate::insights::hour_of;
use crate::publishes::{Event, EventKind, Recorded};

/// In the order of the publishes' ids, so that two who count for the same publishes do not wait for each other in a circle.
pub(super) async fn record(session: &Session, events: &[Event]) -> Result<Vec<Recorded>, Fault> {
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_by_key(|index| *events[*index].publish.uuid());
    let mut recorded = vec![Recorded::Unknown; events.len()];
    let mut publishes = HashMap::new();
    let mut counts = Counts::new();
    for index in order {
        recorded[index] = record_one(session, &events[index], &mut publishes, &mut counts).await?;
    }
    insights::count(session, &counts).await?;
    Ok(recorded)
}

async fn record_one(
    session: &Session,
    event: &Event,
    publishes: &mut HashMap<uuid::Uuid, Option<(i64, i64)>>,
    counts: &mut Counts,
) -> Result<Recorded, Fault> {
    let Some(device) = devices::find(session, event.instance, event.device).await? else {
        return Ok(Recorded::Unknown);
    };
    let id = *event.publish.uuid();
    let publish = match publishes.get(&id) {
        Some(known) => *known,
        None => {
            // Held, so that it is not removed while something is written down of it.
            let row = session
                .row(
                    "SELECT publish, instance FROM publishes WHERE id = $1 FOR NO KEY UPDATE",
                    &[&id],
                )
                .await?;
            let found = row
                .map(|row| Ok::<_, Fault>((row.at(0)?, row.at(1)?)))
                .transpose()?;
            publishes.insert(id, found);
            found
        }
    };
    let Some((publish, _)) = publish.filter(|(_, instance)| *instance == device.instance) else {
        return Ok(Recorded::Unknown);
    };
    let inserted = session
        .execute(
            "INSERT INTO events (instance, publish, kind, device, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            &[
                &device.instance,
                &publish,
                &event.kind.as_str(),
                &device.device,
                &event.at.as_millis(),
            ],
        )
        .await?;
    if inserted == 0 {
        return Ok(Recorded::Repeated);
    }
    let sql = match event.kind {
        EventKind::Delivery => {
            "UPDATE publishes SET delivered = delivered + 1 WHERE instance = $1 AND publish = $2"
        }
        EventKind::Open => {
            "UPDATE publishes SET opened = opened + 1 WHERE instance = $1 AND publish = $2"
        }
    };
    session.execute(sql, &[&device.instance, &publish]).await?;
    let hour = hour_of(event.received);
    let key = insights::key(device.instance, hour, event.device.platform(), event.kind);
    *counts.entry(key).or_default() += 1;
    if let Some(user) = &event.user {
        let told = WebhookEvent::UserNotification {
            instance: event.instance,
            publish: event.publish,
            user: user.clone(),
            opened: event.kind == EventKind::Open,
        };
        webhooks::user_notified(session, device.instance, &told, device.user).await?;
    }
    Ok(Recorded::New)
}
