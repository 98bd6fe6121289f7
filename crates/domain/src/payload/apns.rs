//! The payload for APNs. Beams: publish-payloads reference; Apple: Generating a remote notification.
//!
//! The device gets `aps` and `data`, and in `data.pusher` what the Swift SDK reports deliveries with. Delivery tracking
//! needs the app to be woken, so `content-available` is set unless the publisher asked not to; a device that would not have
//! been woken otherwise is told to ignore that with `userShouldIgnore`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Origin, RawObject, object, raw, take, take_data};
use crate::clock::Timestamp;
use crate::publish::InvalidPublish;

/// The largest body that APNs takes, in bytes. Apple: Sending notification requests to APNs.
pub const APNS_BODY_LENGTH_MAX: usize = 4096;
/// The longest `apns-collapse-id`, in bytes. Apple: Sending notification requests to APNs.
pub const APNS_COLLAPSE_ID_LENGTH_MAX: usize = 64;

/// The `apns` part of a publish, checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApnsPayload {
    aps: RawObject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<RawObject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collapse_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiration: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    push_type: Option<PushType>,
    #[serde(default)]
    disable_delivery_tracking: bool,
}

/// What kind of notification it is, as `apns-push-type` says. Apple: Sending notification requests to APNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushType {
    /// Shows, sounds or badges.
    Alert,
    /// Wakes the app silently.
    Background,
    /// Starts, updates or ends a Live Activity.
    LiveActivity,
    /// An incoming call.
    Voip,
    /// Asks for the device's location.
    Location,
    /// For a watch face.
    Complication,
    /// For a file provider extension.
    FileProvider,
    /// For Push to Talk.
    PushToTalk,
    /// Reloads widgets.
    Widgets,
    /// Reloads controls.
    Controls,
}

impl PushType {
    /// The value of `apns-push-type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Background => "background",
            Self::LiveActivity => "liveactivity",
            Self::Voip => "voip",
            Self::Location => "location",
            Self::Complication => "complication",
            Self::FileProvider => "fileprovider",
            Self::PushToTalk => "pushtotalk",
            Self::Widgets => "widgets",
            Self::Controls => "controls",
        }
    }

    /// What `apns-topic` has behind the bundle identifier.
    pub const fn topic_suffix(self) -> &'static str {
        match self {
            Self::Alert | Self::Background => "",
            Self::LiveActivity => ".push-type.liveactivity",
            Self::Voip => ".voip",
            Self::Location => ".location-query",
            Self::Complication => ".complication",
            Self::FileProvider => ".pushkit.fileprovider",
            Self::PushToTalk => ".voip-ptt",
            Self::Widgets => ".push-type.widgets",
            Self::Controls => ".push-type.controls",
        }
    }
}

/// A notification as APNs takes it: one body for all devices, and the values of the `apns-*` headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApnsNotification {
    /// The request's body, JSON.
    pub body: Vec<u8>,
    /// `apns-push-type`.
    pub push_type: PushType,
    /// `apns-priority`, where it is not left to APNs.
    pub priority: Option<u8>,
    /// `apns-expiration`, in seconds since the Unix epoch, where it is not left to APNs. 0 is "now or never".
    pub expiration: Option<i64>,
    /// `apns-collapse-id`.
    pub collapse_id: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    aps: &'a RawObject,
    data: &'a RawObject,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PusherEntry {
    instance_id: String,
    publish_id: String,
    // The SDK looks for the presence of the key alone, so `false` must not be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    user_should_ignore: bool,
}

impl ApnsPayload {
    /// The title of the alert, or the alert where it is a plain text.
    pub(super) fn title(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Alert {
            Plain(String),
            Full { title: Option<String> },
        }
        match serde_json::from_str(self.aps.get("alert")?.get()).ok()? {
            Alert::Plain(text) => Some(text),
            Alert::Full { title } => title,
        }
    }

    /// Checks the `apns` part of a publish.
    pub fn parse(part: &RawValue) -> Result<Self, InvalidPublish> {
        let mut part = object("apns", part)?;
        let aps: Option<RawObject> = take(&mut part, "apns", "aps", "an object")?;
        // Beams' payload reference shows `alert` beside `aps` as well as in it.
        let alert: Option<Box<RawValue>> =
            take(&mut part, "apns", "alert", "a string or an object")?;
        if aps.is_none() && alert.is_none() {
            return Err(InvalidPublish::new("apns.aps", "aps is required"));
        }
        let mut aps = aps.unwrap_or_default();
        if let Some(alert) = alert {
            aps.entry("alert".into()).or_insert(alert);
        }
        check_aps(&aps)?;
        let collapse_id: Option<String> = take(&mut part, "apns", "collapse_id", "a string")?;
        if collapse_id.as_ref().is_some_and(|id| {
            id.is_empty()
                || id.len() > APNS_COLLAPSE_ID_LENGTH_MAX
                || id.chars().any(char::is_control)
        }) {
            let rule = format!(
                "must have 1 to {APNS_COLLAPSE_ID_LENGTH_MAX} bytes and no control characters"
            );
            return Err(InvalidPublish::new("apns.collapse_id", rule));
        }
        let expiration: Option<i64> =
            take(&mut part, "apns", "expiration", "a whole number of seconds")?;
        if expiration.is_some_and(|at| at < 0) {
            return Err(InvalidPublish::new(
                "apns.expiration",
                "must not be negative",
            ));
        }
        let priority: Option<u8> = take(&mut part, "apns", "priority", "5 or 10")?;
        if priority.is_some_and(|priority| ![1, 5, 10].contains(&priority)) {
            return Err(InvalidPublish::new("apns.priority", "must be 5 or 10"));
        }
        let mut pusher: RawObject =
            take(&mut part, "apns", "pusher", "an object")?.unwrap_or_default();
        let disable_delivery_tracking = take(
            &mut pusher,
            "apns.pusher",
            "disable_delivery_tracking",
            "true or false",
        )?
        .unwrap_or(false);
        let push_type = take(&mut part, "apns", "push_type", "one of Apple's push types")?;
        let data = take_data(&mut part, "apns")?;
        Ok(Self {
            push_type,
            aps,
            data,
            collapse_id,
            expiration,
            priority,
            disable_delivery_tracking,
        })
    }

    /// When APNs and we give up, where the payload says so. 0 means "now or never" to APNs.
    pub fn expires_at(&self, send_at: Timestamp) -> Option<Timestamp> {
        self.expiration.map(|at| {
            if at == 0 {
                send_at
            } else {
                Timestamp::from_secs(at)
            }
        })
    }

    /// The notification for all devices.
    pub fn render(&self, origin: &Origin) -> ApnsNotification {
        let mut aps = self.aps.clone();
        let asked_to_wake = aps
            .get("content-available")
            .is_some_and(|value| value.get() == "1");
        let visible = ["alert", "badge", "sound"]
            .iter()
            .any(|key| aps.contains_key(*key));
        let by_content = if visible {
            PushType::Alert
        } else {
            PushType::Background
        };
        let push_type = self.push_type.unwrap_or(by_content);
        // The SDK hears of these two kinds alone, so of no other it could report the delivery.
        let trackable = matches!(push_type, PushType::Alert | PushType::Background);
        let wakes_to_track = trackable && !asked_to_wake && !self.disable_delivery_tracking;
        if wakes_to_track {
            aps.insert("content-available".into(), raw(&1));
        }
        let mut data = self.data.clone().unwrap_or_default();
        let entry = PusherEntry {
            instance_id: origin.instance.to_string(),
            publish_id: origin.publish.to_string(),
            user_should_ignore: wakes_to_track,
        };
        data.insert("pusher".into(), raw(&entry));
        ApnsNotification {
            body: serde_json::to_vec(&Body {
                aps: &aps,
                data: &data,
            })
            .unwrap_or_default(),
            push_type,
            // Apple refuses background notifications at any other priority.
            priority: if push_type == PushType::Background {
                Some(5)
            } else {
                self.priority
            },
            expiration: match origin.expires_at {
                Some(end) => Some(
                    self.expiration
                        .map_or(end.as_secs(), |own| own.min(end.as_secs())),
                ),
                None => self.expiration,
            },
            collapse_id: self.collapse_id.clone(),
        }
    }
}

fn check_aps(aps: &RawObject) -> Result<(), InvalidPublish> {
    let begins_otherwise = |name: &str, with: &[char]| {
        aps.get(name)
            .is_some_and(|value| !value.get().starts_with(with))
    };
    if begins_otherwise("alert", &['"', '{']) {
        return Err(InvalidPublish::new(
            "apns.aps.alert",
            "must be a string or an object",
        ));
    }
    let digits = ['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
    if begins_otherwise("badge", &digits) {
        return Err(InvalidPublish::new("apns.aps.badge", "must be a number"));
    }
    Ok(())
}
