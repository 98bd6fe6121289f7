//! `heliostat webhook`: where an app's backend is told what happened, and what it was told.

mod delivery;

use clap::{Args, Subcommand};
use domain::webhook::signature::SECRET_LENGTH_MAX;
use domain::webhook::{EventType, WebhookId};
use heliostat_client::Method;
use serde_json::{Value, json};

use super::database::InstanceOption;
use super::failure::Failure;
use super::instance::path_of;
use super::key::Secret;
use super::output::Output;
use super::place::{IfMissing, PlaceOptions, list, text};
use super::table::Table;

/// Add, list, try and remove webhooks; see what they were told.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Add a webhook. Prints its secret this once.
    Add(Add),
    /// List the webhooks of an instance and their state.
    List(List),
    /// Change where a webhook points, what it is told of, or what it wants back; its id and its secret stay.
    Edit(Edit),
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
    /// Show one delivery with its attempts and what it carries.
    Delivery(delivery::Show),
    /// Send a delivery once more, at once and with the same id; or all that failed.
    Replay(delivery::Replay),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    instance: InstanceOption,
    /// Where requests go: https, or http inside the networks of the setting outbound.allow_webhooks.
    #[arg(long, value_name = "URL")]
    url: String,
    /// What requests are signed with; `-` reads it from standard input; random if not given.
    #[arg(long, value_name = "SECRET")]
    secret: Option<Secret>,
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

/// A webhook, named on the command line.
#[derive(Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    instance: InstanceOption,
    /// The webhook's id, as `heliostat webhook list` shows it.
    #[arg(value_name = "WEBHOOK", value_parser = webhook_id)]
    webhook: WebhookId,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    named: Named,
    /// Where requests go from now on, those that wait too.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// What it is told of from now on, in place of what it was told of; give it several times for several.
    #[arg(long = "event", value_name = "EVENT", value_parser = EventType::CHOICES.map(EventType::as_str))]
    events: Vec<String>,
    /// A JSON object that every request carries.
    #[arg(long, value_name = "JSON")]
    custom_data: Option<String>,
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
            Self::Edit(edit) => edit.run().await,
            Self::Remove(remove) => remove.run().await,
            Self::Enable(enable) => enable.run().await,
            Self::Disable(disable) => disable.run().await,
            Self::Test(test) => test.run().await,
            Self::Deliveries(deliveries) => deliveries.run().await,
            Self::Delivery(show) => show.run().await,
            Self::Replay(replay) => replay.run().await,
        }
    }
}

impl Named {
    /// The path of the webhook, or of what lies behind it.
    fn path(&self, rest: &str) -> String {
        path_of(
            self.instance.id,
            &format!("/webhooks/{}{rest}", self.webhook),
        )
    }
}

fn custom_data(given: &str) -> Result<Value, Failure> {
    serde_json::from_str(given)
        .map_err(|error| Failure::usage(format!("--custom-data is no JSON: {error}")))
}

impl Add {
    fn body(&self) -> Result<Value, Failure> {
        let mut body = json!({"url": self.url, "scheme": self.scheme});
        if let Some(secret) = &self.secret {
            let secret = secret.read("secret", SECRET_LENGTH_MAX)?;
            body["secret"] = secret.as_str().into();
        }
        if !self.events.is_empty() {
            body["events"] = json!(self.events);
        }
        if let Some(given) = &self.custom_data {
            body["customData"] = custom_data(given)?;
        }
        Ok(body)
    }

    async fn run(self) -> Result<(), Failure> {
        let body = self.body()?;
        let instance = self.instance.id;
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = path_of(instance, "/webhooks");
                let added = place.call(Method::POST, &path, Some(&body)).await?;
                let (id, secret) = (text(&added, "id"), text(&added, "secret"));
                let said = format!(
                    "Webhook  {id}\nSecret   {secret}\n\nKeep the secret: it is shown this once. Try it with \
                     `heliostat webhook test --instance {instance} {id}`."
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
                let answer = place.get(&path_of(self.instance.id, "/webhooks")).await?;
                let mut table = Table::new(["WEBHOOK", "URL", "SIGNED", "STATE", "EVENTS"]);
                for webhook in list(&answer, "webhooks") {
                    let of = |key| text(webhook, key);
                    let events = list(webhook, "events").iter().filter_map(Value::as_str);
                    let events: Vec<&str> = events.collect();
                    let state = state(webhook);
                    table.row([of("id"), of("url"), of("scheme"), state, events.join(" ")]);
                }
                self.output.show(&answer["webhooks"], table)
            })
            .await
    }
}

/// How a webhook is doing, for people.
fn state(webhook: &Value) -> String {
    let since = |key| webhook[key].as_str();
    if let Some(since) = since("disabledSince") {
        return format!(
            "disabled since {since}: {}",
            text(webhook, "disabledReason")
        );
    }
    match (since("fullSince"), since("failingSince")) {
        (Some(since), _) => format!("told nothing new since {since}: too many requests wait"),
        (None, Some(since)) => format!("failing since {since}"),
        (None, None) => text(webhook, "state"),
    }
}

impl Edit {
    async fn run(self) -> Result<(), Failure> {
        let Self { named, url, .. } = self;
        let mut body = json!({});
        if let Some(url) = url {
            body["url"] = url.into();
        }
        if !self.events.is_empty() {
            body["events"] = json!(self.events);
        }
        if let Some(given) = &self.custom_data {
            body["customData"] = custom_data(given)?;
        }
        if body.as_object().is_none_or(serde_json::Map::is_empty) {
            return Err(Failure::usage(
                "nothing to change: give --url, --event or --custom-data".to_owned(),
            ));
        }
        named
            .place
            .with(IfMissing::Refuse, async |place| {
                let changed = place
                    .call(Method::PATCH, &named.path(""), Some(&body))
                    .await?;
                let said = format!("Changed webhook {}.", named.webhook);
                named.output.show(&changed, said)
            })
            .await
    }
}

impl Remove {
    async fn run(self) -> Result<(), Failure> {
        let Self { named } = self;
        named
            .place
            .with(IfMissing::Refuse, async |place| {
                let removed = place.call(Method::DELETE, &named.path(""), None).await?;
                let said = format!("Removed webhook {}.", named.webhook);
                named.output.show(&removed, said)
            })
            .await
    }
}

/// Enables or disables a webhook.
async fn set(named: Named, how: &str) -> Result<(), Failure> {
    named
        .place
        .with(IfMissing::Refuse, async |place| {
            let set = place.call(Method::POST, &named.path(how), None).await?;
            let said = format!("Webhook {} is {}.", named.webhook, text(&set, "state"));
            named.output.show(&set, said)
        })
        .await
}

impl Enable {
    async fn run(self) -> Result<(), Failure> {
        set(self.named, "/enable").await
    }
}

impl Disable {
    async fn run(self) -> Result<(), Failure> {
        set(self.named, "/disable").await
    }
}
