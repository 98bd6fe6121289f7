//! `…/publishes`, read: what was published, the newest first.

use axum::extract::State;
use axum::response::Response;
use domain::instance::InstanceId;
use http::Uri;
use store::lookup::{PublishCursor, PublishState};

use super::view::{Publish, PublishPage};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::{json, limit_of, query_value};
use crate::http::openapi::{Refusal, path};

/// How many publishes one answer has if not asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// `GET`, with `status`, `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/publish_api/v1/instances/{instance}/publishes",
    tag = "Publish API",
    operation_id = "publishes",
    summary = "What was published, the newest first",
    params(
        path::Instance,
        ("status" = Option<String>, Query, description = "scheduled, running, finished or cancelled; all without"),
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 100; 20 without"),
    ),
    responses(
        (status = 200, body = PublishPage),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 404, body = Refusal),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    uri: Uri,
) -> Result<Response, ApiError> {
    answer(&api, instance.id(), &uri).await
}

/// A page of an instance's publishes.
pub(in crate::http) async fn answer(
    api: &Api,
    instance: InstanceId,
    uri: &Uri,
) -> Result<Response, ApiError> {
    let query = uri.query();
    let state = query_value(query, "status")
        .map(|word| PublishState::parse(&word).ok_or(ApiError::Query("status")))
        .transpose()?;
    let after = query_value(query, "cursor")
        .map(|cursor| cursor.parse().map_err(|_| ApiError::Query("cursor")))
        .transpose()?
        .map(PublishCursor);
    let limit = limit_of(query, LIMIT_DEFAULT, LIMIT_MAX)?;
    let page = api
        .store()
        .list_publishes(instance, state, after, limit)
        .await?;
    Ok(json(&PublishPage {
        publishes: page.publishes.iter().map(Publish::of).collect(),
        next_cursor: page.next.map(|cursor| cursor.0.to_string()),
    }))
}
