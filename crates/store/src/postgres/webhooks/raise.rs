//! Writes an event down for each webhook that chose it, inside the transaction in which it happens.
//!
//! Without a webhook that wants it, that is one look into an index. What is more than an event at hand (the devices that go, a
//! publish with all it names) has a function that its cause calls.

use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::publish::AudienceKind;
use domain::user::UserId;
use domain::webhook::{EventType, Removal, Scheme, WebhookEvent, WebhookId};
use uuid::Uuid;

use super::super::columns;
use super::super::fault::Fault;
use super::super::session::{Columns as _, Session};
use crate::webhooks::PublishWebhook;

/// Those of some publishes of which a webhook may be told: their instance has one, or they brought one along.
const HEARD: &str = "SELECT n.instance, n.publish
    FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS n(instance, publish, place)
    WHERE coalesce((SELECT 1 FROM webhooks w WHERE w.instance = n.instance LIMIT 1),
        (SELECT 1 FROM publish_webhooks b WHERE b.instance = n.instance AND b.publish = n.publish)) IS NOT NULL
    ORDER BY n.place";

/// What a request is to say.
enum Saying<'a> {
    Event(&'a WebhookEvent),
    Payload(EventType, &'a str),
    OfPublish(EventType, i64),
}

/// The webhooks of an instance that chose an event and take requests. They stay until the transaction ends.
async fn wanting(session: &Session, instance: i64, event: EventType) -> Result<Vec<i64>, Fault> {
    session
        .values(
            "SELECT webhook FROM webhooks
              WHERE instance = $1 AND events & $2 <> 0 AND disabled_since IS NULL AND full_since IS NULL
              ORDER BY webhook FOR KEY SHARE",
            &[&instance, &event.bit()],
        )
        .await
}

async fn queue(session: &Session, webhooks: &[i64], saying: Saying<'_>) -> Result<Uuid, Fault> {
    let made;
    let (event, payload, publish, user) = match saying {
        Saying::Event(event) => {
            made = event.payload();
            (event.event_type(), Some(made.as_str()), None, event.user())
        }
        Saying::Payload(event, payload) => (event, Some(payload), None, None),
        Saying::OfPublish(event, publish) => (event, None, Some(publish), None),
    };
    let event_id = Uuid::new_v4();
    let ids: Vec<Uuid> = webhooks.iter().map(|_| Uuid::new_v4()).collect();
    session
        .execute(
            "INSERT INTO webhook_requests (webhook, id, event_id, event, payload, publish, user_id)
             SELECT n.webhook, n.id, $3, $4, $5, $6, $7 FROM unnest($1::bigint[], $2::uuid[]) AS n(webhook, id)",
            &[
                &webhooks,
                &ids,
                &event_id,
                &event.as_str(),
                &payload,
                &publish,
                &user.map(UserId::as_str),
            ],
        )
        .await?;
    Ok(ids.last().copied().unwrap_or(event_id))
}

/// Raises an event that its cause has at hand.
pub(in super::super) async fn raise(
    session: &Session,
    instance: i64,
    event: &WebhookEvent,
) -> Result<(), Fault> {
    let webhooks = wanting(session, instance, event.event_type()).await?;
    if !webhooks.is_empty() {
        queue(session, &webhooks, Saying::Event(event)).await?;
    }
    Ok(())
}

pub(super) async fn test(
    session: &Session,
    instance: InstanceId,
    id: WebhookId,
    payload: &str,
) -> Result<Option<Uuid>, Fault> {
    let Some(number) = super::number(session, instance, id).await? else {
        return Ok(None);
    };
    let enabled: Vec<i64> = session
        .values(
            "SELECT webhook FROM webhooks WHERE webhook = $1 AND disabled_since IS NULL FOR KEY SHARE",
            &[&number],
        )
        .await?;
    if enabled.is_empty() {
        return Ok(None);
    }
    let saying = Saying::Payload(EventType::Test, payload);
    queue(session, &enabled, saying).await.map(Some)
}

/// To be called while the devices are still there, and held.
pub(in super::super) async fn devices_removed(
    session: &Session,
    number: i64,
    devices: &[i64],
    reason: Removal,
) -> Result<(), Fault> {
    let webhooks = wanting(session, number, EventType::DeviceRemoved).await?;
    if webhooks.is_empty() {
        return Ok(());
    }
    let rows = session
        .rows(
            "SELECT i.id, d.id, d.platform, u.id
               FROM devices d JOIN instances i ON i.instance = d.instance
                    LEFT JOIN users u ON u.instance = d.instance AND u.user_number = d.user_number
              WHERE d.instance = $1 AND d.device = ANY($2) ORDER BY d.device",
            &[&number, &devices],
        )
        .await?;
    for row in &rows {
        let platform = columns::platform(row.at(2)?)?;
        let user: Option<String> = row.at(3)?;
        let event = WebhookEvent::DeviceRemoved {
            instance: InstanceId::from_uuid(row.at(0)?),
            device: DeviceId::from_parts(platform, row.at(1)?),
            user: user.map(columns::user).transpose()?,
            reason,
        };
        queue(session, &webhooks, Saying::Event(&event)).await?;
    }
    Ok(())
}

/// A device reported something of a publish that its user got. The report names the user; it is believed if the device is
/// bound to that one.
pub(in super::super) async fn user_notified(
    session: &Session,
    number: i64,
    event: &WebhookEvent,
    bound: Option<i64>,
) -> Result<(), Fault> {
    let (Some(user), Some(bound)) = (event.user(), bound) else {
        return Ok(());
    };
    let webhooks = wanting(session, number, event.event_type()).await?;
    if webhooks.is_empty() {
        return Ok(());
    }
    let is_bound = session
        .row(
            "SELECT 1 FROM users WHERE instance = $1 AND user_number = $2 AND id = $3",
            &[&number, &bound, &user.as_str()],
        )
        .await?;
    if is_bound.is_some() {
        queue(session, &webhooks, Saying::Event(event)).await?;
    }
    Ok(())
}

/// Keeps what a publish brought along.
pub(in super::super) async fn keep_brought(
    session: &Session,
    instance: i64,
    publish: i64,
    brought: &PublishWebhook,
) -> Result<(), Fault> {
    session
        .execute(
            "INSERT INTO publish_webhooks (instance, publish, sealed) VALUES ($1, $2, $3)",
            &[&instance, &publish, &brought.0.as_bytes()],
        )
        .await?;
    Ok(())
}

/// To be called when a publish begins to be sent.
pub(in super::super) async fn publish_begun(
    session: &Session,
    instance: i64,
    publish: i64,
) -> Result<(), Fault> {
    tell_own_webhook(session, instance, publish, EventType::PublishStarted).await
}

/// To be called when a publish that had begun has its end, or is called off.
pub(in super::super) async fn publish_ended(
    session: &Session,
    instance: i64,
    publish: i64,
) -> Result<(), Fault> {
    let named: String = session
        .known(
            "SELECT named FROM publishes WHERE instance = $1 AND publish = $2",
            &[&instance, &publish],
        )
        .await?;
    let event = if named == AudienceKind::Users.as_str() {
        Some(EventType::PublishToUsersAttempt)
    } else if named == AudienceKind::Interests.as_str() {
        Some(EventType::PublishToInterestsAttempt)
    } else {
        None
    };
    if let Some(event) = event {
        let webhooks = wanting(session, instance, event).await?;
        if !webhooks.is_empty() {
            queue(session, &webhooks, Saying::OfPublish(event, publish)).await?;
        }
    }
    tell_own_webhook(session, instance, publish, EventType::PublishFinished).await
}

/// The same for publishes, by instance and number, that end together: one look for all of them, as a rule.
pub(in super::super) async fn publishes_ended(
    session: &Session,
    mut ended: Vec<(i64, i64)>,
) -> Result<(), Fault> {
    if ended.is_empty() {
        return Ok(());
    }
    // In one order whoever does it.
    ended.sort_unstable();
    let (instances, publishes): (Vec<i64>, Vec<i64>) = ended.into_iter().unzip();
    let heard = session.rows(HEARD, &[&instances, &publishes]).await?;
    for row in &heard {
        publish_ended(session, row.at(0)?, row.at(1)?).await?;
    }
    Ok(())
}

/// Queues a request to the URL that a publish brought along, if it did.
async fn tell_own_webhook(
    session: &Session,
    instance: i64,
    publish: i64,
    event: EventType,
) -> Result<(), Fault> {
    let brought = session
        .row(
            "SELECT 1 FROM publish_webhooks WHERE instance = $1 AND publish = $2",
            &[&instance, &publish],
        )
        .await?;
    if brought.is_none() {
        return Ok(());
    }
    if let Some(webhook) = own_queue(session, instance).await? {
        queue(session, &[webhook], Saying::OfPublish(event, publish)).await?;
    }
    Ok(())
}

/// The webhook of an instance that queues for its publishes, made with the first of them; `None` while it is full.
async fn own_queue(session: &Session, instance: i64) -> Result<Option<i64>, Fault> {
    const FOUND: &str = "SELECT webhook, full_since IS NULL FROM webhooks
        WHERE instance = $1 AND secret IS NULL FOR KEY SHARE";
    let mut row = session.row(FOUND, &[&instance]).await?;
    if row.is_none() {
        let id = WebhookId::random();
        session
            .execute(
                "INSERT INTO webhooks (instance, id, url, scheme, events, custom_data, created_at)
                 VALUES ($1, $2, '', $3, 0, '{}', 0) ON CONFLICT (instance) WHERE secret IS NULL DO NOTHING",
                &[&instance, id.as_uuid(), &Scheme::Beams.as_str()],
            )
            .await?;
        row = session.row(FOUND, &[&instance]).await?;
    }
    let Some(row) = row else {
        return Ok(None);
    };
    let (webhook, has_room): (i64, bool) = (row.at(0)?, row.at(1)?);
    Ok(has_room.then_some(webhook))
}
