//! [`Configuration`] for [`PostgresStore`]: what is a transaction and what is not. Nothing is decided here.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;

use super::store::call;
use super::{PostgresStore, instances};
use crate::StoreError;
use crate::configuration::Configuration;
use crate::instances::{
    CredentialVersion, InstanceRecord, NewCredential, NewInstance, NewSecretKey, SecretKeyId,
};

#[async_trait]
impl Configuration for PostgresStore {
    async fn configuration_version(&self) -> Result<i64, StoreError> {
        call!(self.read(), |s| instances::configuration_version(s))
    }

    async fn create_instance(&self, new: NewInstance) -> Result<(), StoreError> {
        call!(self.write(new), |s| instances::create(s, new))
    }

    async fn instance(&self, id: InstanceId) -> Result<Option<InstanceRecord>, StoreError> {
        call!(self.snapshot(id), |s| instances::one(s, *id))
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError> {
        call!(self.snapshot(), |s| instances::all(s))
    }

    async fn instance_ids(&self) -> Result<Vec<InstanceId>, StoreError> {
        call!(self.read(), |s| instances::ids(s))
    }

    async fn delete_instance(&self, id: InstanceId) -> Result<bool, StoreError> {
        let was_there = call!(self.write(id), |s| instances::mark_deleted(s, *id))?;
        if was_there {
            self.cache.clear();
            self.purge_deleted().await?;
        }
        Ok(was_there)
    }

    async fn add_secret_key(
        &self,
        instance: InstanceId,
        key: NewSecretKey,
    ) -> Result<SecretKeyId, StoreError> {
        call!(self.write(instance, key), |s| instances::add_secret_key(
            s, *instance, key
        ))
    }

    async fn revoke_secret_key(
        &self,
        instance: InstanceId,
        key: SecretKeyId,
    ) -> Result<bool, StoreError> {
        call!(self.write(instance, key), |s| instances::revoke_secret_key(
            s, *instance, *key
        ))
    }

    async fn set_credential(
        &self,
        instance: InstanceId,
        new: NewCredential,
    ) -> Result<(), StoreError> {
        call!(self.write(instance, new), |s| instances::set_credential(
            s, *instance, new
        ))
    }

    async fn mark_credential(
        &self,
        instance: InstanceId,
        platform: Platform,
        version: CredentialVersion,
        broken: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let broken = broken.map(str::to_owned);
        call!(self.write(instance, platform, version, broken, now), |s| {
            instances::mark_credential(s, *instance, *platform, *version, broken.as_deref(), *now)
        })
    }
}
