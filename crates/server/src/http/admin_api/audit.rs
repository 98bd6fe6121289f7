//! `…/audit-log`: who did what. Of one instance for whoever may look at it; the whole for whoever may look at all of them.

use axum::extract::State;
use axum::response::Response;
use domain::instance::InstanceId;
use http::Uri;
use store::administration::AuditId;

use super::access::{MayRead, MayReadAll};
use crate::admin::audit::{self, Page};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{json, limit_of, query_value};
use crate::http::openapi::{InInstance, Refusal, path};

/// How many entries one answer has if not asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 500;

/// `GET`, with `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/audit-log",
    tag = "Admin API: audit log",
    operation_id = "admin_audit_log",
    summary = "Who did what, the newest first",
    params(
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 500; 50 without"),
    ),
    responses(
        (status = 200, body = Page),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 403, body = Refusal),
    )
)]
pub(crate) async fn all(
    State(api): State<Api>,
    _: MayReadAll,
    uri: Uri,
) -> Result<Response, ApiError> {
    answer(&api, None, &uri).await
}

/// `GET`, with `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/audit-log",
    tag = "Admin API: audit log",
    operation_id = "admin_instance_audit_log",
    summary = "Who did what in an instance, the newest first",
    params(
        path::Instance,
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 500; 50 without"),
    ),
    responses(
        (status = 200, body = Page),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn of_instance(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    uri: Uri,
) -> Result<Response, ApiError> {
    answer(&api, Some(instance), &uri).await
}

async fn answer(api: &Api, instance: Option<InstanceId>, uri: &Uri) -> Result<Response, ApiError> {
    let after = query_value(uri.query(), "cursor")
        .map(|cursor| cursor.parse().map_err(|_| ApiError::Query("cursor")))
        .transpose()?
        .map(AuditId);
    let limit = limit_of(uri.query(), LIMIT_DEFAULT, LIMIT_MAX)?;
    Ok(json(
        &audit::page(api.admin(), instance, after, limit).await?,
    ))
}
