//! What is done with webhooks and their deliveries.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use domain::webhook::WebhookId;
use http::StatusCode;
use uuid::Uuid;

use super::delivery;
use super::one::{self, Named};
use super::{back, fields, refused};
use crate::admin::webhooks::{self, TypedChange, deliveries};
use crate::dashboard::error::PageError;
use crate::dashboard::posted::Posted;
use crate::dashboard::room::Room;
use crate::http::Api;

/// How long a page waits for what a receiver answers, and how often it looks: most answer at once, and others are not worth
/// waiting for; the page says then that it is on its way.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
const ANSWER_LOOK_EVERY: Duration = Duration::from_millis(50);

/// `POST …/change`
pub(in crate::dashboard) async fn change(
    State(api): State<Api>,
    Named(id): Named,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let events: Vec<String> = form.all("event").map(str::to_owned).collect();
    let changed = match fields::chosen(&events) {
        Ok(()) => {
            let typed = TypedChange {
                url: Some(form.get("url").unwrap_or_default().to_owned()),
                events: Some(events),
                custom_data: Some(form.get("custom_data").unwrap_or("{}").to_owned()),
            };
            webhooks::change(api.admin(), room.actor(), room.id(), id, typed).await
        }
        Err(error) => Err(error),
    };
    match changed {
        Ok(_) => Ok(back(&room, &format!("/{id}?done=changed"))),
        Err(error) => {
            let said = Some(refused(error)?);
            let mut response = one::page(&api, &room, id, None, said).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
    }
}

/// `POST …/enable`
pub(in crate::dashboard) async fn enable(
    State(api): State<Api>,
    Named(id): Named,
    Posted { room, .. }: Posted,
) -> Result<Response, PageError> {
    webhooks::enable(api.admin(), room.actor(), room.id(), id).await?;
    Ok(back(&room, &format!("/{id}?done=enabled")))
}

/// `POST …/disable`
pub(in crate::dashboard) async fn disable(
    State(api): State<Api>,
    Named(id): Named,
    Posted { room, .. }: Posted,
) -> Result<Response, PageError> {
    webhooks::disable(api.admin(), room.actor(), room.id(), id).await?;
    Ok(back(&room, &format!("/{id}?done=disabled")))
}

/// `POST …/remove`
pub(in crate::dashboard) async fn remove(
    State(api): State<Api>,
    Named(id): Named,
    Posted { room, .. }: Posted,
) -> Result<Response, PageError> {
    webhooks::remove(api.admin(), room.actor(), room.id(), id).await?;
    Ok(back(&room, "?done=removed"))
}

/// `POST …/test`
pub(in crate::dashboard) async fn test(
    State(api): State<Api>,
    Named(id): Named,
    Posted { room, .. }: Posted,
) -> Result<Response, PageError> {
    let sent = deliveries::test(api.admin(), room.actor(), room.id(), id).await?;
    answered(&api, &room, id, sent).await?;
    Ok(back(&room, &format!("/{id}/deliveries/{sent}?done=tested")))
}

/// `POST …/replay-failed`
pub(in crate::dashboard) async fn replay_failed(
    State(api): State<Api>,
    Named(id): Named,
    Posted { room, .. }: Posted,
) -> Result<Response, PageError> {
    let replayed = deliveries::replay_failed(api.admin(), room.actor(), room.id(), id).await?;
    let done = if replayed.more {
        "replayed-some"
    } else {
        "replayed"
    };
    Ok(back(&room, &format!("/{id}?done={done}")))
}

/// `POST …/deliveries/{delivery}/replay`
pub(in crate::dashboard) async fn replay(
    State(api): State<Api>,
    delivery::Named(webhook, id): delivery::Named,
    Posted { room, .. }: Posted,
) -> Result<Response, PageError> {
    deliveries::replay(api.admin(), room.actor(), room.id(), webhook, id).await?;
    answered(&api, &room, webhook, id).await?;
    let below = format!("/{webhook}/deliveries/{id}?done=replayed");
    Ok(back(&room, &below))
}

/// Waits a moment for what the receiver answers, so that the page that follows can say so.
async fn answered(api: &Api, room: &Room, webhook: WebhookId, id: Uuid) -> Result<(), PageError> {
    let look = async {
        loop {
            let told = deliveries::one(api.admin(), room.id(), webhook, id).await?;
            if told.attempts > 0 {
                return Ok(());
            }
            tokio::time::sleep(ANSWER_LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(ANSWER_WAIT, look)
        .await
        .unwrap_or(Ok(()))
}
