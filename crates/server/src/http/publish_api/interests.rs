//! `…/publishes/interests`, and `…/publishes`: a publish to whoever is subscribed.

use axum::extract::State;
use axum::response::Response;
use domain::publish::AudienceKind;

use super::idempotency::Key;
use super::{Body, accept};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::JsonContent;

/// `POST`. The order of the arguments is the order of the checks.
pub(crate) async fn publish(
    State(api): State<Api>,
    _: JsonContent,
    Authorized(instance): Authorized,
    Key(key): Key,
    body: Body,
) -> Result<Response, ApiError> {
    accept(&api, &instance, AudienceKind::Interests, key, &body.0).await
}
