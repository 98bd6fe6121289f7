//! `…/publishes/interests`, and `…/publishes`: a publish to whoever is subscribed.

use axum::extract::{Request, State};
use axum::response::Response;
use domain::publish::AudienceKind;

use super::described::{AcceptedOrCounted, PublishToInterests};
use super::idempotency::Key;
use super::take;
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::PublishContent;
use crate::http::openapi::{Refusal, path};

/// `POST`. The order of the arguments is the order of the checks.
#[utoipa::path(
    post,
    path = "/publish_api/v1/instances/{instance}/publishes/interests",
    tag = "Publish API",
    operation_id = "publish_to_interests",
    summary = "Publish to interests",
    params(
        path::Instance,
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 hours"),
    ),
    request_body(
        description = "An object; or an object without the audience and a line of JSON for each interest",
        content((PublishToInterests = "application/json"), (String = "application/x-ndjson"))
    ),
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
    content: PublishContent,
    Authorized(instance): Authorized,
    Key(key): Key,
    request: Request,
) -> Result<Response, ApiError> {
    take(
        &api,
        &instance,
        AudienceKind::Interests,
        content,
        key,
        request,
    )
    .await
}
