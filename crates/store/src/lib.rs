//! What Heliostat remembers: the [`Store`] trait, its written contract, and its backends.
//!
//! SQL lives in the backends' folders alone. A method says what the domain needs and is one transaction; there is no
//! `begin`, no connection, no pool in the trait. Every backend passes the same suite (the module
//! `conformance`, behind the feature of that name).
//!
//! # The contract of every method
//!
//! - **Durable**: when a writing method returns `Ok`, the change survives a crash of the process and of the machine.
//! - **Whole**: on `Err`, nothing was changed.
//! - **Read your writes**: what a method returned `Ok` for is seen by every call that starts afterwards.
//! - **Isolated**: nothing of one instance is seen or changed through another's id. An unknown instance is an error only
//!   where the method says so; elsewhere it is one that has nothing.
//! - **Carried out**: a caller who stops waiting does not undo a call.
//! - **Bounded**: a call holds memory and time in proportion to its arguments and its answer, never to the size of the
//!   store; where it cannot finish soon it fails with [`StoreError::Busy`].

pub mod activity;
pub mod administration;
pub mod cluster;
pub mod configuration;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod console;
pub mod devices;
pub mod insights;
pub mod instances;
pub mod lists;
pub mod lookup;
#[cfg(feature = "conformance")]
pub mod memory;
pub mod moving;
pub mod postgres;
pub mod publishes;
pub mod sealing;
pub mod search;
pub mod sqlite;
mod stored;
pub mod transfer;
pub mod webhooks;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{
    DeviceId, DeviceMetadata, DeviceOrdinal, GatewayToken, Platform, Registration,
};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::publish::{Audience, PublishId};
use domain::user::UserId;

use devices::{Bound, Changed, DeviceRecord, InterestPage, Registered};
use lookup::{
    AudienceCount, Cancelled, Failed, Fresh, PublishCursor, PublishPage, PublishReport,
    PublishState, Replayed, UserOutcome,
};
use publishes::{
    Accepted, Event, Fence, Job, JobId, Lease, NewPublish, Once, Page, Plan, QueueDepth, Recorded,
    RetryBatch, RetryId, Settled, Settlement,
};
use transfer::{DeviceImport, DevicesPage, ImportRules, Imported};

/// Why a store could not do what it was asked. The variants are what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much is waiting already; try again later.
    #[error("the store is busy")]
    Busy,
    /// The store cannot be reached, or cannot write: disk full, read-only, connection lost.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was read makes no sense: damaged, or written by a newer Heliostat.
    #[error("the database is damaged, or not this Heliostat's: {0}")]
    Corrupt(String),
    /// There is no such instance (any more).
    #[error("there is no such instance")]
    UnknownInstance,
    /// An instance with this id exists.
    #[error("an instance with this id exists already")]
    InstanceExists,
    /// The instance has as many devices as it may have.
    #[error("the instance has as many devices as it may have")]
    InstanceFull,
}

impl StoreError {
    /// The same once more, for somebody else who waited for what failed.
    pub fn shared(error: &Arc<Self>) -> Self {
        match &**error {
            Self::Busy => Self::Busy,
            Self::Corrupt(what) => Self::Corrupt(what.clone()),
            Self::UnknownInstance => Self::UnknownInstance,
            Self::InstanceExists => Self::InstanceExists,
            Self::InstanceFull => Self::InstanceFull,
            Self::Unavailable(_) => Self::Unavailable(Box::new(Arc::clone(error))),
        }
    }
}

/// What Heliostat remembers. See the [crate's documentation](crate) for what holds for every method.
#[async_trait]
pub trait Store:
    administration::Administration
    + cluster::Cluster
    + configuration::Configuration
    + console::Console
    + insights::Insights
    + lists::UserLists
    + sealing::Sealing
    + search::Searching
    + webhooks::Webhooks
    + Send
    + Sync
    + fmt::Debug
{
    // Devices, users, subscriptions. A device is addressed by instance and id together.

    /// Registers a device. A gateway token that the instance knows (same [`GatewayToken::identity`]) keeps its device: id,
    /// user and interests stay; bundle identifier and metadata are replaced and the time of registration moves on.
    /// An unknown one gets the id `fresh`, unless the instance has `devices_max` devices or more: [`StoreError::InstanceFull`].
    /// Concurrent calls never exceed that. [`StoreError::UnknownInstance`] if there is no such instance.
    ///
    /// Whoever knows a gateway token learns the device's id that way, so it is noted that the id was given again. A browser
    /// never changes the keys of a subscription, so one that comes with other keys is another browser, whether the device has
    /// a user or may get one later: the device is deleted, and the registration is that of an unknown one.
    async fn register_device(
        &self,
        registration: Registration,
        fresh: DeviceId,
        devices_max: Option<u64>,
        now: Timestamp,
    ) -> Result<Registered, StoreError>;

    /// One device.
    async fn device(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Option<DeviceRecord>, StoreError>;

    /// Deletes a device, its subscriptions and what waits to be sent to it. A publish that loses its last work that way is
    /// finished at the latest when somebody claims or settles next. Its gateway token, if it ever registers again,
    /// gets a new id. Whether there was such a device.
    async fn delete_device(&self, instance: InstanceId, id: DeviceId) -> Result<bool, StoreError>;

    /// Replaces a device's metadata.
    async fn set_metadata(
        &self,
        instance: InstanceId,
        id: DeviceId,
        metadata: DeviceMetadata,
    ) -> Result<Changed, StoreError>;

    /// Replaces a device's gateway token; id, user and interests stay, and the time of registration moves on. Should
    /// another device of the instance have that token, that device is deleted: the token moved. A device of another platform
    /// than the token's is unknown. Which of Apple's gateways takes a new token is to be found out anew.
    ///
    /// A device whose id was given again since it registered first does not get another token: who asks may be somebody who
    /// has the old one, and the notifications of the device's user, or of the one who is bound to it next, would be theirs.
    /// It is deleted, and unknown from then on; the app on the device registers anew and proves again whose it is.
    async fn set_gateway_token(
        &self,
        instance: InstanceId,
        id: DeviceId,
        token: GatewayToken,
        now: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// Binds a device to a user who may have `devices_max` devices of its platform. Concurrent calls never exceed that.
    async fn bind_user(
        &self,
        instance: InstanceId,
        id: DeviceId,
        user: UserId,
        devices_max: u32,
        now: Timestamp,
    ) -> Result<Bound, StoreError>;

    /// Deletes a user and all the user's devices. How many devices there were.
    async fn delete_user(&self, instance: InstanceId, user: UserId) -> Result<u64, StoreError>;

    /// A device's interests behind `after`, ascending by bytes, at most `limit` of them; `None` if there is no such device.
    /// Paging by name stays right while the set changes: what is there throughout is seen once.
    async fn interests(
        &self,
        instance: InstanceId,
        id: DeviceId,
        after: Option<InterestName>,
        limit: usize,
    ) -> Result<Option<InterestPage>, StoreError>;

    /// Replaces a device's interests. The caller has checked their number.
    async fn set_interests(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interests: Vec<InterestName>,
        now: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// Subscribes a device to an interest, unless it would have more than `interests_max`.
    async fn add_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
        interests_max: usize,
        now: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// Unsubscribes a device from an interest.
    async fn remove_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
        now: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// Imports devices, in order, in one transaction: registers those whose gateway token is unknown, brings the others up to
    /// date, binds, subscribes. Each is written whole or [refused](Imported::Refused) whole; the answers are in the order of the
    /// devices. See [`transfer`] for what an import does not touch. [`StoreError::UnknownInstance`] if there is no such instance.
    async fn import_devices(
        &self,
        instance: InstanceId,
        devices: Arc<[DeviceImport]>,
        rules: ImportRules,
        now: Timestamp,
    ) -> Result<Vec<Imported>, StoreError>;

    /// An instance's devices behind `after`, at most `limit`, fewer where they have many interests. A device that is there
    /// throughout is seen once. [`StoreError::UnknownInstance`] if there is no such instance.
    async fn export_devices(
        &self,
        instance: InstanceId,
        after: Option<uuid::Uuid>,
        limit: usize,
    ) -> Result<DevicesPage, StoreError>;

    // Publishes and their work. A lease runs until, but not at, its `until`.

    /// Accepts a publish: writes it and its jobs, resolves its audience. The jobs that `plan` leases to the caller are
    /// returned, ready to run; none if nobody can be in the audience, and then the publish is finished at once.
    /// A publish that is to be sent later than it is accepted is scheduled: it has no jobs yet, and its audience is
    /// resolved when it is sent. Of concurrent calls with the same key in the same instance, one makes a publish.
    /// [`StoreError::UnknownInstance`] if there is no such instance.
    async fn create_publish(&self, new: NewPublish, plan: Plan) -> Result<Accepted, StoreError>;

    /// The publish that a request with this key and fingerprint made, if one did and the key still counts.
    async fn repeated_publish(
        &self,
        instance: InstanceId,
        once: Once,
    ) -> Result<Option<PublishId>, StoreError>;

    /// Begins up to `limit` scheduled publishes whose time has come, the most overdue first: resolves their audiences and
    /// writes their jobs, as [`Store::create_publish`] does. Each is begun by one caller only.
    async fn start_scheduled(
        &self,
        plan: Plan,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError>;

    /// When the next scheduled publish is to be sent, past or not; `None` if there is none.
    async fn next_scheduled(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Calls off what of a publish has not been sent: it is not scheduled any more, its jobs and retries go, and their fences
    /// are no good. What is in flight may still arrive, and is not tallied.
    async fn cancel_publish(
        &self,
        instance: InstanceId,
        id: PublishId,
        now: Timestamp,
    ) -> Result<Cancelled, StoreError>;

    /// Accepts a publish `fresh` of what `id` carries to the devices that it [failed](Store::publish_failures) for, as far as
    /// they are still there. `id` is kept until `fresh` is finished, with the users it named. `fresh` has its own place in a trace,
    /// not that of `id`. What has places to be filled has expired once nobody is known any more to fill them for.
    async fn replay_publish(
        &self,
        instance: InstanceId,
        id: PublishId,
        fresh: Fresh,
        once: Option<Once>,
        plan: Plan,
        now: Timestamp,
    ) -> Result<Replayed, StoreError>;

    /// How many devices of these platforms an audience has, each once. Costs time, not memory, in proportion to its devices,
    /// and holds nobody else up meanwhile; so what changes while it counts may be counted or not.
    async fn count_audience(
        &self,
        instance: InstanceId,
        audience: Audience,
        platforms: Vec<Platform>,
    ) -> Result<AudienceCount, StoreError>;

    /// Claims up to `limit` jobs that nobody holds a running lease on, oldest first. Each is returned to one caller only. A lease
    /// that ends more than [`publishes::AHEAD_MAX`] from now does not run.
    async fn claim_jobs(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError>;

    /// Prolongs the lease on a job. Refused once somebody else has claimed it.
    async fn renew_job(
        &self,
        job: JobId,
        fence: Fence,
        until: Timestamp,
    ) -> Result<Settled, StoreError>;

    /// Gives a job back, to be claimed by anybody at once; its fence is no good any more.
    async fn release_job(&self, job: JobId, fence: Fence) -> Result<Settled, StoreError>;

    /// The next devices of a job's audience behind `after`, at most `limit`: of all interests or users together, each
    /// device once, ascending. Costs the same at the end of a fan-out as at its start.
    async fn audience_page(
        &self,
        job: &Job,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Page, StoreError>;

    /// Writes what became of a page: moves the job's cursor to `cursor` (or deletes the job if it was the `last` page),
    /// prolongs its lease, and applies the settlement. A page that is not the last and does not move the cursor on has been
    /// settled before, and its settlement is not applied again, so that a caller whose answer was lost may repeat the call.
    /// When the last work of a publish is done, the publish is finished. What the settlement says of devices that are gone is passed over; tallies are written all the same.
    async fn settle_page(
        &self,
        job: &Job,
        cursor: DeviceOrdinal,
        last: bool,
        lease_until: Timestamp,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError>;

    /// Claims up to `limit` retries that are due and that nobody holds a running lease on, the most overdue first. What is due
    /// more than [`publishes::AHEAD_MAX`] from now is due; a lease that ends as late does not run.
    async fn claim_retries(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<RetryBatch>, StoreError>;

    /// Prolongs the lease on claimed retries whose fences are still right; the others are passed over. Refused if there is none.
    async fn renew_retries(
        &self,
        ids: Vec<(RetryId, Fence)>,
        until: Timestamp,
    ) -> Result<Settled, StoreError>;

    /// Writes what became of claimed retries of one publish: deletes those of `ids` whose fence is still right and applies the
    /// settlement, whose own retries are written anew. Refused whole if any fence is wrong. A retry that is gone, as its device
    /// is, is passed over; if all of them are gone, it is refused, since another node may have settled them.
    async fn settle_retries(
        &self,
        publish: PublishId,
        ids: Vec<(RetryId, Fence)>,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError>;

    /// When the next retry is due that nobody holds a running lease on; `None` if there is none.
    async fn next_retry_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// What is known of a publish.
    async fn publish_report(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Result<Option<PublishReport>, StoreError>;

    /// Publishes of an instance, all or those in one state, the newest first, behind `after`, at most `limit`.
    async fn list_publishes(
        &self,
        instance: InstanceId,
        state: Option<PublishState>,
        after: Option<PublishCursor>,
        limit: usize,
    ) -> Result<PublishPage, StoreError>;

    /// What became of a publish for each user it named, ascending by bytes, behind `after`, at most `limit`: also for those who
    /// had no device. Nobody where it named none, or is still scheduled. `None` if there is no such publish.
    async fn publish_users(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Option<Vec<UserOutcome>>, StoreError>;

    /// The deliveries of a publish that ended rejected, expired or with a broken credential, ascending by the device's
    /// number, behind `after`, at most `limit`. `None` if there is no such publish.
    async fn publish_failures(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<Failed>>, StoreError>;

    /// Counts reported events, once per device, publish and kind. The answers are in the order of the events.
    async fn record_events(&self, events: Vec<Event>) -> Result<Vec<Recorded>, StoreError>;

    /// How much work waits.
    async fn queue_depth(&self, now: Timestamp) -> Result<QueueDepth, StoreError>;

    /// Deletes up to `limit` publishes that finished before `before`, with all that belongs to them, but for those that are
    /// being replayed. How many it deleted.
    async fn prune_publishes(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Deletes up to `limit` keys of requests that were first used before `before`. How many it deleted.
    async fn prune_keys(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Whether the store can be read and written now, and takes and gives out work. For readiness checks.
    async fn check(&self) -> Result<(), StoreError>;

    /// Finishes what was begun and lets go of the storage. Later calls fail with [`StoreError::Unavailable`].
    async fn close(&self);
}
