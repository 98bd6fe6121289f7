//! `…/publishes`, read: what was published, the newest first.

use axum::extract::State;
use axum::response::Response;
use http::Uri;
use serde_json::json;
use store::lookup::{PublishCursor, PublishState};

use super::view;
use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::error::ApiError;
use crate::http::extract::{json, limit_of, query_value};

/// How many publishes one answer has if not asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// `GET`, with `status`, `cursor` and `limit`.
pub(crate) async fn list(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    uri: Uri,
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
        .list_publishes(instance.id(), state, after, limit)
        .await?;
    Ok(json(&json!({
        "publishes": page.publishes.iter().map(view::summary).collect::<Vec<_>>(),
        "nextCursor": page.next.map(|cursor| cursor.0.to_string()),
    })))
}
