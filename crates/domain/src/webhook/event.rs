//! What may happen, and what is told of it.

use std::fmt;

use serde::Serialize;

use crate::device::{DeviceId, Platform};
use crate::instance::InstanceId;
use crate::publish::PublishId;
use crate::user::UserId;

/// The types of events, each a bit of [`Events`]. The first three are Beams' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A publish to users had its end.
    PublishToUsersAttempt,
    /// A user's device reported that it got a publish.
    UserNotificationAcknowledgement,
    /// A user's device reported that a publish was opened.
    UserNotificationOpen,
    /// A publish to interests had its end.
    PublishToInterestsAttempt,
    /// A device that was not known registered.
    DeviceRegistered,
    /// A device was bound to a user.
    DeviceBound,
    /// A device was removed.
    DeviceRemoved,
    /// A gateway refuses the instance's credential.
    CredentialBroken,
    /// Somebody tries the webhook. Sent to every webhook, chosen or not, and only when asked.
    Test,
    /// A publish that names its own webhook has begun. Beams: publish webhooks, deprecated.
    PublishStarted,
    /// A publish that names its own webhook had its end. Beams: publish webhooks, deprecated.
    PublishFinished,
    /// A device was taken from its user, and stays. Last, since the bits of the others are in stores already.
    DeviceUnbound,
}

impl EventType {
    /// Those that a webhook may choose.
    pub const CHOICES: [Self; 9] = [
        Self::PublishToUsersAttempt,
        Self::UserNotificationAcknowledgement,
        Self::UserNotificationOpen,
        Self::PublishToInterestsAttempt,
        Self::DeviceRegistered,
        Self::DeviceBound,
        Self::DeviceUnbound,
        Self::DeviceRemoved,
        Self::CredentialBroken,
    ];

    /// Those that nobody chooses.
    const OTHERS: [Self; 3] = [Self::Test, Self::PublishStarted, Self::PublishFinished];

    /// The name in `event_type` and `Webhook-Event-Type`; of publish webhooks, which have neither, their `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PublishToUsersAttempt => "v1.PublishToUsersAttempt",
            Self::UserNotificationAcknowledgement => "v1.UserNotificationAcknowledgement",
            Self::UserNotificationOpen => "v1.UserNotificationOpen",
            Self::PublishToInterestsAttempt => "v1.PublishToInterestsAttempt",
            Self::DeviceRegistered => "v1.DeviceRegistered",
            Self::DeviceBound => "v1.DeviceBound",
            Self::DeviceUnbound => "v1.DeviceUnbound",
            Self::DeviceRemoved => "v1.DeviceRemoved",
            Self::CredentialBroken => "v1.CredentialBroken",
            Self::Test => "v1.Test",
            Self::PublishStarted => "STARTED",
            Self::PublishFinished => "FINISHED",
        }
    }

    /// The type with this name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = Self::CHOICES.into_iter().chain(Self::OTHERS);
        all.into_iter().find(|event| event.as_str() == name)
    }

    /// Its bit in [`Events`].
    pub const fn bit(self) -> i64 {
        1 << self as u32
    }

    /// Whether it belongs to a publish's own webhook.
    pub const fn is_of_publish_webhook(self) -> bool {
        matches!(self, Self::PublishStarted | Self::PublishFinished)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The events that a webhook has chosen; at least one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Events(i64);

impl Events {
    /// Beams' three.
    pub const BEAMS: Self = Self(
        EventType::PublishToUsersAttempt.bit()
            | EventType::UserNotificationAcknowledgement.bit()
            | EventType::UserNotificationOpen.bit(),
    );

    /// A choice. `None` if it is of nothing, or of what cannot be chosen.
    pub fn of(chosen: impl IntoIterator<Item = EventType>) -> Option<Self> {
        let mut bits = 0;
        for event in chosen {
            if !EventType::CHOICES.contains(&event) {
                return None;
            }
            bits |= event.bit();
        }
        (bits != 0).then_some(Self(bits))
    }

    /// The choice that a store kept; bits that mean nothing are passed over.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits)
    }

    /// The sum of the events' bits.
    pub const fn bits(self) -> i64 {
        self.0
    }

    /// Whether an event was chosen.
    pub const fn contains(self, event: EventType) -> bool {
        self.0 & event.bit() != 0
    }

    /// The chosen events.
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        let all = EventType::CHOICES.into_iter();
        all.filter(move |event| self.contains(*event))
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why a device was taken from its user: somebody who manages the instance did so. There is no other reason yet.
const UNBOUND_BY_HAND: &str = "by_hand";

/// Why a device was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It stopped, or somebody deleted it.
    Deleted,
    /// A gateway declared its token dead.
    TokenDead,
    /// Another device has its token now.
    TokenMoved,
    /// Its user was deleted.
    UserDeleted,
}

impl Removal {
    /// The word in the event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::TokenDead => "token_dead",
            Self::TokenMoved => "token_moved",
            Self::UserDeleted => "user_deleted",
        }
    }
}

/// An event, with what is told of it. The names of the fields in JSON are in [`WebhookEvent::payload`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are what their names say; docs/WEBHOOKS.md shows each"
)]
pub enum WebhookEvent {
    /// A publish to users had its end.
    PublishToUsersAttempt {
        instance: InstanceId,
        publish: PublishId,
        delivered_to_gateway: Vec<UserId>,
        no_devices: Vec<UserId>,
        gateway_failed: Vec<UserId>,
    },
    /// A device of a user reported that it got a publish, or that it was opened.
    UserNotification {
        instance: InstanceId,
        publish: PublishId,
        user: UserId,
        opened: bool,
    },
    /// A publish to interests had its end.
    PublishToInterestsAttempt {
        instance: InstanceId,
        publish: PublishId,
        /// `finished` or `cancelled`.
        state: &'static str,
        /// By platform: those that the gateway took, and the others.
        results: Vec<(Platform, PlatformResult)>,
    },
    /// A device that was not known registered.
    DeviceRegistered {
        instance: InstanceId,
        device: DeviceId,
    },
    /// A device was bound to a user.
    DeviceBound {
        instance: InstanceId,
        device: DeviceId,
        user: UserId,
    },
    /// A device was taken from its user, and stays.
    DeviceUnbound {
        instance: InstanceId,
        device: DeviceId,
        user: UserId,
    },
    /// A device was removed.
    DeviceRemoved {
        instance: InstanceId,
        device: DeviceId,
        user: Option<UserId>,
        reason: Removal,
    },
    /// A gateway refuses a credential.
    CredentialBroken {
        instance: InstanceId,
        platform: Platform,
        reason: String,
    },
    /// Somebody tries a webhook.
    Test { instance: InstanceId },
}

/// How many deliveries of a publish a gateway took, and how many not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PlatformResult {
    /// Taken.
    pub accepted: u64,
    /// Had another end.
    pub failed: u64,
}

impl WebhookEvent {
    /// Its type.
    pub const fn event_type(&self) -> EventType {
        match self {
            Self::PublishToUsersAttempt { .. } => EventType::PublishToUsersAttempt,
            Self::UserNotification { opened: false, .. } => {
                EventType::UserNotificationAcknowledgement
            }
            Self::UserNotification { opened: true, .. } => EventType::UserNotificationOpen,
            Self::PublishToInterestsAttempt { .. } => EventType::PublishToInterestsAttempt,
            Self::DeviceRegistered { .. } => EventType::DeviceRegistered,
            Self::DeviceBound { .. } => EventType::DeviceBound,
            Self::DeviceUnbound { .. } => EventType::DeviceUnbound,
            Self::DeviceRemoved { .. } => EventType::DeviceRemoved,
            Self::CredentialBroken { .. } => EventType::CredentialBroken,
            Self::Test { .. } => EventType::Test,
        }
    }

    /// The user it is about, if it is about one.
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::UserNotification { user, .. }
            | Self::DeviceBound { user, .. }
            | Self::DeviceUnbound { user, .. } => Some(user),
            Self::DeviceRemoved { user, .. } => user.as_ref(),
            _ => None,
        }
    }

    /// What stands under `payload`, as JSON without spaces.
    pub fn payload(&self) -> String {
        let fields = match self {
            Self::PublishToUsersAttempt {
                instance,
                publish,
                delivered_to_gateway,
                no_devices,
                gateway_failed,
            } => Object::of(*instance)
                .text("publish_id", &publish.to_string())
                .value("users_delivered_to_gateway", delivered_to_gateway)
                .value("users_no_devices", no_devices)
                .value("users_gateway_failed", gateway_failed),
            Self::UserNotification {
                instance,
                publish,
                user,
                ..
            } => Object::of(*instance)
                .text("publish_id", &publish.to_string())
                .value("user_id", user),
            Self::PublishToInterestsAttempt {
                instance,
                publish,
                state,
                results,
            } => {
                let mut by_platform = Object::default();
                for (platform, result) in results {
                    by_platform = by_platform.value(platform.as_str(), result);
                }
                Object::of(*instance)
                    .text("publish_id", &publish.to_string())
                    .text("state", state)
                    .raw("results", &by_platform.end())
            }
            Self::DeviceRegistered { instance, device } => Object::of(*instance).device(*device),
            Self::DeviceBound {
                instance,
                device,
                user,
            } => Object::of(*instance).device(*device).value("user_id", user),
            Self::DeviceUnbound {
                instance,
                device,
                user,
            } => Object::of(*instance)
                .device(*device)
                .value("user_id", user)
                .text("reason", UNBOUND_BY_HAND),
            Self::DeviceRemoved {
                instance,
                device,
                user,
                reason,
            } => Object::of(*instance)
                .device(*device)
                .value("user_id", user)
                .text("reason", reason.as_str()),
            Self::CredentialBroken {
                instance,
                platform,
                reason,
            } => Object::of(*instance)
                .text("platform", platform.as_str())
                .text("reason", reason),
            Self::Test { instance } => Object::of(*instance),
        };
        fields.end()
    }
}

impl WebhookEvent {
    /// Whether what stands under `payload` names a user, alone or in a list.
    pub fn names(payload: &str, user: &UserId) -> bool {
        let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(payload) else {
            return false;
        };
        let is_user = |value: &serde_json::Value| value.as_str() == Some(user.as_str());
        fields.iter().any(|(name, value)| match value {
            serde_json::Value::Array(users) => users.iter().any(is_user),
            value => name == "user_id" && is_user(value),
        })
    }
}

/// A JSON object in the order it is written, which Beams' examples have and a map would not keep.
#[derive(Debug, Default)]
struct Object(String);

impl Object {
    fn of(instance: InstanceId) -> Self {
        Self::default().text("instance_id", &instance.to_string())
    }

    fn device(self, device: DeviceId) -> Self {
        self.text("device_id", &device.to_string())
            .text("platform", device.platform().as_str())
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.value(name, value)
    }

    fn value(self, name: &str, value: impl Serialize) -> Self {
        // Texts and numbers always serialize.
        let json = serde_json::to_string(&value).unwrap_or_else(|_| "null".into());
        self.raw(name, &json)
    }

    /// Adds a field whose name needs no escaping.
    fn raw(mut self, name: &str, json: &str) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(json);
        self
    }

    fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_of_what_can_be_chosen() {
        assert_eq!(Events::of([]), None);
        assert_eq!(Events::of([EventType::Test]), None);
        let some = Events::of([EventType::DeviceBound, EventType::CredentialBroken]).unwrap();
        assert_eq!(Events::from_bits(some.bits()), some);
        assert_eq!(
            some.iter().collect::<Vec<_>>(),
            [EventType::DeviceBound, EventType::CredentialBroken]
        );
        assert_eq!(Events::BEAMS.iter().count(), 3);
    }

    #[test]
    fn every_type_has_its_name_and_bit() {
        let all = EventType::CHOICES.into_iter().chain(EventType::OTHERS);
        let mut bits = 0;
        for event in all {
            assert_eq!(EventType::parse(event.as_str()), Some(event));
            assert_eq!(bits & event.bit(), 0, "{event}");
            bits |= event.bit();
        }
        assert_eq!(EventType::parse("v1.Nothing"), None);
    }

    #[test]
    fn users_ids_are_escaped() {
        let event = WebhookEvent::DeviceBound {
            instance: InstanceId::parse("9c83c1b2-77ac-49c5-94c2-bfc96f9bec49").unwrap(),
            device: DeviceId::parse("fcm-8792dc3f-45ce-4fd9-ab6d-3bf731f813c6").unwrap(),
            user: UserId::parse("a\"b").unwrap(),
        };
        assert_eq!(
            event.payload(),
            concat!(
                r#"{"instance_id":"9c83c1b2-77ac-49c5-94c2-bfc96f9bec49","#,
                r#""device_id":"fcm-8792dc3f-45ce-4fd9-ab6d-3bf731f813c6","platform":"fcm","user_id":"a\"b"}"#
            )
        );
    }

    #[test]
    fn a_publish_for_nobody_has_empty_results() {
        let event = WebhookEvent::PublishToInterestsAttempt {
            instance: InstanceId::random(),
            publish: PublishId::random(),
            state: "finished",
            results: vec![],
        };
        assert!(
            event
                .payload()
                .ends_with(r#""state":"finished","results":{}}"#)
        );
    }
}
