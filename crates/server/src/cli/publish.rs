//! `heliostat publish`: publishes through a running server, as an app's backend does.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use heliostat_client::{Client, Error, PublishId};
use serde_json::json;
use serde_json::value::RawValue;

use super::database::InstanceOption;
use super::failure::Failure;
use super::output::Output;
use super::settings::Settings;
use super::token::SecretKeyOption;

/// The largest payload that is read, in bytes: what no server would take is refused before it fills the memory.
const PAYLOAD_LENGTH_MAX: u64 = 1024 * 1024;

/// Publish to users or to interests through a running server. Prints the publish's id.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("audience").required(true).args(["users", "interests"]))]
pub(crate) struct Publish {
    #[command(flatten)]
    instance: InstanceOption,
    /// A user to publish to; may be given up to 1000 times.
    #[arg(long = "user", value_name = "USER_ID")]
    users: Vec<String>,
    /// An interest to publish to; may be given up to 100 times.
    #[arg(long = "interest", value_name = "NAME")]
    interests: Vec<String>,
    /// The file with the payload, JSON with at least one of apns, fcm and web; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    payload: PathBuf,
    /// Where the server is [env: HELIOSTAT_SERVER]; not said: where the settings have it, `public_url` or `listen`.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A file with certificate authorities to trust, PEM, beside those of the operating system.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    secret_key: SecretKeyOption,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

impl Publish {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let payload = read_payload(&self.payload)?;
        let server = match &self.server {
            Some(server) => server.clone(),
            None => self.server_of_settings()?,
        };
        let key = self
            .secret_key
            .resolve(&self.settings, self.instance.id)
            .await?;
        let mut client =
            Client::builder(&self.instance.id.to_string(), key.reveal()).base_url(&server);
        if let Some(file) = &self.ca_file {
            let pem = std::fs::read(file).map_err(|error| {
                Failure::new(format!("cannot read {}: {error}", file.display()))
            })?;
            client = client.extra_root_ca_pem(pem);
        }
        let publish = match client.build() {
            Ok(client) => self.publish(&client, &payload).await,
            Err(error) => Err(error),
        };
        let publish = publish.map_err(|error| not_published(&server, &error))?;
        self.output
            .show(&json!({"publishId": publish.to_string()}), publish)
    }

    async fn publish(&self, client: &Client, payload: &RawValue) -> Result<PublishId, Error> {
        if self.users.is_empty() {
            client.publish_to_interests(&self.interests, payload).await
        } else {
            client.publish_to_users(&self.users, payload).await
        }
    }

    /// The one that commands go to; or else what the server is called from outside, or where it listens.
    fn server_of_settings(&self) -> Result<String, Failure> {
        let config = self.settings.load()?;
        // As with the commands that manage, a database that is named goes before it.
        if let Some(server) = &config.remote.server
            && !self.settings.names_database()
        {
            return Ok(server.clone());
        }
        let mut listen = config.listen;
        if listen.ip().is_unspecified() {
            let loopback: [std::net::IpAddr; 2] = [
                std::net::Ipv4Addr::LOCALHOST.into(),
                std::net::Ipv6Addr::LOCALHOST.into(),
            ];
            listen.set_ip(loopback[usize::from(listen.is_ipv6())]);
        }
        let listens = format!("{}://{listen}", config.scheme());
        Ok(config.public_url.unwrap_or(listens))
    }
}

pub(crate) fn read_payload(file: &Path) -> Result<Box<RawValue>, Failure> {
    let name = if file == Path::new("-") {
        "standard input".into()
    } else {
        file.display().to_string()
    };
    let cannot = |error: std::io::Error| {
        Failure::new(format!("cannot read the payload from {name}: {error}"))
    };
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).map_err(cannot)?)
    };
    let mut text = String::new();
    source
        .take(PAYLOAD_LENGTH_MAX + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > PAYLOAD_LENGTH_MAX {
        return Err(Failure::new(format!(
            "the payload in {name} is too large: over {PAYLOAD_LENGTH_MAX} bytes"
        )));
    }
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("the payload in {name} is no JSON: {error}")))
}

/// What happened, and what a person can do about it.
fn not_published(server: &str, error: &Error) -> Failure {
    let advice = match error {
        error if error.is_connect() => {
            "; is `heliostat serve` running there? --server names another place"
        }
        Error::Auth(_) => "; is --secret-key, or HELIOSTAT_SECRET_KEY, a key of this instance?",
        Error::InstanceNotFound(_) => "; does that server use another database?",
        Error::UnexpectedAnswer { .. } => "; does something else listen there?",
        _ => "",
    };
    match error {
        Error::Validation(_) => Failure::new(format!("not published: {error}")),
        _ => Failure::new(format!("not published through {server}: {error}{advice}")),
    }
}
