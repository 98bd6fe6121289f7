//! `…/publishes/{publish}/replay`: the same payload once more, to exactly the devices that the publish failed for.

use axum::extract::State;
use axum::response::Response;
use delivery::runner::{Replay, Taken};
use domain::idempotency::{Fingerprint, Idempotency};

use super::idempotency::Key;
use super::view::Accepted;
use super::{admit, answer, publish_id};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::Segments;
use crate::http::openapi::{Refusal, path};

/// `POST`; a body is not looked at.
#[utoipa::path(
    post,
    path = "/publish_api/v1/instances/{instance}/publishes/{publish}/replay",
    tag = "Publish API",
    operation_id = "replay",
    summary = "Send it again to the devices that it failed for",
    params(
        path::Instance, path::Publish,
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 hours"),
    ),
    responses(
        (status = 200, body = Accepted),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 404, body = Refusal),
        (status = 409, body = Refusal),
        (status = 422, body = Refusal),
    )
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    segments: Segments<(String, String)>,
    Key(key): Key,
) -> Result<Response, ApiError> {
    let id = publish_id(segments)?;
    admit(&api, instance.id())?;
    let idempotency = key.map(|key| Idempotency {
        key,
        fingerprint: Fingerprint::of("replay", id.to_string().as_bytes()),
    });
    let replayed = api.shared.runner.replay(instance.id(), id, idempotency);
    match replayed.await? {
        Replay::Taken(taken) => {
            if let Taken::New(fresh) = taken {
                tracing::info!(instance = %instance.id(), publish = %fresh, of = %id, "accepted {fresh}, a replay");
            }
            answer(taken)
        }
        Replay::Unfinished => Err(ApiError::PublishUnfinished),
        Replay::Expired => Err(ApiError::PublishExpired),
        Replay::Unknown => Err(ApiError::PublishNotFound),
    }
}
