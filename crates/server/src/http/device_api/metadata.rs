//! `…/devices/{platform}/{device}/metadata`: what an SDK tells of its device.

use axum::extract::State;
use domain::device::{DEVICE_METADATA_LENGTH_MAX, DeviceMetadata};
use store::devices::Changed;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{DevicePath, JsonObject};

/// The largest body, in bytes: the limit counts the metadata written compactly, and SDKs may write it otherwise.
const BODY_LENGTH_MAX: usize = 2 * DEVICE_METADATA_LENGTH_MAX;

/// `PUT`: the body is the metadata.
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
