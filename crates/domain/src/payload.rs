//! What a publish carries for each platform: checked as Beams documents it, rendered as each gateway wants it.
//!
//! A payload is rendered once per publish and claim; the devices of a page share the bytes. Keys that Beams does not
//! document are not pushed (Beams: publish-payloads reference), numbers and nested values of `data` reach the device as
//! they were written.

pub mod apns;
pub mod fcm;
pub mod template;
pub mod web;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::device::Platform;
use crate::instance::InstanceId;
use crate::publish::{InvalidPublish, PublishId};

pub use apns::{ApnsNotification, ApnsPayload, PushType};
pub use fcm::{FcmMessage, FcmPayload};
pub use template::{Template, Values};
pub use web::{Urgency, WebPayload, WebPushMessage};

/// The longest time to live of a delivery, and the one of a payload that names none: four weeks. Beams: publish-payloads
/// reference (`web.time_to_live`); FCM: `android.ttl`.
pub const TIME_TO_LIVE_MAX: Duration = Duration::from_secs(2_419_200);

/// A JSON object whose values are kept as they were written.
pub(crate) type RawObject = BTreeMap<String, Box<RawValue>>;

/// The payloads of one publish; at least one is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Payloads {
    /// For Apple devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apns: Option<ApnsPayload>,
    /// For Android devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fcm: Option<FcmPayload>,
    /// For browsers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebPayload>,
    /// How each user's own payloads come about, where those above have places to be filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// What every rendered payload names: where it comes from and when.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The instance of the publish.
    pub instance: InstanceId,
    /// The publish.
    pub publish: PublishId,
    /// From when its times to live count: when it was accepted, or is to be sent.
    pub send_at: Timestamp,
    /// When the whole publish ends, whatever its payloads say.
    pub expires_at: Option<Timestamp>,
    /// Now, which counts against the time to live.
    pub now: Timestamp,
}

/// A payload as its gateway wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rendered {
    /// For APNs.
    Apns(ApnsNotification),
    /// For FCM.
    Fcm(FcmMessage),
    /// For a Web Push service.
    Web(WebPushMessage),
}

impl Payloads {
    /// Checks the parts of a publish. It has no template.
    pub fn parse(
        apns: Option<&RawValue>,
        fcm: Option<&RawValue>,
        web: Option<&RawValue>,
    ) -> Result<Self, InvalidPublish> {
        Ok(Self {
            apns: apns.map(ApnsPayload::parse).transpose()?,
            fcm: fcm.map(FcmPayload::parse).transpose()?,
            web: web.map(WebPayload::parse).transpose()?,
            template: None,
        })
    }

    /// Whether there is a payload for this platform.
    pub fn has(&self, platform: Platform) -> bool {
        match platform {
            Platform::Apns => self.apns.is_some(),
            Platform::Fcm => self.fcm.is_some(),
            Platform::Web => self.web.is_some(),
        }
    }

    /// The platforms that there is a payload for.
    pub fn platforms(&self) -> impl Iterator<Item = Platform> + '_ {
        Platform::ALL
            .into_iter()
            .filter(|platform| self.has(*platform))
    }

    /// What people read first of the notifications, for each platform that shows one: `aps.alert.title` or a plain `aps.alert`, and
    /// the `title` of the others. Each once; places to be filled for each user stand as they were written.
    pub fn titles(&self) -> Vec<String> {
        let all = [
            self.apns.as_ref().and_then(ApnsPayload::title),
            self.fcm.as_ref().and_then(FcmPayload::title),
            self.web.as_ref().and_then(WebPayload::title),
        ];
        let mut titles = Vec::new();
        for title in all.into_iter().flatten() {
            if !titles.contains(&title) {
                titles.push(title);
            }
        }
        titles
    }

    /// Renders the payload for a platform; `None` where the publish has none for it.
    pub fn render(&self, platform: Platform, origin: &Origin) -> Option<Rendered> {
        match platform {
            Platform::Apns => self
                .apns
                .as_ref()
                .map(|payload| Rendered::Apns(payload.render(origin))),
            Platform::Fcm => self
                .fcm
                .as_ref()
                .map(|payload| Rendered::Fcm(payload.render(origin))),
            Platform::Web => self
                .web
                .as_ref()
                .map(|payload| Rendered::Web(payload.render(origin))),
        }
    }

    /// When a delivery to this platform is given up, for a publish sent at `send_at`.
    pub fn expires_at(&self, platform: Platform, send_at: Timestamp) -> Timestamp {
        let latest = send_at.after(TIME_TO_LIVE_MAX);
        let own = match platform {
            Platform::Apns => self
                .apns
                .as_ref()
                .and_then(|payload| payload.expires_at(send_at)),
            Platform::Fcm => self
                .fcm
                .as_ref()
                .map(|payload| send_at.after(payload.time_to_live())),
            Platform::Web => self
                .web
                .as_ref()
                .map(|payload| send_at.after(payload.time_to_live())),
        };
        own.unwrap_or(latest).min(latest)
    }
}

/// What is left of `time_to_live` now, in seconds, rounded up: a payload that is sent at once goes with all of it.
pub(crate) fn remaining_secs(time_to_live: Duration, origin: &Origin) -> u64 {
    let left = time_to_live.saturating_sub(origin.now.since(origin.send_at));
    let left = match origin.expires_at {
        Some(end) => left.min(end.since(origin.now)),
        None => left,
    };
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

/// Reads a JSON object and says which field is none.
pub(crate) fn object(field: &str, raw: &RawValue) -> Result<RawObject, InvalidPublish> {
    serde_json::from_str(raw.get()).map_err(|_| InvalidPublish::new(field, "must be an object"))
}

/// Takes a field out of an object and reads it; JSON `null` counts as absent, as SDKs of typed languages send it.
pub(crate) fn take<T: serde::de::DeserializeOwned>(
    object: &mut RawObject,
    parent: &str,
    name: &str,
    wanted: &str,
) -> Result<Option<T>, InvalidPublish> {
    match object.remove(name) {
        None => Ok(None),
        Some(raw) if raw.get() == "null" => Ok(None),
        Some(raw) => serde_json::from_str(raw.get()).map(Some).map_err(|_| {
            InvalidPublish::new(format!("{parent}.{name}"), format!("must be {wanted}"))
        }),
    }
}

/// The `data` object of a payload.
pub(crate) fn take_data(
    object: &mut RawObject,
    parent: &str,
) -> Result<Option<RawObject>, InvalidPublish> {
    take(object, parent, "data", "an object")
}

/// Some JSON as a raw value. The serialisation of maps with string keys does not fail.
pub(crate) fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_default()
}
