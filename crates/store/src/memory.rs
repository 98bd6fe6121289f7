//! A store in memory, for tests: an executable model of the [contract](crate).
//!
//! Every method is one step on plain collections: no thread, no I/O, nothing random, and clear code where a fast one would be
//! longer. It passes the same suite as the backends that are for use, so a simulation that runs on it stands on what they
//! promise. It is durable for as long as the value lives. Must not know SQL, and is never part of a release build.

mod accept;
mod administration;
mod cluster;
mod console;
mod devices;
mod insights;
mod instances;
mod lists;
mod lookup;
mod publishes;
mod sealing;
mod search;
mod state;
mod transfer;
mod webhooks;
mod work;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{
    DeviceId, DeviceMetadata, DeviceOrdinal, GatewayToken, Platform, Registration,
};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::publish::{Audience, PublishId};
use domain::user::UserId;
use uuid::Uuid;

use self::state::State;
use self::work::Progress;
use crate::devices::{Bound, Changed, DeviceRecord, InterestPage, Registered};
use crate::lookup::{
    AudienceCount, Cancelled, Failed, Fresh, PublishCursor, PublishPage, PublishReport,
    PublishState, Replayed, UserOutcome,
};
use crate::publishes::{
    Accepted, Event, Fence, Job, JobId, Lease, NewPublish, Once, Page, Plan, QueueDepth, Recorded,
    RetryBatch, RetryId, Settled, Settlement,
};
use crate::transfer::{DeviceImport, DevicesPage, ImportRules, Imported};
use crate::{Store, StoreError};

/// A store in memory. See the [module](self).
#[derive(Debug)]
pub struct MemoryStore {
    /// `None` once it is closed.
    state: Mutex<Option<State>>,
    steps: AtomicU64,
}

impl Default for MemoryStore {
    /// An empty store.
    fn default() -> Self {
        Self {
            state: Mutex::new(Some(State::default())),
            steps: AtomicU64::new(0),
        }
    }
}

impl MemoryStore {
    /// How many steps it has taken: what callers cost it.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    /// Takes one step, whole and alone.
    fn step<T>(&self, step: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        self.steps.fetch_add(1, Ordering::SeqCst);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            Some(state) => Ok(step(state)),
            None => Err(StoreError::Unavailable("the store is closed".into())),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn register_device(
        &self,
        registration: Registration,
        fresh: DeviceId,
        devices_max: Option<u64>,
        now: Timestamp,
    ) -> Result<Registered, StoreError> {
        self.step(|state| state.register_device(registration, fresh, devices_max, now))?
    }

    async fn device(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Option<DeviceRecord>, StoreError> {
        self.step(|state| state.device_record(instance, id))
    }

    async fn delete_device(&self, instance: InstanceId, id: DeviceId) -> Result<bool, StoreError> {
        self.step(|state| state.delete_device(instance, id))
    }

    async fn set_metadata(
        &self,
        instance: InstanceId,
        id: DeviceId,
        metadata: DeviceMetadata,
    ) -> Result<Changed, StoreError> {
        self.step(|state| state.set_metadata(instance, id, metadata))
    }

    async fn set_gateway_token(
        &self,
        instance: InstanceId,
        id: DeviceId,
        token: GatewayToken,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.step(|state| state.set_gateway_token(instance, id, &token, now))
    }

    async fn bind_user(
        &self,
        instance: InstanceId,
        id: DeviceId,
        user: UserId,
        devices_max: u32,
        now: Timestamp,
    ) -> Result<Bound, StoreError> {
        self.step(|state| state.bind_user(instance, id, user, devices_max, now))
    }

    async fn delete_user(&self, instance: InstanceId, user: UserId) -> Result<u64, StoreError> {
        self.step(|state| state.delete_user(instance, &user))
    }

    async fn interests(
        &self,
        instance: InstanceId,
        id: DeviceId,
        after: Option<InterestName>,
        limit: usize,
    ) -> Result<Option<InterestPage>, StoreError> {
        self.step(|state| state.interest_page(instance, id, after.as_ref(), limit))
    }

    async fn set_interests(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interests: Vec<InterestName>,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.step(|state| state.set_interests(instance, id, &interests, now))
    }

    async fn add_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
        interests_max: usize,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.step(|state| state.add_interest(instance, id, interest, interests_max, now))
    }

    async fn remove_interest(
        &self,
        instance: InstanceId,
        id: DeviceId,
        interest: InterestName,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        self.step(|state| state.remove_interest(instance, id, &interest, now))
    }

    async fn import_devices(
        &self,
        instance: InstanceId,
        devices: Arc<[DeviceImport]>,
        rules: ImportRules,
        now: Timestamp,
    ) -> Result<Vec<Imported>, StoreError> {
        self.step(|state| state.import_devices(instance, &devices, rules, now))?
    }

    async fn export_devices(
        &self,
        instance: InstanceId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<DevicesPage, StoreError> {
        self.step(|state| state.export_devices(instance, after, limit))?
    }

    async fn create_publish(&self, new: NewPublish, plan: Plan) -> Result<Accepted, StoreError> {
        self.step(|state| state.create_publish(new, plan))?
    }

    async fn start_scheduled(
        &self,
        plan: Plan,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        self.step(|state| state.start_scheduled(plan, now, limit))
    }

    async fn repeated_publish(
        &self,
        instance: InstanceId,
        once: Once,
    ) -> Result<Option<PublishId>, StoreError> {
        self.step(|state| state.repeated_publish(instance, &once))
    }

    async fn next_scheduled(&self) -> Result<Option<Timestamp>, StoreError> {
        self.step(|state| state.next_scheduled())
    }

    async fn cancel_publish(
        &self,
        instance: InstanceId,
        id: PublishId,
        now: Timestamp,
    ) -> Result<Cancelled, StoreError> {
        self.step(|state| state.cancel_publish(instance, id, now))
    }

    async fn replay_publish(
        &self,
        instance: InstanceId,
        id: PublishId,
        fresh: Fresh,
        once: Option<Once>,
        plan: Plan,
        now: Timestamp,
    ) -> Result<Replayed, StoreError> {
        self.step(|state| state.replay_publish(instance, id, fresh, once.as_ref(), plan, now))?
    }

    async fn count_audience(
        &self,
        instance: InstanceId,
        audience: Audience,
        platforms: Vec<Platform>,
    ) -> Result<AudienceCount, StoreError> {
        self.step(|state| state.count_audience(instance, &audience, &platforms))
    }

    async fn claim_jobs(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        self.step(|state| state.claim_jobs(lease, now, limit))
    }

    async fn renew_job(
        &self,
        job: JobId,
        fence: Fence,
        until: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.step(|state| state.renew_job(job, fence, until))
    }

    async fn release_job(&self, job: JobId, fence: Fence) -> Result<Settled, StoreError> {
        self.step(|state| state.release_job(job, fence))
    }

    async fn audience_page(
        &self,
        job: &Job,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.step(|state| state.audience_page(job, after, limit))
    }

    async fn settle_page(
        &self,
        job: &Job,
        cursor: DeviceOrdinal,
        last: bool,
        lease_until: Timestamp,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let progress = Progress {
            cursor,
            last,
            lease_until,
        };
        self.step(|state| state.settle_page(job, progress, &settlement, now))
    }

    async fn claim_retries(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<RetryBatch>, StoreError> {
        self.step(|state| state.claim_retries(lease, now, limit))
    }

    async fn renew_retries(
        &self,
        ids: Vec<(RetryId, Fence)>,
        until: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.step(|state| state.renew_retries(&ids, until))
    }

    async fn settle_retries(
        &self,
        publish: PublishId,
        ids: Vec<(RetryId, Fence)>,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.step(|state| state.settle_retries(publish, &ids, &settlement, now))
    }

    async fn next_retry_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.step(|state| state.next_retry_due(now))
    }

    async fn publish_report(
        &self,
        instance: InstanceId,
        id: PublishId,
    ) -> Result<Option<PublishReport>, StoreError> {
        self.step(|state| state.publish_report(instance, id))
    }

    async fn list_publishes(
        &self,
        instance: InstanceId,
        state: Option<PublishState>,
        after: Option<PublishCursor>,
        limit: usize,
    ) -> Result<PublishPage, StoreError> {
        self.step(|all| all.list_publishes(instance, state, after, limit))
    }

    async fn publish_users(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Option<Vec<UserOutcome>>, StoreError> {
        self.step(|state| state.publish_users(instance, id, after.as_ref(), limit))
    }

    async fn publish_failures(
        &self,
        instance: InstanceId,
        id: PublishId,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<Failed>>, StoreError> {
        self.step(|state| state.publish_failures(instance, id, after, limit))
    }

    async fn record_events(&self, events: Vec<Event>) -> Result<Vec<Recorded>, StoreError> {
        self.step(|state| {
            events
                .iter()
                .map(|event| state.record_event(event))
                .collect()
        })
    }

    async fn queue_depth(&self, now: Timestamp) -> Result<QueueDepth, StoreError> {
        self.step(|state| state.queue_depth(now))
    }

    async fn prune_publishes(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| state.prune_publishes(before, limit))
    }

    async fn prune_keys(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| state.prune_keys(before, limit))
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.step(|_| ())
    }

    async fn close(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
