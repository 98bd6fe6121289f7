//! `…/publishes/users`: a publish to all the devices of some users.

use axum::extract::State;
use axum::response::Response;
use domain::publish::AudienceKind;

use super::described::{AcceptedOrCounted, PublishToUsers};
use super::idempotency::Key;
use super::{Body, accept};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::JsonContent;
use crate::http::openapi::Refusal;

/// `POST`. The order of the arguments is the order of the checks.
#[utoipa::path(
    post,
    path = "/publish_api/v1/instances/{instance}/publishes/users",
    tag = "publishes",
    operation_id = "publish_to_users",
    summary = "Publish to users",
    params(
        ("instance" = String, Path, description = "The instance's UUID"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 hours"),
    ),
    request_body = PublishToUsers,
    responses(
        (status = 200, body = AcceptedOrCounted),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 404, body = Refusal),
        (status = 422, body = Refusal),
    )
)]
pub(crate) async fn publish(
    State(api): State<Api>,
    _: JsonContent,
    Authorized(instance): Authorized,
    Key(key): Key,
    body: Body,
) -> Result<Response, ApiError> {
    accept(&api, &instance, AudienceKind::Users, key, &body.0).await
}
