//! Doors for the fuzz targets to how requests are read: paths through the same router and extractors, heads and bodies by the same
//! functions.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use domain::clock::Timestamp;
use domain::device::{DeviceId, Platform, Registration};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::user::UserId;
use futures_util::FutureExt as _;
use http::{HeaderMap, Uri};
use store::publishes::Event;
use tower::ServiceExt as _;

use super::caller::Caller;
use super::device_api::{OneInterest, interests_named, one_interest, registration};
use super::extract::{DevicePath, Fields, limit_of, query_value};
use super::origin::{Origin, Peer};
use super::{auth, json_depth, reporting_api};
use crate::config::Proxies;
use crate::fuzzing::{Met, Seen};

/// The device and the interest that a path names, as [`crate::fuzzing::interest_path`] hands them out.
type Named = (InstanceId, DeviceId, InterestName);

pub(crate) fn interest_path(path: &str) -> Option<Named> {
    let found: Arc<Mutex<Option<Named>>> = Arc::default();
    let kept = Arc::clone(&found);
    let handler = move |path: OneInterest| async move {
        let named = one_interest(path).ok();
        let named =
            named.map(|(DevicePath { instance, device }, interest)| (instance, device, interest));
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = named;
    };
    let route =
        "/device_api/v1/instances/{instance}/devices/{platform}/{device}/interests/{*interest}";
    let router: Router = Router::new().route(route, any(handler));
    let uri: Uri = path.parse().ok()?;
    let request = Request::builder().uri(uri).body(Body::empty()).ok()?;
    // Nothing in it waits for anything.
    router.oneshot(request).now_or_never()?.ok()?;
    found.lock().unwrap_or_else(PoisonError::into_inner).take()
}

pub(crate) fn user_path(path: &str, encodes_as_forms: bool) -> Option<UserId> {
    let uri: Uri = path.parse().ok()?;
    let caller = if encodes_as_forms {
        Caller::FormEncoding
    } else {
        Caller::Other
    };
    super::customer_api::user_id(uri.path(), caller).ok()
}

pub(crate) fn origin(
    met: Met,
    headers: &HeaderMap,
    uri: &Uri,
    proxies: &Proxies,
) -> Result<Seen, String> {
    let peer = Peer {
        address: met.address,
        tls: met.tls,
    };
    let origin = Origin::of(peer, headers, uri, proxies).map_err(|error| error.to_string())?;
    Ok(Seen {
        url: origin.url(),
        address: origin.address,
        https: origin.https,
    })
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    auth::bearer(headers)
}

pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    query_value(Some(query), name)
}

pub(crate) fn limit(query: &str, default: usize, max: usize) -> Result<usize, String> {
    limit_of(Some(query), default, max).map_err(|error| error.to_string())
}

pub(crate) fn is_too_deep(body: &[u8], max: usize) -> bool {
    json_depth::check(body, max).is_err()
}

pub(crate) fn register(
    instance: InstanceId,
    platform: Platform,
    body: &[u8],
    depth_max: usize,
) -> Result<Registration, String> {
    Fields::read(body, depth_max)
        .and_then(|fields| registration(instance, platform, fields))
        .map_err(|error| error.to_string())
}

pub(crate) fn interests(body: &[u8], depth_max: usize) -> Result<Vec<InterestName>, String> {
    Fields::read(body, depth_max)
        .and_then(interests_named)
        .map_err(|error| error.to_string())
}

pub(crate) fn event(
    instance: InstanceId,
    body: &[u8],
    depth_max: usize,
) -> Result<Option<Event>, String> {
    let received = Timestamp::from_secs(0);
    Fields::read(body, depth_max)
        .and_then(|fields| reporting_api::event(instance, fields, received))
        .map_err(|error| error.to_string())
}
