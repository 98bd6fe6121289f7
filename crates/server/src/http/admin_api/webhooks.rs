//! `…/webhooks`: where an app's backend is told what happened, what it was told, and what became of that.

use axum::extract::State;
use axum::response::Response;
use domain::webhook::WebhookId;
use http::Uri;
use serde::Serialize;
use serde_json::{Value, json as value};
use store::webhooks::{RequestNumber, RequestState};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Object;
use super::access::{MayRead, MayWrite};
use crate::admin::error::AdminError;
use crate::admin::webhooks::{self, Added, DeliveryPage, New, Typed, Webhook, WebhookSecretText};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{JsonObject, Segments, json, limit_of, query_value};
use crate::http::openapi::{InInstance, Refusal};

/// How many deliveries a page has, if nobody asks for another number, and at most.
const PAGE_LENGTH: usize = 20;
const PAGE_LENGTH_MAX: usize = 100;

const UNKNOWN: AdminError = AdminError::NotFound { what: "webhook" };

/// A webhook to be added.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct NewWebhook {
    /// Where requests go: https, or http towards the operator's exceptions.
    url: String,
    /// What they are signed with; random without, and told in the answer.
    secret: Option<String>,
    /// `beams` or `standard`; `beams` without.
    scheme: Option<String>,
    /// What it is told of; Beams' three events without.
    events: Option<Vec<String>>,
    /// What it wants back in every request.
    #[schema(value_type = Option<Object>)]
    custom_data: Option<Value>,
}

/// Webhooks, without their secrets.
#[derive(Serialize, ToSchema)]
pub(super) struct Webhooks {
    webhooks: Vec<Webhook>,
}

/// What a path names behind its instance. What has not the form of an id is the id of no webhook.
type Named = Segments<(String, String)>;

fn webhook_id(Segments((_, webhook)): &Named) -> Result<WebhookId, ApiError> {
    Ok(WebhookId::parse(webhook).ok_or(UNKNOWN)?)
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/webhooks",
    tag = "Admin API: webhooks",
    operation_id = "admin_webhooks",
    summary = "The webhooks and their state",
    params(("instance" = String, Path, description = "The instance's UUID")),
    responses(
        (status = 200, body = Webhooks),
        InInstance,
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
) -> Result<Response, ApiError> {
    let webhooks = webhooks::list(api.admin(), instance).await?;
    Ok(json(&Webhooks { webhooks }))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/webhooks",
    tag = "Admin API: webhooks",
    operation_id = "admin_add_webhook",
    summary = "Add a webhook",
    params(("instance" = String, Path, description = "The instance's UUID")),
    request_body = NewWebhook,
    responses(
        (status = 200, body = Added, description = "The only answer that has the secret"),
        (status = 400, body = Refusal),
        (status = 409, body = Refusal, description = "The instance has too many"),
        InInstance,
    )
)]
pub(crate) async fn add(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let events = match fields.take("events") {
        None => Vec::new(),
        Some(given) => serde_json::from_value(given)
            .map_err(|_| ApiError::field("events", "must be a list of texts"))?,
    };
    let custom_data = match fields.take("customData") {
        None => None,
        Some(given @ Value::Object(_)) => Some(given.to_string()),
        Some(_) => return Err(ApiError::field("customData", "must be an object")),
    };
    let secret = fields.optional_text("secret")?;
    let typed = Typed {
        url: fields.text("url")?,
        secret: secret.map(|secret| WebhookSecretText(secret.into())),
        scheme: fields.optional_text("scheme")?,
        events,
        custom_data,
    };
    let admin = api.admin();
    let new = New::check(&typed, admin.instances.guard())?;
    Ok(json(&webhooks::add(admin, &actor, instance, new).await?))
}

/// `DELETE`.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}",
    tag = "Admin API: webhooks",
    operation_id = "admin_remove_webhook",
    summary = "Remove a webhook and what waits for it",
    params(
        ("instance" = String, Path, description = "The instance's UUID"),
        ("webhook" = String, Path, description = "The webhook's UUID"),
    ),
    responses(
        (status = 200, body = Object),
        InInstance,
    )
)]
pub(crate) async fn remove(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    named: Named,
) -> Result<Response, ApiError> {
    let id = webhook_id(&named)?;
    webhooks::remove(api.admin(), &actor, instance, id).await?;
    Ok(json(&value!({"id": id.to_string(), "removed": true})))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}/enable",
    tag = "Admin API: webhooks",
    operation_id = "admin_enable_webhook",
    summary = "Tell a webhook again what happens from now on",
    params(
        ("instance" = String, Path, description = "The instance's UUID"),
        ("webhook" = String, Path, description = "The webhook's UUID"),
    ),
    responses(
        (status = 200, body = Object),
        InInstance,
    )
)]
pub(crate) async fn enable(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    named: Named,
) -> Result<Response, ApiError> {
    let id = webhook_id(&named)?;
    webhooks::enable(api.admin(), &actor, instance, id).await?;
    Ok(json(&value!({"id": id.to_string(), "state": "enabled"})))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}/disable",
    tag = "Admin API: webhooks",
    operation_id = "admin_disable_webhook",
    summary = "Tell a webhook nothing, and give up what waits for it",
    params(
        ("instance" = String, Path, description = "The instance's UUID"),
        ("webhook" = String, Path, description = "The webhook's UUID"),
    ),
    responses(
        (status = 200, body = Object),
        InInstance,
    )
)]
pub(crate) async fn disable(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    named: Named,
) -> Result<Response, ApiError> {
    let id = webhook_id(&named)?;
    webhooks::disable(api.admin(), &actor, instance, id).await?;
    Ok(json(&value!({"id": id.to_string(), "state": "disabled"})))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}/test",
    tag = "Admin API: webhooks",
    operation_id = "admin_test_webhook",
    summary = "Send a webhook a test",
    params(
        ("instance" = String, Path, description = "The instance's UUID"),
        ("webhook" = String, Path, description = "The webhook's UUID"),
    ),
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
    let request = webhooks::test(api.admin(), &actor, instance, id).await?;
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
        ("instance" = String, Path, description = "The instance's UUID"),
        ("webhook" = String, Path, description = "The webhook's UUID"),
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
pub(crate) async fn deliveries(
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
    let page = webhooks::deliveries(api.admin(), instance, id, state, cursor, limit);
    Ok(json(&page.await?))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}/deliveries/{delivery}/replay",
    tag = "Admin API: webhooks",
    operation_id = "admin_replay_webhook_delivery",
    summary = "Send a delivery that has ended once more, with the same id",
    params(
        ("instance" = String, Path, description = "The instance's UUID"),
        ("webhook" = String, Path, description = "The webhook's UUID"),
        ("delivery" = String, Path, description = "The delivery's UUID"),
    ),
    responses(
        (status = 200, body = Object),
        (status = 409, body = Refusal, description = "The webhook is disabled"),
        InInstance,
    )
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    Segments((_, webhook, delivery)): Segments<(String, String, String)>,
) -> Result<Response, ApiError> {
    let id = WebhookId::parse(&webhook).ok_or(UNKNOWN)?;
    let delivery = Uuid::try_parse(&delivery).map_err(|_| AdminError::NotFound {
        what: "delivery that has ended",
    })?;
    webhooks::replay(api.admin(), &actor, instance, id, delivery).await?;
    Ok(json(
        &value!({"id": delivery.to_string(), "state": "waiting"}),
    ))
}
