//! A publish that is only checked and counted.

use axum::response::Response;
use delivery::instances::Instance;
use domain::device::Platform;
use domain::publish::{AudienceKind, PublishRequest};
use serde_json::{Map, json};

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::json;

/// How many devices it would go to now, for each platform that it has a payload for. Nothing is kept or sent.
pub(super) async fn count(
    api: &Api,
    instance: &Instance,
    request: PublishRequest,
) -> Result<Response, ApiError> {
    let platforms: Vec<Platform> = request.payloads.platforms().collect();
    let (kind, named) = (request.audience.kind(), request.audience.named());
    let counted = api
        .store()
        .count_audience(instance.id(), request.audience, platforms.clone())
        .await?;
    let devices: Map<_, _> = platforms
        .into_iter()
        .map(|platform| {
            (
                platform.as_str().to_owned(),
                counted.devices(platform).into(),
            )
        })
        .collect();
    let mut answer = json!({"dryRun": true, "devices": devices});
    if kind == AudienceKind::Users {
        let named = u64::try_from(named).unwrap_or(u64::MAX);
        answer["users"] = json!({
            "withDevices": counted.users,
            "withoutDevices": named.saturating_sub(counted.users),
        });
    }
    Ok(json(&answer))
}
