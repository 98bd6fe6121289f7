//! Takes requests apart: path segments, queries, bounded JSON bodies.
//!
//! Whatever is wrong with them becomes an [`ApiError`]. Path segments are percent-decoded once. A body is never held beyond
//! its limit.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use domain::device::{DeviceId, Platform};
use domain::instance::InstanceId;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::{Api, json_depth};
use crate::limits::{Held, Room};

/// How much of a body beyond its limit is read and thrown away, so that the caller reads the refusal instead of finding
/// the connection cut while it still sends.
pub(crate) const DRAINED_LENGTH_MAX: usize = 4 * 1024 * 1024;

/// The parameters of a path, decoded.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Segments<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(segments) = Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(|_: PathRejection| ApiError::BadPath)?;
        Ok(Self(segments))
    }
}

/// The instance that a path names. It has the form of an id; whether there is such an instance is not known.
pub(crate) fn instance_id(segment: &str) -> Result<InstanceId, ApiError> {
    InstanceId::parse(segment).map_err(|_| ApiError::InstanceNotFound)
}

/// The device that a path names, as `…/instances/{instance}/devices/{platform}/{device}`. Both ids have their form; a
/// string without it is the name of nothing, and answered like the id of a device that is not there, because a mobile SDK
/// makes a new device then and goes on.
#[derive(Clone, Copy)]
pub(crate) struct DevicePath {
    pub(crate) instance: InstanceId,
    pub(crate) device: DeviceId,
}

impl DevicePath {
    pub(crate) fn parse(instance: &str, platform: &str, device: &str) -> Result<Self, ApiError> {
        let instance = instance_id(instance)?;
        let device = DeviceId::parse(device)
            .filter(|device| Platform::parse(platform) == Some(device.platform()))
            .ok_or(ApiError::DeviceNotFound)?;
        Ok(Self { instance, device })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DevicePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Segments((instance, platform, device)) =
            Segments::<(String, String, String)>::from_request_parts(parts, state).await?;
        Self::parse(&instance, &platform, &device)
    }
}

/// Proof that the request says its body is JSON, with or without a charset.
pub(crate) struct JsonContent;

impl JsonContent {
    fn check(headers: &HeaderMap) -> Result<(), ApiError> {
        match essence(headers) {
            Some(essence) if essence.eq_ignore_ascii_case(b"application/json") => Ok(()),
            _ => Err(ApiError::NotJsonContent),
        }
    }
}

/// The content type without its parameters.
fn essence(headers: &HeaderMap) -> Option<&[u8]> {
    let given = headers.get(header::CONTENT_TYPE)?.as_bytes();
    given
        .split(|byte| *byte == b';')
        .next()
        .map(<[u8]>::trim_ascii)
}

/// In which of its two forms a publish comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PublishContent {
    /// One JSON object.
    Object,
    /// An object and lines behind it.
    Lines,
}

impl<S: Sync> FromRequestParts<S> for PublishContent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match essence(&parts.headers) {
            Some(essence) if essence.eq_ignore_ascii_case(b"application/x-ndjson") => {
                Ok(Self::Lines)
            }
            _ => JsonContent::check(&parts.headers).map(|()| Self::Object),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for JsonContent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::check(&parts.headers).map(|()| Self)
    }
}

/// A whole body of at most `MAX` bytes, of a caller who has proved itself.
pub(crate) struct Bounded<const MAX: usize>(pub(crate) Bytes);

impl<const MAX: usize> FromRequest<Api> for Bounded<MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let max = MAX.min(api.shared.limits.body_bytes_max);
        read_body(request.into_body(), max, None).await.map(Self)
    }
}

/// The fields of a JSON object of at most `MAX` bytes: content type and body are checked.
pub(crate) struct JsonObject<const MAX: usize>(pub(crate) Fields);

/// The fields of a JSON object, taken out by name. Those that nobody asks for are ignored, as SDKs send more than Beams
/// documents.
pub(crate) struct Fields(Map<String, Value>);

impl<const MAX: usize> FromRequest<Api> for JsonObject<MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        JsonContent::check(request.headers())?;
        let max = MAX.min(api.shared.limits.body_bytes_max);
        let room = room_of(request.extensions());
        let body = read_body(request.into_body(), max, room).await?;
        Fields::read(&body, api.shared.limits.json_depth_max).map(Self)
    }
}

impl Fields {
    /// The fields of a body whose values may be nested so deep.
    pub(crate) fn read(body: &[u8], depth_max: usize) -> Result<Self, ApiError> {
        json_depth::check(body, depth_max)?;
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|_| ApiError::NotAnObject)
    }

    /// A field; `null` counts as absent, as SDKs of typed languages send it.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// A field that must be there and be a text.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, ApiError> {
        match self.take(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            Some(Value::String(_)) => Err(ApiError::field(name, "must not be empty")),
            Some(_) => Err(ApiError::field(name, "must be a string")),
            None => Err(ApiError::field(name, format!("{name} is required"))),
        }
    }

    /// A field that may be there, and then is a text that is not empty.
    pub(crate) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => {
                self.0.insert(name.to_owned(), value);
                self.text(name).map(Some)
            }
        }
    }

    /// All fields that are left, as the one value that they were sent as.
    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// The room that a request over a connection has, with nothing in it.
pub(crate) fn room_of(extensions: &Extensions) -> Option<Held> {
    extensions.get::<Room>().and_then(|room| room.hold(0))
}

/// A whole body, up to its limit, if there is room for it.
pub(crate) async fn read_body(
    mut body: Body,
    max: usize,
    mut room: Option<Held>,
) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    let mut drained = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::BodyBroken)?.into_data() else {
            continue;
        };
        if drained == 0 && whole.len() + data.len() <= max {
            if let Some(held) = &mut room
                && !held.grow_to(whole.len() + data.len())
            {
                return Err(ApiError::Busy);
            }
            whole.extend_from_slice(&data);
            continue;
        }
        whole = BytesMut::new();
        drained += data.len();
        if drained > DRAINED_LENGTH_MAX {
            break;
        }
    }
    if drained > 0 {
        return Err(ApiError::BodyTooLarge { max });
    }
    Ok(whole.freeze())
}

/// The first value of a query parameter, form-decoded; an empty one counts as absent.
pub(crate) fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

/// How many things an answer is to have at most, of 1 to `max`.
pub(crate) fn limit_of(query: Option<&str>, default: usize, max: usize) -> Result<usize, ApiError> {
    match query_value(query, "limit") {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=max).contains(limit))
            .ok_or(ApiError::Limit { max }),
    }
}

/// A 200 with a JSON body and a newline behind it. What is given serialises: it has no maps but those with string keys.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    let mut body = serde_json::to_string(value).unwrap_or_default();
    body.push('\n');
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
