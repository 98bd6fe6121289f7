//! The payload for FCM: Beams' shape is that of FCM's legacy HTTP protocol, translated here to HTTP v1.
//!
//! Legacy: Firebase Cloud Messaging HTTP protocol; v1: REST resource `projects.messages`. A tap must start the Android SDK's
//! own activity for opens to be tracked, so `click_action` names that and the publisher's own travels in the `pusher`
//! entry, from where the SDK goes on to it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Origin, RawObject, TIME_TO_LIVE_MAX, object, remaining_secs, take, take_data};
use crate::publish::InvalidPublish;

/// The largest `notification` and `data` together, in bytes. Firebase: About FCM messages.
pub const FCM_PAYLOAD_LENGTH_MAX: usize = 4096;
/// What the Android SDK's activity for taps listens to.
const OPEN_TRACKING_ACTION: &str = "com.pusher.pushnotifications.OPEN_TRACKING";

/// Legacy names of `notification` fields beside their v1 names under `android.notification`.
const NOTIFICATION_TEXTS: [(&str, &str); 7] = [
    ("android_channel_id", "channel_id"),
    ("icon", "icon"),
    ("sound", "sound"),
    ("tag", "tag"),
    ("color", "color"),
    ("body_loc_key", "body_loc_key"),
    ("title_loc_key", "title_loc_key"),
];

/// The `fcm` part of a publish, checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FcmPayload {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notification: Option<FcmNotification>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_to_live_secs: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collapse_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high_priority: Option<bool>,
}

/// The `notification` of a payload, already in v1's terms.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct FcmNotification {
    /// `message.notification`: title, body, image.
    common: Map<String, Value>,
    /// `message.android.notification`.
    android: Map<String, Value>,
    /// The publisher's own action.
    click_action: Option<String>,
}

/// A message as FCM takes it: the same bytes for all devices but for the token between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FcmMessage {
    before_token: Vec<u8>,
    after_token: Vec<u8>,
}

impl FcmMessage {
    /// The request's body for the device with this token. A token has visible ASCII only, so it needs no more than the
    /// escapes of `"` and `\`.
    pub fn body(&self, token: &str) -> Vec<u8> {
        let mut body =
            Vec::with_capacity(self.before_token.len() + token.len() + self.after_token.len());
        body.extend_from_slice(&self.before_token);
        for byte in token.bytes() {
            if matches!(byte, b'"' | b'\\') {
                body.push(b'\\');
            }
            body.push(byte);
        }
        body.extend_from_slice(&self.after_token);
        body
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PusherEntry<'a> {
    instance_id: String,
    publish_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    click_action: Option<&'a str>,
    has_displayable_content: bool,
    has_data: bool,
}

impl FcmPayload {
    /// Checks the `fcm` part of a publish.
    pub fn parse(part: &RawValue) -> Result<Self, InvalidPublish> {
        let mut part = object("fcm", part)?;
        let notification: Option<RawObject> = take(&mut part, "fcm", "notification", "an object")?;
        let notification = notification.map(parse_notification).transpose()?;
        let data = take_data(&mut part, "fcm")?.map(strings).transpose()?;
        if notification.is_none() && data.is_none() {
            return Err(InvalidPublish::new(
                "fcm",
                "at least one of notification, data is required",
            ));
        }
        let time_to_live_secs: Option<u32> = take(
            &mut part,
            "fcm",
            "time_to_live",
            "a whole number of seconds",
        )?;
        if time_to_live_secs.is_some_and(|ttl| u64::from(ttl) > TIME_TO_LIVE_MAX.as_secs()) {
            let rule = format!("must be at most {}", TIME_TO_LIVE_MAX.as_secs());
            return Err(InvalidPublish::new("fcm.time_to_live", rule));
        }
        let collapse_key = take(&mut part, "fcm", "collapse_key", "a string")?;
        let priority: Option<String> = take(&mut part, "fcm", "priority", "normal or high")?;
        let high_priority = match priority.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None => None,
            Some("normal") => Some(false),
            Some("high") => Some(true),
            Some(_) => {
                return Err(InvalidPublish::new(
                    "fcm.priority",
                    "must be normal or high",
                ));
            }
        };
        let payload = Self {
            notification,
            data,
            time_to_live_secs,
            collapse_key,
            high_priority,
        };
        Ok(payload)
    }

    /// The size that counts against FCM's limit, in bytes: the message without its token.
    pub fn rendered_length(&self, origin: &Origin) -> usize {
        let message = self.render(origin);
        message.before_token.len() + message.after_token.len()
    }

    /// How long FCM and we try.
    pub fn time_to_live(&self) -> Duration {
        self.time_to_live_secs
            .map_or(TIME_TO_LIVE_MAX, |secs| Duration::from_secs(secs.into()))
    }

    /// The message for all devices.
    pub fn render(&self, origin: &Origin) -> FcmMessage {
        let entry = PusherEntry {
            instance_id: origin.instance.to_string(),
            publish_id: origin.publish.to_string(),
            click_action: self
                .notification
                .as_ref()
                .and_then(|n| n.click_action.as_deref()),
            has_displayable_content: self.notification.is_some(),
            has_data: self.data.as_ref().is_some_and(|data| !data.is_empty()),
        };
        let mut data = self.data.clone().unwrap_or_default();
        data.insert(
            "pusher".into(),
            serde_json::to_string(&entry).unwrap_or_default(),
        );

        let mut android = Map::new();
        if let Some(secs) = self.time_to_live_secs {
            let left = remaining_secs(Duration::from_secs(secs.into()), origin);
            android.insert("ttl".into(), format!("{left}s").into());
        }
        if let Some(key) = &self.collapse_key {
            android.insert("collapse_key".into(), key.as_str().into());
        }
        if let Some(high) = self.high_priority {
            android.insert(
                "priority".into(),
                if high { "HIGH" } else { "NORMAL" }.into(),
            );
        }
        let mut message = Map::new();
        if let Some(notification) = &self.notification {
            let mut fields = notification.android.clone();
            fields.insert("click_action".into(), OPEN_TRACKING_ACTION.into());
            android.insert("notification".into(), fields.into());
            message.insert("notification".into(), notification.common.clone().into());
        }
        if !android.is_empty() {
            message.insert("android".into(), android.into());
        }
        message.insert("data".into(), json!(data));
        // The token is spliced in per device, as the first field.
        let rest = Value::from(message).to_string();
        let after_token = format!("\",{}}}", rest.trim_start_matches('{'));
        FcmMessage {
            before_token: br#"{"message":{"token":""#.to_vec(),
            after_token: after_token.into_bytes(),
        }
    }
}

fn parse_notification(mut part: RawObject) -> Result<FcmNotification, InvalidPublish> {
    const PARENT: &str = "fcm.notification";
    let mut common = Map::new();
    for name in ["title", "body", "image"] {
        if let Some(text) = take::<String>(&mut part, PARENT, name, "a string")? {
            common.insert(name.into(), text.into());
        }
    }
    let mut android = Map::new();
    for (legacy, v1) in NOTIFICATION_TEXTS {
        if let Some(text) = take::<String>(&mut part, PARENT, legacy, "a string")? {
            android.insert(v1.into(), text.into());
        }
    }
    for name in ["body_loc_args", "title_loc_args"] {
        if let Some(value) = take::<Value>(&mut part, PARENT, name, "a list of strings")? {
            android.insert(name.into(), localisation_arguments(&value, name)?);
        }
    }
    let click_action = take(&mut part, PARENT, "click_action", "a string")?;
    Ok(FcmNotification {
        common,
        android,
        click_action,
    })
}

/// The legacy protocol took a JSON list, or a string that holds one; v1 takes a list of strings.
fn localisation_arguments(value: &Value, name: &str) -> Result<Value, InvalidPublish> {
    let wrong = || {
        InvalidPublish::new(
            format!("fcm.notification.{name}"),
            "must be a list of strings",
        )
    };
    let list: Vec<Value> = match value {
        Value::Array(list) => list.clone(),
        Value::String(text) => serde_json::from_str(text).map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(list.into_iter().map(text).collect::<Vec<_>>().into())
}

/// FCM takes strings only: a string as it is, anything else as the JSON that was written.
fn strings(data: RawObject) -> Result<BTreeMap<String, String>, InvalidPublish> {
    data.into_iter()
        .map(|(key, raw)| {
            // Firebase: REST resource projects.messages, `data`.
            if key == "from"
                || key == "message_type"
                || key.starts_with("google")
                || key.starts_with("gcm")
            {
                let rule = "this key is reserved by FCM (from, message_type, google…, gcm…)";
                return Err(InvalidPublish::new(format!("fcm.data.{key}"), rule));
            }
            let text =
                serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
            Ok((key, text))
        })
        .collect()
}
