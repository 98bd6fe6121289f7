//! Devices, their users and their interests.

use std::collections::BTreeMap;

use domain::clock::Timestamp;
use domain::device::{
    ApnsEnvironment, DeviceId, DeviceMetadata, GatewayToken, Platform, Registration,
};
use domain::instance::InstanceId;
use domain::interest::InterestName;
use domain::user::UserId;
use domain::webhook::{Removal, WebhookEvent};

use super::state::{Device, State};
use crate::StoreError;
use crate::activity::{Activity, Day};
use crate::administration::Unbound;
use crate::devices::{Bound, Changed, DeviceRecord, InterestPage, Registered};

impl State {
    pub(super) fn register_device(
        &mut self,
        registration: Registration,
        fresh: DeviceId,
        devices_max: Option<u64>,
        now: Timestamp,
    ) -> Result<Registered, StoreError> {
        let instance = self.known_instance(registration.instance)?;
        let mut known = self.device_with_token(instance, &registration.token);
        if let Some(number) = known
            && let Some(device) = self.devices.rows.get(&number)
            && device.token.keys() != registration.token.keys()
        {
            self.raise_removed(number, Removal::TokenMoved);
            self.remove_device(number);
            known = None;
        } else if known.is_none()
            && devices_max.is_some_and(|most| self.device_count(instance) >= most)
        {
            return Err(StoreError::InstanceFull);
        }
        if let Some(number) = known
            && let Some(device) = self.devices.rows.get_mut(&number)
        {
            device.token = registration.token;
            device.bundle_id = registration.bundle_id;
            device.metadata = registration.metadata;
            device.registered_at = now;
            device.given_again = true;
            device.activity = device.activity.touched(Day::of(now));
            let id = device.id;
            return Ok(Registered {
                id,
                new: false,
                interests: self.named_interests(number).into_keys().collect(),
            });
        }
        let id = DeviceId::from_parts(registration.token.platform(), *fresh.uuid());
        self.add_device(Device {
            instance,
            id,
            token: registration.token,
            bundle_id: registration.bundle_id,
            environment: ApnsEnvironment::Production,
            metadata: registration.metadata,
            user: None,
            bound_at: None,
            created_at: now,
            registered_at: now,
            given_again: false,
            activity: Activity::default().touched(Day::of(now)),
        });
        self.raise_registered(instance, id);
        Ok(Registered {
            id,
            new: true,
            interests: Vec::new(),
        })
    }

    /// How many devices an instance has.
    pub(super) fn device_count(&self, instance: i64) -> u64 {
        let devices = self.devices.rows.values();
        devices.filter(|device| device.instance == instance).count() as u64
    }

    /// Writes down that a device is active.
    pub(super) fn touch(&mut self, device: i64, now: Timestamp) {
        if let Some(device) = self.devices.rows.get_mut(&device) {
            device.activity = device.activity.touched(Day::of(now));
        }
    }

    pub(super) fn device_record(&self, instance: InstanceId, id: DeviceId) -> Option<DeviceRecord> {
        let device = self.devices.rows.get(&self.device(instance, id)?)?;
        let user = device.user.and_then(|user| self.users.rows.get(&user));
        Some(DeviceRecord {
            id,
            user: user.map(|(_, id)| id.clone()),
            metadata: device.metadata.clone(),
            created_at: device.created_at,
            registered_at: device.registered_at,
        })
    }

    pub(super) fn delete_device(&mut self, instance: InstanceId, id: DeviceId) -> bool {
        let found = self.device(instance, id);
        if let Some(number) = found {
            self.raise_removed(number, Removal::Deleted);
            self.remove_device(number);
        }
        found.is_some()
    }

    pub(super) fn set_metadata(
        &mut self,
        instance: InstanceId,
        id: DeviceId,
        metadata: DeviceMetadata,
    ) -> Changed {
        let number = self.device(instance, id);
        match number.and_then(|number| self.devices.rows.get_mut(&number)) {
            Some(device) => {
                device.metadata = metadata;
                Changed::Done
            }
            None => Changed::UnknownDevice,
        }
    }

    pub(super) fn set_gateway_token(
        &mut self,
        instance: InstanceId,
        id: DeviceId,
        token: &GatewayToken,
        now: Timestamp,
    ) -> Changed {
        let Some(number) = self.device(instance, id) else {
            return Changed::UnknownDevice;
        };
        if token.platform() != id.platform() {
            return Changed::UnknownDevice;
        }
        let is_taken_over = self.devices.rows.get(&number).is_some_and(|device| {
            device.given_again && device.token.identity() != token.identity()
        });
        if is_taken_over {
            self.raise_removed(number, Removal::Deleted);
            self.remove_device(number);
            return Changed::UnknownDevice;
        }
        let of = self.instance(instance).unwrap_or_default();
        match self.device_with_token(of, token) {
            Some(other) if other != number => {
                self.raise_removed(other, Removal::TokenMoved);
                self.remove_device(other);
            }
            _ => {}
        }
        if let Some(device) = self.devices.rows.get_mut(&number) {
            device.registered_at = now;
            if device.token.identity() != token.identity() {
                device.environment = ApnsEnvironment::Production;
            }
        }
        self.change_token(number, token);
        self.touch(number, now);
        Changed::Done
    }

    pub(super) fn bind_user(
        &mut self,
        instance: InstanceId,
        id: DeviceId,
        user: UserId,
        devices_max: u32,
        now: Timestamp,
    ) -> Bound {
        let Some(number) = self.device(instance, id) else {
            return Bound::UnknownDevice;
        };
        let of = self.instance(instance).unwrap_or_default();
        let known = self.user(of, &user);
        let bound = self.devices.rows.get(&number).and_then(|d| d.user);
        if bound.is_some() {
            if bound != known {
                return Bound::ToAnotherUser;
            }
            self.touch(number, now);
            return Bound::Done;
        }
        let has = known.map_or(0, |user| self.count_devices(user, id.platform()));
        if has >= devices_max as usize {
            return Bound::TooManyDevices;
        }
        let number_of_user = known.unwrap_or_else(|| self.users.add((of, user.clone())));
        if let Some(device) = self.devices.rows.get_mut(&number) {
            device.user = Some(number_of_user);
            device.bound_at = Some(now);
        }
        self.touch(number, now);
        let event = WebhookEvent::DeviceBound {
            instance,
            device: id,
            user,
        };
        self.raise(of, &event);
        Bound::Done
    }

    pub(super) fn unbind_device(&mut self, instance: InstanceId, id: DeviceId) -> Unbound {
        let Some(number) = self.device(instance, id) else {
            return Unbound::UnknownDevice;
        };
        let device = self.devices.rows.get_mut(&number);
        let Some(user) = device.and_then(|device| {
            device.bound_at = None;
            device.user.take()
        }) else {
            return Unbound::Nobodys;
        };
        let retries = &mut self.retries.rows;
        retries.retain(|_, retry| retry.device != number || retry.user.is_none());
        let Some((of, name)) = self.users.rows.get(&user).cloned() else {
            return Unbound::Nobodys;
        };
        if !self.devices.rows.values().any(|d| d.user == Some(user)) {
            self.users.rows.remove(&user);
        }
        let event = WebhookEvent::DeviceUnbound {
            instance,
            device: id,
            user: name.clone(),
        };
        self.raise(of, &event);
        Unbound::From(name)
    }

    pub(super) fn delete_user(&mut self, instance: InstanceId, user: &UserId) -> u64 {
        let of = self.instance(instance);
        let Some(user) = of.and_then(|of| self.user(of, user)) else {
            return 0;
        };
        let devices: Vec<i64> = self.devices_of(user, 0, i64::MAX).collect();
        for device in &devices {
            self.raise_removed(*device, Removal::UserDeleted);
            self.remove_device(*device);
        }
        devices.len() as u64
    }

    /// The number of a user who has devices.
    pub(super) fn user(&self, instance: i64, user: &UserId) -> Option<i64> {
        let fits = |(of, id): &(i64, UserId)| *of == instance && id == user;
        self.users.find(fits).map(|(number, _)| number)
    }

    /// How many devices of a platform a user has.
    pub(super) fn count_devices(&self, user: i64, platform: Platform) -> usize {
        let devices = self.devices.rows.values();
        devices
            .filter(|device| device.user == Some(user) && device.id.platform() == platform)
            .count()
    }

    /// A user's devices behind `after` up to `end`, ascending.
    pub(super) fn devices_of(&self, user: i64, after: i64, end: i64) -> impl Iterator<Item = i64> {
        let devices = self.devices.rows.iter();
        devices
            .filter(move |(_, device)| device.user == Some(user))
            .map(|(number, _)| *number)
            .filter(move |number| (after + 1..=end).contains(number))
    }

    /// The number of an interest that somebody has.
    pub(super) fn interest(&self, instance: i64, name: &InterestName) -> Option<i64> {
        let fits = |(of, known): &(i64, InterestName)| *of == instance && known == name;
        self.interests.find(fits).map(|(number, _)| number)
    }

    /// A device's interests with their numbers, ascending.
    pub(super) fn named_interests(&self, device: i64) -> BTreeMap<InterestName, i64> {
        let numbers = self.interests_of(device).into_iter();
        let name = |number| self.interests.rows.get(&number).map(|(_, name)| name);
        numbers
            .filter_map(|number| Some((name(number)?.clone(), number)))
            .collect()
    }

    pub(super) fn interest_page(
        &self,
        instance: InstanceId,
        id: DeviceId,
        after: Option<&InterestName>,
        limit: usize,
    ) -> Option<InterestPage> {
        let mut rest: Vec<InterestName> = self
            .named_interests(self.device(instance, id)?)
            .into_keys()
            .filter(|name| after.is_none_or(|after| name > after))
            .collect();
        let more = rest.len() > limit;
        rest.truncate(limit);
        Some(InterestPage {
            interests: rest,
            more,
        })
    }

    pub(super) fn subscribe(&mut self, instance: i64, device: i64, name: InterestName) {
        let known = self.interest(instance, &name);
        let interest = known.unwrap_or_else(|| self.interests.add((instance, name)));
        self.subscriptions.insert((interest, device));
    }

    pub(super) fn set_interests(
        &mut self,
        instance: InstanceId,
        id: DeviceId,
        wanted: &[InterestName],
        now: Timestamp,
    ) -> Changed {
        let Some(device) = self.device(instance, id) else {
            return Changed::UnknownDevice;
        };
        self.touch(device, now);
        let of = self.instance(instance).unwrap_or_default();
        let had = self.named_interests(device);
        for name in wanted {
            self.subscribe(of, device, name.clone());
        }
        for (name, interest) in had {
            if !wanted.contains(&name) {
                self.unsubscribe(interest, device);
            }
        }
        Changed::Done
    }

    pub(super) fn add_interest(
        &mut self,
        instance: InstanceId,
        id: DeviceId,
        name: InterestName,
        interests_max: usize,
        now: Timestamp,
    ) -> Changed {
        let Some(device) = self.device(instance, id) else {
            return Changed::UnknownDevice;
        };
        self.touch(device, now);
        let had = self.named_interests(device);
        if had.contains_key(&name) {
            return Changed::Done;
        }
        if had.len() >= interests_max {
            return Changed::TooManyInterests;
        }
        let of = self.instance(instance).unwrap_or_default();
        self.subscribe(of, device, name);
        Changed::Done
    }

    pub(super) fn remove_interest(
        &mut self,
        instance: InstanceId,
        id: DeviceId,
        name: &InterestName,
        now: Timestamp,
    ) -> Changed {
        let Some(device) = self.device(instance, id) else {
            return Changed::UnknownDevice;
        };
        self.touch(device, now);
        if let Some(interest) = self.named_interests(device).get(name) {
            self.unsubscribe(*interest, device);
        }
        Changed::Done
    }
}
