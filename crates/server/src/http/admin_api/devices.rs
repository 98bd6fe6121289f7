//! `…/devices`: listed, looked up, tested, taken from their users, deleted.

use axum::extract::State;
use axum::response::Response;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::interest::InterestName;
use domain::user::UserId;
use http::Uri;
use serde_json::json as value;
use store::administration::DeviceFilter;
use utoipa::ToSchema;

use super::Object;
use super::access::{MayRead, MayWrite};
use crate::admin::devices::{self, DeviceInFull, DevicePage, Tested};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{JsonObject, Segments, json, limit_of, query_value};
use crate::http::openapi::{InInstance, Refusal, path};

/// The device that a path names behind its instance. What has not the form of an id is the id of no device.
fn device_id(Segments((_, device)): &Segments<(String, String)>) -> Result<DeviceId, ApiError> {
    DeviceId::parse(device).ok_or(ApiError::DeviceNotFound)
}

/// How many devices one answer has if not asked otherwise, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 500;

/// `GET`, with `user` or `interest`, `cursor` and `limit`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/devices",
    tag = "Admin API: devices",
    operation_id = "admin_devices",
    summary = "Devices: all, a user's, or an interest's",
    params(
        path::Instance,
        ("user" = Option<String>, Query, description = "Whose devices"),
        ("interest" = Option<String>, Query, description = "Devices subscribed to what"),
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 500; 50 without"),
    ),
    responses(
        (status = 200, body = DevicePage),
        (status = 400, body = Refusal),
        InInstance,
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    MayRead { instance }: MayRead,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = uri.query();
    let filter = match (query_value(query, "user"), query_value(query, "interest")) {
        (None, None) => DeviceFilter::All,
        (Some(user), None) => {
            DeviceFilter::User(UserId::parse(user).map_err(|_| ApiError::Query("user"))?)
        }
        (None, Some(interest)) => DeviceFilter::Interest(
            InterestName::parse(interest).map_err(|_| ApiError::Query("interest"))?,
        ),
        (Some(_), Some(_)) => return Err(ApiError::Query("interest")),
    };
    let after = query_value(query, "cursor")
        .map(|cursor| cursor.parse().map_err(|_| ApiError::Query("cursor")))
        .transpose()?
        .map_or_else(DeviceOrdinal::default, DeviceOrdinal);
    let limit = limit_of(query, LIMIT_DEFAULT, LIMIT_MAX)?;
    Ok(json(
        &devices::list(api.admin(), instance, filter, after, limit).await?,
    ))
}

/// What a test notification is to say.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, parsed by the domain")]
pub(super) struct TestNotification {
    /// As in a publish, with at least one of `apns`, `fcm` and `web`; a greeting without.
    #[schema(value_type = Option<Object>)]
    payload: Option<()>,
}

/// `POST`: answered once the gateway has answered.
#[utoipa::path(
    post,
    path = "/admin_api/v1/instances/{instance}/devices/{device}/test",
    tag = "Admin API: devices",
    operation_id = "admin_test_device",
    summary = "Send a test notification",
    params(path::Instance, path::Device),
    request_body = TestNotification,
    responses(
        (status = 200, body = Tested, description = "Whatever the gateway answered"),
        (status = 400, body = Refusal),
        (status = 409, body = Refusal, description = "There is no way to the gateway"),
        InInstance,
    )
)]
pub(crate) async fn test(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    segments: Segments<(String, String)>,
    JsonObject(mut fields): Object,
) -> Result<Response, ApiError> {
    let device = device_id(&segments)?;
    let payloads = match fields.take("payload") {
        None => None,
        Some(given) if given.is_object() => Some(devices::payloads(&given)?),
        Some(_) => return Err(ApiError::field("payload", "must be an object")),
    };
    let tested = devices::test(api.admin(), &actor, instance, device, payloads).await?;
    Ok(json(&tested))
}

/// `GET`.
#[utoipa::path(
    get,
    path = "/admin_api/v1/instances/{instance}/devices/{device}",
    tag = "Admin API: devices",
    operation_id = "admin_device",
    summary = "A device with its interests, without its gateway token",
    params(path::Instance, path::Device),
    responses(
        (status = 200, body = DeviceInFull),
        InInstance,
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
    tag = "Admin API: devices",
    operation_id = "admin_delete_device",
    summary = "Delete a device",
    params(path::Instance, path::Device),
    responses(
        (status = 200, body = Object),
        InInstance,
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

/// `DELETE …/user`.
#[utoipa::path(
    delete,
    path = "/admin_api/v1/instances/{instance}/devices/{device}/user",
    tag = "Admin API: devices",
    operation_id = "admin_unbind_device",
    summary = "Take a device from its user; it stays, and may be bound again",
    params(path::Instance, path::Device),
    responses(
        (status = 200, body = Object, description = "Whose it was; null if it was nobody's"),
        InInstance,
    )
)]
pub(crate) async fn unbind(
    State(api): State<Api>,
    MayWrite { actor, instance }: MayWrite,
    segments: Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let device = device_id(&segments)?;
    let user = devices::unbind(api.admin(), &actor, instance, device).await?;
    let user = user.as_ref().map(UserId::as_str);
    Ok(json(
        &value!({"id": device.to_string(), "unboundFrom": user}),
    ))
}
