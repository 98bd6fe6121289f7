//! `…/publishes/{publish}/replay`: the same payload once more, to exactly the devices that the publish failed for.

use axum::extract::State;
use axum::response::Response;
use delivery::runner::{Replay, Taken};
use domain::idempotency::{Fingerprint, Idempotency};

use super::idempotency::Key;
use super::{answer, publish_id};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::Segments;

/// `POST`; a body is not looked at.
pub(crate) async fn replay(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    segments: Segments<(String, String)>,
    Key(key): Key,
) -> Result<Response, ApiError> {
    let id = publish_id(segments)?;
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
