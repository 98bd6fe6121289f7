//! `…/devices/fcm/{device}/token`: FCM gave the app another registration token.

use axum::extract::State;
use domain::device::{GATEWAY_TOKEN_LENGTH_MAX, GatewayToken, Platform};
use store::devices::Changed;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{DevicePath, JsonObject};

/// The largest body, in bytes.
const BODY_LENGTH_MAX: usize = 2 * GATEWAY_TOKEN_LENGTH_MAX;

/// `PUT`: the device is the same, with all it has; only the gateway knows it by another name now. The other platforms have
/// no such route: they register again.
pub(crate) async fn replace(
    State(api): State<Api>,
    path: DevicePath,
    JsonObject(mut body): JsonObject<BODY_LENGTH_MAX>,
) -> Result<(), ApiError> {
    if path.device.platform() != Platform::Fcm {
        return Err(ApiError::RouteNotFound);
    }
    let token = GatewayToken::parse(Platform::Fcm, &body.text("token")?)?;
    let changed = api
        .store()
        .set_gateway_token(path.instance, path.device, token, api.now())
        .await?;
    match changed {
        Changed::Done => Ok(()),
        Changed::UnknownDevice | Changed::TooManyInterests => {
            Err(api.no_device(path.instance).await)
        }
    }
}
