//! `…/credentials`: what an instance shows to its gateways.

use axum::extract::State;
use axum::response::Response;
use domain::credential::{ApnsCredential, Credential as Given, FcmCredential};
use domain::device::Platform;
use domain::instance::InstanceId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::Object;
use super::access::{MayRead, MayWrite};
use crate::admin::actor::Actor;
use crate::admin::credentials::{self, Checked, Credential, CredentialSet};
use crate::admin::error::AdminError;
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{JsonObject, Segments, json};
use crate::http::openapi::{InInstance, Refusal, path};

/// An APNs authentication key.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct NewApns {
    /// What the file AuthKey_….p8 has.
    key: String,
    /// The key's id: ten characters.
    key_id: String,
    /// The developer team's id: ten characters.
    team_id: String,
}

/// A service account of a Firebase project.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct NewFcm {
    /// What Google's key file has.
    #[schema(value_type = Object)]
    service_account: (),
}

/// Credentials, without their secrets.
#[derive(Serialize, ToSchema)]
pub(super) struct Credentials {
    credentials: Vec<Credential>,
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/credentials",
    tag = "Admin API: credentials",
    operation_id = "admin_credentials",
    summary = "The gateway credentials and their state, without secrets",
    params(path::Instance),
    responses(
        (status = 200, body = Credentials),
        InInstance,
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
) -> Result<Response, ApiError> {
    let credentials = credentials::list(api.admin(), instance).await?;
    Ok(json(&Credentials { credentials }))
}

/// `POST`: sends the gateway something for a device that there is not, and tells what it has against the credential.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/credentials/{platform}/check",
    tag = "Admin API: credentials",
    operation_id = "admin_check_credential",
    summary = "See whether the gateway takes a credential",
    params(
        path::Instance,
        ("platform" = String, Path, description = "apns or fcm"),
    ),
    responses(
        (status = 200, body = Checked),
        InInstance,
    )
)]
pub(crate) async fn check(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    Segments((_, platform)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let unknown = AdminError::NotFound { what: "platform" };
    let platform = Platform::parse(&platform).ok_or(unknown)?;
    Ok(json(
        &credentials::check(api.admin(), &actor, instance, platform).await?,
    ))
}

/// `PUT`.
#[utoipa::path(
    put,
    path = "/admin_api/v1/instances/{instance}/credentials/apns",
    tag = "Admin API: credentials",
    operation_id = "admin_set_apns_credential",
    summary = "Set the credential for APNs",
    params(path::Instance),
    request_body = NewApns,
    responses(
        (status = 200, body = CredentialSet),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn set_apns(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let key = Zeroizing::new(fields.text("key")?);
    let (key_id, team_id) = (fields.text("keyId")?, fields.text("teamId")?);
    let given = ApnsCredential::parse(&key_id, &team_id, &key)
        .map_err(|error| ApiError::field("key", error.to_string()))?;
    set(&api, &actor, instance, &Given::Apns(given)).await
}

/// `PUT`.
#[utoipa::path(
    put,
    path = "/admin_api/v1/instances/{instance}/credentials/fcm",
    tag = "Admin API: credentials",
    operation_id = "admin_set_fcm_credential",
    summary = "Set the credential for FCM",
    params(path::Instance),
    request_body = NewFcm,
    responses(
        (status = 200, body = CredentialSet),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn set_fcm(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let text = match fields.take("serviceAccount") {
        Some(Value::String(text)) => text,
        Some(account @ Value::Object(_)) => account.to_string(),
        Some(_) => return Err(ApiError::field("serviceAccount", "must be an object")),
        None => return Err(ApiError::field("serviceAccount", "is required")),
    };
    let given = FcmCredential::parse(&Zeroizing::new(text))
        .map_err(|error| ApiError::field("serviceAccount", error.to_string()))?;
    set(&api, &actor, instance, &Given::Fcm(given)).await
}

async fn set(
    api: &Api,
    actor: &Actor,
    instance: InstanceId,
    given: &Given,
) -> Result<Response, ApiError> {
    Ok(json(
        &credentials::set(api.admin(), actor, instance, given).await?,
    ))
}
