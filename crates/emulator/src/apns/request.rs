//! What Apple demands of a request, one rule at a time.
//!
//! Each function looks at one part (target, token, headers, payload) and knows nothing of behaviours or answers.
//! Invariant: nothing here changes anything; the same request always gets the same answer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::refusal::Refusal;

pub(super) const DEVICE_PATH: &str = "/3/device/";
/// The largest payload.
pub(super) const PAYLOAD_BYTES_MAX: usize = 4096;
/// The largest payload of a VoIP notification.
pub(super) const VOIP_PAYLOAD_BYTES_MAX: usize = 5120;
const COLLAPSE_ID_BYTES_MAX: usize = 64;
/// Device tokens are hexadecimal. Apple says that their length may change; today they are 64 digits, and never more
/// than 200.
const TOKEN_DIGITS: std::ops::RangeInclusive<usize> = 64..=200;
const PUSH_TYPES: [&str; 12] = [
    "alert",
    "background",
    "complication",
    "controls",
    "fileprovider",
    "liveactivity",
    "location",
    "mdm",
    "pushtotalk",
    "voip",
    "watchcontrols",
    "widgets",
];
/// The headers of which Apple takes one each.
const SINGLE_HEADERS: [&str; 7] = [
    "authorization",
    "apns-id",
    "apns-topic",
    "apns-push-type",
    "apns-priority",
    "apns-expiration",
    "apns-collapse-id",
];

/// A header that is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The `apns-id`, if it is there and a UUID.
pub(super) fn given_id(headers: &HeaderMap) -> Option<String> {
    header(headers, "apns-id")
        .filter(|id| is_canonical_uuid(id))
        .map(str::to_owned)
}

/// Apple wants the form with hyphens.
fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

pub(super) fn check_target(head: &Parts) -> Result<(), Refusal> {
    match head.uri.path().strip_prefix(DEVICE_PATH) {
        None => Err(Refusal::of("BadPath")),
        Some(_) if head.method != Method::POST => Err(Refusal::of("MethodNotAllowed")),
        Some("") => Err(Refusal::of("MissingDeviceToken")),
        Some(token) if token.contains('/') => Err(Refusal::of("BadPath")),
        Some(_) => Ok(()),
    }
}

pub(super) fn check_token(token: &str) -> Result<(), Refusal> {
    let digits = token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits && TOKEN_DIGITS.contains(&token.len()) && token.len().is_multiple_of(2) {
        Ok(())
    } else {
        Err(Refusal::of("BadDeviceToken"))
    }
}

pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in SINGLE_HEADERS {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(Refusal::of("DuplicateHeaders"));
        }
    }
    let topic = headers
        .get("apns-topic")
        .ok_or_else(|| Refusal::of("MissingTopic"))?;
    let is_topic = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    match topic.to_str() {
        Ok("") => return Err(Refusal::of("MissingTopic")),
        Ok(topic) if topic.len() <= 255 && is_topic(topic) => {}
        _ => return Err(Refusal::of("BadTopic")),
    }
    require(headers, "apns-id", "BadMessageId", is_canonical_uuid)?;
    require(headers, "apns-push-type", "InvalidPushType", |kind| {
        PUSH_TYPES.contains(&kind)
    })?;
    require(headers, "apns-expiration", "BadExpirationDate", |at| {
        at.parse::<u64>().is_ok_and(|at| i64::try_from(at).is_ok()) && !at.starts_with('+')
    })?;
    require(headers, "apns-collapse-id", "BadCollapseId", |id| {
        id.len() <= COLLAPSE_ID_BYTES_MAX
    })?;
    let background = header(headers, "apns-push-type") == Some("background");
    // "Always use priority 5. Using priority 10 is an error", says Apple of background notifications.
    require(
        headers,
        "apns-priority",
        "BadPriority",
        |priority| match priority {
            "1" | "5" => true,
            "10" => !background,
            _ => false,
        },
    )
}

/// A header that may be absent but must satisfy `rule` when it is there.
fn require(
    headers: &HeaderMap,
    name: &str,
    reason: &'static str,
    rule: impl FnOnce(&str) -> bool,
) -> Result<(), Refusal> {
    match headers.get(name) {
        Some(value) if !value.to_str().is_ok_and(rule) => Err(Refusal::of(reason)),
        _ => Ok(()),
    }
}

/// A JSON object that says something. What is not an object gets Apple's only word about content, `PayloadEmpty`.
pub(super) fn check_payload(headers: &HeaderMap, body: &Bytes) -> Result<(), Refusal> {
    let most = if header(headers, "apns-push-type") == Some("voip") {
        VOIP_PAYLOAD_BYTES_MAX
    } else {
        PAYLOAD_BYTES_MAX
    };
    if body.len() > most {
        return Err(Refusal::of("PayloadTooLarge"));
    }
    let object: Result<BTreeMap<Cow<'_, str>, &RawValue>, _> = serde_json::from_slice(body);
    match object {
        Ok(object) if !object.is_empty() => match object.get("aps") {
            Some(aps) if !aps.get().starts_with('{') => Err(Refusal::of("PayloadEmpty")),
            _ => Ok(()),
        },
        _ => Err(Refusal::of("PayloadEmpty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(text: &str) -> Result<(), Refusal> {
        check_payload(&HeaderMap::new(), &Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_payload_is_an_object_that_says_something() {
        for bad in ["", "{}", "[]", "null", "{", r#"{"aps":1}"#, "\u{0}"] {
            assert_eq!(payload(bad), Err(Refusal::of("PayloadEmpty")), "{bad}");
        }
        for good in [
            r#"{"aps":{}}"#,
            r#"{"x":1}"#,
            r#" { "aps" : {"alert":"é"} } "#,
        ] {
            assert_eq!(payload(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn tokens_are_hexadecimal() {
        assert_eq!(check_token(&"0aF9".repeat(16)), Ok(()));
        let long = "ab".repeat(101);
        for bad in [
            "",
            "abc",
            &"zz".repeat(32),
            &"ab".repeat(31),
            &long,
            &("ab".repeat(32) + "c"),
        ] {
            assert_eq!(
                check_token(bad),
                Err(Refusal::of("BadDeviceToken")),
                "{bad}"
            );
        }
    }
}
