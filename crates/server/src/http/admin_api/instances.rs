//! `/admin_api/v1/instances`: the tenants.

use axum::extract::State;
use axum::response::Response;
use domain::instance::{InstanceId, InstanceName, SecretKey};
use serde::Serialize;
use serde_json::json as value;
use utoipa::ToSchema;

use super::Object;
use super::access::{Anybody, Full, MayRead, MayWrite};
use crate::admin::error::AdminError;
use crate::admin::instances::{self, Created, Instance, New};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{Fields, JsonObject, Segments, instance_id, json};
use crate::http::openapi::{InInstance, Refusal, path};

/// An instance to be created.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct NewInstance {
    /// What people call it: 1 to 100 bytes.
    name: String,
    /// Its UUID, if it must be a certain one; random otherwise.
    id: Option<String>,
    /// Its secret key, if it must be a certain one; random otherwise.
    secret_key: Option<String>,
}

/// Instances.
#[derive(Serialize, ToSchema)]
pub(super) struct Instances {
    instances: Vec<Instance>,
}

/// `GET`: those that the token is for, by name.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances",
    tag = "Admin API: instances",
    operation_id = "admin_instances",
    summary = "The instances that the token is for",
    responses(
        (status = 200, body = Instances),
        (status = 401, body = Refusal),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Anybody(access): Anybody,
) -> Result<Response, ApiError> {
    let instances = instances::list(api.admin(), &access).await?;
    Ok(json(&Instances { instances }))
}

/// `POST`.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances",
    tag = "Admin API: instances",
    operation_id = "admin_create_instance",
    summary = "Create an instance",
    request_body = NewInstance,
    responses(
        (status = 200, body = Created, description = "The only answer that has the secret key"),
        (status = 400, body = Refusal),
        (status = 401, body = Refusal),
        (status = 403, body = Refusal),
        (status = 409, body = Refusal),
    )
)]
pub(crate) async fn create(
    State(api): State<Api>,
    Full { actor }: Full,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let name = InstanceName::parse(fields.text("name")?)
        .map_err(|error| ApiError::field("name", error.to_string()))?;
    let id = match fields.optional_text("id")? {
        None => InstanceId::random(),
        Some(id) => {
            InstanceId::parse(&id).map_err(|error| ApiError::field("id", error.to_string()))?
        }
    };
    let secret_key = secret_key(&mut fields)?;
    let new = New {
        id,
        name,
        secret_key,
    };
    Ok(json(&instances::create(api.admin(), &actor, new).await?))
}

/// The secret key that a body brings along, or a random one.
pub(super) fn secret_key(fields: &mut Fields) -> Result<SecretKey, ApiError> {
    match fields.optional_text("secretKey")? {
        None => Ok(SecretKey::random()),
        Some(key) => {
            SecretKey::parse(key).map_err(|error| AdminError::field("secretKey", error).into())
        }
    }
}

/// An instance with what it may have.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownInstance {
    #[serde(flatten)]
    instance: Instance,
    /// How many devices it has.
    devices: u64,
    /// How many it may have for another to register; null if there is no limit.
    devices_max: Option<u64>,
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}",
    tag = "Admin API: instances",
    operation_id = "admin_instance",
    summary = "An instance, without its secrets",
    params(path::Instance),
    responses(
        (status = 200, body = ShownInstance),
        InInstance,
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
) -> Result<Response, ApiError> {
    Ok(json(&ShownInstance {
        instance: instances::show(api.admin(), instance).await?,
        devices: api.store().device_count(instance).await?,
        devices_max: api.shared.limits.devices_per_instance_max,
    }))
}

/// What is to be another.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(super) struct InstanceChanges {
    /// What people call it: 1 to 100 bytes.
    name: String,
}

/// `PATCH`.
#[utoipa::path(
    patch,
    path = "/admin_api/v1/instances/{instance}",
    tag = "Admin API: instances",
    operation_id = "admin_rename_instance",
    summary = "Rename an instance",
    params(path::Instance),
    request_body = InstanceChanges,
    responses(
        (status = 200, body = Instance),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn rename(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let name = InstanceName::parse(fields.text("name")?)
        .map_err(|error| ApiError::field("name", error.to_string()))?;
    let renamed = instances::rename(api.admin(), &actor, instance, name).await?;
    Ok(json(&renamed))
}

/// `DELETE`.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/instances/{instance}",
    tag = "Admin API: instances",
    operation_id = "admin_delete_instance",
    summary = "Delete an instance and everything in it",
    params(path::Instance),
    responses(
        (status = 200, body = Object),
        InInstance,
    )
)]
pub(crate) async fn delete(
    State(api): State<Api>,
    Full { actor }: Full,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let id = instance_id(&id)?;
    instances::delete(api.admin(), &actor, id).await?;
    Ok(json(&value!({"id": id, "deleted": true})))
}
