//! Doors for the fuzz targets to the checks that are behind TLS listeners otherwise.
//!
//! Only in builds with the feature `fuzzing`. Each function says what the emulated service would: `Err` has its word.

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde_json::Value;

use crate::browser;
use crate::{apns, fcm, web_push};

/// A notification for APNs, but for its provider token.
///
/// # Errors
/// Apple's reason.
pub fn apns(head: &Parts, body: &Bytes) -> Result<(), String> {
    apns::check_request(head, body)
}

/// A message for FCM, but for its access token.
///
/// # Errors
/// Google's word.
pub fn fcm(body: &Value) -> Result<(), String> {
    fcm::check_message(body)
}

/// A push message, but for who sent it; with its time to live in seconds.
///
/// # Errors
/// The service's word.
pub fn web_push(headers: &HeaderMap, body: &Bytes) -> Result<u64, String> {
    web_push::check_message(headers, body)
}

/// Opens a push message with keys of a new subscription, as a browser does.
///
/// # Errors
/// Why it does not open.
pub fn decrypt(body: &[u8]) -> Result<Vec<u8>, String> {
    web_push::decrypt_with_new_keys(body)
}

/// Whether a text frame is a message of a browser.
pub fn is_from_browser(text: &str) -> bool {
    browser::is_message(text)
}
