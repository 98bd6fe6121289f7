//! Heliostat over HTTP: Beams' APIs, health and metrics.
//!
//! One folder per API, one file per resource. A handler extracts typed values, calls one function of the store or of
//! delivery, and maps its answer; what goes wrong becomes an [`error::ApiError`]. Requests are routed by their path alone:
//! SDKs put the instance into the host too, but may be pointed anywhere.

mod admin_api;
mod auth;
mod caller;
mod cors;
mod customer_api;
mod device_api;
pub(crate) mod error;
pub(crate) mod extract;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod json_depth;
mod leftover;
mod lines;
mod local;
mod metrics;
mod observe;
mod openapi;
mod origin;
mod publish_api;
mod reporting_api;
mod router;
mod routes;
mod traced;

use std::sync::Arc;

use delivery::instances::{Instance, Instances};
use delivery::runner::Keep;
use delivery::runner::Runner;
use delivery::together::Together;
use delivery::trail::Trail;
use delivery::vault::Vault;
use domain::clock::{Clock, Timestamp};
use domain::instance::InstanceId;
use gateway::Gateways;
use store::publishes::QueueDepth;
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::config::{Limits, Proxies};
use crate::limits::Admission;
use crate::traces::Traces;
pub(crate) use error::ApiError;

pub(crate) use local::Local;
pub(crate) use metrics::recorder;
pub(crate) use openapi::description;
pub(crate) use origin::{Origin, Peer};
pub(crate) use publish_api::admit as admit_publish;
pub(crate) use router::{operations, router};

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) shared: Arc<Shared>,
}

/// What all clones of an [`Api`] have in common.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) admin: Admin,
    pub(crate) instances: Arc<Instances>,
    pub(crate) runner: Runner,
    pub(crate) gateways: Gateways,
    pub(crate) clock: Arc<dyn Clock>,
    /// What the server is called from outside, without a slash at the end.
    pub(crate) public_url: String,
    /// Whether /metrics has an address of its own.
    pub(crate) metrics_apart: bool,
    /// Whom to believe where a request comes from.
    pub(crate) proxies: Proxies,
    /// Whether the client's address is logged.
    pub(crate) log_addresses: bool,
    /// The same, if the operator said so.
    pub(crate) public_url_set: Option<String>,
    /// What bounds a request.
    pub(crate) limits: Limits,
    /// Where requests to publish are told, if anywhere.
    pub(crate) traces: Traces,
    /// How long what is kept.
    pub(crate) keep: Keep,
    /// Who may ask how often.
    pub(crate) admission: Admission,
    /// Whether the store works, for all who ask at the same time.
    pub(crate) checking: Together<Result<(), &'static str>>,
    /// How much work and how many requests to webhooks wait, in the same way.
    pub(crate) counting: Together<Result<(QueueDepth, u64), Arc<StoreError>>>,
    /// Cancelled once the server is to stop.
    pub(crate) stopping: CancellationToken,
}

impl Api {
    pub(crate) fn store(&self) -> &dyn Store {
        self.shared.store.as_ref()
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.shared.admin
    }

    /// Where the debug console is told what happens.
    pub(crate) fn trail(&self) -> &Trail {
        self.shared.runner.trail()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Among how many servers what is granted to all of them is divided.
    fn nodes(&self) -> u32 {
        self.shared.runner.nodes()
    }

    fn is_stopping(&self) -> bool {
        self.shared.stopping.is_cancelled()
    }

    /// What seals sessions.
    pub(crate) fn vault(&self) -> &Vault {
        self.admin().vault()
    }

    /// Whether this server is reached over https.
    pub(crate) fn is_secure(&self) -> bool {
        self.shared.public_url.starts_with("https:")
    }

    /// An instance, which must exist.
    pub(crate) async fn instance(&self, id: InstanceId) -> Result<Arc<Instance>, ApiError> {
        let found = self.shared.instances.get(id).await?;
        found.ok_or(ApiError::InstanceNotFound)
    }

    /// Why there is no such device: it is unknown, or its whole instance is.
    async fn no_device(&self, instance: InstanceId) -> ApiError {
        match self.instance(instance).await {
            Ok(_) => ApiError::DeviceNotFound,
            Err(error) => error,
        }
    }
}
