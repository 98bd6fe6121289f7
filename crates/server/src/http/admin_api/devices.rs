//! `…/devices`: looked up, deleted.

use axum::extract::State;
use axum::response::Response;
use domain::device::DeviceId;
use serde_json::json as value;

use super::access::{MayRead, MayWrite};
use crate::admin::devices::{self, DeviceInFull};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, json};
use crate::http::openapi::Refusal;

/// The device that a path names behind its instance. What has not the form of an id is the id of no device.
fn device_id(Segments((_, device)): &Segments<(String, String)>) -> Result<DeviceId, ApiError> {
    DeviceId::parse(device).ok_or(ApiError::DeviceNotFound)
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/devices/{device}",
    tag = "admin: devices",
    operation_id = "admin_device",
    summary = "A device with its interests, without its gateway token",
    params(
        ("instance" = String, Path, description = "The instance's UUID"),
        ("device" = String, Path, description = "The device's id"),
    ),
    responses(
        (status = 200, body = DeviceInFull),
        (status = 401, body = Refusal),
        (status = 403, body = Refusal),
        (status = 404, body = Refusal),
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    segments: Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let device = device_id(&segments)?;
    Ok(json(&devices::show(api.admin(), instance, device).await?))
}

/// `DELETE`.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/instances/{instance}/devices/{device}",
    tag = "admin: devices",
    operation_id = "admin_delete_device",
    summary = "Delete a device",
    params(
        ("instance" = String, Path, description = "The instance's UUID"),
        ("device" = String, Path, description = "The device's id"),
    ),
    responses(
        (status = 200, body = Object),
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
    let device = device_id(&segments)?;
    devices::delete(api.admin(), &actor, instance, device).await?;
    Ok(json(&value!({"id": device.to_string(), "deleted": true})))
}
