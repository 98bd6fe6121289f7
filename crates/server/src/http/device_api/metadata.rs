//! `…/devices/{platform}/{device}/metadata`: what an SDK tells of its device.

use axum::extract::State;
use domain::device::{DEVICE_METADATA_LENGTH_MAX, DeviceMetadata};
use store::devices::Changed;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{DevicePath, JsonObject};
use crate::http::openapi::{Refusal, path};

/// The largest body, in bytes: the limit counts the metadata written compactly, and SDKs may write it otherwise.
const BODY_LENGTH_MAX: usize = 2 * DEVICE_METADATA_LENGTH_MAX;

/// What an SDK tells of its device; other fields are taken too.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by the domain")]
pub(crate) struct DeviceFacts {
    /// The SDK's version.
    #[schema(example = "1.9.2")]
    sdk_version: Option<String>,
    /// On Android.
    android_version: Option<String>,
    /// On Apple devices.
    ios_version: Option<String>,
}

/// `PUT`: the body is the metadata.
#[utoipa::path(
    put,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}/metadata",
    tag = "Device API",
    operation_id = "set_device_metadata",
    summary = "Replace a device's metadata",
    params(path::Instance, path::Gateway, path::Device),
    request_body = DeviceFacts,
    responses(
        (status = 200),
        (status = 400, body = Refusal),
        (status = 404, body = Refusal, description = "There is no such device, or no such instance"),
    )
)]
pub(crate) async fn replace(
    State(api): State<Api>,
    path: DevicePath,
    JsonObject(body): JsonObject<BODY_LENGTH_MAX>,
) -> Result<(), ApiError> {
    let metadata = DeviceMetadata::parse(&body.into_value())?;
    let changed = api
        .store()
        .set_metadata(path.instance, path.device, metadata)
        .await?;
    match changed {
        Changed::Done => Ok(()),
        Changed::UnknownDevice | Changed::TooManyInterests => {
            Err(api.no_device(path.instance).await)
        }
    }
}
