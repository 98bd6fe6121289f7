//! `…/devices/{platform}` and `…/devices/{platform}/{device}`: a device registers, is looked at, stops.

use axum::extract::State;
use axum::response::Response;
use domain::device::{
    BundleId, DEVICE_METADATA_LENGTH_MAX, DeviceId, DeviceMetadata, GATEWAY_TOKEN_LENGTH_MAX,
    GatewayToken, InvalidDevice, Platform, Registration,
};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use serde::Serialize;
use store::console::{Trace, TraceKind};
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{DevicePath, Fields, JsonObject, Segments, instance_id, json};
use crate::http::openapi::{Refusal, path};
use crate::http::origin::Origin;

/// The largest body of a registration, in bytes: token and metadata at their longest, and as much again for what Android
/// adds (ids of an older SDK) and is ignored.
const REGISTRATION_LENGTH_MAX: usize = 4 * (GATEWAY_TOKEN_LENGTH_MAX + DEVICE_METADATA_LENGTH_MAX);

/// A device as its SDK registers it.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(crate) struct NewDevice {
    /// What the gateway addresses the device by: hexadecimal digits of APNs, a registration token of FCM, or the browser's push
    /// subscription as JSON in base64.
    #[schema(example = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")]
    token: String,
    /// The app's bundle identifier; needed for `apns`, ignored for the others.
    #[schema(example = "com.example.app")]
    bundle_identifier: Option<String>,
    /// What the SDK tells of its device, as in `…/metadata`.
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
}

/// A device that is registered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registered {
    /// Its id: the platform and a UUID.
    id: String,
    /// What it is subscribed to, ascending.
    #[schema(value_type = Vec<String>)]
    initial_interest_set: Vec<InterestName>,
}

/// A device.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownDevice {
    id: String,
    /// As it was sent; `{}` if none was.
    #[schema(value_type = Object)]
    metadata: serde_json::Value,
    /// Whose it is; an empty text if nobody's, and not null, since one SDK's decoder wants a text.
    user_id: String,
}

/// `POST …/devices/{platform}`: the id of the device with this gateway token, old or new, and the interests it has now.
/// SDKs register at every start of their app, and overwrite what they know with the answer.
#[utoipa::path(
    post,
    path = "/device_api/v1/instances/{instance}/devices/{platform}",
    tag = "Device API",
    operation_id = "register_device",
    summary = "Register a device, or find it again by its gateway token",
    description = "SDKs register at every start of their app, and overwrite what they know with the answer.",
    params(path::Instance, path::Gateway),
    request_body = NewDevice,
    responses(
        (status = 200, body = Registered),
        (status = 400, body = Refusal),
        (status = 402, body = Refusal, description = "The instance has as many devices as it may have, and this is another"),
        (status = 404, body = Refusal, description = "There is no such instance"),
    )
)]
pub(crate) async fn register(
    State(api): State<Api>,
    Segments((instance, platform)): Segments<(String, String)>,
    origin: Origin,
    JsonObject(body): JsonObject<REGISTRATION_LENGTH_MAX>,
) -> Result<Response, ApiError> {
    let platform = Platform::parse(&platform).ok_or(ApiError::RouteNotFound)?;
    let instance = instance_id(&instance)?;
    let registration = registration(instance, platform, body)?;
    // Who is not admitted, or names no instance, costs no turn of the one who writes.
    api.instance(instance).await?;
    let admission = &api.shared.admission;
    let admitted = admission.registration(Some(origin.address), instance, api.now(), api.nodes());
    admitted.map_err(ApiError::TooOften)?;
    if let GatewayToken::Web(subscription) = &registration.token {
        let guard = api.shared.gateways.guard();
        // The reason stays here: it would tell strangers about the network behind this server.
        guard
            .check_url(subscription.endpoint())
            .map_err(|_| ApiError::EndpointRefused)?;
    }
    let devices_max = api.shared.limits.devices_per_instance_max;
    let fresh = DeviceId::random(platform);
    let registered = api
        .store()
        .register_device(registration, fresh, devices_max, api.now())
        .await?;
    api.trail().note(instance, |now| Trace {
        device: Some(registered.id),
        detail: if registered.new { "new" } else { "again" }.to_owned(),
        ..Trace::new(now, TraceKind::Registered)
    });
    Ok(json(&Registered {
        id: registered.id.to_string(),
        initial_interest_set: registered.interests,
    }))
}

/// What a body asks to be registered.
pub(crate) fn registration(
    instance: InstanceId,
    platform: Platform,
    mut body: Fields,
) -> Result<Registration, ApiError> {
    let token = GatewayToken::parse(platform, &body.text("token")?)?;
    // Documented for FCM too, but its SDK sends none, and nothing needs it.
    let bundle_id = match platform {
        Platform::Apns => Some(BundleId::parse(&body.text("bundleIdentifier")?)?),
        Platform::Fcm | Platform::Web => None,
    };
    let metadata = body
        .take("metadata")
        .map(|value| DeviceMetadata::parse(&value))
        .transpose()?
        .unwrap_or_default();
    Ok(Registration {
        instance,
        token,
        bundle_id,
        metadata,
    })
}

/// `GET`: a device's user and metadata.
#[utoipa::path(
    get,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}",
    tag = "Device API",
    operation_id = "device",
    summary = "A device's user and metadata",
    params(path::Instance, path::Gateway, path::Device),
    responses(
        (status = 200, body = ShownDevice),
        (status = 404, body = Refusal, description = "There is no such device, or no such instance"),
    )
)]
pub(crate) async fn show(State(api): State<Api>, path: DevicePath) -> Result<Response, ApiError> {
    let Some(device) = api.store().device(path.instance, path.device).await? else {
        return Err(api.no_device(path.instance).await);
    };
    let metadata: serde_json::Value = serde_json::from_str(device.metadata.as_json())
        .map_err(|_| ApiError::from(InvalidDevice::Metadata))?;
    let user = device.user.as_ref().map_or("", |user| user.as_str());
    Ok(json(&ShownDevice {
        id: device.id.to_string(),
        user_id: user.to_owned(),
        metadata,
    }))
}

/// `DELETE`: afterwards there is no such device. That is so as well where there never was one, nor its instance, and where
/// the path names nothing that could be a device; an SDK would otherwise try again for ever and block all that follows.
#[utoipa::path(
    delete,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}",
    tag = "Device API",
    operation_id = "delete_device",
    summary = "Delete a device with its interests and its user",
    params(path::Instance, path::Gateway, path::Device),
    responses(
        (status = 200, description = "There is no such device any more, as there may never have been"),
    )
)]
pub(crate) async fn delete(
    State(api): State<Api>,
    path: Result<DevicePath, ApiError>,
) -> Result<(), ApiError> {
    if let Ok(path) = path {
        let deleted = api
            .store()
            .delete_device(path.instance, path.device)
            .await?;
        if deleted {
            api.trail().note(path.instance, |now| Trace {
                device: Some(path.device),
                detail: "by itself".to_owned(),
                ..Trace::new(now, TraceKind::Removed)
            });
        }
    }
    Ok(())
}
