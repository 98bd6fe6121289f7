//! The running server: builds everything once, hands it out, and takes it down again in order.
//!
//! Going up: master key, store, gateways, delivery, HTTP. Going down, the other way round: no new requests, those in flight
//! are answered; deliveries in flight end and are settled; connections to gateways close; the store closes.

mod activity;
mod answers;
mod connections;
mod front;
mod lone;

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use delivery::instances::Instances;
use delivery::runner::Runner;
use delivery::shelf::StoreShelf;
use delivery::together::Together;
use delivery::vault::Vault;
use domain::clock::{Clock, SystemClock};
use gateway::{GatewayError, Gateways};
use store::moving::Moving;
use store::postgres::PostgresStore;
use store::sqlite::{SqliteSettings, SqliteStore};
use store::{Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, links};
use crate::config::{Config, ConfigError, Database, Outbound, Roles, Tls};
use crate::http::{self, Api, Shared};
use crate::limits::Admission;
use crate::tls::TlsError;
use crate::traces::Traces;
use front::Front;

/// How long connections may take to end once they are cut off.
const CUT_GRACE: Duration = Duration::from_secs(5);
/// How often the recorded metrics are tidied, which bounds their memory.
const METRICS_UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The contact of VAPID tokens where none is configured: push services refuse tokens without any (Apple), and this one is
/// known to be nobody's (RFC 2606).
const CONTACT_UNSET: &str = "mailto:webpush@heliostat.invalid";

/// Why the server did not start. Each reads as one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting, or the master key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error("cannot open the database {database}: {source}")]
    Store {
        /// Which one.
        database: Database,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// It is half full.
    #[error(
        "everything is being moved into the database {0}, and not all is there: give the same `heliostat migrate` again, or \
         use another database"
    )]
    BeingFilled(Database),
    /// What the gateways need.
    #[error("cannot set up the gateways: {0}")]
    Gateway(#[from] GatewayError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A running server.
pub struct App {
    local_addr: SocketAddr,
    operations_addr: Option<SocketAddr>,
    vault: Vault,
    shared: Arc<Shared>,
    cut: CancellationToken,
    tasks: TaskTracker,
    grace: Duration,
}

/// Opens what a configuration says everything is kept in, and the vault for its secrets. For the server, and for commands
/// that work on the database beside it. The master key comes first: it is made only where there is no database yet.
pub async fn open_store(config: &Config) -> Result<(Arc<dyn Store>, Vault), StartError> {
    let vault = Vault::new(config.master_keys()?);
    let store = open_moving(config).await?;
    let failed = |source| StartError::Store {
        database: config.database.clone(),
        source,
    };
    if store.is_being_filled().await.map_err(failed)? {
        return Err(StartError::BeingFilled(config.database.clone()));
    }
    Ok((store, vault))
}

/// Opens what a configuration says everything is kept in, for who moves it: whether it is whole or not, and without the
/// master key, since what is sealed stays sealed.
pub async fn open_moving(config: &Config) -> Result<Arc<dyn Moving>, StartError> {
    let opened: Result<Arc<dyn Moving>, StoreError> = match &config.database {
        Database::Sqlite(path) => {
            let settings = SqliteSettings {
                accept_lost_log: config.accept_lost_log,
                ..SqliteSettings::default()
            };
            let opened = SqliteStore::open(path, settings).await;
            opened.map(|store| Arc::new(store) as _)
        }
        Database::Postgres(url) => PostgresStore::open(url, config.postgres)
            .await
            .map(|store| Arc::new(store) as _),
    };
    let store = opened.map_err(|source| StartError::Store {
        database: config.database.clone(),
        source,
    })?;
    Ok(store)
}

impl App {
    /// Starts a server. When this returns, it answers requests and delivers.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_at(config, Arc::new(SystemClock)).await
    }

    /// Starts a server whose wall clock is `clock`. For tests, which own time.
    pub async fn start_at(mut config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        // What is counted before there is a recorder is lost.
        http::recorder();
        // What fails for want of a file or an address fails before anything is made.
        let stopping = CancellationToken::new();
        let tasks = TaskTracker::new();
        let front = Front::prepare(&config, &clock, &stopping, &tasks).await?;
        let local_addr = front.local_addr;
        let gateways = Gateways::new(gateway_config(&config.outbound), Arc::clone(&clock))?;
        let (store, vault) = open_store(&config).await?;
        let extra_ca = config.outbound.extra_ca_pem.as_deref();
        let traces = Traces::start(config.traces.as_ref(), || gateway::client_tls(extra_ca))?;
        config.delivery.spans = traces.spans();
        let (instances, runner) = deliver(&config, &store, &vault, &gateways, &clock).await?;
        let scheme = config.scheme();
        let own_url = || format!("{scheme}://{local_addr}");
        let public_url = config.public_url.clone().unwrap_or_else(own_url);
        let admin = Admin::new(
            Arc::clone(&store),
            vault.clone(),
            Arc::clone(&instances),
            runner.clone(),
            Arc::clone(&clock),
            tasks.clone(),
        );
        let shared = Arc::new(Shared {
            store,
            admin,
            instances,
            runner,
            gateways,
            clock,
            public_url,
            public_url_set: config.public_url,
            admission: Admission::new(config.limits.rates),
            checking: Together::default(),
            counting: Together::default(),
            limits: config.limits,
            keep: config.delivery.keep,
            traces,
            metrics_apart: front.operations_addr.is_some(),
            proxies: config.proxies,
            log_addresses: config.log.client_addresses,
            stopping: stopping.clone(),
        });
        let app = Self {
            local_addr,
            operations_addr: front.operations_addr,
            vault,
            shared,
            cut: CancellationToken::new(),
            tasks,
            grace: config.shutdown_grace,
        };
        app.tasks
            .spawn(keep_metrics_small(app.shared.stopping.clone()));
        if matches!(config.tls, Some(Tls::Acme(_))) {
            let shared = &app.shared;
            let (store, clock) = (Arc::clone(&shared.store), Arc::clone(&shared.clock));
            let watch = lone::watch(store, clock, shared.stopping.clone());
            app.tasks.spawn(watch);
        }
        let api = Api {
            shared: Arc::clone(&app.shared),
        };
        let public = http::router(api.clone(), config.roles);
        let operations = http::operations(api);
        front.open(public, operations, &stopping, &app.cut, &app.tasks);
        app.tell(&config.database, config.roles, scheme);
        Ok(app)
    }

    fn tell(&self, database: &Database, roles: Roles, scheme: &str) {
        let address = self.local_addr;
        tracing::info!(
            %address, %database, %roles, public_url = self.url(),
            "listening on {scheme}://{address}"
        );
        if let Some(address) = self.operations_addr {
            tracing::info!(%address, "metrics and health are at http://{address}");
        }
    }

    /// The address that the server listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where /metrics is, if it has an address of its own.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.operations_addr
    }

    /// What the server is called from outside, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.shared.public_url
    }

    /// Where everything is kept.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// The instances.
    pub fn instances(&self) -> &Arc<Instances> {
        &self.shared.instances
    }

    /// What manages it.
    pub fn admin(&self) -> &Admin {
        &self.shared.admin
    }

    /// What seals and opens the secrets in the store.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Says where the dashboard is, and how somebody gets in where nobody can yet. The link goes to stdout, past the log, which
    /// is kept and read by many.
    async fn announce_dashboard(&self) {
        let url = self.url();
        tracing::info!("the dashboard is at {url}/");
        let said = match links::first(self.admin(), url).await {
            Ok(None) => return,
            Ok(Some(link)) => {
                let minutes = links::LINK_LIFE.as_secs() / 60;
                let mut out = std::io::stdout().lock();
                let said = writeln!(
                    out,
                    "\nNobody can sign in yet. Open this in a browser within {minutes} minutes; it works once:\n\n    {}\n",
                    link.url
                );
                said.and_then(|()| out.flush()).is_ok()
            }
            Err(error) => {
                tracing::warn!(%error, "no sign-in link could be made");
                false
            }
        };
        if !said {
            tracing::info!("to sign in, make a link: heliostat admin-token link --name you");
        }
    }

    /// Stops: no new requests, those in flight are answered, deliveries in flight are settled or left to the next start.
    /// Takes the configured grace at most, and a few seconds for what has to be cut off.
    pub async fn stop(self) {
        let began = Instant::now();
        tracing::info!("stopping");
        self.shared.stopping.cancel();
        self.tasks.close();
        // Requests may take half of the grace, so that a slow caller does not cost deliveries theirs.
        let ended = tokio::time::timeout(self.grace / 2, self.tasks.wait()).await;
        if ended.is_err() {
            tracing::warn!("some requests were still in flight and are cut off");
            self.cut.cancel();
            let cut = tokio::time::timeout(CUT_GRACE, self.tasks.wait()).await;
            if cut.is_err() {
                tracing::warn!("some connections did not end");
            }
        }
        let left = self.grace.saturating_sub(began.elapsed());
        self.shared.runner.stop(left).await;
        self.shared.gateways.close().await;
        self.shared.traces.stop().await;
        self.shared.store.close().await;
        tracing::info!("stopped");
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App({})", self.shared.public_url)
    }
}

/// Runs a server until `shutdown` ends, then stops it gracefully.
pub async fn run_until(
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let has_dashboard = config.roles.api;
    let app = App::start(config).await?;
    if has_dashboard {
        app.announce_dashboard().await;
    }
    shutdown.await;
    app.stop().await;
    Ok(())
}

/// Sets delivery going, as one of the nodes on the store.
async fn deliver(
    config: &Config,
    store: &Arc<dyn Store>,
    vault: &Vault,
    gateways: &Gateways,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<Instances>, Runner), StartError> {
    let failed = |source| StartError::Store {
        database: config.database.clone(),
        source,
    };
    let shelf = StoreShelf::new(Arc::clone(store), vault.clone(), Arc::clone(clock));
    // The gateways are new: nobody else has given them a shelf.
    let _ = gateways.share_tokens(Arc::new(shelf));
    if config.roles.worker {
        let ended = store.succeed_the_dead().await.map_err(failed)?;
        if ended > 0 {
            tracing::info!(
                ended,
                "took up the work of a server that did not stop in order"
            );
        }
    }
    let instances = Instances::new(
        Arc::clone(store),
        vault.clone(),
        gateways.clone(),
        Arc::clone(clock),
    );
    let runner = Runner::start(
        config.delivery.clone(),
        Arc::clone(store),
        Arc::clone(&instances),
        Arc::clone(clock),
    );
    runner.join().await.map_err(failed)?;
    Ok((instances, runner))
}

pub(crate) fn gateway_config(outbound: &Outbound) -> gateway::Config {
    gateway::Config {
        apns_url: outbound.apns_url.as_str().trim_end_matches('/').to_owned(),
        apns_sandbox_url: outbound
            .apns_sandbox_url
            .as_str()
            .trim_end_matches('/')
            .to_owned(),
        fcm_url: outbound.fcm_url.as_str().trim_end_matches('/').to_owned(),
        extra_ca_pem: outbound.extra_ca_pem.clone(),
        outbound_allow: outbound.allow.clone(),
        outbound_allow_webhooks: outbound.allow_webhooks.clone(),
        outbound_deny: outbound.deny.clone(),
        vapid_contact: outbound
            .vapid_contact
            .clone()
            .unwrap_or_else(|| CONTACT_UNSET.to_owned()),
        request_timeout: outbound.request_timeout,
        connect_timeout: outbound.connect_timeout,
        webhook_timeout: outbound.webhook_timeout,
        connections_per_host_max: outbound.connections_per_host_max,
        in_flight_per_connection_max: outbound.in_flight_per_connection_max,
        ..gateway::Config::default()
    }
}

async fn keep_metrics_small(stopping: CancellationToken) {
    let recorder = http::recorder();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(METRICS_UPKEEP_EVERY) => recorder.run_upkeep(),
        }
    }
}
