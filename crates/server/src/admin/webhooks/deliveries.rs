//! What a webhook was told, and telling it again: the requests to it, tried out, listed, shown, replayed.

use domain::instance::InstanceId;
use domain::webhook::{WebhookEvent, WebhookId};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use store::webhooks::{RequestNumber, RequestReport, RequestState, Try};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{UNKNOWN, raw};
use crate::admin::Admin;
use crate::admin::actor::{Actor, Deed};
use crate::admin::error::AdminError;

/// How many failed requests one call replays at most.
pub const REPLAYED_MAX: usize = 1000;
/// How many of them are written at once.
const REPLAYED_AT_ONCE: usize = 32;

/// A request to a webhook.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Its UUID, as `Webhook-Request-ID-UUID` has it: the same at every attempt.
    pub id: String,
    /// The event's UUID, as `event_id` has it.
    pub event_id: String,
    /// What it tells of.
    pub event: &'static str,
    /// `waiting`, `delivered` or `failed`.
    pub state: &'static str,
    /// When it was first sent.
    #[schema(format = "date-time")]
    pub created_at: Option<String>,
    /// How many attempts there were, since it was last replayed.
    pub attempts: u32,
    /// When it is tried next, while it waits and was tried before.
    #[schema(format = "date-time")]
    pub due_at: Option<String>,
    /// When it was tried last.
    #[schema(format = "date-time")]
    pub tried_at: Option<String>,
    /// The status that the receiver answered last.
    pub status: Option<u16>,
    /// Why the last attempt failed, in a word.
    pub error: Option<String>,
    /// What stands under `payload`, once that is made.
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Box<RawValue>>,
    /// The attempts at it, the oldest first, over all replays; of very many, the last.
    pub tries: Vec<Attempt>,
}

/// An attempt at a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
pub struct Attempt {
    /// When.
    #[schema(format = "date-time")]
    pub at: String,
    /// The status that the receiver answered.
    pub status: Option<u16>,
    /// Why it failed, in a word; null if it did not.
    pub error: Option<String>,
}

/// Some requests to a webhook, the newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryPage {
    /// The requests.
    pub deliveries: Vec<Delivery>,
    /// Where the list goes on; absent at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What was replayed of what had failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Replayed {
    /// How many requests are sent once more.
    pub replayed: u64,
    /// Whether there are more, for another call.
    pub more: bool,
}

impl Delivery {
    /// What may be shown of a request.
    pub fn of(report: &RequestReport) -> Self {
        let time = |at: Option<domain::clock::Timestamp>| at.map(|at| at.to_string());
        let due_at = report.due_at.filter(|at| at.as_millis() > 0);
        Self {
            id: report.id.to_string(),
            event_id: report.event_id.to_string(),
            event: report.event.as_str(),
            state: report.state.as_str(),
            created_at: time(report.created_at),
            attempts: report.attempts,
            due_at: time(due_at),
            tried_at: time(report.tried_at),
            status: report.status,
            error: report.error.clone(),
            payload: report.payload.as_deref().map(raw),
            tries: report.tries.iter().map(Attempt::of).collect(),
        }
    }
}

impl Attempt {
    fn of(tried: &Try) -> Self {
        Self {
            at: tried.at.to_string(),
            status: tried.status,
            error: tried.error.clone(),
        }
    }
}

/// Sends a webhook a request of type `v1.Test`. The request's id; [`list`] tells what becomes of it.
pub async fn test(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: WebhookId,
) -> Result<Uuid, AdminError> {
    let deed = Deed::new("webhook.test").at(instance).on(id);
    let test = move |admin: Admin| async move {
        let payload = WebhookEvent::Test { instance }.payload();
        if let Some(request) = admin.store.test_webhook(instance, id, payload).await? {
            return Ok(request);
        }
        super::one(&admin, instance, id).await?;
        Err(AdminError::Conflict(
            "the webhook is disabled; enable it first".into(),
        ))
    };
    admin.audited(actor, deed, test).await
}

/// The requests of a webhook, all or those in one state, the newest first, behind `cursor`.
pub async fn list(
    admin: &Admin,
    instance: InstanceId,
    id: WebhookId,
    state: Option<RequestState>,
    cursor: Option<RequestNumber>,
    limit: usize,
) -> Result<DeliveryPage, AdminError> {
    let found = admin
        .store
        .webhook_requests(instance, id, state, cursor, limit);
    let found = found.await?.ok_or(UNKNOWN)?;
    let last = found.last().filter(|_| found.len() >= limit);
    Ok(DeliveryPage {
        next_cursor: last.map(|last| last.number.0.to_string()),
        deliveries: found.iter().map(Delivery::of).collect(),
    })
}

/// One request of a webhook.
pub async fn one(
    admin: &Admin,
    instance: InstanceId,
    webhook: WebhookId,
    request: Uuid,
) -> Result<Delivery, AdminError> {
    let found = admin.store.webhook_request(instance, webhook, request);
    let found = found
        .await?
        .ok_or(AdminError::NotFound { what: "delivery" })?;
    Ok(Delivery::of(&found))
}

/// A webhook that is disabled sends nothing, so nothing is replayed.
async fn enabled(admin: &Admin, instance: InstanceId, id: WebhookId) -> Result<(), AdminError> {
    if super::one(admin, instance, id).await?.disabled.is_some() {
        let why = "the webhook is disabled; enable it first";
        return Err(AdminError::Conflict(why.into()));
    }
    Ok(())
}

/// Sends a request that was delivered, given up, or waits for a later attempt, once more, with the same id.
pub async fn replay(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    webhook: WebhookId,
    request: Uuid,
) -> Result<(), AdminError> {
    let deed = Deed::new("webhook.replay").at(instance).on(request);
    let replay = move |admin: Admin| async move {
        enabled(&admin, instance, webhook).await?;
        let now = admin.now();
        let replayed = admin.store.replay_request(instance, webhook, request, now);
        if replayed.await? {
            return Ok(());
        }
        one(&admin, instance, webhook, request).await?;
        Err(AdminError::Conflict("the delivery is on its way".into()))
    };
    admin.audited(actor, deed, replay).await
}

/// Sends what a webhook was told in vain once more, the newest [`REPLAYED_MAX`] of it, each with the same id. How many, and
/// whether there are more.
pub async fn replay_failed(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    webhook: WebhookId,
) -> Result<Replayed, AdminError> {
    let deed = Deed::new("webhook.replay_failed").at(instance).on(webhook);
    let replay = move |admin: Admin| async move {
        enabled(&admin, instance, webhook).await?;
        let state = Some(RequestState::Failed);
        let limit = REPLAYED_MAX + 1;
        let found = admin
            .store
            .webhook_requests(instance, webhook, state, None, limit);
        let found = found.await?.ok_or(UNKNOWN)?;
        let now = admin.now();
        let ids: Vec<Uuid> = found.iter().map(|request| request.id).collect();
        let ids = ids.into_iter().take(REPLAYED_MAX);
        let again = ids.map(|id| admin.store.replay_request(instance, webhook, id, now));
        // Many at once share a commit.
        let mut again = futures_util::stream::iter(again).buffer_unordered(REPLAYED_AT_ONCE);
        let mut replayed = 0;
        while let Some(done) = again.next().await {
            replayed += u64::from(done?);
        }
        Ok(Replayed {
            replayed,
            more: found.len() > REPLAYED_MAX,
        })
    };
    admin.audited(actor, deed, replay).await
}
