//! What is kept for those who manage, and how a user is forgotten.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::admin_token::AdminTokenDigest;
use domain::clock::Timestamp;
use domain::device::{DeviceId, DeviceOrdinal, Recipient};
use domain::instance::{InstanceId, InstanceName};
use domain::payload::Values;
use domain::publish::Audience;
use domain::user::UserId;

use super::MemoryStore;
use super::state::{Device, PublishRow, State};
use crate::StoreError;
use crate::administration::{
    ADMIN_TOKENS_MAX, AdminTokenId, AdminTokenRecord, Administration, AuditEntry, AuditFilter,
    AuditId, AuditOutcome, DeviceFilter, Forgotten, ListedDevice, ListedUser, NewAdminToken,
    NewAuditEntry, PublishTrace, ReportedEvent, TracePage, Unbound,
};
use crate::lookup::PublishCursor;
use crate::publishes::EventKind;

#[async_trait]
impl Administration for MemoryStore {
    async fn add_admin_token(
        &self,
        new: NewAdminToken,
        entry: NewAuditEntry,
    ) -> Result<Option<AdminTokenId>, StoreError> {
        self.step(|state| {
            if state.admin_tokens.rows.len() >= ADMIN_TOKENS_MAX {
                return None;
            }
            state.append_audit(entry, AuditOutcome::Done);
            let number = state.admin_tokens.add(AdminTokenRecord {
                id: AdminTokenId(0),
                token: new,
                used_at: None,
            });
            if let Some(record) = state.admin_tokens.rows.get_mut(&number) {
                record.id = AdminTokenId(number);
            }
            Some(AdminTokenId(number))
        })
    }

    async fn admin_token(
        &self,
        digest: AdminTokenDigest,
    ) -> Result<Option<AdminTokenRecord>, StoreError> {
        self.step(|state| {
            let found = state.admin_tokens.find(|row| row.token.digest == digest);
            found.map(|(_, record)| record.clone())
        })
    }

    async fn admin_tokens(&self) -> Result<Vec<AdminTokenRecord>, StoreError> {
        self.step(|state| state.admin_tokens.rows.values().cloned().collect())
    }

    async fn revoke_admin_token(
        &self,
        id: AdminTokenId,
        entry: NewAuditEntry,
    ) -> Result<bool, StoreError> {
        self.step(|state| {
            let revoked = state.admin_tokens.rows.remove(&id.0).is_some();
            if revoked {
                state.append_audit(entry, AuditOutcome::Done);
            }
            revoked
        })
    }

    async fn touch_admin_token(&self, id: AdminTokenId, now: Timestamp) -> Result<(), StoreError> {
        self.step(|state| {
            if let Some(record) = state.admin_tokens.rows.get_mut(&id.0) {
                record.used_at = record.used_at.max(Some(now));
            }
        })
    }

    async fn append_audit(&self, entry: NewAuditEntry) -> Result<AuditId, StoreError> {
        self.step(|state| state.append_audit(entry, AuditOutcome::Begun))
    }

    async fn conclude_audit(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError> {
        self.step(|state| {
            if let Some(entry) = state.audit.rows.get_mut(&id.0) {
                entry.outcome = outcome;
            }
        })
    }

    async fn audit_page(
        &self,
        filter: AuditFilter,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.step(|state| {
            let before = after.map_or(i64::MAX, |after| after.0);
            let fits = |entry: &&AuditEntry| {
                let (instance, user) = (entry.entry.instance, &entry.entry.user);
                (filter.instance.is_none() || filter.instance == instance)
                    && (filter.user.is_none() || filter.user == *user)
            };
            let entries = state.audit.rows.range(..before).rev();
            let fitting = entries.map(|(_, entry)| entry).filter(fits);
            fitting.take(limit).cloned().collect()
        })
    }

    async fn prune_audit(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| {
            let entries = state.audit.rows.values();
            let mut old: Vec<_> = entries
                .filter(|entry| entry.entry.at < before)
                .map(|entry| (entry.entry.at, entry.id.0))
                .collect();
            old.sort_unstable();
            old.truncate(limit);
            for (_, number) in &old {
                state.audit.rows.remove(number);
            }
            old.len() as u64
        })
    }

    async fn rename_instance(
        &self,
        id: InstanceId,
        name: InstanceName,
    ) -> Result<bool, StoreError> {
        self.step(|state| {
            let number = state.instance(id);
            let row = number.and_then(|number| state.instances.rows.get_mut(&number));
            let Some(row) = row else { return false };
            row.name = name;
            state.configuration_version += 1;
            true
        })
    }

    async fn list_devices(
        &self,
        instance: InstanceId,
        filter: DeviceFilter,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Result<Vec<ListedDevice>, StoreError> {
        self.step(|state| state.list_devices(instance, &filter, after, limit))
    }

    async fn recipient(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Option<Recipient>, StoreError> {
        self.step(|state| {
            let number = state.device(instance, id)?;
            Some(state.devices.rows.get(&number)?.recipient(number))
        })
    }

    async fn unbind_device(
        &self,
        instance: InstanceId,
        id: DeviceId,
    ) -> Result<Unbound, StoreError> {
        self.step(|state| state.unbind_device(instance, id))
    }

    async fn list_users(
        &self,
        instance: InstanceId,
        prefix: &str,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<ListedUser>, StoreError> {
        self.step(|state| state.list_users(instance, prefix, after.as_ref(), limit))
    }

    async fn user_traces(
        &self,
        instance: InstanceId,
        user: UserId,
        after: Option<PublishCursor>,
    ) -> Result<TracePage, StoreError> {
        self.step(|state| state.user_traces(instance, &user, after))
    }

    async fn forget_user(
        &self,
        instance: InstanceId,
        user: UserId,
        pseudonym: UserId,
    ) -> Result<Forgotten, StoreError> {
        self.step(|state| state.forget_user(instance, &user, &pseudonym))
    }

    async fn scrub(&self) -> Result<(), StoreError> {
        self.step(|_| ())
    }

    async fn prune_payloads(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| {
            let old = state.finished_before(before, limit, |row| row.has_payload);
            for number in &old {
                if let Some(row) = state.publishes.rows.get_mut(number) {
                    row.has_payload = false;
                    row.webhook = None;
                }
            }
            old.len() as u64
        })
    }

    async fn prune_names(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.step(|state| {
            let mut old = state.finished_before(before, usize::MAX, |row| row.has_names);
            old.retain(|number| !state.is_being_replayed(*number));
            old.truncate(limit);
            for number in &old {
                if let Some(row) = state.publishes.rows.get_mut(number) {
                    row.has_names = false;
                    row.webhook = None;
                    row.named.clear();
                    row.users.clear();
                    row.failures.values_mut().for_each(|one| one.user = None);
                }
                let lists = state.lists.rows.values_mut();
                let own = lists.filter(|list| list.publish == Some(*number));
                own.for_each(|list| list.users.fill(None));
            }
            old.len() as u64
        })
    }
}

impl State {
    fn append_audit(&mut self, entry: NewAuditEntry, outcome: AuditOutcome) -> AuditId {
        let number = self.audit.add(AuditEntry {
            id: AuditId(0),
            entry,
            outcome,
        });
        if let Some(entry) = self.audit.rows.get_mut(&number) {
            entry.id = AuditId(number);
        }
        AuditId(number)
    }

    pub(super) fn listed(&self, number: i64, device: &Device) -> ListedDevice {
        let user = device.user.and_then(|user| self.users.rows.get(&user));
        ListedDevice {
            ordinal: DeviceOrdinal(number),
            device: crate::devices::DeviceRecord {
                id: device.id,
                user: user.map(|(_, id)| id.clone()),
                metadata: device.metadata.clone(),
                created_at: device.created_at,
                registered_at: device.registered_at,
            },
            bound_at: device.bound_at,
            active: device.activity,
        }
    }

    fn list_devices(
        &self,
        instance: InstanceId,
        filter: &DeviceFilter,
        after: DeviceOrdinal,
        limit: usize,
    ) -> Vec<ListedDevice> {
        let Some(instance) = self.instance(instance) else {
            return Vec::new();
        };
        let fits = |number: i64, device: &Device| match filter {
            DeviceFilter::All => true,
            DeviceFilter::User(user) => {
                device.user.is_some() && device.user == self.user(instance, user)
            }
            DeviceFilter::Interest(name) => self
                .interests
                .find(|(of, known)| *of == instance && known == name)
                .is_some_and(|(interest, _)| self.subscriptions.contains(&(interest, number))),
        };
        let rows = self.devices.rows.range(after.0.saturating_add(1)..);
        rows.filter(|(number, device)| device.instance == instance && fits(**number, device))
            .map(|(number, device)| self.listed(*number, device))
            .take(limit)
            .collect()
    }

    fn list_users(
        &self,
        instance: InstanceId,
        prefix: &str,
        after: Option<&UserId>,
        limit: usize,
    ) -> Vec<ListedUser> {
        let Some(instance) = self.instance(instance) else {
            return Vec::new();
        };
        let users = self.users.rows.iter();
        let fitting: BTreeMap<&UserId, i64> = users
            .filter(|(_, (of, id))| *of == instance && id.as_str().starts_with(prefix))
            .filter(|(_, (_, id))| after.is_none_or(|after| id > after))
            .map(|(number, (_, id))| (id, *number))
            .collect();
        let listed = |(user, number): (&UserId, i64)| {
            let devices = self.devices.rows.values();
            let own: Vec<&Device> = devices.filter(|d| d.user == Some(number)).collect();
            Some(ListedUser {
                user: user.clone(),
                devices: own.len() as u64,
                bound_at: own.iter().filter_map(|device| device.bound_at).min(),
                registered_at: own.iter().map(|device| device.registered_at).max()?,
            })
        };
        let users = fitting.into_iter().filter_map(listed);
        users.take(limit).collect()
    }

    pub(super) fn finished_before(
        &self,
        before: Timestamp,
        limit: usize,
        fits: impl Fn(&PublishRow) -> bool,
    ) -> Vec<i64> {
        let rows = self.publishes.rows.iter();
        let mut old: Vec<_> = rows
            .filter(|(_, row)| fits(row))
            .filter_map(|(number, row)| Some((row.finished_at?, *number)))
            .filter(|(at, _)| *at < before)
            .collect();
        old.sort_unstable();
        old.truncate(limit);
        old.into_iter().map(|(_, number)| number).collect()
    }

    fn user_traces(
        &self,
        instance: InstanceId,
        user: &UserId,
        after: Option<PublishCursor>,
    ) -> TracePage {
        let Some(instance) = self.instance(instance) else {
            return TracePage::default();
        };
        let before = after.map_or(i64::MAX, |after| after.0);
        let rows = self.publishes.rows.range(..before).rev();
        let own = rows.filter(|(_, row)| row.instance == instance);
        let traces = own.filter_map(|(number, row)| self.trace(instance, user, *number, row));
        TracePage {
            publishes: traces.collect(),
            webhook_requests: match after {
                None => self.traced_requests(instance, user),
                Some(_) => Vec::new(),
            },
            next: None,
        }
    }

    fn trace(
        &self,
        instance: i64,
        user: &UserId,
        number: i64,
        row: &PublishRow,
    ) -> Option<PublishTrace> {
        let now = self.user(instance, user);
        let by_name = row.named.iter().find(|(name, _)| name == user);
        let list = self.lists.find(|list| list.publish == Some(number));
        let mut listed = list.iter().flat_map(|(_, list)| list.kept_under());
        let (place, listed) = listed.find(|(_, listed)| listed.user == *user).unzip();
        let waits = match &row.scheduled {
            Some(Audience::Users(users)) => users.contains(user),
            _ => false,
        };
        let user_number = by_name.and_then(|(_, number)| *number).or(place).or(now);
        let devices: BTreeMap<i64, DeviceId> = self
            .devices
            .rows
            .iter()
            .filter(|(_, device)| device.user.is_some() && device.user == now)
            .map(|(number, device)| (*number, device.id))
            .collect();
        let events = devices.iter().flat_map(|(number, device)| {
            [EventKind::Delivery, EventKind::Open]
                .into_iter()
                .filter_map(|kind| {
                    let at = *row.events.get(&(kind == EventKind::Open, *number))?;
                    let device = *device;
                    Some(ReportedEvent { device, kind, at })
                })
        });
        let failures = row.failures.values();
        let trace = PublishTrace {
            publish: row.publish.id,
            accepted_at: row.publish.accepted_at,
            named: by_name.is_some() || listed.is_some() || waits,
            values: listed.and_then(|listed| listed.values.as_ref().map(Values::as_json)),
            outcome: user_number.and_then(|number| row.users.get(&number).copied()),
            failures: failures
                .filter(|failed| failed.user.as_ref() == Some(user))
                .cloned()
                .collect(),
            events: events.collect(),
        };
        let is_empty = !trace.named
            && trace.outcome.is_none()
            && trace.failures.is_empty()
            && trace.events.is_empty();
        Some(trace).filter(|_| !is_empty)
    }

    fn forget_user(
        &mut self,
        instance: InstanceId,
        user: &UserId,
        pseudonym: &UserId,
    ) -> Forgotten {
        let Some(number) = self.instance(instance) else {
            return Forgotten::default();
        };
        let user_number = self.user(number, user);
        let devices = self.devices.rows.iter();
        let devices: Vec<i64> = devices
            .filter(|(_, device)| device.user.is_some() && device.user == user_number)
            .map(|(number, _)| *number)
            .collect();
        let ids: Vec<DeviceId> = devices
            .iter()
            .filter_map(|device| self.devices.rows.get(device))
            .map(|row| row.id)
            .collect();
        let mut forgotten = Forgotten {
            devices: self.delete_user(instance, user),
            ..Forgotten::default()
        };
        self.trails.forget_user(number, user, &ids);
        for request in self.requests_of(number, user) {
            self.requests.rows.remove(&request);
            forgotten.webhook_requests += 1;
        }
        for entry in self.audit.rows.values_mut() {
            if entry.entry.instance == Some(instance) && entry.entry.user.as_ref() == Some(user) {
                entry.entry.user = Some(pseudonym.clone());
                forgotten.audit_entries += 1;
            }
        }
        let lists = self.lists.rows.values_mut();
        for list in lists.filter(|list| list.instance == number) {
            let mut users = list.kept_under();
            let Some((under, _)) = users.find(|(_, listed)| listed.user == *user) else {
                continue;
            };
            drop(users);
            for place in &mut list.users {
                place.take_if(|listed| listed.user == *user);
            }
            forgotten.names += 1;
            let publish = list.publish.and_then(|of| self.publishes.rows.get_mut(&of));
            let outcome = publish.and_then(|row| row.users.remove(&under));
            forgotten.outcomes += u64::from(outcome.is_some());
        }
        let rows = self.publishes.rows.values_mut();
        for row in rows.filter(|row| row.instance == number) {
            row.forget(user, user_number, &devices, &mut forgotten);
        }
        forgotten
    }
}
