//! `…/users`: whom devices belong to. An id with a slash in it has it percent-encoded.

use axum::extract::State;
use axum::response::Response;
use domain::user::{InvalidUserId, UserId};

use super::access::MayWrite;
use crate::admin::users::{self, Deleted};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, json};
use crate::http::openapi::Refusal;

/// The user that a path names behind its instance.
fn user_id(Segments((_, user)): Segments<(String, String)>) -> Result<UserId, ApiError> {
    UserId::parse(user).map_err(|error| match error {
        InvalidUserId::TooLong(_) => ApiError::UserIdTooLong,
        other => ApiError::UserId(other),
    })
}

/// `DELETE`: one who has no devices is deleted already.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/instances/{instance}/users/{user}",
    tag = "admin: users",
    operation_id = "admin_delete_user",
    summary = "Delete a user's devices",
    params(
        ("instance" = String, Path, description = "The instance's UUID"),
        ("user" = String, Path, description = "The user's id, percent-encoded"),
    ),
    responses(
        (status = 200, body = Deleted),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 403, body = Refusal),
        (status = 404, body = Refusal),
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
