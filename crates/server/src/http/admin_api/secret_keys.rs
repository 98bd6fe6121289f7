//! `…/secret-keys`: what an app's backends prove themselves with. Several may be active, so that one can take over.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::json as value;
use store::instances::SecretKeyId;
use utoipa::ToSchema;

use super::Object;
use super::access::{MayRead, MayWrite};
use crate::admin::error::AdminError;
use crate::admin::secret_keys::{self, Added, SecretKey};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{JsonObject, Segments, json};
use crate::http::openapi::{InInstance, Refusal, path};

/// A secret key to be added.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct NewSecretKey {
    /// The key, if it must be a certain one; random otherwise.
    secret_key: Option<String>,
}

/// Secret keys, without the keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretKeys {
    secret_keys: Vec<SecretKey>,
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/secret-keys",
    tag = "Admin API: secret keys",
    operation_id = "admin_secret_keys",
    summary = "The active secret keys, without the keys",
    params(path::Instance),
    responses(
        (status = 200, body = SecretKeys),
        InInstance,
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
) -> Result<Response, ApiError> {
    let secret_keys = secret_keys::list(api.admin(), instance).await?;
    Ok(json(&SecretKeys { secret_keys }))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/secret-keys",
    tag = "Admin API: secret keys",
    operation_id = "admin_add_secret_key",
    summary = "Add a secret key beside the others",
    params(path::Instance),
    request_body = NewSecretKey,
    responses(
        (status = 200, body = Added, description = "The only answer that has the key"),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn add(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let key = super::instances::secret_key(&mut fields)?;
    Ok(json(
        &secret_keys::add(api.admin(), &actor, instance, key).await?,
    ))
}

/// `DELETE`: what was signed with it is refused from now on.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/instances/{instance}/secret-keys/{number}",
    tag = "Admin API: secret keys",
    operation_id = "admin_revoke_secret_key",
    summary = "Revoke a secret key; the last one stays",
    params(
        path::Instance,
        ("number" = i64, Path, description = "The key's number"),
    ),
    responses(
        (status = 200, body = Object),
        (status = 409, body = Refusal, description = "It is the last one"),
        InInstance,
    )
)]
pub(crate) async fn revoke(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    Segments((_, number)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    // What is no number is the number of none.
    let unknown = |_| AdminError::NotFound { what: "secret key" };
    let number: i64 = number.parse().map_err(unknown)?;
    secret_keys::revoke(api.admin(), &actor, instance, SecretKeyId(number)).await?;
    Ok(json(&value!({"number": number, "revoked": true})))
}
