//! The payload for browsers, in the shape that Beams' service worker reads.
//!
//! The worker ignores a push without `data.pusher`, and its default handler reads properties of `notification`, so both
//! are always there.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Origin, RawObject, TIME_TO_LIVE_MAX, object, raw, remaining_secs, take, take_data};
use crate::publish::InvalidPublish;

/// The largest clear text that fits a push message: 4096 bytes (RFC 8030 section 7.2) less the header (86, RFC 8188), the
/// padding delimiter (1) and the tag (16).
pub const WEB_PLAINTEXT_LENGTH_MAX: usize = 3993;
/// The longest topic, in characters. RFC 8030 section 5.4.
pub const TOPIC_LENGTH_MAX: usize = 32;

/// How much a push message matters to a device that saves energy. RFC 8030 section 5.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// Advertisements.
    VeryLow,
    /// Topic updates.
    Low,
    /// Chat and calendar messages. The default.
    Normal,
    /// Calls and time-sensitive alerts.
    High,
}

impl Urgency {
    /// The value of the `Urgency` header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VeryLow => "very-low",
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// The `web` part of a publish, checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WebPayload {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notification: Option<RawObject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<RawObject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_to_live_secs: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    urgency: Option<Urgency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
}

/// A push message before it is encrypted for each browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebPushMessage {
    /// The clear text, JSON.
    pub plaintext: Vec<u8>,
    /// The `TTL` header, in seconds.
    pub ttl_secs: u64,
    /// The `Urgency` header, where asked for.
    pub urgency: Option<Urgency>,
    /// The `Topic` header, where asked for.
    pub topic: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    notification: &'a RawObject,
    data: &'a RawObject,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PusherEntry {
    instance_id: String,
    publish_id: String,
    has_displayable_content: bool,
    has_data: bool,
}

impl WebPayload {
    /// The title of the notification.
    pub(super) fn title(&self) -> Option<String> {
        let title = self.notification.as_ref()?.get("title")?;
        serde_json::from_str(title.get()).ok()
    }

    /// Checks the `web` part of a publish.
    pub fn parse(part: &RawValue) -> Result<Self, InvalidPublish> {
        let mut part = object("web", part)?;
        let notification: Option<RawObject> = take(&mut part, "web", "notification", "an object")?;
        let notification = notification.map(check_notification).transpose()?;
        let data = take_data(&mut part, "web")?;
        if data
            .as_ref()
            .is_some_and(|data| data.contains_key("pusher"))
        {
            return Err(InvalidPublish::new(
                "web.data.pusher",
                "this key is reserved",
            ));
        }
        if notification.is_none() && data.is_none() {
            return Err(InvalidPublish::new(
                "web",
                "at least one of notification, data is required",
            ));
        }
        let time_to_live_secs: Option<u32> = take(
            &mut part,
            "web",
            "time_to_live",
            "a whole number of seconds",
        )?;
        if time_to_live_secs.is_some_and(|ttl| u64::from(ttl) > TIME_TO_LIVE_MAX.as_secs()) {
            let rule = format!("must be at most {}", TIME_TO_LIVE_MAX.as_secs());
            return Err(InvalidPublish::new("web.time_to_live", rule));
        }
        let urgency = take(&mut part, "web", "urgency", "very-low, low, normal or high")?;
        let topic: Option<String> = take(&mut part, "web", "topic", "a string")?;
        if topic.as_ref().is_some_and(|topic| {
            !(1..=TOPIC_LENGTH_MAX).contains(&topic.len())
                || !topic
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        }) {
            let rule = format!(
                "must have 1 to {TOPIC_LENGTH_MAX} letters, digits, hyphens and underscores"
            );
            return Err(InvalidPublish::new("web.topic", rule));
        }
        Ok(Self {
            notification,
            data,
            time_to_live_secs,
            urgency,
            topic,
        })
    }

    /// How long the push service and we try.
    pub fn time_to_live(&self) -> Duration {
        self.time_to_live_secs
            .map_or(TIME_TO_LIVE_MAX, |secs| Duration::from_secs(secs.into()))
    }

    /// The message for all browsers.
    pub fn render(&self, origin: &Origin) -> WebPushMessage {
        let entry = PusherEntry {
            instance_id: origin.instance.to_string(),
            publish_id: origin.publish.to_string(),
            has_displayable_content: self.notification.is_some(),
            has_data: self.data.as_ref().is_some_and(|data| !data.is_empty()),
        };
        let mut data = self.data.clone().unwrap_or_default();
        data.insert("pusher".into(), raw(&entry));
        let empty = RawObject::new();
        let body = Body {
            notification: self.notification.as_ref().unwrap_or(&empty),
            data: &data,
        };
        WebPushMessage {
            plaintext: serde_json::to_vec(&body).unwrap_or_default(),
            ttl_secs: remaining_secs(self.time_to_live(), origin),
            urgency: self.urgency,
            topic: self.topic.clone(),
        }
    }
}

/// What the worker reads of a notification; other keys are not pushed.
fn check_notification(mut part: RawObject) -> Result<RawObject, InvalidPublish> {
    const PARENT: &str = "web.notification";
    let mut kept = RawObject::new();
    for name in ["title", "body", "icon", "deep_link"] {
        if let Some(text) = take::<String>(&mut part, PARENT, name, "a string")? {
            kept.insert(name.into(), raw(&text));
        }
    }
    const HIDE: &str = "hide_notification_if_site_has_focus";
    if let Some(hide) = take::<bool>(&mut part, PARENT, HIDE, "true or false")? {
        kept.insert(HIDE.into(), raw(&hide));
    }
    Ok(kept)
}
