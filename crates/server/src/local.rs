//! Managing with the database in hand: the admin API on a store that a server may be running on beside it.
//!
//! Nothing is delivered from here. What is published through it is left to the servers that run on the same database.

use std::fmt;
use std::sync::Arc;

use delivery::instances::Instances;
use delivery::runner::Runner;
use delivery::together::Together;
use delivery::vault::Vault;
use domain::clock::{Clock, SystemClock};
use gateway::Gateways;
use http::Method;
use serde_json::Value;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::Admin;
use crate::app::{self, StartError};
use crate::config::Config;
use crate::http::{self as api, Api, Shared};
use crate::limits::Admission;
use crate::traces::Traces;

/// The admin API on an opened database.
pub struct Local {
    router: api::Local,
    store: Arc<dyn Store>,
    tasks: TaskTracker,
}

impl Local {
    /// Opens the database that a configuration names, and makes it if there is none.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        let (store, vault) = app::open_store(config).await?;
        Self::on(config, store, vault)
    }

    /// The admin API on a store that is open already.
    pub fn on(config: &Config, store: Arc<dyn Store>, vault: Vault) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let gateways = Gateways::new(app::gateway_config(&config.outbound), Arc::clone(&clock))?;
        let instances = Instances::new(
            Arc::clone(&store),
            vault.clone(),
            gateways.clone(),
            Arc::clone(&clock),
        );
        let runner = Runner::resting(
            config.delivery.clone(),
            Arc::clone(&store),
            Arc::clone(&instances),
            Arc::clone(&clock),
        );
        let tasks = TaskTracker::new();
        let admin = Admin::new(
            Arc::clone(&store),
            vault,
            Arc::clone(&instances),
            runner.clone(),
            Arc::clone(&clock),
            tasks.clone(),
        );
        let shared = Shared {
            store: Arc::clone(&store),
            admin,
            instances,
            runner,
            gateways,
            clock,
            public_url: config
                .public_url
                .clone()
                .unwrap_or_else(|| format!("{}://{}", config.scheme(), config.listen)),
            public_url_set: config.public_url.clone(),
            metrics_apart: false,
            proxies: config.proxies.clone(),
            log_addresses: false,
            traces: Traces::default(),
            admission: Admission::new(config.limits.rates),
            checking: Together::default(),
            counting: Together::default(),
            limits: config.limits.clone(),
            keep: config.delivery.keep,
            stopping: CancellationToken::new(),
        };
        let router = api::Local::new(Api {
            shared: Arc::new(shared),
        });
        Ok(Self {
            router,
            store,
            tasks,
        })
    }

    /// Makes a call of the admin API: its path behind `/admin_api/v1`. The status and the body of the answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let (status, body) = self.router.call(method, path, body).await;
        (status.as_u16(), body)
    }

    /// Whether the database can be read and written.
    pub async fn check(&self) -> Result<(), store::StoreError> {
        self.store.check().await
    }

    /// Finishes what was begun and lets go of the database.
    pub async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.store.close().await;
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local(…)")
    }
}
