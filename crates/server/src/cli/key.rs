//! `heliostat instance key`: rotate an instance's secret keys. Add the new one, move the backends, revoke the old one.

use std::fmt;
use std::io::Read as _;

use clap::{Args, Subcommand};
use domain::admin_token::AdminToken;
use domain::instance::{SECRET_KEY_LENGTH_MAX, SecretKey};
use heliostat_client::Method;
use serde_json::json;
use zeroize::Zeroizing;

use super::database::InstanceOption;
use super::failure::Failure;
use super::instance::path_of;
use super::output::Output;
use super::place::{IfMissing, PlaceOptions, list, text};
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
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    instance: InstanceOption,
    #[command(flatten)]
    place: PlaceOptions,
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
    place: PlaceOptions,
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

/// A secret as somebody typed it. Not checked yet, because the error of a check by clap would show it.
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
    /// What was typed, or what standard input has for `-`. What is longer than `length_max` is for whoever checks it to tell.
    pub(crate) fn read(&self, what: &str, length_max: usize) -> Result<Zeroizing<String>, Failure> {
        if self.0.as_str() != "-" {
            return Ok(self.0.clone());
        }
        let mut input = Zeroizing::new(String::new());
        std::io::stdin()
            .lock()
            // More than the longest, so that what is endless ends.
            .take(2 * length_max as u64)
            .read_to_string(&mut input)
            .map_err(|error| {
                Failure::new(format!(
                    "cannot read the {what} from standard input: {error}"
                ))
            })?;
        Ok(Zeroizing::new(input.trim().to_owned()))
    }

    /// Checks it.
    pub(crate) fn parse(&self) -> Result<SecretKey, Failure> {
        SecretKey::parse(self.0.as_str())
            .map_err(|error| Failure::usage(format!("--secret-key: {error}")))
    }

    /// Checks it as an admin token.
    pub(crate) fn admin_token(&self) -> Result<AdminToken, Failure> {
        AdminToken::parse(self.0.as_str())
            .map_err(|error| Failure::usage(format!("--admin-token: {error}")))
    }
}

/// The secret key from the command line, or from standard input for `-`.
pub(crate) fn given(given: Option<&Secret>) -> Result<Option<SecretKey>, Failure> {
    let Some(given) = given else { return Ok(None) };
    let typed = given.read("secret key", SECRET_KEY_LENGTH_MAX)?;
    Secret(typed).parse().map(Some)
}

impl Add {
    async fn run(self) -> Result<(), Failure> {
        let id = self.instance.id;
        let mut body = json!({});
        if let Some(key) = given(self.secret_key.as_ref())? {
            body["secretKey"] = key.reveal().into();
        }
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = path_of(id, "/secret-keys");
                let added = place.call(Method::POST, &path, Some(&body)).await?;
                let said = format!(
                    "Number      {}\nSecret key  {}\n\nKeep it: it is shown this once. The older keys stay active \
                     until `heliostat instance key revoke --instance {id} NUMBER`.",
                    text(&added, "number"),
                    text(&added, "secretKey"),
                );
                self.output.show(&added, said)
            })
            .await
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = path_of(self.instance.id, "/secret-keys");
                let answer = place.get(&path).await?;
                let mut table = Table::new(["NUMBER", "KEY", "ADDED"]);
                for key in list(&answer, "secretKeys") {
                    table.row([
                        text(key, "number"),
                        text(key, "hint"),
                        text(key, "createdAt"),
                    ]);
                }
                self.output.show(&answer["secretKeys"], table)
            })
            .await
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = path_of(self.instance.id, &format!("/secret-keys/{}", self.key));
                let done = place.call(Method::DELETE, &path, None).await?;
                self.output
                    .show(&done, format!("Revoked key {}.", self.key))
            })
            .await
    }
}
