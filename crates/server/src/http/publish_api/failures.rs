//! `…/publishes/{publish}/failures`: the deliveries that no gateway took, and why.

use axum::extract::State;
use axum::response::Response;
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use http::Uri;

use super::publish_id;
use super::view::{Failure, FailurePage};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, json, limit_of, query_value};
use crate::http::openapi::{Refusal, path};

/// How many failures one answer has if not asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// `GET`, with `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/publish_api/v1/instances/{instance}/publishes/{publish}/failures",
    tag = "Publish API",
    operation_id = "failures",
    summary = "The deliveries that no gateway took",
    params(
        path::Instance, path::Publish,
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 1000; 100 without"),
    ),
    responses(
        (status = 200, body = FailurePage),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 404, body = Refusal),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    segments: Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, ApiError> {
    answer(&api, instance.id(), publish_id(segments)?, &uri).await
}

/// A page of a publish's failures.
pub(in crate::http) async fn answer(
    api: &Api,
    instance: InstanceId,
    id: PublishId,
    uri: &Uri,
) -> Result<Response, ApiError> {
    let after = query_value(uri.query(), "cursor")
        .map(|cursor| cursor.parse().map_err(|_| ApiError::Query("cursor")))
        .transpose()?
        .map_or_else(DeviceOrdinal::default, DeviceOrdinal);
    let limit = limit_of(uri.query(), LIMIT_DEFAULT, LIMIT_MAX)?;
    let failed = api
        .store()
        .publish_failures(instance, id, after, limit + 1)
        .await?;
    let mut failed = failed.ok_or(ApiError::PublishNotFound)?;
    let is_more = failed.len() > limit;
    failed.truncate(limit);
    let next = failed.last().filter(|_| is_more);
    Ok(json(&FailurePage {
        failures: failed.iter().map(Failure::of).collect(),
        next_cursor: next.map(|last| last.ordinal.0.to_string()),
    }))
}
