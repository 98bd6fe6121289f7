//! `…/webhooks/{webhook}/deliveries`: what a webhook was told, and telling it again.

use axum::extract::State;
use axum::response::Response;
use domain::webhook::WebhookId;
use http::Uri;
use serde_json::json as value;
use store::webhooks::{RequestNumber, RequestState};
use uuid::Uuid;

use super::access::{MayRead, MayWrite};
use super::webhooks::{Named, UNKNOWN, webhook_id};
use crate::admin::error::AdminError;
use crate::admin::webhooks::deliveries::{self, Delivery, DeliveryPage, Replayed};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, json, limit_of, query_value};
use crate::http::openapi::{InInstance, Refusal, path};

/// How many deliveries a page has, if nobody asks for another number, and at most.
const PAGE_LENGTH: usize = 20;
const PAGE_LENGTH_MAX: usize = 100;

/// What a path names behind its instance: a webhook and a delivery.
type NamedDelivery = Segments<(String, String, String)>;

fn delivery_id(
    Segments((_, webhook, delivery)): &NamedDelivery,
) -> Result<(WebhookId, Uuid), ApiError> {
    let webhook = WebhookId::parse(webhook).ok_or(UNKNOWN)?;
    let delivery =
        Uuid::try_parse(delivery).map_err(|_| AdminError::NotFound { what: "delivery" })?;
    Ok((webhook, delivery))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}/test",
    tag = "Admin API: webhooks",
    operation_id = "admin_test_webhook",
    summary = "Send a webhook a test",
    params(path::Instance, path::Webhook),
    responses(
        (status = 200, body = Object, description = "The id of the delivery"),
        (status = 409, body = Refusal, description = "It is disabled"),
        InInstance,
    )
)]
pub(crate) async fn test(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    named: Named,
) -> Result<Response, ApiError> {
    let id = webhook_id(&named)?;
    let request = deliveries::test(api.admin(), &actor, instance, id).await?;
    Ok(json(&value!({"delivery": request.to_string()})))
}

/// `GET`, with `state`, `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}/deliveries",
    tag = "Admin API: webhooks",
    operation_id = "admin_webhook_deliveries",
    summary = "What a webhook was told, and what became of that, the newest first",
    params(
        path::Instance, path::Webhook,
        ("state" = Option<String>, Query, description = "waiting, delivered or failed; all without"),
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 100; 20 without"),
    ),
    responses(
        (status = 200, body = DeliveryPage),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    named: Named,
    uri: Uri,
) -> Result<Response, ApiError> {
    let id = webhook_id(&named)?;
    let query = uri.query();
    let state = query_value(query, "state").map(|word| {
        RequestState::parse(&word)
            .ok_or_else(|| ApiError::field("state", "must be waiting, delivered or failed"))
    });
    let cursor = query_value(query, "cursor").map(|text| {
        let number = text.parse().map(RequestNumber);
        number.map_err(|_| ApiError::field("cursor", "is not one that was handed out"))
    });
    let limit = limit_of(query, PAGE_LENGTH, PAGE_LENGTH_MAX)?;
    let (state, cursor) = (state.transpose()?, cursor.transpose()?);
    let page = deliveries::list(api.admin(), instance, id, state, cursor, limit);
    Ok(json(&page.await?))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}/deliveries/{delivery}/replay",
    tag = "Admin API: webhooks",
    operation_id = "admin_replay_webhook_delivery",
    summary = "Send a delivery once more, at once and with the same id",
    params(path::Instance, path::Webhook, path::Delivery),
    responses(
        (status = 200, body = Object),
        (status = 409, body = Refusal, description = "The webhook is disabled, or the delivery is on its way"),
        InInstance,
    )
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    named: NamedDelivery,
) -> Result<Response, ApiError> {
    let (id, delivery) = delivery_id(&named)?;
    deliveries::replay(api.admin(), &actor, instance, id, delivery).await?;
    Ok(json(
        &value!({"id": delivery.to_string(), "state": "waiting"}),
    ))
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}/deliveries/{delivery}",
    tag = "Admin API: webhooks",
    operation_id = "admin_webhook_delivery",
    summary = "A delivery with its attempts",
    params(path::Instance, path::Webhook, path::Delivery),
    responses(
        (status = 200, body = Delivery),
        InInstance,
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    named: NamedDelivery,
) -> Result<Response, ApiError> {
    let (id, delivery) = delivery_id(&named)?;
    Ok(json(
        &deliveries::one(api.admin(), instance, id, delivery).await?,
    ))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}/replay-failed",
    tag = "Admin API: webhooks",
    operation_id = "admin_replay_failed_webhook_deliveries",
    summary = "Send what a webhook was told in vain once more, with the same ids, the newest thousand",
    params(path::Instance, path::Webhook),
    responses(
        (status = 200, body = Replayed),
        (status = 409, body = Refusal, description = "The webhook is disabled"),
        InInstance,
    )
)]
pub(crate) async fn replay_failed(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    named: Named,
) -> Result<Response, ApiError> {
    let id = webhook_id(&named)?;
    let replayed = deliveries::replay_failed(api.admin(), &actor, instance, id).await?;
    Ok(json(&replayed))
}
