//! What a store keeps for those who manage: admin tokens, the audit log, and what there is of devices and users; and how it
//! forgets a user.
//!
//! Lists come in pages that stay right while things come and go. What is forgotten is gone from every table; only numbers
//! that say nothing of whom they were about stay in sums.

use std::fmt;

use async_trait::async_trait;
use domain::admin_token::{AdminTokenDigest, AdminTokenName, Scope};
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal, Recipient};
use domain::instance::{InstanceId, InstanceName};
use domain::interest::InterestName;
use domain::publish::PublishId;
use domain::user::UserId;
use domain::webhook::{EventType, WebhookId};
use uuid::Uuid;

use crate::StoreError;
use crate::activity::Activity;
use crate::devices::DeviceRecord;
use crate::lookup::{Failed, PublishCursor};
use crate::publishes::EventKind;
use crate::webhooks::RequestState;

/// How many admin tokens there may be.
pub const ADMIN_TOKENS_MAX: usize = 1000;

/// The number of an admin token within its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdminTokenId(pub i64);

/// An admin token to be added.
#[derive(Debug, Clone)]
pub struct NewAdminToken {
    /// What is kept of the token.
    pub digest: AdminTokenDigest,
    /// What may be shown of it.
    pub hint: String,
    /// What people call it.
    pub name: AdminTokenName,
    /// How far it goes.
    pub scope: Scope,
    /// When it is added.
    pub created_at: Timestamp,
    /// From when on it counts no more.
    pub expires_at: Option<Timestamp>,
}

/// An admin token as kept.
#[derive(Debug, Clone)]
pub struct AdminTokenRecord {
    /// Its number.
    pub id: AdminTokenId,
    /// What was given when it was added.
    pub token: NewAdminToken,
    /// When it was used last, as far as that was written down.
    pub used_at: Option<Timestamp>,
}

/// An entry for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// When.
    pub at: Timestamp,
    /// By which kind of actor, in a word.
    pub actor: String,
    /// By which admin token.
    pub token: Option<AdminTokenId>,
    /// What the admin token was called then.
    pub token_name: Option<String>,
    /// What was done, in a word: `secret_key.revoke`.
    pub action: String,
    /// In which instance. It need not exist (any more).
    pub instance: Option<InstanceId>,
    /// To what.
    pub subject: Option<String>,
    /// To which user.
    pub user: Option<UserId>,
}

/// The number of an entry of the audit log, which grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId(pub i64);

/// How what an entry tells of ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was begun. If it stays so, the process ended in the middle of it.
    Begun,
    /// It was done.
    Done,
    /// It was not done, for this reason.
    Failed(String),
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number.
    pub id: AuditId,
    /// What was done by whom. The user is a pseudonym once the user was forgotten.
    pub entry: NewAuditEntry,
    /// How it ended.
    pub outcome: AuditOutcome,
}

/// Which entries of the audit log are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Those of one instance.
    pub instance: Option<InstanceId>,
    /// Those about one user.
    pub user: Option<UserId>,
}

/// Which devices of an instance are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceFilter {
    /// All.
    All,
    /// Those of a user.
    User(UserId),
    /// Those subscribed to an interest.
    Interest(InterestName),
}

/// A device in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// Its number, where a list goes on.
    pub ordinal: DeviceOrdinal,
    /// The device.
    pub device: DeviceRecord,
    /// Since when it belongs to its user; `None` without one, or where that was before it was written down.
    pub bound_at: Option<Timestamp>,
    /// On which days it was active.
    pub active: Activity,
}

/// A user in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUser {
    /// The user.
    pub user: UserId,
    /// How many devices the user has.
    pub devices: u64,
    /// Since when the first of them is bound, as far as that was written down.
    pub bound_at: Option<Timestamp>,
    /// When the last of them registered.
    pub registered_at: Timestamp,
}

/// A report of a device on a publish, as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedEvent {
    /// The device.
    pub device: DeviceId,
    /// What happened.
    pub kind: EventKind,
    /// When, by the device's own clock.
    pub at: Timestamp,
}

/// What one publish has of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishTrace {
    /// The publish.
    pub publish: PublishId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Whether it names the user.
    pub named: bool,
    /// The values that the user has in it, as JSON.
    pub values: Option<String>,
    /// How many deliveries to the user's devices were accepted, and how many failed, where that was counted.
    pub outcome: Option<(u64, u64)>,
    /// Deliveries to the user's devices that failed.
    pub failures: Vec<Failed>,
    /// What the user's devices reported of it.
    pub events: Vec<ReportedEvent>,
}

/// How many requests to webhooks that name a user are told of.
pub const TRACED_REQUESTS_MAX: usize = 1000;

/// A request to a webhook that names a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedRequest {
    /// The webhook. Nobody knows the one that queues for publishes by its id.
    pub webhook: WebhookId,
    /// `Webhook-Request-ID-UUID`.
    pub id: Uuid,
    /// What it tells of.
    pub event: EventType,
    /// Where it is.
    pub state: RequestState,
    /// When it was first claimed; `None` while it was not.
    pub created_at: Option<Timestamp>,
}

/// What some publishes have of a user, and requests to webhooks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TracePage {
    /// Those that have anything, the newest first.
    pub publishes: Vec<PublishTrace>,
    /// Requests to webhooks that name the user, in the order in which they were queued, at most [`TRACED_REQUESTS_MAX`]; on the
    /// first page alone.
    pub webhook_requests: Vec<TracedRequest>,
    /// Where to go on; `None` at the end.
    pub next: Option<PublishCursor>,
}

/// What was removed of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Devices, with their subscriptions and what waited to be sent to them.
    pub devices: u64,
    /// Publishes and scheduled publishes that named the user, and places in lists of users.
    pub names: u64,
    /// What was counted for the user.
    pub outcomes: u64,
    /// Failed deliveries.
    pub failures: u64,
    /// Reports of devices.
    pub events: u64,
    /// Requests to webhooks.
    pub webhook_requests: u64,
    /// Entries of the audit log that have a pseudonym now.
    pub audit_entries: u64,
}

impl Forgotten {
    /// Adds what another piece removed.
    pub fn add(&mut self, other: Self) {
        self.devices += other.devices;
        self.names += other.names;
        self.outcomes += other.outcomes;
        self.failures += other.failures;
        self.events += other.events;
        self.webhook_requests += other.webhook_requests;
        self.audit_entries += other.audit_entries;
    }
}

/// What became of a device that was to be nobody's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Unbound {
    /// It was this user's until now.
    From(UserId),
    /// It was nobody's already; nothing was changed.
    Nobodys,
    /// The instance has no such device.
    UnknownDevice,
}

/// What a store keeps for those who manage. The contract of [`Store`](crate::Store) holds here too.
#[async_trait]
pub trait Administration: Send + Sync + fmt::Debug {
    /// Adds an admin token and the entry that tells of it. `None`, and nothing is written, if there are
    /// [`ADMIN_TOKENS_MAX`] already.
    async fn add_admin_token(
        &self,
        new: NewAdminToken,
        entry: NewAuditEntry,
    ) -> Result<Option<AdminTokenId>, StoreError>;

    /// The admin token with this digest, expired or not.
    async fn admin_token(
        &self,
        digest: AdminTokenDigest,
    ) -> Result<Option<AdminTokenRecord>, StoreError>;

    /// All admin tokens, oldest first.
    async fn admin_tokens(&self) -> Result<Vec<AdminTokenRecord>, StoreError>;

    /// Revokes an admin token, and writes the entry that tells of it. Whether there was one; without one, nothing is written.
    async fn revoke_admin_token(
        &self,
        id: AdminTokenId,
        entry: NewAuditEntry,
    ) -> Result<bool, StoreError>;

    /// Writes down that an admin token was used. Nothing happens if it is gone.
    async fn touch_admin_token(&self, id: AdminTokenId, now: Timestamp) -> Result<(), StoreError>;

    /// Appends an entry to the audit log, as begun.
    async fn append_audit(&self, entry: NewAuditEntry) -> Result<AuditId, StoreError>;

    /// Writes down how what an entry tells of ended. Nothing happens if the entry is gone.
    async fn conclude_audit(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError>;

    /// Entries of the audit log behind `after`, the newest first, at most `limit`.
    async fn audit_page(
        &self,
        filter: AuditFilter,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError>;

    /// Deletes up to `limit` entries of the audit log from before `before`. How many it deleted.
    async fn prune_audit(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Gives an instance another name. Whether there is such an instance.
    async fn rename_instance(&self, id: InstanceId, name: InstanceName)
    -> Result<bool, StoreError>;

    /// Devices of an instance behind `after`, ascending by number, at most `limit`.
    async fn list_devices(
        &self,
        instance: InstanceId,
        filter: DeviceFilter,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Vec<ListedDevice>, StoreError>;

    /// Where one device is reached.
    async fn recipient(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Option<Recipient>, StoreError>;

    /// Takes a device from its user. It stays, with its id and interests, and may be bound again, to anybody; what waits to be
    /// sent to it because it was the user's is dropped, and webhooks are told.
    async fn unbind_device(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Unbound, StoreError>;

    /// Users of an instance whose ids begin with `prefix`, behind `after`, ascending by bytes, at most `limit`.
    async fn list_users(
        &self,
        instance: InstanceId,
        prefix: &str,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<ListedUser>, StoreError>;

    /// What publishes of an instance have of a user, behind `after`. A call looks at a bounded number of publishes, so a page
    /// may be empty and not the last.
    async fn user_traces(
        &self,
        instance: InstanceId,
        user: UserId,
        after: Option<PublishCursor>,
    ) -> Result<TracePage, StoreError>;

    /// Removes a user: the devices, and every trace in publishes, lists, failures, reports, the debug console's trail and
    /// requests to webhooks, which are removed whole, also where they wait and name others too; in the audit log the user
    /// becomes `pseudonym`. Done in pieces, so what comes meanwhile may stay; a repetition removes that.
    async fn forget_user(
        &self,
        instance: InstanceId,
        user: UserId,
        pseudonym: UserId,
    ) -> Result<Forgotten, StoreError>;

    /// Makes sure that what was deleted cannot be read from the files any more either, as far as the store can. Takes time
    /// in proportion to the store, and may hold up everybody else.
    async fn scrub(&self) -> Result<(), StoreError>;

    /// Removes what up to `limit` publishes that finished before `before` carry. They cannot be replayed any more. How many
    /// it was removed from.
    async fn prune_payloads(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Removes whom up to `limit` publishes that finished before `before` named, and what became of them for each; failures
    /// stay without their user. Publishes that are being replayed are left alone. How many it was removed from.
    async fn prune_names(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;
}
