//! `…/users`: whom devices belong to. In a path, an id is percent-encoded, its slashes included.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::user::{InvalidUserId, UserId};
use http::Uri;
use serde_json::Value;
use store::lookup::PublishCursor;
use utoipa::ToSchema;

use super::Object;
use super::access::{MayRead, MayWrite, Writer};
use crate::admin::users::export::{self, Export};
use crate::admin::users::{self, Deleted, ForgottenUser, UserInFull, UserPage};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{JsonObject, Segments, json, limit_of, query_value};
use crate::http::openapi::{InInstance, Refusal, path};

/// How many users one answer has if not asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 500;

/// The user that a path names behind its instance.
fn user_id(Segments((_, user)): Segments<(String, String)>) -> Result<UserId, ApiError> {
    UserId::parse(user).map_err(|error| match error {
        InvalidUserId::TooLong(_) => ApiError::UserIdTooLong,
        other => ApiError::UserId(other),
    })
}

/// `GET`, with `prefix`, `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/users",
    tag = "Admin API: users",
    operation_id = "admin_users",
    summary = "Users, by id",
    params(
        path::Instance,
        ("prefix" = Option<String>, Query, description = "What the ids begin with"),
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 500; 50 without"),
    ),
    responses(
        (status = 200, body = UserPage),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = uri.query();
    let prefix = query_value(query, "prefix").unwrap_or_default();
    if !users::may_begin_an_id(&prefix) {
        return Err(ApiError::Query("prefix"));
    }
    let after = query_value(query, "cursor")
        .map(|cursor| user_of(&cursor).ok_or(ApiError::Query("cursor")))
        .transpose()?;
    let limit = limit_of(query, LIMIT_DEFAULT, LIMIT_MAX)?;
    let mut page = users::list(api.admin(), instance, &prefix, after, limit).await?;
    page.next_cursor = page.next_cursor.map(|last| URL_SAFE_NO_PAD.encode(last));
    Ok(json(&page))
}

fn user_of(cursor: &str) -> Option<UserId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    UserId::parse(String::from_utf8(bytes).ok()?).ok()
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/users/{user}",
    tag = "Admin API: users",
    operation_id = "admin_user",
    summary = "A user's devices",
    params(path::Instance, path::User),
    responses(
        (status = 200, body = UserInFull),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 403, body = Refusal),
        (status = 404, body = Refusal, description = "Nobody has a device under this id"),
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    segments: Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let user = user_id(segments)?;
    Ok(json(&users::show(api.admin(), instance, user).await?))
}

/// `DELETE`: one who has no devices is deleted already.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/instances/{instance}/users/{user}",
    tag = "Admin API: users",
    operation_id = "admin_delete_user",
    summary = "Delete a user's devices",
    params(path::Instance, path::User),
    responses(
        (status = 200, body = Deleted),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn delete(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    segments: Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let user = user_id(segments)?;
    Ok(json(
        &users::delete(api.admin(), &actor, instance, user).await?,
    ))
}

/// How to forget a user.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct Forget {
    /// Whether to write the files of the database anew, too, so that nothing can be read from them any more. It takes an admin
    /// token for all instances that may write, and time in proportion to the database; with SQLite nothing else is written
    /// meanwhile. It goes on if the answer is 503 because it takes long; the audit log tells its end.
    scrub: Option<bool>,
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/users/{user}/forget",
    tag = "Admin API: users",
    operation_id = "admin_forget_user",
    summary = "Remove every trace of a user",
    params(path::Instance, path::User),
    request_body = Forget,
    responses(
        (status = 200, body = ForgottenUser),
        (status = 400, body = Refusal),
        (status = 409, body = Refusal, description = "The database is being scrubbed for somebody else"),
        InInstance,
    )
)]
pub(crate) async fn forget(
    State(api): State<Api>,
    Writer { access, instance }: Writer,
    segments: Segments<(String, String)>,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let user = user_id(segments)?;
    let scrub = match fields.take("scrub") {
        None => false,
        Some(Value::Bool(scrub)) => scrub,
        Some(_) => return Err(ApiError::field("scrub", "must be true or false")),
    };
    if scrub {
        // It is the whole database's, with what others have in it.
        access.full()?;
    }
    let forgotten = users::forget(api.admin(), &access.actor, instance, user, scrub);
    Ok(json(&forgotten.await?))
}

/// `GET`, with `cursor`. Whoever may only look may not have it, because it is written down.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/users/{user}/export",
    tag = "Admin API: users",
    operation_id = "admin_export_user",
    summary = "All data of a user",
    params(
        path::Instance, path::User,
        ("cursor" = Option<String>, Query, description = "Where it goes on"),
    ),
    responses(
        (status = 200, body = Export),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn export(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    segments: Segments<(String, String)>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let user = user_id(segments)?;
    let after = query_value(uri.query(), "cursor")
        .map(|cursor| cursor.parse().map_err(|_| ApiError::Query("cursor")))
        .transpose()?
        .map(PublishCursor);
    Ok(json(
        &export::page(api.admin(), &actor, instance, user, after).await?,
    ))
}
