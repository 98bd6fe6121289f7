//! Instances, secret keys and credentials. Every change moves the configuration version.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;

use super::MemoryStore;
use super::state::State;
use crate::StoreError;
use crate::configuration::Configuration;
use crate::instances::{
    BrokenCredential, CredentialRecord, CredentialVersion, InstanceRecord, NewCredential,
    NewInstance, NewSecretKey, SecretKeyId, SecretKeyRecord,
};

#[async_trait]
impl Configuration for MemoryStore {
    async fn configuration_version(&self) -> Result<i64, StoreError> {
        self.step(|state| state.configuration_version)
    }

    async fn create_instance(&self, new: NewInstance) -> Result<(), StoreError> {
        self.step(|state| state.create_instance(new))?
    }

    async fn instance(&self, id: InstanceId) -> Result<Option<InstanceRecord>, StoreError> {
        self.step(|state| state.instances.rows.get(&state.instance(id)?).cloned())
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError> {
        self.step(|state| state.all_instances())
    }

    async fn instance_ids(&self) -> Result<Vec<InstanceId>, StoreError> {
        self.step(|state| state.instance_ids())
    }

    async fn delete_instance(&self, id: InstanceId) -> Result<bool, StoreError> {
        self.step(|state| state.delete_instance(id))
    }

    async fn add_secret_key(
        &self,
        instance: InstanceId,
        key: NewSecretKey,
    ) -> Result<SecretKeyId, StoreError> {
        self.step(|state| state.add_secret_key(instance, key))?
    }

    async fn revoke_secret_key(
        &self,
        instance: InstanceId,
        key: SecretKeyId,
    ) -> Result<bool, StoreError> {
        self.step(|state| state.revoke_secret_key(instance, key))
    }

    async fn set_credential(
        &self,
        instance: InstanceId,
        new: NewCredential,
    ) -> Result<(), StoreError> {
        self.step(|state| state.set_credential(instance, new))?
    }

    async fn mark_credential(
        &self,
        instance: InstanceId,
        platform: Platform,
        version: CredentialVersion,
        broken: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.step(|state| state.mark_credential(instance, platform, version, broken, now))
    }
}

impl State {
    pub(super) fn create_instance(&mut self, new: NewInstance) -> Result<(), StoreError> {
        if self.instance(new.id).is_some() {
            return Err(StoreError::InstanceExists);
        }
        let first = self.numbered(new.secret_key);
        self.instances.add(InstanceRecord {
            id: new.id,
            name: new.name,
            vapid_public_key: new.vapid_public_key,
            vapid_private_key: new.vapid_private_key,
            secret_keys: vec![first],
            credentials: Vec::new(),
            created_at: new.created_at,
        });
        self.configuration_version += 1;
        Ok(())
    }

    pub(super) fn all_instances(&self) -> Vec<InstanceRecord> {
        let mut all: Vec<_> = self.instances.rows.values().cloned().collect();
        all.sort_by(|a, b| (a.name.as_str(), a.id).cmp(&(b.name.as_str(), b.id)));
        all
    }

    pub(super) fn instance_ids(&self) -> Vec<InstanceId> {
        self.instances.rows.values().map(|row| row.id).collect()
    }

    pub(super) fn delete_instance(&mut self, id: InstanceId) -> bool {
        let Some(number) = self.instance(id) else {
            return false;
        };
        self.remove_webhooks_of(number);
        let devices = self.devices.rows.iter();
        let devices: Vec<i64> = devices
            .filter(|(_, device)| device.instance == number)
            .map(|(device, _)| *device)
            .collect();
        for device in devices {
            self.remove_device(device);
        }
        let publishes = self.publishes.rows.iter();
        let publishes: Vec<i64> = publishes
            .filter(|(_, row)| row.instance == number)
            .map(|(publish, _)| *publish)
            .collect();
        for publish in publishes {
            self.remove_publish(publish);
        }
        self.keys.retain(|(instance, _), _| *instance != number);
        self.lists.rows.retain(|_, list| list.instance != number);
        self.trails.forget(number);
        self.instances.rows.remove(&number);
        self.configuration_version += 1;
        true
    }

    pub(super) fn add_secret_key(
        &mut self,
        instance: InstanceId,
        key: NewSecretKey,
    ) -> Result<SecretKeyId, StoreError> {
        let number = self.known_instance(instance)?;
        let record = self.numbered(key);
        let id = record.id;
        if let Some(instance) = self.instances.rows.get_mut(&number) {
            instance.secret_keys.push(record);
        }
        self.configuration_version += 1;
        Ok(id)
    }

    fn numbered(&mut self, key: NewSecretKey) -> SecretKeyRecord {
        self.secret_keys += 1;
        SecretKeyRecord {
            id: SecretKeyId(self.secret_keys),
            sealed: key.sealed,
            hint: key.hint,
            created_at: key.created_at,
        }
    }

    pub(super) fn revoke_secret_key(&mut self, instance: InstanceId, key: SecretKeyId) -> bool {
        let Some(record) = self.instance_mut(instance) else {
            return false;
        };
        let keys = &mut record.secret_keys;
        let Some(place) = keys.iter().position(|record| record.id == key) else {
            return false;
        };
        if keys.len() == 1 {
            return false;
        }
        keys.remove(place);
        self.configuration_version += 1;
        true
    }

    pub(super) fn set_credential(
        &mut self,
        instance: InstanceId,
        new: NewCredential,
    ) -> Result<(), StoreError> {
        let version = CredentialVersion(self.configuration_version + 1);
        let record = self
            .instance_mut(instance)
            .ok_or(StoreError::UnknownInstance)?;
        let others = |credential: &CredentialRecord| credential.platform != new.platform;
        record.credentials.retain(others);
        record.credentials.push(CredentialRecord {
            platform: new.platform,
            sealed: new.sealed,
            summary: new.summary,
            version,
            set_at: new.set_at,
            broken: None,
        });
        self.configuration_version = version.0;
        Ok(())
    }

    pub(super) fn mark_credential(
        &mut self,
        instance: InstanceId,
        platform: Platform,
        version: CredentialVersion,
        broken: Option<&str>,
        now: Timestamp,
    ) -> bool {
        let Some(record) = self.instance_mut(instance) else {
            return false;
        };
        let mut credentials = record.credentials.iter_mut();
        let Some(credential) = credentials.find(|c| c.platform == platform && c.version == version)
        else {
            return false;
        };
        if credential.broken.is_some() == broken.is_some() {
            return false;
        }
        credential.broken = broken.map(|reason| BrokenCredential {
            since: now,
            reason: reason.into(),
        });
        self.configuration_version += 1;
        if let Some(reason) = broken {
            self.raise_credential_broken(instance, platform, reason);
        }
        true
    }

    fn instance_mut(&mut self, id: InstanceId) -> Option<&mut InstanceRecord> {
        let mut all = self.instances.rows.values_mut();
        all.find(|instance| instance.id == id)
    }
}
