//! The database's URL, and how a connection is made: with TLS by rustls where the URL or the server wants it.
//!
//! `sslmode` means what it means to PostgreSQL's own programs: `disable`; `prefer`, which is the default and encrypts where the
//! server can; `require`, which insists on that; `verify-ca` and `verify-full`, which check the server's certificate, against
//! `sslrootcert` or what the system trusts, the latter with its name. A `require` with an `sslrootcert` is a `verify-ca`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{PostgresSettings, fault};
use crate::StoreError;

mod tls;

/// PostgreSQL's own.
const PORT: u16 = 5432;
/// How long a connection may be silent before the system looks whether the other side is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// How long what was sent may go unacknowledged before the connection counts as lost.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a transaction may sit idle on the server: only a node that hangs lets one.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

/// How far the server is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// No TLS.
    Disable,
    /// TLS if the server can, whoever it is.
    Prefer,
    /// TLS, whoever it is.
    Require,
    /// TLS, and a certificate of an authority that is trusted.
    VerifyCa,
    /// The same, and made out to the name that was connected to.
    VerifyFull,
}

/// The URL of a PostgreSQL database: `postgres://user:password@host:port/database?sslmode=…`. Several hosts may be named,
/// separated by commas; the one that takes writes is used. It has a password in it: neither `Debug` nor `Display` shows that.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    config: Config,
    shown: String,
    trust: Trust,
    root: Option<PathBuf>,
}

/// Why a text is no URL of a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// It has another form.
    #[error("must be postgres://user@host/database")]
    Form,
    /// PostgreSQL's parameters are not understood. What is wrong is told without the URL, which has a password.
    #[error("is no connection URL of PostgreSQL: {0}")]
    Parameters(String),
    /// What looks like parameters has an `@`, as the end of a password has.
    #[error("has a `?` in the password, which is written %3F")]
    QuestionMark,
    /// `sslmode` is none of the known.
    #[error("sslmode must be disable, prefer, require, verify-ca or verify-full")]
    Mode,
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        if !address.starts_with("postgres://") && !address.starts_with("postgresql://") {
            return Err(InvalidDatabaseUrl::Form);
        }
        if !address.contains('@') && query.contains('@') {
            return Err(InvalidDatabaseUrl::QuestionMark);
        }
        let (mut trust, mut root) = (None, None);
        let mut rest = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
            match &*name {
                "sslmode" => trust = Some(mode(&value)?),
                "sslrootcert" => root = Some(PathBuf::from(&*value)),
                _ => drop(rest.append_pair(&name, &value)),
            }
        }
        // A form writes a space as a plus sign, a PostgreSQL URL does not.
        let rest = rest.finish().replace('+', "%20");
        let plain = format!("{address}?{rest}");
        let mut config = Config::from_str(plain.trim_end_matches('?')).map_err(|error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            InvalidDatabaseUrl::Parameters(why.unwrap_or_else(|| error.to_string()))
        })?;
        if config.get_hosts().is_empty() {
            return Err(InvalidDatabaseUrl::Form);
        }
        let trust = match trust.unwrap_or(Trust::Prefer) {
            Trust::Require if root.is_some() => Trust::VerifyCa,
            trust => trust,
        };
        config.ssl_mode(match trust {
            Trust::Disable => SslMode::Disable,
            Trust::Prefer => SslMode::Prefer,
            Trust::Require | Trust::VerifyCa | Trust::VerifyFull => SslMode::Require,
        });
        Ok(Self {
            shown: shown(&config),
            config,
            trust,
            root,
        })
    }
}

fn mode(word: &str) -> Result<Trust, InvalidDatabaseUrl> {
    match word {
        "disable" => Ok(Trust::Disable),
        "prefer" | "allow" => Ok(Trust::Prefer),
        "require" => Ok(Trust::Require),
        "verify-ca" => Ok(Trust::VerifyCa),
        "verify-full" => Ok(Trust::VerifyFull),
        _ => Err(InvalidDatabaseUrl::Mode),
    }
}

/// Where it leads, of what the driver understood: whoever else reads a URL may take a part of the password for something else.
fn shown(config: &Config) -> String {
    let mut shown = String::from("postgres://");
    if let Some(user) = config.get_user() {
        shown.push_str(user);
        shown.push_str(if config.get_password().is_some() {
            ":***@"
        } else {
            "@"
        });
    }
    for (at, host) in config.get_hosts().iter().enumerate() {
        if at > 0 {
            shown.push(',');
        }
        match host {
            Host::Tcp(name) => shown.push_str(name),
            #[cfg(unix)]
            Host::Unix(folder) => shown.push_str(&folder.to_string_lossy()),
        }
        // One port may stand for all hosts.
        let ports = config.get_ports();
        if let Some(port) = ports
            .get(at)
            .or(ports.first())
            .filter(|port| **port != PORT)
        {
            shown.push_str(&format!(":{port}"));
        }
    }
    if let Some(name) = config.get_dbname() {
        shown.push('/');
        shown.push_str(name);
    }
    shown
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseUrl").field(&self.shown).finish()
    }
}

/// What a connection is made with.
pub(super) fn prepare(
    url: &DatabaseUrl,
    settings: PostgresSettings,
) -> Result<(Config, MakeRustlsConnect), StoreError> {
    let mut config = url.config.clone();
    if config.get_application_name().is_none() {
        config.application_name("heliostat");
    }
    config
        .connect_timeout(settings.connect_timeout)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .tcp_user_timeout(USER_TIMEOUT)
        // After a failover, a node must not go on with what is a standby now.
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    let tls = tls::config(url.trust, url.root.as_deref())
        .map_err(|why| fault::unavailable(format!("TLS to the database: {why}")))?;
    Ok((config, MakeRustlsConnect::new(tls)))
}

/// How statements are planned. Each of ours goes through an index to the rows it wants, and is planned once for every
/// connection, whatever it is given: the plans are the same with a thousand devices and with a million, before the server has
/// looked at a table for the first time and after, and are the ones that the tests have seen. What the server would rather do
/// when it believes that a table is small, it would go on doing when that is not so any more.
pub(super) const PLANNING: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; \
    SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// What every session begins with. What the server's administrator has set for durability stays as it is.
pub(super) fn session_settings(settings: PostgresSettings) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; {PLANNING}",
        settings.statement_timeout.as_millis(),
        settings.lock_timeout.as_millis(),
        IDLE_IN_TRANSACTION.as_millis()
    )
}
