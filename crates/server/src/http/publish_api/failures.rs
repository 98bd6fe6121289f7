//! `…/publishes/{publish}/failures`: the deliveries that no gateway took, and why.

use axum::extract::State;
use axum::response::Response;
use domain::device::DeviceOrdinal;
use http::Uri;
use serde_json::json;

use super::{publish_id, view};
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, json, limit_of, query_value};

/// How many failures one answer has if not asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// `GET`, with `cursor` and `limit`.
pub(crate) async fn list(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    segments: Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let id = publish_id(segments)?;
    let after = query_value(uri.query(), "cursor")
        .map(|cursor| cursor.parse().map_err(|_| ApiError::Query("cursor")))
        .transpose()?
        .map_or_else(DeviceOrdinal::default, DeviceOrdinal);
    let limit = limit_of(uri.query(), LIMIT_DEFAULT, LIMIT_MAX)?;
    let failed = api
        .store()
        .publish_failures(instance.id(), id, after, limit + 1)
        .await?;
    let mut failed = failed.ok_or(ApiError::PublishNotFound)?;
    let is_more = failed.len() > limit;
    failed.truncate(limit);
    let next = failed.last().filter(|_| is_more);
    Ok(json(&json!({
        "failures": failed.iter().map(view::failure).collect::<Vec<_>>(),
        "nextCursor": next.map(|last| last.ordinal.0.to_string()),
    })))
}
