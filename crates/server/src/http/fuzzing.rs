//! Doors for the fuzz targets to how paths are read, through the same router and extractors as a request.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use domain::device::DeviceId;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::user::UserId;
use futures_util::FutureExt as _;
use http::Uri;
use tower::ServiceExt as _;

use super::caller::Caller;
use super::device_api::{OneInterest, one_interest};
use super::extract::DevicePath;

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
