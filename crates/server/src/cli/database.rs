//! The database as the managing commands use it: opened directly, beside a server that may be running on it.

use std::sync::Arc;

use clap::Args;
use delivery::vault::Vault;
use domain::clock::{Clock as _, SystemClock, Timestamp};
use domain::instance::{InstanceId, SecretKey};
use server::admin::actor::{Actor, Deed};
use server::admin::audited;
use store::instances::InstanceRecord;
use store::{Store, StoreError};

use super::failure::Failure;
use super::place::{IfMissing, is_missing};
use super::settings::Settings;

/// An opened database and the vault for what is sealed in it.
#[derive(Debug)]
pub(crate) struct Database {
    store: Arc<dyn Store>,
    vault: Vault,
    /// How people name it.
    name: String,
}

/// The option that names an instance.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct InstanceOption {
    /// The instance's id.
    #[arg(long = "instance", value_name = "ID")]
    pub(crate) id: InstanceId,
}

impl Database {
    /// Opens the database, does `work` and closes it.
    pub(crate) async fn with<T>(
        settings: &Settings,
        if_missing: IfMissing,
        work: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let database = Self::open(settings, if_missing).await?;
        let done = work(&database).await;
        database.store.close().await;
        done
    }

    async fn open(settings: &Settings, if_missing: IfMissing) -> Result<Self, Failure> {
        let config = settings.load()?;
        let name = config.database.to_string();
        if if_missing == IfMissing::Refuse && is_missing(&config) {
            return Err(Failure::new(format!(
                "there is no database {name}; name yours with --database, or begin with `heliostat instance create`"
            )));
        }
        let (store, vault) = server::app::open_store(&config)
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Self { store, vault, name })
    }

    /// The store.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What opens and seals.
    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The time to write down.
    pub(crate) fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// Does something that the audit log is to tell of.
    pub(crate) async fn audited<T>(
        &self,
        deed: Deed,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        audited(self.store(), self.now(), &Actor::CommandLine, deed, work).await
    }

    /// One instance, or that there is none.
    pub(crate) async fn instance(&self, id: InstanceId) -> Result<InstanceRecord, Failure> {
        let found = self
            .store
            .instance(id)
            .await
            .map_err(|error| self.failed(&error))?;
        found.ok_or_else(|| self.unknown(id))
    }

    /// The newest secret key of an instance.
    pub(crate) async fn secret_key(&self, id: InstanceId) -> Result<SecretKey, Failure> {
        let record = self.instance(id).await?;
        let newest = record.secret_keys.last().ok_or_else(|| {
            Failure::new(format!(
                "instance {id} has no secret key; add one with `heliostat instance key add`"
            ))
        })?;
        self.vault.open_secret_key(id, newest).map_err(|error| {
            Failure::new(format!(
                "the secret key of instance {id} in {} cannot be read: {error}",
                self.name
            ))
        })
    }

    /// That there is no such instance.
    pub(crate) fn unknown(&self, id: InstanceId) -> Failure {
        Failure::new(format!(
            "there is no instance {id} in {}; `heliostat instance list` shows those there are",
            self.name
        ))
    }

    /// That the store failed.
    pub(crate) fn failed(&self, error: &StoreError) -> Failure {
        Failure::new(format!("the database {} failed: {error}", self.name))
    }
}
