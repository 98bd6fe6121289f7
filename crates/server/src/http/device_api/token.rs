//! `…/devices/fcm/{device}/token`: FCM gave the app another registration token.

use axum::extract::State;
use domain::device::{GATEWAY_TOKEN_LENGTH_MAX, GatewayToken, Platform};
use store::devices::Changed;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{DevicePath, JsonObject};
use crate::http::openapi::{Refusal, path};

/// The largest body, in bytes.
const BODY_LENGTH_MAX: usize = 2 * GATEWAY_TOKEN_LENGTH_MAX;

/// What FCM calls the app now.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(crate) struct NewGatewayToken {
    #[schema(example = "fcm-registration-token")]
    token: String,
}

/// `PUT`: the device is the same, with all it has; only the gateway knows it by another name now. The other platforms have
/// no such route: they register again.
#[utoipa::path(
    put,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}/token",
    tag = "Device API",
    operation_id = "set_device_token",
    summary = "Replace the gateway token of a device of FCM",
    params(
        path::Instance,
        ("platform" = String, Path, description = "fcm; the others register again"),
        path::Device,
    ),
    request_body = NewGatewayToken,
    responses(
        (status = 200),
        (status = 400, body = Refusal),
        (status = 404, body = Refusal, description = "There is no such device, or no such instance"),
    )
)]
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
