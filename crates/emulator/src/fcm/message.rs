//! The rules about a message that its shape does not say.
//!
//! Owns sizes, reserved keys, the one target and what belongs together; the shape itself is the schema's. Invariant:
//! each refusal names the field that it is about.

use serde_json::Value;

use super::refusal::Refusal;
use super::schema::{REQUEST, check_object, is_field};

/// The most bytes of data and notification together; Google's "maximum payload".
const PAYLOAD_BYTES_MAX: usize = 4096;
/// Android keeps a message for at most four weeks.
const TTL_SECONDS_MAX: f64 = 2_419_200.0;
const TOKEN_BYTES_MAX: usize = 4096;
const TARGETS: [&str; 3] = ["token", "topic", "condition"];

/// The registration token (or topic, or condition) of a message that may yet be wrong.
pub(super) fn target(body: &Value) -> &str {
    let message = &body["message"];
    TARGETS
        .iter()
        .find_map(|target| message[target].as_str())
        .unwrap_or("")
}

/// Checks everything that Google documents about a request to send.
pub(super) fn check(body: &Value) -> Result<(), Refusal> {
    check_object("", body, REQUEST)?;
    let message = &body["message"];
    if !message.is_object() {
        return Err(Refusal::invalid("message", "Message is required."));
    }
    if TARGETS
        .iter()
        .filter(|target| message[**target].is_string())
        .count()
        != 1
    {
        return Err(Refusal::invalid(
            "message",
            "Exactly one of token, topic or condition is required.",
        ));
    }
    if let Some(token) = message["token"].as_str() {
        let plain = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !plain {
            return Err(Refusal::invalid(
                "message.token",
                "The registration token is not a valid FCM registration token",
            ));
        }
    }
    let android = &message["android"];
    check_data("message.data", &message["data"])?;
    check_data("message.android.data", &android["data"])?;
    check_data("message.webpush.data", &message["webpush"]["data"])?;
    if let Some(ttl) = android["ttl"].as_str()
        && ttl
            .trim_end_matches('s')
            .parse::<f64>()
            .is_ok_and(|seconds| seconds > TTL_SECONDS_MAX)
    {
        return Err(Refusal::invalid(
            "message.android.ttl",
            "Invalid TTL: it must be at most four weeks.",
        ));
    }
    check_arguments(android)?;
    let data = if android["data"].is_object() {
        &android["data"]
    } else {
        &message["data"]
    };
    if text_bytes(data)
        + text_bytes(&message["notification"])
        + text_bytes(&android["notification"])
        > PAYLOAD_BYTES_MAX
    {
        return Err(Refusal::invalid("message", "Message is too big"));
    }
    Ok(())
}

/// Google reserves some keys for itself.
fn check_data(path: &str, data: &Value) -> Result<(), Refusal> {
    let Some(data) = data.as_object() else {
        return Ok(());
    };
    for key in data.keys() {
        let reserved = ["from", "message_type"].contains(&key.as_str())
            || ["google", "gcm"]
                .iter()
                .any(|prefix| key.starts_with(prefix));
        if reserved {
            return Err(Refusal::invalid(
                &format!("{path}[{key}]"),
                &format!("Invalid data payload key: {key}"),
            ));
        }
    }
    Ok(())
}

/// Arguments without the text that they go into.
fn check_arguments(android: &Value) -> Result<(), Refusal> {
    let Some(notification) = android["notification"].as_object() else {
        return Ok(());
    };
    let has = |field: &str| notification.keys().any(|key| is_field(field, key));
    for (arguments, key) in [
        ("body_loc_args", "body_loc_key"),
        ("title_loc_args", "title_loc_key"),
    ] {
        if has(arguments) && !has(key) {
            let field = format!("message.android.notification.{arguments}");
            return Err(Refusal::invalid(
                &field,
                &format!("{key} is required when {arguments} is set."),
            ));
        }
    }
    Ok(())
}

/// The bytes of all keys of an object and all text in it.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(all) => all.iter().map(text_bytes).sum(),
        Value::Object(all) => all
            .iter()
            .map(|(key, value)| key.len() + text_bytes(value))
            .sum(),
        _ => 0,
    }
}
