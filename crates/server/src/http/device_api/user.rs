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

/// `PUT`, without a body: binds the device to the user that the Beams token names. The same again changes nothing.
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
