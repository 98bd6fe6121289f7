//! `…/devices/{platform}/{device}/user`: a device proves whose it is.

use axum::extract::State;
use domain::beams_token;
use domain::user::DEVICES_PER_USER_AND_PLATFORM_MAX;
use http::HeaderMap;
use store::console::{Trace, TraceKind};
use store::devices::Bound;

use crate::http::Api;
use crate::http::auth::bearer;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::extract::DevicePath;
use crate::http::openapi::{Refusal, path};

/// `PUT`, without a body: binds the device to the user that the Beams token names. The same again changes nothing.
#[utoipa::path(
    put,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}/user",
    tag = "Device API",
    operation_id = "bind_user",
    summary = "Bind a device to the user that a Beams token names",
    description = "Without a body. The same again changes nothing.",
    security(("beams_token" = [])),
    params(path::Instance, path::Gateway, path::Device),
    responses(
        (status = 200),
        (status = 400, body = Refusal, description = "The token has not all its claims, or the device belongs to another user"),
        (status = 401, body = Refusal, description = "The token is missing, expired, or not signed with a key of the instance"),
        (status = 403, body = Refusal, description = "The token is another instance's"),
        (status = 404, body = Refusal, description = "There is no such device, or no such instance"),
        (status = 422, body = Refusal, description = "The user has 100 devices of this platform"),
    )
)]
pub(crate) async fn bind(
    State(api): State<Api>,
    path: DevicePath,
    caller: Caller,
    headers: HeaderMap,
) -> Result<(), ApiError> {
    let token = bearer(&headers).ok_or(ApiError::NoBeamsToken)?;
    let instance = api.instance(path.instance).await?;
    let keys = instance.secret_keys();
    let user = beams_token::verify(
        token,
        &path.instance,
        keys,
        &api.shared.public_url,
        api.now(),
    )?;
    let told = api.trail().watched(path.instance).map(|_| user.clone());
    let bound = api
        .store()
        .bind_user(
            path.instance,
            path.device,
            user,
            DEVICES_PER_USER_AND_PLATFORM_MAX,
            api.now(),
        )
        .await?;
    match bound {
        Bound::Done => {
            api.trail().note(path.instance, |now| Trace {
                device: Some(path.device),
                user: told,
                ..Trace::new(now, TraceKind::Bound)
            });
            Ok(())
        }
        Bound::UnknownDevice => Err(ApiError::DeviceNotFound),
        Bound::ToAnotherUser => Err(ApiError::BoundToAnotherUser),
        Bound::TooManyDevices => Err(ApiError::TooManyDevices {
            retried_if_unprocessable: caller == Caller::Swift,
        }),
    }
}
