//! `heliostat instance key`: rotate an instance's secret keys. Add the new one, move the backends, revoke the old one.

use std::fmt;
use std::io::Read as _;

use clap::{Args, Subcommand};
use domain::instance::{SECRET_KEY_LENGTH_MAX, SecretKey};
use serde_json::{Value, json};
use store::instances::{SecretKeyId, SecretKeyRecord};
use zeroize::Zeroizing;

use super::database::{Database, IfMissing, InstanceOption};
use super::failure::Failure;
use super::output::Output;
use super::settings::Settings;
use super::table::Table;

/// Add, list and revoke secret keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Add a secret key beside the others. Prints it this once.
    Add(Add),
    /// List the secret keys: numbers and last characters.
    List(List),
    /// Revoke a secret key: what was signed with it is refused from now on. The last one stays.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    instance: InstanceOption,
    /// The key, if it must be a certain one; `-` reads it from standard input; random otherwise.
    #[arg(long, value_name = "KEY")]
    secret_key: Option<Secret>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    instance: InstanceOption,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    instance: InstanceOption,
    /// The key's number, as `heliostat instance key list` shows it.
    #[arg(value_name = "NUMBER")]
    key: i64,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

impl KeyCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

/// A secret key as somebody typed it. Not checked yet, because the error of a check by clap would show it.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Checks it.
    pub(crate) fn parse(&self) -> Result<SecretKey, Failure> {
        SecretKey::parse(self.0.as_str())
            .map_err(|error| Failure::usage(format!("--secret-key: {error}")))
    }
}

/// The secret key from the command line, from standard input for `-`, or a random one.
pub(crate) fn given_or_random(given: Option<&Secret>) -> Result<SecretKey, Failure> {
    match given {
        None => Ok(SecretKey::random()),
        Some(Secret(text)) if text.as_str() == "-" => {
            let mut input = Zeroizing::new(String::new());
            std::io::stdin()
                .lock()
                // More than the longest key: what is too long is told, and what is endless ends.
                .take(2 * SECRET_KEY_LENGTH_MAX as u64)
                .read_to_string(&mut input)
                .map_err(|error| {
                    Failure::new(format!(
                        "cannot read the secret key from standard input: {error}"
                    ))
                })?;
            Secret(input.trim().to_owned().into()).parse()
        }
        Some(secret) => secret.parse(),
    }
}

/// A key as JSON, without the key.
pub(crate) fn to_json(key: &SecretKeyRecord) -> Value {
    json!({"number": key.id.0, "hint": key.hint, "createdAt": key.created_at.to_string()})
}

impl Add {
    async fn run(self) -> Result<(), Failure> {
        let key = given_or_random(self.secret_key.as_ref())?;
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let id = database.instance(self.instance.id).await?.id;
            let new = database
                .vault()
                .new_secret_key(id, &key, database.now())
                .map_err(|error| Failure::new(format!("cannot add the secret key: {error}")))?;
            let SecretKeyId(number) =
                database.store().add_secret_key(id, new).await.map_err(|error| database.failed(&error))?;
            let text = format!(
                "Number      {number}\nSecret key  {}\n\nKeep it: it is shown this once. The older keys stay active \
                 until `heliostat instance key revoke --instance {id} NUMBER`.",
                key.reveal()
            );
            self.output.show(&json!({"number": number, "secretKey": key.reveal()}), text)
        })
        .await
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(self.instance.id).await?;
            let mut table = Table::new(["NUMBER", "KEY", "ADDED"]);
            for key in &instance.secret_keys {
                table.row([
                    key.id.0.to_string(),
                    key.hint.clone(),
                    key.created_at.to_string(),
                ]);
            }
            self.output
                .show(&instance.secret_keys.iter().map(to_json).collect(), table)
        })
        .await
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(self.instance.id).await?;
            let (id, number) = (instance.id, self.key);
            let revoked = database
                .store()
                .revoke_secret_key(id, SecretKeyId(number))
                .await
                .map_err(|error| database.failed(&error))?;
            if revoked {
                let json = json!({"number": number, "revoked": true});
                return self.output.show(&json, format!("Revoked key {number}."));
            }
            let has_it = instance.secret_keys.iter().any(|key| key.id.0 == number);
            Err(Failure::new(if has_it {
                format!("key {number} is the last one of instance {id} and stays; add another first")
            } else {
                format!("instance {id} has no key {number}; `heliostat instance key list` shows those it has")
            }))
        })
        .await
    }
}
