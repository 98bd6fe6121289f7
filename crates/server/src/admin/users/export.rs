//! Everything there is of one user, to be handed out.
//!
//! It has whatever forgetting the user would remove; docs/ADMIN.md says what of that is left out, and why, and a test holds both to the
//! tables of the database.

use domain::device::{DeviceId, DeviceOrdinal};
use domain::instance::InstanceId;
use domain::user::UserId;
use serde::Serialize;
use serde_json::Value;
use store::administration::{DeviceFilter, ListedDevice, PublishTrace, TracedRequest};
use store::console::{self, TRAIL_LENGTH_MAX};
use store::lookup::PublishCursor;
use utoipa::ToSchema;

use super::{DEVICES_MAX, entries};
use crate::admin::Admin;
use crate::admin::actor::{Actor, Deed};
use crate::admin::audit::Entry;
use crate::admin::devices::{self, DeviceInFull};
use crate::admin::error::AdminError;
use crate::admin::insights::devices::label;

/// What one publish has of a user.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The id of the publish.
    pub publish_id: String,
    /// When it was accepted.
    #[schema(format = "date-time")]
    pub accepted_at: String,
    /// Whether it names the user.
    pub named: bool,
    /// The values that the user had in it.
    #[schema(value_type = Option<Object>)]
    pub values: Option<Value>,
    /// How many deliveries to the user's devices a gateway took, and how many failed, where that was counted.
    pub accepted: Option<u64>,
    /// See `accepted`.
    pub failed: Option<u64>,
    /// Deliveries that failed.
    pub failures: Vec<TracedFailure>,
    /// What the user's devices reported.
    pub events: Vec<TracedEvent>,
}

/// A delivery to a user's device that failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TracedFailure {
    /// The device's id.
    pub device: String,
    /// What happened.
    pub outcome: &'static str,
    /// Why.
    pub reason: String,
    /// When.
    #[schema(format = "date-time")]
    pub at: String,
}

/// What a user's device reported.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TracedEvent {
    /// The device's id.
    pub device: String,
    /// `delivery` or `open`.
    pub event: &'static str,
    /// When, by the device's own clock.
    #[schema(format = "date-time")]
    pub at: String,
}

/// A device of a user, with all that is known of it but what a gateway addresses it by, which is a secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedDevice {
    /// The device.
    #[serde(flatten)]
    pub device: DeviceInFull,
    /// Since when it belongs to the user; null where that was before it was written down.
    #[schema(format = "date-time")]
    pub bound_at: Option<String>,
    /// The days, in UTC, on which it was active, the newest first; of the last 30.
    pub active_on: Vec<String>,
}

/// A request to a webhook that named a user. What it carries names others too, so that stays out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedRequest {
    /// The webhook's UUID.
    pub webhook: String,
    /// Its own UUID, as `Webhook-Request-ID-UUID` has it.
    pub id: String,
    /// What it tells of.
    pub event: &'static str,
    /// `waiting`, `delivered` or `failed`.
    pub state: &'static str,
    /// When it was first sent; null while it was not.
    #[schema(format = "date-time")]
    pub created_at: Option<String>,
}

/// A line of the debug console that is about a user or one of the user's devices.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedLine {
    /// When.
    #[schema(format = "date-time")]
    pub at: String,
    /// What happened.
    pub kind: &'static str,
    /// To which device.
    pub device: Option<String>,
    /// By which publish.
    pub publish_id: Option<String>,
    /// With which interests.
    pub interests: Vec<String>,
    /// What else the console says.
    pub detail: String,
}

/// Data of a user: publishes on every page, everything else on the first.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// The user's id.
    pub user: String,
    /// The user's devices with their interests.
    pub devices: Vec<ExportedDevice>,
    /// What publishes have of the user, the newest first.
    pub publishes: Vec<Trace>,
    /// Requests to webhooks that name the user, the oldest first; at most 1000.
    pub webhook_requests: Vec<ExportedRequest>,
    /// What the debug console has of the user and the user's devices, the oldest first.
    pub console: Vec<ExportedLine>,
    /// What was done to the user by people who manage.
    pub audit: Vec<Entry>,
    /// Where it goes on; null at the end.
    pub next_cursor: Option<String>,
}

impl Trace {
    fn of(trace: &PublishTrace) -> Self {
        let values = trace.values.as_deref().map(serde_json::from_str);
        Self {
            publish_id: trace.publish.to_string(),
            accepted_at: trace.accepted_at.to_string(),
            named: trace.named,
            values: values.transpose().unwrap_or_default(),
            accepted: trace.outcome.map(|(accepted, _)| accepted),
            failed: trace.outcome.map(|(_, failed)| failed),
            failures: trace
                .failures
                .iter()
                .map(|failed| TracedFailure {
                    device: failed.device.to_string(),
                    outcome: failed.outcome.as_str(),
                    reason: failed.reason.clone().into_owned(),
                    at: failed.at.to_string(),
                })
                .collect(),
            events: trace
                .events
                .iter()
                .map(|event| TracedEvent {
                    device: event.device.to_string(),
                    event: event.kind.as_str(),
                    at: event.at.to_string(),
                })
                .collect(),
        }
    }
}

impl ExportedRequest {
    fn of(traced: &TracedRequest) -> Self {
        Self {
            webhook: traced.webhook.to_string(),
            id: traced.id.to_string(),
            event: traced.event.as_str(),
            state: traced.state.as_str(),
            created_at: traced.created_at.map(|at| at.to_string()),
        }
    }
}

impl ExportedLine {
    fn of(line: &console::Trace) -> Self {
        let interests = line.interests.iter();
        Self {
            at: line.at.to_string(),
            kind: line.kind.as_str(),
            device: line.device.map(|device| device.to_string()),
            publish_id: line.publish.map(|publish| publish.to_string()),
            interests: interests.map(|name| name.as_str().to_owned()).collect(),
            detail: line.detail.clone(),
        }
    }
}

/// A page of the data of a user. That it was asked for is written down once, with the first page.
pub async fn page(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    user: UserId,
    after: Option<PublishCursor>,
) -> Result<Export, AdminError> {
    let (mut devices, mut console, mut audit) = (Vec::new(), Vec::new(), Vec::new());
    if after.is_none() {
        let deed = Deed::new("user.export").at(instance).to(user.clone());
        let (filter, from) = (DeviceFilter::User(user.clone()), DeviceOrdinal::default());
        let read = move |admin: Admin| async move {
            Ok(admin
                .store
                .list_devices(instance, filter, from, DEVICES_MAX)
                .await?)
        };
        let listed = admin.audited(actor, deed, read).await?;
        let ids: Vec<DeviceId> = listed.iter().map(|one| one.device.id).collect();
        console = lines(admin, instance, &user, &ids).await?;
        for one in listed {
            devices.push(device(admin, instance, &one).await?);
        }
        audit = entries(admin, instance, &user).await?;
    }
    let page = admin
        .store
        .user_traces(instance, user.clone(), after)
        .await?;
    let requests = page.webhook_requests.iter();
    Ok(Export {
        user: user.as_str().to_owned(),
        devices,
        publishes: page.publishes.iter().map(Trace::of).collect(),
        webhook_requests: requests.map(ExportedRequest::of).collect(),
        console,
        audit,
        next_cursor: page.next.map(|cursor| cursor.0.to_string()),
    })
}

async fn device(
    admin: &Admin,
    instance: InstanceId,
    listed: &ListedDevice,
) -> Result<ExportedDevice, AdminError> {
    Ok(ExportedDevice {
        device: devices::show(admin, instance, listed.device.id).await?,
        bound_at: listed.bound_at.map(|at| at.to_string()),
        active_on: listed.active.on().map(label).collect(),
    })
}

/// What the debug console has of a user and these devices.
async fn lines(
    admin: &Admin,
    instance: InstanceId,
    user: &UserId,
    devices: &[DeviceId],
) -> Result<Vec<ExportedLine>, AdminError> {
    let trail = admin.store.trail(instance, None, TRAIL_LENGTH_MAX).await?;
    let is_own = |line: &console::Trace| {
        line.user.as_ref() == Some(user) || line.device.is_some_and(|id| devices.contains(&id))
    };
    let own = trail.iter().filter(|(_, line)| is_own(line));
    Ok(own.map(|(_, line)| ExportedLine::of(line)).collect())
}
