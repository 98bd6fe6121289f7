//! The rows of a [`MemoryStore`](super::MemoryStore), and how they are found.
//!
//! Rows have the numbers that the outside knows them by (ordinals, job ids, audiences), which never repeat. Invariant: an
//! interest has a subscription, a user has a device, and a subscription or a retry has its device, always.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::clock::Timestamp;
use domain::device::{
    ApnsEnvironment, BundleId, DeviceId, DeviceMetadata, DeviceOrdinal, GatewayToken, Platform,
    Recipient,
};
use domain::idempotency::Fingerprint;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::outcome::{OutcomeKind, Reason};
use domain::publish::{Audience, Publish, PublishId};
use domain::user::{UserId, UserOrdinal};
use uuid::Uuid;

use super::console::Trails;
use super::webhooks::{RequestRow, WebhookRow};
use crate::StoreError;
use crate::activity::{Activity, Day};
use crate::administration::{AdminTokenRecord, AuditEntry};
use crate::instances::InstanceRecord;
use crate::lists::Listed;
use crate::lookup::{Failed, PublishState, Target};
use crate::publishes::{AHEAD_MAX, EventKind, ResolvedAudience};
use crate::webhooks::PublishWebhook;

/// Rows by a number that never repeats.
#[derive(Debug)]
pub(super) struct Table<T> {
    last: i64,
    pub(super) rows: BTreeMap<i64, T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            last: 0,
            rows: BTreeMap::new(),
        }
    }
}

impl<T> Table<T> {
    pub(super) fn add(&mut self, row: T) -> i64 {
        self.last += 1;
        self.rows.insert(self.last, row);
        self.last
    }

    /// The first row that fits, with its number.
    pub(super) fn find(&self, fits: impl Fn(&T) -> bool) -> Option<(i64, &T)> {
        let mut rows = self.rows.iter();
        rows.find(|(_, row)| fits(row))
            .map(|(number, row)| (*number, row))
    }
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) instance: i64,
    pub(super) id: DeviceId,
    pub(super) token: GatewayToken,
    pub(super) bundle_id: Option<BundleId>,
    pub(super) environment: ApnsEnvironment,
    pub(super) metadata: DeviceMetadata,
    pub(super) user: Option<i64>,
    pub(super) bound_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) registered_at: Timestamp,
    /// Whether a registration was answered with its id although it was there before.
    pub(super) given_again: bool,
    pub(super) activity: Activity,
}

impl Device {
    pub(super) fn recipient(&self, number: i64) -> Recipient {
        Recipient {
            device: DeviceOrdinal(number),
            token: self.token.clone(),
            bundle_id: self.bundle_id.clone(),
            environment: self.environment,
            registered_at: self.registered_at,
            user: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct PublishRow {
    pub(super) instance: i64,
    pub(super) publish: Arc<Publish>,
    pub(super) audience: Arc<ResolvedAudience>,
    pub(super) state: PublishState,
    pub(super) target: Target,
    /// Of whose failures it is a replay.
    pub(super) replay_of: Option<i64>,
    /// Whom it is for once its time comes.
    pub(super) scheduled: Option<Audience>,
    /// The users that it named, with the numbers that they had when it was sent.
    pub(super) named: Vec<(UserId, Option<i64>)>,
    /// The interests that it names.
    pub(super) interests: Vec<InterestName>,
    /// What it brought along.
    pub(super) webhook: Option<PublishWebhook>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) tallies: BTreeMap<(Platform, OutcomeKind, Reason), u64>,
    /// How many deliveries to a user were accepted, and how many failed.
    pub(super) users: BTreeMap<i64, (u64, u64)>,
    pub(super) failures: BTreeMap<i64, Failed>,
    /// What was reported: open or not, and by which device. It stays when the device goes.
    pub(super) events: BTreeMap<(bool, i64), Timestamp>,
    /// How much was reported by kind, opens behind deliveries. It stays when the reports go.
    pub(super) reported: [u64; 2],
    /// Whether what it carries, and whom it named, is still there.
    pub(super) has_payload: bool,
    pub(super) has_names: bool,
    /// Whether what was reported of it is.
    pub(super) has_events: bool,
}

impl PublishRow {
    pub(super) fn reported(&self, kind: EventKind) -> u64 {
        self.reported[usize::from(kind == EventKind::Open)]
    }
}

/// Who has a piece of work, until when, and how often it was claimed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) fence: i64,
    pub(super) until: Option<Timestamp>,
}

impl Claim {
    pub(super) const NOBODY: Self = Self {
        fence: 0,
        until: None,
    };

    pub(super) fn is_free(&self, now: Timestamp) -> bool {
        let runs = |until| until > now && until <= now.after(AHEAD_MAX);
        !self.until.is_some_and(runs)
    }
}

#[derive(Debug)]
pub(super) struct JobRow {
    pub(super) publish: i64,
    pub(super) cursor: i64,
    pub(super) end: i64,
    pub(super) claim: Claim,
}

#[derive(Debug)]
pub(super) struct RetryRow {
    pub(super) publish: i64,
    pub(super) device: i64,
    pub(super) attempts: u32,
    pub(super) due_at: Timestamp,
    pub(super) reason: Reason,
    pub(super) user: Option<UserOrdinal>,
    pub(super) claim: Claim,
}

/// A key that a request used.
#[derive(Debug)]
pub(super) struct UsedKey {
    pub(super) fingerprint: Fingerprint,
    pub(super) publish: PublishId,
    pub(super) at: Timestamp,
}

/// A list of users.
#[derive(Debug)]
pub(super) struct ListRow {
    pub(super) instance: i64,
    pub(super) publish: Option<i64>,
    pub(super) created_at: Timestamp,
    /// In the order of their places; a user who was forgotten leaves a place empty.
    pub(super) users: Vec<Option<Listed>>,
}

/// All that is remembered.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) configuration_version: i64,
    pub(super) secret_keys: i64,
    pub(super) instances: Table<InstanceRecord>,
    pub(super) devices: Table<Device>,
    devices_by_id: BTreeMap<(i64, Uuid), i64>,
    devices_by_token: BTreeMap<(i64, Platform, String), i64>,
    pub(super) users: Table<(i64, UserId)>,
    pub(super) interests: Table<(i64, InterestName)>,
    /// By interest, then device.
    pub(super) subscriptions: BTreeSet<(i64, i64)>,
    pub(super) publishes: Table<PublishRow>,
    pub(super) jobs: Table<JobRow>,
    pub(super) retries: Table<RetryRow>,
    /// Keys of requests, by instance and key.
    pub(super) keys: BTreeMap<(i64, String), UsedKey>,
    pub(super) lists: Table<ListRow>,
    /// How often something was reported: by instance, hour, platform, and whether it was an open.
    pub(super) event_hours: BTreeMap<(InstanceId, Timestamp, Platform, bool), u64>,
    pub(super) event_days: BTreeMap<(InstanceId, Day, Platform, bool), u64>,
    pub(super) nodes: super::cluster::Nodes,
    pub(super) admin_tokens: Table<AdminTokenRecord>,
    pub(super) audit: Table<AuditEntry>,
    pub(super) trails: Trails,
    pub(super) webhooks: Table<WebhookRow>,
    pub(super) requests: Table<RequestRow>,
    /// How many ids were made.
    pub(super) uuids: u128,
}

impl State {
    pub(super) fn instance(&self, id: InstanceId) -> Option<i64> {
        let found = self.instances.find(|instance| instance.id == id);
        found.map(|(number, _)| number)
    }

    pub(super) fn known_instance(&self, id: InstanceId) -> Result<i64, StoreError> {
        self.instance(id).ok_or(StoreError::UnknownInstance)
    }

    pub(super) fn device(&self, instance: InstanceId, id: DeviceId) -> Option<i64> {
        let instance = self.instance(instance)?;
        let number = *self.devices_by_id.get(&(instance, *id.uuid()))?;
        (self.devices.rows.get(&number)?.id == id).then_some(number)
    }

    pub(super) fn id_is_taken(&self, instance: i64, id: &Uuid) -> bool {
        self.devices_by_id.contains_key(&(instance, *id))
    }

    /// An instance's devices with an id behind `after`, ascending.
    pub(super) fn devices_behind(
        &self,
        instance: i64,
        after: Option<Uuid>,
    ) -> impl Iterator<Item = (Uuid, i64)> {
        let from = (instance, after.unwrap_or(Uuid::nil()));
        let found = self.devices_by_id.range(from..=(instance, Uuid::max()));
        found
            .map(|((_, id), number)| (*id, *number))
            .filter(move |(id, _)| Some(*id) != after)
    }

    pub(super) fn device_with_token(&self, instance: i64, token: &GatewayToken) -> Option<i64> {
        let key = (instance, token.platform(), token.identity().to_owned());
        self.devices_by_token.get(&key).copied()
    }

    pub(super) fn publish(&self, instance: InstanceId, id: PublishId) -> Option<i64> {
        let instance = self.instance(instance)?;
        let fits = |row: &PublishRow| row.instance == instance && row.publish.id == id;
        self.publishes.find(fits).map(|(number, _)| number)
    }

    pub(super) fn add_device(&mut self, device: Device) -> i64 {
        let id = (device.instance, *device.id.uuid());
        let token = device.token.identity().to_owned();
        let token = (device.instance, device.token.platform(), token);
        let number = self.devices.add(device);
        self.devices_by_id.insert(id, number);
        self.devices_by_token.insert(token, number);
        number
    }

    /// Gives a device another token.
    pub(super) fn change_token(&mut self, number: i64, token: &GatewayToken) {
        let Some(device) = self.devices.rows.get_mut(&number) else {
            return;
        };
        let key = |token: &GatewayToken| {
            let identity = token.identity().to_owned();
            (device.instance, token.platform(), identity)
        };
        self.devices_by_token.remove(&key(&device.token));
        self.devices_by_token.insert(key(token), number);
        device.token = token.clone();
    }

    /// Removes a device, and with it its subscriptions, its retries, and its user and interests if it was their last.
    pub(super) fn remove_device(&mut self, number: i64) {
        let Some(device) = self.devices.rows.remove(&number) else {
            return;
        };
        let id = (device.instance, *device.id.uuid());
        self.devices_by_id.remove(&id);
        let token = device.token.identity().to_owned();
        self.devices_by_token
            .remove(&(device.instance, device.token.platform(), token));
        self.retries.rows.retain(|_, retry| retry.device != number);
        for interest in self.interests_of(number) {
            self.unsubscribe(interest, number);
        }
        let last_of = |user: &i64| !self.devices.rows.values().any(|d| d.user == Some(*user));
        if let Some(user) = device.user.filter(last_of) {
            self.users.rows.remove(&user);
        }
    }

    /// The numbers of a device's interests.
    pub(super) fn interests_of(&self, device: i64) -> Vec<i64> {
        let mine = self.subscriptions.iter().filter(|(_, d)| *d == device);
        mine.map(|(interest, _)| *interest).collect()
    }

    pub(super) fn unsubscribe(&mut self, interest: i64, device: i64) {
        self.subscriptions.remove(&(interest, device));
        if self.subscribers(interest, 0, i64::MAX).next().is_none() {
            self.interests.rows.remove(&interest);
        }
    }

    /// The subscribers of an interest behind `after` up to `end`, ascending.
    pub(super) fn subscribers(
        &self,
        interest: i64,
        after: i64,
        end: i64,
    ) -> impl Iterator<Item = i64> {
        let from = (interest, after.saturating_add(1));
        // An empty range may lie behind the end, which a `BTreeSet` does not take.
        let to = (interest, end.max(after.saturating_add(1)));
        let found = self.subscriptions.range(from..=to);
        found.map(|(_, device)| *device).filter(move |d| *d <= end)
    }
}
