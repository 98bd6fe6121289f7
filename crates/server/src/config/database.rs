//! Where everything is kept, and the master key that belongs to it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use domain::seal::Keyring;
use serde::Deserialize;
use store::postgres::{DatabaseUrl, PostgresSettings};

use super::layers::in_one_line;
use super::raw::{count, invalid, set, within};
use super::{ConfigError, MASTER_KEY_VARIABLE, MasterKeySource};

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A database of PostgreSQL, for any number of nodes. Its password is not shown.
    Postgres(Box<DatabaseUrl>),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPostgres {
    connections_max: i64,
    queue_length: i64,
    connect_timeout_ms: i64,
    wait_timeout_ms: i64,
    statement_timeout_ms: i64,
    lock_timeout_ms: i64,
}

pub(super) fn parse(text: &str) -> Result<Database, ConfigError> {
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.trim().is_empty() => {
            // `sqlite:///var/lib/x` is how other programs write an absolute path.
            let path = path.strip_prefix("//").unwrap_or(path);
            Ok(Database::Sqlite(PathBuf::from(path)))
        }
        Some(("postgres" | "postgresql", _)) => {
            let url: Result<DatabaseUrl, _> = text.trim().parse();
            let url = url.map_err(|error| invalid("database", in_one_line(&error.to_string())))?;
            Ok(Database::Postgres(Box::new(url)))
        }
        _ => Err(invalid(
            "database",
            "must be sqlite: and a path, or a postgres:// URL",
        )),
    }
}

pub(super) fn postgres(raw: &RawPostgres) -> Result<PostgresSettings, ConfigError> {
    let time = |key, value| -> Result<Duration, ConfigError> {
        let value = within(key, value, 1, 3_600_000)?;
        Ok(Duration::from_millis(value.unsigned_abs()))
    };
    Ok(PostgresSettings {
        connections_max: count("postgres.connections_max", raw.connections_max, 1, 10_000)?,
        queue_length: count("postgres.queue_length", raw.queue_length, 1, 1_000_000)?,
        connect_timeout: time("postgres.connect_timeout_ms", raw.connect_timeout_ms)?,
        wait_timeout: time("postgres.wait_timeout_ms", raw.wait_timeout_ms)?,
        statement_timeout: time("postgres.statement_timeout_ms", raw.statement_timeout_ms)?,
        lock_timeout: time("postgres.lock_timeout_ms", raw.lock_timeout_ms)?,
        ..PostgresSettings::default()
    })
}

/// From the environment, or a file that was named, or the file beside the database. What many nodes share is beside none
/// of them.
pub(super) fn master_key_source(
    file: &str,
    database: &Database,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<MasterKeySource, ConfigError> {
    if let Some(text) = env(MASTER_KEY_VARIABLE).filter(|text| !text.trim().is_empty()) {
        return Keyring::from_base64(&text)
            .map(MasterKeySource::Given)
            .map_err(|source| ConfigError::MasterKey {
                place: MASTER_KEY_VARIABLE.to_owned(),
                source,
            });
    }
    if let Some(path) = set(file) {
        return Ok(MasterKeySource::File(PathBuf::from(path)));
    }
    match database {
        Database::Sqlite(path) => {
            let mut beside = path.clone().into_os_string();
            beside.push(".key");
            Ok(MasterKeySource::File(PathBuf::from(beside)))
        }
        Database::Postgres(_) => Ok(MasterKeySource::Unset),
    }
}
