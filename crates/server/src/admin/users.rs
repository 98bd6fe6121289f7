//! Users: list them, look one up, delete or forget one. What there is of one is told by [`export`].
//!
//! To delete a user removes the user's devices, as an app's backend can. To forget one removes every trace: what was published
//! to the user, what came of it, what the user's devices reported.

pub mod export;

use std::sync::Arc;

use domain::beams_token::{self, BEAMS_TOKEN_LIFE};
use domain::device::DeviceOrdinal;
use domain::instance::InstanceId;
use domain::publish::PublishId;
use domain::user::UserId;
use serde::Serialize;
use store::administration::{AuditFilter, DeviceFilter, Forgotten, ListedUser, TracePage};
use utoipa::ToSchema;

use super::Admin;
use super::actor::{Actor, Deed};
use super::audit::Entry;
use super::devices::{self, DeviceInList};
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
        self.webhook_requests += length(page.webhook_requests.len());
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

/// Whether any user's id may begin with it. No store is asked for others: PostgreSQL fails on them.
pub fn may_begin_an_id(text: &str) -> bool {
    text.is_empty() || UserId::parse(text).is_ok()
}

/// Signs a Beams token for a user, as an app's backend does for somebody it has logged in.
pub async fn beams_token(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    user: UserId,
) -> Result<String, AdminError> {
    let deed = Deed::new("beams_token.create")
        .at(instance)
        .to(user.clone());
    let sign = move |admin: Admin| async move {
        let opened = admin.instances.get(instance).await?;
        let opened = opened.ok_or(AdminError::InstanceNotFound)?;
        let missing = AdminError::NotFound { what: "secret key" };
        let key = opened.secret_keys().last().ok_or(missing)?;
        beams_token::sign(&instance, key, &user, admin.now().after(BEAMS_TOKEN_LIFE))
            .map_err(|error| AdminError::Seal(error.to_string()))
    };
    admin.audited(actor, deed, sign).await
}

/// Deletes a user's devices. One who has none is deleted already.
pub async fn delete(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    user: UserId,
) -> Result<Deleted, AdminError> {
    let deed = Deed::new("user.delete").at(instance).to(user.clone());
    let delete =
        move |admin: Admin| async move { Ok(admin.store.delete_user(instance, user).await?) };
    let devices_deleted = admin.audited(actor, deed, delete).await?;
    Ok(Deleted { devices_deleted })
}

/// Removes every trace of a user, and looks everything through again. One at a time has the database scrubbed as well.
pub async fn forget(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    user: UserId,
    scrub: bool,
) -> Result<ForgottenUser, AdminError> {
    let alone = scrub.then(|| Arc::clone(&admin.scrubbing).try_lock_owned());
    let alone = alone.transpose().map_err(|_| {
        let why = "the database is being scrubbed already; try again when that has ended";
        AdminError::Conflict(why.into())
    })?;
    // It says nothing of the user, and is another one each time.
    let pseudonym = UserId::parse(format!("forgotten-{}", PublishId::random().uuid()))
        .map_err(|error| AdminError::field("user", error))?;
    let deed = Deed::new("user.forget").at(instance).to(pseudonym.clone());
    let forget = move |admin: Admin| async move {
        let _alone = alone;
        let mut removed = Forgotten::default();
        let mut remaining = Traces::default();
        for _ in 0..ROUNDS_MAX {
            let round = admin
                .store
                .forget_user(instance, user.clone(), pseudonym.clone());
            removed.add(round.await?);
            remaining = traces(&admin, instance, &user).await?;
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
