//! `…/devices/{platform}/{device}/interests`: what a device is subscribed to.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::interest::{
    INTEREST_NAME_LENGTH_MAX, INTERESTS_PER_DEVICE_MAX, InterestName, InvalidInterestName,
};
use serde::Serialize;
use serde_json::Value;
use store::console::{Trace, TraceKind};
use store::devices::Changed;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::extract::{DevicePath, Fields, JsonObject, Segments, json, query_value};
use crate::http::openapi::{Refusal, path};

/// The longest page of interests, and the length of one where the caller names none. Beams: device-api reference.
const PAGE_LENGTH_MAX: usize = 100;
/// The largest body of a replacement, in bytes: all the interests a device may have at their longest, quoted, indented.
const BODY_LENGTH_MAX: usize = INTERESTS_PER_DEVICE_MAX * (INTEREST_NAME_LENGTH_MAX + 16);
/// How many interests the debug console is told of.
const TOLD_MAX: usize = 20;

/// What a device is to be subscribed to, and nothing else.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, parsed by hand")]
pub(crate) struct Interests {
    /// Each up to 164 letters, digits and `_-=@,.;`.
    #[schema(max_items = 5000, example = json!(["panda"]))]
    interests: Vec<String>,
}

/// Some of a device's interests, ascending.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InterestPage {
    #[schema(value_type = Vec<String>)]
    interests: Vec<InterestName>,
    response_metadata: ResponseMetadata,
}

/// Where a list goes on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ResponseMetadata {
    /// Not there at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// `GET`: a page of the device's interests, ascending. The cursor says "behind this name", so it stays right whatever
/// happens to the set meanwhile.
#[utoipa::path(
    get,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}/interests",
    tag = "Device API",
    operation_id = "device_interests",
    summary = "What a device is subscribed to",
    params(
        path::Instance, path::Gateway, path::Device,
        ("cursor" = Option<String>, Query, description = "Where the list goes on"),
        ("limit" = Option<usize>, Query, description = "1 to 100; 100 without"),
    ),
    responses(
        (status = 200, body = InterestPage),
        (status = 400, body = Refusal),
        (status = 404, body = Refusal, description = "There is no such device, or no such instance"),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    path: DevicePath,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let (after, limit) = page(query.as_deref())?;
    let page = api
        .store()
        .interests(path.instance, path.device, after, limit)
        .await?;
    let Some(page) = page else {
        return Err(api.no_device(path.instance).await);
    };
    let next = page.interests.last().filter(|_| page.more);
    let next_cursor = next.map(|last| URL_SAFE_NO_PAD.encode(last.as_str()));
    Ok(json(&InterestPage {
        response_metadata: ResponseMetadata { next_cursor },
        interests: page.interests,
    }))
}

fn page(query: Option<&str>) -> Result<(Option<InterestName>, usize), ApiError> {
    let limit = match query_value(query, "limit") {
        None => PAGE_LENGTH_MAX,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=PAGE_LENGTH_MAX).contains(limit))
            .ok_or(ApiError::Query("limit"))?,
    };
    let after = query_value(query, "cursor").map(|text| {
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|name| InterestName::parse(name).ok())
            .ok_or(ApiError::Query("cursor"))
    });
    Ok((after.transpose()?, limit))
}

/// `PUT`: replaces all interests.
#[utoipa::path(
    put,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}/interests",
    tag = "Device API",
    operation_id = "set_device_interests",
    summary = "Replace all interests of a device",
    params(path::Instance, path::Gateway, path::Device),
    request_body = Interests,
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
    let interests = named(body)?;
    let told = Told::of(&api, &path, "now", &interests);
    let changed = api
        .store()
        .set_interests(path.instance, path.device, interests, api.now())
        .await?;
    answer(&api, &path, changed, told).await
}

/// The interests in a body, ascending, each once.
pub(crate) fn named(mut body: Fields) -> Result<Vec<InterestName>, ApiError> {
    let wrong = || ApiError::field("interests", "must be a list of strings");
    let Some(value) = body.take("interests") else {
        return Err(ApiError::field("interests", "interests is required"));
    };
    let Value::Array(values) = value else {
        return Err(wrong());
    };
    let mut names = Vec::with_capacity(values.len());
    for value in values {
        let Value::String(name) = value else {
            return Err(wrong());
        };
        names.push(InterestName::parse(name)?);
    }
    names.sort_unstable();
    names.dedup();
    if names.len() > INTERESTS_PER_DEVICE_MAX {
        return Err(ApiError::TooManyInterests);
    }
    Ok(names)
}

pub(crate) type OneInterest = Segments<(String, String, String, String)>;

/// `POST …/{interest}`, without a body: one interest more. The same again changes nothing.
#[utoipa::path(
    post,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}/interests/{*interest}",
    tag = "Device API",
    operation_id = "add_device_interest",
    summary = "Subscribe a device to an interest",
    description = "The same again changes nothing. A body is not looked at.",
    params(path::Instance, path::Gateway, path::Device, path::Interest),
    responses(
        (status = 200),
        (status = 400, body = Refusal),
        (status = 404, body = Refusal, description = "There is no such device, or no such instance"),
    )
)]
pub(crate) async fn add(State(api): State<Api>, path: OneInterest) -> Result<(), ApiError> {
    let (path, interest) = one(path)?;
    let told = Told::of(&api, &path, "added", std::slice::from_ref(&interest));
    let changed = api
        .store()
        .add_interest(
            path.instance,
            path.device,
            interest,
            INTERESTS_PER_DEVICE_MAX,
            api.now(),
        )
        .await?;
    answer(&api, &path, changed, told).await
}

/// `DELETE …/{interest}`: one interest less. The same again changes nothing.
#[utoipa::path(
    delete,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}/interests/{*interest}",
    tag = "Device API",
    operation_id = "remove_device_interest",
    summary = "Unsubscribe a device from an interest",
    description = "The same again changes nothing.",
    params(path::Instance, path::Gateway, path::Device, path::Interest),
    responses(
        (status = 200),
        (status = 400, body = Refusal),
        (status = 404, body = Refusal, description = "There is no such device, or no such instance"),
    )
)]
pub(crate) async fn remove(State(api): State<Api>, path: OneInterest) -> Result<(), ApiError> {
    let (path, interest) = one(path)?;
    let told = Told::of(&api, &path, "removed", std::slice::from_ref(&interest));
    let changed = api
        .store()
        .remove_interest(path.instance, path.device, interest, api.now())
        .await?;
    answer(&api, &path, changed, told).await
}

/// An interest with no name at all. Not a missing route: a mobile SDK takes a 404 here for the loss of its device.
#[utoipa::path(
    post,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}/interests/",
    tag = "Device API",
    operation_id = "add_nameless_interest",
    summary = "An interest without a name, which is refused",
    description = "Not a missing path: a mobile SDK takes a 404 for the loss of its device.",
    params(path::Instance, path::Gateway, path::Device),
    responses(
        (status = 400, body = Refusal, description = "An interest has a name"),
    )
)]
pub(crate) async fn add_nameless() -> ApiError {
    ApiError::Interest(InvalidInterestName::Empty)
}

/// The same.
#[utoipa::path(
    delete,
    path = "/device_api/v1/instances/{instance}/devices/{platform}/{device}/interests/",
    tag = "Device API",
    operation_id = "remove_nameless_interest",
    summary = "An interest without a name, which is refused",
    description = "Not a missing path: a mobile SDK takes a 404 for the loss of its device.",
    params(path::Instance, path::Gateway, path::Device),
    responses(
        (status = 400, body = Refusal, description = "An interest has a name"),
    )
)]
pub(crate) async fn remove_nameless() -> ApiError {
    ApiError::Interest(InvalidInterestName::Empty)
}

/// The name may have slashes (and is refused for them, by name): the route takes all that is left of the path.
pub(crate) fn one(path: OneInterest) -> Result<(DevicePath, InterestName), ApiError> {
    let Segments((instance, platform, device, interest)) = path;
    let path = DevicePath::parse(&instance, &platform, &device)?;
    Ok((path, InterestName::parse(interest)?))
}

/// What the debug console is told of a change.
struct Told {
    what: &'static str,
    interests: Vec<InterestName>,
}

impl Told {
    /// Nothing, unless somebody watches.
    fn of(
        api: &Api,
        path: &DevicePath,
        what: &'static str,
        named: &[InterestName],
    ) -> Option<Self> {
        api.trail().watched(path.instance)?;
        let interests = named.iter().take(TOLD_MAX).cloned().collect();
        Some(Self { what, interests })
    }
}

async fn answer(
    api: &Api,
    path: &DevicePath,
    changed: Changed,
    told: Option<Told>,
) -> Result<(), ApiError> {
    match changed {
        Changed::Done => {
            if let Some(Told { what, interests }) = told {
                api.trail().note(path.instance, |now| Trace {
                    device: Some(path.device),
                    interests,
                    detail: what.to_owned(),
                    ..Trace::new(now, TraceKind::Subscribed)
                });
            }
            Ok(())
        }
        Changed::UnknownDevice => Err(api.no_device(path.instance).await),
        Changed::TooManyInterests => Err(ApiError::TooManyInterests),
    }
}
