//! What people who run a Heliostat do with it: instances, keys, credentials, devices, users, publishes.
//!
//! Plain async functions, one file per noun, for everything that manages: the handlers of the admin API (which the command
//! line goes through as well), and the dashboard's pages. They know no HTTP and decide no access: whoever calls has asked an
//! [`access::Access`] first. What changes something takes an [`actor::Actor`] and goes through [`Admin::audited`], so that no
//! change is made that the audit log does not have. What they answer can be shown to anybody with access: no function answers
//! a secret, except the one that makes it.

pub mod access;
pub mod actor;
pub mod audit;
pub mod credentials;
pub mod devices;
pub mod error;
pub mod insights;
pub mod instances;
pub mod links;
pub mod publishes;
pub mod secret_keys;
mod strangers;
pub mod tokens;
pub mod users;
pub mod webhooks;

use std::fmt;
use std::sync::Arc;

use delivery::instances::Instances;
use delivery::runner::Runner;
use delivery::together::Together;
use delivery::vault::Vault;
use domain::clock::{Clock, Timestamp};
use domain::instance::InstanceId;
use store::administration::AuditOutcome;
use store::instances::InstanceRecord;
use store::{Store, StoreError};

use actor::{Actor, Deed};
use error::AdminError;
use insights::devices::Counts;
use opentelemetry::Context;
use opentelemetry::trace::FutureExt as _;
use strangers::Strangers;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

/// What managing needs. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Vault,
    pub(crate) instances: Arc<Instances>,
    pub(crate) runner: Runner,
    pub(crate) clock: Arc<dyn Clock>,
    strangers: Arc<Strangers>,
    /// Whether anybody can sign in, which anybody may ask.
    anybody: Arc<Together<Result<bool, Arc<StoreError>>>>,
    pub(crate) counts: Arc<Counts>,
    /// Held by whoever has the database's files written anew.
    scrubbing: Arc<Mutex<()>>,
    tasks: TaskTracker,
}

impl Admin {
    /// On what a server, or the command line, has put together. Whoever stops waits for `tasks`.
    pub fn new(
        store: Arc<dyn Store>,
        vault: Vault,
        instances: Arc<Instances>,
        runner: Runner,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            store,
            vault,
            instances,
            runner,
            clock,
            strangers: Arc::default(),
            anybody: Arc::default(),
            counts: Arc::default(),
            scrubbing: Arc::default(),
            tasks,
        }
    }

    /// Where everything is kept.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What seals secrets.
    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The time to write down.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One instance as kept, which must exist.
    pub async fn record(&self, id: InstanceId) -> Result<InstanceRecord, AdminError> {
        let found = self.store.instance(id).await?;
        found.ok_or(AdminError::InstanceNotFound)
    }

    /// Makes a change and writes down who made it, and whether it was made. That it is begun is written before anything else,
    /// so that there is no change without an entry, whatever happens in between; and how it ended, though whoever asked for it
    /// has gone away by then.
    pub async fn audited<T, F>(
        &self,
        actor: &Actor,
        deed: Deed,
        change: impl FnOnce(Self) -> F + Send + 'static,
    ) -> Result<T, AdminError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AdminError>> + Send + 'static,
    {
        let (admin, actor) = (self.clone(), actor.clone());
        self.to_the_end(async move {
            let change = change(admin.clone());
            audited(&*admin.store, admin.now(), &actor, deed, change).await
        })
        .await
    }

    /// Does something that must not be left half done: to its end, whatever becomes of the request that it is done for. A
    /// server that stops waits for it.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        // What is accepted here is followed under the request's span.
        let work = work.with_context(Context::current());
        match self.tasks.spawn(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is being taken down, and whoever waits here with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// [`Admin::audited`] for whoever has the store alone in hand.
pub async fn audited<T, E>(
    store: &dyn Store,
    now: Timestamp,
    actor: &Actor,
    deed: Deed,
    change: impl Future<Output = Result<T, E>>,
) -> Result<T, E>
where
    E: fmt::Display + From<StoreError>,
{
    let id = store.append_audit(deed.entry(actor, now)).await?;
    let done = change.await;
    let outcome = match &done {
        Ok(_) => AuditOutcome::Done,
        Err(error) => AuditOutcome::Failed(error.to_string()),
    };
    if let Err(error) = store.conclude_audit(id, outcome).await {
        tracing::error!(entry = id.0, %error, "an entry of the audit log stays as begun");
    }
    let (action, instance) = (deed.action, deed.instance.map(tracing::field::display));
    match &done {
        Ok(_) => tracing::info!(%actor, instance, "{actor} did {action}"),
        Err(error) => tracing::info!(%actor, instance, %error, "{actor} failed to do {action}"),
    }
    done
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin(…)")
    }
}
