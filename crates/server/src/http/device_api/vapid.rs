//! `…/web-vapid-public-key`: what a browser subscribes with.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, instance_id, json};
use crate::http::openapi::{Refusal, path};

/// The public half of an instance's VAPID key pair.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VapidKey {
    /// A point on P-256, in base64url.
    vapid_public_key: String,
}

/// `GET`: the public half of the instance's VAPID key pair. It never changes: browsers hold on to it.
#[utoipa::path(
    get,
    path = "/device_api/v1/instances/{instance}/web-vapid-public-key",
    tag = "Device API",
    operation_id = "vapid_public_key",
    summary = "What a browser subscribes with",
    params(path::Instance),
    responses(
        (status = 200, body = VapidKey),
        (status = 404, body = Refusal, description = "There is no such instance"),
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    Segments(instance): Segments<String>,
) -> Result<Response, ApiError> {
    let instance = api.instance(instance_id(&instance)?).await?;
    let key = URL_SAFE_NO_PAD.encode(instance.vapid_public_key());
    Ok(json(&VapidKey {
        vapid_public_key: key,
    }))
}
