//! `…/users/{user}`: an app's backend forgets a user.

use std::borrow::Cow;

use axum::extract::State;
use domain::user::{InvalidUserId, UserId};
use http::Uri;
use percent_encoding::percent_decode_str;

use crate::http::Api;
use crate::http::auth::Authorized;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::openapi::{Refusal, path};

/// `DELETE`: removes the user and all the user's devices. Exactly 200 and an empty body, also where there was none.
#[utoipa::path(
    delete,
    path = "/customer_api/v1/instances/{instance}/users/{*user}",
    tag = "Customer API",
    operation_id = "delete_user",
    summary = "Delete a user with all the user's devices",
    params(
        path::Instance,
        ("user" = String, Path, description = "The user's id, percent-encoded; it may have slashes"),
    ),
    responses(
        (status = 200, description = "There is no such user any more, as there may never have been"),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 404, body = Refusal),
    )
)]
pub(crate) async fn delete(
    State(api): State<Api>,
    Authorized(instance): Authorized,
    caller: Caller,
    uri: Uri,
) -> Result<(), ApiError> {
    let admitted = api
        .shared
        .admission
        .deletion(instance.id(), api.now(), api.nodes());
    admitted.map_err(ApiError::TooOften)?;
    let user = user_id(uri.path(), caller)?;
    let devices = api.store().delete_user(instance.id(), user).await?;
    tracing::info!(instance = %instance.id(), devices, "deleted a user and {devices} devices");
    Ok(())
}

/// The user at the end of a path. SDKs encode ids in three ways, and a plus tells only with the SDK's name what it was: a
/// space from those that encode as forms do, itself from the others.
pub(crate) fn user_id(path: &str, caller: Caller) -> Result<UserId, ApiError> {
    let (_, encoded) = path.split_once("/users/").ok_or(ApiError::RouteNotFound)?;
    let encoded = match caller {
        Caller::FormEncoding => Cow::Owned(encoded.replace('+', " ")),
        Caller::Swift | Caller::Other => Cow::Borrowed(encoded),
    };
    let id = percent_decode_str(&encoded)
        .decode_utf8()
        .map_err(|_| ApiError::BadPath)?;
    UserId::parse(id).map_err(|error| match error {
        InvalidUserId::TooLong(_) => ApiError::UserIdTooLong,
        other => ApiError::UserId(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoded: &str, caller: Caller) -> Option<String> {
        let path = format!("/customer_api/v1/instances/x/users/{encoded}");
        user_id(&path, caller).ok().map(String::from)
    }

    #[test]
    fn what_each_sdk_makes_of_one_id() {
        let id = "a b+c/d";
        assert_eq!(
            decoded("a%20b%2Bc%2Fd", Caller::Other).as_deref(),
            Some(id),
            "node"
        );
        assert_eq!(
            decoded("a%20b+c%2Fd", Caller::Other).as_deref(),
            Some(id),
            "go"
        );
        assert_eq!(
            decoded("a%20b%2Bc/d", Caller::Other).as_deref(),
            Some(id),
            "python"
        );
        assert_eq!(
            decoded("a+b%2Bc%2Fd", Caller::FormEncoding).as_deref(),
            Some(id),
            "java, ruby, php"
        );
    }

    #[test]
    fn decoded_once_and_as_utf_8() {
        assert_eq!(
            decoded("100%2525", Caller::Other).as_deref(),
            Some("100%25")
        );
        assert_eq!(
            decoded("x/users/y", Caller::Other).as_deref(),
            Some("x/users/y")
        );
        assert_eq!(decoded("%FF", Caller::Other), None);
        assert_eq!(decoded("a%00b", Caller::Other), None);
        assert_eq!(decoded(&"a".repeat(165), Caller::Other), None);
    }
}
