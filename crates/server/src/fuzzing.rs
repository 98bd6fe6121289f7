//! Doors for the fuzz targets to readers that only the HTTP side has.
//!
//! Only in builds with the feature `fuzzing`, which nothing that is shipped has.

use std::net::{IpAddr, SocketAddr};

use domain::device::{DeviceId, Platform, Registration};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::user::UserId;
use http::{HeaderMap, Uri};
use store::publishes::Event;

use crate::config::Proxies;

/// The device and the interest that the path of a request names, if they are such.
pub fn interest_path(path: &str) -> Option<(InstanceId, DeviceId, InterestName)> {
    crate::http::fuzzing::interest_path(path)
}

/// The user that the path of a request names, from a caller that encodes a space as a plus, or from another.
pub fn user_path(path: &str, encodes_as_forms: bool) -> Option<UserId> {
    crate::http::fuzzing::user_path(path, encodes_as_forms)
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Met {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection speaks TLS.
    pub tls: bool,
}

/// Where a request comes from, behind all proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The client's address.
    pub address: IpAddr,
    /// Whether the client speaks https.
    pub https: bool,
    /// What the client called this server, if it said.
    pub url: Option<String>,
}

/// Where a request with this head comes from.
///
/// # Errors
/// What the caller is told.
pub fn origin(met: Met, headers: &HeaderMap, uri: &Uri, proxies: &Proxies) -> Result<Seen, String> {
    crate::http::fuzzing::origin(met, headers, uri, proxies)
}

/// The key or token that a request carries.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    crate::http::fuzzing::bearer(headers)
}

/// The session of the dashboard that a request's cookies name.
pub fn session_cookie(headers: &HeaderMap, https: bool) -> Option<&str> {
    crate::dashboard::session_cookie(headers, https)
}

/// A parameter of a query.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    crate::http::fuzzing::parameter(query, name)
}

/// How many things a query wants.
///
/// # Errors
/// What the caller is told.
pub fn limit(query: &str, default: usize, max: usize) -> Result<usize, String> {
    crate::http::fuzzing::limit(query, default, max)
}

/// Whether the values of a body are nested deeper than that.
pub fn is_too_deep(body: &[u8], max: usize) -> bool {
    crate::http::fuzzing::is_too_deep(body, max)
}

/// What the body of a registration asks for.
///
/// # Errors
/// What the caller is told.
pub fn register(
    instance: InstanceId,
    platform: Platform,
    body: &[u8],
    depth_max: usize,
) -> Result<Registration, String> {
    crate::http::fuzzing::register(instance, platform, body, depth_max)
}

/// The interests that a body names.
///
/// # Errors
/// What the caller is told.
pub fn interests(body: &[u8], depth_max: usize) -> Result<Vec<InterestName>, String> {
    crate::http::fuzzing::interests(body, depth_max)
}

/// What the body of a report says; `None` where it is about nothing of this server.
///
/// # Errors
/// What the caller is told.
pub fn event(instance: InstanceId, body: &[u8], depth_max: usize) -> Result<Option<Event>, String> {
    crate::http::fuzzing::event(instance, body, depth_max)
}
