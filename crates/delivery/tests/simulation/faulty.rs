//! The store as one node reaches it: slow, and failing before or after it has done what it was asked.

mod administration;
mod configuration;
mod sealing;
mod searching;
mod webhooks;

use std::sync::Arc;

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::{
    DeviceId, DeviceMetadata, DeviceOrdinal, GatewayToken, Platform, Registration,
};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::payload::Values;
use domain::publish::{Audience, PublishId};
use domain::seal::Sealed;
use domain::user::UserId;
use store::activity::{CountedDevices, Day, FoundDevices, WantedDevices};
use store::cluster::{Cluster, Duty, Population, Presence, SharedToken, TokenName};
use store::console::{Addressee, Console, Trace, TraceNumber, Watched};
use store::devices::{Bound, Changed, DeviceRecord, InterestPage, Registered};
use store::insights::{EventDay, EventHour, Insights, ListedEvent};
use store::lists::{Listed, UserLists};
use store::lookup::{
    AudienceCount, Cancelled, Failed, Fresh, PublishCursor, PublishPage, PublishReport,
    PublishState, Replayed, UserOutcome,
};
use store::publishes::{
    Accepted, Event, EventKind, Fence, Job, JobId, Lease, NewPublish, Once, Page, Plan, QueueDepth,
    Recorded, RetryBatch, RetryId, Settled, Settlement,
};
use store::transfer::{DeviceImport, DevicesPage, ImportRules, Imported};
use store::{Store, StoreError};
use uuid::Uuid;

use crate::node::Pulse;
use crate::world::World;

/// The store of a run, as one node reaches it.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    pub(crate) world: Arc<World>,
    pub(crate) pulse: Arc<Pulse>,
}

fn failure(why: &str) -> StoreError {
    StoreError::Unavailable(why.into())
}

impl FaultyStore {
    async fn call<T>(
        &self,
        effect: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.pulse.beat().await;
        let world = &self.world;
        let (there, back) = world.store_latency();
        self.pulse.wait(there).await;
        let faults = world.plot.store;
        let (busy, refused, answer_lost) = (
            world.befalls(faults.refused / 2),
            world.befalls(faults.refused / 2),
            world.befalls(faults.answer_lost),
        );
        if busy {
            return Err(StoreError::Busy);
        }
        if refused {
            return Err(failure("the connection was refused"));
        }
        // It is done now, whatever becomes of who asked for it.
        let answer = effect.await;
        self.pulse.wait(back).await;
        if answer_lost {
            return Err(failure("the connection was lost"));
        }
        answer
    }

    async fn create(&self, new: NewPublish, plan: Plan) -> Result<Accepted, StoreError> {
        let created = self.world.store.create_publish(new.clone(), plan);
        let accepted = created.await?;
        if let Accepted::New(jobs) = &accepted {
            if new.publish.send_at > new.publish.accepted_at {
                self.world.ledger.scheduled(new);
            } else {
                self.world.stored(&new).await;
                self.world.ledger.jobs(jobs);
            }
        }
        Ok(accepted)
    }

    async fn start(
        &self,
        plan: Plan,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let jobs = self.world.store.start_scheduled(plan, now, limit).await?;
        for new in self.world.ledger.due(now) {
            self.world.stored(&new).await;
        }
        self.world.ledger.jobs(&jobs);
        Ok(jobs)
    }

    async fn claim(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let jobs = self.world.store.claim_jobs(lease, now, limit).await?;
        self.world.ledger.jobs(&jobs);
        Ok(jobs)
    }

    async fn release(&self, job: JobId, fence: Fence) -> Result<Settled, StoreError> {
        let settled = self.world.store.release_job(job, fence).await?;
        if settled == Settled::Done {
            self.world.ledger.released(job);
        }
        Ok(settled)
    }

    async fn claim_again(
        &self,
        lease: Lease,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<RetryBatch>, StoreError> {
        let batches = self.world.store.claim_retries(lease, now, limit).await?;
        self.world.ledger.retries(&batches);
        Ok(batches)
    }
}

/// Writes the methods that only go through, and those that are watched on the way.
macro_rules! through {
    (
        $(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+
        watched: $(fn $seen:ident($($given:ident: $given_type:ty),*) -> $got:ty = $own:ident;)+
    ) => {
        #[async_trait]
        impl Store for FaultyStore {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                self.call(self.world.store.$name($($argument),*)).await
            })+
            $(async fn $seen(&self, $($given: $given_type),*) -> Result<$got, StoreError> {
                self.call(self.$own($($given),*)).await
            })+

            /// The store outlives the node.
            async fn close(&self) {}
        }
    };
}

through! {
    fn register_device(registration: Registration, fresh: DeviceId, devices_max: Option<u64>, now: Timestamp) -> Registered;
    fn device(instance: InstanceId, id: DeviceId) -> Option<DeviceRecord>;
    fn delete_device(instance: InstanceId, id: DeviceId) -> bool;
    fn set_metadata(instance: InstanceId, id: DeviceId, metadata: DeviceMetadata) -> Changed;
    fn set_gateway_token(instance: InstanceId, id: DeviceId, token: GatewayToken, now: Timestamp) -> Changed;
    fn bind_user(instance: InstanceId, id: DeviceId, user: UserId, devices_max: u32, now: Timestamp) -> Bound;
    fn delete_user(instance: InstanceId, user: UserId) -> u64;
    fn interests(
        instance: InstanceId, id: DeviceId, after: Option<InterestName>, limit: usize
    ) -> Option<InterestPage>;
    fn set_interests(
        instance: InstanceId, id: DeviceId, interests: Vec<InterestName>, now: Timestamp
    ) -> Changed;
    fn add_interest(
        instance: InstanceId, id: DeviceId, interest: InterestName, interests_max: usize, now: Timestamp
    ) -> Changed;
    fn remove_interest(
        instance: InstanceId, id: DeviceId, interest: InterestName, now: Timestamp
    ) -> Changed;
    fn import_devices(
        instance: InstanceId, devices: Arc<[DeviceImport]>, rules: ImportRules, now: Timestamp
    ) -> Vec<Imported>;
    fn export_devices(instance: InstanceId, after: Option<Uuid>, limit: usize) -> DevicesPage;
    fn renew_job(job: JobId, fence: Fence, until: Timestamp) -> Settled;
    fn audience_page(job: &Job, after: DeviceOrdinal, limit: usize) -> Page;
    fn settle_page(
        job: &Job, cursor: DeviceOrdinal, last: bool, lease_until: Timestamp, settlement: Settlement, now: Timestamp
    ) -> Settled;
    fn renew_retries(ids: Vec<(RetryId, Fence)>, until: Timestamp) -> Settled;
    fn settle_retries(
        publish: PublishId, ids: Vec<(RetryId, Fence)>, settlement: Settlement, now: Timestamp
    ) -> Settled;
    fn next_retry_due(now: Timestamp) -> Option<Timestamp>;
    fn publish_report(instance: InstanceId, id: PublishId) -> Option<PublishReport>;
    fn record_events(events: Vec<Event>) -> Vec<Recorded>;
    fn queue_depth(now: Timestamp) -> QueueDepth;
    fn prune_publishes(before: Timestamp, limit: usize) -> u64;
    fn next_scheduled() -> Option<Timestamp>;
    fn cancel_publish(instance: InstanceId, id: PublishId, now: Timestamp) -> Cancelled;
    fn replay_publish(
        instance: InstanceId, id: PublishId, fresh: Fresh, once: Option<Once>, plan: Plan, now: Timestamp
    ) -> Replayed;
    fn count_audience(instance: InstanceId, audience: Audience, platforms: Vec<Platform>) -> AudienceCount;
    fn list_publishes(
        instance: InstanceId, state: Option<PublishState>, after: Option<PublishCursor>, limit: usize
    ) -> PublishPage;
    fn publish_users(
        instance: InstanceId, id: PublishId, after: Option<UserId>, limit: usize
    ) -> Option<Vec<UserOutcome>>;
    fn publish_failures(
        instance: InstanceId, id: PublishId, after: DeviceOrdinal, limit: usize
    ) -> Option<Vec<Failed>>;
    fn repeated_publish(instance: InstanceId, once: Once) -> Option<PublishId>;
    fn prune_keys(before: Timestamp, limit: usize) -> u64;
    fn check() -> ();

    watched:
    fn create_publish(new: NewPublish, plan: Plan) -> Accepted = create;
    fn start_scheduled(plan: Plan, now: Timestamp, limit: usize) -> Vec<Job> = start;
    fn claim_jobs(lease: Lease, now: Timestamp, limit: usize) -> Vec<Job> = claim;
    fn release_job(job: JobId, fence: Fence) -> Settled = release;
    fn claim_retries(lease: Lease, now: Timestamp, limit: usize) -> Vec<RetryBatch> = claim_again;
}

/// What the nodes of a simulation tell each other goes the same way.
#[async_trait]
impl Cluster for FaultyStore {
    async fn present(&self, presence: Presence, now: Timestamp) -> Result<Population, StoreError> {
        self.call(self.world.store.present(presence, now)).await
    }

    async fn depart(&self, node: Uuid) -> Result<(), StoreError> {
        self.call(self.world.store.depart(node)).await
    }

    async fn population(&self, now: Timestamp) -> Result<Population, StoreError> {
        self.call(self.world.store.population(now)).await
    }

    async fn take_duty(
        &self,
        duty: Duty,
        lease: Lease,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.call(self.world.store.take_duty(duty, lease, now))
            .await
    }

    async fn give_up_duty(&self, duty: Duty, node: Uuid) -> Result<(), StoreError> {
        self.call(self.world.store.give_up_duty(duty, node)).await
    }

    async fn shared_token(&self, name: TokenName) -> Result<Option<SharedToken>, StoreError> {
        self.call(self.world.store.shared_token(name)).await
    }

    async fn share_token(
        &self,
        name: TokenName,
        instead_of: Option<i64>,
        sealed: Sealed,
    ) -> Result<SharedToken, StoreError> {
        self.call(self.world.store.share_token(name, instead_of, sealed))
            .await
    }

    async fn wait_for_work(&self) {
        self.world.store.wait_for_work().await;
    }

    async fn is_being_filled(&self) -> Result<bool, StoreError> {
        self.call(self.world.store.is_being_filled()).await
    }

    async fn succeed_the_dead(&self) -> Result<u64, StoreError> {
        self.call(self.world.store.succeed_the_dead()).await
    }
}

#[async_trait]
impl Insights for FaultyStore {
    async fn event_hours(
        &self,
        instance: InstanceId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<EventHour>, StoreError> {
        self.call(self.world.store.event_hours(instance, from, until))
            .await
    }

    async fn event_days(
        &self,
        instance: InstanceId,
        from: Day,
        until: Day,
    ) -> Result<Vec<EventDay>, StoreError> {
        self.call(self.world.store.event_days(instance, from, until))
            .await
    }

    async fn roll_up_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.call(self.world.store.roll_up_events(before, limit))
            .await
    }

    async fn prune_event_counts(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.call(self.world.store.prune_event_counts(before, limit))
            .await
    }

    async fn prune_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.call(self.world.store.prune_events(before, limit))
            .await
    }

    async fn publish_events(
        &self,
        instance: InstanceId,
        id: PublishId,
        kind: EventKind,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Option<Vec<ListedEvent>>, StoreError> {
        let events = self
            .world
            .store
            .publish_events(instance, id, kind, after, limit);
        self.call(events).await
    }

    async fn device_count(&self, instance: InstanceId) -> Result<u64, StoreError> {
        self.call(self.world.store.device_count(instance)).await
    }

    async fn count_devices(
        &self,
        instance: InstanceId,
        today: Day,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<CountedDevices, StoreError> {
        let counted = self
            .world
            .store
            .count_devices(instance, today, after, limit);
        self.call(counted).await
    }

    async fn find_devices(
        &self,
        instance: InstanceId,
        wanted: WantedDevices,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<FoundDevices, StoreError> {
        let found = self
            .world
            .store
            .find_devices(instance, wanted, after, limit);
        self.call(found).await
    }
}

#[async_trait]
impl Console for FaultyStore {
    async fn watch_trail(&self, instance: InstanceId, until: Timestamp) -> Result<(), StoreError> {
        self.call(self.world.store.watch_trail(instance, until))
            .await
    }

    async fn watched_trails(&self, now: Timestamp) -> Result<Vec<Watched>, StoreError> {
        self.call(self.world.store.watched_trails(now)).await
    }

    async fn show_payloads(&self, instance: InstanceId, shows: bool) -> Result<(), StoreError> {
        self.call(self.world.store.show_payloads(instance, shows))
            .await
    }

    async fn shows_payloads(&self, instance: InstanceId) -> Result<bool, StoreError> {
        self.call(self.world.store.shows_payloads(instance)).await
    }

    async fn append_trail(
        &self,
        instance: InstanceId,
        traces: Vec<Trace>,
    ) -> Result<(), StoreError> {
        self.call(self.world.store.append_trail(instance, traces))
            .await
    }

    async fn trail(
        &self,
        instance: InstanceId,
        after: Option<TraceNumber>,
        limit: usize,
    ) -> Result<Vec<(TraceNumber, Trace)>, StoreError> {
        self.call(self.world.store.trail(instance, after, limit))
            .await
    }

    async fn addressees(
        &self,
        instance: InstanceId,
        devices: Vec<DeviceOrdinal>,
    ) -> Result<Vec<Addressee>, StoreError> {
        self.call(self.world.store.addressees(instance, devices))
            .await
    }

    async fn prune_trails(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.call(self.world.store.prune_trails(before, limit))
            .await
    }
}

#[async_trait]
impl UserLists for FaultyStore {
    async fn begin_list(&self, instance: InstanceId, now: Timestamp) -> Result<i64, StoreError> {
        self.call(self.world.store.begin_list(instance, now)).await
    }

    async fn extend_list(
        &self,
        list: i64,
        length: u64,
        users: Vec<Listed>,
    ) -> Result<Option<usize>, StoreError> {
        self.call(self.world.store.extend_list(list, length, users))
            .await
    }

    async fn discard_list(&self, list: i64) -> Result<(), StoreError> {
        self.call(self.world.store.discard_list(list)).await
    }

    async fn prune_lists(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.call(self.world.store.prune_lists(before, limit)).await
    }

    async fn user_values(
        &self,
        publish: PublishId,
        devices: Vec<DeviceOrdinal>,
    ) -> Result<Vec<(DeviceOrdinal, Values)>, StoreError> {
        self.call(self.world.store.user_values(publish, devices))
            .await
    }
}
