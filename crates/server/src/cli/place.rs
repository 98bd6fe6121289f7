//! Where the commands that manage go: to the database itself, or to a server with an admin token. Both through the admin API,
//! so that a command does and says the same either way.

use std::path::PathBuf;

use clap::Args;
use domain::admin_token::AdminToken;
use heliostat_client::{AdminClient, Error, Method, Refusal};
use serde_json::Value;
use server::config::{Config, Database, Remote};
use server::local::Local;

use super::failure::Failure;
use super::key::Secret;
use super::settings::Settings;

/// What to do where there is no database yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfMissing {
    /// Make it: the first instance may be created before the first start.
    Create,
    /// Say so: it is a mistyped path more often than not.
    Refuse,
}

/// The options that say where a command goes.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceOptions {
    #[command(flatten)]
    settings: Settings,
    /// A running server to go to in place of the database [env: HELIOSTAT_SERVER].
    #[arg(long, value_name = "URL", conflicts_with = "database")]
    server: Option<String>,
    /// An admin token of that server; better in the environment than here [env: HELIOSTAT_ADMIN_TOKEN].
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<Secret>,
    /// A file with certificate authorities to trust, PEM, beside those of the operating system.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Where a command goes.
pub(crate) enum Place {
    /// To the database.
    Here(Local, String),
    /// To a server.
    There(AdminClient, String),
}

impl PlaceOptions {
    /// Goes there, does `work`, and leaves.
    pub(crate) async fn with<T>(
        &self,
        if_missing: IfMissing,
        work: impl AsyncFnOnce(&Place) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let place = self.go(if_missing).await?;
        let done = work(&place).await;
        if let Place::Here(local, _) = &place {
            local.close().await;
        }
        done
    }

    async fn go(&self, if_missing: IfMissing) -> Result<Place, Failure> {
        let config = self.settings.load()?;
        if let Some((server, token)) = self.remote(&config.remote)? {
            return self.there(&server, &token);
        }
        let name = config.database.to_string();
        if if_missing == IfMissing::Refuse && is_missing(&config) {
            return Err(Failure::new(format!(
                "there is no database {name}; name yours with --database, or begin with `heliostat instance create`"
            )));
        }
        let local = Local::open(&config).await;
        let local = local.map_err(|error| Failure::new(error.to_string()))?;
        Ok(Place::Here(local, name))
    }

    /// The server and the token to go there with, if the command goes to one.
    pub(crate) fn remote(&self, config: &Remote) -> Result<Option<(String, AdminToken)>, Failure> {
        let of_config = config
            .server
            .clone()
            .filter(|_| !self.settings.names_database());
        let Some(server) = self.server.clone().or(of_config) else {
            return Ok(None);
        };
        let token = match &self.admin_token {
            Some(given) => Some(given.admin_token()?),
            None => config.admin_token.clone(),
        };
        let token = token.ok_or_else(|| {
            Failure::usage(format!(
                "an admin token for {server} is missing: set HELIOSTAT_ADMIN_TOKEN, or give --admin-token"
            ))
        })?;
        Ok(Some((server, token)))
    }

    fn there(&self, server: &str, token: &AdminToken) -> Result<Place, Failure> {
        let mut client = AdminClient::builder(token.reveal()).base_url(server);
        if let Some(file) = &self.ca_file {
            let pem = std::fs::read(file).map_err(|error| {
                Failure::new(format!("cannot read {}: {error}", file.display()))
            })?;
            client = client.extra_root_ca_pem(pem);
        }
        let client = client
            .build()
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Place::There(client, server.to_owned()))
    }
}

/// Whether there is no database file yet. A database on a server is there or cannot be opened.
pub(crate) fn is_missing(config: &Config) -> bool {
    matches!(&config.database, Database::Sqlite(path) if !path.exists())
}

impl Place {
    /// How people name it: the database, without its password, or the server's URL.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Here(_, name) | Self::There(_, name) => name,
        }
    }

    /// What is at a path behind `/admin_api/v1`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// Makes a call of the admin API.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        match self {
            Self::Here(local, name) => {
                let (status, answer) = local.call(method, path, body).await;
                if status == 200 {
                    return Ok(answer);
                }
                let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
                let refusal = Refusal {
                    status,
                    error: text("error"),
                    description: text("description"),
                };
                Err(refused(&refusal, path, name))
            }
            Self::There(client, server) => {
                let done = client.call(method, path, body).await;
                done.map_err(|error| failed(&error, path, server))
            }
        }
    }
}

/// What was not done, where, and what a person can do about it.
fn refused(refusal: &Refusal, path: &str, place: &str) -> Failure {
    let instance = path
        .strip_prefix("/instances/")
        .and_then(|rest| rest.split(['/', '?']).next())
        .unwrap_or_default();
    let description = &refusal.description;
    Failure::new(match (refusal.status, refusal.error.as_str()) {
        (404, "Instance not found") => format!(
            "there is no instance {instance} in {place}; `heliostat instance list` shows those there are"
        ),
        (401, _) => format!(
            "{place} does not let you in: {description}; `heliostat admin-token create` beside its database makes a token"
        ),
        (500.., _) => format!("{place} failed: {description}"),
        _ => format!("{description} ({place})"),
    })
}

fn failed(error: &Error, path: &str, server: &str) -> Failure {
    match error {
        Error::Auth(refusal)
        | Error::InstanceNotFound(refusal)
        | Error::Refused(refusal)
        | Error::Server(refusal)
        | Error::TooManyRequests { refusal, .. } => refused(refusal, path, server),
        error if error.is_connect() => Failure::new(format!(
            "{error}; is `heliostat serve` running there? --server names another place"
        )),
        _ => Failure::new(format!("{server}: {error}")),
    }
}

/// A text in an answer; nothing for `null` or what is not there.
pub(crate) fn text(answer: &Value, key: &str) -> String {
    match &answer[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A list in an answer.
pub(crate) fn list<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map_or(&[], Vec::as_slice)
}

/// A path with a query of what was given.
pub(crate) fn with_query(path: &str, given: &[(&str, Option<&str>)]) -> String {
    let mut path = path.to_owned();
    let mut between = '?';
    for (name, value) in given {
        if let Some(value) = value {
            path.push_str(&format!("{between}{name}={}", AdminClient::escape(value)));
            between = '&';
        }
    }
    path
}

/// Where a list goes on, for people.
pub(crate) fn more(answer: &Value) -> String {
    match answer["nextCursor"].as_str() {
        Some(next) => format!("\nThere are more: --cursor {next}"),
        None => String::new(),
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Args)]
pub(crate) struct Paging {
    /// How many at most.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Where the list goes on, as the part before it said.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl Paging {
    /// A path with this and more as its query.
    pub(crate) fn path(&self, path: &str, more: &[(&str, Option<&str>)]) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        let mut all = vec![
            ("limit", limit.as_deref()),
            ("cursor", self.cursor.as_deref()),
        ];
        all.extend(more);
        with_query(path, &all)
    }
}
