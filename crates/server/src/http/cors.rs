//! Cross-origin rules for what the web SDK calls: the device API and the reporting API.
//!
//! The web SDK runs on its owner's site and calls this server from there, without cookies. So any origin may, and every
//! answer says so, refusals too: without that a page could not read why. The server SDKs' APIs are not for pages and say
//! nothing.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, X-Pusher-Library");
/// A day; browsers cut it to their own limits (Chromium two hours, Firefox a day).
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("86400");
const EVERYBODY: HeaderValue = HeaderValue::from_static("*");

/// Answers preflights and lets pages read the answers to the requests behind them.
pub(crate) async fn allow(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.starts_with("/device_api/") && !path.starts_with("/reporting_api/") {
        return next.run(request).await;
    }
    let mut response = if is_preflight(&request) {
        preflight()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, EVERYBODY);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Retry-After"),
    );
    response
}

fn is_preflight(request: &Request) -> bool {
    let headers: &HeaderMap = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS);
    response
}
