//! `heliostat webhook`: where an app's backend is told what happened, and what it was told.

mod delivery;

use std::io::Read as _;

use clap::{Args, Subcommand};
use domain::instance::InstanceId;
use domain::webhook::signature::SECRET_LENGTH_MAX;
use domain::webhook::{EventType, Scheme, WebhookId};
use gateway::Guard;
use serde_json::json;
use server::admin::webhooks::{BY_HAND, New, Typed, WEBHOOKS_MAX, Webhook, WebhookSecretText};
use server::admin::{error::AdminError, webhooks};
use store::webhooks::Disabled;
use zeroize::Zeroizing;

use super::database::{Database, InstanceOption};
use super::failure::Failure;
use super::output::Output;
use super::place::IfMissing;
use super::settings::Settings;
use super::table::Table;

/// Add, list, try and remove webhooks; see what they were told.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Add a webhook. Prints its secret this once.
    Add(Add),
    /// List the webhooks of an instance and their state.
    List(List),
    /// Remove a webhook and what waits for it.
    Remove(Remove),
    /// Tell a disabled webhook again what happens from now on.
    Enable(Enable),
    /// Tell a webhook nothing; what waits for it is given up.
    Disable(Disable),
    /// Send a webhook a test and say what its receiver answered. Takes a running server.
    Test(delivery::Test),
    /// List what a webhook was told, the newest first.
    Deliveries(delivery::Deliveries),
    /// Send a delivery that has ended once more, with the same id.
    Replay(delivery::Replay),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    instance: InstanceOption,
    /// Where requests go: https, or http inside the networks of the setting outbound.allow.
    #[arg(long, value_name = "URL")]
    url: String,
    /// What requests are signed with; `-` reads it from standard input; random if not given.
    #[arg(long, value_name = "SECRET")]
    secret: Option<SecretArgument>,
    /// How requests are signed: as Beams does, or as the Standard Webhooks specification says.
    #[arg(long, value_name = "SCHEME", value_parser = ["beams", "standard"], default_value = "beams")]
    scheme: String,
    /// What it is told of; give it several times for several. Beams' three events if not given.
    #[arg(long = "event", value_name = "EVENT", value_parser = EventType::CHOICES.map(EventType::as_str))]
    events: Vec<String>,
    /// A JSON object that every request carries.
    #[arg(long, value_name = "JSON")]
    custom_data: Option<String>,
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

/// A webhook, named on the command line.
#[derive(Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    instance: InstanceOption,
    /// The webhook's id, as `heliostat webhook list` shows it.
    #[arg(value_name = "WEBHOOK", value_parser = webhook_id)]
    webhook: WebhookId,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    named: Named,
}

#[derive(Debug, Args)]
pub(crate) struct Enable {
    #[command(flatten)]
    named: Named,
}

#[derive(Debug, Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    named: Named,
}

/// A secret as somebody typed it. Not checked yet, because the error of a check by clap would show it.
#[derive(Debug, Clone)]
pub(crate) struct SecretArgument(WebhookSecretText);

impl From<String> for SecretArgument {
    fn from(text: String) -> Self {
        Self(WebhookSecretText(text.into()))
    }
}

fn webhook_id(text: &str) -> Result<WebhookId, String> {
    WebhookId::parse(text).ok_or_else(|| {
        "a webhook's id is a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx".to_owned()
    })
}

impl WebhookCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Remove(remove) => remove.run().await,
            Self::Enable(enable) => enable.run().await,
            Self::Disable(disable) => disable.run().await,
            Self::Test(test) => test.run().await,
            Self::Deliveries(deliveries) => deliveries.run().await,
            Self::Replay(replay) => replay.run().await,
        }
    }
}

/// The option that a rule is about, in front of the rule.
fn usage(error: &AdminError) -> Failure {
    Failure::usage(match error {
        AdminError::Field {
            field: "customData",
            message,
        } => format!("--custom-data: {message}"),
        AdminError::Field { field, message } => format!("--{field}: {message}"),
        other => other.to_string(),
    })
}

impl Add {
    async fn run(self) -> Result<(), Failure> {
        let secret = match self.secret {
            Some(SecretArgument(WebhookSecretText(text))) if text.as_str() == "-" => {
                Some(WebhookSecretText(read_secret()?))
            }
            given => given.map(|SecretArgument(secret)| secret),
        };
        let typed = Typed {
            url: self.url,
            secret,
            scheme: Some(self.scheme),
            events: self.events,
            custom_data: self.custom_data,
        };
        let guard = Guard::new(self.settings.load()?.outbound.allow);
        let new = New::check(&typed, &guard).map_err(|error| usage(&error))?;
        let output = self.output;
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(self.instance.id).await?.id;
            let id = WebhookId::random();
            let sealed = database
                .vault()
                .seal_webhook_secret(instance, id, &new.secret)
                .map_err(|error| Failure::new(format!("cannot add the webhook: {error}")))?;
            let record = webhooks::record(id, &new, sealed, database.now());
            let added = database
                .store()
                .add_webhook(instance, record, WEBHOOKS_MAX)
                .await
                .map_err(|error| database.failed(&error))?;
            if !added {
                return Err(Failure::new(format!(
                    "instance {instance} has {WEBHOOKS_MAX} webhooks already; remove one with `heliostat webhook remove`"
                )));
            }
            let secret = new.secret.reveal();
            let text = format!(
                "Webhook  {id}\nSecret   {secret}\n\nKeep the secret: it is shown this once. Try it with \
                 `heliostat webhook test --instance {instance} {id}`."
            );
            output.show(&json!({"id": id, "secret": secret}), text)
        })
        .await
    }
}

fn read_secret() -> Result<Zeroizing<String>, Failure> {
    let mut input = Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        // More than the longest secret: what is too long is told, and what is endless ends.
        .take(2 * SECRET_LENGTH_MAX as u64)
        .read_to_string(&mut input)
        .map_err(|error| {
            Failure::new(format!(
                "cannot read the secret from standard input: {error}"
            ))
        })?;
    Ok(Zeroizing::new(input.trim().to_owned()))
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        Database::with(&self.settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(self.instance.id).await?.id;
            let all = database
                .store()
                .webhooks(instance)
                .await
                .map_err(|error| database.failed(&error))?;
            let mut table = Table::new(["WEBHOOK", "URL", "SIGNED", "STATE", "EVENTS"]);
            for webhook in &all {
                let state = match (&webhook.disabled, webhook.failing_since, webhook.full_since) {
                    (Some(disabled), ..) => {
                        format!("disabled since {}: {}", disabled.since, disabled.reason)
                    }
                    (None, _, Some(since)) => {
                        format!("told nothing new since {since}: too many requests wait")
                    }
                    (None, Some(since), None) => format!("failing since {since}"),
                    (None, None, None) => "enabled".to_owned(),
                };
                let events: Vec<&str> = webhook.events.iter().map(EventType::as_str).collect();
                table.row([
                    webhook.id.to_string(),
                    webhook.url.clone(),
                    Scheme::as_str(webhook.scheme).to_owned(),
                    state,
                    events.join(" "),
                ]);
            }
            let json = json!(all.iter().map(Webhook::of).collect::<Vec<_>>());
            self.output.show(&json, table)
        })
        .await
    }
}

/// That an instance has no such webhook.
fn unknown(instance: InstanceId, webhook: WebhookId) -> Failure {
    Failure::new(format!(
        "instance {instance} has no webhook {webhook}; `heliostat webhook list` shows those it has"
    ))
}

impl Remove {
    async fn run(self) -> Result<(), Failure> {
        let Named {
            instance,
            webhook,
            settings,
            output,
        } = self.named;
        Database::with(&settings, IfMissing::Refuse, async |database| {
            let instance = database.instance(instance.id).await?.id;
            let removed = database.store().remove_webhook(instance, webhook).await;
            if !removed.map_err(|error| database.failed(&error))? {
                return Err(unknown(instance, webhook));
            }
            let json = json!({"id": webhook, "removed": true});
            output.show(&json, format!("Removed webhook {webhook}."))
        })
        .await
    }
}

/// Enables or disables a webhook.
async fn set(named: Named, enabled: bool) -> Result<(), Failure> {
    let Named {
        instance,
        webhook,
        settings,
        output,
    } = named;
    Database::with(&settings, IfMissing::Refuse, async |database| {
        let instance = database.instance(instance.id).await?.id;
        let disabled = (!enabled).then(|| Disabled {
            since: database.now(),
            reason: BY_HAND.into(),
        });
        let set = database.store().set_webhook(instance, webhook, disabled);
        if !set.await.map_err(|error| database.failed(&error))? {
            return Err(unknown(instance, webhook));
        }
        let state = if enabled { "enabled" } else { "disabled" };
        let text = format!("Webhook {webhook} is {state}.");
        output.show(&json!({"id": webhook, "state": state}), text)
    })
    .await
}

impl Enable {
    async fn run(self) -> Result<(), Failure> {
        set(self.named, true).await
    }
}

impl Disable {
    async fn run(self) -> Result<(), Failure> {
        set(self.named, false).await
    }
}
