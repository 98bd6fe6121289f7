//! Webhooks: what an app's backend is told of, and in which words.
//!
//! The request bodies are Beams' own, byte for byte (Beams: webhook reference); [`signature`] says who sent them. Knows nothing
//! of how a request is made or when it is repeated. Invariant: the same event makes the same body, however often it is made.

mod address;
mod event;
pub mod signature;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::clock::Timestamp;

pub use address::{InvalidWebhookUrl, PublishWebhookUrl, WEBHOOK_URL_LENGTH_MAX, WebhookUrl};
pub use event::{EventType, Events, PlatformResult, Removal, WebhookEvent};
pub use signature::{InvalidSecret, Scheme, WebhookSecret};

/// The longest custom data of a webhook, in bytes.
pub const CUSTOM_DATA_LENGTH_MAX: usize = 4 * 1024;
/// How many users one `v1.PublishToUsersAttempt` tells of: as many as Beams lets a publish name. A publish to more, which
/// Heliostat takes as lines, is told of in several.
pub const USERS_PER_EVENT_MAX: usize = 1000;

/// The id of a webhook, as `Webhook-ID-UUID` has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebhookId(Uuid);

impl WebhookId {
    /// A new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Checks an id: a UUID with hyphens.
    pub fn parse(id: &str) -> Option<Self> {
        (id.len() == 36)
            .then(|| Uuid::try_parse(id).ok())
            .flatten()
            .map(Self)
    }

    /// The id that a store kept.
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The UUID.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a webhook's owner wants back in every request: a JSON object, kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomData(String);

/// Why a text is no custom data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("custom data is a JSON object of at most {CUSTOM_DATA_LENGTH_MAX} bytes")]
pub struct InvalidCustomData;

impl CustomData {
    /// Checks custom data.
    pub fn parse(text: &str) -> Result<Self, InvalidCustomData> {
        let object: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_str(text);
        let text = text.trim();
        if object.is_err() || text.len() > CUSTOM_DATA_LENGTH_MAX {
            return Err(InvalidCustomData);
        }
        Ok(Self(text.into()))
    }

    /// What a store kept, checked when it was set.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CustomData {
    fn default() -> Self {
        Self("{}".into())
    }
}

/// The body of a request: the event's payload in Beams' wrapper.
///
/// `payload` is the JSON of a [`WebhookEvent`]; one that is no JSON, which a damaged store might hold, gives `None`.
pub fn body(
    payload: &str,
    event: EventType,
    id: Uuid,
    created_at: Timestamp,
    custom_data: &CustomData,
) -> Option<Vec<u8>> {
    #[derive(Serialize)]
    struct Body<'a> {
        payload: &'a RawValue,
        metadata: Metadata,
        custom_data: &'a RawValue,
    }
    #[derive(Serialize)]
    struct Metadata {
        created_at: String,
        event_type: &'static str,
        event_id: Uuid,
        product: &'static str,
    }
    let body = Body {
        payload: serde_json::from_str(payload).ok()?,
        metadata: Metadata {
            created_at: beams_time(created_at),
            event_type: event.as_str(),
            event_id: id,
            product: "beams",
        },
        custom_data: serde_json::from_str(custom_data.as_str()).ok()?,
    };
    serde_json::to_vec(&body).ok()
}

/// A time as Beams writes it: `2019-03-11T10:42:16+0000`.
fn beams_time(at: Timestamp) -> String {
    let text = Timestamp::from_secs(at.as_secs()).to_string();
    match text.strip_suffix('Z') {
        Some(bare) => format!("{bare}+0000"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceId;
    use crate::publish::PublishId;
    use crate::user::UserId;

    #[test]
    fn the_body_is_the_one_that_beams_documents() {
        let user = |id: &str| UserId::parse(id).unwrap();
        let event = WebhookEvent::PublishToUsersAttempt {
            instance: InstanceId::parse("9c83c1b2-77ac-49c5-94c2-bfc96f9bec49").unwrap(),
            publish: PublishId::parse("pubid-1df0b272-910b-43f7-9271-7345036aa739").unwrap(),
            delivered_to_gateway: vec![user("user-001"), user("user-002")],
            no_devices: vec![user("user-005")],
            gateway_failed: vec![],
        };
        let body = body(
            &event.payload(),
            event.event_type(),
            Uuid::parse_str("e1b9d31a-480e-43dc-ae97-93ed96576372").unwrap(),
            Timestamp::parse_rfc3339("2019-03-11T10:42:16.789Z").unwrap(),
            &CustomData::default(),
        );
        let expected = concat!(
            r#"{"payload":{"instance_id":"9c83c1b2-77ac-49c5-94c2-bfc96f9bec49","#,
            r#""publish_id":"pubid-1df0b272-910b-43f7-9271-7345036aa739","#,
            r#""users_delivered_to_gateway":["user-001","user-002"],"users_no_devices":["user-005"],"#,
            r#""users_gateway_failed":[]},"#,
            r#""metadata":{"created_at":"2019-03-11T10:42:16+0000","event_type":"v1.PublishToUsersAttempt","#,
            r#""event_id":"e1b9d31a-480e-43dc-ae97-93ed96576372","product":"beams"},"custom_data":{}}"#,
        );
        assert_eq!(String::from_utf8(body.unwrap()).unwrap(), expected);
    }

    #[test]
    fn custom_data_is_an_object_and_stays_as_written() {
        let kept = CustomData::parse(r#" {"n": 1.50, "a":[]} "#).unwrap();
        assert_eq!(kept.as_str(), r#"{"n": 1.50, "a":[]}"#);
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(CUSTOM_DATA_LENGTH_MAX));
        for text in ["", "1", "[]", "null", "{", long.as_str()] {
            assert_eq!(CustomData::parse(text), Err(InvalidCustomData), "{text}");
        }
    }
}
