//! `…/webhooks`: where an app's backend is told what happened.

use axum::extract::State;
use axum::response::Response;
use domain::webhook::WebhookId;
use serde::Serialize;
use serde_json::{Value, json as value};
use utoipa::ToSchema;

use super::Object;
use super::access::{MayRead, MayWrite};
use crate::admin::error::AdminError;
use crate::admin::webhooks::{self, Added, New, Typed, TypedChange, Webhook, WebhookSecretText};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{Fields, JsonObject, Segments, json};
use crate::http::openapi::{InInstance, Refusal, path};

pub(super) const UNKNOWN: AdminError = AdminError::NotFound { what: "webhook" };

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
pub(super) type Named = Segments<(String, String)>;

pub(super) fn webhook_id(Segments((_, webhook)): &Named) -> Result<WebhookId, ApiError> {
    Ok(WebhookId::parse(webhook).ok_or(UNKNOWN)?)
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/webhooks",
    tag = "Admin API: webhooks",
    operation_id = "admin_webhooks",
    summary = "The webhooks and their state",
    params(path::Instance),
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
    params(path::Instance),
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
    let events = events(&mut fields)?.unwrap_or_default();
    let custom_data = custom_data(&mut fields)?;
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

fn events(fields: &mut Fields) -> Result<Option<Vec<String>>, ApiError> {
    let given = fields.take("events").map(serde_json::from_value);
    given
        .transpose()
        .map_err(|_| ApiError::field("events", "must be a list of texts"))
}

fn custom_data(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    match fields.take("customData") {
        None => Ok(None),
        Some(given @ Value::Object(_)) => Ok(Some(given.to_string())),
        Some(_) => Err(ApiError::field("customData", "must be an object")),
    }
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}",
    tag = "Admin API: webhooks",
    operation_id = "admin_webhook",
    summary = "A webhook and its state",
    params(path::Instance, path::Webhook),
    responses(
        (status = 200, body = Webhook),
        InInstance,
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    named: Named,
) -> Result<Response, ApiError> {
    let id = webhook_id(&named)?;
    Ok(json(&webhooks::show(api.admin(), instance, id).await?))
}

/// What is to be changed of a webhook; what is absent stays.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct ChangedWebhook {
    /// Where requests go, those that wait too.
    url: Option<String>,
    /// What it is told of.
    events: Option<Vec<String>>,
    /// What it wants back in every request.
    #[schema(value_type = Option<Object>)]
    custom_data: Option<Value>,
}

/// `PATCH`.
#[utoipa::path(
    patch,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}",
    tag = "Admin API: webhooks",
    operation_id = "admin_change_webhook",
    summary = "Change a webhook; its id and its secret stay",
    params(path::Instance, path::Webhook),
    request_body = ChangedWebhook,
    responses(
        (status = 200, body = Webhook),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn change(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    named: Named,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let id = webhook_id(&named)?;
    let typed = TypedChange {
        url: fields.optional_text("url")?,
        events: events(&mut fields)?,
        custom_data: custom_data(&mut fields)?,
    };
    let changed = webhooks::change(api.admin(), &actor, instance, id, typed).await?;
    Ok(json(&changed))
}

/// `DELETE`.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/instances/{instance}/webhooks/{webhook}",
    tag = "Admin API: webhooks",
    operation_id = "admin_remove_webhook",
    summary = "Remove a webhook and what waits for it",
    params(path::Instance, path::Webhook),
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
    params(path::Instance, path::Webhook),
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
    params(path::Instance, path::Webhook),
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
