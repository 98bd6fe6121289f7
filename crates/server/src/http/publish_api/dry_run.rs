//! A publish that is only checked and counted.

use axum::response::Response;
use domain::device::Platform;
use domain::instance::InstanceId;
use domain::publish::{AudienceKind, PublishRequest};
use serde_json::{Map, json};
use store::lookup::AudienceCount;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::json;

/// How many devices it would go to now, for each platform that it has a payload for. Nothing is kept or sent.
pub(in crate::http) async fn count(
    api: &Api,
    instance: InstanceId,
    request: PublishRequest,
) -> Result<Response, ApiError> {
    let platforms: Vec<Platform> = request.payloads.platforms().collect();
    let counted = api
        .store()
        .count_audience(instance, request.audience.clone(), platforms)
        .await?;
    Ok(answer(&request, &counted))
}

/// What was counted for a request.
pub(super) fn answer(request: &PublishRequest, counted: &AudienceCount) -> Response {
    let devices: Map<_, _> = request
        .payloads
        .platforms()
        .map(|platform| {
            (
                platform.as_str().to_owned(),
                counted.devices(platform).into(),
            )
        })
        .collect();
    let mut answer = json!({"dryRun": true, "devices": devices});
    if request.audience.kind() == AudienceKind::Users {
        let named = u64::try_from(request.audience.named()).unwrap_or(u64::MAX);
        answer["users"] = json!({
            "withDevices": counted.users,
            "withoutDevices": named.saturating_sub(counted.users),
        });
    }
    json(&answer)
}
