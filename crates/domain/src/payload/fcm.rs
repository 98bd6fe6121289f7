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
/// How much is shown of a key that may not be used, in characters.
const SHOWN_KEY_LENGTH_MAX: usize = 40;
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

/// What may be given as HTTP v1 has it, beside the legacy shape, and wins over it.
const NATIVE_PARTS: [&str; 4] = ["android", "apns", "webpush", "fcm_options"];

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
    /// Parts of v1's own message, by name: [`NATIVE_PARTS`].
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    native: Map<String, Value>,
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
    /// The title of the notification.
    pub(super) fn title(&self) -> Option<String> {
        let title = self.notification.as_ref()?.common.get("title")?;
        title.as_str().map(str::to_owned)
    }

    /// Checks the `fcm` part of a publish.
    pub fn parse(part: &RawValue) -> Result<Self, InvalidPublish> {
        let mut part = object("fcm", part)?;
        let notification: Option<RawObject> = take(&mut part, "fcm", "notification", "an object")?;
        let notification = notification.map(parse_notification).transpose()?;
        let data = take_data(&mut part, "fcm")?.map(strings).transpose()?;
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
        let mut native = Map::new();
        for name in NATIVE_PARTS {
            if let Some(mut object) =
                take::<Map<String, Value>>(&mut part, "fcm", name, "an object")?
            {
                if name == "android" {
                    check_native_ttl(&mut object)?;
                }
                native.insert(name.into(), object.into());
            }
        }
        if notification.is_none() && data.is_none() && native.is_empty() {
            let rule = "at least one of notification, data is required";
            return Err(InvalidPublish::new("fcm", rule));
        }
        Ok(Self {
            native,
            notification,
            data,
            time_to_live_secs,
            collapse_key,
            high_priority,
        })
    }

    /// The size that counts against FCM's limit, in bytes: the message without its token.
    pub fn rendered_length(&self, origin: &Origin) -> usize {
        let message = self.render(origin);
        message.before_token.len() + message.after_token.len()
    }

    /// How long FCM and we try.
    pub fn time_to_live(&self) -> Duration {
        self.own_time_to_live().unwrap_or(TIME_TO_LIVE_MAX)
    }

    /// The same, where the publisher says it: v1's own term wins over the legacy one.
    fn own_time_to_live(&self) -> Option<Duration> {
        let native = self.native.get("android").and_then(|own| own.get("ttl"));
        let native = native.and_then(Value::as_str).and_then(duration);
        let legacy = self.time_to_live_secs.map(u64::from);
        native.or_else(|| legacy.map(Duration::from_secs))
    }

    /// The message for all devices.
    pub fn render(&self, origin: &Origin) -> FcmMessage {
        let mut message = Map::new();
        if let Some(notification) = &self.notification {
            message.insert("notification".into(), notification.common.clone().into());
        }
        let android = self.android(origin);
        if !android.is_empty() {
            message.insert("android".into(), android.into());
        }
        for (name, given) in &self.native {
            let mut given = given.clone();
            if name == "android" {
                // It is in the time to live that is left, which is not all of it for a later attempt.
                given.as_object_mut().and_then(|own| own.remove("ttl"));
            }
            merge(message.entry(name.as_str()).or_insert(Value::Null), &given);
        }
        let click_action = track_opens(&mut message);
        let entry = PusherEntry {
            instance_id: origin.instance.to_string(),
            publish_id: origin.publish.to_string(),
            click_action: click_action.as_deref(),
            has_displayable_content: is_displayable(&message),
            has_data: self.data.as_ref().is_some_and(|data| !data.is_empty()),
        };
        let mut data = self.data.clone().unwrap_or_default();
        data.insert(
            "pusher".into(),
            serde_json::to_string(&entry).unwrap_or_default(),
        );
        message.insert("data".into(), json!(data));
        // The token is spliced in per device, as the first field.
        let rest = Value::from(message).to_string();
        let after_token = format!("\",{}}}", rest.strip_prefix('{').unwrap_or_default());
        FcmMessage {
            before_token: br#"{"message":{"token":""#.to_vec(),
            after_token: after_token.into_bytes(),
        }
    }

    /// `message.android`, out of the legacy shape.
    fn android(&self, origin: &Origin) -> Map<String, Value> {
        let mut android = Map::new();
        // Without either, it is left to FCM, whose default is as long as may be.
        if self.own_time_to_live().is_some() || origin.expires_at.is_some() {
            let left = remaining_secs(self.time_to_live(), origin);
            android.insert("ttl".into(), format!("{left}s").into());
        }
        if let Some(key) = &self.collapse_key {
            android.insert("collapse_key".into(), key.as_str().into());
        }
        if let Some(high) = self.high_priority {
            let priority = if high { "HIGH" } else { "NORMAL" };
            android.insert("priority".into(), priority.into());
        }
        if let Some(notification) = &self.notification {
            let mut fields = notification.android.clone();
            if let Some(action) = &notification.click_action {
                fields.insert("click_action".into(), action.as_str().into());
            }
            android.insert("notification".into(), fields.into());
        }
        android
    }
}

/// Lays `over` onto `under`: objects field by field, anything else in its place.
fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                merge(under.entry(name.as_str()).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

/// Checks a time to live in v1's own terms, since how long we try follows from it. JSON `null` counts as absent.
fn check_native_ttl(android: &mut Map<String, Value>) -> Result<(), InvalidPublish> {
    let refused = |rule: String| Err(InvalidPublish::new("fcm.android.ttl", rule));
    let Some(ttl) = android.get("ttl") else {
        return Ok(());
    };
    if ttl.is_null() {
        android.remove("ttl");
        return Ok(());
    }
    match ttl.as_str().and_then(duration) {
        None => refused("must be a number of seconds that ends with s, such as 3.5s".into()),
        Some(own) if own > TIME_TO_LIVE_MAX => {
            refused(format!("must be at most {}s", TIME_TO_LIVE_MAX.as_secs()))
        }
        Some(_) => Ok(()),
    }
}

/// A duration as Google writes it: seconds with up to nine digits behind the point, ending with `s`. Firebase: REST resource
/// `projects.messages`, `AndroidConfig.ttl`. What is less than a millisecond does not count.
fn duration(text: &str) -> Option<Duration> {
    let (secs, fraction) = match text.strip_suffix('s')?.split_once('.') {
        Some((secs, fraction)) => (secs, Some(fraction)),
        None => (text.strip_suffix('s')?, None),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_fine = is_number(secs) && fraction.is_none_or(|f| is_number(f) && f.len() <= 9);
    let secs = is_fine.then(|| secs.parse().ok()).flatten()?;
    let millis = format!("{:0<3.3}", fraction.unwrap_or_default());
    Some(Duration::from_secs(secs) + Duration::from_millis(millis.parse().ok()?))
}

/// Whether Android shows something by itself.
fn is_displayable(message: &Map<String, Value>) -> bool {
    message.contains_key("notification")
        || message
            .get("android")
            .is_some_and(|android| android.get("notification").is_some())
}

/// Makes a tap start the SDK's activity, and says where the publisher wanted it to lead.
fn track_opens(message: &mut Map<String, Value>) -> Option<String> {
    if !is_displayable(message) {
        return None;
    }
    let android = message.entry("android").or_insert_with(|| json!({}));
    let fields = android
        .as_object_mut()?
        .entry("notification")
        .or_insert_with(|| json!({}))
        .as_object_mut()?;
    let own = fields.insert("click_action".into(), OPEN_TRACKING_ACTION.into());
    own.and_then(|action| action.as_str().map(str::to_owned))
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
            if legacy == "color" && !is_colour(&text) {
                let field = format!("{PARENT}.{legacy}");
                return Err(InvalidPublish::new(
                    field,
                    "must be a colour such as #rrggbb",
                ));
            }
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

/// Firebase: REST resource `projects.messages`, `AndroidNotification.color`. FCM refuses the whole message for another form.
fn is_colour(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
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

/// A publisher's key as far as it belongs into one line of text.
fn shown(key: &str) -> String {
    key.chars()
        .filter(|letter| !letter.is_control())
        .take(SHOWN_KEY_LENGTH_MAX)
        .collect()
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
                return Err(InvalidPublish::new(
                    format!("fcm.data.{}", shown(&key)),
                    rule,
                ));
            }
            let text =
                serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
            Ok((key, text))
        })
        .collect()
}
