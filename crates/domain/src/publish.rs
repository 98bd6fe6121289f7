//! A publish: one accepted request to notify an audience.

mod lines;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::device::{DeviceOrdinal, Platform};
use crate::instance::InstanceId;
use crate::interest::InterestName;
use crate::payload::apns::APNS_BODY_LENGTH_MAX;
use crate::payload::fcm::FCM_PAYLOAD_LENGTH_MAX;
use crate::payload::web::WEB_PLAINTEXT_LENGTH_MAX;
use crate::payload::{Origin, Payloads, RawObject, Template};
use crate::trace::TraceParent;
use crate::user::UserId;
use crate::webhook::PublishWebhookUrl;

pub use lines::{InvalidLine, Line, PublishLines};

/// How many interests a publish may name. Beams: publish-api reference.
pub const INTERESTS_PER_PUBLISH_MAX: usize = 100;
/// How many users a publish may name. Beams: publish-api reference.
pub const USERS_PER_PUBLISH_MAX: usize = 1000;
/// The largest body of a publish to interests, in bytes, its list of interests not counted: a hundred names of full length,
/// which are allowed, would alone exceed Beams' documented 10 KiB.
pub const INTERESTS_BODY_LENGTH_MAX: usize = 10 * 1024;
/// The largest body of any publish, in bytes. Beams: publish-api reference, for users.
pub const PUBLISH_BODY_LENGTH_MAX: usize = 200 * 1024;

/// How far ahead a publish may be scheduled: a year, leap years too.
pub const SCHEDULED_AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The id of a publish: `pubid-<uuid>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublishId(Uuid);

impl PublishId {
    /// A new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id that a store kept.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Checks an id. `None` is a string that no publish has as its id.
    pub fn parse(id: &str) -> Option<Self> {
        let uuid = id.strip_prefix("pubid-")?;
        (uuid.len() == 36)
            .then(|| Uuid::try_parse(uuid).ok())
            .flatten()
            .map(Self)
    }

    /// The random part.
    pub const fn uuid(&self) -> &Uuid {
        &self.0
    }

    /// A UUID for the delivery to one device: the first half of the publish's id, then the device's number. It is the
    /// same at every attempt, and whoever finds it in a gateway's log can tell the publish.
    pub fn delivery_uuid(&self, device: DeviceOrdinal) -> Uuid {
        let mut bytes = *self.0.as_bytes();
        bytes[8..].copy_from_slice(&device.0.to_be_bytes());
        // The variant bits of RFC 9562 section 4.1; ordinals stay far below them.
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Uuid::from_bytes(bytes)
    }
}

impl fmt::Display for PublishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pubid-{}", self.0.as_hyphenated())
    }
}

impl fmt::Debug for PublishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whom a publish is for: users or the subscribers of interests, never both. Sorted, without repeats, not empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The devices subscribed to any of these.
    Interests(BTreeSet<InterestName>),
    /// The devices of these.
    Users(BTreeSet<UserId>),
    /// The devices of users whom a store was told beforehand.
    List(UserList),
}

/// Users whom a store was told beforehand, since they are many or have values of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserList {
    /// The list's number inside the store.
    pub number: i64,
    /// How many users it has.
    pub users: u64,
}

/// Which audience a request's URL promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudienceKind {
    /// `…/publishes/interests`.
    Interests,
    /// `…/publishes/users`.
    Users,
}

impl Audience {
    /// Of which kind it is.
    pub const fn kind(&self) -> AudienceKind {
        match self {
            Self::Interests(_) => AudienceKind::Interests,
            Self::Users(_) | Self::List(_) => AudienceKind::Users,
        }
    }

    /// How many it names; what they stand for may be none or many.
    pub fn named(&self) -> usize {
        match self {
            Self::Interests(names) => names.len(),
            Self::Users(ids) => ids.len(),
            Self::List(list) => usize::try_from(list.users).unwrap_or(usize::MAX),
        }
    }
}

impl AudienceKind {
    /// The key in the body.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interests => "interests",
            Self::Users => "users",
        }
    }
}

/// Why a body is no publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The body is no JSON object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The body is over the limit of its kind.
    #[error("the body is too large: at most {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// A field breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidPublish),
}

/// A field of a publish that breaks a rule. Reads as Beams' own texts: the field in backticks, a colon, what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {message}")]
pub struct InvalidPublish {
    field: String,
    message: String,
}

impl InvalidPublish {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// The checked body of a request to publish.
#[derive(Debug, Clone)]
pub struct PublishRequest {
    /// Whom it is for.
    pub audience: Audience,
    /// What it carries.
    pub payloads: Payloads,
    /// When to send it; at once where absent or past.
    pub send_at: Option<Timestamp>,
    /// After when nothing of it may be sent any more.
    pub expires_at: Option<Timestamp>,
    /// Whether it is only to be checked and counted.
    pub dry_run: bool,
    /// The webhook of its own that it brings along. Beams: publish webhooks, deprecated.
    pub webhook: Option<OwnWebhook>,
}

/// A webhook that a publish brings along. The request has the URL in it, which is a secret: `Debug` shows neither.
#[derive(Clone)]
pub struct OwnWebhook {
    /// Where its requests go.
    pub url: PublishWebhookUrl,
    /// The body of the request to publish, which they show: a JSON object.
    pub request_body: String,
}

impl fmt::Debug for OwnWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnWebhook({} bytes)", self.request_body.len())
    }
}

/// A publish that was accepted.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Its id.
    pub id: PublishId,
    /// Whose it is.
    pub instance: InstanceId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is sent, from when its times to live count: when it was accepted, or later if asked.
    pub send_at: Timestamp,
    /// After when nothing of it may be sent any more, whatever its times to live.
    pub expires_at: Option<Timestamp>,
    /// What it carries.
    pub payloads: Payloads,
    /// Where what is done for it belongs in a trace, if that is recorded.
    pub trace: Option<TraceParent>,
}

impl Publish {
    /// When a delivery to this platform is given up.
    pub fn gives_up_at(&self, platform: Platform) -> Timestamp {
        let own = self.payloads.expires_at(platform, self.send_at);
        self.expires_at.map_or(own, |end| end.min(own))
    }

    /// Whether the whole publish is over at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

impl PublishRequest {
    /// Checks the body of a request to publish to this kind of audience.
    pub fn parse(kind: AudienceKind, body: &[u8]) -> Result<Self, PublishError> {
        if body.len() > PUBLISH_BODY_LENGTH_MAX {
            return Err(PublishError::TooLarge {
                max: PUBLISH_BODY_LENGTH_MAX,
            });
        }
        let mut fields: RawObject =
            serde_json::from_slice(body).map_err(|_| PublishError::NotAnObject)?;
        if kind == AudienceKind::Interests {
            let listed = fields.get("interests").map_or(0, |raw| raw.get().len());
            if body.len() - listed > INTERESTS_BODY_LENGTH_MAX {
                return Err(PublishError::TooLarge {
                    max: INTERESTS_BODY_LENGTH_MAX,
                });
            }
        }
        let audience = parse_audience(kind, &mut fields)?;
        Self::of(fields, audience, false, body)
    }

    /// Checks what a request has beside its audience.
    fn of(
        mut fields: RawObject,
        audience: Audience,
        has_values: bool,
        body: &[u8],
    ) -> Result<Self, PublishError> {
        let mut part = |name: &str| fields.remove(name).filter(|raw| raw.get() != "null");
        let (apns, fcm, web) = (part("apns"), part("fcm"), part("web"));
        let (apns, fcm, web) = (apns.as_deref(), fcm.as_deref(), web.as_deref());
        let mut payloads = Payloads::parse(apns, fcm, web)?;
        if payloads.platforms().next().is_none() {
            return Err(
                InvalidPublish::new("apns", "at least one of apns, fcm, web is required").into(),
            );
        }
        check_sizes(&payloads)?;
        if has_values {
            payloads.template = Template::of(apns, fcm, web)?;
        }
        Ok(Self {
            audience,
            payloads,
            send_at: time_of(&fields, "sendAt")?,
            expires_at: time_of(&fields, "expiresAt")?,
            dry_run: flag_of(&fields, "dryRun")?,
            webhook: own_webhook(&fields, body)?,
        })
    }

    /// Checks its times against the present one, which [`PublishRequest::parse`] does not know.
    pub fn check_times(&self, now: Timestamp) -> Result<(), InvalidPublish> {
        if self
            .send_at
            .is_some_and(|at| at.since(now) > SCHEDULED_AHEAD_MAX)
        {
            return Err(InvalidPublish::new(
                "sendAt",
                "must be at most 366 days ahead",
            ));
        }
        match (self.expires_at, self.send_at) {
            (Some(end), _) if end <= now => Err(InvalidPublish::new("expiresAt", "is in the past")),
            (Some(end), Some(at)) if end <= at => Err(InvalidPublish::new(
                "expiresAt",
                "must be later than sendAt",
            )),
            _ => Ok(()),
        }
    }
}

/// A field of the request itself; JSON `null` counts as absent.
fn text_of<'a>(fields: &'a RawObject, name: &str) -> Option<&'a str> {
    let raw = fields.get(name).map(|raw| raw.get())?;
    (raw != "null").then_some(raw)
}

fn time_of(fields: &RawObject, name: &str) -> Result<Option<Timestamp>, InvalidPublish> {
    let Some(raw) = text_of(fields, name) else {
        return Ok(None);
    };
    serde_json::from_str::<String>(raw)
        .ok()
        .and_then(|text| Timestamp::parse_rfc3339(&text))
        .map(Some)
        .ok_or_else(|| {
            InvalidPublish::new(
                name,
                "must be a time as RFC 3339 has it, such as 2030-01-31T08:00:00Z",
            )
        })
}

/// An empty URL counts as none, since SDKs may send one.
fn own_webhook(fields: &RawObject, body: &[u8]) -> Result<Option<OwnWebhook>, InvalidPublish> {
    let Some(raw) = text_of(fields, "webhookUrl").filter(|raw| *raw != "\"\"") else {
        return Ok(None);
    };
    let invalid = |why: String| InvalidPublish::new("webhookUrl", why);
    let text: String = serde_json::from_str(raw).map_err(|_| invalid("must be a string".into()))?;
    let url = PublishWebhookUrl::parse(&text).map_err(|error| invalid(error.to_string()))?;
    Ok(Some(OwnWebhook {
        url,
        request_body: String::from_utf8_lossy(body).into_owned(),
    }))
}

fn flag_of(fields: &RawObject, name: &str) -> Result<bool, InvalidPublish> {
    match text_of(fields, name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(InvalidPublish::new(name, "must be true or false")),
    }
}

fn parse_audience(kind: AudienceKind, fields: &mut RawObject) -> Result<Audience, InvalidPublish> {
    let (own, other, max) = match kind {
        AudienceKind::Interests => ("interests", "users", INTERESTS_PER_PUBLISH_MAX),
        AudienceKind::Users => ("users", "interests", USERS_PER_PUBLISH_MAX),
    };
    let raw = fields
        .remove(own)
        .filter(|raw| raw.get() != "null")
        .ok_or_else(|| InvalidPublish::new(own, format!("{own} is required")))?;
    if fields.contains_key(other) {
        return Err(InvalidPublish::new(
            other,
            format!("a publish to {own} cannot name {other} as well"),
        ));
    }
    let names: Vec<String> = serde_json::from_str(raw.get())
        .map_err(|_| InvalidPublish::new(own, "must be a list of strings"))?;
    if names.is_empty() || names.len() > max {
        return Err(InvalidPublish::new(
            own,
            format!("must have 1 to {max} entries, this has {}", names.len()),
        ));
    }
    match kind {
        AudienceKind::Interests => {
            let parsed: Result<_, _> = names.into_iter().map(InterestName::parse).collect();
            parsed
                .map(Audience::Interests)
                .map_err(|error| InvalidPublish::new(own, error.to_string()))
        }
        AudienceKind::Users => {
            let parsed: Result<_, _> = names.into_iter().map(UserId::parse).collect();
            parsed
                .map(Audience::Users)
                .map_err(|error| InvalidPublish::new(own, error.to_string()))
        }
    }
}

/// A payload that its gateway is sure to refuse is refused here, where the publisher sees it.
pub(crate) fn check_sizes(payloads: &Payloads) -> Result<(), InvalidPublish> {
    let origin = Origin {
        instance: InstanceId::from_uuid(Uuid::nil()),
        publish: PublishId::from_uuid(Uuid::nil()),
        send_at: Timestamp::from_millis(0),
        expires_at: None,
        now: Timestamp::from_millis(0),
    };
    let check = |platform: Platform, length: usize, max: usize| {
        if length <= max {
            return Ok(());
        }
        let text = format!(
            "the payload is too large: {length} bytes of at most {max}, what Heliostat adds included"
        );
        Err(InvalidPublish::new(platform.as_str(), text))
    };
    if let Some(apns) = &payloads.apns {
        check(
            Platform::Apns,
            apns.render(&origin).body.len(),
            APNS_BODY_LENGTH_MAX,
        )?;
    }
    if let Some(fcm) = &payloads.fcm {
        check(
            Platform::Fcm,
            fcm.rendered_length(&origin),
            FCM_PAYLOAD_LENGTH_MAX,
        )?;
    }
    if let Some(web) = &payloads.web {
        check(
            Platform::Web,
            web.render(&origin).plaintext.len(),
            WEB_PLAINTEXT_LENGTH_MAX,
        )?;
    }
    Ok(())
}
