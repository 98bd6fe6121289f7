//! Devices in bulk, in and out.

use domain::clock::Timestamp;
use domain::instance::InstanceId;
use domain::interest::InterestName;
use uuid::Uuid;

use super::state::{Device, State};
use crate::StoreError;
use crate::activity::Activity;
use crate::transfer::{
    DeviceImport, DevicesPage, ExportedDevice, ImportRefusal, ImportRules, Imported,
};

/// When a device registered of which no file says it.
const NEVER: Timestamp = Timestamp::from_millis(0);
/// A page of an export ends after this many subscriptions for each device asked for.
const SUBSCRIPTIONS_PER_DEVICE: usize = 32;

impl State {
    pub(super) fn import_devices(
        &mut self,
        instance: InstanceId,
        lines: &[DeviceImport],
        rules: ImportRules,
        now: Timestamp,
    ) -> Result<Vec<Imported>, StoreError> {
        let instance = self.known_instance(instance)?;
        let mut answers = Vec::new();
        for line in lines {
            let imported = match self.may_import(instance, line, rules) {
                Ok(()) => self.import(instance, line, now),
                Err(refusal) => Imported::Refused(refusal),
            };
            answers.push(imported);
            if rules.stop_at_refused && matches!(imported, Imported::Refused(_)) {
                break;
            }
        }
        Ok(answers)
    }

    fn may_import(
        &self,
        instance: i64,
        line: &DeviceImport,
        rules: ImportRules,
    ) -> Result<(), ImportRefusal> {
        let known = self.device_with_token(instance, &line.token);
        let device = known.and_then(|number| self.devices.rows.get(&number));
        let user = line.user.as_ref().map(|user| self.user(instance, user));
        let bound = device.and_then(|device| device.user);
        if user.is_some() && bound.is_some() && user != Some(bound) {
            return Err(ImportRefusal::ToAnotherUser);
        }
        let (has, missing) = match known {
            Some(number) => {
                let missing = self.missing_interests(number, line).len();
                (self.interests_of(number).len(), missing)
            }
            None => (0, line.interests.len()),
        };
        let too_many = missing > 0 && has + missing > rules.interests_max;
        let taken = || self.id_is_taken(instance, line.id.uuid());
        let full = || {
            let owned = user
                .flatten()
                .map_or(0, |user| self.count_devices(user, line.token.platform()));
            line.user.is_some() && bound.is_none() && owned >= rules.devices_max as usize
        };
        // A new device is refused for its interests first, a known one for its user.
        if known.is_some() {
            if full() {
                return Err(ImportRefusal::TooManyDevices);
            }
            return if too_many {
                Err(ImportRefusal::TooManyInterests)
            } else {
                Ok(())
            };
        }
        if too_many {
            Err(ImportRefusal::TooManyInterests)
        } else if line.id_is_known && taken() {
            Err(ImportRefusal::IdTaken)
        } else if full() {
            Err(ImportRefusal::TooManyDevices)
        } else {
            Ok(())
        }
    }

    fn import(&mut self, instance: i64, line: &DeviceImport, now: Timestamp) -> Imported {
        let registered_at = line.registered_at.unwrap_or(NEVER);
        let known = self.device_with_token(instance, &line.token);
        let number = known.unwrap_or_else(|| {
            self.add_device(Device {
                instance,
                id: line.id,
                token: line.token.clone(),
                bundle_id: line.bundle_id.clone(),
                environment: line.environment.unwrap_or_default(),
                metadata: line.metadata.clone().unwrap_or_default(),
                user: None,
                bound_at: None,
                created_at: now,
                registered_at,
                given_again: false,
                activity: Activity::default(),
            })
        });
        let missing = self.missing_interests(number, line);
        let subscriptions = missing.len();
        for name in missing {
            self.subscribe(instance, number, name);
        }
        let user = line.user.as_ref().map(|user| {
            let known = self.user(instance, user);
            known.unwrap_or_else(|| self.users.add((instance, user.clone())))
        });
        let (mut updated, mut bound) = (false, false);
        if let Some(device) = self.devices.rows.get_mut(&number) {
            if device.registered_at <= registered_at {
                updated = device.update(line, registered_at) && known.is_some();
            }
            bound = device.user.is_none() && user.is_some();
            if bound {
                device.bound_at = Some(now);
            }
            device.user = device.user.or(user);
        }
        Imported::Done {
            new: known.is_none(),
            updated,
            bound,
            subscriptions,
        }
    }

    fn missing_interests(&self, device: i64, line: &DeviceImport) -> Vec<InterestName> {
        let has = self.named_interests(device);
        let wanted = line.interests.iter();
        wanted
            .filter(|name| !has.contains_key(name))
            .cloned()
            .collect()
    }

    pub(super) fn export_devices(
        &self,
        instance: InstanceId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<DevicesPage, StoreError> {
        let instance = self.known_instance(instance)?;
        let limit = limit.max(1);
        let mut page = DevicesPage::default();
        let mut subscriptions = 0;
        for (id, number) in self.devices_behind(instance, after) {
            let Some(device) = self.devices.rows.get(&number) else {
                continue;
            };
            let user = device.user.and_then(|user| self.users.rows.get(&user));
            let interests: Vec<_> = self.named_interests(number).into_keys().collect();
            subscriptions += interests.len();
            page.devices.push(ExportedDevice {
                id: device.id,
                token: device.token.clone(),
                bundle_id: device.bundle_id.clone(),
                environment: device.environment,
                metadata: device.metadata.clone(),
                user: user.map(|(_, id)| id.clone()),
                interests,
                registered_at: device.registered_at,
            });
            if page.devices.len() == limit || subscriptions >= limit * SUBSCRIPTIONS_PER_DEVICE {
                page.next = Some(id);
                break;
            }
        }
        Ok(page)
    }
}

impl Device {
    /// Brings a device up to date with a line that is not older. Whether anything changed.
    fn update(&mut self, line: &DeviceImport, registered_at: Timestamp) -> bool {
        let before = (
            self.token.clone(),
            self.bundle_id.clone(),
            self.environment,
            self.metadata.clone(),
            self.registered_at,
        );
        self.token = line.token.clone();
        self.bundle_id = line.bundle_id.clone();
        self.environment = line.environment.unwrap_or(self.environment);
        if let Some(metadata) = &line.metadata {
            self.metadata = metadata.clone();
        }
        self.registered_at = registered_at;
        let (token, bundle_id, environment, metadata, at) = before;
        token != self.token
            || bundle_id != self.bundle_id
            || environment != self.environment
            || metadata != self.metadata
            || at != self.registered_at
    }
}
