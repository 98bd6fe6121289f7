//! A message as a request to FCM, and an assertion as a request to Google's token endpoint.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, header};

use crate::http::Target;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
/// `urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523 section 2.1), percent-encoded.
const JWT_BEARER: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";

/// The path that messages of a project are sent to. Project ids have letters, digits, `-`, `.`, `:` and `_`.
pub(super) fn path(project_id: &str) -> PathAndQuery {
    let path = Bytes::from(format!("/v1/projects/{project_id}/messages:send"));
    PathAndQuery::from_maybe_shared(path).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

/// The request for a message.
pub(super) fn send(
    target: &Target,
    path: &PathAndQuery,
    authorization: &HeaderValue,
) -> Request<()> {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(header::AUTHORIZATION, authorization.clone());
    headers.insert(header::CONTENT_TYPE, JSON);
    post(target, path, headers)
}

/// The request for an access token.
pub(super) fn token(target: &Target, path: &PathAndQuery, body: &Bytes) -> Request<()> {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(header::CONTENT_TYPE, FORM);
    headers.insert(header::ACCEPT, JSON);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    post(target, path, headers)
}

/// The body for an access token. An assertion is base64url and dots, which a form needs no escapes for.
pub(super) fn token_body(assertion: &str) -> Bytes {
    Bytes::from(format!("grant_type={JWT_BEARER}&assertion={assertion}"))
}

fn post(target: &Target, path: &PathAndQuery, headers: HeaderMap) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri(path.clone());
    *request.headers_mut() = headers;
    request
}
