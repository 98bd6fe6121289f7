//! What server SDKs call to publish.

mod interests;
mod users;

use axum::Router;
use axum::response::Response;
use axum::routing::post;
use delivery::instances::Instance;
use delivery::runner::Taken;
use domain::publish::{AudienceKind, PUBLISH_BODY_LENGTH_MAX, PublishRequest};
use serde_json::json;

use super::Api;
use super::error::ApiError;
use super::extract::{Bounded, json};

pub(super) fn routes() -> Router<Api> {
    let publishes = "/publish_api/v1/instances/{instance}/publishes";
    Router::new()
        .route(&format!("{publishes}/interests"), post(interests::publish))
        .route(&format!("{publishes}/users"), post(users::publish))
        // The first form of the API, which two official SDKs still use.
        .route(publishes, post(interests::publish))
}

type Body = Bounded<PUBLISH_BODY_LENGTH_MAX>;

/// Answers exactly 200, which is the only status that all SDKs take for a success, and only once the publish is durable.
async fn accept(
    api: &Api,
    instance: &Instance,
    kind: AudienceKind,
    body: &[u8],
) -> Result<Response, ApiError> {
    let request = PublishRequest::parse(kind, body)?;
    let taken = api.shared.runner.publish(instance, request, None).await?;
    let Taken::New(id) = taken else {
        return Err(ApiError::Internal);
    };
    tracing::info!(instance = %instance.id(), publish = %id, audience = kind.as_str(), "accepted {id}");
    Ok(json(&json!({"publishId": id.to_string()})))
}
