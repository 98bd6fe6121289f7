//! Writes an event down for each webhook that chose it, inside the transaction in which it happens.
//!
//! Without a webhook that wants it, that is one look into an index. What is more than an event at hand (the devices that go, a
//! publish with all it names) has a function that its cause calls.

use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::publish::{AudienceKind, PublishId};
use domain::user::UserId;
use domain::webhook::{EventType, Removal, Scheme, WebhookEvent, WebhookId};
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::super::columns;
use crate::StoreError;
use crate::webhooks::PublishWebhook;

/// What a request is to say.
enum Saying<'a> {
    Event(&'a WebhookEvent),
    Payload(EventType, &'a str),
    OfPublish(EventType, i64),
}

/// The webhooks of an instance that chose an event and take requests.
fn wanting(
    connection: &Connection,
    instance: i64,
    event: EventType,
) -> Result<Vec<i64>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT webhook FROM webhooks
              WHERE instance = ?1 AND events & ?2 <> 0 AND disabled_since IS NULL AND full_since IS NULL",
        )?
        .query_map([instance, event.bit()], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

fn queue(
    connection: &Connection,
    webhooks: &[i64],
    saying: &Saying<'_>,
) -> Result<Uuid, StoreError> {
    let made;
    let (event, payload, publish, user) = match saying {
        Saying::Event(event) => {
            made = event.payload();
            (event.event_type(), Some(made.as_str()), None, event.user())
        }
        Saying::Payload(event, payload) => (*event, Some(*payload), None, None),
        Saying::OfPublish(event, publish) => (*event, None, Some(*publish), None),
    };
    let event_id = Uuid::new_v4();
    let mut id = event_id;
    let mut statement = connection.prepare_cached(
        "INSERT INTO webhook_requests (webhook, id, event_id, event, payload, publish, user_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for webhook in webhooks {
        id = Uuid::new_v4();
        statement.execute(params![
            webhook,
            id.as_bytes(),
            event_id.as_bytes(),
            event.as_str(),
            payload,
            publish,
            user.map(UserId::as_str)
        ])?;
    }
    Ok(id)
}

/// Raises an event that its cause has at hand.
pub(in super::super) fn raise(
    connection: &Connection,
    instance: i64,
    event: &WebhookEvent,
) -> Result<(), StoreError> {
    let webhooks = wanting(connection, instance, event.event_type())?;
    if !webhooks.is_empty() {
        queue(connection, &webhooks, &Saying::Event(event))?;
    }
    Ok(())
}

pub(super) fn test(
    connection: &Connection,
    instance: InstanceId,
    id: WebhookId,
    payload: &str,
) -> Result<Option<Uuid>, StoreError> {
    let Some(number) = super::number(connection, instance, id)? else {
        return Ok(None);
    };
    let enabled = connection
        .prepare_cached("SELECT 1 FROM webhooks WHERE webhook = ?1 AND disabled_since IS NULL")?
        .exists([number])?;
    if !enabled {
        return Ok(None);
    }
    queue(
        connection,
        &[number],
        &Saying::Payload(EventType::Test, payload),
    )
    .map(Some)
}

/// To be called while the device is still there.
pub(in super::super) fn device_removed(
    connection: &Connection,
    device: i64,
    reason: Removal,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT w.webhook, i.id, d.id, d.platform, u.id
           FROM devices d CROSS JOIN webhooks w ON w.instance = d.instance
                CROSS JOIN instances i ON i.instance = d.instance LEFT JOIN users u ON u.user_number = d.user_number
          WHERE d.device = ?1 AND w.events & ?2 <> 0 AND w.disabled_since IS NULL AND w.full_since IS NULL",
    )?;
    let mut rows = statement.query([device, EventType::DeviceRemoved.bit()])?;
    let (mut webhooks, mut event) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        webhooks.push(row.get(0)?);
        if event.is_none() {
            let platform = columns::platform(row.get_ref(3)?.as_str()?)?;
            event = Some(WebhookEvent::DeviceRemoved {
                instance: InstanceId::from_uuid(Uuid::from_bytes(row.get(1)?)),
                device: DeviceId::from_parts(platform, Uuid::from_bytes(row.get(2)?)),
                user: row
                    .get::<_, Option<String>>(4)?
                    .map(columns::user)
                    .transpose()?,
                reason,
            });
        }
    }
    if let Some(event) = event {
        queue(connection, &webhooks, &Saying::Event(&event))?;
    }
    Ok(())
}

/// A device reported something of a publish that its user got. The report names the user; it is believed if the device is
/// bound to that one.
pub(in super::super) fn user_notified(
    connection: &Connection,
    number: i64,
    event: &WebhookEvent,
    bound: Option<i64>,
) -> Result<(), StoreError> {
    let (Some(user), Some(bound)) = (event.user(), bound) else {
        return Ok(());
    };
    let webhooks = wanting(connection, number, event.event_type())?;
    if webhooks.is_empty() {
        return Ok(());
    }
    let is_bound = connection
        .prepare_cached("SELECT 1 FROM users WHERE user_number = ?1 AND id = ?2")?
        .exists(params![bound, user.as_str()])?;
    if is_bound {
        queue(connection, &webhooks, &Saying::Event(event))?;
    }
    Ok(())
}

/// Keeps what a publish brought along.
pub(in super::super) fn keep_brought(
    connection: &Connection,
    publish: i64,
    brought: &PublishWebhook,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO publish_webhooks (publish, sealed) VALUES (?1, ?2)")?
        .execute(params![publish, brought.0.as_bytes()])?;
    Ok(())
}

/// Lets go of what a publish brought along: the body of its request has whom it named, and what it carried. Nothing more is told to
/// its URL then.
pub(in super::super) fn drop_brought(
    connection: &Connection,
    publish: i64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM publish_webhooks WHERE publish = ?1")?
        .execute([publish])?;
    Ok(())
}

/// To be called when a publish begins to be sent.
pub(in super::super) fn publish_begun(
    connection: &Connection,
    publish: i64,
) -> Result<(), StoreError> {
    tell_own_webhook(connection, publish, EventType::PublishStarted)
}

/// To be called when a publish that had begun has its end, or is called off.
pub(in super::super) fn publish_ended(
    connection: &Connection,
    publish: i64,
) -> Result<(), StoreError> {
    let (instance, named): (i64, String) = connection
        .prepare_cached("SELECT instance, named FROM publishes WHERE publish = ?1")?
        .query_row([publish], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let event = if named == AudienceKind::Users.as_str() {
        Some(EventType::PublishToUsersAttempt)
    } else if named == AudienceKind::Interests.as_str() {
        Some(EventType::PublishToInterestsAttempt)
    } else {
        None
    };
    if let Some(event) = event {
        let webhooks = wanting(connection, instance, event)?;
        if !webhooks.is_empty() {
            queue(connection, &webhooks, &Saying::OfPublish(event, publish))?;
        }
    }
    tell_own_webhook(connection, publish, EventType::PublishFinished)
}

/// Queues a request to the URL that a publish brought along, if it did.
fn tell_own_webhook(
    connection: &Connection,
    publish: i64,
    event: EventType,
) -> Result<(), StoreError> {
    let instance: Option<i64> = connection
        .prepare_cached(
            "SELECT p.instance FROM publish_webhooks b CROSS JOIN publishes p ON p.publish = b.publish WHERE b.publish = ?1",
        )?
        .query_row([publish], |row| row.get(0))
        .optional()?;
    let Some(instance) = instance else {
        return Ok(());
    };
    let queue_of_instance = own_queue(connection, instance)?;
    if let Some(webhook) = queue_of_instance {
        queue(connection, &[webhook], &Saying::OfPublish(event, publish))?;
    }
    Ok(())
}

/// The webhook of an instance that queues for its publishes, made with the first of them; `None` while it is full.
fn own_queue(connection: &Connection, instance: i64) -> Result<Option<i64>, StoreError> {
    let found: Option<(i64, bool)> = connection
        .prepare_cached(
            "SELECT webhook, full_since IS NULL FROM webhooks WHERE instance = ?1 AND secret IS NULL",
        )?
        .query_row([instance], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((webhook, has_room)) = found {
        return Ok(has_room.then_some(webhook));
    }
    let id = WebhookId::random();
    Ok(connection
        .prepare_cached(
            "INSERT INTO webhooks (instance, id, url, scheme, events, custom_data, created_at)
             VALUES (?1, ?2, '', ?3, 0, '{}', 0) RETURNING webhook",
        )?
        .query_row(
            params![instance, id.as_uuid().as_bytes(), Scheme::Beams.as_str()],
            |row| row.get(0),
        )
        .map(Some)?)
}

/// The id of a publish, as a column holds it.
pub(super) fn publish_id(bytes: [u8; 16]) -> PublishId {
    PublishId::from_uuid(Uuid::from_bytes(bytes))
}
