//! Devices: list them, look one up, send it a test notification, take it from its user, delete it.

use delivery::probe;
use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::interest::INTERESTS_PER_DEVICE_MAX;
use domain::outcome::Outcome;
use domain::payload::Payloads;
use domain::publish::{AudienceKind, PublishRequest};
use domain::user::UserId;
use serde::Serialize;
use serde_json::{Value, json};
use store::administration::{DeviceFilter, ListedDevice, Unbound};
use store::console::{Trace, TraceKind};
use store::devices::DeviceRecord;
use utoipa::ToSchema;

use super::Admin;
use super::actor::{Actor, Deed};
use super::error::AdminError;

/// What the debug console says of a device that somebody who manages the instance unbound or deleted.
const BY_HAND: &str = "by hand";

/// A device, without its gateway token.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its id: the platform, a hyphen, a UUID.
    pub id: String,
    /// `apns`, `fcm` or `web`.
    pub platform: &'static str,
    /// Its user, if one is bound.
    pub user: Option<String>,
    /// What its SDK told of it.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// When it registered first.
    #[schema(format = "date-time")]
    pub created_at: String,
    /// When it registered last, which SDKs do when the app starts and its gateway token is another one.
    #[schema(format = "date-time")]
    pub registered_at: String,
}

/// A device in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceInList {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Since when it belongs to its user; null without one, or where that was before it was written down.
    #[schema(format = "date-time")]
    pub bound_at: Option<String>,
}

/// Some devices, in the order in which they registered first.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DevicePage {
    /// The devices.
    pub devices: Vec<DeviceInList>,
    /// Where they go on; null at the end.
    pub next_cursor: Option<String>,
}

/// What came of a test notification.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Tested {
    /// The device's id.
    pub device: String,
    /// `accepted`, `token_dead`, `retry`, `rejected` or `credential_broken`, as the gateway answered.
    pub outcome: &'static str,
    /// Why, where it was not accepted.
    pub reason: Option<String>,
}

/// A device with its interests.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeviceInFull {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Its interests, ascending.
    pub interests: Vec<String>,
}

impl Device {
    /// What may be shown of a device.
    pub fn of(record: &DeviceRecord) -> Self {
        Self {
            id: record.id.to_string(),
            platform: record.id.platform().as_str(),
            user: record.user.as_ref().map(|user| user.as_str().to_owned()),
            // Checked to be JSON when it came.
            metadata: serde_json::from_str(record.metadata.as_json()).unwrap_or_default(),
            created_at: record.created_at.to_string(),
            registered_at: record.registered_at.to_string(),
        }
    }
}

impl DeviceInList {
    /// What may be shown of a listed device.
    pub fn of(listed: &ListedDevice) -> Self {
        Self {
            device: Device::of(&listed.device),
            bound_at: listed.bound_at.map(|at| at.to_string()),
        }
    }
}

/// A page of devices.
pub async fn list(
    admin: &Admin,
    instance: InstanceId,
    filter: DeviceFilter,
    after: DeviceOrdinal,
    limit: usize,
) -> Result<DevicePage, AdminError> {
    let store = admin.store();
    let found = store
        .list_devices(instance, filter, after, limit + 1)
        .await?;
    let shown = &found[..found.len().min(limit)];
    let last = shown.last().filter(|_| found.len() > limit);
    Ok(DevicePage {
        devices: shown.iter().map(DeviceInList::of).collect(),
        next_cursor: last.map(|device| device.ordinal.0.to_string()),
    })
}

/// What a test notification says if nobody says otherwise.
pub(crate) fn greeting() -> Result<Payloads, AdminError> {
    let (title, body) = ("Heliostat", "This is a test notification.");
    payloads(&json!({
        "apns": {"aps": {"alert": {"title": title, "body": body}}},
        "fcm": {"notification": {"title": title, "body": body}},
        "web": {"notification": {"title": title, "body": body}},
    }))
}

/// Checks payloads as those of a publish are checked.
pub fn payloads(given: &Value) -> Result<Payloads, AdminError> {
    let mut body = given.clone();
    body["interests"] = json!(["test"]);
    let request = PublishRequest::parse(AudienceKind::Interests, body.to_string().as_bytes());
    let request = request.map_err(|error| AdminError::field("payload", error))?;
    Ok(request.payloads)
}

/// Sends a notification to one device and waits for what its gateway says. Nothing is tried again, counted or removed.
pub async fn test(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: DeviceId,
    payloads: Option<Payloads>,
) -> Result<Tested, AdminError> {
    let deed = Deed::new("device.test").at(instance).on(id);
    let test = move |admin: Admin| async move {
        let recipient = admin.store.recipient(instance, id).await?.ok_or(UNKNOWN)?;
        let opened = admin.instances.get(instance).await?;
        let opened = opened.ok_or(AdminError::InstanceNotFound)?;
        let payloads = payloads.map_or_else(greeting, Ok)?;
        let sent = probe::send(
            &admin.instances,
            &opened,
            &recipient,
            &payloads,
            &*admin.clock,
        );
        sent.await.ok_or_else(|| {
            AdminError::Conflict(format!(
                "there is no payload or no gateway credential for {}",
                id.platform()
            ))
        })
    };
    let outcome = admin.audited(actor, deed, test).await?;
    let word = outcome.kind().as_str();
    let reason = match outcome {
        Outcome::Accepted => None,
        Outcome::TokenDead { reason, .. }
        | Outcome::Retry { reason, .. }
        | Outcome::Rejected { reason }
        | Outcome::CredentialBroken { reason } => Some(reason.into_owned()),
    };
    Ok(Tested {
        device: id.to_string(),
        outcome: word,
        reason,
    })
}

const UNKNOWN: AdminError = AdminError::NotFound { what: "device" };

/// One device.
pub async fn show(
    admin: &Admin,
    instance: InstanceId,
    id: DeviceId,
) -> Result<DeviceInFull, AdminError> {
    let store = admin.store();
    let record = store.device(instance, id).await?.ok_or(UNKNOWN)?;
    let page = store.interests(instance, id, None, INTERESTS_PER_DEVICE_MAX);
    let interests = page.await?.map(|page| page.interests).unwrap_or_default();
    let text = |name: domain::interest::InterestName| name.as_str().to_owned();
    Ok(DeviceInFull {
        device: Device::of(&record),
        interests: interests.into_iter().map(text).collect(),
    })
}

/// Takes a device from its user, who is told; `None` if it was nobody's. It stays, with its interests, and may be bound again.
pub async fn unbind(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: DeviceId,
) -> Result<Option<UserId>, AdminError> {
    let deed = Deed::new("device.unbind").at(instance).on(id);
    let unbind = move |admin: Admin| async move {
        match admin.store.unbind_device(instance, id).await? {
            Unbound::From(user) => {
                admin.runner.trail().note(instance, |now| Trace {
                    device: Some(id),
                    user: Some(user.clone()),
                    detail: BY_HAND.to_owned(),
                    ..Trace::new(now, TraceKind::Unbound)
                });
                Ok(Some(user))
            }
            Unbound::Nobodys => Ok(None),
            Unbound::UnknownDevice => Err(UNKNOWN),
        }
    };
    admin.audited(actor, deed, unbind).await
}

/// Deletes a device, its subscriptions and what waits to be sent to it.
pub async fn delete(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: DeviceId,
) -> Result<(), AdminError> {
    let deed = Deed::new("device.delete").at(instance).on(id);
    let delete = move |admin: Admin| async move {
        if !admin.store.delete_device(instance, id).await? {
            return Err(UNKNOWN);
        }
        admin.runner.trail().note(instance, |now| Trace {
            device: Some(id),
            detail: BY_HAND.to_owned(),
            ..Trace::new(now, TraceKind::Removed)
        });
        Ok(())
    };
    admin.audited(actor, deed, delete).await
}
