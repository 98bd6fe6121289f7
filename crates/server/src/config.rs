//! The configuration: `config.default.toml` < a file < `HELIOSTAT_*` in the environment < flags. Typed, and checked once.
//!
//! This module owns the names, defaults and rules of all settings, and it alone reads the environment. The embedded
//! default file is the list of what there is: a key that it does not have is an error. Whoever holds a [`Config`] need not
//! check it again.

mod database;
mod inbound;
mod layers;
mod master_key;
mod raw;
mod remote;
mod roles;
mod traces;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use delivery::runner::Settings as DeliverySettings;
use domain::seal::{Keyring, SealError};
use ipnet::IpNet;
use store::postgres::PostgresSettings;
use url::Url;

use crate::limits::RateLimits;

pub use database::Database;
pub use inbound::{Acme, ForwardedBy, Proxies, Tls, TlsFiles};
pub use remote::Remote;
pub use roles::Roles;
pub use traces::Traces;

/// The defaults, documented key by key.
pub const DEFAULTS: &str = include_str!("../../../config.default.toml");

/// The environment variable with the master key itself, which never stands in a file of settings.
pub const MASTER_KEY_VARIABLE: &str = "HELIOSTAT_MASTER_KEY";

/// Why there is no configuration. Each reads as one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {what} {path}: {source}")]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file of settings is no TOML.
    #[error("{path} is no TOML: {message}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// There is no such setting.
    #[error("{origin}: there is no setting `{key}`")]
    UnknownKey {
        /// Where it was set.
        origin: String,
        /// Its path.
        key: String,
    },
    /// A setting has a value of the wrong type, or one that breaks a rule.
    #[error("`{key}`: {message}")]
    Invalid {
        /// Its path.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A setting has a value of the wrong type.
    #[error("{origin}: `{key}` must be {wanted}")]
    WrongType {
        /// Where it was set.
        origin: String,
        /// Its path.
        key: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The built-in defaults do not fit the program: a mistake in the program itself.
    #[error("the built-in settings are damaged: {0}")]
    Defaults(String),
    /// The master key is not usable.
    #[error("the master key in {place}: {source}")]
    MasterKey {
        /// Which variable or file.
        place: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// The master key's file can be read or written by others.
    #[error("the master key file {path} is open to others (mode {mode:03o}): run chmod 600 on it")]
    MasterKeyOpen {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The database is there but the key that seals its secrets is not.
    #[error(
        "the database {database} exists but its master key file {path} does not: put it back, or set {MASTER_KEY_VARIABLE}"
    )]
    MasterKeyLost {
        /// The database.
        database: PathBuf,
        /// Where the key should be.
        path: PathBuf,
    },
    /// A database of many nodes does not say where the key is that all of them share.
    #[error(
        "every node on a PostgreSQL database needs the same master key: set {MASTER_KEY_VARIABLE}, or `master_key_file` (a new one: openssl rand -base64 32)"
    )]
    MasterKeyUnset,
}

/// What flags say; `None` leaves a setting to the other sources.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `listen`
    pub listen: Option<String>,
    /// `database`
    pub database: Option<String>,
    /// `public_url`
    pub public_url: Option<String>,
    /// `roles`
    pub roles: Option<String>,
    /// `log.filter`
    pub log_filter: Option<String>,
    /// Any other setting, by its path (`limits.connections_max`) and in the words of the environment.
    pub others: Vec<(String, String)>,
}

/// Where the master key comes from.
#[derive(Debug, Clone)]
pub enum MasterKeySource {
    /// The environment had them.
    Given(Keyring),
    /// It is in this file, or will be made there.
    File(PathBuf),
    /// Nothing says where, and none can be made. Only who needs the key minds: moving a database, or going to a server, works
    /// without.
    Unset,
}

/// How gateways are reached.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// Apple's gateway for apps from the store.
    pub apns_url: Url,
    /// Apple's gateway for apps under development.
    pub apns_sandbox_url: Url,
    /// Google's gateway.
    pub fcm_url: Url,
    /// Whom a Web Push service may write to, if anybody was named: `mailto:` or `https:`.
    pub vapid_contact: Option<String>,
    /// Further root certificates, PEM.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Networks that Web Push endpoints and webhooks may be in although they are not public.
    pub allow: Vec<IpNet>,
    /// Networks that webhooks alone may be in besides.
    pub allow_webhooks: Vec<IpNet>,
    /// Networks that neither may be in, whatever else holds for them.
    pub deny: Vec<IpNet>,
    /// How long a call may take.
    pub request_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a webhook's receiver may take to answer.
    pub webhook_timeout: Duration,
    /// Connections to one host at most.
    pub connections_per_host_max: usize,
    /// Requests at once on one connection at most.
    pub in_flight_per_connection_max: usize,
}

/// What bounds the HTTP side.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections_max: usize,
    /// Bytes of a request's head.
    pub header_bytes_max: usize,
    /// How long a request's head may take.
    pub header_timeout: Duration,
    /// How long a request may take, its body included.
    pub request_timeout: Duration,
    /// How long a connection may go without a request.
    pub idle_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// What a publish in lines may have.
    pub lists: ListLimits,
    /// Connections of one address at once; zero is no limit.
    pub connections_per_address_max: usize,
    /// Bytes of a body that is read whole, where a call's own limit is not lower.
    pub body_bytes_max: usize,
    /// Bytes of unfinished bodies and unread answers that are held at once, if there is a limit.
    pub held_bytes_max: usize,
    /// Bytes of a request's URL.
    pub url_bytes_max: usize,
    /// How deep the values of a body may be nested.
    pub json_depth_max: usize,
    /// HTTP/2 streams that a caller, or its mistakes, may have reset before the connection is ended.
    pub http2_resets_max: usize,
    /// How often callers may ask.
    pub rates: RateLimits,
    /// Devices that an instance may have for a new one to register, if there is a limit.
    pub devices_per_instance_max: Option<u64>,
}

/// How much a publish in lines may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLimits {
    /// Users.
    pub users_max: u64,
    /// Interests.
    pub interests_max: usize,
    /// Bytes of the body.
    pub bytes_max: usize,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// A filter of `tracing_subscriber`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
    /// Whether the lines of requests have the client's address.
    pub client_addresses: bool,
}

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub database: Database,
    /// Connections to PostgreSQL, where everything is kept there.
    pub postgres: PostgresSettings,
    /// Whether to go on with a SQLite database that has lost its log; a flag of one start, no setting.
    pub accept_lost_log: bool,
    /// What this node does.
    pub roles: Roles,
    /// A server that commands go to in place of the database.
    pub remote: Remote,
    /// What the server is called from outside, if that was set; see [`crate::app::App::url`].
    pub public_url: Option<String>,
    /// Where the master key comes from; see [`Config::master_keys`].
    pub master_key_source: MasterKeySource,
    /// Threads of the runtime; `None` is one for each processor.
    pub worker_threads: Option<usize>,
    /// Set if the server is to speak https.
    pub tls: Option<Tls>,
    /// Whom to believe where a request comes from.
    pub proxies: Proxies,
    /// Where those who watch the server are answered, if not where everybody is.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether a crash may write what the process remembers, keys included, to a core dump.
    pub core_dumps: bool,
    /// Everything outbound.
    pub outbound: Outbound,
    /// Bounds of the HTTP side.
    pub limits: Limits,
    /// Delivery, and how long finished publishes are kept.
    pub delivery: DeliverySettings,
    /// Logging.
    pub log: Log,
    /// Traces, if there are to be any.
    pub traces: Option<Traces>,
    /// How long a graceful stop may take.
    pub shutdown_grace: Duration,
}

impl Config {
    /// Reads and checks the configuration. `env` is how the environment is asked, so that a test can have its own; the
    /// program hands in [`environment`].
    pub fn load(
        file: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
        overrides: Overrides,
    ) -> Result<Self, ConfigError> {
        let merged = layers::merge(file, env, overrides)?;
        raw::check(merged, env)
    }

    /// [`Config::load`] with the text of a file instead of the file.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "fuzzing")]
    pub fn of_text(
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
        overrides: Overrides,
    ) -> Result<Self, ConfigError> {
        raw::check(layers::merge_text(text, env, overrides)?, env)
    }

    /// The master keys, the one that seals first: from the environment, or from their file, which is made with one if neither
    /// it nor the database exist. Blocks on the file system.
    pub fn master_keys(&self) -> Result<Keyring, ConfigError> {
        master_key::load(&self.master_key_source, &self.database)
    }

    /// The master key if there is one. None is made. Blocks on the file system.
    pub fn present_master_key(&self) -> Result<Option<Keyring>, ConfigError> {
        master_key::present(&self.master_key_source)
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// The environment of this process.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the environment is read"
)]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
