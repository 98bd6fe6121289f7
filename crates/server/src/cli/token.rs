//! `heliostat token`: a Beams token, as an app's backend signs it for a user it has logged in.

use clap::Args;
use domain::instance::{InstanceId, SecretKey};
use heliostat_client::Client;
use serde_json::json;
use server::admin::actor::Deed;

use super::database::{Database, InstanceOption};
use super::failure::Failure;
use super::key::Secret;
use super::output::Output;
use super::place::IfMissing;
use super::settings::Settings;

/// Sign a Beams token for a user, as an app's backend does. It is valid for 24 hours.
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(flatten)]
    instance: InstanceOption,
    /// The user's id: 1 to 164 characters.
    #[arg(value_name = "USER_ID")]
    user: String,
    #[command(flatten)]
    secret_key: SecretKeyOption,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

/// The option that gives a secret key.
#[derive(Debug, Args)]
pub(crate) struct SecretKeyOption {
    /// The instance's secret key, where the database is not at hand.
    #[arg(
        long,
        value_name = "KEY",
        env = "HELIOSTAT_SECRET_KEY",
        hide_env_values = true
    )]
    secret_key: Option<Secret>,
}

impl SecretKeyOption {
    /// The key that was given, or else the newest one in the database.
    pub(crate) async fn resolve(
        &self,
        settings: &Settings,
        instance: InstanceId,
    ) -> Result<SecretKey, Failure> {
        match &self.secret_key {
            Some(given) => given.parse(),
            None => {
                Database::with(settings, IfMissing::Refuse, async |database| {
                    let deed = Deed::new("secret_key.use").at(instance);
                    database.audited(deed, database.secret_key(instance)).await
                })
                .await
            }
        }
    }
}

impl Token {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let instance = self.instance.id;
        let key = self.secret_key.resolve(&self.settings, instance).await?;
        let token = Client::new(&instance.to_string(), key.reveal())
            .and_then(|client| client.generate_token(&self.user))
            .map_err(|error| Failure::new(format!("cannot sign a Beams token: {error}")))?;
        self.output.show(&json!(token), token.as_str())
    }
}
