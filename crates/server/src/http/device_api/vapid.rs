//! `…/web-vapid-public-key`: what a browser subscribes with.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, instance_id, json};

/// `GET`: the public half of the instance's VAPID key pair. It never changes: browsers hold on to it.
pub(crate) async fn show(
    State(api): State<Api>,
    Segments(instance): Segments<String>,
) -> Result<Response, ApiError> {
    let instance = api.instance(instance_id(&instance)?).await?;
    let key = URL_SAFE_NO_PAD.encode(instance.vapid_public_key());
    Ok(json(&json!({"vapidPublicKey": key})))
}
