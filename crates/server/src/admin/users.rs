//! Users: list them, look one up, delete, forget or export one.
//!
//! To delete a user removes the user's devices, as an app's backend can. To forget one removes every trace: what was published
//! to the user, what came of it, what the user's devices reported.

use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::user::UserId;
use serde::Serialize;
use serde_json::Value;
use store::administration::{
    AuditFilter, DeviceFilter, Forgotten, ListedUser, PublishTrace, TracePage,
};
use store::lookup::PublishCursor;
use utoipa::ToSchema;

use super::Admin;
use super::actor::{Actor, Deed};
use super::audit::Entry;
use super::devices::{self, DeviceInFull, DeviceInList};
use super::error::AdminError;

/// More devices than a user can have.
const DEVICES_MAX: usize = 1000;
/// How many entries of the audit log an export has at most.
const ENTRIES_MAX: usize = 1000;
/// How often forgetting is repeated if something comes meanwhile.
const ROUNDS_MAX: usize = 3;

/// A user.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The user's id.
    pub user: String,
    /// How many devices the user has.
    pub devices: u64,
    /// Since when the first of them is bound; null where that was before it was written down.
    #[schema(format = "date-time")]
    pub bound_since: Option<String>,
    /// When the last of them registered.
    #[schema(format = "date-time")]
    pub last_seen: String,
}

/// Some users, ascending by the bytes of their ids.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserPage {
    /// The users.
    pub users: Vec<User>,
    /// Where they go on; null at the end.
    pub next_cursor: Option<String>,
}

/// A user with the user's devices.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UserInFull {
    /// The user's id.
    pub user: String,
    /// The user's devices.
    pub devices: Vec<DeviceInList>,
}

/// A user who was deleted.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// How many devices the user had.
    pub devices_deleted: u64,
}

/// What was removed of a user, or what is left.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Traces {
    /// Devices, with their subscriptions and what waited to be sent to them.
    pub devices: u64,
    /// Publishes, scheduled or not, and lists of users that named the user.
    pub names: u64,
    /// What was counted for the user.
    pub outcomes: u64,
    /// Failed deliveries.
    pub failures: u64,
    /// Reports of devices.
    pub events: u64,
    /// Requests to webhooks.
    pub webhook_requests: u64,
    /// Entries of the audit log, which have a pseudonym afterwards.
    pub audit_entries: u64,
}

/// What came of forgetting a user.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ForgottenUser {
    /// What was removed.
    pub removed: Traces,
    /// What was found when everything was looked through again afterwards. All of it is 0, unless the user came back meanwhile.
    pub remaining: Traces,
    /// Whether the files of the database were written anew, too, so that nothing can be read from them any more.
    pub scrubbed: bool,
}

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

/// Data of a user: the devices and the audit log on the first page, publishes on every one.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// The user's id.
    pub user: String,
    /// The user's devices with their interests.
    pub devices: Vec<DeviceInFull>,
    /// What publishes have of the user, the newest first.
    pub publishes: Vec<Trace>,
    /// What was done to the user by people who manage.
    pub audit: Vec<Entry>,
    /// Where it goes on; null at the end.
    pub next_cursor: Option<String>,
}

impl User {
    /// What is shown of a user.
    pub fn of(listed: &ListedUser) -> Self {
        Self {
            user: listed.user.as_str().to_owned(),
            devices: listed.devices,
            bound_since: listed.bound_at.map(|at| at.to_string()),
            last_seen: listed.registered_at.to_string(),
        }
    }
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

impl From<Forgotten> for Traces {
    fn from(forgotten: Forgotten) -> Self {
        Self {
            devices: forgotten.devices,
            names: forgotten.names,
            outcomes: forgotten.outcomes,
            failures: forgotten.failures,
            events: forgotten.events,
            webhook_requests: forgotten.webhook_requests,
            audit_entries: forgotten.audit_entries,
        }
    }
}

impl Traces {
    fn is_nothing(&self) -> bool {
        self.devices == 0
            && self.names == 0
            && self.outcomes == 0
            && self.failures == 0
            && self.events == 0
            && self.webhook_requests == 0
            && self.audit_entries == 0
    }

    fn count(&mut self, page: &TracePage) {
        let length = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        self.webhook_requests += page.webhook_requests;
        for trace in &page.publishes {
            self.names += u64::from(trace.named);
            self.outcomes += u64::from(trace.outcome.is_some());
            self.failures += length(trace.failures.len());
            self.events += length(trace.events.len());
        }
    }
}

/// A page of users whose ids begin with `prefix`.
pub async fn list(
    admin: &Admin,
    instance: InstanceId,
    prefix: &str,
    after: Option<UserId>,
    limit: usize,
) -> Result<UserPage, AdminError> {
    let found = admin.store.list_users(instance, prefix, after, limit + 1);
    let found = found.await?;
    let shown = &found[..found.len().min(limit)];
    let last = shown.last().filter(|_| found.len() > limit);
    Ok(UserPage {
        users: shown.iter().map(User::of).collect(),
        next_cursor: last.map(|listed| listed.user.as_str().to_owned()),
    })
}

/// One user, who has at least one device.
pub async fn show(
    admin: &Admin,
    instance: InstanceId,
    user: UserId,
) -> Result<UserInFull, AdminError> {
    let id = user.as_str().to_owned();
    let (filter, from) = (DeviceFilter::User(user), DeviceOrdinal::default());
    let page = devices::list(admin, instance, filter, from, DEVICES_MAX).await?;
    if page.devices.is_empty() {
        return Err(AdminError::NotFound { what: "user" });
    }
    Ok(UserInFull {
        user: id,
        devices: page.devices,
    })
}

/// Deletes a user's devices. One who has none is deleted already.
pub async fn delete(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    user: UserId,
) -> Result<Deleted, AdminError> {
    let deed = Deed::new("user.delete").at(instance).to(user.clone());
    let delete = async { Ok(admin.store.delete_user(instance, user).await?) };
    let devices_deleted = admin.audited(actor, deed, delete).await?;
    Ok(Deleted { devices_deleted })
}

/// Removes every trace of a user, and looks everything through again.
pub async fn forget(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    user: UserId,
    scrub: bool,
) -> Result<ForgottenUser, AdminError> {
    // It says nothing of the user, and is another one each time.
    let pseudonym = UserId::parse(format!("forgotten-{}", PublishId::random().uuid()))
        .map_err(|error| AdminError::field("user", error))?;
    let deed = Deed::new("user.forget").at(instance).to(pseudonym.clone());
    let forget = async {
        let mut removed = Forgotten::default();
        let mut remaining = Traces::default();
        for _ in 0..ROUNDS_MAX {
            let round = admin
                .store
                .forget_user(instance, user.clone(), pseudonym.clone());
            removed.add(round.await?);
            remaining = traces(admin, instance, &user).await?;
            if remaining.is_nothing() {
                break;
            }
        }
        if scrub {
            admin.store.scrub().await?;
        }
        Ok(ForgottenUser {
            removed: removed.into(),
            remaining,
            scrubbed: scrub,
        })
    };
    admin.audited(actor, deed, forget).await
}

/// Counts what there is of a user.
async fn traces(admin: &Admin, instance: InstanceId, user: &UserId) -> Result<Traces, AdminError> {
    let mut found = Traces::default();
    let (filter, from) = (DeviceFilter::User(user.clone()), DeviceOrdinal::default());
    let devices = admin
        .store
        .list_devices(instance, filter, from, DEVICES_MAX);
    found.devices = u64::try_from(devices.await?.len()).unwrap_or(u64::MAX);
    found.audit_entries = u64::try_from(entries(admin, instance, user).await?.len()).unwrap_or(0);
    let mut after = None;
    loop {
        let page = admin
            .store
            .user_traces(instance, user.clone(), after)
            .await?;
        found.count(&page);
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

async fn entries(
    admin: &Admin,
    instance: InstanceId,
    user: &UserId,
) -> Result<Vec<Entry>, AdminError> {
    let filter = AuditFilter {
        instance: Some(instance),
        user: Some(user.clone()),
    };
    let found = admin.store.audit_page(filter, None, ENTRIES_MAX).await?;
    Ok(found.iter().map(Entry::of).collect())
}

/// A page of the data of a user. That it was asked for is written down once, with the first page.
pub async fn export(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    user: UserId,
    after: Option<PublishCursor>,
) -> Result<Export, AdminError> {
    let (mut devices, mut audit) = (Vec::new(), Vec::new());
    if after.is_none() {
        let deed = Deed::new("user.export").at(instance).to(user.clone());
        let read = async {
            let (filter, from) = (DeviceFilter::User(user.clone()), DeviceOrdinal::default());
            Ok(admin
                .store
                .list_devices(instance, filter, from, DEVICES_MAX)
                .await?)
        };
        for listed in admin.audited(actor, deed, read).await? {
            devices.push(devices::show(admin, instance, listed.device.id).await?);
        }
        audit = entries(admin, instance, &user).await?;
    }
    let page = admin
        .store
        .user_traces(instance, user.clone(), after)
        .await?;
    Ok(Export {
        user: user.as_str().to_owned(),
        devices,
        publishes: page.publishes.iter().map(Trace::of).collect(),
        audit,
        next_cursor: page.next.map(|cursor| cursor.0.to_string()),
    })
}
