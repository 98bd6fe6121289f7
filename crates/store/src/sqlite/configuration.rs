//! [`Configuration`] for [`SqliteStore`]: which thread does what. Nothing is decided here.

use async_trait::async_trait;
use domain::clock::Timestamp;
use domain::device::Platform;
use domain::instance::InstanceId;

use super::{SqliteStore, instances};
use crate::StoreError;
use crate::configuration::Configuration;
use crate::instances::{
    CredentialVersion, InstanceRecord, NewCredential, NewInstance, NewSecretKey, SecretKeyId,
};

#[async_trait]
impl Configuration for SqliteStore {
    async fn configuration_version(&self) -> Result<i64, StoreError> {
        self.readers.run(instances::configuration_version).await
    }

    async fn create_instance(&self, new: NewInstance) -> Result<(), StoreError> {
        self.writer.run(move |c| instances::create(c, &new)).await
    }

    async fn instance(&self, id: InstanceId) -> Result<Option<InstanceRecord>, StoreError> {
        self.readers.run(move |c| instances::one(c, id)).await
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>, StoreError> {
        self.readers.run(instances::all).await
    }

    async fn instance_ids(&self) -> Result<Vec<InstanceId>, StoreError> {
        self.readers.run(instances::ids).await
    }

    async fn delete_instance(&self, id: InstanceId) -> Result<bool, StoreError> {
        let marking = self.writer.run(move |c| instances::mark_deleted(c, id));
        let was_there = marking.await?;
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
        self.writer
            .run(move |c| instances::add_secret_key(c, instance, &key))
            .await
    }

    async fn revoke_secret_key(
        &self,
        instance: InstanceId,
        key: SecretKeyId,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(move |c| instances::revoke_secret_key(c, instance, key))
            .await
    }

    async fn set_credential(
        &self,
        instance: InstanceId,
        new: NewCredential,
    ) -> Result<(), StoreError> {
        self.writer
            .run(move |c| instances::set_credential(c, instance, &new))
            .await
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
        self.writer
            .run(move |c| {
                instances::mark_credential(c, instance, platform, version, broken.as_deref(), now)
            })
            .await
    }
}
